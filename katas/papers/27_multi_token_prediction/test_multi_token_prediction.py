"""Specs of kata papers/27: one trunk with several heads, their loss and training,
drafts, and a fair comparison.
"""

import copy
import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

B, T, N, V, H = 2, 7, 3, 5, 6  # sequences, tokens, heads, vocabulary, hidden units


def ids(*shape):
    return torch.randint(V, shape)


def outputs_by_hand(model, tokens):
    """The trunk's outputs (B, T, H) from the weights, gate by gate, in float64."""
    w = {name: parameter.double() for name, parameter in model.named_parameters()}
    state, outputs = torch.zeros(len(tokens), H, dtype=torch.float64), []
    for column in tokens.T:
        read = F.linear(
            w["embedding.weight"][column],
            w["trunk.weight_ih_l0"],
            w["trunk.bias_ih_l0"],
        ).chunk(3, dim=1)
        kept = F.linear(state, w["trunk.weight_hh_l0"], w["trunk.bias_hh_l0"]).chunk(
            3, dim=1
        )
        reset, update = (read[0] + kept[0]).sigmoid(), (read[1] + kept[1]).sigmoid()
        state = update * state + (1 - update) * (read[2] + reset * kept[2]).tanh()
        outputs.append(state)
    return torch.stack(outputs, dim=1)


class TestMultiTokenModel:
    def test_has_one_trunk_and_n_heads(self, kata):
        """One embedding and one GRU read the tokens for all heads. Each head has a
        weight and a bias of its own.
        """
        model = kata.MultiTokenModel(V, H, N)
        expected = {"embedding.weight": (V, H)}
        for kind in ("ih", "hh"):
            expected |= {
                f"trunk.weight_{kind}_l0": (3 * H, H),
                f"trunk.bias_{kind}_l0": (3 * H,),
            }
        for k in range(N):
            expected |= {f"heads.{k}.weight": (V, H), f"heads.{k}.bias": (V,)}
        got = {
            name: tuple(parameter.shape) for name, parameter in model.named_parameters()
        }
        missing = [name for name in expected if name not in got]
        check.that(
            not missing, f"not among the model's parameters: {', '.join(missing)}"
        )
        check.equal(got, expected, what="shapes of the parameters")
        check.equal(
            [model.vocab_size, model.num_heads], [V, N], what="vocab_size and num_heads"
        )

    def test_hidden_runs_the_trunk_over_the_tokens(self, kata):
        """The GRU reads the embedded tokens from left to right, batch first. Its
        outputs at all places are the result, not its last state alone.
        """
        model, tokens = kata.MultiTokenModel(V, H, N), ids(B, T)
        with torch.no_grad():
            by_column = outputs_by_hand(model, tokens.T).transpose(0, 1)
            unlike = {"batch_first is missing: the batch is read as time": by_column}
            check.close(
                model.hidden(tokens),
                outputs_by_hand(model, tokens),
                unlike=unlike,
                what="hidden(tokens)",
            )

    def test_logits_of_head_k_are_at_index_k_of_axis_2(self, kata):
        """(B, T, n, V): for every place one row of logits per head. All heads read the
        same outputs of the trunk.
        """
        model, tokens = kata.MultiTokenModel(V, H, N), ids(B, T)
        with torch.no_grad():
            hidden = outputs_by_hand(model, tokens)
            heads = [
                hidden @ head.weight.double().T + head.bias.double()
                for head in model.heads
            ]
            unlike = {
                "the heads in reverse order": torch.stack(heads[::-1], dim=2),
                "the first head's logits for every head": torch.stack(
                    heads[:1] * N, dim=2
                ),
                "heads put on an axis before time, then reshaped": torch.stack(
                    heads, dim=1
                ).reshape(B, T, N, V),
            }
            check.close(
                model(tokens), torch.stack(heads, dim=2), unlike=unlike, what="logits"
            )

    def test_later_tokens_change_nothing_before_them(self, kata):
        """A head predicts what comes: if it read the tokens that it is scored on, it
        would learn to copy.
        """
        model, tokens = kata.MultiTokenModel(V, H, N), ids(B, T)
        other = tokens.clone()
        other[:, 4:] = (other[:, 4:] + 1) % V
        with torch.no_grad():
            first, second = model(tokens), model(other)
        check.close(
            second[:, :4],
            first[:, :4],
            what="the logits at places 0 to 3, with other tokens from place 4 on",
        )
        check.that(
            not torch.allclose(second[:, 4:], first[:, 4:]),
            "the logits do not depend on the tokens",
        )

    def test_every_head_trains_the_trunk_and_itself(self, kata):
        """The gradient of one head's logits reaches the embedding, the trunk and that
        head, and no other head.
        """
        for k in range(N):
            model = kata.MultiTokenModel(V, H, N)
            logits = model(ids(B, T))
            check.that(
                logits.requires_grad,
                "the logits have no autograd graph: nothing can be learned",
            )
            (logits[:, :, k] * torch.randn(B, T, V)).sum().backward()
            moved = {
                name.partition("_")[0]
                for name, p in model.named_parameters()
                if p.grad is not None and p.grad.any()
            }
            expected = {
                "embedding.weight",
                "trunk.weight",
                "trunk.bias",
                f"heads.{k}.weight",
                f"heads.{k}.bias",
            }
            check.equal(
                sorted(moved), sorted(expected), what=f"the parts that head {k} trains"
            )

    @pytest.mark.edge
    def test_the_same_seed_gives_the_same_trunk_and_first_head(self, kata):
        """Layers draw their numbers one after the other. With the heads created last,
        more of them change nothing before them.
        """
        found = []
        for num_heads in (1, 4):
            torch.manual_seed(3)
            found.append(kata.MultiTokenModel(V, H, num_heads).state_dict())
        for name, expected in found[0].items():
            check.equal(
                found[1][name],
                expected,
                what=f"{name} of 4 heads beside that of 1 head",
            )


