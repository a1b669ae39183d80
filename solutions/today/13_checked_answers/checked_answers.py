"""Answers that a program can check: a grammar that masks tokens, a verifier, pass@k,
turns with tools, two policies.

Sizes: V tokens in the vocabulary, B rows of T tokens, and S = T − 1 log-probabilities
per row. An id is an index into the vocabulary, a list of strings. The string "" is the
end of the text.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import torch
from torch import Tensor

from grader.loading import prerequisite

top_p_filter = prerequisite("27_generation").top_p_filter


@dataclass(frozen=True)
class Automaton:
    """Which texts are allowed, character by character. Given: nothing to write here.

    Every state can still reach an accepting one.
    """

    start: int
    accepting: frozenset[int]  # states in which the text may end
    moves: Mapping[tuple[int, str], int]

    def move(self, state: int, character: str) -> int | None:
        """The state after this character, or None if it is not allowed here."""
        return self.moves.get((state, character))


class Turn(NamedTuple):
    """A part of a conversation, and who wrote it. Given: nothing to write here."""

    who: str  # "prompt", "model" or "tool"
    ids: list[int]


def token_mask(automaton: Automaton, state: int, vocab: Sequence[str]) -> Tensor:
    """Tell which tokens a grammar allows next.

    Args:
        automaton: the grammar.
        state: where the text so far has led.
        vocab: V strings of any length.
    Returns:
        (V,), bool. A token is allowed if all of its characters can be walked from
        `state`, one after the other. It may end in any state, accepting or not. The
        token "" ends the text, so it is allowed in accepting states only.

    For texts of the form (ab)*, state 0 expects an a and accepts. There "a", "aba" and
    "" are allowed, and "b" and "abb" are not.
    """
    ends = state in automaton.accepting
    allowed = [
        _after(automaton, state, token) is not None if token else ends
        for token in vocab
    ]
    return torch.tensor(allowed, dtype=torch.bool)


def _after(automaton: Automaton, state: int, text: str) -> int | None:
    """The state to which a text leads, or None if it is not allowed."""
    now: int | None = state
    for character in text:
        if now is None:
            return None
        now = automaton.move(now, character)
    return now


def constrained_probs(
    logits: Tensor, mask: Tensor, temperature: float = 1.0, top_p: float = 1.0
) -> Tensor:
    """Give the probabilities from which the next token is drawn under a grammar.

    Args:
        logits: (…, V).
        mask: (…, V), bool, True on allowed tokens.
        temperature: divides the logits, above 0.
        top_p: the share that `top_p_filter(logits, top_p)` of 27 keeps, of what the
            grammar and temperature leave.
    Returns:
        (…, V): mask, temperature, top-p, softmax, in this order. Each row sums to 1,
        and tokens that are not allowed have 0. Of probabilities (0.7, 0.2, 0.1) whose
        first token is forbidden, 0, 2/3 and 1/3 are left.

    Edge cases ★
        A row without an allowed token is a ValueError. `logits` and `mask` are not
        written to.
    """
    if not bool(mask.any(dim=-1).all()):
        raise ValueError("a row has no allowed token")
    scaled = logits.masked_fill(~mask, -math.inf) / temperature
    return top_p_filter(scaled, top_p).softmax(dim=-1)


def verify(text: str, answer: int) -> bool:
    r"""Tell if the last box of a text holds the right answer.

    Args:
        text: what a model wrote.
        answer: the right integer.
    Returns:
        Whether the content of the last `\boxed{…}` is an integer that equals `answer`.
        The content goes up to the first }. Commas between thousands and spaces around
        it do not count. What is
        left must be digits, with a sign before them or not. Leading zeros are fine.

        Anything else is wrong, and no error: no box, a box without }, an empty one, two
        numbers, words.
        r"So it is \boxed{1,200}" is right for 1200, and r"\boxed{12 or 13}" is right
        for neither.

    Edge cases ★
        Commas stand before groups of three digits, or the box is wrong: r"\boxed{1,2}"
        is not 12.
        Digits are 0 to 9: no underscores, no digits of other scripts.
        r"\boxed{\text{12}}" is wrong, and so is an open box after a closed one. Ten
        thousand digits raise nothing.
    """
    start = text.rfind(r"\boxed{")
    if start < 0:
        return False
    content, closed, _ = text[start + len(r"\boxed{") :].partition("}")
    number = re.fullmatch(r"[+-]?[0-9]+(,[0-9]{3})*", content.strip())
    if not closed or number is None:
        return False
    return Decimal(number[0].replace(",", "")) == answer  # int() ends at 4,300 digits


def pass_at_k(n: int, c: int, k: int) -> float:
    """Estimate the chance that at least one of k answers is right.

    Args:
        n: how many answers to a question were sampled.
        c: how many of them are right, from 0 to n.
        k: how many one may give, from 1 to n.
    Returns:
        The chance that k of the n answers, drawn without putting back, hold at least
        one right one. With n = 5, c = 2 and k = 3 it is 0.9: of the ten ways to choose
        three of five, one has none of the two.

    Edge cases ★
        n = 20,000 works, and a k above n is a ValueError that names both.
    """
    if k > n:
        raise ValueError(f"{k} of {n} answers cannot be drawn without putting back")
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def pack_turns(
    rollouts: Sequence[Sequence[Turn]], pad: int = 0
) -> tuple[Tensor, Tensor]:
    """Lay conversations side by side, and mark what the model has sampled.

    Args:
        rollouts: B lists of turns, each in the order of the conversation.
        pad: the id that fills shorter rows on the right. It may be a word of somebody's
            turn, too.
    Returns:
        ids: (B, T), long: the ids of all turns of a row, one after the other. T is the
        length of the longest.
        mask: (B, T), bool: True on all ids of "model" turns, and nowhere else. It
        belongs to tokens and is not shifted, like that of today/05.

    [Turn("prompt", [5, 6]), Turn("model", [7]), Turn("tool", [8])] has the mask False
    False True False.

    Edge cases ★
        Turns without ids add nothing, and a row may hold nothing else.
    """
    length = max(sum(len(turn.ids) for turn in turns) for turns in rollouts)
    ids = torch.full((len(rollouts), length), pad, dtype=torch.long)
    mask = torch.zeros(len(rollouts), length, dtype=torch.bool)
    for row, turns in enumerate(rollouts):
        at = 0
        for turn in turns:
            end = at + len(turn.ids)
            ids[row, at:end] = torch.tensor(turn.ids, dtype=torch.long)
            mask[row, at:end] = turn.who == "model"
            at = end
    return ids, mask


def truncated_weights(
    trainer_logp: Tensor,
    sampler_logp: Tensor,
    mask: Tensor,
    cap: float = 2.0,
    level: str = "token",
) -> Tensor:
    """Weigh tokens that one program has sampled and another one trains on.

    Args:
        trainer_logp, sampler_logp: (B, S), log-probabilities of the same tokens by
            both programs.
        mask: (B, S), bool: where the model sampled. That of `pack_turns` without its
            first column.
        cap: the largest weight.
        level: "token" or "sequence".
    Returns:
        (B, S), constants: no gradient flows through them. 0 outside the mask, and
        inside "token": min(exp(trainer − sampler), cap), each token by itself;
        "sequence": min(exp(sum of trainer − sampler over the row, in the mask), cap),
        the same at each of its tokens.
        A weight may be as small as it likes.

    With ratios 1.5 and 1.6, the weights are 1.5 and 1.6, or for the sequence 2 and 2:
    the product is cut off, not its factors.

    Edge cases ★
        What stands outside the mask may be infinite or NaN. Another level is a
        ValueError that names it.
    """
    if level not in ("token", "sequence"):
        raise ValueError(f'level is "token" or "sequence", not {level!r}')
    log_ratio = (trainer_logp - sampler_logp).detach().masked_fill(~mask, 0.0)
    if level == "sequence":
        log_ratio = log_ratio.sum(dim=-1, keepdim=True).expand_as(log_ratio)
    return log_ratio.exp().clamp(max=cap).masked_fill(~mask, 0.0)


def masked_and_conditioned(
    next_probs: Callable[[list[int]], Tensor],
    automaton: Automaton,
    vocab: Sequence[str],
    longest: int,
) -> tuple[dict[tuple[int, ...], float], dict[tuple[int, ...], float]]:
    """Compare what a masked model writes with what it would write if bad texts were
    thrown away.

    Args:
        next_probs: the model. It takes the ids so far, [] at first, and gives (V,)
            probabilities, all above 0.
        automaton: the grammar.
        vocab: V strings. One of them is "", the end.
        longest: the most ids that an answer has, its end included.
    Returns:
        Two dicts over the same keys, all tuples of at most `longest` ids that end with
        that of "" and whose text the automaton accepts. Two tuples that spell the same
        text are two keys.
        masked: the probability if at each step forbidden tokens get 0, and the others
        are divided by their sum. conditioned: p / the sum of all p, with p the product
        of the model's own probabilities.

    Where `longest` cuts answers off, masked sums to less than 1, conditioned still
    to 1.
    """
    masked: dict[tuple[int, ...], float] = {}
    plain: dict[tuple[int, ...], float] = {}

    def grow(
        ids: tuple[int, ...], state: int | None, by_mask: float, by_model: float
    ) -> None:
        if state is None or len(ids) == longest:
            return
        probs = next_probs(list(ids))
        allowed = token_mask(automaton, state, vocab)
        left = probs[allowed].sum().item()
        for new in allowed.nonzero().flatten().tolist():
            p = probs[new].item()
            longer = (*ids, new)
            if vocab[new] == "":
                masked[longer], plain[longer] = by_mask * p / left, by_model * p
            else:
                grow(
                    longer,
                    _after(automaton, state, vocab[new]),
                    by_mask * p / left,
                    by_model * p,
                )

    grow((), automaton.start, 1.0, 1.0)
    total = sum(plain.values())
    return masked, {ids: p / total for ids, p in plain.items()}


def rollout(
    next_token: Callable[[list[int]], int],
    prompt: Sequence[int],
    tool: Callable[[list[int]], Sequence[int]],
    call: int,
    end: int,
    budget: int,
) -> list[Turn]:
    """Let a model write, and answer when it calls a tool.

    Args:
        next_token: the model. It takes all ids so far, those of the prompt and the tool
            included, and gives one more.
        prompt: the first ids.
        tool: takes the ids of the model's turn that has just ended, its call included,
            and gives its own.
        call: the id that ends a turn of the model and calls the tool.
        end: the id that ends everything.
        budget: how many ids the model may sample in all. Those of the prompt and the
            tool do not count.
    Returns:
        The turns in order: "prompt", then "model" and "tool" alternately. `call` and
        `end` are the last ids of their turns; one that the budget cuts off has neither.
        A call is answered even where it was the last id of the budget. The model has no
        empty turns.
    """
    turns = [Turn("prompt", list(prompt))]
    own: list[int] = []
    for _ in range(budget):
        seen = [token for turn in turns for token in turn.ids] + own
        own.append(next_token(seen))
        if own[-1] == end:
            break
        if own[-1] == call:
            turns += [Turn("model", own), Turn("tool", list(tool(list(own))))]
            own = []
    return [*turns, Turn("model", own)] if own else turns
