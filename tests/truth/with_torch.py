"""References beside PyTorch, on the samples of PyTorch's own tests: functions,
modules, optimizers.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tests.truth import databases
from tests.truth.comparing import NotOurs, Row, Thunk, compared, differentiated, kata

# Functions: ours, with PyTorch's arguments. NotOurs says what an exercise does
# not have.


def _regression(kind: str) -> Callable[..., Tensor]:
    return lambda pred, target, **options: kata("20").regression_loss(
        pred, target, kind, **options
    )


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask=None,
    dropout_p=0.0,
    is_causal=False,
    **options,
) -> Tensor:
    if dropout_p:
        raise NotOurs("dropout is drawn")
    if attn_mask is not None and attn_mask.dtype != torch.bool:
        raise NotOurs("a mask that is added")
    if is_causal:
        attn_mask = torch.ones(q.size(-2), k.size(-2), dtype=torch.bool).tril()
    return kata("15").scaled_dot_product_attention(q, k, v, attn_mask, **options)[0]


def _rms_norm(x: Tensor, shape: tuple[int, ...], weight=None, eps=None) -> Tensor:
    if len(shape) > 1:
        raise NotOurs("more than one dimension")
    return kata("today/01").rms_norm(
        x, weight, torch.finfo(x.dtype).eps if eps is None else eps
    )


def _kl_div(
    log_q: Tensor, log_p: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    if reduction == "mean":
        raise NotOurs("the mean over all numbers")
    found = kata("20").kl_divergence(log_p if log_target else log_p.log(), log_q)
    return found.sum() if reduction in ("sum", "batchmean") else found


def _distances(a: Tensor, b: Tensor, p: float = 2.0, mode: str = "") -> Tensor:
    if p != 2 or a.ndim != 2 or b.ndim != 2:
        raise NotOurs("another norm, or a batch")
    return kata("04").pairwise_distances(a, b)


def _ctc(
    log_probs,
    targets,
    input_lengths,
    target_lengths,
    blank=0,
    reduction="mean",
    zero_infinity=False,
) -> Tensor:
    if reduction != "sum" or zero_infinity or targets.ndim != 2:
        raise NotOurs("another reduction, or targets one after the other")
    # PyTorch gives the gradient of the logits behind, whatever came in
    log_probs = log_probs.detach()
    ours = kata("papers/21").ctc_forward
    pairs = zip(
        log_probs.unbind(1),
        targets.tolist(),
        input_lengths,
        target_lengths,
        strict=True,
    )
    return sum(
        ours(frames[:long], target[:count], blank)
        for frames, target, long, count in pairs
    )


FUNCTIONS: list[tuple[str, str, Callable[..., Tensor]]] = [
    (
        "04 cosine_similarity",
        "nn.functional.cosine_similarity",
        lambda *a, **o: kata("04").cosine_similarity(*a, **o),
    ),
    ("04 matmul", "matmul", lambda *a, **o: kata("04").matmul(*a, **o)),
    ("04 pairwise_distances", "cdist", _distances),
    (
        "15 scaled_dot_product_attention",
        "nn.functional.scaled_dot_product_attention",
        _attention,
    ),
    ("20 regression_loss", "nn.functional.mse_loss", _regression("mse")),
    ("20 regression_loss", "nn.functional.l1_loss", _regression("l1")),
    ("20 regression_loss", "nn.functional.huber_loss", _regression("huber")),
    (
        "20 nll_loss",
        "nn.functional.nll_loss",
        lambda *a, **o: kata("20").nll_loss(*a, **o),
    ),
    (
        "20 cross_entropy",
        "nn.functional.cross_entropy",
        lambda *a, **o: kata("20").cross_entropy(*a, **o),
    ),
    (
        "20 bce_with_logits",
        "nn.functional.binary_cross_entropy_with_logits",
        lambda *a, **o: kata("20").bce_with_logits(*a, **o),
    ),
    (
        "A conv2d",
        "nn.functional.conv2d",
        lambda *a, **o: kata("appendix_a").conv2d(*a, **_plain(o)),
    ),
    (
        "A max_pool2d",
        "nn.functional.max_pool2d",
        lambda *a, **o: kata("appendix_a").max_pool2d(*a, **_plain(o)),
    ),
    ("papers/21 ctc_forward", "nn.functional.ctc_loss", _ctc),
    (
        "papers/26 conv2d",
        "nn.functional.conv2d",
        lambda *a, **o: kata("papers/26").conv2d(*a, **_plain(o)),
    ),
    ("today/01 rms_norm", "nn.functional.rms_norm", _rms_norm),
]


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options without those that say what is so anyway."""
    usual = {
        "ceil_mode": False,
        "return_indices": False,
        "groups": 1,
        "nonlinearity": "tanh",
        "bias": True,
    }
    plain = {
        name: value
        for name, value in options.items()
        if name not in usual or value != usual[name]
    }
    return (
        plain
        if plain.get("dilation") not in (1, (1, 1))
        else {k: v for k, v in plain.items() if k != "dilation"}
    )