def scored_by_loop(logits, tokens, *, shift=1, beyond="left out", count=None):
    """Per head the mean of −log p of its targets, position by position, in float64. The
    options are slips.

    Args:
        shift: head 0 is scored `shift` places later. "next": every head is scored one
            place later.
        beyond: what counts as target after the end: "left out", "token 0" or
            "wrapped around".
        count: what a sum of losses is divided by, if not by its own number of terms.
    """
    logp = logits.double().log_softmax(dim=-1)
    rows, length, num_heads = logits.shape[:3]
    means = []
    for k in range(num_heads):
        step = 1 if shift == "next" else shift + k
        terms = []
        for row in range(rows):
            for t in range(length):
                if t + step < length or beyond == "wrapped around":
                    target = int(tokens[row, (t + step) % length])
                elif beyond == "token 0":
                    target = 0
                else:
                    continue
                terms.append(-logp[row, t, k, target])
        means.append(sum(terms) / (count or len(terms)))
    return torch.stack(means)


def loss_slips(logits, tokens):
    """By name, the per-head losses that some slips lead to."""
    rows, length, num_heads = logits.shape[:3]
    complete = logits[:, : length - num_heads], tokens
    logp = complete[0].double().log_softmax(dim=-1)
    first = [
        -logp[:, :, k]
        .gather(-1, tokens[:, k + 1 : length - num_heads + k + 1, None])
        .mean()
        for k in range(num_heads)
    ]
    return {
        "every head scored on the next token": scored_by_loop(
            logits, tokens, shift="next"
        ),
        "every head scored one place too early": scored_by_loop(
            logits, tokens, shift=0
        ),
        "every head scored one place too late": scored_by_loop(logits, tokens, shift=2),
        "targets that wrap around, as with torch.roll": scored_by_loop(
            logits, tokens, beyond="wrapped around"
        ),
        "targets after the end that are token 0": scored_by_loop(
            logits, tokens, beyond="token 0"
        ),
        "all heads divided by the count of head 0": scored_by_loop(
            logits, tokens, count=rows * (length - 1)
        ),
        "all heads divided by B · T": scored_by_loop(
            logits, tokens, count=rows * length
        ),
        "only the places that have a target for every head": torch.stack(first),
        "the sum over the places, not their mean": scored_by_loop(
            logits, tokens, count=1
        ),
        "the last head's loss alone: overwritten in the loop": scored_by_loop(
            logits, tokens
        )[-1:],
    }


@st.composite
def logits_and_tokens(draw):
    rows, num_heads = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    length = num_heads + draw(st.integers(1, 4))
    return torch.randn(rows, length, num_heads, V), ids(rows, length)


class TestMultiTokenLoss:
    def test_head_k_is_scored_k_plus_1_places_later(self, kata):
        """Logits [:, t, k] are scored on tokens[:, t + 1 + k]. Positions without such a
        token are left out, and each head's mean is over its own positions: 12, 10 and 8
        of them here.
        """
        logits, tokens = torch.randn(B, T, N, V), ids(B, T)
        _, per_head = kata.multi_token_loss(logits, tokens)
        check.close(
            per_head,
            scored_by_loop(logits, tokens),
            unlike=loss_slips(logits, tokens),
            what="per-head losses",
        )

    def test_the_total_is_the_sum_over_heads(self, kata):
        """A model that knows nothing has a loss of ln 5 = 1.61 per head, and of 4.83
        in all.
        """
        total, per_head = kata.multi_token_loss(torch.zeros(B, T, N, V), ids(B, T))
        check.close(
            per_head,
            torch.full((N,), math.log(V)),
            what="per-head losses of uniform logits",
        )
        unlike = {"the mean over the heads": torch.tensor(math.log(V))}
        check.close(
            total,
            torch.tensor(N * math.log(V)),
            unlike=unlike,
            what="total loss of uniform logits",
        )

    def test_heads_that_know_what_comes_have_no_loss(self, kata):
        """Tokens that count up: after 2, head 0 should say 3, head 1 should say 4. Sure
        and right means a loss of 0.
        """
        tokens = (torch.arange(T) + torch.tensor([[0], [3]])) % V
        sure = torch.stack(
            [50.0 * F.one_hot((tokens + k + 1) % V, V) for k in range(N)], dim=2
        )
        total, per_head = kata.multi_token_loss(sure, tokens)
        check.close(
            per_head, torch.zeros(N), what="per-head losses of sure and right heads"
        )
        check.close(total, torch.zeros(()), what="total loss of sure and right heads")

    def test_positions_without_a_target_play_no_part(self, kata):
        """The last place of head 0, the last two of head 1 and so on predict tokens
        that nobody knows. Their logits may be anything.
        """
        logits, tokens = torch.randn(B, T, N, V), ids(B, T)
        wild = logits.clone()
        for k in range(N):
            wild[:, T - 1 - k :, k] = 100 * torch.randn(B, k + 1, V)
        expected = scored_by_loop(logits, tokens)
        check.close(
            kata.multi_token_loss(wild, tokens)[1],
            expected,
            what="per-head losses with wild last logits",
        )

    def test_gradients_reach_the_logits(self, kata):
        """The total is what training minimises."""
        tokens = ids(B, T)
        check.gradients(
            lambda logits: kata.multi_token_loss(logits, tokens)[0],
            lambda logits: scored_by_loop(logits, tokens).sum(),
            torch.randn(B, T, N, V),
        )

    @given(case=logits_and_tokens())
    def test_any_number_of_heads(self, kata, case):
        """Also for a single head, which is plain next-token prediction, and for n + 1
        tokens, where the last head has one target per row.
        """
        expected = scored_by_loop(*case)
        total, per_head = kata.multi_token_loss(*case)
        check.close(per_head, expected, what="per-head losses")
        check.close(total, expected.sum(), what="total loss")

    @pytest.mark.edge
    def test_fewer_tokens_than_that_are_an_error(self, kata):
        """With T = n the last head has no target, and a mean over nothing is NaN.
        T = n + 1 is enough.
        """
        for length in (N, N - 1):
            with check.raises(ValueError):
                kata.multi_token_loss(torch.randn(B, length, N, V), ids(B, length))
        logits, tokens = torch.randn(B, N + 1, N, V), ids(B, N + 1)
        check.close(
            kata.multi_token_loss(logits, tokens)[1],
            scored_by_loop(logits, tokens),
            what="losses at T = n + 1",
        )


