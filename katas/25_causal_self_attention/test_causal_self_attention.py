"""Specs of 25: the mask, both paths of attention, the cache, GPT-2's attention layer, and the bytes of the scores."""

import math

import pytest
import torch
import torch.nn.functional as F

from grader.specs import check

B, H, D = 2, 3, 4  # batch, heads, features of a head
C = H * D
BLOCK = 8
LENGTHS = [(5, 5), (1, 6), (3, 7), (1, 1)]  # queries, keys
PARAMETERS = {"c_attn.weight": (3 * C, C), "c_attn.bias": (3 * C,), "c_proj.weight": (C, C), "c_proj.bias": (C,)}
FUSED = "torch.nn.functional.scaled_dot_product_attention"


def heads(t_q, t_k, **options):
    """Random q, k and v with scores of a few units, none of them equal."""
    return [torch.randn(B, H, t, D, **options) for t in (t_q, t_k, t_k)]


def by_hand(q, k, v):
    """(output, weights) in float64 and without a mask: each query is handed the keys that it may see, and no others."""
    q, k, v = q.double(), k.double(), v.double()
    past = k.size(2) - q.size(2)
    rows = []
    for i in range(q.size(2)):
        seen = past + i + 1
        scores = torch.einsum("bhd,bhkd->bhk", q[:, :, i], k[:, :, :seen]) / q.size(3) ** 0.5
        rows.append(F.pad(torch.exp(scores - scores.logsumexp(-1, keepdim=True)), (0, k.size(2) - seen)))
    weights = torch.stack(rows, dim=2)
    return torch.einsum("bhqk,bhkd->bhqd", weights, v), weights


def output_by_hand(q, k, v):
    return by_hand(q, k, v)[0]


def wrong_weights(q, k):
    """The weights that the usual slips come to, by name."""
    t_q, t_k = q.size(2), k.size(2)
    products = q.double() @ k.double().mT
    scores = products / q.size(3) ** 0.5
    ones = torch.ones(t_q, t_k, dtype=torch.bool)
    allowed = ones.tril(t_k - t_q)

    def hidden(scores, allowed, fill=-math.inf):
        return scores.masked_fill(~allowed, fill).softmax(-1)

    return {
        "no mask: every query sees the future": scores.softmax(-1),
        "the mask lined up at the top left, where query i sees keys 0 … i": hidden(scores, ones.tril()),
        "the mask turned round: query i sees the keys from its own on": hidden(scores, ones.triu(t_k - t_q)),
        "the mask inverted: True taken as blocked": hidden(scores, ~allowed),
        "future scores set to 0 instead of −inf": hidden(scores, allowed, 0.0),
        "future scores set to −10,000, which scores can be below": hidden(scores, allowed, -1e4),
        "the scores not divided by √D": hidden(products, allowed),
        "the scores divided by D, not by √D": hidden(products / q.size(3), allowed),
        "the scores divided by the root of all H·D features": hidden(
            products / (q.size(1) * q.size(3)) ** 0.5, allowed
        ),
        "the scores divided by √H: size(1) is the number of heads": hidden(products / q.size(1) ** 0.5, allowed),
        "the scores divided by √T_k, not by √D": hidden(products / t_k**0.5, allowed),
        "the scores multiplied by √D": hidden(products * q.size(3) ** 0.5, allowed),
        "softmax over the queries, not over the keys": scores.masked_fill(~allowed, -math.inf).softmax(-2),
        "masked after the softmax: the rows no longer sum to 1": scores.softmax(-1) * allowed,
    }


def wrong_outputs(q, k, v):
    return {name: weights @ v.double() for name, weights in wrong_weights(q, k).items()}


def compared(attention, lengths):
    """The path under test equals the oracle, for each pair of lengths."""
    for t_q, t_k in lengths:
        q, k, v = heads(t_q, t_k)
        got = attention(q, k, v)
        check.close(got, output_by_hand(q, k, v), unlike=wrong_outputs(q, k, v), what=f"T_q = {t_q}, T_k = {t_k}")


def survives_large_scores(attention):
    """Values in float64, where the oracle is exact even there, and finite values and gradients in float32."""
    for t_q, t_k in ((3, 7), (5, 5)):
        q, k, v = heads(t_q, t_k, dtype=torch.float64)
        q, k = q * 300, k * 300
        what = f"float64, T_q = {t_q}, T_k = {t_k}, q and k times 300"
        check.close(attention(q, k, v), output_by_hand(q, k, v), unlike=wrong_outputs(q, k, v), what=what)
    q, k, v = heads(5, 5)
    q, k = (q * 300).requires_grad_(), (k * 300).requires_grad_()
    out = attention(q, k, v)
    check.finite(out, what="float32, q and k times 300")
    out.sum().backward()
    for name, x in (("q", q), ("k", k)):
        check.finite(x.grad, what=f"gradient of {name}, q and k times 300")


