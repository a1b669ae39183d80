"""Questions that the specs of today/13 ask only about inputs that are known, or cannot
ask from another process.
"""

import torch

from grader.lock.probes import probe


def sizes(rng, count, low=2, high=6):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def some_words(rng):
    """Four words of a, b and c, and pieces to write them with, the end of text among
    these at a drawn place.
    """
    words = {
        "".join("abc"[i] for i in torch.randint(3, (n,), generator=rng).tolist())
        for n in sizes(rng, 4, 1, 5)
    }
    vocab = ["a", "b", "c", "".join(sorted(words)[0][:2])]
    vocab.insert(*sizes(rng, 1, 0, 5), "")
    return sorted(words), vocab


def grammar(kata, words):
    """One that allows these words only, and the state after each beginning."""
    beginnings = sorted({word[:i] for word in words for i in range(len(word) + 1)})
    states = {text: number - 2 for number, text in enumerate(beginnings)}
    moves = {
        (states[text[:-1]], text[-1]): state for text, state in states.items() if text
    }
    return kata.Automaton(
        states[""], frozenset(states[word] for word in words), moves
    ), states


@probe("token_mask")
def _(kata, rng):
    words, vocab = some_words(rng)
    automaton, states = grammar(kata, words)
    return [
        kata.token_mask(automaton, state, [*vocab, *words, "acb"])
        for state in sorted(states.values())
    ]


@probe("constrained_probs")
def _(kata, rng):
    rows, words = sizes(rng, 2, 3, 8)
    logits = 2 * torch.randn(rows, words, generator=rng)
    mask = torch.rand(rows, words, generator=rng) < 0.6
    mask[:, 0] = True
    return [
        kata.constrained_probs(logits, mask, *options)
        for options in ((1.0, 1.0), (0.5, 0.63), (2.0, 0.63))
    ]


@probe("verify")
def _(kata, rng):
    one, other = torch.randint(1000, 9000, (2,), generator=rng).tolist()
    texts = [
        rf"\boxed{{{one:,}}}",
        rf"\boxed{{{one}}} \boxed{{{other}}}",
        rf"\boxed{{ +0{one} }}",
        f"{one}",
    ]
    texts += [
        rf"\boxed{{{one} or {other}}}",
        rf"\boxed{{-{one}}}",
        rf"\boxed{{{one}",
        rf"\boxed{{{other}{one}}}",
    ]
    asked = [(text, one) for text in texts] + [(texts[1], other), (texts[5], -one)]
    asked = 2 * [*asked, *((text, one) for text in texts[:3:2])]
    return [
        bool(kata.verify(*asked[i]))
        for i in torch.randperm(len(asked), generator=rng).tolist()
    ]


@probe("pass_at_k")
def _(kata, rng):
    n, k = sizes(rng, 1, 8, 30)[0], sizes(rng, 1, 1, 8)[0]
    return [round(kata.pass_at_k(n, c, k), 9) for c in range(n + 1)]


def packed(kata, rows, pad):
    return list(
        kata.pack_turns(
            [[kata.Turn(who, ids) for who, ids in row] for row in rows], pad
        )
    )


@probe("pack_turns")
def _(kata, rng):
    speakers = ["prompt", "model", "tool", "model"]
    rows = [
        [
            (who, torch.randint(9, (n,), generator=rng).tolist())
            for who, n in zip(speakers[:turns], sizes(rng, 4), strict=False)
        ]
        for turns in (4, *sizes(rng, 1, 2, 4))
    ]
    return packed(kata, rows, *sizes(rng, 1, 0, 9))


@probe("truncated_weights")
def _(kata, rng):
    shape = sizes(rng, 2, 3, 7)
    trainer, sampler = (-2 * torch.rand(shape, generator=rng) for _ in range(2))
    mask = torch.rand(shape, generator=rng) < 0.7
    return [
        kata.truncated_weights(trainer, sampler, mask, cap, level)
        for cap in (1.3, 3.0)
        for level in ("token", "sequence")
    ]


def both_ways(kata, words, vocab, table, longest):
    """Both dicts as sorted lists, for a model whose probabilities stand in a table by
    the number of ids so far.
    """
    import torch

    beginnings = sorted({word[:i] for word in words for i in range(len(word) + 1)})
    states = {text: number - 2 for number, text in enumerate(beginnings)}
    moves = {
        (states[text[:-1]], text[-1]): state for text, state in states.items() if text
    }
    automaton = kata.Automaton(
        states[""], frozenset(states[word] for word in words), moves
    )
    model = torch.as_tensor(table)
    ways = kata.masked_and_conditioned(
        lambda ids: model[sum(ids) + len(ids)], automaton, vocab, longest
    )
    return [[(list(ids), float(p)) for ids, p in sorted(way.items())] for way in ways]


@probe("masked_and_conditioned")
def _(kata, rng):
    words, vocab = some_words(rng)
    table = torch.rand(30, len(vocab), generator=rng, dtype=torch.float64) + 0.1
    return both_ways(kata, words, vocab, table / table.sum(-1, keepdim=True), 5)


def talk(kata, prompt, script, budget):
    """The turns of a model that says a script, and what it was shown."""
    shown = []

    def model(ids):
        shown.append(list(ids))
        return script[len(shown) - 1]

    turns = kata.rollout(model, prompt, lambda ids: [len(ids), sum(ids)], 3, 0, budget)
    return [[who, list(ids)] for who, ids in turns], shown


@probe("rollout")
def _(kata, rng):
    script = torch.randint(1, 7, (12,), generator=rng).tolist()
    script[sizes(rng, 1, 1, 4)[0]] = 3
    ended = [*script[:7], 0, *script[7:]]
    return [
        talk(kata, sizes(rng, 3), words, budget)
        for words in (script, ended)
        for budget in (5, 12)
    ]