@pytest.mark.stretch
class TestMultiTokenLossNumpy:
    def test_is_the_total_loss(self, kata):
        """The sum over heads of their mean losses, each over its own positions."""
        logits, tokens = torch.randn(B, T, N, V, dtype=torch.float64), ids(B, T)
        got = kata.multi_token_loss_numpy(logits.numpy(), tokens.numpy())
        expected = scored_by_loop(logits, tokens)
        unlike = {
            name: losses.sum().item()
            for name, losses in loss_slips(logits, tokens).items()
        }
        unlike["the mean over the heads"] = expected.mean().item()
        picked = [
            logits[:, : T - 1 - k, k].gather(-1, tokens[:, k + 1 :, None]).mean()
            for k in range(N)
        ]
        unlike["logits themselves: no log-softmax"] = -sum(picked).item()
        check.close(
            got, expected.sum().item(), rtol=1e-5, unlike=unlike, what="total loss"
        )

    def test_uniform_logits_cost_ln_v_per_head(self, kata):
        """Here 3 · ln 5 = 4.83, whatever number all logits are."""
        got = kata.multi_token_loss_numpy(np.full((B, T, N, V), 2.0), ids(B, T).numpy())
        check.close(
            got, N * math.log(V), rtol=1e-5, what="total loss of uniform logits"
        )

    @given(case=logits_and_tokens())
    def test_any_number_of_heads(self, kata, case):
        """Also for one head, and for n + 1 tokens."""
        logits, tokens = case
        got = kata.multi_token_loss_numpy(logits.double().numpy(), tokens.numpy())
        check.close(
            got,
            scored_by_loop(logits, tokens).sum().item(),
            rtol=1e-5,
            atol=1e-5,
            what="total loss",
        )

    @pytest.mark.edge
    def test_large_logits_do_not_overflow(self, kata):
        """exp(1000) is infinite. The largest logit can be subtracted first: a softmax
        does not notice.
        """
        logits, tokens = 1000 * torch.randn(B, T, N, V, dtype=torch.float64), ids(B, T)
        got = kata.multi_token_loss_numpy(logits.numpy(), tokens.numpy())
        check.close(got, scored_by_loop(logits, tokens).sum().item(), what="total loss")

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """It agrees with the sum in float64 to nine digits."""
        logits, tokens = torch.randn(B, T, N, V, dtype=torch.float64), ids(B, T)
        got = kata.multi_token_loss_numpy(logits.numpy(), tokens.numpy())
        check.close(
            got,
            scored_by_loop(logits, tokens).sum().item(),
            rtol=0,
            atol=1e-9,
            what="total loss",
        )


def chain(size=V, dtype=torch.float32):
    """A random chain: rows of chances, with none near 0."""
    return torch.rand(size, size, dtype=dtype).add(0.1).softmax(dim=1)


def cycle(size=V, sure=1.0):
    """The chain 0 → 1 → 2 → … → 0, which is followed with this chance at each step."""
    chances = torch.full((size, size), (1 - sure) / (size - 1))
    for token in range(size):
        chances[token, (token + 1) % size] = sure
    return chances


def best_by_loop(transition, tokens, num_heads, steps=lambda k: k + 1):
    """Per head the mean of −log of the chance, walked step by step from the token at
    hand. `steps` is for slips.
    """
    rows = transition.double().tolist()
    means = []
    for k in range(num_heads):
        terms = []
        for sequence in tokens.tolist():
            for t in range(len(sequence) - 1 - k):
                chances = [float(token == sequence[t]) for token in range(len(rows))]
                for _ in range(steps(k)):
                    chances = [
                        sum(chances[i] * rows[i][j] for i in range(len(rows)))
                        for j in range(len(rows))
                    ]
                terms.append(-math.log(chances[sequence[t + 1 + k]]))
        means.append(sum(terms) / len(terms))
    return torch.tensor(means, dtype=torch.float64)