def keeps_dtypes(attention):
    """Output of the inputs' dtype and near the oracle, in float64 to its full precision."""
    for dtype, atol in ((torch.float64, None), (torch.bfloat16, 0.1), (torch.float16, 0.02)):
        for t_q, t_k in ((5, 5), (3, 7)):
            q, k, v = heads(t_q, t_k, dtype=dtype)
            got, name = attention(q, k, v), str(dtype).removeprefix("torch.")
            check.dtype(got, dtype, what=f"output for {name}")
            check.close(got, output_by_hand(q, k, v), atol=atol, what=f"output for {name}, T_q = {t_q}, T_k = {t_k}")


def reads_by_index(attention):
    """Non-contiguous q, k and v, as a layer has them that cuts heads by a transpose."""
    q, k, v = (torch.randn(B, t, H, D).transpose(1, 2) for t in (3, 7, 7))
    check.close(attention(q, k, v), output_by_hand(q, k, v))


def follows_the_device(attention):
    """Tensors on the meta device have no numbers, and refuse to meet a CPU tensor just as a GPU's do."""
    for t_q, t_k in ((5, 5), (3, 7)):
        q, k, v = heads(t_q, t_k, device="meta")
        out = attention(q, k, v)
        check.that(out.device.type == "meta", f"q, k and v are on the meta device, the output is on {out.device}")


def drops_weights(attention):
    """With an orthogonal matrix as v, the weights that the output was made of can be read off it, and counted."""
    p, t = 0.3, 16
    q, k = torch.randn(2, 8, 4, t, t, dtype=torch.float64) * 0.7
    turn = torch.linalg.qr(torch.randn(t, t, dtype=torch.float64)).Q
    weights = by_hand(q, k, turn.expand(8, 4, t, t))[1]
    out = attention(q, k, turn.expand(8, 4, t, t), dropout_p=p)
    check.shape(out, weights.shape)
    got = out.double() @ turn.T
    zero = got.abs() < 1e-7
    share = zero[weights > 0].double().mean().item()
    summing = (got.sum(-1) - 1).abs().max().item() < 1e-3
    after = "; the rows still sum to 1, so nothing was dropped after the softmax" if summing else ""
    what = "weights on visible keys, read off the output,"
    check.that(abs(share - p) < 0.06, f"dropout_p={p}: {share:.0%} of the {what} are 0{after}")
    unlike = {"the weights that stay are not divided by 1 − p": weights[~zero]}
    check.close(got[~zero], weights[~zero] / (1 - p), unlike=unlike, what="the weights that stay")


def draws_nothing_without_dropout(attention):
    """Without dropout_p there is none; and dropout_p=0.0 says the same."""
    q, k, v = heads(5, 5)
    check.close(attention(q, k, v), output_by_hand(q, k, v), what="no dropout_p")
    check.close(attention(q, k, v, dropout_p=0.0), output_by_hand(q, k, v), what="dropout_p=0.0")


def fused_is_called(kata, call):
    """Whether the call runs into F.scaled_dot_product_attention."""
    try:
        with check.forbidden(kata, FUSED):
            call()
    except check.Forbidden:
        return True
    return False


def config_of(kata, **changes):
    sizes = {"block_size": BLOCK, "vocab_size": 11, "n_layer": 2, "n_head": H, "n_embd": C}
    return kata.GPTConfig(**(sizes | changes))


def layer(kata, flash=True, **changes):
    """A layer whose parameters, biases included, all differ from one another and from zero."""
    attn = kata.CausalSelfAttention(config_of(kata, **changes), flash=flash)
    with torch.no_grad():
        for parameter in attn.parameters():
            parameter.normal_(std=0.4)
    return attn


def has_parameters(attn, expected):
    """The state dict and the parameters have these names and shapes, and no others."""
    stored = {name: tuple(value.shape) for name, value in attn.state_dict().items()}
    learned = {name: tuple(value.shape) for name, value in attn.named_parameters()}
    check.equal(stored, expected, what="names and shapes in the state dict")
    check.equal(learned, expected, what="names and shapes of the parameters")


def projected(attn, x):
    """q, k, v (B, T, C) in float64, read off the rows of c_attn's weight."""
    weight, bias, width = attn.c_attn.weight.double(), attn.c_attn.bias, attn.c_proj.weight.size(0)
    parts = []
    for i in range(3):
        part = x.double() @ weight[i * width : (i + 1) * width].T
        parts.append(part if bias is None else part + bias.double()[i * width : (i + 1) * width])
    return parts


def finished(attn, joined):
    out = joined @ attn.c_proj.weight.double().T
    return out if attn.c_proj.bias is None else out + attn.c_proj.bias.double()


def layer_by_hand(attn, x, n_head=H):
    """The layer in float64, one head after the other."""
    q, k, v = projected(attn, x)
    size = q.size(-1) // n_head
    found = []
    for h in range(n_head):
        own = slice(h * size, (h + 1) * size)
        found.append(output_by_hand(*(part[:, None, :, own] for part in (q, k, v)))[:, 0])
    return finished(attn, torch.cat(found, dim=-1))


