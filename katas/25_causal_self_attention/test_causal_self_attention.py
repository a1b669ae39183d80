"""Specs of 25 · Causal self-attention."""

import math
from itertools import accumulate, pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from grader.specs import check

B, H, D = 2, 3, 4  # batch, heads, features of a head
C = H * D
BLOCK = 8
LENGTHS = [(5, 5), (1, 6), (3, 7), (1, 1)]  # queries, keys
PARAMETERS = {
    "c_attn.weight": (3 * C, C),
    "c_attn.bias": (3 * C,),
    "c_proj.weight": (C, C),
    "c_proj.bias": (C,),
}
FUSED = "torch.nn.functional.scaled_dot_product_attention"


class TestCausalMask:
    def test_each_query_sees_itself_and_what_came_before(self, kata):
        """With as many queries as keys, query i sees keys 0 to i, itself included: True
        in the lower triangle. True always means "may attend" here.
        """
        expected = torch.tensor([[j <= i for j in range(4)] for i in range(4)])
        ones = torch.ones(4, 4, dtype=torch.bool)
        unlike = {
            "True taken as blocked": ~expected,
            "transposed: query i sees the keys from its own on": ones.triu(),
            "a query does not see itself": ones.tril(-1),
            "one key too many: each query sees the next one": ones.tril(1),
        }
        check.equal(kata.causal_mask(4, 4), expected, unlike=unlike)

    @given(t_q=st.integers(1, 5), past=st.integers(0, 5))
    def test_the_queries_are_the_newest_positions(self, kata, t_q, past):
        """The keys before the first query are the past, which every query sees. With 3
        queries and 7 keys, query 0 is position 4 and sees 5 keys. A plain tril() aligns
        both at the top left, where query 0 sees 1 key.
        """
        t_k = t_q + past
        expected = torch.tensor(
            [[j <= i + past for j in range(t_k)] for i in range(t_q)]
        )
        ones = torch.ones(t_q, t_k, dtype=torch.bool)
        unlike = {
            "aligned at the top left: tril() without the shift": ones.tril(),
            "one key too many": ones.tril(past + 1),
            "one key too few: a query does not see itself": ones.tril(past - 1),
            "shifted the wrong way": ones.tril(-past),
        }
        check.equal(
            kata.causal_mask(t_q, t_k),
            expected,
            unlike=unlike,
            what=f"t_q = {t_q}, t_k = {t_k}",
        )

    @pytest.mark.edge
    def test_the_mask_is_on_the_device_asked_for(self, kata):
        """A mask on the CPU cannot be combined with scores on a GPU. The meta device
        stands in for the GPU.
        """
        got, default = kata.causal_mask(3, 7, device="meta"), kata.causal_mask(3, 7)
        check.that(
            got.device.type == "meta", f"device='meta': the mask is on {got.device}"
        )
        check.that(
            default.device.type == "cpu",
            "without a device the mask should be on the default one",
        )

    @pytest.mark.edge
    def test_there_is_a_query_and_no_more_queries_than_keys(self, kata):
        """The queries are among the keys. With more queries than keys the first ones
        would see nothing at all, and their softmax would be NaN.
        """
        for t_q, t_k in ((5, 4), (0, 3)):
            with check.raises(ValueError, t_q, t_k):
                kata.causal_mask(t_q, t_k)


def heads(t_q, t_k, **options):
    """Random q, k and v with scores of a few units, none of them equal."""
    return [torch.randn(B, H, t, D, **options) for t in (t_q, t_k, t_k)]


def by_hand(q, k, v):
    """(output, weights) in float64 and without a mask: each query is handed the keys
    that it may see, and no others.
    """
    q, k, v = q.double(), k.double(), v.double()
    past = k.size(2) - q.size(2)
    rows = []
    for i in range(q.size(2)):
        seen = past + i + 1
        scores = (
            torch.einsum("bhd,bhkd->bhk", q[:, :, i], k[:, :, :seen]) / q.size(3) ** 0.5
        )
        rows.append(
            F.pad(
                torch.exp(scores - scores.logsumexp(-1, keepdim=True)),
                (0, k.size(2) - seen),
            )
        )
    weights = torch.stack(rows, dim=2)
    return torch.einsum("bhqk,bhkd->bhqd", weights, v), weights


def output_by_hand(q, k, v):
    return by_hand(q, k, v)[0]


def wrong_weights(q, k):
    """The weights after the usual slips, by name."""
    t_q, t_k = q.size(2), k.size(2)
    products = q.double() @ k.double().mT
    scores = products / q.size(3) ** 0.5
    ones = torch.ones(t_q, t_k, dtype=torch.bool)
    allowed = ones.tril(t_k - t_q)

    def hidden(scores, allowed, fill=-math.inf):
        return scores.masked_fill(~allowed, fill).softmax(-1)

    wrong = {
        "no mask: every query sees the future": scores.softmax(-1),
        "the mask transposed: query i sees the keys from its own on": hidden(
            scores, ones.triu(t_k - t_q)
        ),
        "the mask inverted: True taken as blocked": hidden(scores, ~allowed),
        "future scores set to 0 instead of −inf": hidden(scores, allowed, 0.0),
        "the scores not divided by √D": hidden(products, allowed),
        "the scores divided by D, not by √D": hidden(products / q.size(3), allowed),
        "the scores divided by √C, the features of all heads": hidden(
            products / C**0.5, allowed
        ),
        "softmax over the queries, not over the keys": scores.masked_fill(
            ~allowed, -math.inf
        ).softmax(-2),
        "masked after the softmax: the rows no longer sum to 1": scores.softmax(-1)
        * allowed,
    }
    if t_q < t_k:
        wrong["the mask aligned at the top left, where query i sees keys 0 … i"] = (
            hidden(scores, ones.tril())
        )
    if scores.min() < -1e4:
        wrong["future scores set to −10,000, which scores can be below"] = hidden(
            scores, allowed, -1e4
        )
    return wrong