@pytest.mark.stretch
class TestBayesLosses:
    def test_a_chain_of_two_tokens_by_hand(self, kata):
        """P = [[0.5, 0.5], [0.25, 0.75]] has P² = [[0.375, 0.625], [0.3125, 0.6875]].
        For the tokens 0 1 1, head 0 has −(ln 0.5 + ln 0.75) / 2 and head 1, which skips
        one token, −ln 0.625.
        """
        transition = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
        got = kata.bayes_losses(transition, torch.tensor([[0, 1, 1]]), 2)
        first = -(math.log(0.5) + math.log(0.75)) / 2
        unlike = {
            "P for every head": torch.tensor([first, -math.log(0.5)]),
            "each entry of P squared, not the matrix": torch.tensor(
                [first, -math.log(0.25)]
            ),
            "one step too many": torch.tensor(
                [-(math.log(0.625) + math.log(0.6875)) / 2, -math.log(0.65625)]
            ),
            "rows and columns of P exchanged": torch.tensor(
                [-math.log(0.25 * 0.75) / 2, -math.log(0.3125)]
            ),
        }
        check.close(got, torch.tensor([first, -math.log(0.625)]), unlike=unlike)

    def test_agrees_with_a_walk_along_the_chain(self, kata):
        """Entry k uses the chances after k + 1 steps, from row x_t to column x_{t+1+k},
        at every position that has such a token.
        """
        transition, tokens = chain(), ids(B, T)
        unlike = {
            "P for every head": best_by_loop(transition, tokens, N, lambda k: 1),
            "one step too many": best_by_loop(transition, tokens, N, lambda k: k + 2),
            "rows and columns of P exchanged": best_by_loop(transition.T, tokens, N),
            "each entry of P to the power of k + 1": best_by_loop(
                transition, tokens, N, lambda k: 1
            )
            * torch.arange(1, N + 1),
        }
        check.close(
            kata.bayes_losses(transition, tokens, N),
            best_by_loop(transition, tokens, N),
            unlike=unlike,
        )

    def test_a_fixed_cycle_can_be_known(self, kata):
        """In 0 → 1 → … → 0 any token ahead is certain: the best loss is 0 for
        every head.
        """
        tokens = (torch.arange(T) + torch.tensor([[0], [3]])) % V
        check.close(kata.bayes_losses(cycle(), tokens, 4), torch.zeros(4))

    def test_dice_cannot_be_known(self, kata):
        """If all tokens are equally likely, nobody is better than ln V, one step ahead
        or four.
        """
        check.close(
            kata.bayes_losses(torch.full((V, V), 1 / V), ids(B, T), 4),
            torch.full((4,), math.log(V)),
        )

    @pytest.mark.edge
    def test_computes_in_float64(self, kata):
        """Powers multiply rounding errors. The result is float64, and right to
        nine digits.
        """
        transition, tokens = chain(dtype=torch.float64), ids(B, T)
        got = kata.bayes_losses(transition, tokens, N)
        check.dtype(got, torch.float64)
        check.close(got, best_by_loop(transition, tokens, N), rtol=0, atol=1e-9)
        check.dtype(
            kata.bayes_losses(transition.float(), tokens, N),
            torch.float64,
            what="losses of a float32 chain",
        )


def full_gradients(model, tokens, heads=range(N)):
    """The gradients of the sum over these heads' losses, by name, from one graph with
    all logits, in float64.
    """
    judge = copy.deepcopy(model).double()
    judge.zero_grad()
    scored_by_loop(judge(tokens), tokens)[list(heads)].sum().backward()
    return {name: parameter.grad for name, parameter in judge.named_parameters()}


@pytest.mark.stretch
class TestBackwardHeadByHead:
    def test_gradients_are_those_of_the_total_loss(self, kata):
        """Every head's gradient reaches the trunk: they meet where its outputs were cut
        off, and go on together.
        """
        model, tokens = kata.MultiTokenModel(V, H, N), ids(B, T)
        kata.backward_head_by_head(model, tokens)
        expected = full_gradients(model, tokens)
        mean = {name: grad / N for name, grad in expected.items()}
        slips = {"the mean over the heads": mean}
        for heads, name in (((0,), "first"), ((N - 1,), "last")):
            slips[f"the {name} head's gradient alone"] = full_gradients(
                model, tokens, heads
            )
        for name, parameter in model.named_parameters():
            check.that(parameter.grad is not None, f"{name} has no gradient")
            unlike = {slip: grads[name] for slip, grads in slips.items()}
            check.close(
                parameter.grad,
                expected[name],
                unlike=unlike,
                what=f"gradient of {name}",
            )

    def test_returns_the_total_loss_as_a_float(self, kata):
        """A float holds no graph, and can be printed."""
        model, tokens = kata.MultiTokenModel(V, H, N), ids(B, T)
        with torch.no_grad():
            per_head = scored_by_loop(model(tokens), tokens)
        unlike = {
            "the mean over the heads": per_head.mean().item(),
            "the last head's loss": per_head[-1].item(),
        }
        got = kata.backward_head_by_head(model, tokens)
        check.that(
            type(got) is float,
            f"the total should be a float, not {check.describe(got)}",
        )
        check.close(
            got, per_head.sum().item(), rtol=1e-4, unlike=unlike, what="total loss"
        )

    def test_a_second_call_adds_to_the_first(self, kata):
        """`.grad` accumulates, as after any `backward`: two calls with the same tokens
        give twice the gradients.
        """
        model, tokens = kata.MultiTokenModel(V, H, N), ids(B, T)
        for _ in range(2):
            kata.backward_head_by_head(model, tokens)
        for name, once in full_gradients(model, tokens).items():
            unlike = {"the gradient of one call: what was there is lost": once}
            got = dict(model.named_parameters())[name].grad
            check.close(
                got, 2 * once, unlike=unlike, what=f"gradient of {name} after two calls"
            )

    def test_the_trunk_runs_once_in_each_direction(self, kata):
        """The trunk is the expensive part. Without the cut, each head's backward would
        run through all of it.
        """
        model, counts = kata.MultiTokenModel(V, H, N), {"forward": 0, "backward": 0}

        def count(direction):
            counts[direction] += 1

        model.trunk.register_forward_hook(lambda *_: count("forward"))
        model.trunk.weight_ih_l0.register_hook(lambda _: count("backward"))
        kata.backward_head_by_head(model, ids(B, T))
        check.equal(
            counts, {"forward": 1, "backward": 1}, what="how often the trunk runs"
        )

    def test_one_head_is_done_before_the_next_begins(self, kata):
        """Logits are the largest tensors of a language model. Each head's logits can be
        freed after its backward, and so no two heads need them at the same time.
        """
        model, order = kata.MultiTokenModel(V, H, N), []
        for k, head in enumerate(model.heads):
            head.register_forward_hook(lambda *_, k=k: order.append(f"forward {k}"))
            head.weight.register_hook(lambda _, k=k: order.append(f"backward {k}"))
        kata.backward_head_by_head(model, ids(B, T))
        together = [
            pair
            for pair in zip(order, order[1:], strict=False)
            if all("forward" in one for one in pair)
        ]
        check.that(
            not together,
            "two heads' logits are in memory at once: the heads ran "
            f"{', '.join(order)}",
        )

    @pytest.mark.edge
    def test_a_float64_model_gets_float64_gradients(self, kata):
        """Nothing on the way is rounded to float32: the gradients agree to
        nine digits.
        """
        model, tokens = kata.MultiTokenModel(V, H, N).double(), ids(B, T)
        kata.backward_head_by_head(model, tokens)
        for name, expected in full_gradients(model, tokens).items():
            got = dict(model.named_parameters())[name].grad
            check.close(got, expected, rtol=0, atol=1e-9, what=f"gradient of {name}")


