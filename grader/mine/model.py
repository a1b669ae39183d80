"""A digit reader and a GPT of three blocks, put together from parts: trained, tested, and written with.

A part is a module, or what stands for one, with the names of its kata's exercises.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from grader import datasets
from grader.mine.course_parts import COURSE, GPTConfig

LENGTH, WIDTH, HEADS, ROWS = 32, 64, 4, 14  # of a window, of a character's vector, and how many windows make a batch
SEEN, EPOCHS, WORST = 1297, 6, 4  # pictures that the reader learns from, how often, and the mistakes that are shown
CHARACTERS, TEMPERATURE = 220, 0.4  # of the text, and of its draws

Parts = Mapping[str, Any]


class Positions(nn.Module):
    """Kata 18's table where GPT expects an embedding of positions."""

    def __init__(self, parts: Parts):
        super().__init__()
        self.table = parts["18_positional_encoding"].LearnedPositionalEmbedding(LENGTH, WIDTH)

    def forward(self, positions: Tensor) -> Tensor:
        return self.table(torch.zeros(1, len(positions), WIDTH), int(positions[0]))[0]


class FirstBlock(nn.Module):
    """Kata 15's attention and kata 13's norms, between PyTorch's linear layers."""

    def __init__(self, parts: Parts):
        super().__init__()
        self.attention = parts["15_scaled_dot_product_attention"]
        norm = parts["13_normalization"].LayerNorm
        self.norm1, self.norm2 = norm(WIDTH), norm(WIDTH)
        self.qkv, self.mix = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.think = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor, cache: Any = None) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        mask = self.attention.causal_mask(x.size(1))
        heads, _ = self.attention.scaled_dot_product_attention(q, k, v, mask=mask)
        x = x + self.mix(heads.transpose(1, 2).flatten(2))
        return x + self.think(self.norm2(x))


class SecondBlock(nn.Module):
    """Kata 17's block with kata 16's heads, made causal by a mask."""

    def __init__(self, parts: Parts):
        super().__init__()
        made = parts["17_transformer_blocks"].TransformerEncoderBlock
        self.block = made(WIDTH, HEADS, dropout=0.0, norm_first=True, activation="gelu")
        self.block.attention = parts["16_multi_head_attention"].MultiHeadAttention(WIDTH, HEADS)

    def forward(self, x: Tensor, cache: Any = None) -> Tensor:
        return self.block(x, mask=torch.ones(x.size(1), x.size(1), dtype=torch.bool).tril())


class Scores(nn.Module):
    """The GPT as kata 06's loop calls a model: what it returns is the prediction."""

    def __init__(self, gpt: nn.Module):
        super().__init__()
        self.gpt = gpt

    def forward(self, idx: Tensor) -> Tensor:
        return self.gpt(idx)[0]


class Clipped:
    """Kata 21's optimizer, which clips the gradients before each step."""

    def __init__(self, parts: Parts, weights: list[nn.Parameter]):
        self.of, self.weights = parts["21_optimizers_and_schedules"], weights
        self.optimizer = self.of.AdamW(weights, lr=0.0, weight_decay=0.01)

    def zero_grad(self) -> None:
        self.optimizer.zero_grad()

    def step(self) -> None:
        self.of.clip_grad_norm(self.weights, 1.0)
        self.optimizer.step()

    def follow_schedule(self, step: int, steps: int) -> None:
        lr = self.of.warmup_cosine(step, max_lr=5e-3, min_lr=3e-4, warmup_steps=10, max_steps=max(steps, 11))
        for group in self.optimizer.param_groups:
            group["lr"] = lr


def assembled(parts: Parts, vocab_size: int) -> nn.Module:
    """The GPT, with whatever weights its parts start from."""
    config = GPTConfig(LENGTH, vocab_size, 3, HEADS, WIDTH)
    gpt = parts["26_gpt_model"].GPT(config)
    gpt.transformer.wte = parts["11_embeddings"].Embedding(vocab_size, WIDTH)
    gpt.transformer.wpe = Positions(parts)
    gpt.transformer.h[0], gpt.transformer.h[1] = FirstBlock(parts), SecondBlock(parts)
    gpt.transformer.h[2].attn = parts["25_causal_self_attention"].CausalSelfAttention(config)
    gpt.transformer.ln_f = parts["13_normalization"].LayerNorm(WIDTH)
    gpt.lm_head.weight = gpt.transformer.wte.weight
    return gpt


