"""Specs of 31: who this process is, shares of a batch, equal weights, mean gradients
and losses, when to communicate, one step on two processes, one file for all. Specs that
need two ranks run in two processes, which one call of `launch` starts.
"""

import importlib
import math
import os
import tempfile
import time
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from grader.specs import check, ranks

NEEDS = ("processes", "loopback")
SIZES = {
    "block_size": 7,
    "vocab_size": 11,
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 12,
    "dropout": 0.0,
    "bias": True,
}
LR = 0.2


def on_ranks(world_size, kata, work, *args):
    """As `ranks.on_ranks`. The compiler, which each process would import, is imported
    once, before they are forked.
    """
    importlib.import_module("torch._dynamo")
    return ranks.on_ranks(world_size, kata, work, *args)


def on_two(kata, work, *args):
    """The results of `work(kata, *args)` on rank 0 and on rank 1."""
    return on_ranks(2, kata, work, *args)


def alone(kata, work, *args):
    """The result of `work(kata, *args)` in a process without a group. Gradients are
    computed in a process of their own here, too: with a CUDA device, torch refuses to
    compute any in processes forked after that.
    """
    return on_ranks(1, kata, without_group, work, *args)[0]


def without_group(kata, work, *args):
    dist.destroy_process_group()
    return work(kata, *args)


def on_gpu(kata, work, *args):
    """The result of `work(kata, *args)` in a process that is alone in a group of NCCL.
    The process is forked before it uses CUDA. This one never uses CUDA: after that, no
    spec could fork a process.
    """
    return on_ranks(1, kata, with_nccl, work, *args)[0]


def with_nccl(kata, work, *args):
    dist.destroy_process_group()
    os.environ["NCCL_SOCKET_IFNAME"] = "lo"
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group(
            "nccl", init_method=f"file://{folder}/store", rank=0, world_size=1
        )
        try:
            return work(kata, *args)
        finally:
            dist.destroy_process_group()


def gpt(kata, **options):
    """A small GPT in float64, with weights that are large enough for gradients
    to be.
    """
    model = kata.GPT(kata.GPTConfig(**{**SIZES, **options})).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return model


def batch(rows=8, length=5):
    """x and y (rows, length), with nothing to learn in them: the same on every rank."""
    return torch.randint(SIZES["vocab_size"], (rows, length)), torch.randint(
        SIZES["vocab_size"], (rows, length)
    )


def flat(tensors):
    """All values as one vector, cut off from later changes."""
    return torch.cat([t.detach().flatten().double() for t in tensors]).clone()


def loss_and_gradients(model, x, y):
    """The mean loss over all targets, from the logits alone, and the gradient of each
    parameter by name.
    """
    parameters = {
        name: p.detach().clone().requires_grad_()
        for name, p in model.named_parameters()
    }
    logits = functional_call(model, parameters, (x,))[0]
    loss = -logits.log_softmax(-1).gather(-1, y[..., None]).mean()
    return loss.item(), torch.autograd.grad(loss, list(parameters.values()))


def both_ranks(results, expected, *, unlike=None, what, **tolerance):
    """Check that both ranks returned the same thing, the expected one."""
    for rank, result in enumerate(results):
        check.close(
            result, expected, unlike=unlike, what=f"{what} on rank {rank}", **tolerance
        )


class TestDistInfo:
    def test_rank_zero_is_main(self, kata):
        """Exactly one process prints and writes files: the one with rank 0."""
        found = [kata.DistInfo(rank, rank, 4).is_main for rank in range(4)]
        check.equal(found, [True, False, False, False], what="is_main of ranks 0 to 3")

    def test_local_rank_zero_of_another_machine_is_not_main(self, kata):
        """Every machine has a local rank 0. On two machines of 8 devices, rank 8 is
        one: if it were main, two processes would write the same file.
        """
        got, unlike = (
            kata.DistInfo(rank=8, local_rank=0, world_size=16),
            {"asked of local_rank, not of rank": True},
        )
        check.equal(got.is_main, False, unlike=unlike, what="is_main of rank 8")

    def test_the_defaults_are_one_process_alone(self, kata):
        """DistInfo() is a script started without torchrun: one process, which
        is main.
        """
        check.equal(kata.DistInfo().is_main, True, what="is_main")


