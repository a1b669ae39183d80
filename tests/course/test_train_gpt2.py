"""The capstone's program as learners start it: interrupted and resumed, on several
processes, with unfit data.
"""

import faulthandler
import importlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from grader.cli.commands import program
from grader.course import catalogue, downloads
from grader.course import kata_modules as loading
from grader.course.catalogue import ROOT
from grader.datasets import prose
from grader.teaching import export
from grader.teaching.rules import Rules

SCRIPT = catalogue.find("33_gpt_capstone").folder / "train_gpt2.py"
# of the program
PARTS = (
    "batch_size",
    "checkpoint_writer",
    "hellaswag",
    "ladder",
    "shard_files",
    "speedrun",
)
STEPS = 12
SMALL = {
    "vocab_size": 320, "block_size": 64, "n_layer": 1, "n_head": 2, "n_embd": 32,
    "batch_size": 4,
    "tokens_per_step": 1024, "steps": STEPS, "max_lr": 3e-3, "min_lr": 3e-4,
    "warmup_steps": 3, "val_tokens": 2048,
    "val_every": 4, "judge_every": 6,
}  # fmt: skip
Change = Callable[[ModuleType], None]


def reference(name: str) -> ModuleType:
    return loading.load(catalogue.find(name), ROOT / "solutions")


def shard(path: Path, tokens: np.ndarray) -> None:
    """Write tokens as llm.c does."""
    header = np.zeros(256, np.int32)
    header[:3] = 20240520, 1, len(tokens)
    path.write_bytes(header.tobytes() + tokens.astype(np.uint16).tobytes())


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A data/ folder with all that 124M reads, small: shards, a tokenizer in GPT-2's
    files, and examples.
    """
    folder = tmp_path_factory.mktemp("data")
    for name in ("fineweb_edu", "gpt2_bpe", "hellaswag"):
        (folder / name).mkdir()
    kata = reference("23_tokenizers")
    text = prose()[:40_000]
    merges = kata.train_bpe(text[:10_000], 300)
    tokenizer = kata.BPETokenizer(
        merges, special_tokens={"<|endoftext|>": 256 + len(merges)}
    )
    kata.save_gpt2_files(
        tokenizer,
        folder / "gpt2_bpe" / "encoder.json",
        folder / "gpt2_bpe" / "vocab.bpe",
    )
    tokens = np.array(tokenizer.encode(text))
    assert len(tokens) > 14_000
    for name, piece in {
        "val_000000": tokens[:4000],
        "train_000001": tokens[4000:9500],
    }.items():
        shard(folder / "fineweb_edu" / f"finewebedu_{name}.bin", piece)
    shard(folder / "fineweb_edu" / "finewebedu_train_000002.bin", tokens[9500:14_000])
    examples = reference("32_hellaswag_evaluation").EMBEDDED_EXAMPLES
    lines = [
        json.dumps(example | {"label": str(example["label"])})
        for example in examples[:15]
    ]
    (folder / "hellaswag" / "hellaswag_val.jsonl").write_text(
        "\n".join(lines) + "\n", encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """Import the modules that take a new process seconds here, so that forks
    have them.
    """
    importlib.import_module("matplotlib.figure")
    importlib.import_module("torch.distributed")
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def parts() -> Iterator[None]:
    """`script` imports the program's parts anew. Other tests have their own, and pickle
    finds functions by name.
    """
    own = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in PARTS
    }
    yield
    sys.modules.update(own)


def script(path: Path = SCRIPT, changed: dict | None = None) -> ModuleType:
    """The program as a module, with the small preset in place of the large one."""
    spec = importlib.util.spec_from_file_location("train_gpt2", path)
    module = importlib.util.module_from_spec(spec)
    for name in [one for one in sys.modules if one.partition(".")[0] in PARTS]:
        del sys.modules[name]
    sys.path.insert(0, str(path.parent))  # as where Python starts a program
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    module.PRESETS["124M"] = replace(module.PRESETS["124M"], **SMALL | (changed or {}))
    return module


def launch(
    folder: Path,
    data: Path,
    *arguments,
    processes: int = 1,
    settings: dict | None = None,
    change: Change | None = None,
    path: Path = SCRIPT,
) -> SimpleNamespace:
    """Run the program in forks of this process, which find each other on the
    loopback address.

    Returns:
        The exit codes, and what all processes wrote to stdout and stderr.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pids = []
    for rank in range(processes):
        pid = os.fork()
        if pid == 0:
            for descriptor, name in ((1, "out"), (2, "err")):
                os.dup2(
                    os.open(
                        folder / f"{name}{rank}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC
                    ),
                    descriptor,
                )
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            # seconds: it waits for another one in vain
            faulthandler.dump_traceback_later(600, exit=True, file=2)
            if processes > 1:
                os.environ |= {
                    "RANK": f"{rank}",
                    "LOCAL_RANK": f"{rank}",
                    "WORLD_SIZE": f"{processes}",
                }
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
                os.environ["GLOO_SOCKET_IFNAME"] = (
                    "lo0" if sys.platform == "darwin" else "lo"
                )
            sys.argv = [
                str(SCRIPT),
                "--out",
                str(folder / "run"),
                "--device",
                "cpu",
                *map(str, arguments),
            ]
            code = 1
            try:
                module = script(path, settings)
                downloads.DATA = data
                if change:
                    change(module)
                module.main()
            except SystemExit as end:
                code = end.code or 0
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
        pids.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    texts = {
        name: "".join((folder / f"{name}{r}").read_text() for r in range(processes))
        for name in ("out", "err")
    }
    return SimpleNamespace(codes=codes, **texts)


