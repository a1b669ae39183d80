"""What is wrong with code at sight: what is said, and silence about all code of the
course that is right.
"""

import ast

import pytest

from grader.specs import habits

SPEAKS = {
    "def f(x, p): return x": "f never uses `p`",
    "def f(x, hard=None):\n    if hard is not None: pass\n    return x":
        "f never uses `hard`",
    "class A:\n    def forward(self, x, mask=None): return x":
        "forward never uses `mask`",
    "def f(x):\n    x.detach()\n    return x":
        "the result of `x.detach()` is thrown away",
    "def f(x: Tensor):\n    if x is None: x.view(0)\n    return x":
        "the result of `x.view(0)` is thrown away",
    "def f(x: Tensor):\n    x.to('cpu')\n    return x":
        "the result of `x.to('cpu')` is thrown away",
    "def f(x):\n    if isinstance(x, torch.Tensor): x.half()\n    return x":
        "the result of `x.half()` is thrown away",
    "def f(x):\n    x == 1\n    return x": "`x == 1` compares",
    "def f(xs):\n    for x in xs:\n        return x + 1":
        "the loop `for x in xs` returns in its first round",
    "def f(n):\n    while n:\n        n -= 1\n        return n":
        "the loop `while n` returns in its first round",
    "def f(ps, lr):\n    for p in ps:\n        p = p - lr * p.grad":
        "`p = …` binds the name to a new value",
    "def f(g):\n    for k, p in g:\n        if k: p = p * k":
        "`p = …` binds the name to a new value",
    "def f(n, generator): return torch.rand(n) if generator else 0":
        "torch.rand draws without the generator",
    "def f(generator): return torch.randperm(4), torch.rand(4, generator=generator)":
        "torch.randperm draws without",
    "def f(generator):\n    torch.manual_seed(0)\n    return generator":
        "every call draws the same",
    "def f(x, y): return F.cross_entropy(x.softmax(1), y)":
        "cross_entropy takes scores",
    "def f(x, y): return nn.functional.cross_entropy(torch.softmax(x, 1), y)":
        "cross_entropy takes scores",
    "def f(x, y): return F.cross_entropy(x.softmax(1).flatten(0, 1)[:, 1:], y)":
        "cross_entropy takes scores",
    "class A:\n    def __init__(self): self.layers = [nn.Linear(2, 2)]":
        "`self.layers` is a plain list",
    "class A:\n    def __init__(self): self.a = [nn.ReLU() for _ in 'ab']":
        "`self.a` is a plain list",
    "class A:\n    def forward(self, x): return nn.Linear(2, 2)(x)":
        "`nn.Linear(2, 2)` is made anew in each forward",
    "def f(a, b, c): return a, b if c else a":
        "`return a, b if … else a` returns two values in any case",
}  # fmt: skip
SILENT = [
    "def f(x, p=None):\n    if p is None: p = 1\n    return x * p",
    "def f(self, cls, _unused): return 0",
    "def f(x, y):\n    raise NotImplementedError",
    "def f(x):\n    def g(y): return 0\n    return g(x)",
    "def f(x, xs):\n    x.add_(1)\n    xs.append(x)\n    xs.sort()",
    "def f(model, device):\n    model.to(device)\n    model.float()",
    "def f(xs):\n    for x in xs:\n        if x: return x",
    "def f(xs):\n    for x in xs:\n        if not x: continue\n        return x",
    "def f(xs):\n    for x in xs:\n        x = x + 1\n        print(x)",
    "def f(n, generator): return torch.rand(n, generator=generator)",
    "def f(n, seed):\n    torch.manual_seed(seed)\n    return torch.rand(n)",
    "class A:\n    def __exit__(self, kind, error, trace): return 0",
    "def f(model):\n    for p in model.parameters(): return p.device",
    (
        "def f(n, generator): return torch.rand(n) if generator is None else "
        "torch.rand(n, generator=generator)"
    ),
    "def f(w, v, y): return F.cross_entropy(w.softmax(-1) @ v, y)",
    "def f(log, x):\n    log.log(x)",
    "def f(x, y): return F.nll_loss(x.log_softmax(1), y)",
    "def f(x, y): return F.cross_entropy(x, y.softmax(1))",
    (
        "class A:\n"
        "    def __init__(self): self.a = nn.ModuleList([nn.Linear(2, 2)]); self.a(0)"
    ),
    (
        "class A:\n"
        "    def forward(self, x): return nn.ReLU()(nn.LayerNorm.forward(self, x))"
    ),
    "class A:\n    def __init__(self): self.sizes = [1, 2]",
    "def f(a, b, c): return a, b if c else None",
]


@pytest.mark.parametrize(("code", "words"), SPEAKS.items(), ids=range(len(SPEAKS)))
def test_a_habit_is_named(code, words):
    assert words in next(habits.facts(ast.parse(code).body[0], "p, hard, mask"))


@pytest.mark.parametrize("code", SILENT, ids=range(len(SILENT)))
def test_right_code_is_left_alone(code):
    assert list(habits.facts(ast.parse(code).body[0], code)) == []


def test_a_parameter_that_nothing_reads_is_named_where_the_spec_asks_about_it():
    """A rotation's `sample` needs no height, though the one of its neighbours does:
    right code leaves some unread.
    """
    code = ast.parse("def f(x, hard=None): return x").body[0]
    assert list(habits.facts(code, "Only the hard ones count.")) == [
        "f never uses `hard`"
    ]
    assert list(habits.facts(code, "The harder ones count.")) == []