def wrong_outputs(q, k, v):
    return {name: weights @ v.double() for name, weights in wrong_weights(q, k).items()}


def compare(attention, lengths):
    """Check a path against the oracle, for each pair of lengths."""
    for t_q, t_k in lengths:
        q, k, v = heads(t_q, t_k)
        got, wrong = attention(q, k, v), wrong_outputs(q, k, v)
        # its last row, which sees no key, is NaN
        inverted = wrong["the mask inverted: True taken as blocked"]
        # the fused call has zeros there
        wrong["the mask inverted: False taken as visible"] = inverted.nan_to_num()
        check.close(
            got, output_by_hand(q, k, v), unlike=wrong, what=f"T_q = {t_q}, T_k = {t_k}"
        )


def compare_in_half_precision(attention):
    """Check the dtype and the values, in float64 to its full precision."""
    for dtype, atol in (
        (torch.float64, None),
        (torch.bfloat16, 0.1),
        (torch.float16, 0.02),
    ):
        for t_q, t_k in ((5, 5), (3, 7)):
            q, k, v = heads(t_q, t_k, dtype=dtype)
            got, name = attention(q, k, v), str(dtype).removeprefix("torch.")
            check.dtype(got, dtype, what=f"output for {name}")
            check.close(
                got,
                output_by_hand(q, k, v),
                atol=atol,
                what=f"output for {name}, T_q = {t_q}, T_k = {t_k}",
            )


def run_on_meta(attention):
    """Check the device. Tensors on meta have no numbers, and refuse to meet a CPU
    tensor just as a GPU's do.
    """
    for t_q, t_k in ((5, 5), (3, 7)):
        q, k, v = heads(t_q, t_k, device="meta")
        out = attention(q, k, v)
        check.that(
            out.device.type == "meta",
            f"q, k and v are on the meta device, the output is on {out.device}",
        )


def count_dropped_weights(attention):
    """Check the share of weights that are 0, and the others. With an orthogonal v they
    can be read off the output.
    """
    p, t = 0.3, 16
    q, k = torch.randn(2, 8, 4, t, t) * 0.7
    turn = torch.linalg.qr(torch.randn(t, t)).Q
    weights = by_hand(q, k, turn.expand(8, 4, t, t))[1]
    out = attention(q, k, turn.expand(8, 4, t, t), dropout_p=p)
    check.shape(out, weights.shape)
    got = out.double() @ turn.double().T
    zero = got.abs() < 1e-5
    share = zero[weights > 0].double().mean().item()
    what = (
        f"dropout_p={p}: {share:.0%} of the weights on visible keys, read off the "
        "output, are 0"
    )
    check.that(abs(share - p) < 0.06, what)
    unlike = {"the weights that stay are not divided by 1 − p": weights[~zero]}
    check.close(
        got[~zero],
        weights[~zero] / (1 - p),
        rtol=1e-3,
        atol=1e-4,
        unlike=unlike,
        what="the weights that stay",
    )


