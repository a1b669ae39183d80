"""Specs of today/13: a grammar's mask, constrained sampling, a verifier, pass@k, turns
in one row, weights between two policies, masked beside conditioned, and a model that
calls a tool.
"""

import itertools
import math
import re
from statistics import fmean

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

# A grammar, (ab)+c?, whose states have numbers in no order: 2 is the start, and 0 is a
# state like any other.
STATES = {"": 2, "a": 0, "ab": 1, "abc": 3}  # a text that leads to each state
MOVES = {(2, "a"): 0, (0, "b"): 1, (1, "a"): 0, (1, "c"): 3}
WORDS = {"ab" * n + end for n in range(1, 6) for end in ("", "c")}
VOCAB = ["b", "a", "ab", "", "c", "abc", "ababa", "babab", "ac", "d", "bc"]


def abc(kata):
    return kata.Automaton(2, frozenset({1, 3}), MOVES)


def one_of(kata, words):
    """A grammar that allows these words only, and the state after each of
    their beginnings.
    """
    beginnings = sorted({word[:i] for word in words for i in range(len(word) + 1)})
    # some below 0, and one of them 0
    states = {text: number - 2 for number, text in enumerate(beginnings)}
    moves = {
        (states[text[:-1]], text[-1]): state for text, state in states.items() if text
    }
    return kata.Automaton(
        states[""], frozenset(states[word] for word in words), moves
    ), states


def goes_on(words, text, token):
    """Whether one of the words begins with the text and the token. The end of the text:
    whether it is a word.
    """
    return (
        any(word.startswith(text + token) for word in words) if token else text in words
    )


def mask_of(words, text, vocab, slip=""):
    if slip == "only the first character of a token is walked":
        return torch.tensor([goes_on(words, text, token[:1]) for token in vocab])
    if slip == "the end is allowed in any state":
        return torch.tensor(
            [token == "" or goes_on(words, text, token) for token in vocab]
        )
    if slip == "the end is never allowed":
        return torch.tensor(
            [token != "" and goes_on(words, text, token) for token in vocab]
        )
    if slip == "a token has to end in an accepting state":
        return torch.tensor([text + token in words for token in vocab])
    if slip == "state 0 taken for no state":  # it is the one after each a
        return torch.tensor(
            [goes_on(words, text, token) and "a" not in token for token in vocab]
        )
    return torch.tensor([goes_on(words, text, token) for token in vocab])


@st.composite
def words_and_vocabularies(draw):
    """Words, the beginning of one of them, and a vocabulary of pieces of them."""
    text = st.text("ab7", min_size=1, max_size=5)
    words = draw(st.lists(text, min_size=2, max_size=4, unique=True))
    beginning = words[0][: draw(st.integers(0, len(words[0])))]
    vocab = [
        *draw(st.lists(st.text("ab7", min_size=1, max_size=3), min_size=4, max_size=8)),
        words[1],
    ]
    vocab.insert(draw(st.integers(0, len(vocab))), "")
    return words, beginning, vocab


class TestTokenMask:
    @pytest.mark.parametrize(
        "text", STATES, ids=["at-the-start", "after-a", "after-ab", "after-abc"]
    )
    def test_what_may_follow(self, kata, text):
        """The texts here are ab, abab and so on, and a c may be the last letter. A
        token is allowed if some such text goes on with it. "ac" may start after ab, and
        cannot go on: every character counts.
        """
        slips = [
            "only the first character of a token is walked",
            "the end is allowed in any state",
            "the end is never allowed",
            "a token has to end in an accepting state",
            "state 0 taken for no state",
        ]
        expected = mask_of(WORDS, text, VOCAB)
        unlike = {
            "walked from the start, whatever the state is": mask_of(WORDS, "", VOCAB)
        }
        unlike |= {slip: mask_of(WORDS, text, VOCAB, slip) for slip in slips}
        unlike = {
            name: wrong
            for name, wrong in unlike.items()
            if not torch.equal(wrong, expected)
        }
        state = STATES[text]
        check.equal(kata.token_mask(abc(kata), state, VOCAB), expected, unlike=unlike)

    def test_every_character_of_long_tokens(self, kata):
        """One letter too many, or a wrong one at the end, and the token is forbidden. A
        token of 40 letters is walked like one of two.
        """
        words = {"abba" * 10, "abbb"}
        vocab = [
            "",
            "abba" * 10,
            "abba" * 10 + "a",
            "abba" * 9 + "abbb",
            "abbb",
            "abbba",
            "abbab",
        ]
        automaton, states = one_of(kata, words)
        start = states[""]
        got = kata.token_mask(automaton, start, vocab)
        first = mask_of(
            words, "", vocab, "only the first character of a token is walked"
        )
        unlike = {"only the first character of a token is walked": first}
        check.equal(got, mask_of(words, "", vocab), unlike=unlike)

    @given(case=words_and_vocabularies())
    def test_any_words(self, kata, case):
        """A list of words is a grammar, too: a token is allowed if a word begins with
        the text so far and the token.
        """
        words, beginning, vocab = case
        automaton, states = one_of(kata, words)
        state = states[beginning]
        check.equal(
            kata.token_mask(automaton, state, vocab), mask_of(words, beginning, vocab)
        )


def banned(logits, mask):
    return logits.masked_fill(~mask, -math.inf)


