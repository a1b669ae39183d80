"""The likely causes of failures: what is named, and what must not be."""

import importlib.util
import itertools
import sys
from types import SimpleNamespace

import pytest

from grader.course.description import Exercise
from grader.failure import LIKE, MEANS
from grader.specs import sources
from grader.specs.causes import Case

HEAD = "import numpy as np\nimport torch\nfrom torch import nn\n\n"
SPECS = (
    HEAD
    + "from grader.specs import check\n\nx = torch.ones(2, 3)\n\n\ndef spec(kata):\n"
)
number = itertools.count()


@pytest.fixture
def said(tmp_path):
    """A function that runs a spec on a learner's code, and returns what the failure's
    cause is said to be.
    """

    def loaded(name: str, text: str):
        path = tmp_path / f"{name}_{next(number)}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[module.__name__] = module
        spec.loader.exec_module(module)
        return module

    def call(code: str, spec: str) -> str:
        kata = loaded("learner", HEAD + code)
        specs = loaded(
            "specs", SPECS + "".join(f"    {line}\n" for line in spec.splitlines())
        )
        try:
            specs.spec(kata)
        except Exception as error:
            one = Exercise("f", "TestF", stretch=False)
            of_kata = SimpleNamespace(exercises=[one], folder=tmp_path)
            rows, found = sources.asked(
                Case(error, kata, of_kata, one, vars(specs), (specs.__file__,), spec)
            )
            return " ".join(
                f"{label}: {text}"
                for label, text in [*rows, *((one.label, one.text) for one in found)]
            )
        raise AssertionError("the spec passes")

    return call


def test_each_source_is_silenced_by_earlier_ones_alone():
    names = [source.name for source in sources.SOURCES]
    assert len(names) == len({*names})
    for place, source in enumerate(sources.SOURCES):
        assert {*source.silenced_by} <= {LIKE, MEANS, *names[:place]}


NO_RETURN = "def f(x):\n    x + 1\n"
LAYER = "class Layer(nn.Module):\n    def forward(self, x):\n        x + 1\n"
SOME = "def f(x):\n    if x is None:\n        return 1\n"


@pytest.mark.parametrize(
    ("code", "spec"),
    [
        (NO_RETURN, "a, b = kata.f(x)"),
        (NO_RETURN, "kata.f(x).shape"),
        (NO_RETURN, "got = kata.f(x)\ngot['a']"),
        (NO_RETURN, "check.equal(kata.f(x), x)"),
        (NO_RETURN, "check.close(kata.f(x), x)"),
        (
            NO_RETURN,
            (
                "got = kata.f(x)\n"
                "check.that(isinstance(got, dict), f'expected a dict, not {got}')"
            ),
        ),
        (
            NO_RETURN,
            (
                "def helper(f):\n    got = f(x)\n    check.shape(got, (2, 3))\n"
                "helper(kata.f)"
            ),
        ),
        (
            NO_RETURN,
            (
                "def helper(f):\n    check.shape(f(x), (2, 3))\n"
                "helper(lambda x: kata.f(x))"
            ),
        ),
        (NO_RETURN, "check.gradients(kata.f, lambda x: x, x)"),
        (NO_RETURN, "torch.stack([kata.f(x), x])"),
        ("@torch.no_grad()\n" + NO_RETURN, "kata.f(x).shape"),
        (NO_RETURN.replace("x + 1", "print(x)\n    return"), "len(kata.f(x))"),
        (NO_RETURN + "\n\ndef g(x):\n    y = f(x)\n    return y + 1\n", "kata.g(x)"),
        (
            NO_RETURN
            + "\n\ndef g(x):\n    y = f(x) if len(x) else x\n    return y + 1\n",
            "kata.g(x)",
        ),
        (LAYER, "kata.Layer()(x).shape"),
        (LAYER, "layer = kata.Layer()\ncheck.shape(layer(x), (2, 3))"),
        (LAYER.replace("forward", "step"), "kata.Layer().step(x).shape"),
    ],
)
def test_a_missing_return_is_named(said, code, spec):
    assert "nothing was returned: `return` is missing in " in said(code, spec)


