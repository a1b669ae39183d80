"""Specs of 11: a vocabulary, padding with a mask, the embedding table, mean vectors,
packing, memory, a projection.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from grader.specs import check

V, D = 7, 4  # rows of the table, features of a row
# with the ids 2 to 6 in vocabulary_of(kata)
WORDS = ["cat", "dog", "sat", "the", "tree"]
LENGTHS = [2, 5, 1, 5]  # of the packed batch; the longest come neither first nor last
TOTAL = 6  # its T: no sequence is that long
EMBEDDINGS = (
    "nn.Embedding",
    "nn.EmbeddingBag",
    "nn.functional.embedding",
    "nn.functional.embedding_bag",
    "embedding",
)
PACKING = ("pack_padded_sequence", "pad_packed_sequence", "PackedSequence")
LOOKUPS = (
    "__getitem__",
    "index_select",
    "gather",
    "take",
    "take_along_dim",
    "embedding",
    "embedding_bag",
)


def rows_of(weight, ids):
    """The rows of the ids, one by one."""
    rows = [weight[i] for i in ids.flatten().tolist()]
    return (torch.stack(rows) if rows else weight[:0]).reshape(
        *ids.shape, weight.shape[1]
    )


def table_gradient(module, ids, probe):
    """The gradient of the module's weight when the rows of `ids` are weighted by
    `probe` and added up.
    """
    module.weight.grad = None
    (module(ids) * probe).sum().backward()
    return module.weight.grad


def vocabulary_of(kata):
    """Tokens <pad> 0, <unk> 1, cat 2, dog 3, sat 4, the 5, tree 6: no two of them
    equally frequent.
    """
    return kata.Vocabulary(
        ["cat dog sat the tree", "cat dog sat the", "cat dog sat", "cat dog", "cat"]
    )


def texts_of_three_lengths():
    """Texts of 3, 1 and 4 tokens, and their ids, padded to four."""
    texts = ["the cat sat", "tree", "dog cat bird the"]
    return texts, torch.tensor([[5, 2, 4, 0], [6, 0, 0, 0], [3, 2, 1, 5]])


def plain_table(padding_row=0.0, size=V):
    """PyTorch's table with a random row per token, and this number in the row of
    the padding.
    """
    table = nn.Embedding(size, D)
    with torch.no_grad():
        table.weight[0] = padding_row
    return table


def batch_to_pack(*rest, dtype=torch.float32):
    """A padded batch (4, 6, *rest) whose padding holds numbers like any other, and
    its lengths.
    """
    shape = (len(LENGTHS), TOTAL, *rest)
    return torch.arange(torch.Size(shape).numel()).reshape(shape).to(
        dtype
    ) + 1, torch.tensor(LENGTHS)


def in_time_order(padded, lengths, order):
    """The real steps one by one: time outside, sequences inside, in the given order of
    the batch.
    """
    return torch.stack(
        [padded[b, t] for t in range(max(lengths)) for b in order if t < lengths[b]]
    )


def refilled(padded, lengths, value):
    """The batch with `value` behind the end of each sequence."""
    result = padded.clone()
    for b, length in enumerate(lengths):
        result[b, length:] = value
    return result


def spread_points(size, features):
    """Points around (3, −3, …) that spread differently along each of some axes, which
    are not those of the features.
    """
    turned = torch.linalg.qr(torch.randn(features, features)).Q
    return torch.randn(size, features) * 0.5 ** torch.arange(
        features
    ) @ turned + 3.0 * (-1) ** torch.arange(features)


def principal_coordinates(points, axes=(-1, -2)):
    """Coordinates by the eigenvectors of the covariance, whose eigenvalues come in
    rising order.
    """
    centred = points.double() - points.double().mean(0)
    vectors = torch.linalg.eigh(centred.T @ centred).eigenvectors
    return torch.stack([centred @ vectors[:, axis] for axis in axes], dim=1)


def signed_like(points, others):
    """The points with each column's sign as in the others, where the two can
    be compared.
    """
    if (
        not (isinstance(points, Tensor) and isinstance(others, Tensor))
        or points.shape != others.shape
    ):
        return points
    agree = (points.detach().double() * others.detach().double()).sum(0) >= 0
    return torch.where(agree, points, -points)


@st.composite
def lengths_and_limits(draw):
    """Lengths of some sequences, and a max_len that may cut them, or None."""
    return draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)), draw(
        st.none() | st.integers(1, 5)
    )


@st.composite
def ids_and_padding(draw):
    """(B, T) ids of a table with V rows, some of them repeated, and a padding_idx
    or None.
    """
    row = st.lists(st.integers(0, V - 1), min_size=3, max_size=3)
    return torch.tensor(draw(st.lists(row, min_size=1, max_size=3))), draw(
        st.sampled_from([None, 0, 2])
    )


@st.composite
def lengths_in_a_batch(draw):
    """Lengths of some sequences, and a T that none of them exceeds."""
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    return lengths, max(lengths) + draw(st.integers(0, 2))


class TestVocabularyInit:
    def test_special_tokens_come_first_then_words_by_falling_count(self, kata):
        """The padding is 0, unknown words are 1, and frequent words have small ids, so
        that a cut leaves out rare ones. Counts are those of all texts together.
        """
        vocabulary = kata.Vocabulary(["dog tree tree the", "the tree the dog the"])
        unlike = {
            "the rarest word first": ["<pad>", "<unk>", "dog", "tree", "the"],
            "the special tokens at the end": ["the", "tree", "dog", "<pad>", "<unk>"],
        }
        check.equal(
            vocabulary.tokens,
            ["<pad>", "<unk>", "the", "tree", "dog"],
            unlike=unlike,
            what="tokens",
        )

    def test_equal_counts_are_in_alphabetical_order(self, kata):
        """Every word, the most frequent first. Equal counts are in alphabetical order,
        so that ids do not depend on the order of the texts.
        """
        vocabulary = kata.Vocabulary(["sat dog cat sat tree the dog"])
        unlike = {
            "words that occur once are left out: min_freq is enough": [
                "<pad>",
                "<unk>",
                "dog",
                "sat",
            ],
            "ties in the order of their first appearance": [
                "<pad>",
                "<unk>",
                "sat",
                "dog",
                "cat",
                "tree",
                "the",
            ],
            "ties in falling alphabetical order": [
                "<pad>",
                "<unk>",
                "sat",
                "dog",
                "tree",
                "the",
                "cat",
            ],
            "in alphabetical order, whatever the counts": [
                "<pad>",
                "<unk>",
                "cat",
                "dog",
                "sat",
                "the",
                "tree",
            ],
        }
        expected = ["<pad>", "<unk>", "dog", "sat", "cat", "the", "tree"]
        check.equal(vocabulary.tokens, expected, unlike=unlike, what="tokens")

    def test_ids_are_the_places_in_tokens(self, kata):
        """`ids` and `tokens` are each other's inverse: one numbers the tokens, the
        other names the numbers.
        """
        vocabulary = kata.Vocabulary(["the cat sat", "the dog"])
        expected = {token: place for place, token in enumerate(vocabulary.tokens)}
        check.equal(dict(vocabulary.ids), expected, what="ids")
        check.equal(
            (vocabulary.pad_id, vocabulary.unk_id), (0, 1), what="(pad_id, unk_id)"
        )

    def test_tokenize_makes_the_words(self, kata):
        """Case and spacing do not matter: "Dog" at the start of a sentence is "dog"."""
        vocabulary = kata.Vocabulary(["The CAT\n sat", "the Dog"])
        check.equal(
            vocabulary.tokens,
            ["<pad>", "<unk>", "the", "cat", "dog", "sat"],
            what="tokens",
        )

    def test_words_below_min_freq_are_left_out(self, kata):
        """A word that occurs exactly `min_freq` times is kept. The others are
        unknown words.
        """
        texts = ["cat sat dog", "cat dog", "cat tree"]
        kept = {1: ["cat", "dog", "sat", "tree"], 2: ["cat", "dog"], 3: ["cat"], 4: []}
        for least, words in kept.items():
            vocabulary = kata.Vocabulary(texts, min_freq=least)
            unlike = {
                "only words that occur more than min_freq times": [
                    "<pad>",
                    "<unk>",
                    *kept.get(least + 1, []),
                ]
            }
            expected = ["<pad>", "<unk>", *words]
            check.equal(
                vocabulary.tokens,
                expected,
                unlike=unlike,
                what=f"tokens with min_freq={least}",
            )
            check.equal(
                len(vocabulary.ids),
                len(words) + 2,
                what=f"number of ids with min_freq={least}",
            )

    def test_max_size_counts_the_special_tokens(self, kata):
        """`max_size` is the number of rows of the table, and <pad> and <unk> take two
        of them. The rarest words go.
        """
        texts = ["cat sat dog", "cat dog", "cat tree"]
        for most, words in (
            (4, ["cat", "dog"]),
            (5, ["cat", "dog", "sat"]),
            (9, ["cat", "dog", "sat", "tree"]),
        ):
            vocabulary = kata.Vocabulary(texts, max_size=most)
            more = ["cat", "dog", "sat", "tree"][:most]
            unlike = {
                "max_size words, and <pad> and <unk> beside them": [
                    "<pad>",
                    "<unk>",
                    *more,
                ]
            }
            expected = ["<pad>", "<unk>", *words]
            check.equal(
                vocabulary.tokens,
                expected,
                unlike=unlike,
                what=f"tokens with max_size={most}",
            )
            check.equal(
                len(vocabulary.ids),
                len(words) + 2,
                what=f"number of ids with max_size={most}",
            )

    @pytest.mark.edge
    def test_texts_may_be_a_generator(self, kata):
        """A generator yields its texts only once: a second pass over them
        finds nothing.
        """
        vocabulary = kata.Vocabulary(text for text in ["the cat", "the dog"])
        check.equal(
            vocabulary.tokens, ["<pad>", "<unk>", "the", "cat", "dog"], what="tokens"
        )

    @pytest.mark.edge
    def test_no_texts_leave_the_special_tokens(self, kata):
        """Without texts every word is unknown."""
        check.equal(kata.Vocabulary([]).tokens, ["<pad>", "<unk>"], what="tokens")

    @pytest.mark.edge
    def test_special_tokens_in_a_text_get_no_second_entry(self, kata):
        """A text that holds "<pad>" or "<unk>" must not move their ids, nor take the
        place of a word.
        """
        vocabulary = kata.Vocabulary(
            ["<unk> cat <pad> <pad> <unk>", "<pad> dog <unk>"], max_size=4
        )
        unlike = {
            "<pad> and <unk> listed a second time, as words": [
                "<pad>",
                "<unk>",
                "<pad>",
                "<unk>",
            ]
        }
        check.equal(
            vocabulary.tokens,
            ["<pad>", "<unk>", "cat", "dog"],
            unlike=unlike,
            what="tokens",
        )
        check.equal(
            (vocabulary.ids["<pad>"], vocabulary.ids["<unk>"]),
            (0, 1),
            what="ids of <pad> and <unk>",
        )

    @pytest.mark.edge
    def test_limits_that_make_no_sense_are_errors(self, kata):
        """Every word occurs at least once, and the two special tokens always need
        a place.
        """
        for limits in (
            {"min_freq": 0},
            {"min_freq": -2},
            {"max_size": 1},
            {"max_size": 0},
            {"max_size": -3},
        ):
            with check.raises(ValueError):
                kata.Vocabulary(["the cat"], **limits)


class TestVocabularyEncode:
    def test_encode_gives_the_id_of_each_word(self, kata):
        """One int64 id per word, in the order of the text: ids index a table."""
        check.equal(
            vocabulary_of(kata).encode("the dog sat the"), torch.tensor([5, 3, 4, 5])
        )

    def test_unknown_words_get_unk_id(self, kata):
        """New text holds words that no vocabulary has seen. They become 1, not a
        KeyError, and not 0, which is padding.
        """
        got = vocabulary_of(kata).encode("the bird sat")
        unlike = {
            "unknown words are encoded as padding": torch.tensor([5, 0, 4]),
            "left out": torch.tensor([5, 4]),
        }
        check.equal(got, torch.tensor([5, 1, 4]), unlike=unlike)

    def test_case_and_spacing_do_not_matter(self, kata):
        """Building and encoding both use `tokenize`. Otherwise "The" would be an
        unknown word.
        """
        check.equal(vocabulary_of(kata).encode("  THE\tcat "), torch.tensor([5, 2]))

    @pytest.mark.edge
    def test_an_empty_text_has_no_ids(self, kata):
        """`torch.tensor([])` alone is float32, and a float cannot be an id."""
        check.equal(vocabulary_of(kata).encode(""), torch.zeros(0, dtype=torch.int64))


class TestVocabularyDecode:
    def test_decode_drops_padding(self, kata):
        """Padding is no part of the text, wherever it is. A word that is not listed
        shows as <unk>.
        """
        unlike = {"padding is shown": "<pad> the <unk> <pad> sat <pad> <pad>"}
        check.equal(
            vocabulary_of(kata).decode(torch.tensor([0, 5, 1, 0, 4, 0, 0])),
            "the <unk> sat",
            unlike=unlike,
        )

    @given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6))
    def test_encode_then_decode_gives_the_text_back(self, kata, words):
        """For a text of listed words in lower case, nothing is lost on the way there
        and back.
        """
        vocabulary, text = vocabulary_of(kata), " ".join(words)
        check.equal(vocabulary.decode(vocabulary.encode(text)), text)

    @pytest.mark.edge
    def test_no_ids_are_the_empty_text(self, kata):
        """No ids are no words: the text is empty."""
        check.equal(vocabulary_of(kata).decode(torch.zeros(0, dtype=torch.int64)), "")

    @pytest.mark.edge
    def test_decode_refuses_ids_that_do_not_exist(self, kata):
        """A Python list takes −1 for its last entry: a wrong id would decode to a word
        that looks right.
        """
        vocabulary = vocabulary_of(kata)
        for bad in (7, -1, -8):
            with check.raises(IndexError):
                vocabulary.decode(torch.tensor([2, bad, 3]))


class TestPadBatch:
    def test_short_sequences_are_filled_up_on_the_right(self, kata):
        """The longest sequence gives the width, here 5. The others keep their items at
        the start. The dtype is kept: ids must remain int64.
        """
        sequences = [
            torch.tensor([4, 9]),
            torch.tensor([3, 1, 7, 2, 8]),
            torch.tensor([6, 5, 4]),
        ]
        expected = torch.tensor([[4, 9, 0, 0, 0], [3, 1, 7, 2, 8], [6, 5, 4, 0, 0]])
        unlike = {
            "padded on the left": torch.tensor(
                [[0, 0, 0, 4, 9], [3, 1, 7, 2, 8], [0, 0, 6, 5, 4]]
            ),
            "time before batch": expected.T,
        }
        padded, _ = kata.pad_batch(sequences)
        check.equal(padded, expected, unlike=unlike, what="padded")

    def test_the_mask_is_true_where_items_are_real(self, kata):
        """A mean or an attention that comes later needs to know what is padding. True
        means real.
        """
        sequences = [
            torch.tensor([4, 9]),
            torch.tensor([3, 1, 7, 2, 8]),
            torch.tensor([6, 5, 4]),
        ]
        expected = torch.tensor(
            [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool
        )
        _, mask = kata.pad_batch(sequences)
        unlike = {
            "one place of padding too many is True": expected | expected.roll(1, 1),
            "True marks the padding": ~expected,
            "one item too few is True": expected & expected.roll(-1, 1),
        }
        check.equal(mask, expected, unlike=unlike, what="mask")

    def test_a_real_item_may_equal_the_padding_value(self, kata):
        """The mask comes from the lengths. Asking which items differ from the padding
        value loses real ones that happen to equal it.
        """
        for value in (0, 8):
            sequences = [
                torch.tensor([value, 5, value]),
                torch.tensor([value]),
                torch.tensor([1, value, 2, value]),
            ]
            expected = torch.tensor(
                [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool
            )
            padded, mask = kata.pad_batch(sequences, padding_value=value)
            unlike = {"where items differ from the padding value": padded != value}
            check.equal(mask, expected, unlike=unlike, what="mask")

    def test_further_dimensions_are_kept(self, kata):
        """Steps may be vectors or more: (T_i, 3, 2) becomes (B, T, 3, 2), and the mask
        is still (B, T).
        """
        sequences = [torch.randn(length, 3, 2) for length in (4, 1)]
        expected = torch.stack(
            [sequences[0], torch.cat([sequences[1], torch.full((3, 3, 2), 0.5)])]
        )
        padded, mask = kata.pad_batch(sequences, 0.5)
        unlike = {
            "padded with 0, not with padding_value": torch.where(
                expected == 0.5, 0.0, expected
            )
        }
        check.equal(padded, expected, unlike=unlike, what="padded")
        check.equal(mask, torch.tensor([[True] * 4, [True] + [False] * 3]), what="mask")

    @given(case=lengths_and_limits())
    def test_max_len_cuts_and_never_pads_further(self, kata, case):
        """Each row holds the first `max_len` items of its sequence, then the padding
        value. `max_len` is a limit, not a width: padding up to it would only
        cost memory.
        """
        lengths, max_len = case
        sequences = [torch.arange(1, length + 1) for length in lengths]
        kept = [
            length if max_len is None else min(length, max_len) for length in lengths
        ]
        rows = [list(range(1, n + 1)) + [-100] * (max(kept) - n) for n in kept]
        padded, mask = kata.pad_batch(sequences, -100, max_len)
        wide = [row + [-100] * ((max_len or 0) - len(row)) for row in rows]
        unlike = {"padded up to max_len": torch.tensor(wide)}
        check.equal(
            padded,
            torch.tensor(rows),
            unlike=unlike,
            what=f"padded, with max_len={max_len},",
        )
        check.equal(mask, torch.tensor(rows) > 0, what=f"mask, with max_len={max_len},")

    def test_gradients_flow_back_to_the_sequences(self, kata):
        """Vectors can be padded as well as ids, and the layer that made them has
        to learn.
        """
        sequences = [torch.randn(length, 3, requires_grad=True) for length in (2, 4)]
        padded, _ = kata.pad_batch(sequences)
        check.that(
            padded.requires_grad,
            "the result carries no graph: no gradient can reach the sequences",
        )
        probe = torch.randn(2, 4, 3)
        (padded * probe).sum().backward()
        for b, sequence in enumerate(sequences):
            check.that(
                sequence.grad is not None, f"no gradient arrives at sequence {b}"
            )
            check.close(
                sequence.grad,
                probe[b, : len(sequence)],
                what=f"gradient of sequence {b}",
            )

    @pytest.mark.edge
    def test_every_dtype_is_kept(self, kata):
        """A buffer made by `torch.zeros` alone is float32, whatever is written
        into it.
        """
        for dtype in (torch.float64, torch.int32, torch.bool, torch.float16):
            padded, _ = kata.pad_batch(
                [torch.ones(2, dtype=dtype), torch.ones(3, dtype=dtype)]
            )
            check.equal(
                padded, torch.tensor([[1, 1, 0], [1, 1, 1]]).to(dtype), what="padded"
            )

    @pytest.mark.edge
    def test_empty_sequences_are_all_padding(self, kata):
        """A text without words is still a row of the batch, with nothing real in it.
        Two of them have no columns.
        """
        padded, mask = kata.pad_batch([torch.zeros(0, 3), torch.ones(2, 3)])
        check.equal(
            padded, torch.stack([torch.zeros(2, 3), torch.ones(2, 3)]), what="padded"
        )
        check.equal(mask, torch.tensor([[False, False], [True, True]]), what="mask")
        padded, mask = kata.pad_batch(
            [torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)]
        )
        check.equal(padded, torch.zeros(2, 0, dtype=torch.int64), what="padded")
        check.equal(mask, torch.zeros(2, 0, dtype=torch.bool), what="mask")

    @pytest.mark.edge
    def test_the_sequences_stay_as_they_were(self, kata):
        """The batch is a new tensor, also where nothing needs padding: writing to it
        must not reach the data set.
        """
        short, long = torch.tensor([4, 9]), torch.tensor([3, 1, 7])
        with check.unchanged(short=short, long=long):
            kata.pad_batch([short, long], max_len=2)
        padded, _ = kata.pad_batch([long])
        check.independent(padded, long, what="the padded batch of a single sequence")

    @pytest.mark.edge
    def test_no_sequences_are_an_error(self, kata):
        """A batch of nothing has no width, no dtype and no further dimensions."""
        with check.raises(ValueError):
            kata.pad_batch([])

    @pytest.mark.edge
    def test_max_len_is_at_least_one(self, kata):
        """0 would cut everything away, and a negative limit counts from the end in
        a slice.
        """
        for limit in (0, -2):
            with check.raises(ValueError):
                kata.pad_batch([torch.tensor([4, 9, 5])], max_len=limit)


class TestEmbedding:
    def test_each_id_gets_its_row(self, kata):
        """Looking up is all that happens: ids (2, 3) become (2, 3, D), always the same
        row for the same id. Write it without PyTorch's embeddings.
        """
        with check.forbidden(kata, *[f"torch.{name}" for name in EMBEDDINGS]):
            table = kata.Embedding(V, D)
            ids = torch.tensor([[5, 0, 2], [6, 5, 5]])
            got = table(ids)
        check.equal(got, rows_of(table.weight.detach(), ids))

    def test_the_table_is_the_only_parameter(self, kata):
        """The optimizer and `state_dict` must find `weight` (V, D), and nothing else is
        learned or stored.
        The arguments are kept as attributes.
        """
        for padding_idx in (None, 0, 2):
            table = kata.Embedding(V, D, padding_idx)
            names, plain = (
                [name for name, _ in table.named_parameters()],
                {"weight is no nn.Parameter": []},
            )
            check.equal(names, ["weight"], unlike=plain, what="names of the parameters")
            check.equal(
                list(table.state_dict()), ["weight"], what="keys of the state_dict"
            )
            check.shape(table.weight, (V, D), what="weight")
            got = (table.num_embeddings, table.embedding_dim, table.padding_idx)
            check.equal(
                got,
                (V, D, padding_idx),
                what="(num_embeddings, embedding_dim, padding_idx)",
            )

    def test_rows_start_standard_normal(self, kata):
        """Mean 0 and standard deviation 1, as in `nn.Embedding`. The rows differ, or
        all words would start as synonyms.
        """
        weight = kata.Embedding(60, 50).weight.detach()
        uniform = "drawn by torch.rand, from the uniform distribution between 0 and 1"
        check.that(
            bool((weight < 0).any()),
            "no number is below 0, half of them should be",
            like=uniform,
        )
        check.close(weight.mean().item(), 0.0, atol=0.1, what="mean of 3000 numbers")
        check.close(
            weight.std().item(),
            1.0,
            atol=0.1,
            rtol=0.0,
            what="standard deviation of 3000 numbers",
        )
        tail = (weight.abs() > 2).float().mean().item()
        check.close(
            tail,
            0.0455,
            atol=0.02,
            what="share of numbers beyond 2 standard deviations",
        )
        check.close(
            weight.std(dim=0).mean().item(),
            1.0,
            atol=0.1,
            rtol=0.0,
            what="standard deviation of a column",
        )

    def test_only_the_padding_row_starts_at_zero(self, kata):
        """Padding means nothing, so its vector is nothing; every other row is random.
        Row 0 is a row like any other: `if padding_idx:` forgets it. None means that
        there is no such row.
        """
        for padding_idx in (0, 2, None):
            weight = kata.Embedding(V, D, padding_idx=padding_idx).weight.detach()
            zero = [i for i in range(V) if not weight[i].any()]
            expected = [] if padding_idx is None else [padding_idx]
            forgotten = (
                "the padding row is drawn like the others"
                if expected and not zero
                else ""
            )
            said = f"with padding_idx={padding_idx} the rows of zeros are {zero}"
            check.that(zero == expected, said, like=forgotten)

    @given(case=ids_and_padding())
    def test_it_learns_like_torchs_embedding(self, kata, case):
        """With the same weight, rows and gradients are those of `nn.Embedding`: the
        gradients of repeated ids add up, and the padding row gets none. Padding is in
        nearly every batch, so it would become the best-trained row.
        """
        ids, padding_idx = case
        ours, theirs = (
            kata.Embedding(V, D, padding_idx),
            nn.Embedding(V, D, padding_idx),
        )
        theirs.load_state_dict(ours.state_dict())
        check.equal(
            ours(ids),
            theirs(ids),
            what=f"rows of {ids.tolist()} with padding_idx={padding_idx}",
        )
        probe = 1.0 + torch.arange(ids.numel() * D).reshape(*ids.shape, D)
        expected, ignored = (
            table_gradient(theirs, ids, probe),
            table_gradient(nn.Embedding(V, D), ids, probe),
        )
        unlike = {"the padding row learns like any other": ignored}
        got = table_gradient(ours, ids, probe)
        what = f"gradient of weight for {ids.tolist()} with padding_idx={padding_idx}"
        check.close(got, expected, unlike=unlike, what=what)

    def test_rows_are_those_of_the_present_table(self, kata):
        """The optimizer writes to `weight` between two calls; a copy made at the start
        would never change. A value that is written into the padding row is looked up
        like any other.
        """
        table = kata.Embedding(V, D, padding_idx=2)
        ids = torch.tensor([[5, 0, 2], [6, 5, 5]])
        table(ids)
        new = torch.randn(V, D)
        with torch.no_grad():
            table.weight.copy_(new)
        unlike = {
            "the padding row is forced to zero": rows_of(
                new.index_fill(0, torch.tensor([2]), 0.0), ids
            )
        }
        check.equal(table(ids), rows_of(new, ids), unlike=unlike)

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(), (0, 5), (2, 1, 4)])
    def test_ids_may_have_any_shape(self, kata, shape):
        """Each id is replaced by its row, also for a single id (0-d) and in an empty
        batch: (*ids.shape, D).
        """
        for padding_idx in (None, 2):
            table = kata.Embedding(V, D, padding_idx)
            ids = torch.randint(V, shape)
            check.equal(
                table(ids),
                rows_of(table.weight.detach(), ids),
                what=f"rows with padding_idx={padding_idx}",
            )

    @pytest.mark.edge
    def test_int32_ids_are_fine(self, kata):
        """Ids from files are often int32. They index the same rows."""
        table = kata.Embedding(V, D, padding_idx=2)
        ids = torch.tensor([[5, 0, 2], [6, 5, 5]], dtype=torch.int32)
        check.equal(table(ids), rows_of(table.weight.detach(), ids))

    @pytest.mark.edge
    def test_the_dtype_is_that_of_the_table(self, kata):
        """A float64 table gives float64 rows, and float64 gradients."""
        table = kata.Embedding(V, D, padding_idx=2).double()
        ids = torch.tensor([5, 2, 5])
        check.equal(table(ids), rows_of(table.weight.detach(), ids))
        check.dtype(
            table_gradient(table, ids, torch.randn(3, D)),
            torch.float64,
            what="gradient of weight",
        )

    @pytest.mark.edge
    def test_ids_stay_as_they_were(self, kata):
        """The same ids are needed again, as targets or for the mask."""
        for ids in (
            torch.tensor([[5, 0, 2], [6, 5, 5]]),
            torch.arange(6).reshape(2, 3).T,
        ):
            with check.unchanged(ids=ids):
                kata.Embedding(V, D, padding_idx=2)(ids)

    @pytest.mark.edge
    def test_ids_that_do_not_exist_are_an_error(self, kata):
        """−1 would quietly fetch the last row, as Python counts from the end. The
        message names the bad id and the size of the table.
        """
        table = kata.Embedding(V, D)
        for bad in (-1, V, 93, -V):
            with check.raises(IndexError, bad, V):
                table(torch.tensor([[2, 3], [bad, 5]]))
        with check.raises(IndexError, -5, V):
            kata.Embedding(V, D, padding_idx=2)(torch.tensor(-5, dtype=torch.int32))

    @pytest.mark.edge
    def test_float_and_bool_ids_are_an_error(self, kata):
        """A float is not an index, and a bool tensor as an index is a mask: it would
        select rows, not look them up.
        """
        table = kata.Embedding(3, D)
        for ids in (
            torch.tensor([1.0, 2.0]),
            torch.tensor([True, False, True]),
            torch.tensor([]),
        ):
            with check.raises(TypeError):
                table(ids)

    @pytest.mark.edge
    def test_the_padding_row_must_exist(self, kata):
        """A row outside the table is a mistake of the caller, and so is −1, which would
        mean the last row.
        """
        for padding_idx in (V, -1):
            with check.raises(ValueError):
                kata.Embedding(V, D, padding_idx=padding_idx)


@pytest.mark.stretch
class TestOneHotLookup:
    def test_the_product_picks_the_rows(self, kata):
        """A one-hot row times the table is one row of the table. It has one entry per
        row of the table, also if the last ids do not occur.
        """
        ids, weight = torch.tensor([[3, 0, 3], [1, 2, 0]]), torch.randn(V, D)
        check.close(kata.one_hot_lookup(ids, weight), rows_of(weight, ids))

    def test_the_gradient_is_that_of_a_lookup(self, kata):
        """Multiplying by zeros sends nothing back to the other rows, and repeated ids
        add up: the table learns the same either way.
        """
        ids, weight = torch.tensor([[3, 0, 3], [1, 6, 3]]), torch.randn(V, D)
        check.gradients(
            lambda w: kata.one_hot_lookup(ids, w), lambda w: rows_of(w, ids), weight
        )

    def test_the_table_is_not_indexed(self, kata):
        """The point is the product: with `weight[ids]` this would be the
        embedding again.
        """
        ids, weight = torch.tensor([[3, 0, 3], [1, 2, 0]]), torch.randn(V, D)
        used = []

        class Watch(torch.overrides.TorchFunctionMode):
            def __torch_function__(self, function, types, args=(), kwargs=None):
                name = getattr(function, "__name__", "")
                tensors = [
                    x
                    for x in (*args, *(kwargs or {}).values())
                    if isinstance(x, Tensor)
                ]
                if name in LOOKUPS and any(
                    x.data_ptr() == weight.data_ptr() for x in tensors
                ):
                    used.append(name)
                return function(*args, **(kwargs or {}))

        with Watch():
            kata.one_hot_lookup(ids, weight)
        check.that(
            not used,
            f"weight was indexed, by {', '.join(used)}; it should only be multiplied",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(), (0, 5), (2, 1, 4)])
    def test_ids_may_have_any_shape(self, kata, shape):
        """Each id is replaced by its row, also for a single id and in an
        empty batch.
        """
        ids, weight = torch.randint(V, shape), torch.randn(V, D)
        check.close(kata.one_hot_lookup(ids, weight), rows_of(weight, ids))

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    def test_the_dtype_is_that_of_the_table(self, kata, dtype):
        """`F.one_hot` is int64, and a product needs the same dtype on both sides. The
        table decides: float64 rows must not pass through float32.
        """
        ids, weight = (
            torch.tensor([[3, 0, 6]]),
            (torch.randn(V, D, dtype=torch.float64) / 3).to(dtype),
        )
        check.equal(kata.one_hot_lookup(ids, weight), rows_of(weight, ids))


class TestEmbedTexts:
    def test_four_entries_with_their_shapes(self, kata):
        """Three texts of at most four tokens: ids and mask (3, 4), one vector per id,
        and one mean per text.
        """
        texts, _ = texts_of_three_lengths()
        got = kata.embed_texts(texts, vocabulary_of(kata), plain_table())
        check.that(isinstance(got, dict), f"expected a dict, got {check.describe(got)}")
        check.equal(sorted(got), ["ids", "mask", "mean", "vectors"], what="keys")
        for name, shape in {
            "ids": (3, 4),
            "mask": (3, 4),
            "vectors": (3, 4, D),
            "mean": (3, D),
        }.items():
            check.shape(got[name], shape, what=name)

    def test_texts_are_encoded_and_padded(self, kata):
        """Each text is one row of ids, filled up with the vocabulary's pad id. The mask
        is True at tokens, and an unknown word is one.
        """
        texts, ids = texts_of_three_lengths()
        got = kata.embed_texts(texts, vocabulary_of(kata), plain_table())
        check.equal(got["ids"], ids, what="ids")
        check.equal(got["mask"], ids != 0, what="mask")

    def test_vectors_are_the_output_of_the_module(self, kata):
        """The module is called on the ids; it need not be a table with a `weight`. Its
        vectors are returned as they are, padding included.
        """
        texts, ids = texts_of_three_lengths()
        module = nn.Sequential(nn.Embedding(V, 3), nn.Linear(3, D))
        got = kata.embed_texts(texts, vocabulary_of(kata), module)
        check.close(got["vectors"], module(ids), what="vectors")

    def test_the_mean_counts_real_tokens_only(self, kata):
        """A text of one token has the vector of that token as its mean. Divided by T, a
        text would change with its neighbours in the batch. Padding never counts, even
        if its row is not zero.
        """
        texts, ids = texts_of_three_lengths()
        counts = torch.tensor([[3.0], [1.0], [4.0]])
        for padding_row in (0.0, 100.0):
            table = plain_table(padding_row)
            rows = table.weight.detach()
            expected = torch.stack(
                [rows[[5, 2, 4]].mean(0), rows[6], rows[[3, 2, 1, 5]].mean(0)]
            )
            unlike = {
                "a mean over all T places": rows_of(rows, ids).mean(dim=1),
                "the padding is added in": rows_of(rows, ids).sum(dim=1) / counts,
                "the sum, not divided by the number of tokens": expected * counts,
                "divided by the number of tokens in the whole batch": expected
                * counts
                / 8,
            }
            got = kata.embed_texts(texts, vocabulary_of(kata), table)["mean"]
            check.close(
                got,
                expected,
                unlike=unlike,
                what=f"mean, where the padding row holds {padding_row:g},",
            )

    @given(words=st.permutations(WORDS))
    def test_the_mean_forgets_the_order(self, kata, words):
        """ "dog bites man" and "man bites dog" have the same mean: a sum does not
        depend on the order. That is the reason for recurrence and positions.
        """
        texts = [" ".join(WORDS), " ".join(words)]
        got = kata.embed_texts(texts, vocabulary_of(kata), plain_table())["mean"]
        check.close(
            got[1], got[0], what=f"mean of {texts[1]!r}, compared with {texts[0]!r},"
        )

    def test_max_len_cuts_the_texts(self, kata):
        """Only the first tokens are embedded and averaged."""
        texts, ids = texts_of_three_lengths()
        table = plain_table()
        got = kata.embed_texts(texts, vocabulary_of(kata), table, max_len=2)
        rows = table.weight.detach()
        check.equal(got["ids"], ids[:, :2], what="ids")
        check.close(
            got["mean"],
            torch.stack([rows[[5, 2]].mean(0), rows[6], rows[[3, 2]].mean(0)]),
            what="mean",
        )

    def test_gradients_reach_the_table(self, kata):
        """Training on the mean changes the rows of a text's own words, each by its
        share, and not the padding.
        Training on the vectors, as a recurrent net does, changes the rows of all ids.
        """
        texts, ids = texts_of_three_lengths()
        table, probe = plain_table(), torch.randn(3, D)
        rows = table.weight.detach().clone().requires_grad_()
        expected = torch.stack(
            [rows[[5, 2, 4]].mean(0), rows[6], rows[[3, 2, 1, 5]].mean(0)]
        )
        (expected * probe).sum().backward()
        for name in ("mean", "vectors"):
            table.weight.grad = None
            result = kata.embed_texts(texts, vocabulary_of(kata), table)[name]
            check.that(
                result.requires_grad, f"{name} carries no graph: the table cannot learn"
            )
            (result * probe if name == "mean" else result).sum().backward()
            counts = (
                torch.bincount(ids.flatten(), minlength=V).float()[:, None].expand(V, D)
            )
            gradient = rows.grad if name == "mean" else counts
            check.close(
                table.weight.grad, gradient, what=f"gradient of the table, from {name},"
            )

    @pytest.mark.edge
    def test_a_text_without_tokens_has_mean_zero(self, kata):
        """0 / 0 is NaN, and one NaN in a batch spoils the loss of all texts."""
        table = plain_table(padding_row=100.0)
        got = kata.embed_texts(["the cat", ""], vocabulary_of(kata), table)["mean"]
        rows = table.weight.detach()
        check.close(
            got, torch.stack([rows[[5, 2]].mean(0), torch.zeros(D)]), what="mean"
        )

    @pytest.mark.edge
    def test_only_empty_texts(self, kata):
        """A batch without a single token has T = 0, no vectors, and means of zero."""
        got = kata.embed_texts(["", "  "], vocabulary_of(kata), plain_table())
        check.equal(got["ids"], torch.zeros(2, 0, dtype=torch.int64), what="ids")
        check.shape(got["vectors"], (2, 0, D), what="vectors")
        check.equal(got["mean"], torch.zeros(2, D), what="mean")

    @pytest.mark.edge
    def test_the_word_pad_in_a_text_is_a_token(self, kata):
        """The mask says how long a text is, not which ids are 0. "<pad>" in a text is
        one of its tokens and counts in the mean.
        """
        vocabulary, table = vocabulary_of(kata), plain_table(padding_row=100.0)
        ids = torch.tensor(
            [
                [vocabulary.ids["the"], 0, vocabulary.ids["cat"]],
                [vocabulary.ids["cat"], 0, 0],
            ]
        )
        mask = torch.tensor([[True, True, True], [True, False, False]])
        got = kata.embed_texts(["the <pad> cat", "cat"], vocabulary, table)
        check.equal(got["ids"], ids, what="ids")
        check.equal(
            got["mask"],
            mask,
            what="mask",
            unlike={"True where the id is not that of padding": ids != 0},
        )
        rows = table.weight.detach()
        check.close(
            got["mean"],
            torch.stack([rows[ids[0]].mean(0), rows[ids[1, 0]]]),
            what="mean",
        )

    @pytest.mark.edge
    def test_the_mean_has_the_dtype_of_the_vectors(self, kata):
        """A mask that was made float32 would promote half-precision vectors."""
        texts, ids = texts_of_three_lengths()
        for dtype in (torch.float64, torch.bfloat16):
            module = plain_table().to(dtype)
            vectors = module(ids).detach().double()
            expected = torch.stack(
                [vectors[b, :length].mean(0) for b, length in enumerate((3, 1, 4))]
            )
            got = kata.embed_texts(texts, vocabulary_of(kata), module)["mean"]
            check.dtype(got, dtype, what="mean")
            check.close(got, expected, what="mean")

    @pytest.mark.edge
    def test_no_texts_or_no_room_are_an_error(self, kata):
        """As in `pad_batch`: a batch needs a text, and a limit of at least 1."""
        with check.raises(ValueError):
            kata.embed_texts([], vocabulary_of(kata), plain_table())
        with check.raises(ValueError):
            kata.embed_texts(["the cat"], vocabulary_of(kata), plain_table(), max_len=0)


@pytest.mark.stretch
class TestPackedBatchPack:
    def test_data_goes_step_by_step(self, kata):
        """First step 0 of every sequence, the longest first, then step 1 of those still
        running: so a recurrent net can take each time step as one slice.
        """
        padded, lengths = batch_to_pack(3)
        expected = in_time_order(padded, LENGTHS, [1, 3, 0, 2])
        unlike = {
            "one sequence after another": torch.cat(
                [padded[b, :n] for b, n in enumerate(LENGTHS)]
            ),
            "sorted, but one sequence after another": torch.cat(
                [padded[b, : LENGTHS[b]] for b in (1, 3, 0, 2)]
            ),
            "the shortest sequence first": in_time_order(padded, LENGTHS, [2, 0, 1, 3]),
            "not sorted by length": in_time_order(padded, LENGTHS, [0, 1, 2, 3]),
            "one step of padding per sequence goes in": in_time_order(
                padded, [min(n + 1, max(LENGTHS)) for n in LENGTHS], [1, 3, 0, 2]
            ),
            "sequences of equal length change places": in_time_order(
                padded, LENGTHS, [3, 1, 0, 2]
            ),
        }
        with check.forbidden(kata, *[f"torch.nn.utils.rnn.{name}" for name in PACKING]):
            packed = kata.PackedBatch.pack(padded, lengths)
        check.equal(packed.data, expected, unlike=unlike, what="data")

    def test_batch_sizes_are_those_of_torch(self, kata):
        """The number of sequences that still run at each step, up to the longest:
        int64, on the CPU, because a Python loop reads it.
        """
        padded, lengths = batch_to_pack(3)
        theirs = nn.utils.rnn.pack_padded_sequence(
            padded, lengths, batch_first=True, enforce_sorted=False
        )
        got = kata.PackedBatch.pack(padded, lengths).batch_sizes
        check.equal(got, theirs.batch_sizes, what="batch_sizes")

    def test_sorted_indices_tell_where_each_sequence_was(self, kata):
        """By falling length, and equal lengths in their old order: without them, nobody
        knows whose row is whose. The batch was six steps wide though no sequence is
        longer than five: `total_length` remembers it.
        """
        packed = kata.PackedBatch.pack(*batch_to_pack(3))
        unlike = {
            "the inverse: where each sequence went": torch.tensor([2, 0, 3, 1]),
            "equal lengths change places": torch.tensor([3, 1, 0, 2]),
            "rising lengths": torch.tensor([2, 0, 1, 3]),
        }
        check.equal(
            packed.sorted_indices,
            torch.tensor([1, 3, 0, 2]),
            unlike=unlike,
            what="sorted_indices",
        )
        check.equal(packed.total_length, TOTAL, what="total_length")

    def test_ids_are_packed_as_well(self, kata):
        """Steps may be ids (B, T) or have any further dimensions (B, T, 2, 3)."""
        for rest, dtype in (((), torch.int64), ((2, 3), torch.float32)):
            padded, lengths = batch_to_pack(*rest, dtype=dtype)
            got = kata.PackedBatch.pack(padded, lengths).data
            check.equal(got, in_time_order(padded, LENGTHS, [1, 3, 0, 2]), what="data")

    def test_gradients_flow_through_pack(self, kata):
        """The real steps learn; the padding, which was left out, gets zero."""
        padded, lengths = torch.randn(4, TOTAL, 3), torch.tensor(LENGTHS)
        check.gradients(
            lambda x: kata.PackedBatch.pack(x, lengths).data,
            lambda x: in_time_order(x, LENGTHS, [1, 3, 0, 2]),
            padded,
        )

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """Batch and time are the dimensions of the tensor, whatever order its numbers
        have in memory.
        """
        padded = torch.randn(TOTAL, 4, 3).transpose(0, 1)
        packed = kata.PackedBatch.pack(padded, torch.tensor(LENGTHS))
        check.equal(
            packed.data, in_time_order(padded, LENGTHS, [1, 3, 0, 2]), what="data"
        )

    @pytest.mark.edge
    def test_nothing_is_written_to(self, kata):
        """The batch and its lengths stay as they were. So does float64."""
        padded, lengths = batch_to_pack(3, dtype=torch.float64)
        with check.unchanged(padded=padded, lengths=lengths):
            packed = kata.PackedBatch.pack(padded, lengths)
        check.dtype(packed.data, torch.float64, what="data")

    @pytest.mark.edge
    def test_lengths_must_fit_the_batch(self, kata):
        """One length per sequence, none beyond T, and none empty, as in PyTorch. The
        message says "lengths".
        """
        padded, _ = batch_to_pack(3)
        for bad in (
            [2, 5, 1],
            [2, 5, 1, 5, 3],
            [[2], [5], [1], [5]],
            [2, 7, 1, 5],
            [2, 5, 0, 5],
            [2, 5, -1, 5],
        ):
            with check.raises(ValueError, "lengths"):
                kata.PackedBatch.pack(padded, torch.tensor(bad))


@pytest.mark.stretch
class TestPackedBatchUnpack:
    def test_each_sequence_is_back_in_its_own_row(self, kata):
        """The batch has its old width, and its rows the original order. Behind the ends
        there are zeros.
        """
        padded, lengths = batch_to_pack(3)
        got, back = kata.PackedBatch.pack(padded, lengths).unpack()
        expected = refilled(padded, LENGTHS, 0)
        unlike = {
            "the rows are still sorted by length": expected[[1, 3, 0, 2]],
            "the sorting was applied twice, not undone": expected[[1, 3, 0, 2]][
                [1, 3, 0, 2]
            ],
        }
        check.equal(got, expected, unlike=unlike, what="padded")
        unlike = {"still sorted": torch.tensor([5, 5, 2, 1])}
        check.equal(back, torch.tensor(LENGTHS), unlike=unlike, what="lengths")

    @given(case=lengths_in_a_batch())
    def test_unpacking_undoes_packing(self, kata, case):
        """Whatever the lengths are, the real steps and the lengths come back, with −7
        behind every end.
        """
        lengths, steps = case
        padded = torch.arange(len(lengths) * steps).reshape(len(lengths), steps)
        with check.forbidden(kata, *[f"torch.nn.utils.rnn.{name}" for name in PACKING]):
            got, back = kata.PackedBatch.pack(padded, torch.tensor(lengths)).unpack(
                padding_value=-7
            )
        unlike = {"zeros in the rest": refilled(padded, lengths, 0)}
        check.equal(got, refilled(padded, lengths, -7), unlike=unlike, what="padded")
        check.equal(back, torch.tensor(lengths), what="lengths")

    def test_unpack_needs_nothing_but_the_four_attributes(self, kata):
        """A layer that works on `data` puts its result into a new packed batch. That
        one is unpacked like the original, also if it has another number of features.
        """
        data, sizes, order = (
            torch.randn(5, 3),
            torch.tensor([2, 2, 1]),
            torch.tensor([1, 0]),
        )
        padded, lengths = kata.PackedBatch(data, sizes, order, 4).unpack()
        expected = torch.zeros(2, 4, 3)
        expected[1, :3], expected[0, :2] = data[[0, 2, 4]], data[[1, 3]]
        check.equal(padded, expected, what="padded")
        check.equal(lengths, torch.tensor([2, 3]), what="lengths")

    def test_gradients_flow_through_unpack(self, kata):
        """A layer that reads the padded result sends gradients to the layer that made
        the packed data.
        """
        padded, lengths = torch.randn(4, TOTAL, 3), torch.tensor(LENGTHS)
        check.gradients(
            lambda x: kata.PackedBatch.pack(x, lengths).unpack(-7)[0],
            lambda x: refilled(x, LENGTHS, -7),
            padded,
        )

    @pytest.mark.edge
    def test_the_packed_batch_stays_as_it_was(self, kata):
        """It can be unpacked a second time, and its dtype is that of the data."""
        padded, lengths = batch_to_pack(2, 3, dtype=torch.float64)
        packed = kata.PackedBatch.pack(padded, lengths)
        with check.unchanged(
            data=packed.data,
            batch_sizes=packed.batch_sizes,
            order=packed.sorted_indices,
        ):
            first, _ = packed.unpack()
            first.zero_()
        check.equal(
            packed.unpack()[0],
            refilled(padded, LENGTHS, 0),
            what="unpacked a second time",
        )


class TestMemoryComparison:
    def test_one_hot_input_beside_ids(self, kata):
        """50 words of a vocabulary of 1000: as one-hot vectors 50·1000 float32 numbers
        of 4 bytes, as ids 50 int64 of 8 bytes. The input is 500 times as large.
        """
        got = kata.memory_comparison(1000, 16, 50)
        expected = {
            "one_hot_bytes": 200_000,
            "id_bytes": 400,
            "table_bytes": 64_000,
            "output_bytes": 3_200,
            "input_ratio": 500.0,
        }
        unlike = {
            "one byte per one-hot entry": {
                "one_hot_bytes": 50_000,
                "input_ratio": 125.0,
            },
            "one-hot vectors of D entries": {"one_hot_bytes": 3_200},
            "ids of 4 bytes: int64 has 8": {"id_bytes": 200, "input_ratio": 1000.0},
            "the ratio upside down": {"input_ratio": 0.002},
        }
        check.close(got, expected, unlike=unlike)

    def test_the_dtype_changes_everything_but_the_ids(self, kata):
        """Half precision halves the one-hot vectors, the table and the output. An id is
        still an int64.
        """
        for dtype, size in ((torch.float16, 2), (torch.float64, 8), (torch.int8, 1)):
            expected = {
                "one_hot_bytes": 50_050 * size,
                "id_bytes": 400,
                "table_bytes": 16_016 * size,
                "output_bytes": 800 * size,
                "input_ratio": 1001 / 8 * size,
            }
            check.close(
                kata.memory_comparison(1001, 16, 50, dtype),
                expected,
                what=f"bytes in {dtype}",
            )

    def test_huge_sizes_are_only_computed(self, kata):
        """Ten million words would need 400 TB as one-hot vectors. The answer needs
        arithmetic, not memory.
        """
        got = kata.memory_comparison(10**7, 10**6, 10**7)
        expected = {
            "one_hot_bytes": 4 * 10**14,
            "id_bytes": 8 * 10**7,
            "table_bytes": 4 * 10**13,
            "output_bytes": 4 * 10**13,
            "input_ratio": 5e6,
        }
        check.close(got, expected)

    @pytest.mark.edge
    def test_no_tokens_have_ratio_zero(self, kata):
        """Without words there is no input to compare, and 0 / 0 must not be an error.
        The table has its usual size.
        """
        got = kata.memory_comparison(30, 5, 0)
        expected = {
            "one_hot_bytes": 0,
            "id_bytes": 0,
            "table_bytes": 600,
            "output_bytes": 0,
            "input_ratio": 0.0,
        }
        check.close(got, expected)


@pytest.mark.stretch
class TestProject2d:
    def test_coordinates_on_the_first_two_principal_axes(self, kata):
        """The axes are the directions in which the vectors spread most: eigenvectors of
        their covariance, the largest eigenvalue first. The sign of a column is free.
        """
        points = spread_points(12, 5)
        expected = principal_coordinates(points)
        got = signed_like(kata.project_2d(points), expected)
        wrong = {
            "the axes with the smallest spread": principal_coordinates(points, (0, 1)),
            "the axes with the smallest spread, second-smallest first": (
                principal_coordinates(points, (1, 0))
            ),
            "the second axis first": principal_coordinates(points, (-2, -1)),
            "the first two features, not turned": (points - points.mean(0))[:, :2],
        }
        unlike = {
            name: signed_like(coordinates, got) for name, coordinates in wrong.items()
        }
        check.close(got, expected, rtol=1e-3, atol=1e-3, unlike=unlike)

    def test_fewer_vectors_than_features(self, kata):
        """A table of few words has more columns than rows. It still has (V, 2)
        coordinates, one row per word.
        """
        points = spread_points(4, 9)
        expected = principal_coordinates(points)
        check.close(
            signed_like(kata.project_2d(points), expected),
            expected,
            rtol=1e-3,
            atol=1e-3,
        )

    def test_the_mean_is_subtracted_first(self, kata):
        """All words may share one large component that tells nothing. Without centring,
        it becomes the first axis.
        """
        points = spread_points(12, 5) + 50.0
        expected = principal_coordinates(points)
        got = kata.project_2d(points)
        check.close(signed_like(got, expected), expected, rtol=1e-3, atol=2e-3)
        check.close(
            got.mean(0), torch.zeros(2), atol=2e-3, what="mean of the coordinates"
        )

    def test_the_result_is_detached(self, kata):
        """A figure needs no graph: matplotlib refuses tensors that require grad."""
        got = kata.project_2d(spread_points(6, 3).requires_grad_())
        check.that(not got.requires_grad, "the result still requires grad")

    @pytest.mark.edge
    def test_the_table_stays_as_it_was(self, kata):
        """The mean is subtracted from a copy."""
        points = spread_points(6, 3).requires_grad_()
        with check.unchanged(vectors=points):
            kata.project_2d(points)

    @pytest.mark.edge
    def test_anything_but_a_table_is_an_error(self, kata):
        """A plane needs at least two vectors of at least two features."""
        for shape in ((4,), (2, 3, 4), (1, 4), (5, 1)):
            with check.raises(ValueError):
                kata.project_2d(torch.zeros(shape))