def top(logits, p):
    """Each row's most probable tokens until p is reached, one after another; the
    others −∞.
    """
    if p == 1:
        return logits
    kept = torch.full_like(logits, -math.inf)
    for row, probabilities in enumerate(logits.softmax(-1).tolist()):
        reached = 0.0
        for token in sorted(range(len(probabilities)), key=lambda i: -probabilities[i]):
            if reached < p:
                kept[row, token] = logits[row, token]
            reached += probabilities[token]
    return kept


def constrained(logits, mask, temperature, p):
    """The probabilities, in float64."""
    return top(banned(logits.double(), mask) / temperature, p).softmax(-1)


def in_other_orders(logits, mask, temperature, p):
    """Known wrong answers by name, without those that are right here."""
    x, right = logits.double(), constrained(logits, mask, temperature, p)
    wrong = {
        "the mask after top-p": banned(top(x / temperature, p), mask).softmax(-1),
        "temperature after top-p": (top(banned(x, mask), p) / temperature).softmax(-1),
        "multiplied by the temperature": constrained(logits, mask, 1 / temperature, p),
        "logits of forbidden tokens set to 0, a logit like any other": top(
            x.masked_fill(~mask, 0.0) / temperature, p
        ).softmax(-1),
        "not divided by what is left": (x / temperature).softmax(-1) * (right > 0),
        "the mask turned round": constrained(logits, ~mask, temperature, p),
        "no mask": top(x / temperature, p).softmax(-1),
    }
    return {
        name: answer
        for name, answer in wrong.items()
        if not torch.allclose(answer, right, atol=1e-4)
    }


@st.composite
def rows_and_masks(draw):
    """Logits of 2 × 3 rows, a mask with one allowed token at least in each, and
    a temperature.
    """
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    logits = 4 * torch.randn(2, 3, 7, generator=generator) + draw(
        st.sampled_from([-50.0, 0.0, 50.0])
    )
    mask = torch.rand(2, 3, 7, generator=generator) < draw(st.sampled_from([0.2, 0.6]))
    mask.scatter_(-1, torch.randint(7, (2, 3, 1), generator=generator), True)
    return logits, mask, draw(st.sampled_from([0.25, 0.7, 1.0, 3.0]))


class TestConstrainedProbs:
    def test_forbidden_tokens_get_nothing(self, kata):
        """What the grammar leaves is divided by its sum: of 0.7, 0.2 and 0.1 the last
        two are left, as 2/3 and 1/3. A logit of 0 would be no ban: softmax makes
        1 / (1 + …) of it.
        """
        logits = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.2, 0.3]]).log() + 1
        mask = torch.tensor([[False, True, True], [True, False, True]])
        expected = torch.tensor([[0, 2 / 3, 1 / 3], [0.625, 0, 0.375]])
        unlike = in_other_orders(logits, mask, 1.0, 1.0)
        check.close(kata.constrained_probs(logits, mask), expected, unlike=unlike)

    @pytest.mark.parametrize(
        "temperature, top_p", [(2.0, 1.0), (1.0, 0.6), (0.5, 0.8), (2.0, 0.6)]
    )
    def test_mask_temperature_top_p(self, kata, temperature, top_p):
        """In this order. top-p after the mask takes its share of what the grammar
        leaves. Before it, it may keep forbidden tokens only, and nothing is left: row
        0's best token is forbidden, with 0.8 of the probability.
        """
        logits = (
            torch.tensor(
                [[0.05, 0.8, 0.06, 0.04, 0.05], [0.36, 0.14, 0.2, 0.1, 0.2]]
            ).log()
            - 2
        )
        logits += torch.tensor([0.01, 0.0, 0.02, -0.01, -0.02])
        mask = torch.tensor(
            [[True, False, True, True, True], [True, True, True, False, True]]
        )
        expected = constrained(logits, mask, temperature, top_p)
        unlike = in_other_orders(logits, mask, temperature, top_p)
        got = kata.constrained_probs(logits, mask, temperature, top_p)
        check.close(got, expected, unlike=unlike)

    @given(case=rows_and_masks())
    def test_any_rows(self, kata, case):
        """A grammar changes no ratio between two allowed tokens. Each row has its own
        mask, whatever the leading dimensions are.
        """
        logits, mask, temperature = case
        expected = constrained(logits, mask, temperature, 1)
        check.close(kata.constrained_probs(logits, mask, temperature), expected)

    @pytest.mark.edge
    def test_a_row_without_an_allowed_token(self, kata):
        """A softmax of −∞ alone is NaN, which would be drawn from much later. Better an
        error here.
        """
        mask = torch.tensor([[True, False, True], [False, False, False]])
        with check.raises(ValueError):
            kata.constrained_probs(torch.zeros(2, 3), mask)

    @pytest.mark.edge
    def test_logits_and_mask_stay(self, kata):
        """The caller draws from the same logits under another grammar next."""
        logits, mask = (
            torch.tensor([[1.0, 2.0, 3.0]]),
            torch.tensor([[True, True, False]]),
        )
        with check.unchanged(logits=logits, mask=mask):
            kata.constrained_probs(logits, mask, 0.5, 0.9)


def number_in(content):
    return int(content) if re.fullmatch(r"\s*[+-]?[0-9]+\s*", content) else None


