"""Texts that write pairs of a key and a value and then ask for each key's last value.
One layer, which differs in its rule alone; a state that is too small for the text; two
layers, of which one may be attention.
"""

import torch
from torch import nn
from torch.nn import functional as F

N_VALUES = 16
LIMITS = {
    "keys written twice, last value found: softmax": "< 0.6",
    "softmax with places": "> 0.9",
    "linear": "< 0.6",
    "fixed decay 31/32": "> 0.6",
    "learned decay": "> 0.75",
    "learned decay, at most": "< 0.9",
    "delta": "> 0.95",
    "gated delta": "> 0.95",
    "32 keys once, state 16 × 16: softmax": "> 0.95",
    "there: linear": "< 0.7",
    "there: gated delta": "< 0.7",
    "16 keys twice, states of 16 × 16: softmax + softmax": "> 0.9",
    "there: linear + softmax": "> 0.8",
    "there: gated delta + softmax": "> 0.8",
    "there: gated delta + gated delta": "< 0.8",
}


class Layer(nn.Module):
    def __init__(self, kata, rule: str, width: int):
        super().__init__()
        self.kata, self.rule = kata, rule
        self.qkv, self.proj = (
            nn.Linear(width, 3 * width, bias=False),
            nn.Linear(width, width, bias=False),
        )
        self.beta, self.decay, self.norm = (
            nn.Linear(width, 1),
            nn.Linear(width, 1),
            nn.RMSNorm(width),
        )
        nn.init.constant_(self.decay.bias, 4.0)

    def forward(self, x):
        q, k, v = self.qkv(x)[:, None].chunk(3, dim=-1)
        if self.rule == "softmax":
            return self.proj(
                self.norm(F.scaled_dot_product_attention(q, k, v, is_causal=True)[:, 0])
            )
        q, k, beta = (
            F.normalize(q, dim=-1),
            F.normalize(k, dim=-1),
            self.beta(x).sigmoid().mT,
        )
        log_decay = torch.zeros_like(beta)
        if self.rule == "fixed decay":
            log_decay = log_decay + torch.tensor(31 / 32).log()
        elif self.rule in ("learned decay", "gated delta"):
            log_decay = F.logsigmoid(self.decay(x)).mT
        if "delta" in self.rule:
            out, _ = self.kata.delta_chunked(q, k, v, beta, log_decay, 64)
        else:
            out, _ = self.kata.chunked_form(q, k, beta[..., None] * v, log_decay, 64)
        return self.proj(self.norm(out[:, 0]))


class Model(nn.Module):
    def __init__(self, kata, rules, width: int, n_keys: int, length: int):
        super().__init__()
        self.key, self.value = (
            nn.Embedding(n_keys, width),
            nn.Embedding(N_VALUES + 1, width),
        )
        self.place = nn.Embedding(length, width)
        self.with_places = rules[0].endswith("places")
        self.layers = nn.ModuleList(
            Layer(kata, rule.removesuffix(" with places"), width) for rule in rules
        )
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in rules)
        self.head = nn.Linear(width, N_VALUES)

    def forward(self, tokens):
        x = self.key(tokens[..., 0]) + self.value(tokens[..., 1])
        if self.with_places:
            x = x + self.place.weight[: tokens.size(1)]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = x + layer(norm(x))
        return self.head(x)


def run(kata, seed) -> dict[str, float]:
    def recall(rules, width, n_keys, distinct, times, steps=300, lr=0.02) -> float:
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        model = Model(kata, rules, width, n_keys, (times + 1) * distinct)
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = lr * min(1.0, 2 * (1 - step / steps))
            tokens, targets = kata.recall_batch(
                32, n_keys, N_VALUES, distinct, times, generator
            )
            loss = F.cross_entropy(
                model(tokens)[:, -distinct:].flatten(0, 1), targets.flatten()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        tokens, targets = kata.recall_batch(
            1000, n_keys, N_VALUES, distinct, times, generator
        )
        with torch.no_grad():
            return (
                (model(tokens)[:, -distinct:].argmax(-1) == targets)
                .float()
                .mean()
                .item()
            )

    found = [
        recall([rule], 32, 64, 8, 2)
        for rule in ("softmax", "softmax with places", "linear", "fixed decay")
    ]
    decayed = recall(["learned decay"], 32, 64, 8, 2)
    found += [
        decayed,
        decayed,
        *(recall([rule], 32, 64, 8, 2) for rule in ("delta", "gated delta")),
    ]
    found += [
        recall([rule], 16, 64, 32, 1) for rule in ("softmax", "linear", "gated delta")
    ]
    stacks = (
        ("softmax", "softmax"),
        ("linear", "softmax"),
        ("gated delta", "softmax"),
        ("gated delta", "gated delta"),
    )
    found += [recall(rules, 16, 16, 16, 2) for rules in stacks]
    return dict(zip(LIMITS, found, strict=True))
