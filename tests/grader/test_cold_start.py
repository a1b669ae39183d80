"""Modules that a cold `pytest katas/16` must not import: each works as before once it
is needed.
"""

import subprocess
import sys

import pytest

from grader.course.catalogue import ROOT

TORCH = """
import sys
import torch
from grader.specs import check, torch_private

def trained(optimizer):
    w = torch.ones(3, requires_grad=True)
    optimizer = optimizer([w], lr=0.1)
    optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)]})
    for _ in range(2):
        optimizer.zero_grad()
        optimizer.step(lambda: (w ** 2).sum().backward())
    optimizer.load_state_dict(optimizer.state_dict())
    return w.tolist()

class Mode(torch.utils._python_dispatch.TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))

try:
    check.close(torch.ones(2, 3), torch.zeros(2, 3))
except check.Mismatch as error:
    assert "largest difference 1 at [0, 0]" in str(error)
assert "sympy" not in sys.modules, "a comparison imports it"

torch_private.import_compiler_late()
optimizers = [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop]
unmarked = [trained(optimizer) for optimizer in optimizers]
with Mode():
    torch.ones(2) + 1
product = torch.ones(2, 3, device="meta") @ torch.ones(3, 4, device="meta")
assert product.tril().shape == (2, 4)
assert torch.is_grad_enabled()
assert "torch._dynamo" not in sys.modules, "something imports the compiler"

compiled = torch.compile(lambda x: x + 1, backend="eager")
assert compiled(torch.ones(2)).tolist() == [2.0, 2.0]
assert "torch._dynamo" in sys.modules
assert [trained(optimizer) for optimizer in optimizers] == unmarked
marked = torch.optim.Optimizer.zero_grad.__wrapped__.__dynamo_disable
assert marked._torchdynamo_disable, "zero_grad is not kept from the compiler"
"""

SPECS = """
from hypothesis import given, settings, strategies as st

class TestDouble:
    @settings(max_examples=3)
    @given(x=st.integers(0, 5))
    def test_twice(self, x):
        assert settings.default.derandomize
        assert self.test_twice._hypothesis_internal_use_settings.derandomize
"""
REPORT = """
import sys

def pytest_unconfigure(config):
    hook = config.pluginmanager.rewrite_hook
    names = hook._rewritten_names
    print("rewritten:", *sorted(n for n in names if n.startswith("hypothesis")))
    heavy = {"hypothesis", "anyio", "torch._dynamo"}
    print("imported:", *sorted(heavy & set(sys.modules)))
"""


def test_torch_imports_its_compiler_only_to_compile():
    done = subprocess.run(
        [sys.executable, "-c", TORCH], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("uses_hypothesis", [False, True])
def test_hypothesis_is_imported_by_its_users_and_not_rewritten(
    tmp_path, uses_hypothesis
):
    specs = SPECS if uses_hypothesis else "def test_nothing():\n    pass\n"
    (tmp_path / "test_it.py").write_text(specs)
    (tmp_path / "report.py").write_text(REPORT)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "report",
        f"--rootdir={ROOT}",
        f"-c{ROOT / 'pyproject.toml'}",
    ]
    command += [
        "-p",
        "grader.specs.plugin",
        "-p",
        "no:cacheprovider",
        str(tmp_path / "test_it.py"),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rewritten:\n" in done.stdout and "warning" not in done.stdout
    assert f"imported:{' hypothesis' if uses_hypothesis else ''}\n" in done.stdout, (
        done.stdout
    )


APART = """
import sys

def pytest_unconfigure(config):
    rooms = ("grader.lock", "grader.isolation.s", "grader.execution.scheduler")
    print("apart:", *sorted(name for name in sys.modules if name.startswith(rooms)))
"""


def test_plain_pytest_imports_no_sandbox_and_no_scheduler(tmp_path):
    """Specs run beside the code, and what judges elsewhere is not needed for that."""
    (tmp_path / "apart.py").write_text(APART)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "apart", "-p", "no:cacheprovider"]
        + ["katas/16", "--code", "solutions", "-k", "TestSplitHeads"],
        cwd=ROOT,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "apart: grader.isolation.state\n" in done.stdout, done.stdout