def seeded(seed=7):
    return torch.Generator().manual_seed(seed)


def watched(kata, num_heads=N):
    """A model, an untouched copy, and the list of batches that the model will read."""
    model = kata.MultiTokenModel(V, H, num_heads)
    fresh, batches = copy.deepcopy(model), []
    model.register_forward_pre_hook(
        lambda _, inputs: batches.append(inputs[0].detach().clone())
    )
    return model, fresh, batches


def trained_by_hand(model, batches, lr, *, clear=True, heads=range(N)):
    """A copy of the model after one step of Adam per batch, and each step's losses. The
    options are slips.
    """
    model, losses = copy.deepcopy(model), []
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for tokens in batches:
        per_head = scored_by_loop(model(tokens), tokens)
        if clear:
            optimizer.zero_grad()
        per_head[list(heads)].sum().backward()
        optimizer.step()
        losses.append(per_head.tolist())
    return model, losses


@functools.cache
def learned(kata):
    """A chain, fresh tokens of it, and the per-head losses on them of a model after
    100 steps.
    """
    draws = seeded(2)
    transition = kata.make_transition_matrix(8, generator=draws)
    torch.manual_seed(2)
    model = kata.MultiTokenModel(8, 32, 3)
    kata.train_multi_token(model, transition, steps=100, generator=draws)
    tokens = kata.sample_sequences(transition, 100, 24, draws)
    with torch.no_grad():
        logp = model(tokens).log_softmax(dim=-1)
    means = [
        -logp[:, : 23 - k, k].gather(-1, tokens[:, k + 1 :, None]).mean().item()
        for k in range(3)
    ]
    return means, best_by_loop(transition, tokens, 3).tolist()