class TestManualAttention:
    def test_equals_attention_by_hand(self, kata):
        """softmax(q kᵀ / √D) v, where each query reads from the keys up to its own and
        gives no weight to later ones. The output has the shape of q.
        """
        compare(kata.manual_attention, [(5, 5)])

    def test_fewer_queries_than_keys(self, kata):
        """With a cache, q holds only the newest positions, and they see all of the
        past: the mask has to be shifted by T_k − T_q. A single query sees everything.
        """
        compare(kata.manual_attention, [(1, 6), (3, 7), (1, 1)])

    def test_weights_come_on_request(self, kata):
        """return_weights=True gives (output, weights): one row per query, which sums to
        1 and has 0 for the future.
        """
        for t_q, t_k in LENGTHS:
            q, k, v = heads(t_q, t_k)
            got = kata.manual_attention(q, k, v, return_weights=True)
            pair = isinstance(got, tuple) and len(got) == 2
            check.that(
                pair,
                "return_weights=True should give a pair (output, weights), not "
                f"{check.describe(got)}",
            )
            output, weights = by_hand(q, k, v)
            what = f"T_q = {t_q}, T_k = {t_k}"
            check.close(
                got[1], weights, unlike=wrong_weights(q, k), what=f"weights, {what}"
            )
            check.close(got[0], output, what=f"output, {what}")

    def test_gradients_reach_q_k_and_v(self, kata):
        """All three are learned, so all three need their gradients, with as many
        queries as keys and with fewer.
        """
        for t_q, t_k in LENGTHS:
            check.gradients(kata.manual_attention, output_by_hand, *heads(t_q, t_k))

    def test_dropout_acts_on_the_weights(self, kata):
        """A share dropout_p of the weights becomes 0, and the others are divided by
        1 − p to keep the output's mean. Dropping scores instead gives no weight of 0;
        without the division the output shrinks in training only.
        """
        count_dropped_weights(kata.manual_attention)

    def test_no_dropout_unless_asked_for(self, kata):
        """The default is no dropout at all."""
        q, k, v = heads(5, 5)
        check.close(
            kata.manual_attention(q, k, v),
            output_by_hand(q, k, v),
            what="output without dropout_p",
        )

    def test_written_without_the_fused_call(self, kata):
        """This path shows its weights and is the test of the fused one, so it must not
        call F.scaled_dot_product_attention.
        """
        with check.forbidden(kata, FUSED):
            compare(kata.manual_attention, [(3, 7)])

    def test_weights_are_returned_before_dropout(self, kata):
        """The weights are returned to be looked at. After dropout, rows would no longer
        sum to 1 and would show holes that are not the model's.
        """
        q, k, v = heads(5, 5)
        expected = by_hand(q, k, v)[1]
        torch.manual_seed(1)
        unlike = {"the weights after dropout": F.dropout(expected.float(), 0.5)}
        torch.manual_seed(1)
        _, weights = kata.manual_attention(q, k, v, dropout_p=0.5, return_weights=True)
        check.close(weights, expected, unlike=unlike, what="weights at dropout_p=0.5")

    @pytest.mark.edge
    def test_large_scores_stay_finite(self, kata):
        """exp(89) is too large for float32, so a softmax written by hand subtracts the
        row's largest score first. Scores reach ±100,000 here: with −10,000 in place of
        −inf, queries would see some of the future.
        """
        for t_q, t_k in ((3, 7), (5, 5)):
            q, k, v = heads(t_q, t_k, dtype=torch.float64)
            q, k = (q * 300).requires_grad_(), (k * 300).requires_grad_()
            out = kata.manual_attention(q, k, v)
            unlike = wrong_outputs(q, k, v) | {
                "exp of the scores as they are: inf / inf": torch.full_like(q, math.nan)
            }
            check.close(
                out,
                output_by_hand(q, k, v),
                unlike=unlike,
                what="output, q and k times 300",
            )
            out.sum().backward()
            check.finite(q.grad, what="gradient of q, q and k times 300")
        check.finite(
            kata.manual_attention(*(x.float() for x in (q, k, v))),
            what="float32, q and k times 300",
        )

    @pytest.mark.edge
    def test_dtypes_are_kept(self, kata):
        """Half precision in, half precision out, and float64 keeps its precision. −1e9
        does not fit into float16, and a mask or a scale of another dtype changes that
        of the result.
        """
        compare_in_half_precision(kata.manual_attention)

    @pytest.mark.edge
    def test_float16_survives_large_products(self, kata):
        """q = k = 40 everywhere and D = 64 make dot products of 102400, and float16
        ends at 65504. Divided by √D they are 12800, which fits: divide before you
        multiply, or compute in float32. All scores are equal, so each output is the
        mean of the visible values.
        """
        q = torch.full((B, H, 5, 64), 40.0, dtype=torch.float16)
        v = torch.randn(B, H, 5, 64).half()
        means = v.double().cumsum(2) / torch.arange(1, 6).view(-1, 1)
        check.close(kata.manual_attention(q, q, v), means)

    @pytest.mark.edge
    def test_the_mask_follows_the_device_of_q(self, kata):
        """A mask made on the CPU cannot be combined with scores on a GPU. The meta
        device stands in for the GPU.
        """
        run_on_meta(kata.manual_attention)

    @pytest.mark.edge
    def test_transposed_inputs_are_read_and_left_alone(self, kata):
        """Heads are transposed views and not contiguous, so `view` can fail. The keys
        and values belong to the cache: an in-place division or mask would damage them.
        """
        q, k, v = (torch.randn(B, t, H, D).transpose(1, 2) for t in (3, 7, 7))
        with check.unchanged(q=q, k=k, v=v):
            got = kata.manual_attention(q, k, v)
        check.close(got, output_by_hand(q, k, v))


def fused_is_called(kata, call):
    """Tell if the call reaches F.scaled_dot_product_attention."""
    try:
        with check.forbidden(kata, FUSED):
            call()
    except check.Forbidden:
        return True
    return False


class FusedCalls(TorchFunctionMode):
    """Notes whether each fused call gets a mask, as long as this is entered."""

    def __init__(self):
        super().__init__()
        self.masked = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function.__name__ == "scaled_dot_product_attention":
            mask = args[3] if len(args) > 3 else kwargs.get("attn_mask")
            self.masked.append(mask is not None)
        return function(*args, **kwargs)