def test_a_way_without_return_is_named(said):
    for spec in (
        "check.equal(kata.f(x), 1)",
        "got = kata.f(x)\ngot + x",
        "a, b = kata.f(x)",
        "kata.f(x).shape",
    ):
        assert "one way through f ends without `return`" in said(SOME, spec)


@pytest.mark.parametrize(
    ("code", "spec"),
    [
        ("def f(x) -> None:\n    x + 1\n", "kata.f(x).shape"),
        ("def f(x):\n    return {}.get('a')\n", "kata.f(x).shape"),
        (
            (
                "def f(x):\n    if x is None:\n        return 1\n    else:\n"
                "        return None or x.grad\n"
            ),
            "kata.f(x).shape",
        ),
        (
            (
                "def f(x):\n    try:\n        return x.grad\n    except ValueError:\n"
                "        raise\n"
            ),
            "kata.f(x).shape",
        ),
        ("def f(x):\n    while True:\n        return x.grad\n", "kata.f(x).shape"),
        (
            "def f(x):\n    with torch.no_grad():\n        return x.grad\n",
            "check.equal(kata.f(x), x)",
        ),
        ("def train(x):\n    x + 1\n", "kata.train(x)\ncheck.close(x.grad, x)"),
        (
            (
                "def train(x):\n    x + 1\n\n\ndef f(x):\n    train(x)\n"
                "    return x.grad\n"
            ),
            "kata.f(x).shape",
        ),
        ("def train(x):\n    x + 1\n", "done = kata.train(x)\ncheck.equal(x.grad, x)"),
        ("def train(x):\n    x + 1\n", "kata.train(x)\nx.grad.shape"),
        (
            SOME.replace("is None", "is not None").replace("1", "x"),
            "check.equal(kata.f(x).grad, x)",
        ),
        (
            SOME.replace("is None", "is not None").replace("1", "x"),
            "kata.f(x) + x.grad",
        ),
        ("def f(x):\n    yield None\n", "check.equal(next(kata.f(x)), x)"),
        ("def f(x):\n    return x, None\n", "check.equal(kata.f(x), (x, x))"),
        (NO_RETURN, "kata.f(x)\nraise ValueError('None of these')"),
        (
            "def f(x):\n    return x.detach().requires_grad_(False).sum().backward()\n",
            "kata.f(x)",
        ),
    ],
)
def test_nobody_is_blamed_for_a_none_that_is_meant(said, code, spec):
    assert "looks like" not in said(code, spec)


def test_a_module_without_super_init(said):
    code = "class Layer(nn.Module):\n    def __init__(self):\n        self.{} = {}\n"
    for name, value in (("a", "nn.Linear(2, 2)"), ("a", "nn.Parameter(torch.ones(2))")):
        assert "the first line of Layer.__init__" in said(
            code.format(name, value), "kata.Layer()"
        )
    late = (
        "class Layer(nn.Module):\n    def __init__(self):\n"
        "        self.register_buffer('a', torch.ones(1))\n"
    )
    assert "`super().__init__()` has not run" in said(late, "kata.Layer()")
    unused = "class Layer(nn.Module):\n    def __init__(self):\n        self.n = 2\n"
    assert "`super().__init__()` has not run" in said(unused, "kata.Layer()(x)")
    assert said("class Layer(nn.Module):\n    pass\n", "kata.Layer().weight") == ""
    typo = (
        "class Layer(nn.Module):\n    def __init__(self):\n        self.n = self.m\n"
        "        super().__init__()\n"
    )
    assert said(typo, "kata.Layer()") == "means: `self.m` is read here, and not set"
    inside = (
        "class Layer(nn.Linear):\n    def __init__(self):\n"
        "        super().__init__(2, 'a')\n"
    )
    assert "`super" not in said(inside, "kata.Layer()")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "a @ b",
            (
                "in a @ b the last size of a, 5, must equal the last but one of b, 3: "
                "a transpose of b would fit"
            ),
        ),
        ("b @ a.exp()", "shapes: b: (3, 5) a: (2, 5)"),
        ("(a.mT @ b).sum()", "shapes: a: (2, 5) b: (3, 5)"),
        ("torch.tanh(a + b)", "sizes 2 and 3 at dimension −2 do not broadcast"),
        ("torch.cat([a, c])", "shapes: a: (2, 5) c: (4,)"),
        ("nn.functional.cross_entropy(d, e)", "takes the classes in dimension 1"),
        (
            "nn.functional.cross_entropy(d.mT, e[:, :2])",
            "takes the classes in dimension 1",
        ),
        ("a.view(3, 4)", "shapes: a: (2, 5)"),
        ("a.numpy() @ b.numpy()", "shapes: a: (2, 5) b: (3, 5)"),
        (
            "layer(b)",
            "shapes: layer: Linear(in_features=2, out_features=4, bias=True) b: (3, 5)",
        ),
        ("a[7]", "shapes: a: (2, 5)"),
    ],
)
def test_the_shapes_at_the_line_that_raised(said, line, words):
    code = f"""def f(x):
    a, b, c, layer = torch.ones(2, 5), torch.ones(3, 5), torch.ones(4), nn.Linear(2, 4)
    d, e = torch.ones(2, 3, 4), torch.zeros(2, 3).long()
    unrelated = torch.ones(9)
    return {line}
"""
    found = said(code, "kata.f(x)").replace("\n", " ")
    assert words in found
    assert "unrelated" not in found and "(9,)" not in found


