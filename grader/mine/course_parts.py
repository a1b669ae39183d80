"""The course's own part for each kata, from PyTorch's functions and layers, under the names of the kata's exercises."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class GPTConfig:
    """The sizes of a GPT, with the fields of kata 25's."""

    block_size: int
    vocab_size: int
    n_layer: int
    n_head: int
    n_embd: int
    dropout: float = 0.0
    bias: bool = True


def partial_derivatives(f: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
    leaves = [x.detach().requires_grad_() for x in inputs]
    return torch.autograd.grad(f(*leaves), leaves)


def train(
    model: nn.Module, X: Tensor, y: Tensor, optimizer: Any, epochs: int, loss_fn: Callable[[Tensor, Tensor], Tensor]
) -> list[float]:
    losses = []
    for _ in range(epochs):
        loss = loss_fn(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


class MiniLoader:
    def __init__(self, dataset: Any, batch_size: int, shuffle: bool = False, generator: Any = None):
        self.dataset, self.batch_size, self.shuffle, self.generator = dataset, batch_size, shuffle, generator

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        n = len(self.dataset)
        order = torch.randperm(n, generator=self.generator) if self.shuffle else torch.arange(n)
        for chosen in order.split(self.batch_size):
            fields = zip(*(self.dataset[i] for i in chosen.tolist()), strict=True)
            yield tuple(torch.stack([torch.as_tensor(value) for value in field]) for field in fields)


class FashionMNISTModel(nn.Module):
    def __init__(self, input_dim: int, hidden_dims: Sequence[int], num_classes: int):
        super().__init__()
        (hidden,) = hidden_dims
        layers = nn.Flatten(), nn.Linear(input_dim, hidden), nn.ReLU(), nn.Linear(hidden, num_classes)
        self.layers = nn.Sequential(*layers, nn.LogSoftmax(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@torch.no_grad()
def evaluate(model: nn.Module, loader: Iterable[Any], loss_fn: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, ...]:
    [(inputs, labels)] = loader
    outputs = model(inputs)
    return loss_fn(outputs, labels).item(), (outputs.argmax(1) == labels).float().mean().item()


@torch.no_grad()
def misclassified(model: nn.Module, images: Tensor, labels: Tensor, k: int) -> dict[str, Tensor]:
    confidence, predicted = model(images).exp().max(1)
    wrong = (predicted != labels).nonzero().flatten()
    index = wrong[confidence[wrong].argsort(descending=True, stable=True)][:k]
    return {"index": index, "predicted": predicted[index], "target": labels[index], "confidence": confidence[index]}


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weights = (q @ k.mT / math.sqrt(q.size(-1))).masked_fill(~mask, -math.inf).softmax(-1)  # type: ignore[operator]
    return weights @ v, weights


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.W_q, self.W_k, self.W_v, self.W_o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query: Tensor, mask: Tensor | None = None, key_padding_mask: Tensor | None = None) -> Tensor:
        q, k, v = (split_heads(layer(query), self.num_heads) for layer in (self.W_q, self.W_k, self.W_v))
        return self.W_o(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))


class FeedForward(nn.Module):
    def __init__(self, d_model: int, d_ff: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class TransformerEncoderBlock(nn.Module):
    def __init__(self, d_model: int, num_heads: int, dropout: float, norm_first: bool, activation: str):
        super().__init__()
        self.attention, self.ff = MultiHeadAttention(d_model, num_heads), FeedForward(d_model, 4 * d_model)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), mask=mask)
        return x + self.ff(self.norm2(x))


class LearnedPositionalEmbedding(nn.Module):
    def __init__(self, max_len: int, d_model: int):
        super().__init__()
        self.embedding = nn.Embedding(max_len, d_model)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        return x + self.embedding.weight[offset : offset + x.size(1)]


def init_weights(model: nn.Module, *, embedding_std: float, generator: torch.Generator) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=embedding_std, generator=generator)
    return model


def warmup_cosine(step: int, *, max_lr: float, min_lr: float, warmup_steps: int, max_steps: int) -> float:
    if step < warmup_steps:
        return max_lr * (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, max_steps - warmup_steps))
    return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2


class CharTokenizer:
    def __init__(self, text: str):
        self.itos = sorted(set(text))
        self.stoi = {character: i for i, character in enumerate(self.itos)}
        self.vocab_size = len(self.itos)

    def encode(self, text: str) -> list[int]:
        return [self.stoi[character] for character in text]

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.itos[i] for i in ids)


def random_batch(
    tokens: Tensor, batch_size: int, block_size: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    starts = torch.randint(len(tokens) - block_size, (batch_size,), generator=generator)
    windows = tokens[starts[:, None] + torch.arange(block_size + 1)]
    return windows[:, :-1], windows[:, 1:]


class CausalSelfAttention(nn.Module):
    def __init__(self, config: GPTConfig):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, cache: Any = None) -> Tensor:
        q, k, v = (split_heads(part, self.n_head) for part in self.c_attn(x).chunk(3, -1))
        return self.c_proj(merge_heads(F.scaled_dot_product_attention(q, k, v, is_causal=True)))