class TestFlashAttention:
    def test_equals_attention_by_hand(self, kata):
        """The same as manual_attention to rounding: softmax(q kᵀ / √D) v with the
        causal mask. The fused call masks nothing by itself, and True in its boolean
        mask means "may attend".
        """
        compare(kata.flash_attention, [(5, 5)])

    def test_fewer_queries_than_keys(self, kata):
        """is_causal=True aligns the mask at the top left, where a single query sees key
        0 alone. With fewer queries than keys, pass the mask instead. Without any mask,
        3 queries would see their future.
        """
        compare(kata.flash_attention, [(1, 6), (3, 7), (1, 1), (D, 6)])

    def test_gradients_reach_q_k_and_v(self, kata):
        """Models are trained on this path, so all three need their gradients."""
        for t_q, t_k in LENGTHS:
            check.gradients(kata.flash_attention, output_by_hand, *heads(t_q, t_k))

    def test_dropout_acts_on_the_weights(self, kata):
        """The fused call takes dropout_p itself: that share of the weights becomes 0,
        the others are divided by 1 − p. Dropping entries of the output instead removes
        whole means.
        """
        count_dropped_weights(kata.flash_attention)

    def test_no_dropout_unless_asked_for(self, kata):
        """The default is no dropout at all."""
        q, k, v = heads(5, 5)
        check.close(
            kata.flash_attention(q, k, v),
            output_by_hand(q, k, v),
            what="output without dropout_p",
        )

    def test_goes_through_the_fused_call(self, kata):
        """F.scaled_dot_product_attention makes this path fast and small: it picks a
        kernel that never writes the scores to memory. Call it for all lengths.
        """
        for t_q, t_k in LENGTHS:
            q, k, v = heads(t_q, t_k)
            called = fused_is_called(
                kata, lambda q=q, k=k, v=v: kata.flash_attention(q, k, v)
            )
            check.that(
                called,
                f"T_q = {t_q}, T_k = {t_k}: F.scaled_dot_product_attention was not "
                "called",
            )

    @pytest.mark.edge
    def test_dtypes_are_kept(self, kata):
        """Half precision in, half precision out, and float64 keeps its precision. A
        float mask must have the dtype of q; a boolean mask fits all.
        """
        compare_in_half_precision(kata.flash_attention)

    @pytest.mark.edge
    def test_the_mask_follows_the_device_of_q(self, kata):
        """A mask made on the CPU cannot be combined with queries on a GPU. The meta
        device stands in for the GPU.
        """
        run_on_meta(kata.flash_attention)

    @pytest.mark.edge
    def test_no_mask_where_is_causal_will_do(self, kata):
        """With T_q = T_k, as in training, `is_causal=True` says it all. FlashAttention,
        the fastest kernel on a GPU, takes no mask: with one, PyTorch falls back to a
        slower kernel.
        """
        with FusedCalls() as calls:
            kata.flash_attention(*heads(5, 5))
        check.equal(
            calls.masked, [False], what="whether the fused call gets a mask, at "
        )

    @pytest.mark.edge
    @pytest.mark.amp
    def test_every_kernel_of_a_gpu_takes_it(self, kata):
        """In bfloat16, each kernel that PyTorch chooses from gives the same,
        FlashAttention too for T_q = T_k. Where queries are fewer, the mask leaves the
        other two.
        """
        every = [
            SDPBackend.FLASH_ATTENTION,
            SDPBackend.EFFICIENT_ATTENTION,
            SDPBackend.MATH,
        ]
        if torch.cuda.get_device_capability() < (8, 0):
            every = every[2:]  # the others take bfloat16 on newer GPUs only
        for (t_q, t_k), kernels in {(32, 32): every, (3, 32): every[-2:]}.items():
            q, k, v = (torch.randn(B, H, t, 16).bfloat16() for t in (t_q, t_k, t_k))
            for kernel in kernels:
                with sdpa_kernel(kernel):
                    got = kata.flash_attention(q.cuda(), k.cuda(), v.cuda())
                check.dtype(got, torch.bfloat16, what=f"output of {kernel.name}")
                what = f"output of {kernel.name}, T_q = {t_q}, T_k = {t_k}"
                check.close(got, output_by_hand(q, k, v), atol=0.1, what=what)


chunk_sizes = st.lists(st.integers(1, 3), min_size=1, max_size=4)