class TestTrainMultiToken:
    SIZES = {"batch_size": 4, "length": 6}

    def test_the_first_losses_are_those_of_the_fresh_model(self, kata):
        """One float per head, before the update."""
        model, fresh, batches = watched(kata)
        losses = kata.train_multi_token(
            model, chain(), steps=1, lr=0.1, generator=seeded(), **self.SIZES
        )
        with torch.no_grad():
            expected = scored_by_loop(fresh(batches[0]), batches[0])
            unlike = {
                "the losses after the update": [
                    scored_by_loop(model(batches[0]), batches[0]).tolist()
                ],
                "the total over the heads": [expected.sum().item()],
            }
        check.close(
            losses,
            [expected.tolist()],
            rtol=1e-4,
            unlike=unlike,
            what="losses of one step",
        )

    def test_each_step_is_one_of_adam_on_the_total(self, kata):
        """All heads are trained, from gradients of this step's batch alone. On the same
        batches, Adam by hand comes to the same weights, and each step's losses are
        those of its own batch.
        """
        model, fresh, batches = watched(kata)
        losses = kata.train_multi_token(
            model, chain(), steps=5, lr=0.03, generator=seeded(), **self.SIZES
        )
        check.equal(
            len(batches),
            5,
            what="the number of batches that the model has read in 5 steps",
        )
        expected, right_losses = trained_by_hand(fresh, batches, 0.03)
        slips = {
            "gradients that were not cleared": trained_by_hand(
                fresh, batches, 0.03, clear=False
            )[0],
            "only the first head is trained": trained_by_hand(
                fresh, batches, 0.03, heads=(0,)
            )[0],
            "the default learning rate": trained_by_hand(fresh, batches, 0.01)[0],
        }
        for name in ("heads.0.weight", "heads.2.weight", "embedding.weight"):
            unlike = {slip: wrong.get_parameter(name) for slip, wrong in slips.items()}
            got, right = model.get_parameter(name), expected.get_parameter(name)
            check.close(
                got,
                right,
                rtol=0.01,
                atol=1e-3,
                unlike=unlike,
                what=f"{name} after 5 steps",
            )
        so_far = (
            torch.tensor(right_losses).cumsum(dim=0) / torch.arange(1, 6)[:, None]
        ).tolist()
        unlike = {
            "the last step's losses alone: the list is made anew in each step": (
                right_losses[-1:]
            ),
            "the last step's losses, once for every step": right_losses[-1:] * 5,
            "the mean of all steps so far": so_far,
        }
        check.close(
            losses, right_losses, rtol=0.01, atol=1e-3, unlike=unlike, what="losses"
        )

    def test_every_step_reads_fresh_sequences_of_the_chain(self, kata):
        """Each batch is (batch_size, length), drawn anew. In a chain that counts up,
        each token follows the one before it.
        """
        model, _, batches = watched(kata)
        losses = kata.train_multi_token(
            model, cycle(), steps=3, generator=seeded(), **self.SIZES
        )
        shapes = [len(losses), *(len(step) for step in losses)]
        check.equal(
            shapes, [3, N, N, N], what="the number of steps, and of losses in each"
        )
        plain = all(type(loss) is float for step in losses for loss in step)
        check.that(plain, f"expected lists of floats, not {check.describe(losses[0])}")
        for tokens in batches:
            check.shape(tokens, (4, 6), what="tokens that the model reads")
            check.equal(
                tokens[:, 1:],
                (tokens[:, :-1] + 1) % V,
                what="the tokens after those before",
            )
        check.that(
            not torch.equal(batches[0], batches[1]),
            "steps 0 and 1 read the same sequences: draw new ones",
        )

    def test_the_generator_alone_draws_the_sequences(self, kata):
        """With generators of the same seed the same model has the same losses, whatever
        the global state. Another seed draws other sequences.
        """
        model, transition = kata.MultiTokenModel(V, H, N), chain()

        def losses(seed, drawn):
            torch.manual_seed(seed)
            options = {"steps": 3, "generator": seeded(drawn), **self.SIZES}
            return kata.train_multi_token(copy.deepcopy(model), transition, **options)

        first = losses(1, 5)
        check.close(
            losses(2, 5),
            first,
            rtol=0,
            atol=1e-3,
            what="losses with a second generator of the same seed",
        )
        check.that(
            losses(1, 6) != first,
            "a generator of another seed gives the very same losses: it is not used",
        )

    @pytest.mark.timeout(60)
    def test_every_head_comes_near_the_best_possible(self, kata):
        """After 100 steps on a chain of 8 tokens, every head is within 0.06 of the loss
        that one would have who knows the chain. Later heads have the harder task, and
        so the higher loss.
        """
        losses, best = learned(kata)
        for k, (loss, least) in enumerate(zip(losses, best, strict=True)):
            says = (
                f"head {k} has a loss of {loss:.3f} on fresh tokens, where "
                f"{least:.3f} is possible"
            )
            check.that(loss < least + 0.06, f"{says}: expected less than 0.06 above")
        rising = losses[0] < losses[1] < losses[2]
        check.that(
            rising,
            f"losses of {', '.join(f'{loss:.3f}' for loss in losses)} should rise "
            "from head to head",
        )

    @pytest.mark.edge
    def test_the_mode_is_training_and_stays(self, kata):
        """A model that comes in eval mode trains in training mode, and is left
        in it.
        """
        model, modes = kata.MultiTokenModel(V, H, N).eval(), []
        model.register_forward_pre_hook(lambda module, _: modes.append(module.training))
        kata.train_multi_token(
            model, chain(), steps=1, generator=seeded(), **self.SIZES
        )
        check.equal(
            [all(modes), model.training],
            [True, True],
            what="model.training, during the step and afterwards",
        )

    @pytest.mark.edge
    def test_old_gradients_have_no_effect(self, kata):
        """A gradient left from something else is cleared before the first step, too."""
        model, transition = kata.MultiTokenModel(V, H, N), chain()
        junk = copy.deepcopy(model)
        for parameter in junk.parameters():
            parameter.grad = torch.full_like(parameter, 7.0)
        for one in (model, junk):
            kata.train_multi_token(
                one, transition, steps=1, generator=seeded(), **self.SIZES
            )
        check.close(
            junk.heads[0].weight,
            model.heads[0].weight,
            what="the first head's weight after one step",
        )


def tabled(kata, tables):
    """A model whose head k answers tables[k][x] to the token x, whatever came before:
    the trunk forgets at once.
    """
    size = len(tables[0])
    model = kata.MultiTokenModel(size, size, len(tables))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embedding.weight.copy_(torch.eye(size))
        # the new state is the token's one-hot, times tanh 3
        model.trunk.weight_ih_l0[2 * size :] = 3 * torch.eye(size)
        # and nothing of the old state is kept
        model.trunk.bias_ih_l0[size : 2 * size] = -50.0
        for head, table in zip(model.heads, tables, strict=True):
            head.weight.copy_(F.one_hot(torch.tensor(table), size).T)
    return model


def counting(num_heads, size=V):
    """The tables of heads that count up: head k answers x + k + 1, so every draft
    is right.
    """
    return [[(token + k + 1) % size for token in range(size)] for k in range(num_heads)]


