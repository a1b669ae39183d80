"""Kata 19 in code: registered tensors, layers and their shapes, three errors, and why
initial values matter.
"""

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)


def listed(names):
    """Join names into one line, without the middle if there are many."""
    return (
        ", ".join(names if len(names) < 6 else [*names[:3], "…", *names[-2:]]) or "none"
    )


# 1. A small encoder. Each part is an attribute, and assigning it registers it. Residual
#    blocks cannot be written as one Sequential, since x is used twice in each; two
#    heads on the same features cannot either. A list and a dict that register their
#    modules hold them.
class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc2(F.gelu(self.fc1(self.norm(x))))


class Encoder(nn.Module):
    def __init__(self, features: int = 6, width: int = 8, depth: int = 2):
        super().__init__()
        self.project = kata.StandardizedLinear(features, width)
        self.register_buffer(
            "positions", torch.linspace(-1, 1, width), persistent=False
        )
        blocks = [Block(width) for _ in range(depth)]
        heads = {"topic": nn.Linear(width, 3), "mood": nn.Linear(width, 2)}
        self.blocks = stretch(kata.SimpleModuleList, blocks) or nn.ModuleList(blocks)
        self.heads = stretch(kata.SimpleModuleDict, heads) or nn.ModuleDict(heads)
        # a plain tensor: not registered, not saved, not moved
        self.note = torch.zeros(3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.project(x) + self.positions
        for block in self.blocks:
            x = block(x)
        return {name: head(x) for name, head in self.heads.items()}


print("1. A small encoder and its registered tensors")
model = kata.init_weights(Encoder(), generator=torch.Generator().manual_seed(0))
frozen = kata.set_trainable(model, False, ["blocks.0"])
for kind, names in kata.describe_state(model).items():
    print(f"   {kind:<10} {len(names):2}: {listed(names)}")
print("   model.note is a plain tensor and in none of the lists")
model.double()
tensors = {
    "weight": model.project.weight,
    "mean": model.project.mean,
    "note": model.note,
}
print(
    "   after model.double():",
    ", ".join(f"{name} {tensor.dtype}" for name, tensor in tensors.items()),
)
model.float()

# 2. Buffers at work. After two batches of different sizes, the layer has the statistics
#    of all rows together. A second layer that loads this state goes on from there.
small, large = torch.randn(2, 6), torch.randn(30, 6)
# means of exactly 5 and 0
small, large = small - small.mean(dim=0) + 5, large - large.mean(dim=0)
model.project(small), model.project(large)
together = torch.cat([small, large])
print("\n2. StandardizedLinear after batches of 2 and 30 rows")
print(
    f"   count {model.project.count.item()}, mean of the first feature "
    f"{model.project.mean[0]:.4f}"
)
print(
    f"   mean of all rows {together[:, 0].mean():.4f}, of both means "
    f"{(small.mean(0) + large.mean(0))[0] / 2:.4f}"
)
print(
    f"   var of the first feature {model.project.var[0]:.4f}, of all rows "
    f"{together[:, 0].var(correction=0):.4f}"
)
copy = kata.StandardizedLinear(6, 8)
copy.load_state_dict(model.project.state_dict())
more = torch.randn(4, 6)
print(
    "   a layer that loaded this state gives the same output:",
    torch.equal(copy(more), model.project(more)),
)

# 3. The usual layers: input shape, output shape, number of parameters. Activations act
#    on each element alone, so they take any shape, and they learn nothing. BatchNorm1d
#    and Conv2d take the channels in dimension 1.
print("\n3. The usual layers")
print(f"   {'layer':<29} {'input':<16} {'output':<16} parameters")
for text, layer, example in [
    ("Linear(6, 8)", nn.Linear(6, 8), torch.randn(4, 5, 6)),
    ("Embedding(100, 8)", nn.Embedding(100, 8), torch.randint(100, (4, 5))),
    ("LayerNorm(8)", nn.LayerNorm(8), torch.randn(4, 5, 8)),
    ("BatchNorm1d(8)", nn.BatchNorm1d(8), torch.randn(4, 8)),
    ("Dropout(0.1)", nn.Dropout(0.1), torch.randn(4, 5, 8)),
    ("GELU()", nn.GELU(), torch.randn(4, 5, 8)),
    ("SiLU()", nn.SiLU(), torch.randn(2, 3, 4, 5)),
    (
        "Conv2d(3, 16, 3, padding=1)",
        nn.Conv2d(3, 16, 3, padding=1),
        torch.randn(4, 3, 28, 28),
    ),
    (
        "LSTM(6, 8, batch_first=True)",
        nn.LSTM(6, 8, batch_first=True),
        torch.randn(4, 5, 6),
    ),
]:
    records = stretch(kata.trace_shapes, layer, example)
    if records is None:
        break
    count = sum(parameter.numel() for parameter in layer.parameters())
    print(
        f"   {text:<29} {str(records[0].input_shape):<16} "
        f"{str(records[0].output_shape):<16} {count}"
    )
scores = torch.randn(2, 3)
print(
    "   GELU needs no dimension. Softmax needs one, along which its results add up to "
    "1; for a (2, 3) tensor"
)
print(
    "   dim=1 gives row sums "
    f"{[round(v, 2) for v in scores.softmax(1).sum(1).tolist()]},"
    f" dim=0 gives {[round(v, 2) for v in scores.softmax(0).sum(1).tolist()]}"
)

# 4. Module or function. F.gelu and nn.GELU are the same, since neither holds a tensor
#    or a mode. Anything with parameters, buffers or a mode belongs in a module:
#    F.dropout drops in eval mode too, unless told otherwise.
x = torch.ones(1000)
linear, drop = nn.Linear(6, 8), nn.Dropout(0.5).eval()
print("\n4. Module and function")
print("   nn.GELU()(x) equals F.gelu(x):", torch.equal(nn.GELU()(x), F.gelu(x)))
print(
    "   linear(x) equals F.linear(x, linear.weight, linear.bias):",
    torch.equal(linear(together), F.linear(together, linear.weight, linear.bias)),
)
print(
    f"   zeros in eval mode: nn.Dropout {int((drop(x) == 0).sum())}, F.dropout(x) "
    f"{int((F.dropout(x) == 0).sum())}"
)

# 5. A chain whose parts do not fit is built without an error: each layer knows only its
#    own sizes. Running the chain raises an error that names no layer. A trace names the
#    layer, once trace_shapes has its star.
print("\n5. A chain that does not fit")
chain = kata.SimpleSequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(3, 2))
print("   built without an error")
for what, run in {
    "chain(x)": chain,
    "trace_shapes(chain, x)": lambda x: stretch(kata.trace_shapes, chain, x),
}.items():
    try:
        run(torch.randn(5, 3))
    except RuntimeError as error:
        print(f"   {what}: {error}")