def logged(folder: Path) -> list[dict]:
    """The log without what the clock says."""
    lines = [
        json.loads(line)
        for line in (folder / "run" / "log.jsonl").read_text().splitlines()
    ]
    return [
        {k: v for k, v in line.items() if k not in ("seconds", "tokens_per_s")}
        for line in lines
    ]


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / "run" / "checkpoint.pt", weights_only=True)


def assert_same(left: object, right: object, where: str = "") -> None:
    """Nested containers and tensors are equal bit for bit."""
    if isinstance(left, dict):
        assert left.keys() == right.keys(), where
        left, right = list(left.items()), list(right.items())
    if isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    else:
        assert left == right, where


def signal_at(step: int, number: int, rank: int) -> Change:
    """One process gets a signal in the middle of a step. The others do not."""

    def change(module: ModuleType) -> None:
        clip, calls = torch.nn.utils.clip_grad_norm_, []

        def clip_and_signal(*arguments):
            calls.append(1)
            if len(calls) == step and os.environ.get("RANK", "0") == str(rank):
                signal.raise_signal(number)
            return clip(*arguments)

        torch.nn.utils.clip_grad_norm_ = clip_and_signal

    return change


def kill_in_save(number: int) -> Change:
    """The process dies while it writes the checkpoint for the so-manieth time."""

    def change(module: ModuleType) -> None:
        whole, calls = torch.save, []

        def half(state, path):
            calls.append(1)
            whole(state, path)
            if len(calls) == number:
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        torch.save = half

    return change


@pytest.fixture(scope="module")
def on_two(data, tmp_path_factory) -> Path:
    """A run on two processes, with dropout, that nothing has interrupted."""
    folder = tmp_path_factory.mktemp("on_two")
    done = launch(folder, data, processes=2, settings={"dropout": 0.1})
    assert done.codes == [0, 0], done.err
    return folder


@pytest.fixture(scope="module")
def on_one(data, tmp_path_factory) -> Path:
    """A run on one process, without dropout, that nothing has interrupted."""
    folder = tmp_path_factory.mktemp("on_one")
    done = launch(folder, data)
    assert done.codes == [0], done.err
    return folder


def test_a_signal_to_one_of_two_processes_and_a_resumption_leave_no_trace(
    on_two, data, tmp_path
):
    """Losses, weights, moments and random states are those of the uninterrupted run,
    bit for bit.
    """
    run = {"processes": 2, "settings": {"dropout": 0.1}}
    # read a step later
    done = launch(tmp_path, data, **run, change=signal_at(9, signal.SIGTERM, rank=1))
    assert done.codes == [130, 130], done.err
    assert (
        f"stopped after step 10 of {STEPS}: the same command resumes the run"
        in done.out
    )
    assert checkpoint(tmp_path)["step"] == 10 and logged(tmp_path)[-1]["step"] == 9
    states = [process["random"][0] for process in checkpoint(tmp_path)["processes"]]
    assert not torch.equal(*states), "each process has its own random state"
    done = launch(tmp_path, data, **run)
    assert done.codes == [0, 0] and "resumed after step 10" in done.out, done.err
    assert logged(tmp_path) == logged(on_two)
    assert_same(checkpoint(tmp_path), checkpoint(on_two))