def written_by_hand(tables, prompt, num_new, *, guess="prefix", place="accepted"):
    """(text, calls) of speculative generation with `tabled` heads, in lists. The
    options are slips.

    Args:
        guess: "prefix" accepts up to the first wrong token, "unchecked" accepts all,
            "matches" counts matches.
        place: the token whose heads draft next, the last one that is "accepted"
            or "read".
    """
    text, draft, calls = list(prompt), [], 0
    while len(text) < len(prompt) + num_new:
        calls += 1
        read = text + draft
        right = [
            tables[0][read[len(text) - 1 + j]] == token for j, token in enumerate(draft)
        ]
        accepted = (
            right.index(False) if guess == "prefix" and False in right else len(draft)
        )
        accepted = sum(right) if guess == "matches" else accepted
        text = read[: len(text) + accepted]
        text.append(tables[0][text[-1]])
        last = text[-2] if place == "accepted" else read[-1]
        draft = [table[last] for table in tables[1:]]
    return text[: len(prompt) + num_new], calls


@st.composite
def heads_and_prompt(draw):
    """Heads of which some are right and others skip a token: tables, a prompt, and a
    number of new tokens.
    """
    first = draw(st.permutations(range(V)))
    tables = [first]
    for steps in draw(st.lists(st.sampled_from([1, 1, 2]), max_size=3)):
        tables.append(tables[-1])
        for _ in range(steps):
            tables[-1] = [first[token] for token in tables[-1]]
    prompt = draw(st.lists(st.integers(0, V - 1), min_size=1, max_size=3))
    return tables, prompt, draw(st.integers(1, 9))


@functools.cache
def cycling(kata):
    """A model with 4 heads after 50 steps on a cycle of 6 tokens that is followed with
    a chance of 0.98.
    """
    torch.manual_seed(2)
    model = kata.MultiTokenModel(6, 32, 4)
    kata.train_multi_token(model, cycle(6, sure=0.98), steps=50, generator=seeded(2))
    return model


class TestSpeculativeGenerate:
    def test_right_drafts_save_calls(self, kata):
        """Three heads that count up, and a prompt 0 1. The first call gives the sure
        token 2 and the draft 3 4. Each further call accepts both draft tokens and adds
        a sure one: 7 new tokens in 3 calls.
        """
        prompt = torch.tensor([[0, 1]])
        text, calls = kata.speculative_generate(tabled(kata, counting(3)), prompt, 7)
        check.equal(text, torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 3]]), what="text")
        unlike = {
            "one call per token: no draft is ever accepted": 7,
            "no sure token after an accepted draft": 5,
        }
        check.equal(calls, 3, unlike=unlike, what="calls")

    def test_wrong_drafts_change_nothing_in_the_text(self, kata):
        """Heads that count up, but the third and the fourth skip a number. After 0 1
        the sure token is 2, and the draft 3 5 6. The 5 is wrong, so the 6 does not
        count, though it follows a 5. The sure token is 4 then, and the heads at 3, the
        last accepted token, draft 5 0 1.
        """
        tables = [[(token + step) % 7 for token in range(7)] for step in (1, 2, 4, 5)]
        case = tables, [0, 1], 10
        expected, calls = written_by_hand(*case)
        unlike = {
            "drafts taken unchecked": torch.tensor(
                [written_by_hand(*case, guess="unchecked")[0]]
            ),
            "a draft token counts that comes after a wrong one": torch.tensor(
                [written_by_hand(*case, guess="matches")[0]]
            ),
        }
        text, found = kata.speculative_generate(
            tabled(kata, tables), torch.tensor([[0, 1]]), 10
        )
        check.equal(text, torch.tensor([expected]), unlike=unlike, what="text")
        read = written_by_hand(*case, place="read")[1]
        check.equal(
            found,
            calls,
            unlike={"the next draft read off the last place, accepted or not": read},
            what="calls",
        )

    @given(case=heads_and_prompt())
    def test_each_call_gives_the_right_part_of_the_draft_and_one_more_token(
        self, kata, case
    ):
        """Whichever of the later heads are right: the draft is accepted up to the first
        token that differs from the first head's arg max, one sure token follows, and
        the other heads at that place draft again.
        """
        tables, prompt, num_new = case
        text, calls = written_by_hand(tables, prompt, num_new)
        got = kata.speculative_generate(
            tabled(kata, tables), torch.tensor([prompt]), num_new
        )
        check.equal(got[0], torch.tensor([text]), what="text")
        check.equal(got[1], calls, what="calls")

    def test_untrained_weights_give_the_greedy_text(self, kata):
        """Drafts save calls and decide nothing: the text is that of the first head
        alone, even if all others are random.
        """
        for seed in range(5):
            torch.manual_seed(seed)
            model, prompt = kata.MultiTokenModel(V, H, 2 + seed % 3), ids(1, 4)
            for parameter in model.parameters():
                parameter.data.mul_(4)  # so that the text does not settle on one token
            expected, _ = kata.greedy_generate(model, prompt, 15)
            check.equal(
                kata.speculative_generate(model, prompt, 15)[0],
                expected,
                what=f"text with seed {seed}",
            )

    def test_the_text_is_cut_where_it_should_end(self, kata):
        """The last call may give more than is asked for: with four heads that are
        right, 1, 5, 9 … tokens come out whole, and the others end inside a draft.
        """
        model = tabled(kata, counting(4))
        for num_new in range(1, 8):
            text, calls = kata.speculative_generate(
                model, torch.tensor([[3, 4, 0]]), num_new
            )
            expected = torch.tensor([[(3 + place) % V for place in range(3 + num_new)]])
            check.equal(text, expected, what=f"text with {num_new} new tokens")
            check.equal(
                calls,
                1 + math.ceil((num_new - 1) / 4),
                what=f"calls for {num_new} new tokens",
            )

    def test_one_head_has_nothing_to_draft(self, kata):
        """Then there is one call per token, as in plain greedy generation."""
        model, prompt = kata.MultiTokenModel(V, H, 1), ids(1, 4)
        text, calls = kata.speculative_generate(model, prompt, 6)
        check.equal(text, kata.greedy_generate(model, prompt, 6)[0], what="text")
        check.equal(calls, 6, what="calls")

    @pytest.mark.timeout(60)
    def test_a_trained_model_needs_few_calls(self, kata):
        """After 50 steps on a cycle that is nearly fixed, four heads know what comes.
        40 tokens take 20 calls at most, and the text is still the greedy one.
        """
        model, prompt = cycling(kata), torch.tensor([[1, 2, 3]])
        text, calls = kata.speculative_generate(model, prompt, 40)
        check.equal(text, kata.greedy_generate(model, prompt, 40)[0], what="text")
        check.that(calls <= 20, f"40 tokens took {calls} calls: expected 20 at most")

    @pytest.mark.edge
    def test_no_graph_is_built(self, kata):
        """Nobody trains here: a graph over every call costs memory for nothing."""
        model, graphs = kata.MultiTokenModel(V, H, N), []
        model.heads[0].register_forward_hook(
            lambda *arguments: graphs.append(arguments[2].requires_grad)
        )
        kata.speculative_generate(model, ids(1, 4), 4)
        check.that(not any(graphs), "the logits have a graph, which is of no use here")

    @pytest.mark.edge
    def test_the_prompt_is_not_written_to(self, kata):
        """The caller may go on from the same prompt again."""
        prompt = ids(1, 4)
        with check.unchanged(prompt=prompt):
            kata.speculative_generate(kata.MultiTokenModel(V, H, N), prompt, 5)