def test_nothing_is_evaluated_to_name_a_shape(said):
    code = """class Box:
    reads = 0

    @property
    def size_of_b(self):
        Box.reads += 1
        return torch.ones(3)


def f(x):
    box = Box()
    return torch.ones(2) + box.size_of_b
"""
    spec = "try:\n    kata.f(x)\nfinally:\n    kata.before = kata.Box.reads"
    assert "shapes:" not in said(code, spec)
    assert "shapes:" not in said(
        code + "\n\nassert Box.reads == 0\n", spec + "\n    assert kata.before == 1"
    )


def test_dtypes_where_they_are_the_matter(said):
    code = "def f(x):\n    layer = nn.Linear(3, 2)\n    return layer(x.double())\n"
    assert "dtypes:" not in said(code, "kata.f(x)"), (
        "the names at the line have one dtype"
    )
    code = "def f(x):\n    y = x.double().T\n    return x @ y\n"
    assert "dtypes: x: float32 y: float64" in said(code, "kata.f(x)").replace("\n", " ")
    code = (
        "def f(x):\n    loss, y = nn.NLLLoss(), x.double()\n"
        "    return loss(y, x[:, 0])\n"
    )
    assert "dtypes: y: float64 x: float32" in said(code, "kata.f(x)").replace(
        "\n", " "
    ), "a loss has none"


def test_an_error_about_something_else_has_no_shapes(said):
    assert (
        said(
            "def f(x):\n    raise ValueError(f'a wrong shape: {x.shape}')\n",
            "kata.f(x)",
        )
        == ""
    )
    assert "shapes" not in said("def f(x):\n    return x.T.view(6)\n", "kata.f(x)")
    assert "shapes" not in said(
        "def f(x):\n    return x.sum().backward()\n", "kata.f(x)"
    )
    assert (
        said("def f(x):\n    raise ValueError('lr must be positive')\n", "kata.f(x)")
        == ""
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "torch.full(2, 3, 1.5)",
            "the sizes are not in one tuple: torch.full((2, 3), …)",
        ),
        ("np.zeros(2, 3)", "takes: np.zeros(shape"),
        ("torch.cat(x, x)", "the tensors are not in one list: torch.cat([x, …])"),
        ("np.concatenate(x.numpy(), 'a', 'b', 'c', 'd')", ""),
        ("x.sum + 1", "`x.sum` lacks its brackets: `x.sum()` calls it"),
        ("x.T.float @ x", "a function or method without its brackets: `()` calls it"),
        ("torch.from_numpy(np.array([None]))", ""),
        ("torch.zeros(2, size=3, wrong=4)", "takes: torch.zeros("),
        (
            "torch.tensor(x, dtype=np.int64)",
            "takes: torch.tensor(data, …) means: `np.int64` is NumPy's",
        ),
        ("x.split(x)", "takes: x.split(split_size, dim=0)"),
        (
            "torch.optim.SGD(x, 1, 2, 3, 4, 5, 6)",
            "lr=0.001, momentum=0, dampening=0, weight_decay=0, nesterov=False, …)",
        ),
        ("x.std(1, wrong=0)", "x.std(dim, *, correction, keepdim)"),
        ("torch.max(x, 'a')", "torch.max(input, other)\n"),
        ("x.reshape(x.numel() / 2, 2)", "`x.numel() / 2` is a float"),
        ("nn.MSELoss(x, x)", "`nn.MSELoss()` makes the loss"),
        ("[1 for i, size in (x.mT, x.mT)]", "zip(x.mT, x.mT)"),
        ("x.nonsense()", ""),
        ("int('a')", ""),
        ("len(3)", ""),
    ],
)
def test_calls_of_the_library(said, line, words):
    found = said(f"def f(x):\n    return {line}\n", "kata.f(x)")
    assert words in found if words else "looks like" not in found