class TestLayerCache:
    def test_a_new_cache_is_empty(self, kata):
        """Nothing is cached yet: k and v are None and the length is 0."""
        cache = kata.LayerCache()
        check.that(
            cache.k is None,
            f"k of a new cache should be None, not {check.describe(cache.k)}",
        )
        check.that(
            cache.v is None,
            f"v of a new cache should be None, not {check.describe(cache.v)}",
        )
        check.equal(len(cache), 0, what="len of a new cache")

    def test_the_first_positions_are_kept(self, kata):
        """The first append stores the tensors that it gets, and returns them. The
        length counts positions: dimension 2 of (B, H, T, D).
        """
        cache = kata.LayerCache()
        k, v = torch.randn(2, B, H, 5, D)
        check.equal(cache.append(k, v), (k, v), what="append's result")
        check.equal((cache.k, cache.v), (k, v), what="(cache.k, cache.v)")
        check.equal(len(cache), 5, what="len(cache)")

    @given(sizes=chunk_sizes)
    def test_new_positions_come_after_the_old_ones(self, kata, sizes):
        """Each append returns all positions so far, oldest first, for any number of
        new ones.
        """
        cache = kata.LayerCache()
        k, v = torch.randn(2, B, H, sum(sizes), D)
        for size, seen in zip(sizes, accumulate(sizes), strict=True):
            new, before = slice(seen - size, seen), slice(0, seen - size)
            got = cache.append(k[:, :, new], v[:, :, new])
            check.that(
                isinstance(got, tuple) and len(got) == 2,
                f"append gives (k, v), not {check.describe(got)}",
            )
            expected = (k[:, :, :seen], v[:, :, :seen])
            for i, (name, x) in enumerate({"k": k, "v": v}.items()):
                unlike = {
                    "the new positions before the old ones": torch.cat(
                        [x[:, :, new], x[:, :, before]], dim=2
                    ),
                    "the new positions alone": x[:, :, new],
                    "k and v exchanged": expected[1 - i],
                }
                what = f"{name} after appends of {sizes}, positions 0 to {seen - 1}"
                check.equal(got[i], expected[i], unlike=unlike, what=what)
                check.equal(
                    getattr(cache, name),
                    expected[i],
                    unlike=unlike,
                    what=f"cache.{what}",
                )
            check.equal(len(cache), seen, what=f"len(cache) after an append of {size}")

    def test_each_cache_has_its_own_positions(self, kata):
        """A model has one cache per layer. Kept on the class, all layers would
        share one.
        """
        one, other = kata.LayerCache(), kata.LayerCache()
        k, v = torch.randn(2, B, H, 5, D)
        one.append(k, v)
        check.equal(len(other), 0, what="len of a cache after an append to another one")
        other.append(k[:, :, :2], v[:, :, :2])
        check.equal((one.k, other.k), (k, k[:, :, :2]), what="k of both caches")

    @pytest.mark.edge
    def test_what_is_passed_in_does_not_change(self, kata):
        """append writes into none of the caller's tensors, also not into those of the
        first append.
        """
        cache = kata.LayerCache()
        first, second = torch.randn(2, B, H, 3, D), torch.randn(2, B, H, 3, D)
        with check.unchanged(first=first, second=second):
            cache.append(first[0], first[1])
            cache.append(second[0], second[1])

    @pytest.mark.edge
    def test_dtype_is_kept(self, kata):
        """A model in bfloat16 caches bfloat16, in half the memory, and float64 keeps
        its precision.
        """
        for dtype in (torch.bfloat16, torch.float64):
            cache = kata.LayerCache()
            for _ in range(2):
                k, v = cache.append(*torch.randn(2, B, H, 2, D, dtype=dtype))
                check.dtype(k, dtype, what="k")
                check.dtype(v, dtype, what="v")


def config_of(kata, **changes):
    sizes = {
        "block_size": BLOCK,
        "vocab_size": 11,
        "n_layer": 2,
        "n_head": H,
        "n_embd": C,
    }
    return kata.GPTConfig(**(sizes | changes))


class TestCausalSelfAttentionInit:
    @pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
    def test_parameters_are_those_of_gpt2(self, kata, bias):
        """c_attn is one (3C, C) layer for q, k and v, c_proj is (C, C), and there is
        nothing else. GPT-2's weights are stored like this. A mask in a buffer would be
        stored with them. bias=False leaves out both biases.
        """
        attn = kata.CausalSelfAttention(config_of(kata, bias=bias))
        expected = {
            name: shape
            for name, shape in PARAMETERS.items()
            if bias or name.endswith("weight")
        }
        stored = {name: tuple(value.shape) for name, value in attn.state_dict().items()}
        learned = {name: tuple(value.shape) for name, value in attn.named_parameters()}
        buffers = [name for name, _ in attn.named_buffers() if name in stored]
        check.that(
            not buffers,
            f"the state dict holds {buffers}",
            like="a buffer is saved: the mask can be computed",
        )
        check.equal(stored, expected, what="names and shapes in the state dict")
        check.equal(learned, expected, what="names and shapes of the parameters")

    def test_flash_is_an_attribute(self, kata):
        """`attn.flash` chooses the path of the next call. The fused one is
        the default.
        """
        check.equal(
            kata.CausalSelfAttention(config_of(kata)).flash,
            True,
            what="flash by default",
        )
        check.equal(
            kata.CausalSelfAttention(config_of(kata), flash=False).flash,
            False,
            what="flash after flash=False",
        )

    def test_the_output_dropout_has_the_probability_of_the_config(self, kata):
        """`resid_dropout` is an nn.Dropout with the probability config.dropout."""
        check.close(
            kata.CausalSelfAttention(config_of(kata, dropout=0.25)).resid_dropout.p,
            0.25,
            what="p",
        )

    @pytest.mark.edge
    def test_heads_must_divide_the_features(self, kata):
        """12 features cannot be shared by 5 heads."""
        with check.raises(ValueError, C, 5):
            kata.CausalSelfAttention(config_of(kata, n_head=5))


def layer(kata, flash=True, **changes):
    """A layer whose parameters, biases included, all differ from one another and
    from zero.
    """
    attn = kata.CausalSelfAttention(config_of(kata, **changes), flash=flash)
    with torch.no_grad():
        for parameter in attn.parameters():
            parameter.normal_(std=0.4)
    return attn


def dense(linear, x):
    return F.linear(
        x.double(),
        linear.weight.double(),
        None if linear.bias is None else linear.bias.double(),
    )