def judged(text, answer, slip=""):
    """What a verifier with a known mistake says of a text."""
    if slip == "the answer anywhere in the text":
        return str(answer) in text
    if slip == "the last number of the text, boxed or not":
        return re.findall(r"[0-9]+", text)[-1:] == [str(answer)]
    ends = "" if slip == "a box needs no }" else r"\}"
    boxes = re.findall(r"\\boxed\{([^}]*)" + ends, text) or ["none"]
    content = boxes[-1].replace(",", "")  # enough for "every comma is dropped"
    if slip == "the first box decides":
        content = boxes[0].replace(",", "")
    if slip == "any of the boxes will do":
        return any(number_in(box) == answer for box in boxes)
    if slip == "any number in the box will do":
        return str(answer) in re.findall(r"[0-9]+", content)
    if slip == "the first number in the box decides":
        return re.findall(r"[0-9]+", content)[:1] == [str(answer)]
    if slip == "texts compared, not numbers":
        return boxes[-1] == str(answer)
    if slip == "commas left in":
        content = boxes[-1]
    if slip == "signs are not read":
        return content.strip().isdigit() and int(content) == answer
    if slip == "without its sign":
        content = content.replace("-", "")
    if slip == "a second sign overlooked":
        content = content[:1] + content[1:].lstrip("+-")
    if slip == "float() takes more than integers":
        content = content.removesuffix(".0")
    return number_in(content) == answer


def check_verdicts(kata, answer, verdicts, *slips):
    """Ask for the verdicts on these texts."""
    unlike = {
        slip: {text: judged(text, answer, slip) for text in verdicts} for slip in slips
    }
    got = {text: bool(kata.verify(text, answer)) for text in verdicts}
    check.equal(
        got,
        verdicts,
        unlike=unlike,
        what=f"what verify says of each text, with the answer {answer}",
    )


@st.composite
def written_numbers(draw):
    """An integer, and one of the ways to write it."""
    number = draw(st.integers(-(10**7), 10**7))
    size = abs(number)
    digits = draw(st.sampled_from([f"{size:,}", f"{size}", f"0{size}", f"000{size}"]))
    sign = "-" if number < 0 else draw(st.sampled_from(["", "+"]))
    space = draw(st.sampled_from(["", " ", "   "]))
    return number, space + sign + digits + space


class TestVerify:
    def test_the_box_decides(self, kata):
        """What stands outside a box is not the answer, and 12 in 312 is another number.
        A policy learns what is paid, right or not.
        """
        verdicts = {
            r"5 + 7 = \boxed{12}": True,
            r"\boxed{312}": False,
            "The answer is 12.": False,
            r"It is 12, that is \boxed{21}": False,
            r"\boxed{12}, as 3 · 4 and 10 + 2 show": True,
            "": False,
        }
        slips = (
            "the answer anywhere in the text",
            "the last number of the text, boxed or not",
        )
        check_verdicts(kata, 12, verdicts, *slips)

    def test_the_last_box_counts(self, kata):
        """A model may correct itself. If any box would do, listing all numbers would
        be paid.
        """
        verdicts = {
            r"\boxed{12}? No: \boxed{13}": False,
            r"\boxed{13}? No: \boxed{12}": True,
            r"\boxed{13}, \boxed{12}, \boxed{14}": False,
        }
        check_verdicts(
            kata, 12, verdicts, "the first box decides", "any of the boxes will do"
        )

    def test_one_integer_and_nothing_else(self, kata):
        """Two numbers in the box are an answer and an excuse. Whatever is not an
        integer is wrong, and no error: a training run must not end because of what the
        model writes.
        """
        verdicts = {
            r"\boxed{12 or 13}": False,
            r"\boxed{13 or 12}": False,
            r"\boxed{}": False,
            r"\boxed{twelve}": False,
            r"\boxed{12.0}": False,
            r"\boxed{12 13}": False,
            r"\boxed{x = 12}": False,
        }
        slips = (
            "float() takes more than integers",
            "the first number in the box decides",
            "any number in the box will do",
        )
        check_verdicts(kata, 12, verdicts, *slips)

    def test_how_an_integer_may_be_written(self, kata):
        """1,200 is 1200, and 012 is 12. Only what is meant counts."""
        slips = (
            "commas left in",
            "texts compared, not numbers",
            "signs are not read",
            "without its sign",
        )
        verdicts = {
            r"\boxed{1,200}": True,
            r"\boxed{ 1200 }": True,
            r"\boxed{1200}": True,
            r"\boxed{1 200}": False,
        }
        check_verdicts(kata, 1200, verdicts, *slips[:2])
        check_verdicts(
            kata,
            12,
            {r"\boxed{012}": True, r"\boxed{+12}": True, r"\boxed{-12}": False},
            *slips[2:],
        )
        check_verdicts(kata, 12, {r"\boxed{+-12}": False}, "a second sign overlooked")
        check_verdicts(
            kata,
            -3,
            {r"\boxed{-3}": True, r"\boxed{3}": False, r"\boxed{ -03 }": True},
            slips[2],
        )
        check_verdicts(
            kata,
            0,
            {
                r"\boxed{0}": True,
                r"\boxed{}": False,
                r"\boxed{00}": True,
                r"\boxed{zero}": False,
            },
        )

    def test_an_open_box(self, kata):
        """A model whose budget is used up stops anywhere. Without its } a box may hold
        half a number.
        """
        verdicts = {
            r"\boxed{12": False,
            r"12}": False,
            r"\boxed12": False,
            r"\boxed{": False,
        }
        check_verdicts(
            kata, 12, verdicts, "a box needs no }", "the answer anywhere in the text"
        )

    @given(case=written_numbers())
    def test_any_integer(self, kata, case):
        """The same integer in all its forms is right for itself and wrong for
        its neighbours.
        """
        number, written = case
        text = (
            rf"First I thought \boxed{{{number + 1}}}, but it is \boxed{{{written}}}."
        )
        for answer, right in (
            (number, True),
            (number + 1, False),
            (number - 1, False),
            (-number, number == 0),
        ):
            got = bool(kata.verify(text, answer))
            check.equal(
                got,
                right,
                what=f"what verify says of {text!r}, with the answer {answer}",
            )

    @pytest.mark.edge
    def test_commas_stand_before_groups_of_three_digits(self, kata):
        """1,234 is one number, and 1,2 are two: a box of the two is wrong for 12."""
        slip = "every comma is dropped"
        check_verdicts(kata, 12, {r"\boxed{12}": True, r"\boxed{1,2}": False}, slip)
        verdicts = {
            r"\boxed{12,345,678}": True,
            r"\boxed{12,345,67,8}": False,
            r"\boxed{1234,5678}": False,
        }
        check_verdicts(kata, 12345678, verdicts, slip)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "content", ["1_2", "١٢", "１２", "{12}", r"\text{12}", "12{}"]
    )
    def test_ascii_digits_alone(self, kata, content):
        """int() takes underscores and digits of all scripts, which nobody wrote as an
        answer. Braces in the box are not digits, either.
        """
        text = rf"\boxed{{{content}}}"
        check.equal(
            bool(kata.verify(text, 12)),
            False,
            what=f"what verify says of {text!r}, with the answer 12",
        )

    @pytest.mark.edge
    def test_an_open_box_after_a_closed_one(self, kata):
        """The last box is the open one, so there is no answer."""
        text = r"\boxed{12}, or rather \boxed{13"
        check.equal(
            bool(kata.verify(text, 12)),
            False,
            what=f"what verify says of {text!r}, with the answer 12",
        )

    @pytest.mark.edge
    def test_ten_thousand_digits(self, kata):
        """int() refuses more than 4,300 digits with an error. A model in a loop writes
        that many.
        """
        text = r"\boxed{" + "7" * 10_000 + "}"
        check.equal(
            bool(kata.verify(text, 7)),
            False,
            what="what verify says of 10,000 sevens, with the answer 7",
        )


