"""The ladder from GPT-2 to the record: what each rung does, that it can be left out,
and what is said of it.
"""

import importlib
import itertools
import math
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

from grader.cli import commands
from grader.course import catalogue, kata_modules
from grader.course.catalogue import ROOT
from grader.learner import ladder
from tests.bench import ladder as measuring

KATA = catalogue.find("33_gpt_capstone").folder


def reference(name: str) -> ModuleType:
    return kata_modules.load(catalogue.find(name), ROOT / "solutions")


@pytest.fixture(scope="module")
def program() -> Iterator[ModuleType]:
    """The program, whose folder is where its parts are found."""
    before = set(sys.modules)
    yield measuring.program()
    sys.path.remove(str(KATA))
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(KATA)):
            del sys.modules[name]


@pytest.fixture(scope="module")
def rungs(program) -> ModuleType:
    return sys.modules["ladder"]


@pytest.fixture
def make(program):
    """Make a small speedrun model with these rungs; its last token ends a text."""
    gpt, today = reference("26_gpt_model"), reference("today/01_todays_block")

    def made(names, n_layer=2):
        torch.manual_seed(0)
        config = gpt.GPTConfig(
            block_size=16, vocab_size=64, n_layer=n_layer, n_head=2, n_embd=16
        )
        return program.speedrun.SpeedrunGPT(today, config, 63, names)

    return made


def test_every_rung_can_be_left_out_and_nothing_of_it_stays(program, make):
    """All parameters have a gradient, as DDP asks for."""
    idx = torch.randint(64, (2, 16))
    for name in program.RUNGS:
        model = make([other for other in program.RUNGS if other != name])
        model.load_state_dict(
            {key: torch.randn_like(value) for key, value in model.state_dict().items()}
        )
        F.cross_entropy(model(idx)[0].flatten(0, 1), idx.flatten()).backward()
        assert all(parameter.grad is not None for parameter in model.parameters()), name
    assert len(list(make(program.RUNGS).parameters())) > len(
        list(make([]).parameters())
    )


def stepped(
    optimizer: torch.optim.Optimizer, weights: list[torch.Tensor]
) -> list[torch.Tensor]:
    """The weights after two steps with gradients that depend on the weight's
    place alone.
    """
    for step in range(2):
        for number, weight in enumerate(weights):
            weight.grad = torch.randn(
                weight.shape,
                generator=torch.Generator().manual_seed(100 * step + number),
            )
        optimizer.step()
    return [weight.detach() for weight in weights]


def weights_of_three_layers() -> list[torch.nn.Parameter]:
    shapes = 3 * [(16, 16), (16, 16), (64, 16), (16, 64)]
    return [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]


def test_muon_moves_many_matrices_at_once_as_todays_moves_each(rungs):
    """Also where two processes share them, of which there is an odd number. One without
    a gradient stays.
    """
    today, many = reference("today/02_muon_and_schedules"), rungs.muon
    ours, theirs = weights_of_three_layers(), weights_of_three_layers()
    expected = stepped(today.Muon([{"params": theirs}]), theirs)
    found = stepped(many.Muon(today, [{"params": ours}]), ours)
    assert (
        max(
            (one - other).abs().max()
            for one, other in zip(found, expected, strict=True)
        )
        < 1e-6
    )

    def on_a_process() -> list[torch.Tensor]:
        mine = weights_of_three_layers()
        return stepped(many.Muon(today, [{"params": mine}]), mine)

    for shared in reference("31_distributed_training").launch(on_a_process, 2):
        assert (
            max(
                (one - other).abs().max()
                for one, other in zip(shared, expected, strict=True)
            )
            < 1e-6
        )
    unmoved = torch.nn.Parameter(torch.ones(4, 4))
    many.Muon(today, [{"params": [unmoved]}]).step()
    assert unmoved.eq(1).all()


def test_relu_squared(rungs):
    x = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    y = rungs.relu_squared.relu_squared(x)
    y.sum().backward()
    assert y.tolist() == [0, 0, 9] and x.grad.tolist() == [0, 0, 6]