def test_what_a_run_leaves(on_two):
    """A line per step and per validation; HellaSwag and a sample at their steps; a
    plot; no unfinished file.
    """
    assert sorted(path.name for path in (on_two / "run").iterdir()) == [
        "checkpoint.pt",
        "log.jsonl",
        "log.png",
    ]
    lines = logged(on_two)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == STEPS and losses[-1] < losses[0] - 0.5
    assert all(
        line["norm"] > 0 and line["lr"] > 0 and line["mfu"] is None
        for line in lines
        if "loss" in line
    )
    assert [line["step"] for line in lines if "val" in line] == [0, 4, 8, 12]
    judged = [line for line in lines if "sample" in line]
    assert [line["step"] for line in judged] == [0, 6, 12]
    assert all(
        line["sample"].startswith("Hello, I'm a language model,") for line in judged
    )
    assert (on_two / "run" / "log.png").stat().st_size > 10_000
    said = (on_two / "out0").read_text()
    assert (on_two / "out1").read_text() == "", "only rank 0 speaks"
    assert (
        "2 × CPU, torch.float32" in said
        and f"{STEPS} steps of 1,024 tokens, 1.23 passes" in said
    )
    assert "tokens/s" in said and "MFU" not in said, (
        "no share of a peak that nobody knows"
    )


def test_one_process_makes_the_same_steps_as_two(on_one, data, tmp_path):
    """Both take the same tokens per step, across the end of a shard. HellaSwag is
    judged on all examples.
    """
    done = launch(tmp_path, data, processes=2)
    assert set(done.codes) == {0}, done.err
    for one, two in zip(logged(on_one), logged(tmp_path), strict=True):
        assert one.keys() == two.keys() and one.get("hellaswag") == two.get("hellaswag")
        for key in ("loss", "norm", "val"):
            assert one.get(key) == pytest.approx(two.get(key), abs=2e-4)


def test_a_kill_while_the_checkpoint_is_written_leaves_the_one_before(
    on_one, data, tmp_path
):
    assert launch(tmp_path, data, change=kill_in_save(2)).codes == [-signal.SIGKILL]
    assert checkpoint(tmp_path)["step"] == 4 and logged(tmp_path)[-1]["step"] == 5
    done = launch(tmp_path, data)
    assert done.codes == [0] and "resumed after step 4" in done.out, done.err
    assert logged(tmp_path) == logged(on_one)
    assert_same(checkpoint(tmp_path), checkpoint(on_one))
    done = launch(tmp_path, data)
    assert done.codes == [0] and logged(tmp_path) == logged(on_one), (
        "a run at its end stays"
    )
    done = launch(tmp_path, data, "--restart", "--steps", 1)
    assert (
        done.codes == [0]
        and "a new run" in done.out
        and checkpoint(tmp_path)["step"] == 1
    )


def test_a_full_disk_ends_the_run_with_a_clear_line_and_the_checkpoint_before(
    data, tmp_path
):
    """The thread that writes fails; the process hears of it at the next checkpoint. The
    same command goes on.
    """

    def disk_is_full_after(steps: int) -> Change:
        def change(module: ModuleType) -> None:
            whole = torch.save

            def save(state, path):
                if state["step"] > steps:
                    path.symlink_to("/dev/full")
                whole(state, path)

            torch.save = save

        return change

    done = launch(tmp_path, data, change=disk_is_full_after(4))
    assert done.codes == [2] and done.err.count("\n") == 1, done.err
    assert f"{tmp_path / 'run' / 'checkpoint.pt'} cannot be written (" in done.err
    assert checkpoint(tmp_path)["step"] == 4 and logged(tmp_path)[-1]["step"] == 7
    (tmp_path / "run" / "checkpoint.part").unlink()
    done = launch(tmp_path, data)
    assert done.codes == [0] and "resumed after step 4" in done.out, done.err


def test_a_step_is_read_while_the_next_one_is_under_way(data, tmp_path):
    """The loss is asked for once the next step has been launched, but before anything
    that needs it.
    """

    def change(module: ModuleType) -> None:
        read, sent = module.Report.read, module.Stream.next_step
        module.Report.read = lambda self: (
            print(f"read {self.line['step']}") or read(self)
        )
        module.Stream.next_step = lambda self, device: (
            print("steps") or sent(self, device)
        )

    done = launch(tmp_path, data, "--steps", 3, change=change)
    assert done.codes == [0], done.err
    seen = [
        line
        for line in done.out.splitlines()
        if line == "steps" or line.startswith("read ")
    ]
    assert seen == ["steps"] + [
        "steps",
        "steps",
        "read 0",
        "steps",
        "read 1",
        "read 2",
    ] + ["steps"], "and validation"