class MLP(nn.Module):
    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, config: GPTConfig):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(config.n_embd), nn.LayerNorm(config.n_embd)
        self.attn, self.mlp = CausalSelfAttention(config), MLP(config)

    def forward(self, x: Tensor, cache: Any = None) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.vocab_size, config.n_embd),
                "wpe": nn.Embedding(config.block_size, config.n_embd),
                "drop": nn.Identity(),
                "h": nn.ModuleList(Block(config) for _ in range(config.n_layer)),
                "ln_f": nn.LayerNorm(config.n_embd),
            }
        )
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight  # type: ignore[assignment]

    def forward(self, idx: Tensor, targets: Tensor | None = None, cache: Any = None) -> tuple[Tensor, None]:
        parts = self.transformer
        x = parts["wte"](idx) + parts["wpe"](torch.arange(idx.size(1)))
        for block in parts["h"]:  # type: ignore[attr-defined]
            x = block(x)
        return self.lm_head(parts["ln_f"](x)), None


def sample_next(logits: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)


def next_logits(model: nn.Module, idx: Tensor) -> Tensor:
    return model(idx[:, -model.config.block_size :])[0][:, -1]  # type: ignore[union-attr,operator]


@torch.no_grad()
def generate(
    model: nn.Module, idx: Tensor, max_new_tokens: int, temperature: float, generator: torch.Generator | None = None
) -> Tensor:
    for _ in range(max_new_tokens):
        idx = torch.cat([idx, sample_next(next_logits(model, idx), temperature, generator)], 1)
    return idx


COURSE = {
    "00_first_look": SimpleNamespace(
        accuracy=lambda scores, labels: (scores.argmax(1) == labels).float().mean().item(),
        gradient_step=lambda weight, gradient, learning_rate: weight - learning_rate * gradient,
        draw=lambda probabilities: int(torch.multinomial(probabilities, 1)),
    ),
    "01_tensors": SimpleNamespace(count_to=torch.arange, to_float=Tensor.float),
    "02_tensor_reshaping": SimpleNamespace(
        flatten_samples=lambda x: (x.flatten(1), tuple(x.shape[1:])), add_batch_dim=lambda sample: sample.unsqueeze(0)
    ),
    "03_tensor_indexing_slicing": SimpleNamespace(
        first_rows=lambda x, n: x[:n],
        sliding_windows=lambda x, size, step=1: x.unfold(0, size, step).movedim(-1, 1),
        pick_per_row=lambda x, index: x.gather(-1, index[:, None])[:, 0],
    ),
    "04_tensor_math_operations": SimpleNamespace(
        standardize=lambda x: (x - x.mean()) / x.std(correction=0),
        summary_stats=lambda x: {"min": x.amin(), "max": x.amax(), "mean": x.mean(), "std": x.std(correction=0)},
    ),
    "05_tensor_gradients": SimpleNamespace(partial_derivatives=partial_derivatives),
    "06_linear_regression": SimpleNamespace(train=train),
    "09_data_splitting_loaders": SimpleNamespace(MiniLoader=MiniLoader),
    "10_fashionmnist_nn": SimpleNamespace(
        FashionMNISTModel=FashionMNISTModel, evaluate=evaluate, misclassified=misclassified
    ),
    "11_embeddings": SimpleNamespace(Embedding=nn.Embedding),
    "13_normalization": SimpleNamespace(LayerNorm=nn.LayerNorm),
    "15_scaled_dot_product_attention": SimpleNamespace(
        causal_mask=lambda n: torch.ones(n, n, dtype=torch.bool).tril(),
        scaled_dot_product_attention=scaled_dot_product_attention,
    ),
    "16_multi_head_attention": SimpleNamespace(
        split_heads=split_heads, merge_heads=merge_heads, MultiHeadAttention=MultiHeadAttention
    ),
    "17_transformer_blocks": SimpleNamespace(TransformerEncoderBlock=TransformerEncoderBlock),
    "18_positional_encoding": SimpleNamespace(LearnedPositionalEmbedding=LearnedPositionalEmbedding),
    "19_modules_and_parameters": SimpleNamespace(init_weights=init_weights),
    "20_losses": SimpleNamespace(cross_entropy=F.cross_entropy),
    "21_optimizers_and_schedules": SimpleNamespace(
        AdamW=torch.optim.AdamW, clip_grad_norm=nn.utils.clip_grad_norm_, warmup_cosine=warmup_cosine
    ),
    "23_tokenizers": SimpleNamespace(CharTokenizer=CharTokenizer),
    "24_token_batches": SimpleNamespace(random_batch=random_batch),
    "25_causal_self_attention": SimpleNamespace(CausalSelfAttention=CausalSelfAttention),
    "26_gpt_model": SimpleNamespace(GPT=GPT),
    "27_generation": SimpleNamespace(sample_next=sample_next, next_logits=next_logits, generate=generate),
}