def test_qk_norm_keeps_scores_below_the_root_of_d(rungs):
    """However large queries and keys are."""
    norm = rungs.qk_norm.QKNorm(reference("today/01_todays_block"), 8)
    q, k = norm(*(1000 * torch.randn(2, 3, 2, 5, 8)).unbind(0)[:2])
    assert (q @ k.mT).abs().max() / math.sqrt(8) <= math.sqrt(8) + 1e-4


def test_an_untied_head_is_a_matrix_of_its_own(program, make):
    """Both take part in the same products."""
    tied, untied = (
        make([name for name in program.RUNGS if name != "untied_head"]),
        make(program.RUNGS),
    )
    assert (
        tied.lm_head.weight is tied.embedding.weight
        and untied.lm_head.weight is not untied.embedding.weight
    )
    assert untied.num_params() - tied.num_params() == 64 * 16
    assert untied.num_params(non_embedding=True) == tied.num_params(non_embedding=True)


def test_zero_projections_make_a_block_the_identity_and_every_token_equally_likely(
    make,
):
    idx = torch.randint(64, (2, 16))
    model, below = make(["untied_head", "zero_projections"]), make(["untied_head"])
    h = torch.randn(2, 16, 16)
    assert model(idx)[0].count_nonzero() == 0 and torch.equal(
        model.blocks[0](h, None, None), h
    )
    assert below(idx)[0].count_nonzero() and below.blocks[
        0
    ].down.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_document_windows_are_the_same_for_flex_attention_and_the_usual_one(rungs):
    """On a CPU FlexAttention has no backward pass: here it is compared forward, where
    it is not compiled.
    """
    document_windows = rungs.document_windows
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 150, 8)  # more than one of its blocks of 128
    documents = (torch.rand(2, 150) < 0.05).long().cumsum(1)
    for window in (20, 150):
        mask = document_windows.mask_of(documents, window, flex=False)
        one_by_one = [
            [
                [j <= i < j + window and row[i] == row[j] for j in range(150)]
                for i in range(150)
            ]
            for row in documents.tolist()
        ]
        assert torch.equal(mask[:, 0], torch.tensor(one_by_one))
        usual = document_windows.attend(q, k, v, mask)
        flex = document_windows.attend(
            q, k, v, document_windows.mask_of(documents, window, flex=True)
        )
        torch.testing.assert_close(flex, usual)
    assert not document_windows.flex_works(torch.device("cpu"), 8)


def test_a_document_of_a_speedrun_reads_no_other_one(program, make):
    """Also nothing of what follows, with all rungs. Without document windows it reads
    what is before.
    """
    for names in (
        program.RUNGS,
        [name for name in program.RUNGS if name != "document_windows"],
    ):
        model = make(names)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        idx = torch.randint(63, (3, 16))
        idx[:, 6] = 63
        before = model(idx)[0]
        changed = idx.clone()
        changed[:, :6] = (changed[:, :6] + 1) % 63
        after = model(changed)[0]
        assert torch.equal(before[:, 6:], after[:, 6:]) == (names is program.RUNGS)
        assert not torch.equal(before[:, :6], after[:, :6])
        changed = idx.clone()
        changed[:, 12:] = (changed[:, 12:] + 1) % 63
        torch.testing.assert_close(model(changed)[0][:, :12], before[:, :12])