def test_the_tiny_preset_needs_no_download(data, tmp_path):
    done = launch(tmp_path, tmp_path / "nothing", "--preset", "tiny", "--steps", 8)
    assert done.codes == [0], done.err
    last = logged(tmp_path)[-1]
    assert (
        last["step"] == 8
        and last["sample"].startswith("The ")
        and 0 <= last["hellaswag"] <= 1
    )


def test_the_tiny_preset_trains_on_shards_of_ones_own_text(data, tmp_path, monkeypatch):
    """From text to a sample: `kata data shards`, then the program, with
    GPT-2's tokens.
    """
    monkeypatch.setattr(downloads, "DATA", data)
    (tmp_path / "mine.txt").write_text(prose()[40_000:80_000], encoding="utf-8")
    made = [
        "data",
        "shards",
        "--from",
        tmp_path / "mine.txt",
        "--into",
        tmp_path / "shards",
        "--tokens",
        "9000",
    ]
    said = CliRunner().invoke(program, [*map(str, made)])
    assert said.exit_code == 0 and "the first is for validation" in said.output, (
        said.output
    )
    done = launch(
        tmp_path, data, "--preset", "tiny", "--data", tmp_path / "shards", "--steps", 2
    )
    assert done.codes == [0], done.err
    last = logged(tmp_path)[-1]
    assert (
        last["step"] == 2
        and last["sample"].startswith("The ")
        and 0 <= last["hellaswag"] <= 1
    )
    assert len(checkpoint(tmp_path)["model"]["lm_head.weight"]) == 384, (
        "320 ids of that tokenizer, padded"
    )


def test_ctrl_c_reaches_the_processes_of_torchrun(tmp_path):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=1",
        SCRIPT,
    ]
    command += [
        "--preset",
        "tiny",
        "--out",
        tmp_path,
        "--steps",
        "1000000",
        "--device",
        "cpu",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as process:
        try:
            said = ""
            for line in process.stdout:
                said += line
                if "tokens/s" in line:
                    process.send_signal(signal.SIGINT)
                    break
            said += process.communicate()[0]
        finally:
            process.kill()
    assert "of 1,000,000: the same command resumes the run" in said, said
    assert process.returncode != 0
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] > 0


def test_a_signal_while_hellaswag_is_judged_ends_the_run_before_the_rest(
    data, tmp_path
):
    """The checkpoint was written before, and the process that got the signal judges no
    second batch.
    """

    def change(module: ModuleType) -> None:
        whole, calls = module.hellaswag.judged, []

        def judged(own, model, batch, preset):
            calls.append(1)
            # 7 of 15 examples are its own, and judged at step 0
            if os.environ["RANK"] == "1" and len(calls) > 7:
                assert len(calls) == 8, "it judges no more after the signal"
                signal.raise_signal(signal.SIGTERM)
            return whole(own, model, batch, preset)

        def one_by_one(*arguments):
            return ([one] for batch in in_batches(*arguments) for one in batch)

        in_batches = module.hellaswag.in_batches
        module.hellaswag.judged, module.hellaswag.in_batches = judged, one_by_one

    run = {"processes": 2, "settings": {"judge_every": 2, "steps": 5}}
    done = launch(tmp_path, data, **run, change=change)
    assert done.codes == [130, 130], done.err
    assert "stopped after step 2 of 5" in done.out and checkpoint(tmp_path)["step"] == 2
    assert [line["step"] for line in logged(tmp_path) if "sample" in line] == [0]
    done = launch(tmp_path, data, **run)
    assert done.codes == [0, 0] and "resumed after step 2" in done.out, done.err
    assert [line["step"] for line in logged(tmp_path) if "sample" in line] == [
        0,
        2,
        4,
        5,
    ]