class TestDistInfoFromEnv:
    def test_the_three_variables_are_read(self, kata):
        """torchrun sets RANK, LOCAL_RANK and WORLD_SIZE, and environments hold strings:
        "5" becomes 5.
        """
        info = kata.dist_info_from_env(
            {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8"}
        )
        check.that(
            isinstance(info, kata.DistInfo),
            f"wanted a DistInfo, got {check.describe(info)}",
        )
        check.equal(
            [info.rank, info.local_rank, info.world_size],
            [5, 1, 8],
            what="rank, local_rank, world_size",
        )

    def test_without_a_rank_it_is_one_process(self, kata):
        """No RANK: the script was started with python alone. Other variables may be
        left over from something else.
        """
        for env in ({}, {"LOCAL_RANK": "1", "WORLD_SIZE": "8"}):
            found = kata.dist_info_from_env(env)
            check.that(
                found == kata.DistInfo(), f"{env} should give DistInfo(), got {found}"
            )

    def test_none_means_the_real_environment(self, kata, monkeypatch):
        """Without an argument `os.environ` is read, at the time of the call."""
        for name, value in {"RANK": "2", "LOCAL_RANK": "0", "WORLD_SIZE": "3"}.items():
            monkeypatch.setenv(name, value)
        found = kata.dist_info_from_env()
        check.that(
            found == kata.DistInfo(2, 0, 3), f"wanted DistInfo(2, 0, 3), got {found}"
        )
        monkeypatch.delenv("RANK")
        found = kata.dist_info_from_env(None)
        check.that(
            found == kata.DistInfo(), f"without RANK wanted DistInfo(), got {found}"
        )

    @pytest.mark.edge
    def test_an_empty_mapping_is_not_none(self, kata, monkeypatch):
        """{} is an environment without RANK. `env or os.environ` would
        look elsewhere.
        """
        for name, value in {"RANK": "2", "LOCAL_RANK": "0", "WORLD_SIZE": "3"}.items():
            monkeypatch.setenv(name, value)
        found, expected = kata.dist_info_from_env({}), kata.DistInfo()
        check.that(found == expected, f"wanted DistInfo(), got {found}")

    @pytest.mark.edge
    def test_the_rank_is_one_of_the_world(self, kata):
        """Ranks count from 0, so 3 processes have 0, 1 and 2. Rank 3 of 3 would wait
        for a group that is full.
        """
        for rank in ("3", "4", "-1"):
            with check.raises(ValueError):
                kata.dist_info_from_env(
                    {"RANK": rank, "LOCAL_RANK": "0", "WORLD_SIZE": "3"}
                )
        for rank, world_size in ((0, 3), (2, 3), (0, 1)):
            info = kata.dist_info_from_env(
                {"RANK": str(rank), "LOCAL_RANK": "0", "WORLD_SIZE": str(world_size)}
            )
            check.equal(info.rank, rank, what=f"rank {rank} of {world_size}")


@st.composite
def batches_and_ranks(draw):
    """x of one to three dimensions, and a world size that divides its rows."""
    world_size, rows = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    rest = draw(st.lists(st.integers(1, 3), max_size=2))
    sizes = [world_size * rows, *rest]
    return torch.arange(math.prod(sizes)).reshape(sizes), world_size


@pytest.mark.stretch
class TestRankSlice:
    def test_contiguous_pieces(self, kata):
        """Rank r gets the r-th contiguous piece: of 6 rows and 3 ranks, rank 1 has rows
        2 and 3. Every third row would be a fair share as well, but a contiguous piece
        keeps neighbouring rows of a text together.
        """
        x = torch.arange(6 * 4).reshape(6, 4)
        unlike = {
            "every world_size-th row": x[1::3],
            "ranks counted from 1": x[:2],
            "world_size rows": x[3:6],
        }
        unlike["rows from number `rank` on"] = x[1:3]
        check.equal(kata.rank_slice(x, 1, 3), x[2:4], unlike=unlike)

    @given(case=batches_and_ranks())
    def test_the_pieces_tile_the_batch(self, kata, case):
        """Side by side, the pieces of all ranks are the batch again: no row is left
        out, none comes twice.
        """
        x, world_size = case
        pieces = [kata.rank_slice(x, rank, world_size) for rank in range(world_size)]
        check.equal(
            [len(piece) for piece in pieces],
            [len(x) // world_size] * world_size,
            what="rows of each rank",
        )
        check.equal(
            torch.cat(pieces), x, what=f"the pieces of {world_size} ranks, joined"
        )

    @pytest.mark.edge
    def test_shares_are_equal(self, kata):
        """7 rows do not divide evenly between 2 ranks. With unequal shares, the mean of
        the ranks' means is not the mean.
        """
        for rows, world_size in ((7, 2), (2, 4)):
            with check.raises(ValueError):
                kata.rank_slice(torch.randn(rows, 3), 0, world_size)

    @pytest.mark.edge
    def test_the_rank_is_one_of_the_world(self, kata):
        """Rank 2 of 2 does not exist; a slice beyond the end would be empty, and -1
        would count from the back.
        """
        for rank in (2, 5, -1):
            with check.raises(ValueError):
                kata.rank_slice(torch.randn(4, 3), rank, 2)


# those of layer 0 are frozen
WEIGHTS = ("1.weight", "2.weight", "2.bias", "0.weight", "0.bias")


def norm_net():
    """A frozen layer, a trainable one, and buffers of floats and ints, all different
    from rank to rank.
    """
    torch.manual_seed(10 + dist.get_rank() if dist.is_initialized() else 0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    for _ in range(2 + model[0].weight.gt(0).sum().item()):
        model(torch.randn(5, 3))
    return model


def tensors_of(model):
    return {
        name: tensor.detach().clone() for name, tensor in model.state_dict().items()
    }


def broadcast(kata, *src):
    model = norm_net()
    before, flags = tensors_of(model), [p.requires_grad for p in model.parameters()]
    objects = [*model.parameters(), *model.buffers()]
    kata.broadcast_parameters(model, *src)
    now = [*model.parameters(), *model.buffers()]
    same = len(now) == len(objects) and all(
        a is b for a, b in zip(now, objects, strict=True)
    )
    return (
        before,
        tensors_of(model),
        same,
        flags == [p.requires_grad for p in model.parameters()],
    )


class TestBroadcastParameters:
    def test_every_rank_gets_the_weights_of_rank_0(self, kata):
        """Two ranks that drew different start values train two models. Afterwards both
        hold rank 0's, frozen parameters included, and rank 0 itself has not changed.
        """
        (expected, on_0, *_), (other, on_1, *_) = on_two(kata, broadcast)
        for name in WEIGHTS:
            weight = f"frozen {name}" if name.startswith("0") else name
            check.equal(on_0[name], expected[name], what=f"{weight} on rank 0")
            unlike = {
                "its own, as before": other[name],
                "the mean of both": (expected[name] + other[name]) / 2,
            }
            check.equal(
                on_1[name], expected[name], unlike=unlike, what=f"{weight} on rank 1"
            )

    def test_buffers_too(self, kata):
        """A batch norm's running mean is not a parameter, but in eval mode the output
        depends on it. It must not differ from rank to rank. num_batches_tracked is
        an int.
        """
        (expected, *_), (other, on_1, *_) = on_two(kata, broadcast)
        for name in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
            check.equal(
                on_1[name],
                expected[name],
                unlike={"its own, as before": other[name]},
                what=f"{name} on rank 1",
            )

    def test_any_rank_can_be_the_source(self, kata):
        """With src=1 rank 0 takes the values of rank 1."""
        (other, on_0, *_), (expected, on_1, *_) = on_two(kata, broadcast, 1)
        for name in WEIGHTS:
            check.equal(
                on_0[name],
                expected[name],
                unlike={"its own, as before": other[name]},
                what=f"{name} on rank 0",
            )
            check.equal(on_1[name], expected[name], what=f"{name} on rank 1")

    def test_written_in_place(self, kata):
        """The optimizer holds the parameters that the model was built with. If the
        model got new ones, the optimizer would go on updating the old.
        """
        for rank, (_, _, same, flags) in enumerate(on_two(kata, broadcast)):
            check.that(
                same,
                f"on rank {rank} a parameter or buffer of the model is another object "
                "than before",
            )
            check.that(
                flags, f"on rank {rank} requires_grad of a parameter has changed"
            )

    def test_without_a_process_group_nothing_happens(self, kata):
        """One process is its own source: no error, and no value changes."""
        model = norm_net()
        before = tensors_of(model)
        kata.broadcast_parameters(model)
        check.equal(tensors_of(model), before, what="state dict")


def averaged(kata):
    """Gradients of a GPT on rank r's two rows of four, averaged; those of all four; of
    the own two; weights moved?
    """
    model, (x, y) = gpt(kata), batch(rows=4)
    own = slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2)
    expected, alone_ = (
        loss_and_gradients(model, x, y)[1],
        loss_and_gradients(model, x[own], y[own])[1],
    )
    before = flat(model.parameters())
    model(x[own], y[own])[1].backward()
    kata.average_gradients(model)
    moved = not torch.equal(before, flat(model.parameters()))
    return flat(p.grad for p in model.parameters()), flat(expected), flat(alone_), moved


def partly_used(kata):
    """Rank 1 does not use the second layer. Gradients by hand: 3 (rank + 1)."""
    model = nn.ModuleList([nn.Linear(2, 3), nn.Linear(3, 1)])
    for layer in model[: 2 - dist.get_rank()]:
        for p in layer.parameters():
            p.grad = torch.full_like(p, 3.0 * (dist.get_rank() + 1))
    kata.average_gradients(model)
    return [None if p.grad is None else p.grad.clone() for p in model.parameters()]


def frozen_in_front(kata):
    """Of two layers the first is frozen. Gradients of the second by hand:
    3 (rank + 1).
    """
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 3)])
    model[0].requires_grad_(False)
    for p in model[1].parameters():
        p.grad = torch.full_like(p, 3.0 * (dist.get_rank() + 1))
    kata.average_gradients(model)
    return [None if p.grad is None else p.grad.clone() for p in model.parameters()]