def test_ddp_around_compiled_code_has_the_losses_and_gradients_of_usual_code(
    program, monkeypatch
):
    """On two processes, where the graph is cut at the ends of DDP's buckets.
    FlexAttention goes the same way forward; its backward pass PyTorch 2.13 refuses on a
    CPU, and 2.10 does not.
    """
    own = SimpleNamespace(fast_training=reference("30_fast_training"))
    gpt, today = reference("26_gpt_model"), reference("today/01_todays_block")
    # more than a bucket's 1 MB
    config = gpt.GPTConfig(
        block_size=32, vocab_size=64, n_layer=2, n_head=2, n_embd=128
    )

    def on_a_process() -> list[tuple[float, float]]:
        found = []
        batch = torch.randint(
            63,
            (2, 32),
            generator=torch.Generator().manual_seed(torch.distributed.get_rank()),
        )
        for compiles, flex in ((False, False), (True, False), (True, True)):
            torch.manual_seed(0)
            model = program.speedrun.SpeedrunGPT(today, config, 63)
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter, std=0.05)
            model.flex = flex
            called = program.WithLoss(own, model, 60)
            called = torch.compile(called, backend="aot_eager") if compiles else called
            called = program.spread(called, torch.device("cpu"), None)
            with torch.set_grad_enabled(not flex):
                loss = called(batch, batch.clamp(max=59))[1]
            if not flex:
                loss.backward()
            found.append(
                (
                    loss.item(),
                    0.0 if flex else model.blocks[0].up.weight.grad.norm().item(),
                )
            )
        return found

    # imports the compiler once, not in each process
    torch.compile(torch.sin, backend="aot_eager")(torch.ones(1))
    distributed = reference("31_distributed_training")
    # to compile takes what it takes, not 30 s
    clock = SimpleNamespace(monotonic=itertools.count(0, -600).__next__)
    monkeypatch.setattr(distributed, "time", clock)
    for usual, compiled, flex in distributed.launch(on_a_process, 2):
        assert compiled == pytest.approx(usual, rel=1e-5) and flex[0] == pytest.approx(
            usual[0], rel=1e-5
        )


def test_a_bigram_has_one_row_wherever_it_is(program, make):
    """The last row is for tokens that begin a row of the batch or a document."""
    bigram = make(["bigram"]).bigram
    rows = bigram.row_of(torch.tensor([[7, 5, 9, 63, 5], [5, 9, 7, 5, 5]]))
    assert rows[0, 0] == rows[1, 0] == rows[0, 3] == 5 * 64 - 1
    assert (
        rows[0, 1] == rows[1, 3]
        and rows[0, 2] == rows[1, 1]
        and rows[1, 3] != rows[1, 4]
    )
    everything = bigram.row_of(
        torch.cartesian_prod(torch.arange(63), torch.arange(63))
    )[:, 1]
    assert everything.max() < 5 * 64 - 1 and everything.unique().numel() > 300, (
        "all rows but few are used"
    )


def test_value_embeddings_are_shared_by_the_first_layers_and_the_last(make):
    deep, idx = make(["value_embeddings"], n_layer=8).deep, torch.randint(64, (2, 16))
    values = [deep.values(layer, idx) for layer in range(8)]
    assert [value is None for value in values] == [False] * 3 + [True] * 2 + [False] * 3
    assert torch.equal(values[0], values[7]) and not torch.equal(values[0], values[1])
    x, embedded = torch.randn(2, 2, 16, 16)
    assert torch.equal(deep.mixed(0, x, embedded), x), (
        "at the start a skip adds nothing"
    )


def test_a_softcap_changes_small_logits_little_and_bounds_large_ones(rungs):
    capped = rungs.softcap.softcap(torch.tensor([-1000.0, 0.1, 15.0, 1000.0]))
    assert capped.tolist() == pytest.approx([-15, 0.1, 15 * math.tanh(1), 15], abs=1e-5)


def test_polar_express_brings_singular_values_closer_to_1_than_newton_schulz(rungs):
    """Those of at least 0.004 of the norm come out between 0.85 and 1.15; by
    Newton-Schulz, between 0.68 and 1.21.
    """
    values = torch.linspace(0.02, 1, 50)
    found = [
        rungs.muon.newton_schulz(values.diag()[None], coefficients).diagonal(
            dim1=1, dim2=2
        )
        for coefficients in (rungs.muon.NEWTON_SCHULZ, rungs.polar_express.COEFFICIENTS)
    ]
    assert values[0] / values.norm() > 0.004
    assert (found[1] - 1).abs().max() < 0.15 and 0.3 < (found[0] - 1).abs().max() < 0.33