def test_examples_are_judged_in_batches_as_one_by_one():
    """Endings are padded to one length, which changes nothing."""
    module, gpt = script(), reference("26_gpt_model")
    own = SimpleNamespace(hellaswag_evaluation=reference("32_hellaswag_evaluation"))
    torch.manual_seed(0)
    model = gpt.GPT(
        gpt.GPTConfig(block_size=24, vocab_size=128, n_layer=1, n_head=2, n_embd=16)
    )
    examples = [
        example | {"endings": [ending[:20] for ending in example["endings"]]}
        for example in own.hellaswag_evaluation.EMBEDDED_EXAMPLES
    ]

    def encode(text: str) -> list[int]:
        return [ord(letter) % 128 for letter in text]

    alone = own.hellaswag_evaluation.evaluate_multiple_choice(
        model, examples, encode, 24
    )
    preset = replace(module.PRESETS["tiny"], block_size=24, vocab_size=128)
    batches = list(module.hellaswag.in_batches(own, encode, examples, preset))
    assert 1 < len(batches) < len(examples) and sum(map(len, batches)) == len(examples)
    right = [module.hellaswag.judged(own, model, batch, preset) for batch in batches]
    assert sum(right) == round(alone["acc_norm"] * len(examples)) and model.training


def test_tokens_that_pad_the_vocabulary_have_no_share_in_the_loss(on_two):
    """Their logits would take probability from real tokens, and their weights would
    get gradients.
    """
    moments = [
        found["exp_avg"] for found in checkpoint(on_two)["optimizer"]["state"].values()
    ]
    padded = [moment for moment in moments if len(moment) == 384]
    assert padded and all(
        m[SMALL["vocab_size"] :].eq(0).all() and m.ne(0).any() for m in padded
    )


def test_a_run_is_resumed_with_other_rows_and_processes(on_one, data, tmp_path):
    """The tokens of a step are the same. The log says what was carried over; what
    changes the model is refused.
    """
    assert launch(
        tmp_path, data, change=signal_at(5, signal.SIGTERM, rank=0)
    ).codes == [130]
    done = launch(tmp_path, data, "--batch-size", 2, processes=2)
    assert done.codes == [0, 0], done.err
    assert (
        "resumed with 2 rows in a micro-batch, not 4" in done.out
        and "resumed with 2 processes, not 1" in done.out
    )
    for one, two in zip(logged(tmp_path), logged(on_one), strict=True):
        assert one.get("loss") == pytest.approx(two.get("loss"), abs=2e-4)
    done = launch(tmp_path, data, settings={"n_layer": 2})
    assert done.codes == [2] and "its n_layer is 1, not 2" in done.err


def test_auto_takes_the_most_rows_that_fit_and_remembers_them(data, tmp_path):
    """On a CPU half of the free memory is for what backward needs. It is not looked at
    again when the run goes on.
    """

    def with_room_for(rows: float) -> Change:
        def change(module: ModuleType) -> None:
            module.batch_size.limits.free_memory = lambda: 2 * rows * 100
            module.batch_size.bytes_of_a_row = lambda *_: 100

        return change

    done = launch(
        tmp_path, data, "--batch-size", "auto", "--steps", 2, change=with_room_for(9)
    )
    assert done.codes == [0] and "\n8 rows in a micro-batch" in done.out, done.err
    assert json.loads((tmp_path / "run" / "batch_size.json").read_text())["rows"] == 8
    done = launch(
        tmp_path, data, "--batch-size", "auto", "--steps", 2, change=with_room_for(1)
    )
    assert done.codes == [0] and "\n8 rows in a micro-batch" in done.out, done.err
    done = launch(
        tmp_path, data, "--batch-size", "auto", "--steps", 2, "--restart", processes=2
    )
    assert done.codes == [0, 0] and "\n8 rows in a micro-batch" in done.out, (
        "all 1,024 tokens, on two processes"
    )


def test_what_backward_keeps_grows_with_the_rows():
    module = script()
    layer, x = torch.nn.Linear(50, 70), torch.randn(3, 50)
    kept = [
        module.batch_size.bytes_of_a_row(
            lambda _, rows=rows: layer(x[:rows]).exp().sum(), layer
        )
        for rows in (1, 3)
    ]
    assert kept[0] == x.nbytes + 4 * 70 and kept[1] == x.nbytes + 4 * 210, (
        "the input, and the result of exp"
    )
    assert (
        module.batch_size.dividing([1024, 512], 64) == [1, 2, 4, 8]
        and module.batch_size.dividing([100], 64) == []
    )