def averaged_without_numbers(kata):
    """The devices of the gradients of a layer on the meta device, which had none."""
    model = nn.Linear(2, 3, device="meta")
    with mock.patch.object(dist, "all_reduce"):
        kata.average_gradients(model)
    return [p.grad.device.type for p in model.parameters()]


def averaged_on_gpu(kata):
    """The gradients of a layer on the GPU, of which only the weight had one, and its
    parameters, broadcast.
    """
    model = nn.Linear(2, 3, device="cuda")
    before = flat(p.cpu() for p in model.parameters())
    kata.broadcast_parameters(model)
    model.weight.grad = torch.full_like(model.weight, 3.0)
    kata.average_gradients(model)
    return (
        [p.grad.cpu() for p in model.parameters()],
        before,
        flat(p.cpu() for p in model.parameters()),
    )


class TestAverageGradients:
    def test_the_mean_is_the_gradient_of_the_big_batch(self, kata):
        """Each rank has the gradient of its own two rows; their mean is the gradient of
        all four. So two processes make the same step as one process with all rows. A
        sum steps twice as far.
        """
        results = on_two(kata, averaged)
        for rank, (got, expected, own, moved) in enumerate(results):
            unlike = {
                "the sum over ranks": 2 * expected,
                "this rank's own gradient": own,
                "divided twice": expected / 2,
            }
            check.close(
                got,
                expected,
                atol=1e-9,
                unlike=unlike,
                what=f"gradients on rank {rank}",
            )
            check.that(
                not moved,
                f"the weights on rank {rank} have changed; that is the optimizer's "
                "business",
            )

    def test_without_a_process_group_nothing_happens(self, kata):
        """The mean over one rank is the gradient itself."""
        model = nn.Linear(2, 3)
        for p in model.parameters():
            p.grad = torch.full_like(p, 3.0)
        kata.average_gradients(model)
        check.equal(
            model.weight.grad, torch.full((3, 2), 3.0), what="gradient of the weight"
        )

    @pytest.mark.edge
    def test_a_rank_without_gradient_takes_part(self, kata):
        """Rank 0 has a gradient of 3 for the second layer, rank 1 has none: both have
        1.5 afterwards. If rank 1 skips this layer, rank 0 waits for it, or receives the
        gradient of another layer.
        """
        for rank, grads in enumerate(on_two(kata, partly_used)):
            check.equal(
                grads[0],
                torch.full((3, 2), 4.5),
                what=f"gradient that both had, on rank {rank}",
            )
            for grad, shape in zip(grads[2:], ((1, 3), (1,)), strict=True):
                unlike = {
                    "rank 0's own, or the mean of those that have one": torch.full(
                        shape, 3.0
                    )
                }
                what = f"gradient that rank 0 had, on rank {rank}"
                check.equal(grad, torch.full(shape, 1.5), unlike=unlike, what=what)

    @pytest.mark.edge
    def test_zeros_are_where_the_parameter_is(self, kata):
        """A parameter on a GPU takes a gradient on that GPU only. (The meta device
        takes the place of a GPU, and all_reduce does nothing.)
        """
        [devices] = on_ranks(1, kata, averaged_without_numbers)
        check.equal(devices, ["meta"] * 2, what="devices of the new gradients")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_on_a_gpu(self, kata):
        """NCCL sends gradients and parameters from where they are. In a group of one
        process nothing changes but None, which becomes zeros.
        """
        (weight, bias), before, after = on_gpu(kata, averaged_on_gpu)
        check.equal(weight, torch.full((3, 2), 3.0), what="gradient of the weight")
        check.equal(bias, torch.zeros(3), what="gradient of the bias, which had none")
        check.equal(after, before, what="parameters after broadcast_parameters")

    @pytest.mark.edge
    def test_frozen_parameters_are_left_out(self, kata):
        """A frozen parameter needs no gradient. Zeros would cost memory, and an
        optimizer with weight decay would change the parameter.
        """
        for rank, grads in enumerate(on_two(kata, frozen_in_front)):
            found = [check.describe(grad) for grad in grads[:2] if grad is not None]
            check.that(
                not found,
                f"on rank {rank} .grad of a frozen parameter is {', '.join(found)}, "
                "should be None",
            )
            check.equal(
                grads[2],
                torch.full((3, 2), 4.5),
                what=f"gradient of the trainable weight on rank {rank}",
            )