def _alone(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """PyTorch's function without the gradient of its first argument."""
    return lambda first, *rest, **options: function(first.detach(), *rest, **options)


def _function_pairs(
    name: str, ours: Callable[..., Tensor]
) -> Iterator[tuple[Thunk, Thunk]]:
    for theirs, (arguments, options) in databases.operator(name):
        theirs = _alone(theirs) if ours is _ctc else theirs
        yield (
            partial(differentiated, ours, arguments, options),
            partial(differentiated, theirs, arguments, options),
        )


# Modules: ours gets PyTorch's parameters and buffers, is called once, and may have
# changed its buffers.

MODULES = [
    ("11", "Embedding", "nn.Embedding"),
    ("12", "RNNCell", "nn.RNNCell"),
    ("12", "LSTMCell", "nn.LSTMCell"),
    ("12", "GRUCell", "nn.GRUCell"),
    ("13", "BatchNorm1d", "nn.BatchNorm1d"),
    ("13", "BatchNorm2d", "nn.BatchNorm2d"),
    ("13", "LayerNorm", "nn.LayerNorm"),
]


def _module_pairs(number: str, name: str, theirs: str) -> Iterator[tuple[Thunk, Thunk]]:
    for cls, (made, options), (arguments, keywords) in databases.module(theirs):
        for training in (True, False):
            sample = (cls, made, options, arguments, keywords, training)
            yield (
                partial(_run, getattr(kata(number), name), *sample),
                partial(_run, None, *sample),
            )


def _run(
    ours: type | None,
    theirs: type,
    made: tuple,
    options: dict,
    arguments: tuple,
    keywords: dict,
    training: bool,
):
    torch.manual_seed(0)
    module = original = theirs(*made, **options).double()
    if ours:
        module = ours(*made, **_plain(options)).double()
        module.load_state_dict(original.state_dict())
    result = module.train(training)(*arguments, **keywords)
    return result, {key: value.clone() for key, value in module.state_dict().items()}


# Optimizers: four steps from the same parameters along the same gradients.

OPTIMIZERS = [("21", "SGD"), ("21", "Adam"), ("21", "AdamW"), ("today/02", "Muon")]


def _walked(cls: Callable[..., Any], settings: dict[str, Any]) -> list[Tensor]:
    source = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (4, 2)]
    parameters = [
        nn.Parameter(torch.randn(shape, generator=source, dtype=torch.float64))
        for shape in shapes
    ]
    optimizer = cls(parameters, **settings)
    for _ in range(4):
        for parameter in parameters:
            parameter.grad = torch.randn(
                parameter.shape, generator=source, dtype=torch.float64
            )
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def _optimizer_pairs(number: str, name: str) -> Iterator[tuple[Thunk, Thunk]]:
    for cls, settings in databases.optimizer(name):
        full = {"lr": 1e-3, **settings}
        if name == "Muon":  # PyTorch's defaults are others
            full = {"weight_decay": 0.1} | full
        yield (
            partial(_walked, getattr(kata(number), name), full),
            partial(_walked, cls, full),
        )