def read(parts: Parts) -> dict[str, Any]:
    """Train the reader, and tell its accuracy after each epoch and at the end, and its worst mistakes."""
    first_look, network = parts["00_first_look"], parts["10_fashionmnist_nn"]
    images, labels = datasets.digits()
    rows, _ = parts["02_tensor_reshaping"].flatten_samples(images)
    pixels = parts["04_tensor_math_operations"].standardize(rows)
    known = parts["03_tensor_indexing_slicing"].first_rows(pixels, SEEN)
    test, answers = pixels[SEEN:], labels[SEEN:]
    samples = list(zip(known, labels[:SEEN].tolist()))
    generator = torch.Generator().manual_seed(0)
    loader = parts["09_data_splitting_loaders"].MiniLoader(samples, 64, shuffle=True, generator=generator)
    torch.manual_seed(0)
    start = COURSE["10_fashionmnist_nn"].FashionMNISTModel(64, (32,), 10)
    model = network.FashionMNISTModel(64, (32,), 10)
    names, weights = [name for name, _ in model.named_parameters()], [weight.detach() for weight in start.parameters()]
    accuracies = []
    for epoch in range(EPOCHS + 1):
        for inputs, targets in loader if epoch else ():

            def loss(*given: Tensor, x: Tensor = inputs, y: Tensor = targets) -> Tensor:
                return F.nll_loss(functional_call(model, dict(zip(names, given)), (x,)), y)

            gradients = parts["05_tensor_gradients"].partial_derivatives(loss, *weights)
            weights = [first_look.gradient_step(w, g, 0.2) for w, g in zip(weights, gradients)]
        with torch.no_grad():
            for weight, value in zip(model.parameters(), weights):
                weight.copy_(value)
            accuracies.append(float(first_look.accuracy(model(test), answers)))
    _, accuracy = network.evaluate(model, [(test, answers)], F.nll_loss)
    worst = network.misclassified(model, test, answers, k=WORST)
    pictures = images[SEEN:][worst["index"]][:, 0]
    told = zip(pictures.tolist(), worst["predicted"].tolist(), worst["target"].tolist())
    return {"accuracies": accuracies, "accuracy": float(accuracy), "worst": [list(one) for one in told]}


def write(parts: Parts, steps: int) -> dict[str, Any]:
    """Train the GPT, and tell its losses, what knowing frequencies alone would cost, and what it writes."""
    counting, indexing = parts["01_tensors"], parts["03_tensor_indexing_slicing"]
    text = datasets.verse()
    tokenizer = parts["23_tokenizers"].CharTokenizer(text)
    size, ids = tokenizer.vocab_size, torch.tensor(tokenizer.encode(text))
    counts = counting.to_float((ids[:, None] == counting.count_to(size)).sum(0))
    shares = counts / counts.sum()

    start, gpt = assembled(COURSE, size), assembled(parts, size)
    parts["19_modules_and_parameters"].init_weights(
        start, embedding_std=0.1, generator=torch.Generator().manual_seed(0)
    )
    gpt.load_state_dict(start.state_dict(), strict=False)  # of masks that a part has registered there is no value
    optimizer, generator = Clipped(parts, list(gpt.parameters())), torch.Generator().manual_seed(0)
    scores, losses = Scores(gpt), []

    def loss(predicted: Tensor, targets: Tensor) -> Tensor:
        return parts["20_losses"].cross_entropy(predicted.flatten(0, 1), targets.flatten())

    for step in range(steps):
        windows, targets = parts["24_token_batches"].random_batch(ids, ROWS, LENGTH, generator)
        optimizer.follow_schedule(step, steps)
        losses += parts["06_linear_regression"].train(scores, windows, targets, optimizer, 1, loss)

    with torch.no_grad():
        windows = indexing.sliding_windows(ids, LENGTH + 1, LENGTH)
        likely = scores(windows[:, :-1]).flatten(0, 1).log_softmax(-1)
        whole = -indexing.pick_per_row(likely, windows[:, 1:].flatten()).mean()
    last = parts["04_tensor_math_operations"].summary_stats(torch.tensor(losses[-20:] or [math.log(size)]))
    return {
        "losses": [round(float(one), 4) for one in losses],
        "last": float(last["mean"]),
        "frequencies": float(torch.special.entr(shares).sum()),
        "whole": float(whole),
        "text": _text(parts, gpt, tokenizer, shares)
        if math.isfinite(float(whole))
        else "nothing: its scores are no numbers",
    }


def _text(parts: Parts, gpt: nn.Module, tokenizer: Any, shares: Tensor) -> str:
    """What the GPT writes after a capital letter that is drawn."""
    torch.manual_seed(0)
    capital = torch.tensor([character.isupper() for character in tokenizer.decode(list(range(len(shares))))])
    begun = parts["00_first_look"].draw((shares * capital) / (shares * capital).sum())
    prompt = parts["02_tensor_reshaping"].add_batch_dim(torch.tensor([begun]))
    written = parts["27_generation"].generate(
        gpt, prompt, CHARACTERS, temperature=TEMPERATURE, generator=torch.Generator().manual_seed(0)
    )
    return tokenizer.decode(written[0].tolist())