def wrong_layers(attn, x):
    """What a layer puts out after the usual slips, by name: in cutting, in joining, in both, or in the attention."""
    b, t, _ = x.shape
    q, k, v = projected(attn, x)
    rows = torch.cat([q, k, v], dim=-1)

    def cut(part):
        return part.view(b, t, H, D).transpose(1, 2)

    cuts = {
        "": [cut(part) for part in (q, k, v)],
        "rows of c_attn taken as k, q, v": [cut(part) for part in (k, q, v)],
        "rows of c_attn taken as v, k, q": [cut(part) for part in (v, k, q)],
        "rows of c_attn taken as q, v, k": [cut(part) for part in (q, v, k)],
        "rows of c_attn taken as q, k, v of head 0, then of head 1, …": rows.view(b, t, H, 3, D).permute(3, 0, 2, 1, 4),
        "rows of c_attn taken as q, k, v, q, k, v, …": rows.view(b, t, H, D, 3).permute(4, 0, 2, 1, 3),
        "features dealt out to the heads in turn": rows.view(b, t, 3, D, H).permute(2, 0, 4, 1, 3),
        "heads cut without a transpose: view(B, H, T, D)": [part.reshape(b, H, t, D) for part in (q, k, v)],
    }
    joins = {
        "": lambda y: y.transpose(1, 2).reshape(b, t, C),
        "heads not moved back behind the positions: view(B, T, C) on (B, H, T, D)": lambda y: y.reshape(b, t, C),
        "features joined interleaved, not head by head": lambda y: y.permute(0, 2, 3, 1).reshape(b, t, C),
    }
    wrong = {}
    for one, parts in cuts.items():
        for other, join in joins.items():
            wrong["; and ".join(filter(None, (one, other)))] = finished(attn, join(output_by_hand(*parts)))
    right = wrong.pop("")
    for name, y in wrong_outputs(*cuts[""]).items():
        wrong[name] = finished(attn, joins[""](y))
    wrong["one head of all C features"] = finished(attn, output_by_hand(*(part[:, None] for part in (q, k, v)))[:, 0])
    wrong[f"H and D exchanged: {D} heads of {H} features, not {H} of {D}"] = layer_by_hand(attn, x, n_head=D)
    wrong["c_proj is missing"] = joins[""](output_by_hand(*cuts[""]))
    wrong["x is added: that is the block's part"] = right + x.double()
    return wrong


def in_chunks(attn, x, sizes, cache):
    """The outputs of x given to the layer chunk by chunk, with one cache, side by side."""
    return torch.cat([attn(chunk, cache=cache) for chunk in x.split(sizes, dim=1)], dim=1)


class TestCausalMask:
    def test_each_query_sees_itself_and_what_came_before(self, kata):
        """With as many queries as keys, query i sees keys 0 to i, itself included: True in the lower triangle. True
        means "may attend" in all of this path."""
        expected = torch.tensor([[j <= i for j in range(4)] for i in range(4)])
        ones = torch.ones(4, 4, dtype=torch.bool)
        unlike = {
            "transposed: query i sees the keys from its own on": ones.triu(),
            "a query does not see itself": ones.tril(-1),
            "one key too many: each query sees the next one": ones.tril(1),
        }
        check.equal(kata.causal_mask(4, 4), expected, unlike=unlike)

    def test_the_queries_are_the_newest_positions(self, kata):
        """With 3 queries and 7 keys, 4 keys are the past, which everyone sees: query 0 is position 4 and sees 5 keys.
        A plain tril() lines the two up at the top left and lets query 0 see 1."""
        for t_q, t_k in ((3, 7), (2, 4), (5, 6)):
            expected = torch.tensor([[j <= i + (t_k - t_q) for j in range(t_k)] for i in range(t_q)])
            ones = torch.ones(t_q, t_k, dtype=torch.bool)
            unlike = {
                "lined up at the top left: tril() without the shift": ones.tril(),
                "one key too many": ones.tril(t_k - t_q + 1),
                "one key too few: a query does not see itself": ones.tril(t_k - t_q - 1),
                "shifted the wrong way": ones.tril(t_q - t_k),
            }
            check.equal(kata.causal_mask(t_q, t_k), expected, unlike=unlike, what=f"t_q = {t_q}, t_k = {t_k}")

    def test_a_single_query_sees_every_key(self, kata):
        """That is one step of generating text: the newest token looks back at all the others, and at itself."""
        for t_k in (6, 1):
            check.equal(kata.causal_mask(1, t_k), torch.tensor([[True] * t_k]), what=f"t_q = 1, t_k = {t_k}")

    def test_the_mask_lies_on_the_device_asked_for(self, kata):
        """A mask on the CPU cannot meet scores on a GPU. The meta device stands in for the GPU here."""
        got = kata.causal_mask(3, 7, device="meta")
        check.that(got.device.type == "meta", f"device='meta': the mask is on {got.device}")
        check.that(
            kata.causal_mask(3, 7).device.type == "cpu", "without a device the mask should be on the default one"
        )

    def test_there_is_a_query_and_no_more_queries_than_keys(self, kata):
        """The queries are among the keys. With more queries than keys the first ones would see nothing at all, and
        their softmax would be NaN; the message names both numbers."""
        for t_q, t_k in ((5, 4), (0, 3), (-1, 2), (0, 0)):
            with check.raises(ValueError, t_q, t_k):
                kata.causal_mask(t_q, t_k)