def mean_of_floats(kata):
    return kata.reduce_mean(1.0 + 2 * dist.get_rank())


def mean_of_losses(kata):
    """The loss is 1 on rank 0 and 3 on rank 1, and still has its graph."""
    weight = torch.tensor(1.0 + 2 * dist.get_rank(), requires_grad=True)
    return kata.reduce_mean(weight * 1.0)


def mean_of_ints(kata):
    return kata.reduce_mean(1 + dist.get_rank())


def means_of_tensors(kata):
    """The means, the tensors after the call, and before."""
    rank = dist.get_rank()
    tensors = [
        torch.tensor([0.5 + rank]),
        torch.tensor(1 + rank),
        torch.tensor(0.25 + rank, dtype=torch.float64),
    ]
    before = [t.clone() for t in tensors]
    return [kata.reduce_mean(t) for t in tensors], tensors, before


class Sent(Exception):
    """Raised in place of all_reduce, with the device that it would send from."""


def sent_by_nccl(kata):
    """The device that reduce_mean sends from in a group that says it is one of NCCL.
    None: not by all_reduce.
    """

    def look(tensor, *args, **options):
        raise Sent(tensor.device.type)

    with (
        mock.patch.object(dist, "get_backend", lambda *_: "nccl"),
        mock.patch.object(dist, "all_reduce", look),
    ):
        try:
            kata.reduce_mean(3.0)
        except Sent as sent:
            return sent.args[0]
        except (AssertionError, RuntimeError) as error:
            if "cuda" in str(error).lower() or "NVIDIA" in str(error):
                return "cuda"  # that there is none here is what it says
            raise


def means_on_gpu(kata):
    return [kata.reduce_mean(3.0), kata.reduce_mean(torch.tensor(2.5, device="cuda"))]


MEANS = {
    "the sum": 4.0,
    "rank 0's own": 1.0,
    "rank 1's own": 3.0,
    "its own part alone, divided by 2": 1.5,
}