def test_a_process_that_refuses_says_so_and_ends_the_others(on_two, data, tmp_path):
    def change(module: ModuleType) -> None:
        def load(*arguments: object, **options: object) -> None:
            raise OSError("Permission denied")

        if os.environ["RANK"] == "1":
            module.torch.load = load

    shutil.copytree(on_two / "run", tmp_path / "run")
    done = launch(tmp_path, data, processes=2, settings={"dropout": 0.1}, change=change)
    assert done.codes == [2, 2]
    assert sorted(done.err.splitlines()) == [
        "train_gpt2.py: rank 0: ended, since rank 1 refused",
        f"train_gpt2.py: rank 1: {tmp_path / 'run' / 'checkpoint.pt'} cannot be "
        "resumed (Permission denied): take another --out, or --restart",
    ]


def test_a_speedrun_is_resumed_bit_for_bit_and_by_no_other_recipe(data, tmp_path):
    """Muon's momentum and AdamW's moments are in the checkpoint. The models of two
    recipes have other weights.

    It is resumed where a stage of the schedules begins, and validated there.
    """
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    run = {"processes": 2, "settings": {"steps": 6, "val_every": 2}}
    done = launch(tmp_path / "whole", data, "--recipe", "speedrun", **run)
    assert done.codes == [0, 0], done.err
    assert (
        "todays_block, muon_and_schedules" in done.out
        and "document windows, with usual attention and masks" in done.out
    )
    losses = [line["loss"] for line in logged(tmp_path / "whole") if "loss" in line]
    assert len(losses) == 6 and losses[-1] < losses[0] - 0.2
    tokens = [line["tokens"] for line in logged(tmp_path / "whole") if "loss" in line]
    assert tokens == [512, 512, 1024, 1024, 1536, 1536], "the schedule of the batch"
    cut = launch(
        tmp_path / "cut",
        data,
        "--recipe",
        "speedrun",
        **run,
        change=signal_at(1, signal.SIGTERM, rank=1),
    )
    assert cut.codes == [130, 130], cut.err
    done = launch(tmp_path / "cut", data, settings={"steps": 6})
    assert done.codes == [2] and "its recipe is speedrun, not gpt2" in done.err
    done = launch(tmp_path / "cut", data, "--recipe", "speedrun", **run)
    assert done.codes == [0, 0] and "resumed after step 2" in done.out, done.err
    assert logged(tmp_path / "cut") == logged(tmp_path / "whole")
    assert_same(checkpoint(tmp_path / "cut"), checkpoint(tmp_path / "whole"))


def test_a_speedrun_without_some_of_its_parts_is_another_recipe(data, tmp_path):
    """Its steps have as many tokens as GPT-2's, since the schedules are
    missing, too.
    """
    run = {"settings": {"steps": 3}}
    done = launch(
        tmp_path,
        data,
        "--recipe",
        "speedrun",
        "--without",
        "schedules",
        "bigram",
        "muon",
        **run,
    )
    assert done.codes == [0], done.err
    assert [line["tokens"] for line in logged(tmp_path) if "loss" in line] == 3 * [1024]
    assert not any("bigram" in name for name in checkpoint(tmp_path)["model"])
    assert [*checkpoint(tmp_path)["optimizer"]] == ["AdamW"]
    done = launch(tmp_path, data, "--recipe", "speedrun", **run)
    assert (
        done.codes == [2]
        and "its recipe is speedrun without muon, bigram, schedules, not speedrun"
        in done.err
    )
    done = launch(tmp_path, data, "--without", "bigram")
    assert (
        done.codes == [2]
        and "--without leaves out parts of --recipe speedrun" in done.err
    )


def test_a_checkpoint_without_a_recipe_is_gpt2s(on_two, data, tmp_path):
    (tmp_path / "run").mkdir()
    state = checkpoint(on_two)
    assert state["settings"].pop("recipe") == "gpt2"
    torch.save(state, tmp_path / "run" / "checkpoint.pt")
    (tmp_path / "run" / "log.jsonl").write_text(
        (on_two / "run" / "log.jsonl").read_text()
    )
    done = launch(tmp_path, data, settings={"dropout": 0.1})
    assert done.codes == [0] and f"resumed after step {STEPS}" in done.out, done.err