class TestManualAttention:
    def test_one_row_for_each_query(self, kata):
        """The output has the shape of q, however many keys there are. Without return_weights it comes alone."""
        for t_q, t_k in LENGTHS:
            check.shape(kata.manual_attention(*heads(t_q, t_k)), (B, H, t_q, D), what=f"T_q = {t_q}, T_k = {t_k}")

    def test_equals_attention_by_hand(self, kata):
        """softmax(q kᵀ / √D) v, where each query reads from the keys up to its own and gives none of its weight to
        the others."""
        compared(kata.manual_attention, [(5, 5)])

    def test_fewer_queries_than_keys(self, kata):
        """With a cache, q holds only the newest positions, and they see all of the past: the mask has to be shifted by
        T_k − T_q. A single query sees everything."""
        compared(kata.manual_attention, [(1, 6), (3, 7), (1, 1)])

    def test_weights_come_on_request(self, kata):
        """return_weights=True gives (output, weights): a row for each query that sums to 1, with 0 for the future."""
        for t_q, t_k in LENGTHS:
            q, k, v = heads(t_q, t_k)
            got = kata.manual_attention(q, k, v, return_weights=True)
            pair = isinstance(got, tuple) and len(got) == 2
            check.that(pair, f"return_weights=True should give a pair (output, weights), not {check.describe(got)}")
            output, weights = by_hand(q, k, v)
            what = f"T_q = {t_q}, T_k = {t_k}"
            check.close(got[1], weights, unlike=wrong_weights(q, k), what=f"weights, {what}")
            check.close(got[0], output, what=f"output, {what}")

    def test_gradients_reach_q_k_and_v(self, kata):
        """All three are learned, so all three need their gradients, with as many queries as keys and with fewer."""
        for t_q, t_k in LENGTHS:
            check.gradients(kata.manual_attention, output_by_hand, *heads(t_q, t_k, dtype=torch.float64))

    def test_dropout_acts_on_the_weights(self, kata):
        """dropout_p of the weights become 0 and the others are divided by 1 − p, which keeps the mean of the output.
        Dropping scores instead gives no weight of 0; forgetting to rescale shrinks the output in training only."""
        drops_weights(kata.manual_attention)

    def test_no_dropout_unless_asked_for(self, kata):
        """The default is no dropout at all."""
        draws_nothing_without_dropout(kata.manual_attention)

    def test_weights_are_returned_before_dropout(self, kata):
        """They are for looking at: after dropout the rows would no longer sum to 1 and show holes that are not the
        model's."""
        q, k, v = heads(5, 5)
        _, weights = kata.manual_attention(q, k, v, dropout_p=0.5, return_weights=True)
        check.close(weights, by_hand(q, k, v)[1], what="weights at dropout_p=0.5")

    def test_large_scores_stay_finite(self, kata):
        """exp(89) is too large for float32. A softmax takes the row's largest score off first, and one written by hand
        must do so too. q and k are multiplied by 300 here, to scores of ±100,000: −10,000 in the place of −inf would
        then be more than many a score that counts, and the future would be seen."""
        survives_large_scores(kata.manual_attention)

    def test_dtypes_are_kept(self, kata):
        """Half precision in, half precision out, and float64 keeps its precision. −1e9 does not fit into float16, and
        a mask or a scale of another dtype changes that of the result."""
        keeps_dtypes(kata.manual_attention)
        for dtype in (torch.float64, torch.bfloat16, torch.float16):
            _, weights = kata.manual_attention(*heads(3, 7, dtype=dtype), return_weights=True)
            check.dtype(weights, dtype, what="weights")

    def test_float16_survives_large_products(self, kata):
        """q = k = 40 everywhere and D = 64 make dot products of 102400, and float16 ends at 65504. Divided by √D they
        are 12800, which fits: divide before you multiply, or compute in float32. All scores being equal, each query
        takes the mean of the values that it sees."""
        q = torch.full((B, H, 5, 64), 40.0, dtype=torch.float16)
        v = torch.randn(B, H, 5, 64).half()
        means = v.double().cumsum(2) / torch.arange(1, 6).view(-1, 1)
        check.close(kata.manual_attention(q, q, v), means)

    def test_works_on_transposed_views(self, kata):
        """A layer that cuts heads by a transpose hands over non-contiguous tensors."""
        reads_by_index(kata.manual_attention)

    def test_the_mask_follows_the_device_of_q(self, kata):
        """A mask made on the CPU cannot meet scores on a GPU. The meta device stands in for the GPU here."""
        follows_the_device(kata.manual_attention)

    def test_inputs_stay_as_they_were(self, kata):
        """The keys and values belong to the cache. An in-place division or mask would damage them."""
        q, k, v = heads(5, 5)
        with check.unchanged(q=q, k=k, v=v):
            kata.manual_attention(q, k, v, dropout_p=0.5)

    def test_written_without_the_fused_call(self, kata):
        """This is the path that one can look into, and the oracle for the other one: it does not call
        F.scaled_dot_product_attention."""
        with check.forbidden(kata, FUSED):
            compared(kata.manual_attention, [(3, 7)])