class TestReduceMean:
    def test_the_mean_on_every_rank(self, kata):
        """Rank 0 has 1.0, rank 1 has 3.0; both get 2.0. With `dist.reduce` only rank 0
        would know.
        """
        both_ranks(
            on_two(kata, mean_of_floats), 2.0, unlike=MEANS, what="mean of 1.0 and 3.0"
        )

    def test_a_loss_that_still_has_its_graph(self, kata):
        """The loss comes straight from the model. The log gets a Python float, not
        a tensor.
        """
        both_ranks(
            on_two(kata, mean_of_losses),
            2.0,
            unlike=MEANS,
            what="mean of the losses 1 and 3",
        )

    def test_without_a_process_group_it_is_the_value(self, kata):
        """One process has nothing to average, and the script need not ask whether there
        is a group.
        """
        check.close(kata.reduce_mean(0.1), 0.1, what="mean of 0.1 alone")
        check.close(
            kata.reduce_mean(torch.tensor(2.5, requires_grad=True)),
            2.5,
            what="mean of a loss of 2.5 alone",
        )

    @pytest.mark.edge
    def test_ints(self, kata):
        """The mean of the ints 1 and 2 is 1.5: in a tensor of ints it would
        become 1.
        """
        both_ranks(
            on_two(kata, mean_of_ints),
            1.5,
            unlike={"truncated to an int": 1},
            what="mean of 1 and 2",
        )
        check.that(
            isinstance(kata.reduce_mean(3), float),
            "without a process group, 3 should become the float 3.0",
        )

    @pytest.mark.edge
    def test_tensors_of_any_dtype(self, kata):
        """A tensor of shape (1,), an int64, a float64: one element each, and the answer
        is a plain float.
        """
        both_ranks(
            [result[0] for result in on_two(kata, means_of_tensors)],
            [1.0, 1.5, 0.75],
            what="means of tensors",
        )

    @pytest.mark.edge
    def test_what_is_given_is_not_written_to(self, kata):
        """`all_reduce` writes its result into the tensor that it is given, so the
        caller's loss would become the sum. `detach()` alone shares its memory.
        """
        both = on_two(kata, means_of_tensors)
        sums = [
            mine + other for mine, other in zip(both[0][2], both[1][2], strict=True)
        ]
        unlike = {"the sum, written into the tensor given": sums}
        for rank, (_, after, before) in enumerate(both):
            check.equal(
                after,
                before,
                unlike=unlike,
                what=f"tensors given on rank {rank}, after the call,",
            )

    @pytest.mark.edge
    def test_nccl_sends_from_the_gpu(self, kata):
        """NCCL refuses tensors on the CPU. Ask `dist.get_backend()`, and make the
        tensor on the GPU for "nccl". (Here a group of gloo says that it is one of NCCL,
        and the GPU may be missing: only the device counts.)
        """
        [device] = on_ranks(1, kata, sent_by_nccl)
        check.that(
            device in ("cuda", None),
            f"with the backend nccl the tensor that is sent is on the {device}",
        )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_in_a_group_of_nccl(self, kata):
        """A float, and a loss that is on the GPU already, in a group of one process."""
        check.close(on_gpu(kata, means_on_gpu), [3.0, 2.5], what="means")


class Recording(nn.Module):
    """A model with a `no_sync` of its own that keeps a record: in each forward and each
    backward pass, whether it runs inside of it.
    """

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.inside, self.entered = False, 0
        self.forwards, self.backwards, self.modes = [], [], []

    @contextmanager
    def no_sync(self):
        self.inside, self.entered = True, self.entered + 1
        yield
        self.inside = False

    def forward(self, x, y):
        self.forwards.append(self.inside)
        self.modes.append(self.training)
        loss = ((x * self.weight).sum(-1) - y).square().mean()
        loss.register_hook(lambda grad: self.backwards.append(self.inside))
        return None, loss


def synced(kata):
    """The gradient of a DDP model after a first micro-batch, and after a second and
    last one. By hand: weights' gradients are the inputs, 1 and 10 on rank 0, 3 and 30
    on rank 1.
    """
    model = kata.DDP(nn.Linear(1, 1, bias=False))
    grads = []
    for factor, is_last in ((1.0, False), (10.0, True)):
        with kata.sync_context(model, is_last):
            model(torch.tensor([[factor * (1 + 2 * dist.get_rank())]])).sum().backward()
        grads.append(model.module.weight.grad.item())
    return grads


class TestSyncContext:
    def test_ddp_waits_for_the_last_micro_batch(self, kata):
        """Two micro-batches with gradients 1 and 10 on rank 0, 3 and 30 on rank 1.
        After the first each rank has its own: nothing was sent. After the last both
        have the mean of 11 and 33.
        """
        first, last = zip(*on_two(kata, synced), strict=True)
        unlike = [{"averaged already": 2.0}] * 2
        for rank, expected in enumerate((1.0, 3.0)):
            check.close(
                first[rank],
                expected,
                unlike=unlike[rank],
                what=f"gradient on rank {rank} after the first",
            )
        for rank, own in enumerate((11.0, 33.0)):
            check.close(
                last[rank],
                22.0,
                unlike={"its own, never averaged": own},
                what=f"gradient at the end, rank {rank}",
            )

    def test_a_models_own_no_sync_is_used(self, kata):
        """Any model may have a method `no_sync`. Before the last micro-batch its
        context is entered, and left again at the end of the block.
        """
        model = Recording()
        with kata.sync_context(model, is_last=False):
            inside = model.inside
        check.equal(
            [inside, model.inside, model.entered],
            [True, False, 1],
            what="[inside, afterwards, times entered]",
        )

    def test_the_last_micro_batch_is_not_held_back(self, kata):
        """In the last micro-batch `no_sync` is not entered: this is the backward pass
        that communicates.
        """
        model = Recording()
        with kata.sync_context(model, is_last=True):
            inside = model.inside
        check.equal([inside, model.entered], [False, 0], what="[inside, times entered]")

    def test_a_model_without_no_sync(self, kata):
        """A plain model has nothing to hold back: the context does nothing, last
        or not.
        """
        model, ran = nn.Linear(2, 3), []
        for is_last in (False, True):
            with kata.sync_context(model, is_last):
                ran.append(is_last)
        check.equal(ran, [False, True], what="blocks that ran")