def chance(n, c, k, slip=""):
    """Of all ways to choose k of n answers, the share that holds one of the c
    right ones.
    """
    if slip == "drawn with putting back":
        return 1 - (1 - c / n) ** k
    choices = list(itertools.combinations([i < c for i in range(n)], k))
    if slip == "all k are right":
        return fmean(all(chosen) for chosen in choices)
    if slip == "the chance that none is right":
        return 1 - fmean(any(chosen) for chosen in choices)
    if slip == "any right answer of all n, whatever k is":
        return float(c > 0)
    if slip == "the share of right answers, whatever k is":
        return c / n
    return fmean(any(chosen) for chosen in choices)


CHANCES = [
    "drawn with putting back",
    "all k are right",
    "the chance that none is right",
    "any right answer of all n, whatever k is",
    "the share of right answers, whatever k is",
]


class TestPassAtK:
    def test_three_of_five_with_two_right(self, kata):
        """There are ten ways to choose three of five, and one of them misses both right
        answers. Drawn with putting back, the chance would be less, since a wrong answer
        could come up twice.
        """
        unlike = {slip: chance(5, 2, 3, slip) for slip in CHANCES}
        check.close(kata.pass_at_k(5, 2, 3), 0.9, unlike=unlike)

    @pytest.mark.parametrize("n", [1, 6, 7])
    def test_all_ways_to_choose(self, kata, n):
        """Against all subsets, for every c and k. With c = 0 it is 0, with fewer than k
        wrong answers 1, and with k = 1 the share of right ones.
        """
        cases = [(c, k) for c in range(n + 1) for k in range(1, n + 1)]
        expected = {case: chance(n, *case) for case in cases}
        unlike = {
            slip: {case: chance(n, *case, slip) for case in cases} for slip in CHANCES
        }
        unlike = {
            slip: wrong for slip, wrong in unlike.items() if n > 1 or wrong != expected
        }
        got = {case: kata.pass_at_k(n, *case) for case in cases}
        check.close(
            got,
            expected,
            atol=1e-9,
            unlike=unlike,
            what=f"pass@k of {n} answers, by (c, k)",
        )

    @given(
        n=st.integers(2, 30),
        share=st.sampled_from([0.1, 0.35, 0.8]),
        k=st.integers(1, 30),
    )
    def test_right_on_average(self, kata, n, share, k):
        """If each answer is right with probability p, k of them hold a right one with
        probability 1 − (1 − p)^k. Over all c that n answers may give, that is the mean
        of the estimate.
        """
        k = min(n, k)
        odds = [
            math.comb(n, c) * share**c * (1 - share) ** (n - c) for c in range(n + 1)
        ]
        mean = sum(odd * kata.pass_at_k(n, c, k) for c, odd in enumerate(odds))
        check.close(
            mean,
            1 - (1 - share) ** k,
            rtol=1e-6,
            what=f"the mean over all c, n = {n}, k = {k}, p = {share}",
        )

    @pytest.mark.edge
    def test_many_answers(self, kata):
        """Binomials of 20,000 do not fit into a float. Whole numbers of Python, or a
        product of ratios, do it.
        """
        miss = math.prod(1 - 300 / i for i in range(20_000 - 40 + 1, 20_001))
        check.close(kata.pass_at_k(20_000, 40, 300), 1 - miss, rtol=1e-6)

    @pytest.mark.edge
    def test_more_than_there_are(self, kata):
        """Six of five answers cannot be drawn without putting back. The message says
        both numbers.
        """
        with check.raises(ValueError, 6, 5):
            kata.pass_at_k(5, 2, 6)


