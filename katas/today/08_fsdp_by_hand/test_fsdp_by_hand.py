"""Specs of today/08 · FSDP and tensor parallelism by hand. What ranks do together is
done by two processes or three, which one call of `launch` starts.
"""

import importlib
import itertools
import math
import random

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.func import functional_call

from grader.specs import check, ranks

WORLDS = (2, 3)
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def on_ranks(world_size, kata, work, *args):
    """As `ranks.on_ranks`. The compiler, which each process would import, is imported
    once, before they are forked.
    """
    importlib.import_module("torch._dynamo")
    return ranks.on_ranks(world_size, kata, work, *args)


def numbers(*shape, seed=0):
    return torch.randn(
        shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def pieces(tensors, world_size, front=False):
    """Element by element: by rank, its numbers, of equally many for each."""
    values = [value for tensor in tensors for value in tensor.flatten().tolist()]
    size = -(-len(values) // world_size)
    rest = [0.0] * (size * world_size - len(values))
    values = rest + values if front else values + rest
    return [
        torch.tensor(values[r * size : (r + 1) * size], dtype=torch.float64)
        for r in range(world_size)
    ]


# 35 elements: neither two nor three ranks divide them, and borders cut through (4, 5)
SHAPES = ((4, 5), (5,), (2, 5))
TENSORS = tuple(numbers(*shape, seed=seed) for seed, shape in enumerate(SHAPES))
# by rank
GRADS = tuple(
    tuple(numbers(*shape, seed=10 * rank + 3) for shape in SHAPES) for rank in range(3)
)


def means(world_size):
    return [
        sum(of_ranks) / world_size for of_ranks in zip(*GRADS[:world_size], strict=True)
    ]


def sharded(kata, *lists):
    """For each list of tensors this rank's shard, and the bytes that it keeps alive."""
    shards = [kata.shard_flat(list(tensors)) for tensors in lists]
    return shards, [shard.untyped_storage().nbytes() for shard in shards]


FEW = (numbers(2, 2), numbers(2))
TURNED = (numbers(3, 4).bfloat16().T, numbers(2).bfloat16())


class TestShardFlat:
    def test_equal_pieces_of_the_flat_vector(self, kata):
        """All elements in order, zeros behind them up to a multiple of W, then S per
        rank. Collectives want equally long pieces. The borders run through the middle
        of tensors. Six elements need no zeros.
        """
        for world_size in WORLDS:
            found = [
                shards
                for shards, _ in on_ranks(world_size, kata, sharded, TENSORS, FEW)
            ]
            got = [shards[0] for shards in found]
            expected = pieces(TENSORS, world_size)
            padded = torch.cat(expected)
            wrong = {
                "rank 0's piece on every rank": [expected[0]] * world_size,
                "every W-th element, not neighbours": [
                    padded[rank::world_size] for rank in range(world_size)
                ],
                "padding before the elements": pieces(TENSORS, world_size, front=True),
                "the tensors column by column": pieces(
                    [t.mT if t.ndim == 2 else t for t in TENSORS], world_size
                ),
                "the tensors in reverse order": pieces(TENSORS[::-1], world_size),
            }
            check.close(
                got,
                expected,
                **EXACT,
                unlike=wrong,
                what=f"shards of 35 elements on {world_size} ranks, at ",
            )
            even, what = (
                pieces(FEW, world_size),
                f"shards of 6 elements on {world_size} ranks, at ",
            )
            check.close([shards[1] for shards in found], even, **EXACT, what=what)

    def test_memory_of_its_own(self, kata):
        """A slice is a view: it keeps the whole flat vector alive, and no rank would
        save a byte.
        """
        for world_size in WORLDS:
            for rank, (_, kept) in enumerate(
                on_ranks(world_size, kata, sharded, TENSORS)
            ):
                wanted = 8 * -(-35 // world_size)
                said = (
                    f"rank {rank} of {world_size} keeps {kept[0]} bytes alive for a "
                    f"shard of {wanted}: clone the slice"
                )
                whole = "a view of the whole vector" if kept[0] > wanted else ""
                check.that(kept[0] == wanted, said, like=whole)

    @pytest.mark.edge
    def test_ranks_with_padding_alone(self, kata):
        """Of 4 elements on 3 ranks, S is 2: the last rank holds zeros. Of 2
        elements, too.
        """
        for place, few in enumerate((FEW[:1], FEW[1:])):
            got = [
                shards[place]
                for shards, _ in on_ranks(3, kata, sharded, FEW[:1], FEW[1:])
            ]
            check.close(
                got,
                pieces(few, 3),
                **EXACT,
                what=f"shards of {sum(t.numel() for t in few)} elements, at ",
            )

    @pytest.mark.edge
    def test_dtype_and_strides(self, kata):
        """bfloat16 stays bfloat16, padded or not, and a transposed tensor is read row
        by row.
        """
        got = [shards[0] for shards, _ in on_ranks(3, kata, sharded, TURNED)]
        check.equal(
            got,
            [piece.bfloat16() for piece in pieces(TURNED, 3)],
            what="shards of bfloat16, at ",
        )


def gathered(kata, *cases):
    """For each case, the shards by rank and the shapes, what this rank
    puts together.
    """
    return [
        kata.gather_parameters(shards[dist.get_rank()], list(shapes))
        for shards, shapes in cases
    ]


def cut(tensors, world_size):
    return tuple(pieces(tensors, world_size))


def drawn_lists():
    """Lists of tensors of every number of dimensions, scalars too, and their shapes."""
    draw = random.Random(0)
    shapes = [
        [[draw.randint(1, 4) for _ in range(draw.randint(0, 3))] for _ in range(n)]
        for n in (1, 2, 3, 5, 5, 5)
    ]
    return [
        [numbers(*shape, seed=seed) for seed, shape in enumerate(some)]
        for some in shapes
    ]


WHOLE = {
    world_size: (
        (cut(TENSORS, world_size), SHAPES),
        (cut(FEW, world_size), ((2, 2), (2,))),
    )
    for world_size in WORLDS
}
DRAWN = drawn_lists()
DRAWN_CUT = tuple(
    (cut(tensors, 3), tuple(tuple(t.shape) for t in tensors)) for tensors in DRAWN
)
HALVES = ((tuple(piece.bfloat16() for piece in cut(TENSORS, 2)), SHAPES),)


class TestGatherParameters:
    def test_whole_tensors_on_every_rank(self, kata):
        """All shards end to end, without the padding, cut at the borders of the
        tensors. Every rank computes with whole weights.
        """
        for world_size in WORLDS:
            for rank, got in enumerate(
                on_ranks(world_size, kata, gathered, *WHOLE[world_size])
            ):
                shards = cut(TENSORS, world_size)
                orders = {
                    "its own shard in every place": [shards[rank]] * world_size,
                    "the shards in reverse order": shards[::-1],
                    "the shards' elements in turn: they were stacked, not joined": [
                        torch.stack(shards, 1).flatten()
                    ],
                }
                wrong = {
                    name: list(split(torch.cat(list(order))))
                    for name, order in orders.items()
                }
                check.close(
                    got[0],
                    list(TENSORS),
                    **EXACT,
                    unlike=wrong,
                    what=f"on rank {rank} of {world_size}, at ",
                )
                check.close(
                    got[1],
                    list(FEW),
                    **EXACT,
                    what=f"6 elements on rank {rank} of {world_size}, at ",
                )

    @pytest.mark.edge
    def test_any_shapes(self, kata):
        """Tensors of one element, of any number of dimensions. A scalar's shape
        is ().
        """
        for rank, lists in enumerate(on_ranks(3, kata, gathered, *DRAWN_CUT)):
            for tensors, got in zip(DRAWN, lists, strict=True):
                what = (
                    f"of the shapes {[tuple(t.shape) for t in tensors]} on rank "
                    f"{rank}, at "
                )
                check.close(got, tensors, **EXACT, what=what)

    @pytest.mark.edge
    def test_dtype(self, kata):
        """Half the bytes per element travel, if the shard has them."""
        for rank, got in enumerate(on_ranks(2, kata, gathered, *HALVES)):
            check.equal(
                got[0], [t.bfloat16() for t in TENSORS], what=f"on rank {rank}, at "
            )


def split(flat):
    """(35 or more,) as tensors of SHAPES."""
    return [flat[:20].view(4, 5), flat[20:25], flat[25:35].view(2, 5)]


def scattered(kata, *cases):
    """For each case, of gradients by rank: this rank's piece of the mean, and its
    gradients afterwards.
    """
    found = []
    for grads in cases:
        own = [grad.clone() for grad in grads[dist.get_rank()]]
        found.append((kata.scatter_gradients(own), own))
    return found


EVEN_GRADS = tuple(of_rank[2:] for of_rank in GRADS)
HALF_GRADS = tuple(tuple(g.bfloat16() for g in of_rank) for of_rank in GRADS)


class TestScatterGradients:
    def test_its_piece_of_the_mean(self, kata):
        """The mean over the ranks, of which each keeps the elements that its shard
        holds. Equal batches make it the gradient of all rows; a sum would be a learning
        rate that grows with the number of ranks.
        """
        for world_size in WORLDS:
            found = on_ranks(world_size, kata, scattered, GRADS, EVEN_GRADS)
            got = [cases[0][0] for cases in found]
            expected = pieces(means(world_size), world_size)
            own = [pieces(GRADS[rank], world_size)[rank] for rank in range(world_size)]
            wrong = {
                "the sum over ranks": [piece * world_size for piece in expected],
                "its own gradient: nothing was sent": own,
                "its own gradient, divided by W": [piece / world_size for piece in own],
                "divided by W twice": [piece / world_size for piece in expected],
                "rank 0's piece on every rank": [expected[0]] * world_size,
                "every W-th element, not neighbours": [
                    torch.cat(expected)[rank::world_size] for rank in range(world_size)
                ],
            }
            check.close(
                got,
                expected,
                **EXACT,
                unlike=wrong,
                what=f"gradient shards on {world_size} ranks, at ",
            )
            even, what = (
                pieces(means(world_size)[2:], world_size),
                f"shards of 10 elements on {world_size} ranks, at ",
            )
            check.close([cases[1][0] for cases in found], even, **EXACT, what=what)

    @pytest.mark.edge
    def test_gradients_are_left_alone(self, kata):
        """Whoever logs gradients wants those of this rank."""
        for rank, ((_, own), _) in enumerate(
            on_ranks(2, kata, scattered, GRADS, EVEN_GRADS)
        ):
            check.equal(
                own,
                list(GRADS[rank]),
                what=f"the gradients of rank {rank} afterwards, at ",
            )

    @pytest.mark.edge
    def test_dtype(self, kata):
        """A gradient in bfloat16 has a mean in bfloat16."""
        for rank, [(piece, _)] in enumerate(on_ranks(2, kata, scattered, HALF_GRADS)):
            check.dtype(piece, torch.bfloat16, what=f"the piece of rank {rank}")
            check.close(
                piece, pieces(means(2), 2)[rank], what=f"the piece of rank {rank}"
            )


def adamw(start, grads, lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0, slip=""):
    """AdamW by sums over all gradients so far, from the definition: no moments
    are kept.
    """
    p, past = start.clone(), []
    for t, grad in enumerate(grads, start=1):
        past = [
            *(past if slip != "no memory" else ()),
            grad + weight_decay * p * (slip == "in the gradient"),
        ]
        m = sum((1 - betas[0]) * betas[0] ** i * g for i, g in enumerate(past[::-1]))
        v = sum((1 - betas[1]) * betas[1] ** i * g**2 for i, g in enumerate(past[::-1]))
        if slip != "no correction":
            m, v = (
                moment / (1 - beta ** (1 if slip == "first" else t))
                for moment, beta in zip((m, v), betas)
            )
        if slip not in ("in the gradient", "no decay"):
            p = p - weight_decay * p * (1 if slip == "no lr" else lr)
        p = p - lr * m / ((v + eps).sqrt() if slip == "eps" else v.sqrt() + eps)
    return p


SETTINGS = {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.3}


def stepped(kata, start, grads, **settings):
    """The shard and its state after a step for each gradient."""
    shard, state = start.clone(), {}
    for grad in grads:
        kata.sharded_adamw(shard, grad.clone(), state, **settings)
    return shard, state


class TestShardedAdamw:
    def test_five_steps_are_those_of_adamw(self, kata):
        """Each element has moments of its own, so AdamW does not notice that these are
        a piece. No rank is asked:
        there is no process group here.
        """
        start, grads = numbers(7), list(numbers(5, 7, seed=1))
        slips = {
            "no bias correction": "no correction",
            "bias corrected for the first step only: the step counter does not move": (
                "first"
            ),
            "moments that start anew in every step: they are not kept in the state": (
                "no memory"
            ),
            "eps under the root": "eps",
            "the decay is part of the gradient, as in Adam": "in the gradient",
            "no decay": "no decay",
            "the decay is not multiplied by lr": "no lr",
        }
        wrong = {
            name: adamw(start, grads, **SETTINGS, slip=slip)
            for name, slip in slips.items()
        }
        wrong["not in place: the shard is as it was"] = start
        got, _ = stepped(kata, start, grads, **SETTINGS)
        check.close(
            got,
            adamw(start, grads, **SETTINGS),
            **EXACT,
            unlike=wrong,
            what=f"shard after 5 steps, {SETTINGS}",
        )
        got, _ = stepped(kata, start, grads, lr=0.1)
        check.close(
            got,
            adamw(start, grads, lr=0.1),
            **EXACT,
            what="shard after 5 steps with the defaults",
        )

    def test_the_first_step_moves_by_lr(self, kata):
        """In step 1 both bias corrections cancel: m̂ / √v̂ is the sign of the gradient,
        however small it is.
        """
        start, grad = numbers(5), 1e-3 * numbers(5, seed=1)
        for sign, name in ((1, "down"), (-1, "up")):
            got, _ = stepped(kata, start, [sign * grad], lr=0.25, eps=0.0)
            wrong = {
                "up, not down": start + 0.25 * sign * grad.sign(),
                "the gradient itself": start - 0.25 * sign * grad,
            }
            expected = start - 0.25 * sign * grad.sign()
            check.close(
                got, expected, **EXACT, unlike=wrong, what=f"shard after a step {name}"
            )

    def test_the_state_is_as_long_as_the_shard(self, kata):
        """Two moments of S elements and a counter. Moments of all elements would be
        most of the memory that sharding is to save.
        """
        start, grads = numbers(4), list(numbers(3, 4, seed=1))
        _, state = stepped(kata, start, grads, lr=0.1)
        check.equal(
            sorted(state), ["exp_avg", "exp_avg_sq", "step"], what="keys of the state"
        )
        check.close(float(state["step"]), 3.0, what="steps counted")
        first = sum(0.1 * 0.9 ** (2 - i) * g for i, g in enumerate(grads))
        second = sum(0.05 * 0.95 ** (2 - i) * g**2 for i, g in enumerate(grads))
        check.close(state["exp_avg"], first, **EXACT, what="exp_avg")
        check.close(state["exp_avg_sq"], second, **EXACT, what="exp_avg_sq")

    def test_padding_stays_zero(self, kata):
        """Padding has no gradient, so nothing may move it: 0 / (0 + eps) is 0, and 0
        decays to 0.
        """
        start, grads = numbers(5), list(numbers(3, 5, seed=1))
        for tensor in (start, *grads):
            tensor[3:] = 0
        got, _ = stepped(kata, start, grads, lr=0.1, weight_decay=0.1)
        check.equal(
            got[3:], torch.zeros(2, dtype=torch.float64), what="padding after 3 steps"
        )

    @pytest.mark.edge
    def test_the_gradient_is_left_alone(self, kata):
        """The decay belongs to the parameters, not to the caller's gradient."""
        for options in check.modes(weight_decay=[0.1]):
            shard, grad, state = numbers(4), numbers(4, seed=1), {}
            with check.unchanged(grad=grad):
                for _ in range(2):
                    kata.sharded_adamw(shard, grad, state, 0.1, **options)


def normed(kata, by_rank):
    """The norm, and this rank's piece afterwards."""
    piece = by_rank[dist.get_rank()].clone()
    return kata.global_norm(piece), piece


THREE_FOUR = (torch.tensor([3.0, 0.0]), torch.tensor([0.0, -4.0]))
MAX_NORM = 0.5


def small_model():
    """37 parameters in float64, the same on every rank."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).double()


def loss_of(model, parameters, x, y):
    return (functional_call(model, parameters, (x,)) - y).square().mean()


def trained(kata):
    """Three steps of the whole loop, clipped; each rank reads two of all rows. The
    norms and the parameters, and those of one process with torch's AdamW.
    """
    rank, world_size = dist.get_rank(), dist.get_world_size()
    model, settings = (
        small_model(),
        {"lr": 0.1, "betas": (0.9, 0.95), "weight_decay": 0.2},
    )
    names, shapes = zip(
        *((name, tuple(p.shape)) for name, p in model.named_parameters()), strict=True
    )
    batches = [
        (numbers(2 * world_size, 4, seed=t), numbers(2 * world_size, 2, seed=9 + t))
        for t in range(3)
    ]
    own = slice(2 * rank, 2 * rank + 2)
    shard, state, norms = (
        kata.shard_flat([p.detach() for p in model.parameters()]),
        {},
        [],
    )
    for x, y in batches:
        whole = {
            name: p.requires_grad_()
            for name, p in zip(
                names, kata.gather_parameters(shard, shapes), strict=True
            )
        }
        grads = torch.autograd.grad(
            loss_of(model, whole, x[own], y[own]), list(whole.values())
        )
        piece = kata.scatter_gradients(grads)
        norms.append(kata.global_norm(piece))
        kata.sharded_adamw(
            shard, piece * min(1.0, MAX_NORM / (norms[-1] + 1e-6)), state, **settings
        )
    alone, expected = torch.optim.AdamW(model.parameters(), **settings), []
    for x, y in batches:
        alone.zero_grad()
        loss_of(model, dict(model.named_parameters()), x, y).backward()
        expected.append(nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM).item())
        alone.step()
    return (
        norms,
        kata.gather_parameters(shard, shapes),
        expected,
        [p.detach() for p in model.parameters()],
    )


class TestGlobalNorm:
    def test_3_and_4_give_5(self, kata):
        """Squares add up, norms do not. Each rank gets the same plain float: clipped by
        norms of their own, the ranks would scale the pieces of one
        gradient differently.
        """
        for rank, (got, _) in enumerate(on_ranks(2, kata, normed, THREE_FOUR)):
            wrong = {
                "the norm of its own piece": THREE_FOUR[rank].norm().item(),
                "the sum of the norms": 7.0,
                "the mean of the norms": 3.5,
                "the squared norm": 25.0,
                "the root of the mean square": math.sqrt(12.5),
            }
            check.that(
                isinstance(got, float),
                f"wanted a plain float, got {check.describe(got)}",
            )
            check.close(got, 5.0, unlike=wrong, what=f"the norm on rank {rank}")

    def test_the_whole_loop_is_one_process(self, kata):
        """Gather, forward and backward on its own rows, scatter, clip by the whole
        norm, step the shard. After three steps, two ranks and three have the weights of
        torch's AdamW on one process with all rows.
        """
        for world_size in WORLDS:
            for rank, (norms, weights, right_norms, right) in enumerate(
                on_ranks(world_size, kata, trained)
            ):
                what = f"on rank {rank} of {world_size}"
                check.close(
                    norms, right_norms, **EXACT, what=f"norms of 3 steps {what}, at "
                )
                check.close(
                    weights, right, **EXACT, what=f"weights after 3 steps {what}, at "
                )

    @pytest.mark.edge
    def test_the_gradient_is_left_alone(self, kata):
        """The norm is taken before clipping decides whether to scale anything."""
        for rank, (_, piece) in enumerate(on_ranks(2, kata, normed, THREE_FOUR)):
            check.equal(
                piece, THREE_FOUR[rank], what=f"the piece of rank {rank} afterwards"
            )


def share(tensor, dim):
    """This rank's share of a tensor that is cut along a dimension, as a leaf with
    memory of its own.
    """
    return (
        tensor.chunk(dist.get_world_size(), dim)[dist.get_rank()]
        .clone()
        .requires_grad_()
    )


# B = 2, T = 3, I = 5, O = 6
X, UPSTREAM = numbers(2, 3, 5, seed=1), numbers(2, 3, 6, seed=4)
WEIGHT, BIAS = numbers(6, 5, seed=2), numbers(6, seed=3)
FLAT_X, FLAT_UP = X.reshape(-1, 5), UPSTREAM.reshape(-1, 6)


def columned(kata, biased):
    """This rank's outputs, and the gradients of x, weight and bias for its share of
    what comes from above.
    """
    x, weight = X.clone().requires_grad_(), share(WEIGHT, 0)
    bias = share(BIAS, 0) if biased else None
    out = (
        kata.column_linear(x, weight, bias) if biased else kata.column_linear(x, weight)
    )
    wanted = (x, weight, bias) if biased else (x, weight)
    grads = torch.autograd.grad(
        out, wanted, share(UPSTREAM, -1).detach(), allow_unused=True
    )
    return out.detach(), *grads


def read_thrice(kata):
    """The gradient of x, which three layers use at once."""
    x, weight = X.clone().requires_grad_(), share(WEIGHT, 0)
    total = sum(factor * kata.column_linear(x, weight) for factor in (1, 2, 3))
    return torch.autograd.grad(total, x, share(UPSTREAM, -1).detach())[0]


def of_data(kata):
    """The gradient of the weight where x needs none."""
    weight = share(WEIGHT, 0)
    return torch.autograd.grad(kata.column_linear(X, weight).sum(), weight)[0]


@pytest.mark.stretch
class TestColumnLinear:
    def test_this_ranks_outputs(self, kata):
        """Rows of the weight are outputs of the layer: each rank computes some of them
        from all of x, and nothing is sent.
        """
        for world_size, biased in itertools.product(WORLDS, (True, False)):
            dense = torch.einsum("btc,oc->bto", X, WEIGHT) + (BIAS if biased else 0)
            shares = dense.chunk(world_size, -1)
            for rank, (got, *_) in enumerate(
                on_ranks(world_size, kata, columned, biased)
            ):
                wrong = {"summed over the ranks: that is row_linear's": sum(shares)}
                wrong |= (
                    {"without the bias": shares[rank] - BIAS.chunk(world_size)[rank]}
                    if biased
                    else {}
                )
                what = (
                    f"output on rank {rank} of "
                    f"{world_size}{'' if biased else ', without a bias'}"
                )
                check.close(got, shares[rank], **EXACT, unlike=wrong, what=what)

    def test_the_gradient_of_x_is_summed(self, kata):
        """x reaches all outputs, and this rank's backward pass knows its own only. The
        layers below need the whole gradient, on every rank.
        """
        for world_size in WORLDS:
            parts = [
                up @ rows
                for up, rows in zip(
                    UPSTREAM.chunk(world_size, -1),
                    WEIGHT.chunk(world_size),
                    strict=True,
                )
            ]
            for rank, (_, got, *_) in enumerate(
                on_ranks(world_size, kata, columned, True)
            ):
                wrong = {
                    "what this rank's outputs add, alone": parts[rank],
                    "the mean over the ranks": sum(parts) / world_size,
                }
                check.close(
                    got,
                    sum(parts),
                    **EXACT,
                    unlike=wrong,
                    what=f"gradient of x on rank {rank} of {world_size}",
                )

    def test_weights_have_gradients_of_their_own(self, kata):
        """Other ranks hold other rows of the weight. Their gradients have nothing to do
        with these.
        """
        weights, biases = (FLAT_UP.mT @ FLAT_X).chunk(2), FLAT_UP.sum(0).chunk(2)
        for rank, (_, _, weight, bias) in enumerate(on_ranks(2, kata, columned, True)):
            wrong = {"summed over the ranks": sum(weights)}
            check.close(
                weight,
                weights[rank],
                **EXACT,
                unlike=wrong,
                what=f"gradient of the weight on rank {rank}",
            )
            wrong = {"summed over the ranks": sum(biases)}
            check.close(
                bias,
                biases[rank],
                **EXACT,
                unlike=wrong,
                what=f"gradient of the bias on rank {rank}",
            )

    @pytest.mark.edge
    def test_several_layers_read_one_x(self, kata):
        """Queries, keys and values read the same x. Each sums its own gradient; a hook
        on the caller's x would sum what is summed already.
        """
        for rank, got in enumerate(on_ranks(2, kata, read_thrice)):
            check.close(
                got,
                6 * UPSTREAM @ WEIGHT,
                **EXACT,
                what=f"gradient of x on rank {rank}",
            )

    @pytest.mark.edge
    def test_x_without_gradient(self, kata):
        """The first layer reads data. Its weight learns all the same."""
        for rank, got in enumerate(on_ranks(2, kata, of_data)):
            check.close(
                got,
                FLAT_X.sum(0).expand(3, 5),
                **EXACT,
                what=f"gradient of the weight on rank {rank}",
            )


# I = 6, O = 4
WIDE, WIDE_WEIGHT, DOWN = (
    numbers(2, 3, 6, seed=5),
    numbers(4, 6, seed=6),
    numbers(2, 3, 4, seed=7),
)
WIDE_BIAS = numbers(4, seed=8)


def rowed(kata, biased):
    """The output, and the gradients of x, weight and bias. What comes from above is the
    same on all ranks.
    """
    x, weight = share(WIDE, -1), share(WIDE_WEIGHT, 1)
    bias = WIDE_BIAS.clone().requires_grad_() if biased else None
    out = kata.row_linear(x, weight, bias) if biased else kata.row_linear(x, weight)
    wanted = (x, weight, bias) if biased else (x, weight)
    return out.detach(), *torch.autograd.grad(out, wanted, DOWN, allow_unused=True)


def mlp(kata):
    """Outputs and the gradients of x and of this rank's weights and biases, column by
    column, then row by row.
    """
    x, first, inner = X.clone().requires_grad_(), share(WEIGHT, 0), share(BIAS, 0)
    second, bias = share(WIDE_WEIGHT, 1), WIDE_BIAS.clone().requires_grad_()
    out = kata.row_linear(torch.tanh(kata.column_linear(x, first, inner)), second, bias)
    return [
        out.detach(),
        *torch.autograd.grad(out, (x, first, inner, second, bias), DOWN),
    ]


@pytest.mark.stretch
class TestRowLinear:
    def test_the_sum_over_ranks_and_the_bias_once(self, kata):
        """Each rank has some of the inputs, so each has a part of every output, and the
        parts add up. A bias in each part would come W times.
        """
        for world_size, biased in itertools.product(WORLDS, (True, False)):
            dense = torch.einsum("btc,oc->bto", WIDE, WIDE_WEIGHT) + (
                WIDE_BIAS if biased else 0
            )
            cuts = zip(
                WIDE.chunk(world_size, -1),
                WIDE_WEIGHT.chunk(world_size, 1),
                strict=True,
            )
            parts = [x @ weight.mT + (WIDE_BIAS if biased else 0) for x, weight in cuts]
            for rank, (got, *_) in enumerate(on_ranks(world_size, kata, rowed, biased)):
                wrong = {
                    "this rank's part alone": parts[rank],
                    "the mean over the ranks": sum(parts) / world_size,
                }
                wrong |= (
                    {"the bias came W times: add it after the sum": sum(parts)}
                    if biased
                    else {}
                )
                what = (
                    f"output on rank {rank} of "
                    f"{world_size}{'' if biased else ', without a bias'}"
                )
                check.close(got, dense, **EXACT, unlike=wrong, what=what)

    def test_gradients_are_not_summed(self, kata):
        """The output is the same everywhere, and so is its gradient: it is whole.
        Summed over the ranks it would be W times as large.
        """
        flat, down = WIDE.reshape(-1, 6), DOWN.reshape(-1, 4)
        whole = DOWN @ WIDE_WEIGHT, down.mT @ flat, down.sum(0)
        for world_size in WORLDS:
            for rank, (_, *got) in enumerate(on_ranks(world_size, kata, rowed, True)):
                right = [
                    whole[0].chunk(world_size, -1)[rank],
                    whole[1].chunk(world_size, 1)[rank],
                    whole[2],
                ]
                for name, mine, expected in zip(
                    ("x", "the weight", "the bias"), got, right, strict=True
                ):
                    wrong = {
                        "W times as large: summed over the ranks": world_size * expected
                    }
                    what = f"gradient of {name} on rank {rank} of {world_size}"
                    check.close(mine, expected, **EXACT, unlike=wrong, what=what)

    def test_column_then_row_is_the_dense_mlp(self, kata):
        """Megatron's MLP: the first weight is cut into outputs, the second into the
        same inputs, and what is between them never travels. One sum forward,
        one backward.
        """
        x, hidden = FLAT_X, torch.tanh(FLAT_X @ WEIGHT.mT + BIAS)
        down = DOWN.reshape(-1, 4)
        back = (down @ WIDE_WEIGHT) * (1 - hidden**2)
        out = (hidden @ WIDE_WEIGHT.mT + WIDE_BIAS).view(2, 3, 4)
        for rank, got in enumerate(on_ranks(3, kata, mlp)):
            first, inner = (back.mT @ x).chunk(3)[rank], back.sum(0).chunk(3)[rank]
            second = (down.mT @ hidden).chunk(3, 1)[rank]
            names = (
                "output",
                "x",
                "the first weight",
                "the first bias",
                "the second weight",
                "the second bias",
            )
            right = (
                out,
                (back @ WEIGHT).view(2, 3, 5),
                first,
                inner,
                second,
                down.sum(0),
            )
            for name, mine, expected in zip(names, got, right, strict=True):
                check.close(mine, expected, **EXACT, what=f"{name} on rank {rank} of 3")


NAMES = ("layer.weight", "layer.bias", "head.weight")


def saved(kata, *cases):
    """For each case, the shards by rank and the shapes, what this rank gets."""
    return [
        kata.full_state_dict(
            shards[dist.get_rank()], list(NAMES[: len(shapes)]), list(shapes)
        )
        for shards, shapes in cases
    ]


@pytest.mark.stretch
class TestFullStateDict:
    def test_rank_0_has_whole_tensors_by_name(self, kata):
        """The names and shapes are those of the plain module, which loads them on any
        number of devices.
        """
        for world_size in WORLDS:
            got = on_ranks(world_size, kata, saved, *WHOLE[world_size])[0]
            for mine, tensors in zip(got, (TENSORS, FEW), strict=True):
                check.close(
                    mine,
                    dict(zip(NAMES, tensors)),
                    **EXACT,
                    what=f"on rank 0 of {world_size}, at ",
                )

    def test_the_others_hold_nothing(self, kata):
        """They take part, since rank 0 needs their shards, and return an empty dict:
        one rank writes the file.
        """
        for rank, (got, few) in enumerate(on_ranks(3, kata, saved, *WHOLE[3])):
            if rank > 0:
                check.that(
                    got == few == {},
                    f"rank {rank} should return {{}}, and returns "
                    f"{check.describe(got)}",
                )