class Box(nn.Module):
    """A model that happens to have a layer called module."""

    def __init__(self):
        super().__init__()
        self.module = nn.Linear(2, 3)


def unwrapped(kata):
    model = nn.Linear(2, 3)
    inner = kata.unwrap(kata.DDP(model))
    return inner is model, list(inner.state_dict())


class TestUnwrap:
    def test_the_model_inside_a_ddp(self, kata):
        """The model that was wrapped, not a copy of it. Its state dict has "weight";
        the wrapper's has "module.weight", which a plain model cannot load.
        """
        for rank, (same, names) in enumerate(on_two(kata, unwrapped)):
            check.equal(
                names,
                ["weight", "bias"],
                what=f"names in the state dict on rank {rank}",
            )
            check.that(
                same,
                f"on rank {rank} it is another model than the one that was wrapped",
            )

    def test_a_plain_model_is_itself(self, kata):
        """Without DDP there is no wrapper, so code that saves a model need not ask."""
        model = nn.Linear(2, 3)
        check.that(
            kata.unwrap(model) is model, "a plain model is not given back as it is"
        )

    @pytest.mark.edge
    def test_a_layer_called_module(self, kata):
        """Only DDP is a wrapper. Any model may have a layer called `module`, and is
        more than that layer.
        """
        model = Box()
        check.that(
            kata.unwrap(model) is model,
            f"wanted the whole model, got {check.describe(kata.unwrap(model))}",
        )


HUGE = 1e9  # a limit that no gradient reaches


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=LR)


def stepped(kata, *max_norm):
    """One step on two micro-batches of two rows a rank: (what is returned, the weights,
    the losses of all four; as one batch of 8 rows in one process: its gradient, the
    weights before; the gradient of this rank's rows alone).
    """
    model, (x, y) = gpt(kata), batch(rows=8)
    rows = [slice(i, i + 2) for i in (0, 2, 4, 6)]
    losses = [loss_and_gradients(model, x[r], y[r])[0] for r in rows]
    gradient, before = (
        flat(loss_and_gradients(model, x, y)[1]),
        flat(model.parameters()),
    )
    wrapped = kata.DDP(model)
    own = rows[2 * dist.get_rank() : 2 * dist.get_rank() + 2]
    mine = slice(own[0].start, own[1].stop)
    unsent = flat(loss_and_gradients(model, x[mine], y[mine])[1])
    result = kata.ddp_train_step(
        wrapped, sgd(wrapped), [(x[r], y[r]) for r in own], *max_norm
    )
    return result, flat(model.parameters()), losses, gradient, before, unsent


def reductions(kata):
    """Count how often a DDP model sends its gradients, in each of two steps of
    three micro-batches.
    """
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

    sent = []

    def hook(group, bucket):
        sent.append(bucket.index())
        return allreduce_hook(group, bucket)

    model = kata.DDP(gpt(kata))
    model.register_comm_hook(None, hook)
    optimizer, counts = sgd(model), []
    for _ in range(2):
        kata.ddp_train_step(model, optimizer, [batch(rows=2) for _ in range(3)])
        counts.append(len(sent))
        sent.clear()
    return counts


def recorded(kata, micro_batches):
    model = Recording()
    optimizer = sgd(model)
    batches = [(torch.randn(4, 2), torch.randn(4)) for _ in range(micro_batches)]
    model.eval()
    model.weight.grad = torch.full((2,), 100.0)
    steps = []
    optimizer.register_step_post_hook(
        lambda *_: steps.append(model.weight.detach().clone())
    )
    start = model.weight.detach().clone()
    kata.ddp_train_step(model, optimizer, batches, HUGE)
    x, y = (torch.stack(parts).double() for parts in zip(*batches, strict=True))
    rest = (x * start).sum(-1) - y
    slope = (2 * rest[..., None] * x).mean((0, 1))  # of the mean over all rows
    record = {
        "forwards": model.forwards,
        "backwards": model.backwards,
        "modes": model.modes,
        "steps": len(steps),
    }
    return (
        record,
        model.weight.detach().clone(),
        start - LR * slope,
        start - LR * (slope + 100),
    )


def plain_steps(kata):
    """Two steps of a GPT without DDP and without a group: for each, what is returned,
    the weights, and the loss, the gradient and the weights from before.
    """
    model, (x, y) = gpt(kata), batch(rows=6)
    optimizer, steps = sgd(model), []
    for _ in range(2):
        (loss, gradients), before = (
            loss_and_gradients(model, x, y),
            flat(model.parameters()),
        )
        result = kata.ddp_train_step(
            model, optimizer, [(x[:3], y[:3]), (x[3:], y[3:])], 0.05
        )
        steps.append((result, flat(model.parameters()), loss, flat(gradients), before))
    return steps


