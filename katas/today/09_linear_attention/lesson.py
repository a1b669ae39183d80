"""Kata today/09 in code: three forms of one sum, a memory written twice, a scan, layers that recall or cannot, bytes."""

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)
torch.set_num_threads(1)  # for tensors as small as these, threads cost more than they save
torch.manual_seed(0)

# 1. One sum, three ways. The product holds a T × T table, the steps one state, chunks a small table and a state.
B, H, T, K, V = 2, 3, 100, 8, 6
q, k, v = torch.randn(B, H, T, K), torch.randn(B, H, T, K), torch.randn(B, H, T, V)
log_decay = -0.1 * torch.rand(B, H, T)
whole = kata.parallel_form(q, k, v, log_decay)


def stepped(rule, *tokens):
    """Outputs of a rule that takes one token after the other."""
    state, outs = torch.zeros(B, H, K, V), []
    for token in zip(*(x.unbind(2) for x in tokens), strict=True):
        out, state = rule(state, *token)
        outs.append(out)
    return torch.stack(outs, dim=2)


print(f"1. {T} tokens, {H} heads: the same numbers?")
print(f"   {'form':<18} {'largest difference':>18}   numbers held per head")
size = whole.abs().max()
print(f"   {'one product':<18} {'':>18}   {T} × {T} = {T * T:,}")
apart = (stepped(kata.recurrent_step, q, k, v, log_decay) - whole).abs().max() / size
print(f"   {'token by token':<18} {'yes' if apart < 1e-5 else 'no':>18}   {K} × {V} = {K * V}")
for chunk in (7, 16):
    apart = (kata.chunked_form(q, k, v, log_decay, chunk)[0] - whole).abs().max() / size
    held = f"{chunk} × {chunk} + {K} × {V} = {chunk * chunk + K * V}"
    print(f"   {f'chunks of {chunk}':<18} {'yes' if apart < 1e-5 else 'no':>18}   {held}")

# 2. A memory of one head. Three keys at right angles, three values; then the first key gets another value.
KEYS = torch.eye(4)[:3]
VALUES = torch.tensor([[3.0, 0.0, 0.0, 0.0], [0.0, 2.0, 2.0, 0.0], [1.0, 0.0, 0.0, 3.0], [0.0, 3.0, 0.0, 0.0]])
WRITES = [(0, 0), (1, 1), (2, 2), (0, 3)]  # key and value
ONE, STILL = torch.ones(1, 1), torch.zeros(1, 1)


def memories(rule):
    """The state (4, 4) after each write."""
    state, found = torch.zeros(1, 1, 4, 4), []
    for key, value in WRITES:
        new = KEYS[key].view(1, 1, 4), VALUES[value].view(1, 1, 4)
        if rule == "linear":
            _, state = kata.recurrent_step(state, new[0], *new, STILL)
        else:
            _, state = kata.delta_step(state, new[0], *new, ONE, STILL)
        found.append(state[0, 0])
    return found


pictures = {rule: memories(rule) for rule in ("linear", "delta")}
print("\n2. Key 0 is written twice, first [3, 0, 0, 0], then [0, 3, 0, 0]. What it reads")
for rule, states in pictures.items():
    print(f"   {rule:<7} {(KEYS[0] @ states[2]).tolist()}, then {(KEYS[0] @ states[3]).tolist()}")

# 3. A scan joins many places per call.
if stretch(kata.combine, (ONE, ONE), (ONE, ONE)) is not None:
    print("\n3. h ↦ a h + b over T steps: calls of combine")
    for length in (10, 100, 1000):
        calls = []

        def counted(left, right, calls=calls):
            calls.append(len(left[0]))
            return kata.combine(left, right)

        a, b = torch.rand(length), torch.randn(length)
        scan = stretch(kata.associative_scan, counted, (a, b))
        if scan is None:
            break
        h = torch.zeros(())
        for t in range(length):
            h = a[t] * h + b[t]
        same = torch.allclose(scan[1][-1], h, atol=1e-5)
        print(f"   T = {length:>5}: {len(calls):>2} calls, {sum(calls):>5} places in all; the loop's last h: {same}")


# 4. Recall. A text writes keys and values, and then asks for the last value of each key. All layers have the same
#    projections, convolution, norm and gate, and differ in the rule alone.
class Layer(nn.Module):
    def __init__(self, rule: str, width: int):
        super().__init__()
        self.rule = rule
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.conv = nn.Parameter(torch.randn(3 * width, 4) / 2)
        self.beta, self.decay = nn.Linear(width, 1), nn.Linear(width, 1)
        nn.init.constant_(self.decay.bias, 4.0)
        self.norm = nn.RMSNorm(width)
        self.gate, self.proj = (nn.Linear(width, width, bias=False) for _ in range(2))

    def forward(self, x):
        q, k, v = F.silu(kata.short_convolution(self.qkv(x), self.conv))[:, None].chunk(3, dim=-1)
        beta = self.beta(x).sigmoid().mT
        learned, none = F.logsigmoid(self.decay(x)).mT, torch.zeros_like(beta)
        decay = {"fixed decay": none + torch.tensor(31 / 32).log(), "decay": learned, "gated delta": learned}
        if self.rule == "softmax":
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            q, k, g = F.normalize(q, dim=-1), F.normalize(k, dim=-1), decay.get(self.rule, none)
            if "delta" in self.rule:
                out, _ = kata.delta_chunked(q, k, v, beta, g, 64)
            else:
                out, _ = kata.chunked_form(q, k, beta[..., None] * v, g, 64)
        return self.proj(self.norm(out[:, 0]) * F.silu(self.gate(x)))


class Model(nn.Module):
    def __init__(self, rules, width: int, tokens: int, length: int, n_values: int):
        super().__init__()
        self.embedding, self.place = nn.Embedding(tokens, width), nn.Embedding(length, width)
        self.with_places = rules[0].endswith("places")
        self.layers = nn.ModuleList(Layer(rule.removesuffix(" with places"), width) for rule in rules)
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in rules)
        self.head = nn.Linear(width, n_values)

    def forward(self, tokens):
        x = self.embedding(tokens)
        if self.with_places:
            x = x + self.place.weight[: tokens.size(1)]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = x + layer(norm(x))
        return self.head(x)


def recall(rules, width, n_keys, distinct, times, steps=300, seed=0, n_values=16, lr=0.01):
    """The share of 1,000 texts' keys that give their last value, after training."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Model(rules, width, n_keys + n_values, (2 * times + 1) * distinct, n_values)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, 2 * (1 - step / steps))
        tokens, targets = kata.recall_batch(32, n_keys, n_values, distinct, times, generator)
        loss = F.cross_entropy(model(tokens)[:, -distinct:].flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tokens, targets = kata.recall_batch(1000, n_keys, n_values, distinct, times, generator)
    with torch.no_grad():
        return (model(tokens)[:, -distinct:].argmax(-1) == targets).float().mean().item()