def layer_by_hand(attn, x, n_head=H):
    """The layer in float64, one head after the other."""
    q, k, v = dense(attn.c_attn, x).split(C, dim=-1)
    found = []
    for own in torch.arange(C).chunk(n_head):
        found.append(
            output_by_hand(*(part[:, None, :, own] for part in (q, k, v)))[:, 0]
        )
    return dense(attn.c_proj, torch.cat(found, dim=-1))


def output_if_training(attn, x):
    """The output after seed 1 if the layer's own flag says training, and that of
    resid_dropout does not.
    """
    attn.training = True
    torch.manual_seed(1)
    out = attn(x)
    attn.training = False
    return out


def seen_from_position_0(attn, x, cuts):
    """The outputs for chunks whose queries are taken for the first positions, so that
    they miss the latest keys.
    """
    q, k, v = (
        part.view(B, BLOCK, H, D).transpose(1, 2)
        for part in dense(attn.c_attn, x).split(C, dim=-1)
    )
    found = [
        F.scaled_dot_product_attention(
            q[:, :, start:end], k[:, :, :end], v[:, :, :end], is_causal=True
        )
        for start, end in pairwise([0, *cuts, BLOCK])
    ]
    return dense(attn.c_proj, torch.cat(found, dim=2).transpose(1, 2).flatten(2))


def wrong_layers(attn, x):
    """The outputs after the usual slips, by name: in cutting, in joining, or in
    the attention.
    """
    b, t, _ = x.shape
    rows = dense(attn.c_attn, x)
    q, k, v = rows.split(C, dim=-1)
    right = [part.view(b, t, H, D).transpose(1, 2) for part in (q, k, v)]
    cuts = {
        "outputs of c_attn taken as k, q, v": [right[1], right[0], right[2]],
        "outputs of c_attn taken as v, k, q": [right[2], right[1], right[0]],
        "outputs of c_attn taken as q, k, v of head 0, then of head 1, …": rows.view(
            b, t, H, 3, D
        ).permute(3, 0, 2, 1, 4),
        "features dealt out to the heads in turn": rows.view(b, t, 3, D, H).permute(
            2, 0, 4, 1, 3
        ),
        "heads cut without a transpose: view(B, H, T, D)": [
            part.reshape(b, H, t, D) for part in (q, k, v)
        ],
    }
    wrong = {
        name: output_by_hand(*parts).transpose(1, 2).reshape(b, t, C)
        for name, parts in cuts.items()
    }
    joined = "heads not moved back behind the positions: view(B, T, C) on (B, H, T, D)"
    wrong[joined] = output_by_hand(*right).reshape(b, t, C)
    wrong |= {
        name: y.transpose(1, 2).reshape(b, t, C)
        for name, y in wrong_outputs(*right).items()
    }
    wrong = {name: dense(attn.c_proj, y) for name, y in wrong.items()}
    wrong["one head of all C features"] = layer_by_hand(attn, x, n_head=1)
    wrong["c_proj is missing"] = output_by_hand(*right).transpose(1, 2).reshape(b, t, C)
    wrong["x is added: that is the block's part"] = layer_by_hand(attn, x) + x.double()
    return wrong