def stepped_on_gpu(kata):
    """One step of DDP with NCCL on two micro-batches: what is returned, the weights; by
    hand, the loss, the gradient and the weights before.
    """
    model, (x, y) = gpt(kata), batch(rows=4)
    (loss, gradients), before = (
        loss_and_gradients(model, x, y),
        flat(model.parameters()),
    )
    wrapped = kata.DDP(model.cuda(), device_ids=[0])
    x, y = x.cuda(), y.cuda()
    result = kata.ddp_train_step(
        wrapped, sgd(wrapped), [(x[:2], y[:2]), (x[2:], y[2:])], None
    )
    return (
        result,
        flat(p.cpu() for p in model.parameters()),
        loss,
        flat(gradients),
        before,
    )


class TestDdpTrainStep:
    def test_the_weights_of_one_process_with_the_big_batch(self, kata):
        """Two micro-batches of 2 rows on each of two ranks make the same step as one
        batch of 8. Each loss is divided by the number of micro-batches, DDP takes the
        mean over the ranks, and the optimizer steps once.
        """
        results = on_two(kata, stepped, HUGE)
        for rank, (_, weights, _, gradient, before, unsent) in enumerate(results):
            unlike = {
                "gradients of micro-batches added up, not averaged": before
                - LR * 2 * gradient,
                (
                    "this rank's own step: its gradients were never averaged with the "
                    "other's"
                ): before - LR * unsent,
                "divided by the number of ranks once more": before - LR * gradient / 2,
                "no step at all": before,
                "clipped at 1, whatever max_norm is": before
                - LR * gradient / gradient.norm(),
            }
            check.close(
                weights,
                before - LR * gradient,
                atol=1e-9,
                unlike=unlike,
                what=f"weights on rank {rank}",
            )

    def test_the_loss_is_the_mean_of_all_micro_batches(self, kata):
        """Rank 0 has seen two micro-batches, rank 1 two others; the loss is the mean of
        all four, the same on both ranks. With each rank's own loss, one run would have
        two different logs.
        """
        results = on_two(kata, stepped)
        for rank, (result, _, losses, *_) in enumerate(results):
            check.that(
                isinstance(result, dict), f"wanted a dict, got {check.describe(result)}"
            )
            check.equal(
                sorted(result), ["grad_norm", "loss"], what=f"keys on rank {rank}"
            )
            mean = sum(losses) / 4
            unlike = {
                "the loss of this rank only": sum(losses[2 * rank : 2 * rank + 2]) / 2,
                "not divided by the number of micro-batches": 2 * mean,
                "the last micro-batch only": (losses[1] + losses[3]) / 2,
                "divided by the number of micro-batches twice": mean / 2,
            }
            check.close(
                result["loss"], mean, unlike=unlike, what=f"loss on rank {rank}"
            )

    def test_clipped_after_averaging(self, kata):
        """grad_norm is the norm of the averaged gradient before clipping, and max_norm
        limits this gradient, by default to 1. Clipping before the ranks are averaged
        scales each rank by another factor, and the step is wrong.
        """
        for max_norm in ((), (0.05,)):
            limit = max_norm[0] if max_norm else 1.0
            for rank, (result, weights, _, gradient, before, _) in enumerate(
                on_two(kata, stepped, *max_norm)
            ):
                norm = gradient.norm().item()
                unlike = {
                    "the norm after clipping": limit,
                    "the norm of summed gradients": 2 * norm,
                }
                check.close(
                    result["grad_norm"],
                    norm,
                    unlike=unlike,
                    what=f"grad_norm on rank {rank}",
                )
                expected = before - LR * gradient * min(1.0, limit / norm)
                unlike = {
                    "not clipped": before - LR * gradient,
                    "clipped at 1": before - LR * gradient / norm,
                }
                what = f"weights on rank {rank} with max_norm {limit}"
                check.close(
                    weights, expected, rtol=1e-6, atol=1e-7, unlike=unlike, what=what
                )

    def test_one_all_reduce_a_step(self, kata):
        """Gradients are sent in the last of the three micro-batches only. DDP decides
        in *forward* whether backward will send: `no_sync` around backward alone is too
        late, and three times as much goes over the network.
        """
        for rank, counts in enumerate(on_two(kata, reductions)):
            unlike = {"sent after every micro-batch": 3, "never sent": 0}
            for step, count in enumerate(counts):
                check.equal(
                    count,
                    1,
                    unlike=unlike,
                    what=f"times that rank {rank} sent its gradients in step {step}",
                )

    def test_forward_and_backward_inside_the_context(self, kata):
        """Of three micro-batches two run inside `no_sync`, each with its forward *and*
        its backward pass, and the last one outside.
        """
        record = alone(kata, recorded, 3)[0]
        check.equal(
            record["forwards"],
            [True, True, False],
            what="forward passes that ran inside no_sync",
        )
        check.equal(
            record["backwards"],
            [True, True, False],
            what="backward passes that ran inside no_sync",
        )

    def test_a_single_micro_batch_is_the_last(self, kata):
        """The only micro-batch of a step is also its last, so it has to communicate."""
        record = alone(kata, recorded, 1)[0]
        check.equal(
            record["forwards"] + record["backwards"],
            [False, False],
            what="passes that ran inside no_sync",
        )

    def test_a_plain_model_in_one_process(self, kata):
        """Without DDP and without a group it is kata 29's step: the mean gradient of
        the micro-batches, clipped. The first step's gradient does not count in
        the second.
        """
        left = 0.0
        for number, (result, weights, loss, gradient, before) in enumerate(
            alone(kata, plain_steps), start=1
        ):
            norm = gradient.norm().item()
            unlike = {
                "the first step's gradient added": {
                    "loss": loss,
                    "grad_norm": (gradient + left).norm().item(),
                }
            }
            check.close(
                result,
                {"loss": loss, "grad_norm": norm},
                unlike=unlike,
                what=f"result of step {number}",
            )
            left = gradient * 0.05 / norm  # as clipped
            what = f"weights after step {number}"
            check.close(
                weights,
                before - LR * gradient * 0.05 / norm,
                rtol=1e-6,
                atol=1e-7,
                what=what,
            )

    def test_without_clipping(self, kata):
        """max_norm=None: the gradient is not scaled, however long it is, and its norm
        is returned all the same.
        """
        for rank, (result, weights, _, gradient, before, _) in enumerate(
            on_two(kata, stepped, None)
        ):
            check.close(
                result["grad_norm"],
                gradient.norm().item(),
                what=f"grad_norm on rank {rank}",
            )
            unlike = {"clipped at 1": before - LR * gradient / gradient.norm()}
            check.close(
                weights,
                before - LR * gradient,
                atol=1e-9,
                unlike=unlike,
                what=f"weights on rank {rank}",
            )

    def test_one_step_in_training_mode(self, kata):
        """A model that comes from evaluation is in eval mode, and would train without
        dropout. The optimizer steps once, however many micro-batches there are.
        """
        record = alone(kata, recorded, 3)[0]
        check.equal(
            record["modes"], [True] * 3, what="training mode in each forward pass"
        )
        check.equal(record["steps"], 1, what="steps of the optimizer")

    @pytest.mark.edge
    def test_stale_gradients_do_not_count(self, kata):
        """Something else may have left gradients in `.grad`. They belong to other
        weights, so the step begins by clearing them.
        """
        _, weights, expected, stale = alone(kata, recorded, 3)
        check.close(
            weights,
            expected,
            rtol=1e-4,
            unlike={"with what lay in .grad before": stale},
            what="weights",
        )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_on_a_gpu(self, kata):
        """DDP on one GPU with NCCL makes the step of the CPU."""
        result, weights, loss, gradient, before = on_gpu(kata, stepped_on_gpu)
        check.close(
            result,
            {"loss": loss, "grad_norm": gradient.norm().item()},
            rtol=1e-5,
            what="result",
        )
        check.close(
            weights, before - LR * gradient, rtol=1e-5, atol=1e-7, what="weights"
        )

    @pytest.mark.edge
    def test_a_step_needs_a_batch(self, kata):
        """Without a batch there is no gradient to step along; a rank that returned
        without an error would leave the others waiting.
        """
        model = nn.Linear(2, 3)
        with check.raises(ValueError):
            kata.ddp_train_step(model, sgd(model), [])