class TestFlashAttention:
    def test_one_row_for_each_query(self, kata):
        """The output has the shape of q, however many keys there are."""
        for t_q, t_k in LENGTHS:
            check.shape(kata.flash_attention(*heads(t_q, t_k)), (B, H, t_q, D), what=f"T_q = {t_q}, T_k = {t_k}")

    def test_equals_attention_by_hand(self, kata):
        """The same as manual_attention to rounding: softmax(q kᵀ / √D) v with the causal mask. The fused call masks
        nothing by itself, and a boolean mask means True = may attend to it."""
        compared(kata.flash_attention, [(5, 5)])

    def test_fewer_queries_than_keys(self, kata):
        """is_causal=True lines the mask up at the top left, where a single query sees key 0 alone: with fewer queries
        than keys the mask has to be handed over instead. Leaving it out shows 3 queries their future."""
        compared(kata.flash_attention, [(1, 6), (3, 7), (1, 1), (D, 6)])

    def test_gradients_reach_q_k_and_v(self, kata):
        """This is the path that models are trained with."""
        for t_q, t_k in LENGTHS:
            check.gradients(kata.flash_attention, output_by_hand, *heads(t_q, t_k, dtype=torch.float64))

    def test_dropout_acts_on_the_weights(self, kata):
        """The fused call takes dropout_p itself: that share of the weights becomes 0, the others are divided by 1 − p.
        Dropping entries of the output afterwards is something else: there, a whole mean is gone."""
        drops_weights(kata.flash_attention)

    def test_no_dropout_unless_asked_for(self, kata):
        """The default is no dropout at all."""
        draws_nothing_without_dropout(kata.flash_attention)

    def test_goes_through_the_fused_call(self, kata):
        """F.scaled_dot_product_attention is what makes this path fast and small: it picks a kernel that never writes
        the scores to memory. It is called whatever the lengths are."""
        for t_q, t_k in LENGTHS:
            q, k, v = heads(t_q, t_k)
            called = fused_is_called(kata, lambda q=q, k=k, v=v: kata.flash_attention(q, k, v))
            check.that(called, f"T_q = {t_q}, T_k = {t_k}: F.scaled_dot_product_attention was not called")

    def test_large_scores_stay_finite(self, kata):
        """Scores of a hundred thousand give weights of 0 and 1, not NaN, as in the other path."""
        survives_large_scores(kata.flash_attention)

    def test_dtypes_are_kept(self, kata):
        """Half precision in, half precision out, and float64 keeps its precision. A float mask would have to be of
        the dtype of q; a boolean one fits all."""
        keeps_dtypes(kata.flash_attention)

    def test_works_on_transposed_views(self, kata):
        """A layer that cuts heads by a transpose hands over non-contiguous tensors."""
        reads_by_index(kata.flash_attention)

    def test_the_mask_follows_the_device_of_q(self, kata):
        """A mask made on the CPU cannot meet queries on a GPU. The meta device stands in for the GPU here."""
        follows_the_device(kata.flash_attention)

    def test_inputs_stay_as_they_were(self, kata):
        """The keys and values belong to the cache."""
        q, k, v = heads(3, 7)
        with check.unchanged(q=q, k=k, v=v):
            kata.flash_attention(q, k, v)


class TestLayerCache:
    def test_a_new_cache_is_empty(self, kata):
        """Nothing is cached yet: k and v are None and the length is 0."""
        cache = kata.LayerCache()
        check.that(cache.k is None, f"k of a new cache should be None, not {check.describe(cache.k)}")
        check.that(cache.v is None, f"v of a new cache should be None, not {check.describe(cache.v)}")
        check.equal(len(cache), 0, what="len of a new cache")

    def test_the_first_positions_are_kept(self, kata):
        """The first append returns what it was given, and remembers it. The length counts positions: dimension 2 of
        (B, H, T, D)."""
        cache = kata.LayerCache()
        k, v = torch.randn(2, B, H, 5, D)
        check.equal(cache.append(k, v), (k, v), what="append's result")
        check.equal((cache.k, cache.v), (k, v), what="(cache.k, cache.v)")
        check.equal(len(cache), 5, what="len(cache)")

    def test_new_positions_stand_behind_the_old_ones(self, kata):
        """Each append returns all positions so far, oldest first. Two chunks of 2, then one of 3: along the heads or
        the batch the first two would fit too."""
        cache = kata.LayerCache()
        k, v = torch.randn(2, B, H, 7, D)
        seen = 0
        for size in (2, 2, 3):
            new = slice(seen, seen + size)
            before, seen = slice(0, seen), seen + size
            got = cache.append(k[:, :, new], v[:, :, new])
            expected = (k[:, :, :seen], v[:, :, :seen])
            in_front = tuple(torch.cat([x[:, :, new], x[:, :, before]], dim=2) for x in (k, v))
            what = f"positions 0 to {seen - 1} after an append of {size}: "
            check.that(isinstance(got, tuple) and len(got) == 2, f"append gives (k, v), not {check.describe(got)}")
            for i, name in enumerate("kv"):
                unlike = {
                    "the new positions stand in front of the old ones": in_front[i],
                    "the new positions alone": (k[:, :, new], v[:, :, new])[i],
                    "k and v exchanged": expected[1 - i],
                }
                check.equal(got[i], expected[i], unlike=unlike, what=what + name)
                check.equal(getattr(cache, name), expected[i], unlike=unlike, what=what + f"cache.{name}")
            check.equal(len(cache), seen, what=f"len(cache) after an append of {size}")

    def test_what_is_passed_in_does_not_change(self, kata):
        """The caller's tensors are still the caller's, also the ones that were the first in the cache."""
        cache = kata.LayerCache()
        first, second = torch.randn(2, B, H, 3, D), torch.randn(2, B, H, 3, D)
        with check.unchanged(first=first, second=second):
            cache.append(first[0], first[1])
            cache.append(second[0], second[1])

    def test_dtype_is_kept(self, kata):
        """A model in bfloat16 caches bfloat16: half the memory is the point of it. And float64 loses nothing."""
        for dtype in (torch.bfloat16, torch.float64):
            cache = kata.LayerCache()
            for _ in range(2):
                k, v = cache.append(*torch.randn(2, B, H, 2, D, dtype=dtype))
                check.dtype(k, dtype, what="k")
                check.dtype(v, dtype, what="v")

    def test_each_cache_has_its_own_positions(self, kata):
        """A model has one cache a layer. Kept on the class, all layers would share one."""
        one, other = kata.LayerCache(), kata.LayerCache()
        k, v = torch.randn(2, B, H, 5, D)
        one.append(k, v)
        check.equal(len(other), 0, what="len of a cache after an append to another one")
        other.append(k[:, :, :2], v[:, :, :2])
        check.equal((one.k, other.k), (k, k[:, :, :2]), what="k of both caches")
        check.equal(len(kata.LayerCache()), 0, what="len of a third, new cache")