def test_muon_takes_the_hidden_matrices_of_a_speedrun_and_the_rates_fall_in_a_line():
    module, gpt = script(), reference("26_gpt_model")
    config = gpt.GPTConfig(block_size=8, vocab_size=64, n_layer=2, n_head=2, n_embd=16)
    model = module.speedrun.SpeedrunGPT(reference("today/01_todays_block"), config, 63)
    today = reference("today/02_muon_and_schedules")
    muon, adamw = module.speedrun.Optimizers(
        today, model, 3e-3, None, compiles=False
    ).param_groups
    assert len(muon["params"]) == 12 and {id(p) for p in muon["params"]} == {
        id(p) for p in model.blocks.parameters() if p.ndim == 2
    }
    assert len(muon["params"]) + len(adamw["params"]) == len(list(model.parameters()))
    tables = 64 + 5 * 64 + 64  # of tokens, pairs and values
    assert model.num_params() == model.num_params(non_embedding=True) + tables * 16
    preset = replace(
        module.PRESETS["tiny"], **module.RECIPES["speedrun"], steps=100, warmup_steps=10
    )
    rates = [
        module.speedrun.schedule(today, preset, [])(step) * 1000
        for step in (0, 9, 60, 80, 100)
    ]
    assert rates == pytest.approx([0.3, 3, 3, 1.5, 0])
    assert (
        module.speedrun.schedule(today, replace(preset, steps=1, warmup_steps=0), [])(0)
        > 0
    )


def test_the_last_id_of_the_tiny_presets_tokenizer_ends_a_text():
    """The recipe speedrun tells documents apart by it. GPT-2's is 50256, of 50257."""
    kata = reference("33_gpt_capstone")
    assert (
        kata.prepare(kata.prose_documents()).eot
        == script().PRESETS["tiny"].vocab_size - 1
    )
    assert script().PRESETS["tiny"].vocab_size != script().PRESETS["124M"].vocab_size


@pytest.mark.parametrize("rank", ["0", "1"])
def test_more_processes_than_gpus_are_refused_on_every_rank(rank, monkeypatch, capsys):
    module = script()
    for name, value in {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    own = SimpleNamespace(
        generation=SimpleNamespace(pick_device=lambda _: torch.device("cuda"))
    )
    with pytest.raises(SystemExit) as end:
        module.joined(
            own,
            SimpleNamespace(rank=int(rank), local_rank=int(rank), world_size=2),
            "cuda",
        )
    complaint = (
        f"train_gpt2.py: rank {rank}: each of 2 processes needs a GPU of its own, and "
        "there are 1\n"
    )
    assert end.value.code == 2 and capsys.readouterr().err == complaint


def test_the_next_batch_is_on_its_way_to_a_gpu_before_a_step_gets_one():
    """This is the order of the calls. What it saves was not measured: that takes
    a GPU.
    """
    calls = []

    class Batch:
        def __init__(self, number: int):
            self.number = number
            calls.append(("cut", number))

        def pin_memory(self):
            calls.append(("pinned", self.number))
            return self

        def to(self, device, non_blocking):
            calls.append(("sent", self.number, non_blocking))
            return self

    batches = script().on(
        torch.device("cuda"), ((Batch(number), Batch(number)) for number in range(3))
    )
    next(batches)
    assert (
        calls[-1] == ("sent", 1, True)
        and ("pinned", 1) in calls
        and ("cut", 2) not in calls
    )
    assert [batch.number for batch, _ in batches] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "settings", "complaint"),
    [
        (
            ["--data", "nowhere"],
            {},
            "nowhere has no shards (.bin or .npy) with 'train' in their names",
        ),
        (
            ["--batch-size", 7],
            {},
            "1,024 tokens are no multiple of 1 processes × 7 rows × 64 tokens",
        ),
        (
            [],
            {"tokens_per_step": 8192},
            "8,193 tokens of one shard are needed at once, and the longest has 5,500",
        ),
        (
            [],
            {"vocab_size": 200},
            "has the token id 299, and this preset has only 200 ids",
        ),
        (["--steps", 0], {}, "--steps and --batch-size are at least 1"),
        (["--device", "abacus"], {}, "there is no device of the name 'abacus'"),
    ],
    ids=["no shards", "batch size", "short shards", "vocabulary", "no steps", "device"],
)
def test_what_cannot_be_trained_is_one_clear_line(
    data, tmp_path, arguments, settings, complaint
):
    done = launch(tmp_path, data, *arguments, settings=settings)
    assert done.codes == [2] and done.err.count("\n") == 1, done.err
    assert done.err.startswith("train_gpt2.py: ") and complaint in done.err


def test_processes_that_do_not_divide_the_tokens_of_a_step(data, tmp_path):
    done = launch(tmp_path, data, processes=3)
    assert done.codes == [2, 2, 2]
    assert (
        "1,024 tokens are no multiple of 3 processes × 4 rows × 64 tokens: change "
        "the number"
    ) in done.err