def saved(kata, folder, slow):
    """Rank r saves {"rank": r} as two files in turn, while torch.save is slow on one
    rank. For each: what is returned, and what this rank can load at once.
    """
    seen = []
    save = torch.save

    def slowed(*args, **options):
        time.sleep(0.2 if dist.get_rank() == slow else 0)
        return save(*args, **options)

    with mock.patch("torch.save", slowed):
        for path in (folder / "first.pt", str(folder / "second.pt")):
            wrote = kata.save_on_main({"rank": torch.tensor(dist.get_rank())}, path)
            try:
                found = torch.load(path, weights_only=True)["rank"].item()
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
            seen.append((wrote, found))
            dist.barrier()
    return seen


@pytest.mark.stretch
class TestSaveOnMain:
    def test_complete_on_every_rank_when_it_returns(self, kata, tmp_path):
        """Rank 0 is slow to write. Rank 1 writes nothing but waits all the same, so it
        can load the file as soon as its call returns. Waiting before the file is
        written does not help.
        """
        for rank, found in enumerate(on_two(kata, saved, tmp_path, 0)):
            for wrote, content in found:
                check.that(
                    content == 0,
                    f"rank {rank} should load what rank 0 saved, and finds: {content}",
                )
                check.equal(wrote, rank == 0, what=f"what it returns on rank {rank}")

    def test_only_rank_0_writes(self, kata, tmp_path):
        """Rank 1 is slow this time. If it wrote as well, it would be the last, and the
        file would hold what rank 1 has. On the shared disk of a real run, two processes
        would write to one file at once.
        """
        for rank, found in enumerate(on_two(kata, saved, tmp_path, 1)):
            for _, content in found:
                check.that(
                    content == 0,
                    f"rank {rank} should load what rank 0 saved, and finds: {content}",
                )

    def test_no_other_file_is_left(self, kata, tmp_path):
        """Two calls leave two files: none for rank 1, and no temporary ones."""
        on_two(kata, saved, tmp_path, 0)
        check.equal(
            sorted(path.name for path in tmp_path.iterdir()),
            ["first.pt", "second.pt"],
            what="files in the folder",
        )

    def test_without_a_process_group(self, kata, tmp_path):
        """One process is rank 0: it writes, returns True, and waits for nobody. An
        older file is replaced.
        """
        path = tmp_path / "run.pt"
        for step in (1, 2):
            check.equal(
                kata.save_on_main({"step": step}, path), True, what="what it returns"
            )
            check.equal(
                torch.load(path, weights_only=True),
                {"step": step},
                what="what the file holds",
            )