def test_the_keys_of_a_dict_without_one(said):
    found = said(
        "def f(x):\n    return {'means': 1, 'std': 2}\n", "got = kata.f(x)\ngot['mean']"
    )
    assert "keys: 'means', 'std'" in found and "missing: 'mean'" in found
    assert "the key 'mean' is written 'means'" in found
    assert said("def f(x):\n    raise KeyError('mean')\n", "kata.f(x)") == ""
    own = said(
        "def f(x):\n    held = {'decay': 1}\n    return held['dekay']\n", "kata.f(x)"
    )
    assert own == "keys: 'decay' looks like: the key 'dekay' is written 'decay'"
    assert (
        said("def f(x):\n    held = {'decay': 1}\n    return held['zz']\n", "kata.f(x)")
        == "keys: 'decay'"
    )


@pytest.mark.parametrize(
    ("lookup", "words"),
    [
        ("{x: {}}[x]['m']", ""),  # an inner dict, which nothing is known of
        ("state[x]['m']", ""),
        ("state[x].pop('m')", ""),
        (
            "state['m']",
            "means: a key of type str is asked for, and those of `state` are Tensor",
        ),
        (
            "ids.pop(x)",
            "means: a key of type Tensor is asked for, and those of `ids` are int",
        ),
        ("ids[np.int64(7)]", "keys: 1, 2"),
        (
            "ids[f'{x}'] + ids.pop('c')",
            "means: a key of type str is asked for, and those of `ids` are int",
        ),
    ],
)
def test_the_keys_are_those_of_the_dict_that_was_asked(said, lookup, words):
    code = (
        f"def f(x):\n    state, ids = {{x: {{}}}}, {{1: 2, 2: 3}}\n"
        f"    return {lookup}\n"
    )
    assert said(code, "kata.f(x)") == words


def test_a_counter_is_not_the_batch(said):
    loop = (
        "def f(x):\n    for inputs, targets in {}:\n        inputs.to('cpu')\n"
        "    return 3 .to('cpu')\n"
    )
    assert "`inputs` is enumerate's counter" in said(
        loop.format("enumerate([x])"), "kata.f(x)"
    )
    for rounds in ("[(3, 4)]", "enumerate([])"):
        assert "counter" not in said(loop.format(rounds), "kata.f(x)")


def test_a_loop_over_two_things_is_explained(said):
    code = "def f(index, shape):\n    for i, size in index, shape:\n        print(i)\n"
    assert "through zip(index, shape) in pairs" in said(
        code, "kata.f((1, 2, 3), (4, 5, 6))"
    )


def test_results_that_are_taken_apart(said):
    one = "def f(x):\n    return torch.ones(3, 2)\n"
    assert "2 results are expected, as in `return logits, state`" in said(
        one, "logits, state = kata.f(x)"
    )
    assert "2 results are expected" in said(
        "def f(x):\n    return 1\n", "logits, state = kata.f(x)"
    )
    assert "2 results are expected" in said(one, "got = kata.f(x)\nlogits, state = got")
    assert said(one, "kata.f(x)\nlogits, state = [1, 2, 3]") == ""


