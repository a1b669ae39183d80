"""The parts of `make bench-gpt`: peaks by name, losses, the update, nanoGPT's model,
and a run that goes on.
"""

import copy
import json

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from grader import devices
from grader.course import catalogue
from grader.course import kata_modules as loading
from grader.course.catalogue import ROOT
from tests.bench.gpt import __main__ as bench
from tests.bench.gpt import measure, nanogpt, rungs
from tests.bench.gpt.losses import LossWithGradients
from tests.bench.gpt.updates import Update


@pytest.fixture(scope="module")
def kata():
    return loading.load(catalogue.find("30_fast_training"), ROOT / "solutions")


@pytest.fixture
def model(kata):
    torch.manual_seed(0)
    return kata.GPT(
        kata.GPTConfig(
            block_size=8, vocab_size=50, n_layer=2, n_head=2, n_embd=16, bias=False
        )
    )


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200 NVL", 835),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40", 181),
        ("NVIDIA L40S", 362),
        ("Tesla T4", 65),
        ("NVIDIA A10G", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
    ],
)
def test_a_peak_is_found_by_whole_words(name, teraflops):
    """L4 is not L40, and part of a chip or a laptop's has another peak."""
    assert devices.peak(name) == (teraflops and teraflops * 1e12)


def test_the_loss_with_gradients_is_the_usual_one():
    """Also for a chunk without targets, a last chunk that is smaller, columns that are
    padding, and a factor.
    """
    torch.manual_seed(0)
    rows, weight = (
        torch.randn(11, 6, requires_grad=True),
        torch.randn(9, 6, requires_grad=True),
    )
    targets = torch.randint(7, (11,))
    targets[:4] = targets[6] = -100
    usual = F.cross_entropy((rows @ weight.T)[:, :7], targets)
    ours = LossWithGradients.apply(rows, weight, targets, 7, 4)
    torch.testing.assert_close(ours, usual)
    expected, got = (
        torch.autograd.grad(2 * loss, (rows, weight)) for loss in (usual, ours)
    )
    torch.testing.assert_close(got, expected)


def test_the_compiled_update_is_clipped_adamw(kata, model):
    """Three steps on the same gradients move every weight as kata 29's optimizer does
    after clipping.
    """
    theirs = copy.deepcopy(model)
    optimizer, update = (
        kata.make_optimizer(theirs, 0.01),
        Update(list(model.parameters()), 0.01, lambda f: f),
    )
    for seed in range(3):
        for trained in (model, theirs):
            generator = torch.Generator().manual_seed(seed)
            for p in trained.parameters():
                p.grad = torch.randn(p.shape, generator=generator)
        update()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
    torch.testing.assert_close(
        dict(model.named_parameters()),
        dict(theirs.named_parameters()),
        rtol=1e-4,
        atol=1e-6,
    )


def test_the_update_takes_as_many_operations_for_many_weights_as_for_few():
    """Each of its operations takes all tensors at once, so that a GPU gets
    few kernels.
    """

    class Counting(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, operation, types, arguments=(), options=None):
            self.count += 1
            return operation(*arguments, **options or {})

    counts = []
    for number in (2, 20):
        weights = [torch.nn.Parameter(torch.ones(3, 2)) for _ in range(number)]
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        update = Update(weights, 0.01, lambda f: f)
        with Counting() as counting:
            update()
        counts.append(counting.count)
    assert counts[0] == counts[1] > 5


def test_half_weights_keep_small_steps(model):
    """A step of 1e-4 is lost on a weight of 1 in bfloat16. Forty of them are not,
    thanks to the float32 copies.
    """
    weight = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    update = Update([weight], 1e-4, lambda f: f)
    for _ in range(40):
        weight.grad = torch.ones_like(weight)
        update()
    assert weight.tolist() == [0.99609375] * 3  # 1 − 40 · 1e-4, rounded


