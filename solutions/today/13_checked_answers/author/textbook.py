"""The whole kata as a textbook has it."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from grader.loading import prerequisite

top_p_filter = prerequisite("27_generation").top_p_filter


@dataclass(frozen=True)
class Automaton:
    start: int
    accepting: frozenset
    moves: dict

    def move(self, state, character):
        return self.moves.get((state, character))


class Turn(NamedTuple):
    who: str
    ids: list


def walk(automaton, state, text):
    for character in text:
        if state is not None:
            state = automaton.move(state, character)
    return state


def token_mask(automaton, state, vocab):
    allowed = []
    for token in vocab:
        if token == "":
            allowed.append(state in automaton.accepting)
        else:
            allowed.append(walk(automaton, state, token) is not None)
    return torch.tensor(allowed)


def constrained_probs(logits, mask, temperature=1.0, top_p=1.0):
    logits = logits.masked_fill(~mask, -math.inf) / temperature
    return top_p_filter(logits, top_p).softmax(-1)


def verify(text, answer):
    _, box, rest = text.rpartition("\\boxed{")
    content, closed, _ = rest.partition("}")
    if not box or not closed:
        return False
    try:
        return int(content.replace(",", "")) == answer
    except ValueError:
        return False


def pass_at_k(n, c, k):
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def pack_turns(rollouts, pad=0):
    rows, sampled = [], []
    for turns in rollouts:
        rows.append([token for turn in turns for token in turn.ids])
        sampled.append([turn.who == "model" for turn in turns for _ in turn.ids])
    length = max(len(row) for row in rows)
    ids = torch.tensor([row + [pad] * (length - len(row)) for row in rows])
    mask = torch.tensor([row + [False] * (length - len(row)) for row in sampled])
    return ids, mask


def truncated_weights(trainer_logp, sampler_logp, mask, cap=2.0, level="token"):
    log_ratio = (trainer_logp - sampler_logp).detach() * mask
    if level == "sequence":
        log_ratio = log_ratio.sum(-1, keepdim=True)
    return log_ratio.exp().clamp(max=cap) * mask


def masked_and_conditioned(next_probs, automaton, vocab, longest):
    masked, plain = {}, {}

    def grow(ids, state, by_mask, by_model):
        probs = next_probs(ids)
        kept = probs * token_mask(automaton, state, vocab)
        kept = kept / kept.sum()
        for new in kept.nonzero().flatten().tolist():
            longer = [*ids, new]
            p, q = by_mask * kept[new].item(), by_model * probs[new].item()
            if vocab[new] == "":
                masked[tuple(longer)], plain[tuple(longer)] = p, q
            elif len(longer) < longest:
                grow(longer, walk(automaton, state, vocab[new]), p, q)

    grow([], automaton.start, 1.0, 1.0)
    total = sum(plain.values())
    return masked, {ids: p / total for ids, p in plain.items()}


def rollout(next_token, prompt, tool, call, end, budget):
    turns, own = [Turn("prompt", prompt)], []
    seen = list(prompt)
    for _ in range(budget):
        token = next_token(seen)
        seen = [*seen, token]
        own = [*own, token]
        if token == end:
            break
        if token == call:
            answer = tool(own)
            turns += [Turn("model", own), Turn("tool", answer)]
            seen = seen + answer
            own = []
    if own:
        turns.append(Turn("model", own))
    return turns