def test_schedules_spend_the_same_tokens(program, make):
    """In three stages, with a rate that grows as the root of the size; windows reach as
    far as ever at the end.
    """
    schedules = sys.modules["ladder"].schedules
    sizes = [schedules.sizes(1024)[schedules.stage_of(step, 12)] for step in range(12)]
    assert sizes == 4 * [512] + 4 * [1024] + 4 * [1536] and sum(sizes) == 12 * 1024
    assert schedules.stage_of(12, 12) == 2 and schedules.rate(2) ** 2 == pytest.approx(
        1.5
    )
    assert schedules.WINDOWS[-1] == make(program.RUNGS).windows


def test_multi_token_prediction_weighs_the_tokens_ahead(rungs):
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    ahead = [
        F.cross_entropy(
            logits[:, : 5 - far].flatten(0, 1), targets[:, far:].flatten()
        ).item()
        for far in range(3)
    ]
    found = rungs.multi_token.loss(logits, targets, (1.0, 0.5, 0.25)).item()
    assert found == pytest.approx((ahead[0] + ahead[1] / 2 + ahead[2] / 4) / 1.75)


def test_what_is_shown_is_what_the_rungs_say_and_the_lesson(program):
    levels = ladder.measured(ladder.results())
    said = [
        measuring.described(program, name)
        for name in (*measuring.BELOW, *program.RUNGS)
    ]
    assert [
        {key: getattr(level, key) for key in one}
        for level, one in zip(levels, said, strict=True)
    ] == said
    assert all(len(level.curves) == 5 for level in levels)
    for table in ladder.tables(levels).split("\n\n"):
        assert table in (KATA / "LADDER.md").read_text(encoding="utf-8")


def test_the_command_prints_the_tables_and_draws_the_figure(tmp_path):
    said = CliRunner().invoke(
        commands.program, ["ladder", "--picture", str(tmp_path / "ladder.png")]
    )
    assert (
        said.exit_code == 0
        and ladder.tables(ladder.measured(ladder.results())) in said.output
    ), said.output
    assert (tmp_path / "ladder.png").stat().st_size > 15_000


def test_the_roofline_counts_as_kata_30_and_stands_in_the_lesson(program):
    """A step on one GPU takes eight times the products and the memory of a step
    on eight.
    """
    roofline, gpt = importlib.import_module("roofline"), reference("26_gpt_model")
    config = gpt.GPTConfig(vocab_size=roofline.V)
    with torch.device("meta"):
        parameters = gpt.GPT(config).num_params(non_embedding=True)
    assert (
        reference("30_fast_training").flops_per_token(config, parameters)
        == roofline.FLOPS
    )
    one, eight = roofline.bound("H100", 1), roofline.bound("H100", 8)
    assert (
        one.products
        == 8 * eight.products
        == pytest.approx(798e6 * 2**19 / 989e12, rel=1e-3)
    )
    assert (
        one.memory
        == 8 * eight.memory
        == pytest.approx(1.19e6 * 2**19 / 3.35e12, rel=1e-2)
    )
    assert (
        one.update == eight.update
        and one.exchange == 0
        and 0.4 < eight.mfu < one.mfu < 1
    )
    assert roofline.table() in (KATA / "LADDER.md").read_text(encoding="utf-8")


def test_a_gain_smaller_than_the_seeds_differ_by_is_called_so():
    def level(*losses):
        return ladder.Level(
            "", "", "", "", [[(0, 0.0, 4.0), (20, 2.0, loss)] for loss in losses], []
        )

    below = level(3.0, 3.1)
    assert ladder.gained(below, level(3.0, 3.08)) == "+0.010, within the spread"
    assert (
        ladder.gained(below, level(2.0, 2.1)) == "+1.000"
        and ladder.gained(level(2.0, 2.1), below) == "−1.000, a loss"
    )
    assert (
        ladder.reaching(below.curves[0]) == pytest.approx(1.4)
        and ladder.reaching([(0, 0.0, 4.0)]) is None
    )