def test_nanogpts_model_is_the_same_but_for_the_gelu(kata, model, monkeypatch):
    """With the tanh form of GELU its logits are those of kata 26's model."""
    theirs = nanogpt.NanoGpt(model.config)
    theirs.load_state_dict(model.state_dict())
    x = torch.randint(50, (3, 8))
    exact = F.gelu
    monkeypatch.setattr(
        nanogpt.F,
        "gelu",
        lambda x, approximate="tanh": exact(x, approximate=approximate),
    )
    logits, loss = theirs(x, x)
    torch.testing.assert_close((logits, loss), model(x, x))


def test_a_quick_run_measures_and_writes(tmp_path, capsys):
    """Every row is printed as it comes and written as JSON; what a CPU has not is left
    out, with the reason.
    """
    wanted = "fp32,TF32,compile,bf16 weights,chunked loss,loss with gradients,nanoGPT"
    assert (
        bench.main(
            ["--quick", "--rungs", wanted, "--json", str(tmp_path / "rows.json")]
        )
        == 0
    )
    found, printed = (
        json.loads((tmp_path / "rows.json").read_text()),
        capsys.readouterr().out,
    )
    names = [row["name"] for row in found["rows"]]
    assert names == [
        "fp32",
        "compile",
        "bf16 weights",
        "chunked loss",
        "loss with gradients",
        "nanoGPT",
    ]
    assert all(f"| {name} |" in printed for name in names)
    assert found["left_out"] == {"TF32": "needs a CUDA GPU"}
    assert len(found["pairs"]["ours_ms"]) == len(found["pairs"]["nanogpt_ms"]) == 2
    assert found["accumulated"]["micro_batches"] == 2 and all(
        n > 0 for n in found["accumulated"]["tokens_per_s"]
    )
    assert (
        "2 micro-batches per update" in printed
        and f"to a loss of {found['accumulated']['loss']:.4f}" in printed
    )


@pytest.mark.parametrize("name", ["fp32", "no waiting", "compiled update", "nanoGPT"])
def test_an_update_takes_several_micro_batches(kata, model, name, tmp_path):
    """The optimizer moves the weights once. On the same batch again and again that is
    the update of one micro-batch.
    """
    found = {"rows": [], "not_kept": [], "left_out": {}}
    batches = measure.Batches(50, 3, 8, torch.device("cpu"), tmp_path)
    run = bench.Run(
        kata, model, batches, measure.Steps(0, 1, 1), True, None, 1.0, found
    )
    run.compiled = lambda of, mode: of
    rung = rungs.Rung(name=name, batch=3, **rungs.LADDER[name])
    losses = [
        [float(step()) for _ in range(3)]
        for step in (run.step(rung), run.step(rung, micro_batches=4))
    ]
    assert (
        losses[0] == pytest.approx(losses[1], abs=2e-3) and losses[0][2] < losses[0][0]
    )


def test_the_time_to_a_loss_is_that_of_all_updates_up_to_it():
    assert (
        measure.seconds_to(2.0, [(1.0, 3.0), (0.5, 2.5), (0.25, 2.0), (9.0, 1.0)])
        == 1.75
    )


def test_a_rung_that_fails_does_not_end_the_run(monkeypatch, capsys):
    """It is left out with its reason, and the next one goes on from the fastest
    before it.
    """
    usual = rungs.training

    def failing(kata, model, rung, *others):
        if rung.name == "flash":
            raise RuntimeError("no such kernel\nand more")
        return usual(kata, model, rung, *others)

    monkeypatch.setattr(rungs, "training", failing)
    assert bench.main(["--quick", "--rungs", "fp32,flash,fused AdamW"]) == 0
    assert "flash: left out: RuntimeError: no such kernel\n" in capsys.readouterr().out


def test_an_unknown_rung_is_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--rungs", "fp32,warp drive"])
    assert "no rung is called warp drive" in capsys.readouterr().err