# Rows as (who, ids): one with a tool's answer in its middle, and a shorter one.
WITH_A_TOOL = [
    [("prompt", [5, 6]), ("model", [7, 3, 9]), ("tool", [8, 4]), ("model", [4, 2])],
    [("prompt", [5]), ("model", [1, 2])],
]


def turns_of(kata, rows):
    return [[kata.Turn(who, list(ids)) for who, ids in row] for row in rows]


def packed(rows, pad, slip=""):
    """ids and mask, token by token. `slip` names a known mistake."""
    counted = (
        ("model", "tool")
        if slip == "the tool's tokens count as the model's"
        else ("model",)
    )
    if slip == "all but the prompt counts":
        counted = ("model", "tool", "padding")
    if slip == "the prompt counts, too":
        counted = ("prompt", "model")
    length = max(sum(len(ids) for _, ids in row) for row in rows)
    all_ids, masks = [], []
    for row in rows:
        tokens = [(who, token) for who, ids in row for token in ids]
        empty = [("padding", pad)] * (length - len(tokens))
        tokens = empty + tokens if slip == "padded on the left" else tokens + empty
        mask = [who in counted for who, _ in tokens]
        if slip == "only the model's last turn counts":
            others = max(
                i
                for i, (who, _) in enumerate(tokens[:-1])
                if who == "model" and i < len(tokens)
            )
            first = others
            while first > 0 and tokens[first - 1][0] == "model":
                first -= 1
            mask = [good and i >= first for i, good in enumerate(mask)]
        if slip == "the last token of each turn left out":
            mask = [
                good and i + 1 < len(mask) and mask[i + 1]
                for i, good in enumerate(mask)
            ]
        if slip == "the pad's id never counts":
            mask = [
                good and token != pad
                for good, (_, token) in zip(mask, tokens, strict=True)
            ]
        if slip == "the mask shifted to the logits":
            mask = [*mask[1:], False]
        all_ids.append([token for _, token in tokens])
        masks.append(mask)
    return torch.tensor(all_ids), torch.tensor(masks)


PACKINGS = [
    "the tool's tokens count as the model's",
    "all but the prompt counts",
    "the prompt counts, too",
    "padded on the left",
    "only the model's last turn counts",
    "the last token of each turn left out",
    "the mask shifted to the logits",
]


@st.composite
def conversations(draw):
    """Two to four rows of turns by anybody, and the pad's id, which may occur
    in them.
    """
    ids = st.lists(st.integers(0, 9), min_size=1, max_size=4)
    turn = st.tuples(st.sampled_from(["prompt", "model", "tool"]), ids)
    return draw(
        st.lists(st.lists(turn, min_size=1, max_size=4), min_size=2, max_size=4)
    ), draw(st.integers(0, 9))


class TestPackTurns:
    def test_a_tool_in_the_middle(self, kata):
        """The loss may only touch what the model has chosen. It did choose the ids that
        end its turns, such as a call. The tool's ids are read by the model, and nobody
        should teach it to say them.
        """
        expected = packed(WITH_A_TOOL, 0)
        unlike = {slip: packed(WITH_A_TOOL, 0, slip) for slip in PACKINGS}
        got = kata.pack_turns(turns_of(kata, WITH_A_TOOL))
        check.equal(
            got[0],
            expected[0],
            unlike={"padded on the left": unlike["padded on the left"][0]},
            what="the ids",
        )
        masks = {slip: wrong[1] for slip, wrong in unlike.items()}
        check.equal(got[1], expected[1], unlike=masks, what="the mask")

    def test_who_wrote_it_and_not_which_id(self, kata):
        """The pad's id may be the end of text, which the model samples, and a tool may
        say it, too. So the mask cannot be found from ids.
        """
        rows = [
            [("prompt", [4]), ("model", [4, 1, 4])],
            [("prompt", [2]), ("model", [4]), ("tool", [4, 6]), ("model", [3, 4])],
        ]
        expected = packed(rows, 4)
        got = kata.pack_turns(turns_of(kata, rows), pad=4)
        unlike = {
            "0 whatever pad is": expected[0]
            * torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6])
        }
        check.equal(got[0], expected[0], unlike=unlike, what="the ids")
        unlike = {
            "the pad's id never counts": packed(rows, 4, "the pad's id never counts")[1]
        }
        check.equal(got[1], expected[1], unlike=unlike, what="the mask")

    @given(case=conversations())
    def test_any_conversations(self, kata, case):
        """Every id of every turn is there, in order, and the mask is True where the
        model wrote it.
        """
        rows, pad = case
        ids, mask = kata.pack_turns(turns_of(kata, rows), pad)
        expected = packed(rows, pad)
        check.equal(ids, expected[0], what="the ids")
        check.equal(mask, expected[1], what="the mask")

    @pytest.mark.edge
    def test_a_turn_without_ids(self, kata):
        """A tool that has found nothing answers with nothing."""
        rows = [
            [("prompt", []), ("model", [7, 3]), ("tool", []), ("model", [4])],
            [("prompt", [5]), ("model", [])],
        ]
        ids, mask = kata.pack_turns(turns_of(kata, rows))
        check.equal(ids, packed(rows, 0)[0], what="the ids")
        check.equal(mask, packed(rows, 0)[1], what="the mask")