def test_data_that_is_not_there(tmp_path):
    done = launch(tmp_path, tmp_path / "nothing")
    assert (
        done.codes == [2]
        and "download a sample with `kata data fineweb_edu`" in done.err
    )


@pytest.mark.parametrize("damage", ["header", "length"])
def test_a_damaged_shard(data, tmp_path, damage):
    shard(tmp_path / "train.bin", np.arange(9000) % 300)
    shard(tmp_path / "val.bin", np.arange(9000) % 300)
    if damage == "header":
        (tmp_path / "val.bin").write_bytes(bytes(30_000))
    else:
        os.truncate(tmp_path / "val.bin", 10_000)
    done = launch(tmp_path, data, "--data", tmp_path)
    expected = {
        "header": "its header is not that of a shard",
        "length": "it has 10,000 bytes, and its header promises",
    }
    assert (
        done.codes == [2]
        and f"{tmp_path}/val.bin cannot be read: {expected[damage]}" in done.err
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--seed", 5], "its seed is 1337, not 5"),
        ([], "checkpoint.pt cannot be resumed ("),
    ],
    ids=["other settings", "not a checkpoint"],
)
def test_a_checkpoint_that_cannot_be_resumed(
    data, tmp_path, on_two, arguments, complaint
):
    (tmp_path / "run").mkdir()
    if arguments:
        content = (on_two / "run" / "checkpoint.pt").read_bytes()
    else:
        content = b"PK\x03\x04 no checkpoint"
    (tmp_path / "run" / "checkpoint.pt").write_bytes(content)
    done = launch(tmp_path, data, *arguments, settings={"dropout": 0.1})
    assert done.codes == [2] and done.err.count("\n") == 1 and complaint in done.err
    assert "take another --out, or --restart" in done.err
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == content


@pytest.mark.parametrize("world_size", [1, 2])
def test_a_stream_gives_the_batches_of_a_data_loader(tmp_path, world_size):
    """With one micro-batch per step it is the reference's DataLoaderLite, to the next
    shard and back.
    """
    batches = reference("24_token_batches")
    for i, (first, count) in enumerate(((0, 61), (100, 40))):
        np.save(
            tmp_path / f"train_{i}.npy",
            np.arange(first, first + count, dtype=np.uint16),
        )
    paths = sorted(tmp_path.glob("*.npy"))
    module = script()
    shards = module.mapped(tmp_path, "train", module.PRESETS["124M"])
    own = SimpleNamespace(token_batches=batches)
    for rank in range(world_size):
        loader = batches.DataLoaderLite(paths, 2, 5, rank, world_size)
        info = SimpleNamespace(rank=rank, world_size=world_size)
        stream = module.Stream(own, shards, 10 * world_size, 2, 5, info)
        for _ in range(12):
            [(x, y)] = stream.next_step(torch.device("cpu"))
            expected = loader.next_batch()
            assert torch.equal(x, expected[0]) and torch.equal(y, expected[1])


def test_shards_are_not_copied(tmp_path):
    tokens = np.arange(2_000_000, dtype=np.uint16) % 300
    shard(tmp_path / "train_0.bin", tokens)
    np.save(tmp_path / "train_1.npy", tokens)
    module = script()
    tracemalloc.start()
    try:
        # reads the header, for which Python 3.14 takes 290 kB
        np.load(tmp_path / "train_1.npy", mmap_mode="r")
        needed = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        shards = module.mapped(tmp_path, "train", module.PRESETS["124M"])
        assert tracemalloc.get_traced_memory()[1] < needed + 100_000
    finally:
        tracemalloc.stop()
    for mapped in shards:
        assert mapped.dtype == torch.uint16 and np.array_equal(mapped.numpy(), tokens)


def test_a_starter_without_solutions_says_what_to_finish_first(tmp_path):
    export.starter(tmp_path / "starter", [catalogue.find("33")], None, Rules())
    handed_out = tmp_path / "starter" / "katas" / SCRIPT.parent.name / SCRIPT.name
    assert handed_out.read_bytes() == SCRIPT.read_bytes()
    done = launch(tmp_path, tmp_path / "nothing", "--preset", "tiny", path=handed_out)
    assert done.codes == [2]
    assert (
        done.err
        == "train_gpt2.py: finish 23_tokenizers first: CharTokenizer: not written yet\n"
    )