class TestCausalSelfAttentionForward:
    @pytest.mark.parametrize("flash", [True, False], ids=["flash", "manual"])
    def test_equals_a_layer_by_hand(self, kata, flash):
        """The outputs of c_attn are all of q, then all of k, then all of v; inside
        each, head 0 comes first. The heads are joined in the same order and go through
        c_proj. Cut in another order, the layer would train, and GPT-2's weights would
        give noise.
        """
        attn, x = layer(kata, flash), torch.randn(B, 5, C)
        check.close(
            attn(x), layer_by_hand(attn, x), unlike=wrong_layers(attn, x), what="output"
        )

    @settings(max_examples=10)
    @given(position=st.integers(1, 6), flash=st.booleans())
    def test_the_future_does_not_leak(self, kata, position, flash):
        """Output t may depend on x up to t only, so a change of x from one position on
        leaves all earlier outputs as they are. If one position can look ahead, the
        training loss falls towards 0: the model copies the answer.
        """
        attn, x = layer(kata, flash), torch.randn(B, 7, C)
        changed = torch.cat([x[:, :position], torch.randn(B, 7 - position, C)], dim=1)
        one, other = attn(x), attn(changed)
        what = (
            f"outputs before position {position}, after x[:, {position}:] was "
            f"changed, flash={flash}"
        )
        check.close(other[:, :position], one[:, :position], what=what)
        moved = (other[:, position:] - one[:, position:]).abs().amax(-1).min().item()
        check.that(
            moved > 1e-3,
            f"flash={flash}: an output does not depend on the input at its own "
            "position",
        )

    def test_gradients_reach_x_and_every_parameter(self, kata):
        """Nothing before a detached tensor is trained. Both paths give the gradients of
        the layer by hand.
        """
        for flash in (True, False):
            attn, x = layer(kata, flash), torch.randn(B, 5, C, requires_grad=True)
            learned = {"x": x} | dict(attn.named_parameters())
            probe = torch.randn(B, 5, C)
            expected = torch.autograd.grad(
                (layer_by_hand(attn, x) * probe).sum(), list(learned.values())
            )
            out = attn(x)
            check.that(
                out.requires_grad, "the output carries no graph: nothing can be learned"
            )
            got = torch.autograd.grad(
                (out * probe).sum(), list(learned.values()), allow_unused=True
            )
            for name, mine, right in zip(learned, got, expected, strict=True):
                check.that(
                    mine is not None, f"flash={flash}: no gradient reaches {name}"
                )
                check.close(mine, right, what=f"gradient of {name}, flash={flash}")

    def test_flash_picks_the_path(self, kata):
        """flash=True computes with the fused call, flash=False by hand. To look into a
        model, change the attribute:
        the next call follows it, and the outputs stay the same.
        """
        attn, x = layer(kata), torch.randn(B, 5, C)
        for flash in (True, False, True):
            attn.flash = flash
            called = fused_is_called(kata, lambda: attn(x))
            said = "was" if called else "was not"
            check.that(
                called == flash,
                f"attn.flash set to {flash}: the fused call {said} used",
            )
            check.close(
                attn(x),
                layer_by_hand(attn, x),
                what=f"output with attn.flash set to {flash}",
            )

    @settings(max_examples=10)
    @given(cuts=st.sets(st.integers(1, BLOCK - 1)), flash=st.booleans())
    def test_chunks_through_a_cache_equal_the_full_pass(self, kata, cuts, flash):
        """However block_size positions are cut into chunks, a cache gives the outputs
        of a single pass. Queries see the cached keys, and the keys of their own chunk
        up to themselves. A new cache has length 0 and is false, so `if cache:` would
        never fill it.
        """
        attn, x, cache = layer(kata, flash), torch.randn(B, BLOCK, C), kata.LayerCache()
        chunks = x.tensor_split(sorted(cuts), dim=1)
        got = torch.cat([attn(chunk, cache=cache) for chunk in chunks], dim=1)
        alone = torch.cat([attn(chunk) for chunk in chunks], dim=1)
        unlike = {
            "each chunk sees itself alone: the cached positions are not used": alone,
            (
                "positions start at 0 in each chunk: its queries are the newest, so "
                "their mask ends at the last key"
            ): (seen_from_position_0(attn, x, sorted(cuts))),
        }
        what = (
            f"chunks of {[chunk.size(1) for chunk in chunks]} positions, flash={flash}"
        )
        check.close(
            got, layer_by_hand(attn, x), unlike=unlike, what=f"output of {what}"
        )
        ignored = {
            "nothing was stored: an empty cache is false, so ask `is not None`": 0
        }
        check.equal(len(cache), BLOCK, unlike=ignored, what=f"len(cache) after {what}")

    def test_attention_weights_are_dropped_in_training(self, kata):
        """config.dropout acts on the attention weights too. With resid_dropout switched
        off, the outputs must still vary, around the same mean as without dropout.
        """
        for flash in (True, False):
            attn = layer(kata, flash, dropout=0.25)
            attn.resid_dropout.eval()
            x = torch.randn(1, 5, C).expand(3000, 5, C)
            with torch.no_grad():
                out = attn(x)
            spread = out.std(0).mean().item()
            message = (
                "does not vary with resid_dropout off, so no attention weight is "
                "dropped"
            )
            check.that(
                spread > 1e-3,
                f"flash={flash}, dropout 0.25, training: the output {message}",
            )
            mean, right = out.double().mean(0), layer_by_hand(attn, x[:1])[0]
            error = (
                (mean - right).abs() / out.double().std(0)
            ).max().item() * 3000**0.5
            away = (
                f"the mean of 3000 outputs is {error:.0f} standard errors from the "
                "right one"
            )
            check.that(error < 6, f"flash={flash}: {away}")

    def test_the_output_is_dropped_in_training(self, kata):
        """resid_dropout comes last: about p of the outputs are exactly 0 in training.
        Before c_proj it would leave no zeros.
        """
        for flash in (True, False):
            attn = layer(kata, flash, dropout=0.4)
            zeros = (attn(torch.randn(50, BLOCK, C)) == 0).double().mean().item()
            right = abs(zeros - 0.4) < 0.05
            check.that(
                right,
                f"flash={flash}, dropout 0.4: {zeros:.0%} of the outputs are 0 in "
                "training",
            )

    def test_nothing_is_dropped_in_eval_mode(self, kata):
        """eval() must reach both dropouts. F.scaled_dot_product_attention knows no
        modes and always drops dropout_p of the weights: pass it a probability above 0
        in training mode only.
        """
        for flash in (True, False):
            attn, x = layer(kata, flash, dropout=0.5).eval(), torch.randn(B, 5, C)
            unlike = {"weights dropped as in training": output_if_training(attn, x)}
            torch.manual_seed(1)
            got, what = attn(x), f"output in eval mode, dropout 0.5, flash={flash}"
            check.close(got, layer_by_hand(attn, x), unlike=unlike, what=what)

    @pytest.mark.edge
    def test_block_size_is_the_limit(self, kata):
        """The model has block_size positions. One more is an error that names
        the limit.
        """
        with check.raises(ValueError, BLOCK):
            layer(kata)(torch.randn(B, BLOCK + 1, C))

    @pytest.mark.edge
    def test_cached_positions_count_towards_the_limit(self, kata):
        """5 cached and 4 new positions are 9, and the block size is 8. Check before you
        append: a caller that catches the error still needs a cache that works.
        """
        attn, x, cache = layer(kata), torch.randn(B, BLOCK, C), kata.LayerCache()
        before = attn(x[:, :5], cache=cache)
        with check.raises(ValueError, BLOCK):
            attn(torch.randn(B, 4, C), cache=cache)
        check.equal(len(cache), 5, what="len(cache) after the error")
        got = torch.cat([before, attn(x[:, 5:], cache=cache)], dim=1)
        check.close(
            got,
            layer_by_hand(attn, x),
            what="output of 5 and then 3 positions, after the error between them",
        )

    @pytest.mark.edge
    def test_double_in_double_out(self, kata):
        """A layer cast to float64 computes in float64, and one in bfloat16
        gives bfloat16.
        """
        for flash in (True, False):
            attn, x = (
                layer(kata, flash).double(),
                torch.randn(B, 5, C, dtype=torch.float64),
            )
            check.dtype(attn(x), torch.float64, what=f"output, flash={flash}")
            check.close(
                attn(x),
                layer_by_hand(attn, x),
                what=f"output in float64, flash={flash}",
            )
            check.dtype(
                attn.bfloat16()(x.bfloat16()),
                torch.bfloat16,
                what=f"output, flash={flash}",
            )

    @pytest.mark.edge
    def test_x_stays_as_it_was(self, kata):
        """A block adds x to the output afterwards, so x must not change. It may also be
        a transposed view.
        """
        for options in check.modes(flash=[False]):
            attn, x = layer(kata, **options), torch.randn(B, C, 5).mT
            with check.unchanged(x=x):
                out = attn(x)
            check.close(
                out,
                layer_by_hand(attn, x),
                what=f"output for a transposed view, with {options}",
            )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_on_a_gpu(self, kata):
        """The whole, and the same in chunks through a cache, whose keys and values stay
        on the GPU.
        """
        for flash in (True, False):
            attn, x = layer(kata, flash), torch.randn(B, BLOCK, C)
            expected = layer_by_hand(attn, x)
            attn, x, cache = attn.cuda(), x.cuda(), kata.LayerCache()
            check.close(
                attn(x), expected, atol=1e-4, what=f"output on a GPU, flash={flash}"
            )
            chunks = torch.cat(
                [attn(chunk, cache=cache) for chunk in x.split(3, dim=1)], dim=1
            )
            check.close(
                chunks,
                expected,
                atol=1e-4,
                what=f"output of chunks on a GPU, flash={flash}",
            )
            check.that(
                cache.k.is_cuda and cache.v.is_cuda,
                f"flash={flash}: the cache is on {cache.k.device}",
            )

    @pytest.mark.edge
    def test_runs_on_the_device_of_its_weights(self, kata):
        """A large model is built on the meta device before its weights are loaded. A
        mask made on the CPU would raise an error there.
        """
        for flash in (True, False):
            with torch.device("meta"):
                attn = kata.CausalSelfAttention(config_of(kata), flash=flash)
            cache = kata.LayerCache()
            for t in (3, 2):
                out = attn(torch.randn(B, t, C, device="meta"), cache=cache)
                check.that(
                    out.device.type == "meta",
                    f"flash={flash}: the output is on {out.device}, not on meta",
                )
            weights = {
                name: 0.4 * torch.randn(value.shape)
                for name, value in attn.state_dict().items()
            }
            attn.load_state_dict(weights, assign=True)
            x = torch.randn(B, 5, C)
            what = (
                f"output of a meta layer that weights were loaded into, flash={flash}"
            )
            check.close(attn(x), layer_by_hand(attn, x), what=what)


