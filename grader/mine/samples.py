"""A sample for each part: what runs on the learner's part and on the course's, so that the two can be compared.

Each function gets a part and prepares a run. The run returns tensors, which right parts have in common. With `extreme`
the numbers are so large, or so close together, that a formula which is right on paper may lose digits or give NaN.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.mine.course_parts import GPTConfig

Run = Callable[[], list[Tensor]]
CONFIG = GPTConfig(32, 60, 1, 4, 64)


def first_look(part: Any, extreme: bool) -> Run:
    scores, labels, weight = _normal(500, 10), _ids(10, 500), _normal(64, 32)
    certain = torch.tensor([0.0, 0.0, 1.0, 0.0])
    return lambda: [
        _number(part.accuracy(scores, labels)),
        part.gradient_step(weight, -weight, 0.1),
        _number(part.draw(certain)),
    ]


def counts(part: Any, extreme: bool) -> Run:
    numbers = _ids(1000, 60)
    return lambda: [part.count_to(60), part.to_float(numbers)]


def rows(part: Any, extreme: bool) -> Run:
    images, ids = _normal(200, 1, 8, 8), _ids(60, 1)
    return lambda: [part.flatten_samples(images)[0], part.add_batch_dim(ids)]


def split(part: Any, extreme: bool) -> Run:
    pixels, ids = _normal(300, 64), _ids(60, 300)
    return lambda: [
        part.first_rows(pixels, 200),
        part.sliding_windows(ids, 33, 32),
        part.pick_per_row(pixels, ids),
    ]


def pixels(part: Any, extreme: bool) -> Run:
    x = 1000 + 0.1 * _normal(300, 64) if extreme else _normal(300, 64).relu()
    return lambda: [part.standardize(x), *(part.summary_stats(x)[name] for name in ("min", "max", "mean", "std"))]


def gradients(part: Any, extreme: bool) -> Run:
    x, w, b = _normal(64, 64), _normal(10, 64), _normal(10)
    return lambda: list(part.partial_derivatives(lambda w, b: F.linear(x, w, b).log_softmax(1)[:, 0].mean(), w, b))


def step(part: Any, extreme: bool) -> Run:
    model, x, y = _filled(nn.Linear(64, 10)), _normal(64, 64), _ids(10, 64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    start = [weight.detach().clone() for weight in model.parameters()]

    def run() -> list[Tensor]:
        with torch.no_grad():
            for weight, value in zip(model.parameters(), start):
                weight.copy_(value)
        losses = part.train(model, x, y, optimizer, 3, F.cross_entropy)
        return [torch.tensor(losses), *(weight.detach() for weight in model.parameters())]

    return run


def batches(part: Any, extreme: bool) -> Run:
    samples = list(zip(_normal(200, 64), range(200)))
    shuffled = part.MiniLoader(samples, 64, shuffle=True, generator=torch.Generator().manual_seed(0))
    return lambda: [
        _number(len(shuffled)),
        *(field for batch in part.MiniLoader(samples, 64) for field in batch),
        torch.cat([numbers for _, numbers in shuffled]).sort().values,
    ]


def network(part: Any, extreme: bool) -> Run:
    model = part.FashionMNISTModel(64, (32,), 10)
    start = _filled(nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 10)))
    with torch.no_grad():
        for weight, value in zip(model.parameters(), start.parameters(), strict=True):
            weight.copy_(value)
    x, labels = _normal(500, 64) * (1e4 if extreme else 1), _ids(10, 500)

    def run() -> list[Tensor]:
        test = torch.tensor(part.evaluate(model, [(x, labels)], F.nll_loss))
        return [*_with_gradients(model, model(x)), test, part.misclassified(model, x, labels, k=4)["index"]]

    return run


def table(part: Any, extreme: bool) -> Run:
    model, ids = _filled(part.Embedding(60, 64)), _ids(60, 16, 32)
    return lambda: _with_gradients(model, model(ids))


def norms(part: Any, extreme: bool) -> Run:
    x = 1000 + 0.1 * _normal(16, 32, 64) if extreme else _normal(16, 32, 64)
    return _layer(part.LayerNorm(64), x)


def attention(part: Any, extreme: bool) -> Run:
    q, k, v = (_normal(16, 4, 32, 16) for _ in range(3))
    q = q * (100 if extreme else 1)
    return lambda: [part.scaled_dot_product_attention(q, k, v, mask=part.causal_mask(32))[0]]


def heads(part: Any, extreme: bool) -> Run:
    x, mask = _normal(16, 32, 64) * (30 if extreme else 1), torch.ones(32, 32, dtype=torch.bool).tril()
    model = _filled(part.MultiHeadAttention(64, 4))
    joined = part.merge_heads(part.split_heads(x, 4))
    return lambda: [joined, part.split_heads(x, 4), *_with_gradients(model, model(x, mask=mask))]


def block(part: Any, extreme: bool) -> Run:
    mask = torch.ones(32, 32, dtype=torch.bool).tril()
    model = part.TransformerEncoderBlock(64, 4, dropout=0.0, norm_first=True, activation="gelu")
    return _layer(model, _normal(16, 32, 64) * (30 if extreme else 1), mask=mask)


def positions(part: Any, extreme: bool) -> Run:
    return _layer(part.LearnedPositionalEmbedding(32, 64), _normal(16, 32, 64))


def start(part: Any, extreme: bool) -> Run:
    def run() -> list[Tensor]:
        table, norm, linear = nn.Embedding(60, 256), nn.LayerNorm(256), nn.Linear(256, 256)
        model, generator = nn.Sequential(table, norm, linear), torch.Generator().manual_seed(0)
        part.init_weights(model, embedding_std=0.1, generator=generator)
        spread = torch.stack([10 * table.weight.std(), 16 * linear.weight.std(), 5 * linear.weight.abs().max()])
        return [spread.detach().round(decimals=1), *(one.detach() for one in (norm.weight, norm.bias, linear.bias))]

    return run


def loss(part: Any, extreme: bool) -> Run:
    logits, targets = _normal(512, 60).requires_grad_(), _ids(60, 512)
    return lambda: _with_gradients(None, part.cross_entropy(logits * (1e4 if extreme else 1), targets), logits)


def optimizer(part: Any, extreme: bool) -> Run:
    gradient = _normal(64, 64) * (1e-6 if extreme else 1)

    def run() -> list[Tensor]:
        weight = nn.Parameter(torch.ones(64, 64))
        moved = part.AdamW([weight], lr=0.01, weight_decay=0.1)
        norms = []
        for turn in range(4):
            weight.grad = gradient * (turn + 1)
            norms.append(torch.as_tensor(part.clip_grad_norm([weight], 70.0)))
            moved.step()
        schedule = {"max_lr": 1.0, "min_lr": 0.1, "warmup_steps": 5, "max_steps": 20}
        rates = torch.tensor([part.warmup_cosine(at, **schedule) for at in range(22)])
        return [weight.detach(), torch.stack(norms), rates]

    return run


def tokenizer(part: Any, extreme: bool) -> Run:
    text = "'Twas brillig, and the slithy toves\nDid gyre and gimble in the wabe. " * 60

    def run() -> list[Tensor]:
        made = part.CharTokenizer(text)
        ids = made.encode(text)
        return [_number(made.vocab_size), torch.tensor(ids), torch.tensor([ord(one) for one in made.decode(ids)])]

    return run


def windows(part: Any, extreme: bool) -> Run:
    tokens, generator = torch.arange(1000), torch.Generator().manual_seed(0)

    def run() -> list[Tensor]:
        x, y = part.random_batch(tokens, 12, 32, generator)
        return [torch.tensor([*x.shape, *y.shape]), x - x[:, :1], y - x, (0 <= x) & (y < 1000)]

    return run


def causal(part: Any, extreme: bool) -> Run:
    return _layer(part.CausalSelfAttention(CONFIG), _normal(16, 32, 64) * (30 if extreme else 1))


def whole(part: Any, extreme: bool) -> Run:
    model, ids = _filled(part.GPT(CONFIG)), _ids(60, 16, 32)
    return lambda: _with_gradients(model, model(ids)[0])


def sampling(part: Any, extreme: bool) -> Run:
    certain = 50 * F.one_hot(_ids(60, 8), 60).float() * (1e4 if extreme else 1)
    model, ids = _NextInTurn(), _ids(60, 1, 3)

    def run() -> list[Tensor]:
        drawn = part.sample_next(certain, temperature=0.4, generator=torch.Generator().manual_seed(0))
        written = part.generate(model, ids, 40, temperature=0.1, generator=torch.Generator().manual_seed(0))
        return [part.sample_next(certain, temperature=0), drawn, part.next_logits(model, ids), written]

    return run


class _NextInTurn(nn.Module):
    """A model that is certain of the next number."""

    config = SimpleNamespace(block_size=32)

    def forward(self, idx: Tensor, targets: Tensor | None = None, cache: Any = None) -> tuple[Tensor, None]:
        return 50 * F.one_hot((idx + 1) % 60, 60).float(), None


def _layer(layer: nn.Module, x: Tensor, **options: Any) -> Run:
    model = _filled(layer)
    x = x.requires_grad_()
    return lambda: _with_gradients(model, model(x, **options), x)


def _filled(model: nn.Module) -> nn.Module:
    """The model with weights that depend on their names alone."""
    for name, weight in sorted(model.named_parameters()):
        seed = sum(map(ord, name))
        with torch.no_grad():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)) * 0.2)
    return model


def _with_gradients(model: nn.Module | None, output: Tensor, *inputs: Tensor) -> list[Tensor]:
    """The output, and in a row the gradients by the weights, in the order of their names, and by the inputs."""
    weights = [weight for _, weight in sorted(model.named_parameters())] if model else []
    direction = torch.linspace(-1, 1, output.numel()).reshape(output.shape)
    found = torch.autograd.grad((output * direction).sum(), [*weights, *inputs])
    return [output.detach(), torch.cat([gradient.flatten() for gradient in found])]


def _normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def _ids(below: int, *shape: int) -> Tensor:
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(below))


def _number(value: float) -> Tensor:
    return torch.tensor(float(value))


SAMPLES = {
    "00_first_look": first_look,
    "01_tensors": counts,
    "02_tensor_reshaping": rows,
    "03_tensor_indexing_slicing": split,
    "04_tensor_math_operations": pixels,
    "05_tensor_gradients": gradients,
    "06_linear_regression": step,
    "09_data_splitting_loaders": batches,
    "10_fashionmnist_nn": network,
    "11_embeddings": table,
    "13_normalization": norms,
    "15_scaled_dot_product_attention": attention,
    "16_multi_head_attention": heads,
    "17_transformer_blocks": block,
    "18_positional_encoding": positions,
    "19_modules_and_parameters": start,
    "20_losses": loss,
    "21_optimizers_and_schedules": optimizer,
    "23_tokenizers": tokenizer,
    "24_token_batches": windows,
    "25_causal_self_attention": causal,
    "26_gpt_model": whole,
    "27_generation": sampling,
}