def weighed(trainer, sampler, mask, cap, level, slip=""):
    """Weights of each row by loops, in float64. `slip` names a known mistake."""
    rows = []
    for new, old, inside in zip(
        trainer.double().tolist(), sampler.double().tolist(), mask.tolist(), strict=True
    ):
        if slip == "the sampler's probability over the trainer's":
            new, old = old, new
        logs = [a - b for a, b in zip(new, old, strict=True)]
        counted = [
            log
            for log, good in zip(logs, inside, strict=True)
            if good or slip == "the tool's tokens in the product"
        ]
        ratios = [math.exp(log) for log in logs]
        if level == "sequence" and slip != "the ratio of each token":
            whole = math.exp(
                fmean(counted)
                if slip == "the geometric mean, not the product"
                else sum(counted)
            )
            if slip == "each ratio cut off, then multiplied":
                whole = math.prod(min(math.exp(log), cap) for log in counted)
            ratios = [whole] * len(logs)
        elif slip == "the product over the row":
            ratios = [math.exp(sum(counted))] * len(logs)
        if slip == "not cut off":
            limit = math.inf
        else:
            limit = cap
        least = 1 / cap if slip == "cut off below, too" else 0.0
        weights = [max(least, min(ratio, limit)) for ratio in ratios]
        if slip == "no exponential":
            weights = [min(log, limit) for log in logs]
        outside = 1.0 if slip == "1 outside the mask" else 0.0
        if slip == "tokens outside the mask have weights, too":
            inside = [True] * len(inside)
        rows.append(
            [w if good else outside for w, good in zip(weights, inside, strict=True)]
        )
    return torch.tensor(rows)


BOTH_LEVELS = [
    "the sampler's probability over the trainer's",
    "cut off below, too",
    "not cut off",
    "1 outside the mask",
    "tokens outside the mask have weights, too",
]
MASK = torch.tensor(
    [
        [False, True, True, False, True],
        [True, True, False, False, False],
        [True, True, True, True, True],
    ]
)
RATIOS = torch.tensor(
    [
        [9.0, 1.5, 1.6, math.e**2, 0.3],
        [0.2, 1.25, 3.0, 1.0, 0.1],
        [2.5, 1.9, 0.9, 0.7, 0.8],
    ]
)


def two_policies():
    """Log-probabilities of the trainer and of the sampler, whose ratios are RATIOS."""
    sampler = -3 - torch.rand(3, 5)
    return sampler + RATIOS.log(), sampler


