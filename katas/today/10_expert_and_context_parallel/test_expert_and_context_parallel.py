"""Specs of today/10: rows exchanged, experts on all ranks, a softmax in parts, keys in
a ring. What ranks do together is done by two processes or three, which one call of
`launch` starts; then all is compared with one process.
"""

import itertools

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check
from grader.specs.ranks import on_ranks

WORLDS = (2, 3)
EXACT = {"rtol": 1e-9, "atol": 1e-11}


def numbers(*shape, seed=0):
    """Drawn, and some of them 0."""
    found = torch.randn(
        shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    found.view(-1)[1 + seed % 4 :: 9] = 0
    return found


# SENDS[W][r][s] rows go from rank r to rank s. No table is symmetric, so both lists
# differ on every rank.
SENDS = {2: ((2, 5), (0, 3)), 3: ((1, 0, 4), (3, 2, 0), (0, 5, 2))}
ARRIVING = {w: tuple(zip(*SENDS[w], strict=True)) for w in WORLDS}
FEATURES = {2: (4,), 3: (4, 2)}  # of a row
ROWS = {
    w: tuple(numbers(sum(n), *FEATURES[w], seed=r) for r, n in enumerate(SENDS[w]))
    for w in WORLDS
}
UPSTREAM = {
    w: tuple(
        numbers(sum(n), *FEATURES[w], seed=9 + r) for r, n in enumerate(ARRIVING[w])
    )
    for w in WORLDS
}


def delivered(rows, sends):
    """By rank, what reaches it: for each source in order, its rows for this rank."""
    parts = [part.split(list(send)) for part, send in zip(rows, sends, strict=True)]
    return [
        torch.cat([of_source[rank] for of_source in parts])
        for rank in range(len(sends))
    ]


def exchanged(kata, sends, rows, upstream, turned):
    """What this rank receives, and the gradient of what it sent. Turned: rows are the
    last dimension in memory.
    """
    rank = dist.get_rank()
    send, receive = list(sends[rank]), [one[rank] for one in sends]
    own, up = rows[rank].clone(), upstream[rank]
    x = (
        own.transpose(0, -1).contiguous().transpose(0, -1) if turned else own
    ).requires_grad_()
    out = kata.exchange_rows(x, send, receive)
    grad = None
    if out.requires_grad and out.shape == up.shape:
        both = (
            (out.transpose(0, -1), up.transpose(0, -1).contiguous())
            if turned
            else (out, up)
        )
        (grad,) = torch.autograd.grad((both[0] * both[1]).sum(), x)
    return out.detach(), grad


def exchanged_at_the_edge(kata, sends, rows):
    """What this rank receives of numbers of any shape and dtype, for each table."""
    rank, found = dist.get_rank(), []
    for table, own in zip(sends, rows, strict=True):
        found.append(
            kata.exchange_rows(
                own[rank].clone(), list(table[rank]), [one[rank] for one in table]
            )
        )
    return found


EDGES = (((0, 0, 0), (0, 0, 3), (0, 0, 0)), SENDS[3], SENDS[3])
EDGE_ROWS = (
    tuple(numbers(sum(send), 2, 5, seed=r) for r, send in enumerate(EDGES[0])),
    tuple(torch.arange(sum(send)) + 10 * r for r, send in enumerate(SENDS[3])),
    tuple(numbers(sum(send), seed=r).float() for r, send in enumerate(SENDS[3])),
)


class TestExchangeRows:
    def test_rows_arrive_by_source(self, kata):
        """The rows from rank 0 come first, then those from rank 1. `send` cuts what
        leaves, `receive` what arrives. They are a row and a column of one table. A row
        is a vector on two ranks, and a matrix on three. Where numbers of rows or their
        shapes do not fit together, gloo ends the process.
        """
        for world in WORLDS:
            expected = delivered(ROWS[world], SENDS[world])
            for rank, (got, _) in enumerate(
                on_ranks(
                    world,
                    kata,
                    exchanged,
                    SENDS[world],
                    ROWS[world],
                    UPSTREAM[world],
                    False,
                )
            ):
                sources = expected[rank].split([send[rank] for send in SENDS[world]])
                wrong = {"the rows of the last rank first": torch.cat(sources[::-1])}
                check.close(
                    got,
                    expected[rank],
                    **EXACT,
                    unlike=wrong,
                    what=f"rows on rank {rank} of {world}",
                )

    def test_gradients_travel_back(self, kata):
        """A collective writes numbers, and autograd does not see where they came from.
        Backward, every row's gradient takes the way back: both lists change places.
        """
        for world in WORLDS:
            back = delivered(UPSTREAM[world], ARRIVING[world])
            for rank, (_, got) in enumerate(
                on_ranks(
                    world,
                    kata,
                    exchanged,
                    SENDS[world],
                    ROWS[world],
                    UPSTREAM[world],
                    False,
                )
            ):
                what = f"gradient of x on rank {rank} of {world}"
                said = (
                    f"{what} is None: autograd does not see where a collective's "
                    "numbers came from"
                )
                check.that(got is not None, said)
                pieces = back[rank].split(list(SENDS[world][rank]))
                wrong = {
                    "W times as large": world * back[rank],
                    "the gradient from the last rank first": torch.cat(pieces[::-1]),
                }
                check.close(got, back[rank], **EXACT, unlike=wrong, what=what)

    def test_rows_that_are_stored_column_by_column(self, kata):
        """Collectives send memory as it lies there. What is non-contiguous has to be
        made contiguous first, forward and backward.
        """
        expected, back = (
            delivered(ROWS[3], SENDS[3]),
            delivered(UPSTREAM[3], ARRIVING[3]),
        )
        for rank, (got, grad) in enumerate(
            on_ranks(3, kata, exchanged, SENDS[3], ROWS[3], UPSTREAM[3], True)
        ):
            check.close(got, expected[rank], **EXACT, what=f"rows on rank {rank} of 3")
            check.that(grad is not None, f"x on rank {rank} of 3 has no gradient")
            check.close(
                grad, back[rank], **EXACT, what=f"gradient of x on rank {rank} of 3"
            )

    @pytest.mark.edge
    def test_nothing_to_send_or_to_receive(self, kata):
        """Rank 0 has no row and gets none, rank 1 only sends, and rank 2 only receives.
        Each takes part in the call all the same: a rank that skips it meets the others'
        next one too early.
        """
        expected = delivered(EDGE_ROWS[0], EDGES[0])
        for rank, got in enumerate(
            on_ranks(3, kata, exchanged_at_the_edge, EDGES, EDGE_ROWS)
        ):
            check.close(
                got[0], expected[rank], **EXACT, what=f"rows on rank {rank} of 3"
            )

    @pytest.mark.edge
    def test_longs_and_their_dtype(self, kata):
        """Numbers of experts are longs, and have no gradient. float32 stays float32."""
        for rank, got in enumerate(
            on_ranks(3, kata, exchanged_at_the_edge, EDGES, EDGE_ROWS)
        ):
            for place in (1, 2):
                expected = delivered(EDGE_ROWS[place], EDGES[place])[rank]
                check.equal(got[place], expected, what=f"rows on rank {rank} of 3")


HERE, C = 4, 7  # experts per rank, features
TOKENS = {2: (5, 11), 3: (5, 11, 9)}  # by world, N_r
K = {2: 3, 3: 2}


def chosen(world):
    """By rank, k different experts of each token. Nobody chooses expert 2."""
    draw = torch.Generator().manual_seed(world)
    others = torch.tensor([e for e in range(HERE * world) if e != 2])
    order = [
        torch.stack([torch.randperm(len(others), generator=draw) for _ in range(n)])
        for n in TOKENS[world]
    ]
    return tuple(others[rows[:, : K[world]]] for rows in order)


CHOSEN = {w: chosen(w) for w in WORLDS}
INPUTS = {
    w: tuple(numbers(n, C, seed=20 + r) for r, n in enumerate(TOKENS[w]))
    for w in WORLDS
}
WEIGHTS = {
    w: tuple(numbers(n, K[w], seed=30 + r) for r, n in enumerate(TOKENS[w]))
    for w in WORLDS
}
FROM_ABOVE = {
    w: tuple(numbers(n, C, seed=40 + r) for r, n in enumerate(TOKENS[w]))
    for w in WORLDS
}
MATRICES = {w: numbers(HERE * w, C, C, seed=50) for w in WORLDS}
BIASES = {w: numbers(HERE * w, C, seed=51) for w in WORLDS}
ON_RANK_0 = tuple(experts % HERE for experts in CHOSEN[3])


def mixed(kata, inputs, weights, chosen, matrices, biases, upstream):
    """This rank's outputs, the rows of each call of an expert, and the gradients of x,
    weights and the experts.
    """
    rank, here, calls = dist.get_rank(), len(matrices) // dist.get_world_size(), []
    local = nn.ModuleList()
    for e in range(rank * here, (rank + 1) * here):
        layer = nn.Linear(*matrices[e].shape, dtype=torch.float64)
        layer.load_state_dict({"weight": matrices[e], "bias": biases[e]})
        expert = nn.Sequential(layer, nn.Tanh())
        expert.register_forward_hook(
            lambda _, given, out, e=e: calls.append((e, given[0].detach().clone()))
        )
        local.append(expert)
    x, w = inputs[rank].clone().requires_grad_(), weights[rank].clone().requires_grad_()
    out = kata.parallel_experts(x, w, chosen[rank], local, len(matrices))
    leaves, grads = [x, w, *local.parameters()], None
    if out.requires_grad and out.shape == upstream[rank].shape:
        grads = torch.autograd.grad(
            (out * upstream[rank]).sum(), leaves, allow_unused=True
        )
        grads = [torch.zeros_like(p) if g is None else g for p, g in zip(leaves, grads)]
    return out.detach(), [call for call in calls if len(call[1])], grads


def dense(inputs, weights, taken, matrices, biases):
    """By rank, the outputs of one process that has all experts: choice by choice, in a
    loop. `taken[r][t][c]` is (source, token, expert): what comes back for the choice.
    """
    found = []
    for r, rows in enumerate(taken):
        tokens = []
        for t, choices in enumerate(rows):
            parts = [
                torch.tanh(matrices[e] @ inputs[s][i] + biases[e])
                for s, i, e in choices
            ]
            tokens.append(
                sum(w * part for w, part in zip(weights[r][t], parts, strict=True))
            )
        found.append(torch.stack(tokens))
    return found


def right(experts):
    """Each choice is computed for its own token by its own expert."""
    return [
        [[(r, t, e) for e in row] for t, row in enumerate(rows.tolist())]
        for r, rows in enumerate(experts)
    ]


def in_turn(experts, world):
    """Expert e sought on rank e mod W."""
    return [
        [[(s, t, e % world * HERE + e // world) for s, t, e in row] for row in rows]
        for rows in right(experts)
    ]


def arrivals(experts, world):
    """By destination: (source, token, place, expert), by source, then by expert."""
    flat = [
        (e, r, t, c)
        for r, rows in enumerate(experts)
        for t, row in enumerate(rows.tolist())
        for c, e in enumerate(row)
    ]
    ordered = sorted(
        flat, key=lambda one: (one[0] // HERE, one[1], one[0], one[2], one[3])
    )
    return [
        [(r, t, c, e) for e, r, t, c in ordered if e // HERE == rank]
        for rank in range(world)
    ]


def unsorted(experts, world):
    """Arrived rows cut by the experts' counts as they lie: expert by expert, though
    they lie rank by rank.
    """
    found = right(experts)
    for rows in arrivals(experts, world):
        for (r, t, c, _), e in zip(rows, sorted(row[3] for row in rows), strict=True):
            found[r][t][c] = (r, t, e)
    return found


def not_put_back(experts, world):
    """Results sent back in the order of the experts, not in that of arrival."""
    found = right(experts)
    for rows in arrivals(experts, world):
        for (r, t, c, _), (s, i, _, e) in zip(
            rows, sorted(rows, key=lambda row: row[3]), strict=True
        ):
            found[r][t][c] = (s, i, e)
    return found


def dense_gradients(world, experts):
    """By rank, outputs and gradients of x and of weights; of all experts, those of
    matrices and biases.
    """
    x, w = (
        [t.clone().requires_grad_() for t in ts]
        for ts in (INPUTS[world], WEIGHTS[world])
    )
    m, b = (
        MATRICES[world].clone().requires_grad_(),
        BIASES[world].clone().requires_grad_(),
    )
    outs = dense(x, w, right(experts), m, b)
    sum(
        (out * up).sum() for out, up in zip(outs, FROM_ABOVE[world], strict=True)
    ).backward()
    return (
        [out.detach() for out in outs],
        [t.grad for t in x],
        [t.grad for t in w],
        m.grad,
        b.grad,
    )


def on_experts(world, kata, experts):
    """What each rank makes of the tokens with these choices."""
    return on_ranks(
        world,
        kata,
        mixed,
        INPUTS[world],
        WEIGHTS[world],
        experts,
        MATRICES[world],
        BIASES[world],
        FROM_ABOVE[world],
    )


class TestParallelExperts:
    def test_outputs_are_those_of_one_process(self, kata):
        """Each choice comes back to its token from the expert that it chose, wherever
        that lives. Rows arrive by rank, and are computed by expert: the results go back
        in the order in which the rows came.
        """
        for world in WORLDS:
            args = INPUTS[world], WEIGHTS[world]
            outs = dense(*args, right(CHOSEN[world]), MATRICES[world], BIASES[world])
            slips = {
                "experts dealt out in turn: expert e sought on rank e mod W": in_turn(
                    CHOSEN[world], world
                ),
                "rows by rank taken for rows by expert": unsorted(CHOSEN[world], world),
                "results not put back in the order of arrival": not_put_back(
                    CHOSEN[world], world
                ),
            }
            named = {
                name: dense(*args, taken, MATRICES[world], BIASES[world])
                for name, taken in slips.items()
            }
            ones = [torch.ones_like(w) for w in WEIGHTS[world]]
            named["without the weights"] = dense(
                args[0], ones, right(CHOSEN[world]), MATRICES[world], BIASES[world]
            )
            for rank, (got, _, _) in enumerate(on_experts(world, kata, CHOSEN[world])):
                own = [
                    w * (e // HERE == rank)
                    for w, e in zip(WEIGHTS[world], CHOSEN[world], strict=True)
                ]
                alone = dense(
                    args[0], own, right(CHOSEN[world]), MATRICES[world], BIASES[world]
                )
                wrong = {name: found[rank] for name, found in named.items()}
                wrong["what this rank's own experts add, alone"] = alone[rank]
                check.close(
                    got,
                    outs[rank],
                    **EXACT,
                    unlike=wrong,
                    what=f"output on rank {rank} of {world}",
                )

    def test_each_expert_computes_its_own_rows_once(self, kata):
        """An expert's rows from all ranks make one product. Rows of other experts, or
        rows of zeros that fill up, would be work for nothing.
        """
        for world in WORLDS:
            tokens, experts = torch.cat(INPUTS[world]), torch.cat(CHOSEN[world])
            for rank, (_, calls, _) in enumerate(
                on_experts(world, kata, CHOSEN[world])
            ):
                for e in range(rank * HERE, (rank + 1) * HERE):
                    rows = [given for called, given in calls if called == e]
                    said = (
                        f"expert {e} on rank {rank} of {world} is called {len(rows)} "
                        "times with rows, not once at most"
                    )
                    check.that(len(rows) <= 1, said)
                    wanted = tokens[(experts == e).any(1)]
                    what = f"rows of expert {e} on rank {rank} of {world}, sorted"
                    got = rows[0] if rows else tokens[:0]
                    check.close(
                        got[got.sum(1).argsort()],
                        wanted[wanted.sum(1).argsort()],
                        **EXACT,
                        what=what,
                    )

    def test_gradients_reach_all_ranks(self, kata):
        """Those of x and of weights come home to their rank. An expert's gradient is
        the sum over its rows from all ranks, and no further sum is needed.
        """
        for world in WORLDS:
            _, *by_rank, matrices, biases = dense_gradients(world, CHOSEN[world])
            for rank, (_, _, grads) in enumerate(
                on_experts(world, kata, CHOSEN[world])
            ):
                where = f"on rank {rank} of {world}"
                check.that(
                    grads is not None,
                    f"the output {where} has no gradient: rows went without autograd",
                )
                for name, got, expected in zip(
                    ("x", "weights"),
                    grads,
                    (one[rank] for one in by_rank),
                    strict=False,
                ):
                    check.close(
                        got,
                        expected,
                        **EXACT,
                        unlike={"zero: no gradient came back": 0 * expected},
                        what=f"gradient of {name} {where}",
                    )
                for place, e in enumerate(range(rank * HERE, (rank + 1) * HERE)):
                    both = grads[2 + 2 * place : 4 + 2 * place]
                    check.close(
                        both,
                        [matrices[e], biases[e]],
                        **EXACT,
                        what=f"gradients of expert {e} {where}, at ",
                    )

    @pytest.mark.edge
    def test_a_rank_whose_experts_nobody_chose(self, kata):
        """All tokens go to rank 0. The other ranks still take part in what travels,
        forward and backward.
        """
        outs, xs, ws, matrices, _ = dense_gradients(3, ON_RANK_0)
        for rank, (got, _, grads) in enumerate(on_experts(3, kata, ON_RANK_0)):
            check.close(got, outs[rank], **EXACT, what=f"output on rank {rank} of 3")
            check.that(
                grads is not None, f"the output on rank {rank} of 3 has no gradient"
            )
            check.close(
                list(grads[:2]),
                [xs[rank], ws[rank]],
                **EXACT,
                what=f"gradients of x and weights on rank {rank} of 3, at ",
            )
            check.close(
                list(grads[2::2]),
                list(matrices[HERE * rank : HERE * (rank + 1)]),
                **EXACT,
                what=f"gradients of experts on rank {rank} of 3, at ",
            )


# E = 6; nobody chooses the last expert on rank 1. Together they are chosen 6, 1, 3, 8,
# 4 and 2 times, 4 on average.
# On three ranks they are chosen 8, 4, 6, 10, 5 and 6 times: 6 is below the average
# of 6.5.
CHOICES = (
    torch.tensor([[5, 3, 4], [0, 3, 5], [3, 4, 2]]),
    torch.tensor([[3, 0, 4], [0, 3, 2], [3, 0, 1], [4, 3, 0], [3, 0, 2]]),
)
THREE = (
    *CHOICES,
    torch.tensor([[5, 1, 3], [2, 5, 0], [2, 4, 5], [5, 1, 2], [0, 3, 1]]),
)
BIAS = numbers(6, seed=60)


def balanced(kata, bias, choices, rate):
    """The new bias, and the old one afterwards."""
    own = bias.clone()
    return kata.balance_bias(own, choices[dist.get_rank()], rate), own


@pytest.mark.stretch
class TestBalanceBias:
    def test_crowded_down_and_idle_up(self, kata):
        """The counts of all ranks decide, so that every rank has the same bias
        afterwards. How far a count is from the mean does not matter, and one that is
        the mean changes nothing.
        """
        for choices in (CHOICES, THREE):
            world, rate = len(choices), 0.25
            everyones = [e for rows in choices for e in rows.flatten().tolist()]
            apart = torch.tensor(
                [len(everyones) / 6 - everyones.count(e) for e in range(6)],
                dtype=torch.float64,
            )
            expected = BIAS + rate * torch.tensor(
                [(d > 0) - (d < 0) for d in apart.tolist()]
            )
            for rank, (got, _) in enumerate(
                on_ranks(world, kata, balanced, BIAS, choices, rate)
            ):
                own = choices[rank].flatten().tolist()
                local = torch.tensor(
                    [len(own) / 6 - own.count(e) for e in range(6)], dtype=torch.float64
                )
                wrong = {
                    "the counts of this rank alone": BIAS + rate * local.sign(),
                    "the wrong way round: crowded experts up": 2 * BIAS - expected,
                    "the difference itself, not its sign": BIAS + rate * apart,
                    "the difference on this rank, not its sign": BIAS + rate * local,
                    "up where a count is the mean": expected + rate * (apart == 0),
                    "down where a count is the mean": expected - rate * (apart == 0),
                    "the change alone, without the bias": expected - BIAS,
                }
                check.close(
                    got,
                    expected,
                    **EXACT,
                    unlike=wrong,
                    what=f"bias on rank {rank} of {world}",
                )

    @pytest.mark.edge
    def test_a_new_bias_of_the_same_dtype(self, kata):
        """Whoever keeps the old bias for comparison finds it as it was. bfloat16 stays
        bfloat16. Counts cannot be bfloat16, which rounds 257 to 256.
        """
        for bias, choices in ((BIAS, CHOICES), (HALF, MANY)):
            for rank, (got, own) in enumerate(
                on_ranks(2, kata, balanced, bias, choices, 0.25)
            ):
                check.equal(own, bias, what=f"the bias of rank {rank} afterwards")
                check.dtype(got, bias.dtype, what=f"the bias on rank {rank}")
        change = torch.tensor([1, 0, -1, 0, 0, 0])
        check.close(
            got, HALF + 0.25 * change, rtol=1e-2, atol=1e-2, what="the bias in bfloat16"
        )


HALF = BIAS.bfloat16()
# Experts chosen 256, 257, 258, 257, 257 and 257 times, each by other tokens.
MANY = (
    torch.arange(6)
    .repeat_interleave(torch.tensor([256, 257, 258, 257, 257, 257]))
    .view(3, -1)
    .T.chunk(2)
)


def chunks_of(T, pieces):
    """The tokens 0 to T − 1 as lists of neighbours."""
    return [list(range(i * T // pieces, (i + 1) * T // pieces)) for i in range(pieces)]


@st.composite
def sequences(draw):
    """T, a multiple of 2W, and W."""
    world = draw(st.integers(1, 5))
    return 2 * world * draw(st.integers(1, 6)), world


class TestPositions:
    def test_neighbours_and_stripes(self, kata):
        """Contiguous is the order in which a text is cut. Striped deals tokens
        like cards.
        """
        for world in (2, 3, 4):
            for rank in range(world):
                what = f"positions of rank {rank} of {world}"
                expected = torch.tensor(
                    [t for t in range(24) if t * world // 24 == rank]
                )
                check.equal(
                    kata.positions(24, rank, world, "contiguous"),
                    expected,
                    what=f"contiguous {what}",
                )
                expected = torch.tensor([t for t in range(24) if t % world == rank])
                check.equal(
                    kata.positions(24, rank, world, "striped"),
                    expected,
                    what=f"striped {what}",
                )

    def test_zigzag_takes_from_both_ends(self, kata):
        """A late chunk sees many keys, an early one few. The r-th from the front and
        the r-th from the back together see as many for every r.
        """
        for world in (2, 3, 4):
            chunks = chunks_of(24, 2 * world)
            for rank in range(world):
                wrong = {
                    "the last chunk for every rank": chunks[rank] + chunks[-1],
                    "the chunks 2r and 2r + 1": chunks[2 * rank] + chunks[2 * rank + 1],
                    "the chunks r and W + r": chunks[rank] + chunks[world + rank],
                    "the later chunk first": chunks[2 * world - 1 - rank]
                    + chunks[rank],
                }
                right_one = chunks[rank] + chunks[2 * world - 1 - rank]
                wrong = {
                    name: torch.tensor(found)
                    for name, found in wrong.items()
                    if found != right_one
                }
                what = f"zigzag positions of rank {rank} of {world}"
                check.equal(
                    kata.positions(24, rank, world),
                    torch.tensor(right_one),
                    unlike=wrong,
                    what=what,
                )

    @given(case=sequences())
    def test_every_token_once_and_equal_work(self, kata, case):
        """No token is lost or held twice, whatever the layout. A token at t sees t + 1
        keys; in zigzag the sum is the same for all ranks.
        """
        T, world = case
        for layout in ("contiguous", "striped", "zigzag"):
            held = [
                kata.positions(T, rank, world, layout).tolist() for rank in range(world)
            ]
            wrong = f"{layout}, T = {T}, W = {world}: the ranks hold {held}"
            check.that(sorted(itertools.chain(*held)) == list(range(T)), wrong)
            check.that(
                all(len(own) == T // world and own == sorted(own) for own in held),
                wrong,
            )
        seen = [sum(t + 1 for t in own) for own in held]
        check.that(
            len(set(seen)) == 1,
            f"zigzag, T = {T}, W = {world}: the ranks see {seen} keys",
        )

    @pytest.mark.edge
    def test_what_cannot_be_cut_is_an_error(self, kata):
        """20 tokens are no 6 equal chunks, nor are 15, though 3 ranks could share them.
        The message says both numbers, or the layout that there is not.
        """
        for T in (20, 15):
            with check.raises(ValueError, T, 6):
                kata.positions(T, 0, 3)
        with check.raises(ValueError, "diagonal"):
            kata.positions(24, 0, 3, "diagonal")


def attention(q, k, v, seen):
    """Softmax over the seen keys, query by query, in a loop: out and lse. Without a
    key: 0 and −∞.
    """
    outs, lses = (
        torch.zeros(*q.shape[:-1], v.size(-1), dtype=q.dtype),
        torch.full(q.shape[:-1], -torch.inf, dtype=q.dtype),
    )
    for i in range(q.size(-2)):
        keys = seen[i].nonzero().flatten()
        if len(keys):
            scores = (
                torch.einsum("bhd,bhkd->bhk", q[:, :, i], k[:, :, keys])
                / q.size(-1) ** 0.5
            )
            outs[:, :, i] = torch.einsum(
                "bhk,bhkd->bhd", scores.softmax(-1), v[:, :, keys]
            )
            lses[:, :, i] = scores.logsumexp(-1)
    return outs, lses


def some_keys(*counts):
    """Attention of 2 × 3 heads and 5 queries over these many keys, part by part, and
    over all of them.
    """
    q, k, v = (
        numbers(2, 3, 5, 4),
        numbers(2, 3, sum(counts), 4, seed=1),
        numbers(2, 3, sum(counts), 4, seed=2),
    )
    every = torch.ones(5, sum(counts), dtype=torch.bool)
    ks, vs = k.split(counts, 2), v.split(counts, 2)
    parts = [
        attention(q, k, v, every[:, : k.size(2)]) for k, v in zip(ks, vs, strict=True)
    ]
    return parts, attention(q, k, v, every)


def joined(kata, one, other):
    """Both parts merged, from copies of them."""
    return kata.merge(*(t.clone() for t in (*one, *other)))


class TestMerge:
    def test_shares_of_1_and_3(self, kata):
        """Sums of exp(score) of 1 and 3: a quarter of the first out, three quarters of
        the second. The sum of both is 4.
        """
        one, three = (
            torch.tensor([total], dtype=torch.float64).log() for total in (1.0, 3.0)
        )
        outs = [
            torch.tensor([row], dtype=torch.float64) for row in ([2.0, 0.0], [0.0, 4.0])
        ]
        out, lse = kata.merge(outs[0], one, outs[1], three.clone())
        expected = torch.tensor([[0.5, 3.0]], dtype=torch.float64)
        wrong = {
            "the mean of both": torch.tensor([[1.0, 2.0]], dtype=torch.float64),
            "the sum of both": torch.tensor([[2.0, 4.0]], dtype=torch.float64),
            "not divided by the sum": 4 * expected,
            "shares exchanged": torch.tensor([[1.5, 1.0]], dtype=torch.float64),
        }
        check.close(out, expected, **EXACT, unlike=wrong, what="out")
        four = torch.tensor([4.0], dtype=torch.float64)
        check.close(
            lse,
            four.log(),
            **EXACT,
            unlike={"the larger of both": three, "without the logarithm": four},
            what="lse",
        )

    def test_three_parts_in_any_grouping(self, kata):
        """7, 1 and 4 keys. Whoever comes first, all keys together make one softmax."""
        (a, b, c), (out, lse) = some_keys(7, 1, 4)
        orders = {
            "(a, b), c": joined(kata, joined(kata, a, b), c),
            "a, (b, c)": joined(kata, a, joined(kata, b, c)),
            "c, (a, b)": joined(kata, c, joined(kata, a, b)),
        }
        for name, (got, got_lse) in orders.items():
            check.close(got, out, **EXACT, what=f"out of {name}")
            check.close(got_lse, lse, **EXACT, what=f"lse of {name}")

    def test_a_small_share_of_something_large(self, kata):
        """A sum of exp(score) that is a millionth of the other one counts for a
        millionth, and its out may be large.
        """
        outs = (
            torch.full((1, 2), 1e7, dtype=torch.float64),
            torch.ones(1, 2, dtype=torch.float64),
        )
        totals = torch.tensor([1.0, 1e6], dtype=torch.float64)[:, None].log()
        expected = (1e7 + 1e6 * outs[1]) / (1 + 1e6)
        check.close(
            kata.merge(outs[1], totals[1], outs[0], totals[0])[0], expected, **EXACT
        )

    def test_rows_without_keys(self, kata):
        """In a ring a query often sees no key of a visitor: (0, −∞). With something,
        that changes nothing. Twice, it is (0, −∞) again: −∞ − (−∞) is NaN, which would
        stay to the end.
        """
        (part,), _ = some_keys(7)
        nothing = torch.zeros_like(part[0]), torch.full_like(part[1], -torch.inf)
        for name, got, expected in (
            ("a part and nothing", joined(kata, part, nothing), part),
            ("nothing and a part", joined(kata, nothing, part), part),
            ("nothing twice", joined(kata, nothing, nothing), nothing),
        ):
            for kind, mine, wanted in zip(("out", "lse"), got, expected, strict=True):
                check.that(
                    not bool(mine.isnan().any()),
                    f"{kind} of {name} has NaN: −∞ − (−∞) is no number",
                )
                check.close(
                    mine, wanted, **EXACT, what=f"{kind} of {name}", finite=False
                )

    def test_scores_of_800(self, kata):
        """exp(800) is inf, and exp(−800) is 0, whose logarithm is −∞. Take the larger
        one out first.
        """
        for shift in (800.0, -800.0):
            (a, b), (out, lse) = some_keys(7, 4)
            got, got_lse = kata.merge(a[0], a[1] + shift, b[0], b[1] + shift)
            lost = int((~got_lse.isfinite()).sum())
            said = f"{lost} numbers of lse are not finite with scores of {shift:.0f}"
            check.that(
                not lost,
                said,
                like="exponentials of whole scores: torch.logaddexp has none",
            )
            check.finite(got, what=f"out with scores of {shift:.0f}")
            check.close(got, out, **EXACT, what=f"out with scores of {shift:.0f}")
            check.close(
                got_lse, lse + shift, **EXACT, what=f"lse with scores of {shift:.0f}"
            )

    @pytest.mark.edge
    def test_nothing_given_is_written_to(self, kata):
        """The parts may be used again."""
        (a, b), _ = some_keys(7, 4)
        with check.unchanged(out=a[0], lse=a[1], part=b[0], part_lse=b[1]):
            kata.merge(*a, *b)


EACH, D = 8, 5  # tokens per rank: contiguous, zigzag and striped for 2 and for 3 ranks
Q, KEYS, V = (
    tuple(numbers(2, 4, EACH * w, D, seed=70 + i) for w in WORLDS) for i in range(3)
)
DOUT = tuple(numbers(2, 4, EACH * w, D, seed=73) for w in WORLDS)
for queries in Q:
    queries[0, :, 0] = 0  # which sees one key: lse is 0, and out its value


def layouts(world):
    """The positions of all ranks: two chunks from both ends, every W-th token, the last
    one first, and one piece.
    """
    chunks = chunks_of(EACH * world, 2 * world)
    zigzag = [chunks[r] + chunks[-1 - r] for r in range(world)]
    striped = [list(range(r, EACH * world, world))[::-1] for r in range(world)]
    found = {
        "zigzag": zigzag,
        "striped backwards": striped,
        "contiguous": chunks_of(EACH * world, world),
    }
    return {
        name: tuple(map(torch.tensor, positions)) for name, positions in found.items()
    }


LAYOUTS = {w: layouts(w) for w in WORLDS}


def causal(queries, keys):
    return torch.tensor([[j <= i for j in keys.tolist()] for i in queries.tolist()])


def ringed(kata, q, k, v, own, turned):
    """This rank's out and lse, its tensors afterwards, how many numbers it passed on,
    and the most keys at once.

    Turned: its tensors are views of (B, T, H, D).
    """
    mine, passed, looked_at, pass_on, attend_part = (
        own[dist.get_rank()],
        [],
        [],
        kata.pass_on,
        kata.attend_part,
    )
    parts = [t[:, :, mine].clone() for t in (q, k, v)]
    parts = [
        t.transpose(1, 2).contiguous().transpose(1, 2) if turned else t for t in parts
    ]

    def passing(x):
        passed.append(x.numel() * x.is_floating_point())
        return pass_on(x)

    def attending(q, k, v, seen):
        looked_at.append(k.size(2))
        return attend_part(q, k, v, seen)

    kata.pass_on, kata.attend_part = passing, attending
    out, lse = kata.ring_attention(*parts, own)
    kata.pass_on, kata.attend_part = pass_on, attend_part
    return out, lse, parts, sum(passed), max(looked_at, default=0)


def of_world(world):
    """Queries, keys, values and the gradient from above of a whole sequence."""
    return tuple(tensors[WORLDS.index(world)] for tensors in (Q, KEYS, V, DOUT))


class TestRingAttention:
    @pytest.mark.parametrize("layout", ["zigzag", "striped backwards", "contiguous"])
    def test_equals_one_process(self, kata, layout):
        """Every query meets every key once, and sees those that are not later. Whose
        keys are visiting tells their positions, which may be in any order; a query that
        sees none of them keeps what it has.
        """
        for world in WORLDS:
            q, k, v, _ = of_world(world)
            own = LAYOUTS[world][layout]
            out, lse = attention(
                q, k, v, causal(torch.arange(EACH * world), torch.arange(EACH * world))
            )
            for rank, (got, got_lse, *_) in enumerate(
                on_ranks(world, kata, ringed, q, k, v, own, False)
            ):
                mine, what = own[rank], f"on rank {rank} of {world}, {layout}"
                wrong = {
                    name: attention(q[:, :, mine], k[:, :, at], v[:, :, at], seen)[0]
                    for name, (at, seen) in slips(own, rank).items()
                }
                check.close(
                    got, out[:, :, mine], **EXACT, unlike=wrong, what=f"out {what}"
                )
                check.close(got_lse, lse[:, :, mine], **EXACT, what=f"lse {what}")

    @pytest.mark.edge
    def test_no_hop_too_many(self, kata):
        """Rank r needs the keys of W − 1 other ranks, and holds those of one at a time:
        the context may be longer than its memory. On two ranks k and v travel once, on
        three ranks twice.
        """
        for world in WORLDS:
            q, k, v, _ = of_world(world)
            needed = 2 * (world - 1) * k[:, :, :EACH].numel()
            for rank, found in enumerate(
                on_ranks(world, kata, ringed, q, k, v, LAYOUTS[world]["zigzag"], False)
            ):
                *_, passed, keys = found
                said = (
                    f"rank {rank} of {world} passes {passed} numbers on, {needed} are "
                    "enough for W − 1 hops"
                )
                check.that(passed <= needed, said)
                check.that(
                    keys <= EACH,
                    f"rank {rank} of {world} attends to {keys} keys at once: a rank "
                    f"has {EACH}",
                )

    @pytest.mark.edge
    def test_views_and_what_is_given(self, kata):
        """Heads are split from features, so they are seldom contiguous. Afterwards q, k
        and v are what they were.
        """
        q, k, v, _ = of_world(3)
        own = LAYOUTS[3]["zigzag"]
        out, _ = attention(
            q, k, v, causal(torch.arange(EACH * 3), torch.arange(EACH * 3))
        )
        for rank, (got, _, parts, *_) in enumerate(
            on_ranks(3, kata, ringed, q, k, v, own, True)
        ):
            check.close(
                got, out[:, :, own[rank]], **EXACT, what=f"out on rank {rank} of 3"
            )
            check.equal(
                parts,
                [t[:, :, own[rank]] for t in (q, k, v)],
                what=f"q, k and v of rank {rank} afterwards, at ",
            )


def slips(own, rank):
    """By name: the positions of the keys that a wrong ring looks at, and which of them
    each query sees.
    """
    mine, others = own[rank], [own[(rank - hop) % len(own)] for hop in range(len(own))]
    every = torch.cat(others)
    found = {
        "its own keys alone": (mine, causal(mine, mine)),
        "not causal": (every, torch.ones(EACH, len(every), dtype=torch.bool)),
        "the mask of its own keys in every hop": (
            every,
            torch.cat([causal(mine, mine)] * len(own), 1),
        ),
        "the visitor's positions taken for those of rank + hop": (
            every,
            torch.cat(
                [causal(mine, own[(rank + hop) % len(own)]) for hop in range(len(own))],
                1,
            ),
        ),
        "no keys of later ranks: right for contiguous tokens alone": (
            torch.cat(own[: rank + 1]),
            causal(mine, torch.cat(own[: rank + 1])),
        ),
        "positions sorted, and rows not": (
            every,
            causal(mine.sort().values, torch.cat([p.sort().values for p in others])),
        ),
    }
    right_seen = causal(mine, every)
    same = [
        name
        for name, (at, seen) in found.items()
        if len(at) == len(every) and bool((seen == right_seen).all())
    ]
    return {name: one for name, one in found.items() if name not in same}


def backward_ringed(kata, q, k, v, out, lse, dout, own, turned):
    """The gradients on this rank, and its tensors afterwards. Turned: they are views
    of (B, T, H, D).
    """
    mine = own[dist.get_rank()]
    parts = [t[:, :, mine].clone() for t in (q, k, v, out, lse, dout)]
    parts = [
        t.transpose(1, 2).contiguous().transpose(1, 2) if turned else t for t in parts
    ]
    return *kata.ring_backward(*parts, own), parts


FORWARD = {
    w: attention(
        *of_world(w)[:3], causal(torch.arange(EACH * w), torch.arange(EACH * w))
    )
    for w in WORLDS
}


def by_pairs(q, k, v, dout, own, slip=""):
    """(dq, dk, dv) for each rank of queries and each rank of keys: matrices of one
    process, cut.
    """
    scale, length = D**-0.5, q.size(2)
    seen = causal(torch.arange(length), torch.arange(length))
    scores = torch.einsum("bhid,bhjd->bhij", q, k) * scale
    p = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    delta = (torch.einsum("bhij,bhjd->bhid", p, v) * dout).sum(-1, keepdim=True)
    if slip == "not masked":
        p = (
            scores - scores.masked_fill(~seen, -torch.inf).logsumexp(-1, keepdim=True)
        ).exp()
    ds = p * (
        torch.einsum("bhid,bhjd->bhij", dout, v) - (0 if slip == "no delta" else delta)
    )
    ds = ds * (1 if slip == "no scale" else scale)
    pairs = {}
    for (r, rows), (s, keys) in itertools.product(enumerate(own), repeat=2):
        part, weights = ds[:, :, rows][..., keys], p[:, :, rows][..., keys]
        pairs[r, s] = (
            part @ k[:, :, keys],
            part.mT @ q[:, :, rows],
            weights.mT @ dout[:, :, rows],
        )
    return pairs


def summed(pairs, rank, world):
    """The whole gradients of one rank's queries, keys and values."""
    dq = sum(pairs[rank, s][0] for s in range(world))
    return dq, *(sum(pairs[r, rank][i] for r in range(world)) for i in (1, 2))


@pytest.mark.stretch
class TestRingBackward:
    @pytest.mark.parametrize("layout", ["zigzag", "striped backwards"])
    def test_equals_one_process(self, kata, layout):
        """A key gathers gradients from the queries of all ranks: they travel with it,
        and W hops bring them home. The weights come from the lse of all keys; a softmax
        of the visiting part would be another one.
        """
        for world in WORLDS:
            q, k, v, dout = of_world(world)
            own = LAYOUTS[world][layout]
            pairs = by_pairs(q, k, v, dout, own)
            others = {
                name: by_pairs(q, k, v, dout, own, slip)
                for name, slip in (
                    ("δ is not subtracted", "no delta"),
                    ("keys that are not seen have weights", "not masked"),
                    ("without 1 / √D", "no scale"),
                )
            }
            answers = on_ranks(
                world, kata, backward_ringed, q, k, v, *FORWARD[world], dout, own, False
            )
            for rank, (*got, _) in enumerate(answers):
                expected, before, behind = (
                    summed(pairs, rank, world),
                    (rank - 1) % world,
                    (rank + 1) % world,
                )
                wrong = {name: summed(one, rank, world) for name, one in others.items()}
                wrong |= {
                    "what this rank's own queries add: dk and dv do not travel": (
                        ...,
                        *pairs[rank, rank][1:],
                    ),
                    "of the next rank's keys: one hop is missing": (
                        ...,
                        *summed(pairs, behind, world)[1:],
                    ),
                    "of the keys of the rank before: one hop too many": (
                        ...,
                        *summed(pairs, before, world)[1:],
                    ),
                    "what this rank's queries add to the last visitor's keys": (
                        ...,
                        *pairs[rank, behind][1:],
                    ),
                }
                if world == 2:
                    del wrong["of the keys of the rank before: one hop too many"]
                what = f"(dq, dk, dv) on rank {rank} of {world}, {layout}, at "
                check.close(tuple(got), expected, **EXACT, unlike=wrong, what=what)

    @pytest.mark.edge
    def test_views_and_what_is_given(self, kata):
        """Six tensors are given, and none is written to. They may be views."""
        q, k, v, dout = of_world(2)
        own = LAYOUTS[2]["zigzag"]
        pairs = by_pairs(q, k, v, dout, own)
        for rank, (*got, parts) in enumerate(
            on_ranks(2, kata, backward_ringed, q, k, v, *FORWARD[2], dout, own, True)
        ):
            check.close(
                tuple(got),
                summed(pairs, rank, 2),
                **EXACT,
                what=f"(dq, dk, dv) on rank {rank} of 2, at ",
            )
            given_ones = [t[:, :, own[rank]] for t in (q, k, v, *FORWARD[2], dout)]
            check.equal(
                parts, given_ones, what=f"what rank {rank} was given, afterwards, at "
            )

    @pytest.mark.edge
    def test_large_scores_of_keys_that_are_not_seen(self, kata):
        """The last key points at all queries: a score of 800 or more, and exp of it is
        inf. Only the last query may see it, and inf · 0 is NaN.
        """
        q, k, v, dout = STRONG
        own = LAYOUTS[2]["zigzag"]
        pairs = by_pairs(q, k, v, dout, own)
        answers = on_ranks(
            2, kata, backward_ringed, q, k, v, *STRONG_FORWARD, dout, own, False
        )
        for rank, (*got, _) in enumerate(answers):
            for name, mine, expected in zip(
                ("dq", "dk", "dv"), got, summed(pairs, rank, 2), strict=True
            ):
                check.finite(mine, what=f"{name} on rank {rank} of 2")
                check.close(mine, expected, **EXACT, what=f"{name} on rank {rank} of 2")


def strong():
    """Queries with a common direction, which the last key has alone."""
    q, k, v, dout = (t.clone() for t in of_world(2))
    q[..., 0], k[..., 0] = 10.0, 0.0
    k[:, :, -1, 0] = 200.0
    return q, k, v, dout


STRONG = strong()
STRONG_FORWARD = attention(
    *STRONG[:3], causal(torch.arange(EACH * 2), torch.arange(EACH * 2))
)

LOCAL, OWN = 4, 7  # heads and tokens per rank
HEADS = {
    w: tuple(numbers(2, LOCAL * w, OWN * w, D, seed=80 + i) for i in range(4))
    for w in WORLDS
}


def swapped(kata, q, k, v, upstream):
    """This rank's out, what `attend` was given, and the gradients of q, k and v."""
    given_ones, rank = [], dist.get_rank()
    own = slice(rank * 7, rank * 7 + 7)

    def attend(q, k, v):
        given_ones.append([q.detach().clone(), k.detach().clone(), v.detach().clone()])
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    leaves = [t[:, :, own].clone().requires_grad_() for t in (q, k, v)]
    out, grads = kata.ulysses_attention(*leaves, attend), None
    if out.requires_grad and out.shape == leaves[0].shape:
        grads = torch.autograd.grad((out * upstream[:, :, own]).sum(), leaves)
    return out.detach(), given_ones, grads


def uneven(kata, q):
    """What an error says of three heads on two ranks; "nothing" if there is none."""
    try:
        kata.ulysses_attention(q, q, q, F.scaled_dot_product_attention)
    except NotImplementedError:
        raise
    except Exception as error:
        return str(error)
    return "nothing"


THREE_HEADS = numbers(2, 3, 4, 5)


@pytest.mark.stretch
class TestUlyssesAttention:
    def test_attend_sees_all_tokens_of_some_heads(self, kata):
        """Before: some tokens of all heads. After the exchange: all tokens, in order,
        of H / W heads.
        """
        for world in WORLDS:
            whole = HEADS[world][:3]
            for rank, (_, given_ones, _) in enumerate(
                on_ranks(world, kata, swapped, *HEADS[world])
            ):
                check.that(
                    len(given_ones) == 1,
                    f"attend is called {len(given_ones)} times on rank {rank} of "
                    f"{world}, not once",
                )
                for name, got, tensor in zip("qkv", given_ones[0], whole, strict=True):
                    expected = tensor[:, rank * LOCAL : (rank + 1) * LOCAL]
                    wrong = {
                        "every W-th head, not neighbours": tensor[:, rank::world],
                        "the tokens of the last rank first": torch.cat(
                            expected.chunk(world, 2)[::-1], 2
                        ),
                    }
                    check.close(
                        got,
                        expected,
                        **EXACT,
                        unlike=wrong,
                        what=f"{name} that attend gets on rank {rank} of {world}",
                    )

    def test_equals_one_process(self, kata):
        """The way back: all heads of this rank's tokens, heads of rank 0 first."""
        for world in WORLDS:
            out = F.scaled_dot_product_attention(*HEADS[world][:3], is_causal=True)
            for rank, (got, _, _) in enumerate(
                on_ranks(world, kata, swapped, *HEADS[world])
            ):
                expected = out[:, :, rank * OWN : (rank + 1) * OWN]
                mixed_up = (
                    expected.unflatten(1, (world, LOCAL)).transpose(1, 2).flatten(1, 2)
                )
                own_heads = out[:, rank * LOCAL : (rank + 1) * LOCAL]
                wrong = {
                    "not exchanged back: all tokens, and this rank's heads": own_heads,
                    "the heads of the ranks in turn, not one rank after the other": (
                        mixed_up
                    ),
                }
                check.close(
                    got,
                    expected,
                    **EXACT,
                    unlike=wrong,
                    what=f"out on rank {rank} of {world}",
                )

    def test_gradients_travel_back(self, kata):
        """Both exchanges have a backward pass, so q, k and v of every rank get the
        gradients of one process.
        """
        for world in WORLDS:
            leaves = [t.clone().requires_grad_() for t in HEADS[world][:3]]
            out = F.scaled_dot_product_attention(*leaves, is_causal=True)
            right_ones = torch.autograd.grad((out * HEADS[world][3]).sum(), leaves)
            for rank, (_, _, got) in enumerate(
                on_ranks(world, kata, swapped, *HEADS[world])
            ):
                check.that(
                    got is not None, f"out on rank {rank} of {world} has no gradient"
                )
                expected = [t[:, :, rank * OWN : (rank + 1) * OWN] for t in right_ones]
                check.close(
                    list(got),
                    expected,
                    **EXACT,
                    what=f"gradients of q, k and v on rank {rank} of {world}, at ",
                )

    @pytest.mark.edge
    def test_heads_that_cannot_be_dealt_out(self, kata):
        """Three heads are no two equal shares. The message says both numbers."""
        for rank, said in enumerate(on_ranks(2, kata, uneven, THREE_HEADS)):
            check.that(
                "3" in said and "2" in said,
                f"an error on rank {rank} should name 3 and 2, and it says: {said}",
            )