@pytest.mark.stretch
class TestScoreBytes:
    def test_two_sequences_three_heads_ten_tokens(self, kata):
        """2 · 3 · 10 · 10 = 600 scores, of 2 bytes each in bfloat16."""
        unlike = {
            "the scores, not their bytes": 600,
            "four bytes per score whatever the dtype": 2400,
            "T once": 120,
        }
        check.equal(kata.score_bytes(2, 3, 10, torch.bfloat16), 1200, unlike=unlike)

    def test_float32_unless_said_otherwise(self, kata):
        """Four bytes per score: GPT-2's 12 heads on 1024 positions need 48 MiB per
        sequence and layer.
        """
        check.equal(kata.score_bytes(1, 12, 1024), 48 * 2**20)

    @pytest.mark.parametrize(
        ("dtype", "size"),
        [(torch.float64, 8), (torch.float16, 2), (torch.float8_e4m3fn, 1)],
        ids=str,
    )
    def test_every_dtype_has_its_size(self, kata, dtype, size):
        """8 bytes for float64, 2 for half precision, 1 for the 8-bit floats."""
        check.equal(
            kata.score_bytes(3, 5, 7, dtype), 3 * 5 * 49 * size, what=str(dtype)
        )

    def test_allocates_nothing(self, kata):
        """A million tokens would need 4 TB for one head. Multiply the sizes: making the
        tensor would run out of memory.
        """
        check.equal(kata.score_bytes(1, 1, 10**6), 4 * 10**12)