# Weights in few bits: PyTorch rounds with our scales, and its gradient passes through
# the rounding.


def _fake(w: Tensor, scale: Tensor, n: int) -> Tensor:
    zeros = torch.zeros(len(scale), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(w, scale, zeros, 0, -n, n)


def _few_bits() -> Iterator[tuple[Thunk, Thunk]]:
    ours = kata("today/07")
    for seed, (rows, columns, size) in enumerate(
        ((64, 256, 1.0), (5, 6, 1e-4), (33, 100, 1e4))
    ):
        w = size * torch.randn(
            rows, columns, generator=torch.Generator().manual_seed(seed)
        )
        codes, scale = ours.absmax_int8(w)
        theirs = partial(_fake, scale=scale[:, 0], n=127)
        yield lambda codes=codes, scale=scale: codes * scale, partial(theirs, w)
        mine = partial(ours.straight_through, quantise=theirs)
        w.requires_grad_()
        yield (
            partial(differentiated, mine, (w,), {}),
            partial(differentiated, theirs, (w,), {}),
        )
    for group in (4, 16, 64):
        w, x = torch.randn(8, 64), torch.randn(3, 64)
        packed, scale = ours.absmax_int4(w, group)
        rounded = _fake(w.reshape(-1, group), scale.flatten(), 7).view_as(w)
        yield (
            partial(ours.quantised_linear, x, packed, scale, group),
            partial(nn.functional.linear, x, rounded),
        )


# Eight floating bits: PyTorch's types decode the same bytes, and its casts round to the
# same codes.


def _floating_bytes() -> Iterator[tuple[Thunk, Thunk]]:
    ours, codes = kata("today/11"), torch.arange(256, dtype=torch.uint8)
    for name, theirs in (
        ("E4M3", "float8_e4m3fn"),
        ("E5M2", "float8_e5m2"),
        ("E8M0", "float8_e8m0fnu"),
    ):
        fmt, dtype = getattr(ours, name), getattr(torch, theirs)
        yield (
            partial(ours.decode, codes, fmt),
            partial(lambda dtype: codes.view(dtype).float(), dtype),
        )
        if not fmt.signed:
            continue
        numbers = codes.view(dtype).float()
        numbers = numbers[numbers.isfinite()].sort().values
        drawn = torch.randn(
            3000, generator=torch.Generator().manual_seed(0)
        ) * 2.0 ** torch.arange(-20, 10).repeat(100)
        for x in (numbers, (numbers[1:] + numbers[:-1]) / 2, drawn):
            x = x[x != 0].clamp(-fmt.largest, fmt.largest)
            yield (
                partial(ours.encode, x, fmt),
                partial(lambda x, dtype: x.to(dtype).view(torch.uint8), x, dtype),
            )


def rows() -> Iterator[Row]:
    for ours, theirs, function in FUNCTIONS:
        yield compared(
            ours,
            f"torch {theirs.removeprefix('nn.functional.')}",
            _function_pairs(theirs, function),
            1e-7,
        )
    for number, name, theirs in MODULES:
        yield compared(
            f"{number} {name}", f"torch {theirs}", _module_pairs(number, name, theirs)
        )
    for number, name in OPTIMIZERS:
        # torch's Muon iterates in bfloat16
        tolerance = 2e-3 if name == "Muon" else 1e-9
        yield compared(
            f"{number} {name}",
            f"torch optim.{name}",
            _optimizer_pairs(number, name),
            tolerance,
        )
    yield compared(
        "today/07 absmax_int8, absmax_int4",
        "torch fake_quantize_per_channel_affine",
        _few_bits(),
        1e-6,
    )
    yield compared(
        "today/11 decode, encode",
        "torch float8_e4m3fn, float8_e5m2, float8_e8m0fnu",
        _floating_bytes(),
        0,
    )