class TestCausalSelfAttention:
    def test_parameters_are_those_of_gpt2(self, kata):
        """c_attn is one (3C, C) layer for q, k and v, c_proj is (C, C), and there is nothing else: that is how GPT-2's
        weights are stored. A mask in a buffer would be stored with them."""
        has_parameters(kata.CausalSelfAttention(config_of(kata)), PARAMETERS)

    def test_the_output_has_the_shape_of_x(self, kata):
        """(B, T, C) in, (B, T, C) out, on both paths: a block adds the output to its input."""
        for flash in (True, False):
            for t in (5, 1):
                check.shape(layer(kata, flash)(torch.randn(B, t, C)), (B, t, C), what=f"flash={flash}, T={t}")

    def test_equals_a_layer_by_hand(self, kata):
        """The outputs of c_attn are all of q, then all of k, then all of v; inside each, head 0 comes first. The heads
        are joined in the same order and go through c_proj. Cut in another order, the layer would train, and GPT-2's
        weights would give noise."""
        for flash in (True, False):
            attn, x = layer(kata, flash), torch.randn(B, 5, C)
            check.close(attn(x), layer_by_hand(attn, x), unlike=wrong_layers(attn, x), what=f"output, flash={flash}")

    def test_without_biases(self, kata):
        """config.bias=False leaves out the biases of c_attn and c_proj, and changes nothing else."""
        attn, x = layer(kata, bias=False), torch.randn(B, 5, C)
        has_parameters(attn, {name: shape for name, shape in PARAMETERS.items() if name.endswith("weight")})
        check.close(attn(x), layer_by_hand(attn, x))

    def test_any_number_of_heads(self, kata):
        """One head has all C features, and C heads have one each; the scale follows the width of a head."""
        for n_head in (1, 2, C):
            attn, x = layer(kata, n_head=n_head), torch.randn(B, 5, C)
            check.close(attn(x), layer_by_hand(attn, x, n_head), what=f"output, n_head={n_head}")

    def test_the_future_does_not_leak(self, kata):
        """Output t may depend on x up to t only. One look ahead and the training loss falls to nothing, as the model
        copies the answer."""
        for flash in (True, False):
            attn, x = layer(kata, flash), torch.randn(B, 7, C)
            changed = torch.cat([x[:, :4], torch.randn(B, 3, C)], dim=1)
            one, other = attn(x), attn(changed)
            check.close(other[:, :4], one[:, :4], what=f"outputs 0 to 3, flash={flash}, after x[:, 4:] was changed")
            moved = (other[:, 4:] - one[:, 4:]).abs().amax(-1).min().item()
            check.that(moved > 1e-3, f"flash={flash}: an output from 4 on does not depend on its own input")

    def test_flash_picks_the_path(self, kata):
        """flash=True computes with the fused call, flash=False by hand. Looking into a model means flipping the
        attribute: the next call follows it, and the outputs stay the same."""
        check.equal(kata.CausalSelfAttention(config_of(kata)).flash, True, what="the attribute flash by default")
        x = torch.randn(B, 5, C)
        for flash in (True, False):
            attn = layer(kata, flash)
            check.equal(attn.flash, flash, what="the attribute flash")
            for now in (flash, not flash, flash):
                attn.flash = now
                called = fused_is_called(kata, lambda attn=attn: attn(x))
                said = "was" if called else "was not"
                check.that(called == now, f"built with flash={flash}, set to {now}: the fused call {said} used")
                check.close(attn(x), layer_by_hand(attn, x), what=f"output, set to {now}")

    def test_gradients_reach_x_and_every_parameter(self, kata):
        """A detached piece trains nothing behind it. Both paths give the gradients of the layer by hand."""
        for flash in (True, False):
            attn, x = layer(kata, flash).double(), torch.randn(B, 5, C, dtype=torch.float64, requires_grad=True)
            learned = {"x": x} | dict(attn.named_parameters())
            probe = torch.randn(B, 5, C, dtype=torch.float64)
            expected = torch.autograd.grad((layer_by_hand(attn, x) * probe).sum(), list(learned.values()))
            out = attn(x)
            check.that(out.requires_grad, "the output carries no graph: nothing can be learned")
            got = torch.autograd.grad((out * probe).sum(), list(learned.values()), allow_unused=True)
            for name, mine, right in zip(learned, got, expected, strict=True):
                check.that(mine is not None, f"flash={flash}: no gradient reaches {name}")
                check.close(mine, right, what=f"gradient of {name}, flash={flash}")

    def test_chunks_through_a_cache_equal_the_full_pass(self, kata):
        """Positions 0 to 2, then 3, then 4 to 6, through one cache: the queries of a chunk see the cached keys and
        those of their own chunk up to themselves. A new cache has length 0 and is false,
        so `if cache:` would never fill it."""
        for flash in (True, False):
            for sizes in ([3, 1, 3], [7], [1] * 7, [2, 5]):
                attn, x, cache = layer(kata, flash), torch.randn(B, 7, C), kata.LayerCache()
                got = in_chunks(attn, x, sizes, cache)
                alone = torch.cat([layer_by_hand(attn, chunk) for chunk in x.split(sizes, dim=1)], dim=1)
                unlike = {"each chunk sees itself alone: the cached positions are not used": alone}
                what = f"output in chunks of {sizes}, flash={flash}"
                check.equal(len(cache), 7, what=f"len(cache) after chunks of {sizes}, flash={flash}")
                check.close(got, layer_by_hand(attn, x), unlike=unlike, what=what)

    def test_the_cache_holds_keys_and_values_by_head(self, kata):
        """k and v in the cache are (B, H, T, D), what c_attn made of every position so far."""
        attn, x, cache = layer(kata), torch.randn(B, 5, C), kata.LayerCache()
        in_chunks(attn, x, [3, 2], cache)
        _, k, v = (torch.stack(part.split(D, dim=-1), dim=1) for part in projected(attn, x))
        check.close(cache.k, k, unlike={"the values": v}, what="cache.k")
        check.close(cache.v, v, unlike={"the keys": k}, what="cache.v")

    def test_calls_without_a_cache_are_independent(self, kata):
        """The layer itself remembers nothing: a call without a cache sees x alone, whatever came before it, and two
        caches keep two texts apart."""
        attn, x, y = layer(kata), torch.randn(B, 3, C), torch.randn(B, 5, C)
        cache, another = kata.LayerCache(), kata.LayerCache()
        attn(y, cache=cache)
        check.close(attn(x), layer_by_hand(attn, x), what="output without a cache, after a call with one")
        check.close(attn(x, cache=another), layer_by_hand(attn, x), what="output with a new cache, after another one")
        check.equal((len(cache), len(another)), (5, 3), what="the lengths of both caches")

    def test_block_size_is_the_limit(self, kata):
        """The model knows block_size positions. Exactly so many are fine; one more is a ValueError that names it."""
        attn = layer(kata)
        check.shape(attn(torch.randn(B, BLOCK, C)), (B, BLOCK, C), what=f"output for {BLOCK} positions")
        with check.raises(ValueError, BLOCK):
            attn(torch.randn(B, BLOCK + 1, C))

    def test_cached_positions_count_towards_the_limit(self, kata):
        """5 cached and 4 new positions are 9, and the block size is 8. The check comes before anything is appended: a
        caller who catches the error still has a cache that works."""
        attn, x, cache = layer(kata), torch.randn(B, BLOCK, C), kata.LayerCache()
        before = attn(x[:, :5], cache=cache)
        with check.raises(ValueError, BLOCK):
            attn(torch.randn(B, 4, C), cache=cache)
        check.equal(len(cache), 5, what="len(cache) after the error")
        got = torch.cat([before, attn(x[:, 5:], cache=cache)], dim=1)
        check.close(got, layer_by_hand(attn, x), what="output of 5 and then 3 positions, after the error between them")

    def test_attention_weights_are_dropped_in_training(self, kata):
        """config.dropout acts on the attention weights too. Here resid_dropout is switched off, and the outputs must
        still vary from call to call, around the same mean as without dropout."""
        for flash in (True, False):
            attn = layer(kata, flash, dropout=0.25)
            attn.resid_dropout.eval()
            x = torch.randn(1, 5, C).expand(3000, 5, C)
            with torch.no_grad():
                out = attn(x)
            spread = out.std(0).mean().item()
            message = "does not vary with resid_dropout off, so no attention weight is dropped"
            check.that(spread > 1e-3, f"flash={flash}, dropout 0.25, training: the output {message}")
            mean, right = out.double().mean(0), layer_by_hand(attn, x[:1])[0]
            error = ((mean - right).abs() / out.double().std(0)).max().item() * 3000**0.5
            check.that(
                error < 6, f"flash={flash}: the mean of 3000 outputs is {error:.0f} standard errors from the right one"
            )

    def test_the_output_is_dropped_in_training(self, kata):
        """resid_dropout comes last: about p of the outputs are exactly 0 in training. Before c_proj it would leave no
        zeros."""
        for flash in (True, False):
            attn = layer(kata, flash, dropout=0.4)
            zeros = (attn(torch.randn(50, BLOCK, C)) == 0).double().mean().item()
            check.that(
                abs(zeros - 0.4) < 0.05, f"flash={flash}, dropout 0.4: {zeros:.0%} of the outputs are 0 in training"
            )

    def test_nothing_is_dropped_in_eval_mode(self, kata):
        """eval() must reach both dropouts. F.scaled_dot_product_attention drops whatever it is told to: it does not
        know about modes, so only in training may it be told so."""
        for flash in (True, False):
            attn, x = layer(kata, flash, dropout=0.5).eval(), torch.randn(B, 5, C)
            check.close(attn(x), layer_by_hand(attn, x), what=f"output in eval mode, dropout 0.5, flash={flash}")

    def test_double_in_double_out(self, kata):
        """A layer turned to float64 computes in float64, and one in bfloat16 gives bfloat16."""
        for flash in (True, False):
            attn, x = layer(kata, flash).double(), torch.randn(B, 5, C, dtype=torch.float64)
            check.dtype(attn(x), torch.float64, what=f"output, flash={flash}")
            check.close(attn(x), layer_by_hand(attn, x), what=f"output in float64, flash={flash}")
            check.dtype(attn.bfloat16()(x.bfloat16()), torch.bfloat16, what=f"output, flash={flash}")

    def test_x_stays_as_it_was(self, kata):
        """A block adds x to the output afterwards. And x may be a transposed view."""
        for flash in (True, False):
            attn, x = layer(kata, flash), torch.randn(B, C, 5).mT
            with check.unchanged(x=x):
                out = attn(x)
            check.close(out, layer_by_hand(attn, x), what=f"output for a transposed view, flash={flash}")

    def test_works_where_its_weights_lie(self, kata):
        """Nothing but the weights has a place of its own. On the meta device, where a large model is built before its
        weights are loaded, a mask made on the CPU or kept in a buffer would be in the way."""
        for flash in (True, False):
            with torch.device("meta"):
                attn = kata.CausalSelfAttention(config_of(kata), flash=flash)
            cache = kata.LayerCache()
            for t in (3, 2):
                out = attn(torch.randn(B, t, C, device="meta"), cache=cache)
                check.that(out.device.type == "meta", f"flash={flash}: the output is on {out.device}, not on meta")
            kept = [name for name, _ in attn.named_buffers()]
            check.that(not kept, f"the layer should have no buffers, and has {kept}")
            weights = {name: 0.4 * torch.randn(value.shape) for name, value in attn.state_dict().items()}
            attn.load_state_dict(weights, assign=True)
            x = torch.randn(B, 5, C)
            what = f"output of a meta layer that weights were loaded into, flash={flash}"
            check.close(attn(x), layer_by_hand(attn, x), what=what)

    def test_heads_must_divide_the_features(self, kata):
        """12 features cannot be shared by 5 heads; the message names both numbers."""
        with check.raises(ValueError, C, 5):
            kata.CausalSelfAttention(config_of(kata, n_head=5))


