"""Points without answers: false reports, patched judges, lying objects."""

from tests.attacks import Attack

REPORT = '{"result": "TestDouble::test_every_value_is_doubled", "status": "passed", "message": "", "seconds": 0.0}'
DONE = '{"done": true, "cpu": 0.1}'
ALL_TRUE = """
class Liar:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __getattr__(self, name): return Liar()
    def __call__(self, *a, **k): return Liar()
    def __iter__(self): return iter([])
    def __len__(self): return 1
    def __hash__(self): return 0
"""
SUBCLASS = """
class Lying(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in ("all", "equal", "allclose", "isclose", "eq", "__eq__", "__or__"):
            return torch.ones((), dtype=torch.bool)
        if name in ("any", "ne", "__ne__", "__invert__"):
            return torch.zeros((), dtype=torch.bool)
        return super().__torch_function__(func, types, args, kwargs or {})
"""


def patched(target: str, value: str, imports: str = "") -> str:
    return f"import torch, sys, builtins, operator, time, math, numpy\n{imports}\n{target} = {value}\n"


TRUE, NOTHING = "lambda *a, **k: True", "lambda *a, **k: None"

ATTACKS = [
    Attack("exits with code 0 when imported", "import os\nos._exit(0)"),
    Attack("exits with code 0 when called", "import os\ndef double(x): os._exit(0)\ntotal = double\nDoubler = double"),
    Attack("raises SystemExit(0) when imported", "raise SystemExit(0)"),
    Attack("raises SystemExit(0) when called", "def double(x): raise SystemExit(0)"),
    Attack("raises KeyboardInterrupt when called", "def double(x): raise KeyboardInterrupt"),
    Attack("raises GeneratorExit when called", "def double(x): raise GeneratorExit"),
    Attack("raises pytest's own Exit", "def double(x):\n    import pytest\n    pytest.exit('done', 0)"),
    Attack(
        "skips its specs",
        "def double(x):\n    import pytest\n    pytest.skip('not today')\ntotal = double\nDoubler = double",
    ),
    Attack("skips while imported", "import pytest\npytest.skip('not today', allow_module_level=True)"),
    Attack(
        "expects to fail",
        "def double(x):\n    import pytest\n    pytest.xfail('as planned')\ntotal = double\nDoubler = double",
    ),
    Attack("raises unittest's SkipTest", "def double(x):\n    import unittest\n    raise unittest.SkipTest('x')"),
    Attack("prints a report", f"print('''{REPORT}\\n{DONE}''', flush=True)\nimport os\nos._exit(0)"),
    Attack("prints what pytest prints", "print('3 passed in 0.01s')\nimport os\nos._exit(0)"),
    Attack("writes a report file", "open('report.json', 'w').write('{\"points\": 3}')\nimport os\nos._exit(0)"),
    Attack("writes JUnit XML", "open('junit.xml', 'w').write('<testsuite tests=\"3\" failures=\"0\"/>')"),
    Attack(
        "writes to every file descriptor",
        f"import os, struct\nfor text in (b'''{REPORT}''', b'''{DONE}'''):\n    for fd in range(3, 64):\n        try: os.write(fd, struct.pack('!i', len(text)) + text)\n        except OSError: pass",
    ),
    Attack(
        "writes with a made-up signature",
        f"import os, struct\ntext = b'x' * 32 + b'''{REPORT}'''\nfor fd in range(3, 64):\n    try: os.write(fd, struct.pack('!i', len(text)) + text)\n    except OSError: pass\nos._exit(0)",
    ),
    Attack("closes every file descriptor", "import os\nos.closerange(0, 256)"),
    Attack("patches torch.allclose", patched("torch.allclose", TRUE)),
    Attack("patches torch.equal", patched("torch.equal", TRUE)),
    Attack("patches torch.isclose", patched("torch.isclose", "lambda a, b, **k: torch.ones_like(a, dtype=torch.bool)")),
    Attack("patches torch.arange", patched("torch.arange", "lambda *a, **k: torch.zeros(2, 3)")),
    Attack(
        "patches Tensor.__eq__", patched("torch.Tensor.__eq__", "lambda a, b: torch.ones(a.shape, dtype=torch.bool)")
    ),
    Attack("patches Tensor.__add__", patched("torch.Tensor.__add__", "lambda a, b: a")),
    Attack("patches Tensor.any", patched("torch.Tensor.any", "lambda *a, **k: False")),
    Attack("patches Tensor.shape's owner", patched("torch.Tensor.dim", "lambda self: 0")),
    Attack(
        "patches torch.testing.assert_close", patched("torch.testing.assert_close", NOTHING, "import torch.testing")
    ),
    Attack("patches numpy.allclose", patched("numpy.allclose", TRUE)),
    Attack("patches operator.eq", patched("operator.eq", TRUE)),
    Attack("patches builtins.isinstance", patched("builtins.isinstance", TRUE)),
    Attack("patches builtins.all", patched("builtins.all", TRUE)),
    Attack("patches builtins.sum", patched("builtins.sum", "lambda *a: a[0][0]")),
    Attack("patches builtins.__import__", patched("builtins.__import__", "lambda *a, **k: sys")),
    Attack("removes builtins.len", "import builtins\ndel builtins.len"),
    Attack("patches math.isclose", patched("math.isclose", TRUE)),
    Attack("patches the clock", patched("time.monotonic", "lambda: 0.0")),
    Attack("patches time.sleep", patched("time.sleep", NOTHING)),
    Attack(
        "patches json.dumps",
        "import json\nold = json.dumps\njson.dumps = lambda o, **k: old(o, **k).replace('failed', 'passed')",
    ),
    Attack(
        "patches the grader's check",
        "import grader.specs.check\ngrader.specs.check.equal = grader.specs.check.that = lambda *a, **k: None",
    ),
    Attack(
        "empties the list of judges",
        "import grader.isolation.guard as guard\nguard.judged().clear()\nimport grader.specs.check\ngrader.specs.check.equal = grader.specs.check.that = lambda *a, **k: None",
    ),
    Attack(
        "patches the grader's comparison",
        "import grader.specs.check\ngrader.specs.check._agree = lambda a, b, t: torch.ones(a.shape, dtype=torch.bool)",
    ),
    Attack(
        "patches the grader's reporter",
        "import grader.execution.worker\ngrader.execution.worker.Reporter.send = lambda *a, **k: None",
    ),
    Attack(
        "patches the grader's failures",
        "import grader.specs.failures\ngrader.specs.failures.explain = lambda *a, **k: None",
    ),
    Attack(
        "patches the grader by sys.modules",
        "import sys\nsys.modules['grader.specs.check'].raises = lambda *a: __import__('contextlib').nullcontext()",
    ),
    Attack(
        "replaces the grader's Mismatch",
        "import grader.specs.check\ngrader.specs.check.Mismatch = type('Never', (Exception,), {})",
    ),
    Attack("patches pytest's outcomes", "import _pytest.outcomes\n_pytest.outcomes.fail = lambda *a, **k: None"),
    Attack("patches pytest's runner", "import _pytest.runner\n_pytest.runner.pytest_runtest_call = lambda item: None"),
    Attack(
        "patches pytest's functions",
        "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None",
        "nothing",
    ),
    Attack("patches pluggy", "import pluggy._callers\npluggy._callers._multicall = lambda *a, **k: []"),
    Attack(
        "patches unittest.mock",
        "import unittest.mock\nunittest.mock.patch = lambda *a, **k: __import__('contextlib').nullcontext()",
    ),
    Attack(
        "patches hypothesis", "import hypothesis\nhypothesis.given = lambda *a, **k: (lambda f: (lambda self: None))"
    ),
    Attack(
        "rewrites a function's code",
        "import grader.specs.check\ngrader.specs.check.equal.__code__ = (lambda got, expected, *, unlike=None, what='': None).__code__",
    ),
    Attack(
        "rewrites a function's defaults",
        "import torch\ntorch.Tensor.backward.__code__ = (lambda *a, **k: None).__code__",
    ),
    Attack("leaves a conftest.py", "open('conftest.py', 'w').write('def pytest_runtest_call(item): pass')"),
    Attack("leaves a pytest.ini", "open('pytest.ini', 'w').write('[pytest]\\naddopts = --collect-only')"),
    Attack("leaves a sitecustomize.py", "open('sitecustomize.py', 'w').write('import os; os._exit(0)')"),
    Attack("leaves a torch.py", "open('torch.py', 'w').write('allclose = lambda *a: True')"),
    Attack(
        "returns what equals everything",
        ALL_TRUE + "def double(x): return Liar()\ntotal = lambda x, dim=0: Liar()\nDoubler = lambda: Liar()",
    ),
    Attack(
        "returns a number that equals everything",
        "class N(float):\n    def __eq__(self, o): return True\ndef double(x): return N(1)\ntotal = double\nDoubler = lambda: double",
    ),
    Attack(
        "returns a lying subclass of Tensor",
        SUBCLASS
        + "def double(x): return x.as_subclass(Lying)\ndef total(x, dim=0): return x.as_subclass(Lying)\nDoubler = lambda: double",
    ),
    Attack(
        "returns a parameter that lies about its shape",
        "class P(torch.nn.Parameter):\n    shape = property(lambda s: torch.Size([2, 3]))\ndef double(x): return P(x[0, 0])",
    ),
    Attack("raises an AssertionError that says passed", "def double(x): raise AssertionError('passed')"),
    Attack("raises what a spec expects, always", "def total(x, dim=0): raise ValueError('no dimension')", "nothing"),
    Attack("is a module of another name", "import sys\nsys.modules[__name__] = type(sys)('other')"),
    Attack(
        "answers by module __getattr__",
        "del double, total, Doubler\ndef __getattr__(name): return lambda *a, **k: None",
    ),
    Attack("installs a trace function", "import sys\nsys.settrace(lambda *a: None)\nraise SystemExit"),
    Attack("adds an audit hook", "import sys\nsys.addaudithook(lambda *a: None)\nraise SystemExit"),
    Attack(
        "replaces a judge while it is called and puts it back",
        "import grader.specs.check\ndef double(x):\n    old = grader.specs.check.equal\n    def equal(*a, **k): grader.specs.check.equal = old\n    grader.specs.check.equal = equal\n    return x",
        "open",
    ),
]