def test_a_rule_that_is_not_registered(said):
    code = (
        "def record(*told):\n    pass\n\n\ndef f(x):\n    record(x, 'softmax', (x,))\n"
        "    return {}['softmax']\n"
    )
    assert 'put @backward_rule("softmax") above its rule' in said(code, "kata.f(x)")
    assert "backward_rule" not in said(
        code.replace("{}['softmax']", "{}['other']"), "kata.f(x)"
    )


@pytest.mark.parametrize(
    ("code", "spec", "words"),
    [
        (
            "def f(x): return x",
            "check.equal(kata.f(x), 2 * x)",
            "the result is `x` itself",
        ),
        (
            "def f(x): return x",
            "global y\ny = x.cumsum(0)[:, :2]\ncheck.equal(kata.f(y), y.T)",
            "means: the result is `y`",
        ),
        (
            "def f(x): return x.clone()",
            "check.equal(kata.f(x), 2 * x)",
            "the result is what was given as `x`",
        ),
        (
            "def f(x): return x.detach() * 3",
            "check.gradients(kata.f, lambda x: 3 * x, x)",
            "the graph ends at `x.det",
        ),
        (
            "def f(x): return torch.tensor(3.)",
            "check.gradients(kata.f, torch.sum, x)",
            "the graph ends at `torch.t",
        ),
        ("def f(x, n): return x", "check.equal(kata.f(x, n=1), 2)", "f never uses `n`"),
        (
            "class f:\n    def g(self, n): return 1",
            "check.equal(kata.f().g(n=1), 2)",
            "g never uses `n`",
        ),
        (
            "def f(x):\n    x.exp()\n    return x * 2",
            "check.equal(kata.f(x), x, unlike={'a': 2 * x})",
            "thrown away",
        ),
    ],
)
def test_what_is_true_of_a_wrong_answer_or_its_code(said, code, spec, words):
    assert words in said(code, spec)


@pytest.mark.parametrize(
    ("code", "spec"),
    [
        ("def f(x): return x + 1", "check.equal(kata.f(x), 3 * x)"),
        # by chance
        (
            "def f(x): return x / x",
            "global one\none = torch.ones(1)\ncheck.equal(kata.f(one), 3 * one)",
        ),
        ("def f(x): return x.detach()", "check.equal(kata.f(x * 2), 3 * x)"),
        (
            "def f(x, n): return x * 2",
            "with check.raises(ValueError):\n    kata.f(x, 1)",
        ),
        ("def f(x, n=1): return x * 2", "check.equal(kata.f(x), 3 * x)"),
        (
            "def f(x, n): return x * 2",
            "check.equal(kata.f(x, n=1), x, unlike={'a': 2 * x})",
        ),
        (
            "def f(x): return x.any() * 2\ndef g(x, n): return x",
            "check.equal(kata.f(x), 3)",
        ),
    ],
)
def test_what_is_not_to_the_point_is_not_said(said, code, spec):
    assert not any(
        words in said(code, spec) for words in ("the result is", "graph", "never uses")
    )


@pytest.mark.parametrize(
    ("compared", "is_said"),
    [
        ("kata.f(y)", True),
        ("kata.f(y).flatten().tolist()", True),
        ("[kata.f(one).item() for one in y]", True),
        ("got", True),
        ("{'a': kata.f(y)}.get('a')", True),
        ("torch.autograd.grad((kata.f(z) * y).sum(), z)[0]", True),
        ("kata.f(y) + 0", False),
        ("kata.f(y).abs()", False),
        ("torch.relu(kata.f(y))", False),
        ("changed", False),
    ],
)
def test_what_a_wrong_answer_is_is_said_only_of_the_answer_itself(
    said, compared, is_said
):
    spec = (
        "y = 0.1 + torch.arange(6.0)\nz = y.clone().requires_grad_()\n"
        "got = kata.f(y)\nchanged = got * 1\n"
    )
    spec += (
        f"check.close({compared}, y.tolist() if isinstance({compared}, list) else y)"
    )
    assert (
        "every value is 3 times" in said("def f(x):\n    return 3 * x\n", spec)
    ) == is_said