@pytest.mark.stretch
class TestScoreBytes:
    def test_two_sequences_three_heads_ten_tokens(self, kata):
        """2 · 3 · 10 · 10 = 600 scores, of 2 bytes each in bfloat16."""
        unlike = {"the scores, not their bytes": 600, "four bytes a score whatever the dtype": 2400, "T once": 120}
        check.equal(kata.score_bytes(2, 3, 10, torch.bfloat16), 1200, unlike=unlike)

    def test_float32_unless_said_otherwise(self, kata):
        """Four bytes a score: GPT-2's 12 heads on 1024 positions take 48 MiB for each sequence and layer."""
        check.equal(kata.score_bytes(1, 12, 1024), 48 * 2**20)

    def test_every_dtype_has_its_size(self, kata):
        """8 bytes for float64, 4 for float32, 2 for both half precisions, 1 for the 8-bit floats."""
        for dtype, size in (
            (torch.float64, 8),
            (torch.float32, 4),
            (torch.float16, 2),
            (torch.bfloat16, 2),
            (torch.float8_e4m3fn, 1),
        ):
            check.equal(kata.score_bytes(3, 5, 7, dtype), 3 * 5 * 49 * size, what=str(dtype))

    def test_it_is_a_sum_and_allocates_nothing(self, kata):
        """A million tokens would need 4 TB for one head. The answer is a multiplication: making the tensor to ask it
        for its size would end in an error."""
        check.equal(kata.score_bytes(1, 1, 10**6), 4 * 10**12)