def histories(kata, transition, counts, *, seed=4, hidden_size=H, reseed=True):
    """Per count all losses of a model that is built and trained under the seed. The
    options are slips.
    """
    found = {}
    for count in counts:
        if reseed or not found:
            torch.manual_seed(seed)
            generator = seeded(seed)
        model = kata.MultiTokenModel(len(transition), hidden_size, count)
        found[count] = kata.train_multi_token(
            model, transition, steps=2, generator=generator
        )
    return found


def curves_of(histories, one=lambda losses: losses[0]):
    return {
        count: [one(losses) for losses in history]
        for count, history in histories.items()
    }


@pytest.mark.stretch
class TestCompareHeads:
    COUNTS = (3, 1)

    def test_gives_one_curve_per_count(self, kata):
        """In the order of head_counts, with one float per step."""
        curves = kata.compare_heads(chain(), self.COUNTS, steps=3, hidden_size=H)
        check.equal(list(curves), list(self.COUNTS), what="the keys, in order")
        for count, curve in curves.items():
            plain = isinstance(curve, list) and all(
                type(loss) is float for loss in curve
            )
            check.that(
                plain,
                f"the curve of {count} should be a list of floats, not "
                f"{check.describe(curve)}",
            )
            check.equal(len(curve), 3, what=f"the number of losses for {count} heads")

    def test_a_curve_is_the_first_heads_loss(self, kata):
        """Each model is built right after `torch.manual_seed(seed)`, and trained with a
        generator of the same seed. The total loss cannot be compared: it has more terms
        for more heads. The first head's task is always the same.
        """
        transition = chain()
        right = histories(kata, transition, self.COUNTS)
        once = histories(kata, transition, self.COUNTS, reseed=False)
        wide = histories(kata, transition, self.COUNTS, hidden_size=32)
        unlike = {
            "the total over the heads": curves_of(right, sum),
            "the mean over the heads": curves_of(
                right, lambda losses: sum(losses) / len(losses)
            ),
            "the last head's loss": curves_of(right, lambda losses: losses[-1]),
            "seeded once, not once per model": curves_of(once),
            "seed = 0, not the seed asked for": curves_of(
                histories(kata, transition, self.COUNTS, seed=0)
            ),
            "hidden_size = 32, not the size asked for": curves_of(wide),
        }
        got = kata.compare_heads(
            transition, self.COUNTS, steps=2, hidden_size=H, seed=4
        )
        check.close(got, curves_of(right), rtol=1e-3, unlike=unlike, what="curves")

    def test_the_other_models_do_not_matter(self, kata):
        """A count has the same curve in whatever order the models are trained, and
        alone, too.
        """
        transition = chain()
        together = kata.compare_heads(
            transition, self.COUNTS, steps=2, hidden_size=H, seed=1
        )
        backwards = kata.compare_heads(
            transition, self.COUNTS[::-1], steps=2, hidden_size=H, seed=1
        )
        alone = kata.compare_heads(transition, [1], steps=2, hidden_size=H, seed=1)
        check.close(backwards, together, rtol=1e-3, what="curves in the other order")
        check.close(
            alone[1], together[1], rtol=1e-3, what="the curve of one head alone"
        )

    def test_another_seed_gives_other_curves(self, kata):
        """The seed decides about weights and batches."""
        transition = chain()
        one, two = (
            kata.compare_heads(transition, [2], steps=2, hidden_size=H, seed=seed)[2]
            for seed in (0, 1)
        )
        check.that(one != two, "seeds 0 and 1 give the very same losses")

    @pytest.mark.edge
    def test_the_global_generator_is_left_alone(self, kata):
        """What the caller draws next does not depend on this comparison."""
        transition, before = chain(), torch.get_rng_state()
        kata.compare_heads(transition, [1], steps=1, hidden_size=H)
        check.that(
            torch.equal(torch.get_rng_state(), before),
            "the state of torch's global generator has changed",
        )