@st.composite
def two_programs(draw):
    """Log-probabilities of two programs, a mask, a cap and a level."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    trainer, sampler = -5 * torch.rand(2, 2, 4, generator=generator)
    mask = torch.rand(2, 4, generator=generator) < 0.7
    return (
        trainer,
        sampler,
        mask,
        draw(st.sampled_from([0.5, 1.0, 2.0, 10.0])),
        draw(st.sampled_from(["token", "sequence"])),
    )


class TestTruncatedWeights:
    def test_each_token_by_itself(self, kata):
        """A token that the trainer finds 1.5 times as probable as the sampler did
        weighs 1.5. Above the cap a single token would outweigh all others, so it is cut
        off there. A small weight harms nobody.
        """
        trainer, sampler = two_policies()
        expected = weighed(trainer, sampler, MASK, 2.0, "token")
        slips = [*BOTH_LEVELS, "no exponential", "the product over the row"]
        unlike = {
            slip: weighed(trainer, sampler, MASK, 2.0, "token", slip) for slip in slips
        }
        check.close(
            kata.truncated_weights(trainer, sampler, MASK),
            expected,
            atol=1e-5,
            unlike=unlike,
        )

    def test_a_weight_for_the_sequence(self, kata):
        """The probability of an answer is a product, and so is its ratio. The tool's
        tokens were not sampled by anybody, so they are no part of it. The cap
        comes last.
        """
        trainer, sampler = two_policies()
        expected = weighed(trainer, sampler, MASK, 2.0, "sequence")
        slips = [
            *BOTH_LEVELS,
            "the tool's tokens in the product",
            "the geometric mean, not the product",
            "each ratio cut off, then multiplied",
            "the ratio of each token",
        ]
        unlike = {
            slip: weighed(trainer, sampler, MASK, 2.0, "sequence", slip)
            for slip in slips
        }
        got = kata.truncated_weights(trainer, sampler, MASK, level="sequence")
        check.close(got, expected, atol=1e-5, unlike=unlike)

    @pytest.mark.parametrize("level", ["token", "sequence"])
    def test_weights_are_constants(self, kata, level):
        """A gradient through the weights would change what is optimised: the weights
        say how samples count, and not what is better.
        """
        trainer, sampler = (logp.requires_grad_() for logp in two_policies())
        weights = kata.truncated_weights(trainer, sampler, MASK, level=level)
        check.that(
            not weights.requires_grad,
            "a gradient flows through the weights",
            like="a weight without detach()",
        )

    @given(case=two_programs())
    def test_any_policies(self, kata, case):
        """Both levels, with any cap: below 1 it cuts off tokens on which both
        programs agree.
        """
        trainer, sampler, mask, cap, level = case
        expected = weighed(trainer, sampler, mask, cap, level)
        check.close(
            kata.truncated_weights(trainer, sampler, mask, cap, level),
            expected,
            atol=1e-5,
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("level", ["token", "sequence"])
    def test_what_stands_outside_the_mask(self, kata, level):
        """A sampler gives no log-probability for what it has not sampled: NaN or −∞
        stands there. NaN · 0 is NaN.
        """
        trainer, sampler = two_policies()
        expected = weighed(trainer, sampler, MASK, 2.0, level)
        sampler[0, 0], sampler[0, 3], sampler[1, 2], trainer[1, 4] = (
            math.nan,
            -math.inf,
            math.inf,
            -math.inf,
        )
        check.close(
            kata.truncated_weights(trainer, sampler, MASK, level=level),
            expected,
            atol=1e-5,
        )

    @pytest.mark.edge
    def test_another_level(self, kata):
        """A misspelt level must not silently be one of the two. The message
        names it.
        """
        trainer, sampler = two_policies()
        with check.raises(ValueError, "sentence"):
            kata.truncated_weights(trainer, sampler, MASK, level="sentence")


PIECES = ["b", "ab", "", "a", "c"]
SPELLINGS = {"ab", "aab", "bca", "b"}
FOLLOWING = torch.tensor(
    [
        [0.1, 0.2, 0.3, 0.25, 0.15],
        [0.3, 0.05, 0.4, 0.1, 0.15],
        [0.2, 0.2, 0.1, 0.2, 0.3],
        [0.05, 0.15, 0.5, 0.2, 0.1],
        [0.35, 0.1, 0.15, 0.3, 0.1],
        [0.25, 0.25, 0.2, 0.05, 0.25],
    ],
    dtype=torch.float64,
)


def following(ids):
    """The probabilities after these ids, which depend on all of them and on
    their order.
    """
    return FOLLOWING[
        sum((place + 1) * (token + 1) for place, token in enumerate(ids)) % 6
    ]


def enumerated(words, vocab, probs_after, longest, slip=""):
    """All tuples by brute force, and their probabilities both ways. `slip` names a
    known mistake.
    """
    masked, plain = {}, {}
    end = vocab.index("")
    for length in range(1, longest + 1):
        for ids in itertools.product(range(len(vocab)), repeat=length):
            if (
                ids[-1] != end
                or end in ids[:-1]
                or "".join(vocab[i] for i in ids) not in words
            ):
                continue
            by_mask, by_model, text = 1.0, 1.0, ""
            for place, token in enumerate(ids):
                probs = probs_after(list(ids[:place])).tolist()
                allowed = [goes_on(words, text, piece) for piece in vocab]
                left = sum(p for p, good in zip(probs, allowed, strict=True) if good)
                by_mask *= probs[token] / left
                by_model *= probs[token]
                text += vocab[token]
            masked[ids], plain[ids] = by_mask, by_model
    total = sum(plain.values())
    conditioned = {ids: p / total for ids, p in plain.items()}
    if slip == "conditioned: not divided by the sum":
        return masked, plain
    if slip == "masked: not divided at each step":
        return plain, conditioned
    if slip == "both of masked steps":
        return masked, {ids: p / sum(masked.values()) for ids, p in masked.items()}
    if slip == "masked: divided by its sum, too":
        return {ids: p / sum(masked.values()) for ids, p in masked.items()}, conditioned
    if slip == "the two in the other order":
        return conditioned, masked
    return masked, conditioned


TWO_WAYS = [
    "conditioned: not divided by the sum",
    "masked: not divided at each step",
    "both of masked steps",
    "the two in the other order",
]


@pytest.mark.stretch
class TestMaskedAndConditioned:
    def test_a_grammar_that_bites_late(self, kata):
        """Texts are ac and bd. After a, the model finds c nearly impossible, but a
        itself likely. The mask forces c when a is written, and ac comes out with 0.9.
        If bad texts are thrown away, it is 0.09.
        """
        after = {
            (): [0.88, 0.1, 0.01, 0.005, 0.005],
            (0,): [0.3, 0.3, 0.01, 0.29, 0.1],
            (1,): [0.03, 0.03, 0.03, 0.88, 0.03],
        }
        end = [0.05, 0.05, 0.05, 0.05, 0.8]

        def model(ids):
            """Probabilities by what was written."""
            return torch.tensor(after.get(tuple(ids), end), dtype=torch.float64)

        automaton, _ = one_of(kata, {"ac", "bd"})
        vocab, words = ["a", "b", "c", "d", ""], {"ac", "bd"}
        expected = enumerated(words, vocab, model, 3)
        unlike = {slip: enumerated(words, vocab, model, 3, slip) for slip in TWO_WAYS}
        check.close(
            kata.masked_and_conditioned(model, automaton, vocab, 3),
            expected,
            unlike=unlike,
        )

    def test_all_tuples(self, kata):
        """ "ab" can be written as one token, or as a and b: two tuples, each with a
        probability of its own. A word ends only where the end is sampled.
        """
        automaton, _ = one_of(kata, SPELLINGS)
        expected = enumerated(SPELLINGS, PIECES, following, 4)
        unlike = {
            slip: enumerated(SPELLINGS, PIECES, following, 4, slip) for slip in TWO_WAYS
        }
        check.close(
            kata.masked_and_conditioned(following, automaton, PIECES, 4),
            expected,
            unlike=unlike,
        )

    @pytest.mark.parametrize("longest", [2, 3, 5])
    def test_answers_that_are_too_long(self, kata, longest):
        """The end counts as an id. What is longer is left out, and masked then sums to
        less than 1: that much probability went to longer answers. Conditioned is
        divided by what is listed, and sums to 1.
        """
        expected = enumerated(WORDS, PIECES, following, longest)
        slips = [*TWO_WAYS, "masked: divided by its sum, too"]
        unlike = {
            slip: enumerated(WORDS, PIECES, following, longest, slip) for slip in slips
        }
        check.close(
            kata.masked_and_conditioned(following, abc(kata), PIECES, longest),
            expected,
            unlike=unlike,
        )


CALL, END = 3, 0


def conversation(prompt, script, tool, budget, slip=""):
    """The turns that come of a model that says these ids one after the other. `slip`
    names a known mistake.
    """
    said = script[:budget]
    said = said[: said.index(END) + 1] if END in said else said
    turns, own = [("prompt", list(prompt))], []
    for token in said:
        if token == END and slip == "the end thrown away":
            continue
        if token == CALL and slip == "the call thrown away":
            turns += [("model", own), ("tool", tool([*own, token]))]
            own = []
            continue
        own = [*own, token]
        if token == CALL:
            turns += [("model", own), ("tool", tool(own))]
            own = []
    return (
        [*turns, ("model", own)] if own or slip == "an empty turn at the end" else turns
    )


class Scripted:
    """A model that says these ids one after the other, and keeps what it was shown.
    When it has none left, it ends.
    """

    def __init__(self, script):
        self.script, self.shown = script, []

    def __call__(self, ids):
        self.shown.append(list(ids))
        return (
            self.script[len(self.shown) - 1]
            if len(self.shown) <= len(self.script)
            else END
        )


def lengths(ids):
    """A tool: 20 + how many ids it was given, and twice their sum."""
    return [20 + len(ids), 2 * sum(ids), 40]


def run(kata, model, budget, prompt=(5, 6)):
    """The turns of a rollout as pairs of who and ids."""
    turns = kata.rollout(model, list(prompt), lengths, CALL, END, budget)
    return [(who, list(ids)) for who, ids in turns]


@st.composite
def scripts(draw):
    """What a model says, with calls and an end at any place, and a budget."""
    return draw(
        st.lists(st.sampled_from([CALL, END, 7, 8, 9, 10, 11]), min_size=1, max_size=9)
    ), draw(st.integers(1, 9))


@pytest.mark.stretch
class TestRollout:
    def test_turns_in_order(self, kata):
        """The model writes until it calls, the tool answers, and the model goes on. The
        ids that end a turn belong to it: the model has sampled them and has to learn
        when to say them.
        """
        script = [7, 9, CALL, 8, END, 11]
        expected = conversation((5, 6), script, lengths, 20)
        slips = [
            "the end thrown away",
            "the call thrown away",
            "an empty turn at the end",
        ]
        unlike = {
            slip: conversation((5, 6), script, lengths, 20, slip) for slip in slips[:2]
        }
        own, reply = [7, 9, CALL], lengths([7, 9, CALL])
        unlike["the tool's ids in the model's turn"] = [
            ("prompt", [5, 6]),
            ("model", [*own, *reply, 8, END]),
        ]
        check.equal(run(kata, Scripted(script), 20), expected, unlike=unlike)

    def test_the_model_sees_everything(self, kata):
        """Each call of the model gets all ids so far: the prompt's, its own and
        the tool's.
        """
        model = Scripted([7, CALL, 8, 9, END])
        run(kata, model, 20)
        start, reply = [5, 6], lengths([7, CALL])
        after = [*start, 7, CALL, *reply]
        expected = [start, [*start, 7], after, [*after, 8], [*after, 8, 9]]
        blind = [*start, 7, CALL]
        unlike = {
            "the model does not see the tool's answer": [
                start,
                [*start, 7],
                blind,
                [*blind, 8],
                [*blind, 8, 9],
            ],
            "the model sees the current turn only": [
                start,
                [*start, 7],
                reply,
                [*reply, 8],
                [*reply, 8, 9],
            ],
            "the model does not see the prompt": [ids[2:] for ids in expected],
        }
        check.equal(
            model.shown,
            expected,
            unlike=unlike,
            what="the ids that the model was shown, call by call",
        )

    def test_the_tool_gets_that_turn(self, kata):
        """At its second call the tool gets the second turn, with the id that called it,
        and nothing of the first.
        """
        got = run(kata, Scripted([7, 9, CALL, 8, CALL, 10, END]), 20)
        replies = [ids for who, ids in got if who == "tool"]
        begun = [5, 6, 7, 9, CALL]
        unlike = {
            "the tool gets everything so far": [
                lengths(begun),
                lengths([*begun, *lengths(begun), 8, CALL]),
            ],
            "the tool gets the turn without the call": [lengths([7, 9]), lengths([8])],
            "the tool gets all that the model has written": [
                lengths([7, 9, CALL]),
                lengths([7, 9, CALL, 8, CALL]),
            ],
        }
        expected = [lengths([7, 9, CALL]), lengths([8, CALL])]
        check.equal(replies, expected, unlike=unlike, what="the tool's answers")

    @pytest.mark.parametrize("budget", [0, 1, 2, 4])
    def test_the_budget(self, kata, budget):
        """Only what the model samples counts: else a tool that says much would silence
        it. A call that was the last id of the budget is answered, and no empty
        turn follows.
        """
        script = [7, CALL, 8, 9, 10, 11]
        expected = conversation((5, 6), script, lengths, budget)
        unlike = {
            "one id more than the budget": conversation(
                (5, 6), script, lengths, budget + 1
            )
        }
        if budget == 4:
            unlike["the tool's ids count, too"] = conversation(
                (5, 6), script, lengths, 2
            )
        if not expected[-1][0] == "model":
            unlike["an empty turn at the end"] = [*expected, ("model", [])]
        check.equal(run(kata, Scripted(script), budget), expected, unlike=unlike)

    @given(case=scripts())
    def test_any_script(self, kata, case):
        """Whatever the model says, and whenever it calls or ends."""
        script, budget = case
        check.equal(
            run(kata, Scripted(script), budget),
            conversation((5, 6), [*script, END], lengths, budget),
        )