layer = nn.Linear(3, 3)
twice = kata.SimpleSequential(layer, nn.Tanh(), layer)
print(
    f"   a layer passed twice: {len(twice)} steps, {len(list(twice.children()))} "
    "children (they skip repeats)"
)


# 6. super().__init__() makes the dicts of parameters, buffers and submodules. Without
#    it, assigning a submodule finds no dict.
class Forgetful(nn.Module):
    def __init__(self):
        self.fc = nn.Linear(3, 2)


print("\n6. Without super().__init__()")
try:
    Forgetful()
except AttributeError as error:
    print(f"   {type(error).__name__}: {error}")

# 7. model(x) is `__call__`: hooks, then forward, then hooks. model.forward(x) is the
#    bare method.
calls = []
handle = twice.register_forward_hook(lambda *_: calls.append("hook"))
x = torch.randn(2, 3)
twice(x)
after_call = len(calls)
twice.forward(x)
handle.remove()
print("\n7. A forward hook on the model")
print(
    f"   model(x) ran it {after_call} time, model.forward(x) "
    f"{len(calls) - after_call} times"
)

# 8. Initial values. The same tanh net of 12 layers, 256 wide, started in three ways.
#    The numbers and the figure show the standard deviation of the activations after
#    each layer, taken over the examples for each unit and averaged over the units: how
#    much inputs still differ. While it is small, each layer multiplies it by √width
#    times the standard deviation of the weights: 1 with Xavier, 1/√3 by default,
#    16 · 0.02 = 0.32 in the third case.
DEPTH, WIDTH = 12, 256


def small_normal(model: nn.Module) -> nn.Module:
    """Draw every weight from normal(0, 0.02) and set every bias to 0."""
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, std=0.02) if name.endswith(
            "weight"
        ) else nn.init.zeros_(parameter)
    return model


def spreads(start) -> list[float]:
    """Measure the standard deviation over the examples, of the input and after
    each layer.
    """
    net = start(
        kata.SimpleSequential(
            *(
                part
                for _ in range(DEPTH)
                for part in (nn.Linear(WIDTH, WIDTH), nn.Tanh())
            )
        )
    )
    found = []
    for part in net:
        if isinstance(part, nn.Tanh):
            part.register_forward_hook(
                lambda module, inputs, output: found.append(
                    output.std(dim=0).mean().item()
                )
            )
    x = torch.randn(512, WIDTH)
    with torch.no_grad():
        net(x)
    return [x.std(dim=0).mean().item(), *found]


starts = {
    "Xavier (init_weights)": kata.init_weights,
    "PyTorch's default": lambda net: net,
    "normal(0, 0.02)": small_normal,
}
curves = {name: spreads(start) for name, start in starts.items()}
print("\n8. Standard deviation of the activations of a 12-layer tanh net")
print(f"   {'':<24} input   layer 1   layer 6   layer 12")
for name, curve in curves.items():
    print(
        f"   {name:<24} {curve[0]:.2f}    {curve[1]:.1e}   {curve[6]:.1e}   "
        f"{curve[12]:.1e}"
    )

figure = Figure()
axes = figure.subplots()
for (name, curve), colour, marker in zip(curves.items(), COLOURS, "os^", strict=False):
    axes.semilogy(range(DEPTH + 1), curve, color=colour, marker=marker, label=name)
axes.set_xlabel("layer (0 is the input)")
axes.set_ylabel("standard deviation over examples")
axes.set_xticks(range(0, DEPTH + 1, 2))
axes.legend(loc="lower left")
axes.set_title(
    f"The signal in a tanh net of {DEPTH} layers, {WIDTH} wide, before any training"
)
save_figure(figure, __file__)
