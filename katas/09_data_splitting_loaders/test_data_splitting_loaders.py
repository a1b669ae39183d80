"""Specs of 09: sizes and indices of splits, a loader by hand, padding, DataLoaders, a
stream that workers share.
"""

import itertools
import multiprocessing
from collections import Counter
from contextlib import contextmanager
from fractions import Fraction
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
import torch.utils.data._utils.worker as torch_worker
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from grader.specs import check

USUAL = (0.7, 0.15, 0.15)
ENOUGH = 10_000  # batches or numbers of a pass that may never end


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sizes_by_hand(n, fractions):
    """The sizes in exact arithmetic: 0.29 is 29/100 here. What is left over is dealt
    out like cards.
    """
    shares = [n * Fraction(str(f)) for f in fractions]
    sizes = [int(share) for share in shares]
    takers = itertools.cycle([i for i, f in enumerate(fractions) if f])
    while sum(sizes) < n:
        sizes[next(takers)] += 1
    return sizes


def check_sizes(got, expected, unlike=None):
    """Check that it is a list of these plain ints. `unlike` names known
    wrong answers.
    """
    if got != expected:
        names = [
            ("looks like", name)
            for name, wrong in (unlike or {}).items()
            if got == wrong
        ]
        raise check.Mismatch(
            [("got", check.describe(got)), ("expected", str(expected)), *names]
        )
    check.equal(got, expected, what="sizes")


def check_splits(got, sizes):
    """Check that it is a list of int64 index tensors of these sizes."""
    check.that(
        isinstance(got, list),
        f"expected a list of {len(sizes)} tensors, got {check.describe(got)}",
    )
    check.that(len(got) == len(sizes), f"expected {len(sizes)} tensors, got {len(got)}")
    for k, (split, size) in enumerate(zip(got, sizes, strict=True)):
        check.shape(split, (size,), what=f"split {k}")
        check.dtype(split, torch.int64, what=f"split {k}")


def check_each_once(got, expected, what):
    """Check that every number is there once, and no other."""
    counts, expected = Counter(got), set(expected)
    twice = sorted(n for n, count in counts.items() if count > 1)
    check.that(
        not twice,
        f"{what}: {len(twice)} are there more than once: {check.describe(twice[:6])}",
    )
    missing, foreign = sorted(expected - set(counts)), sorted(set(counts) - expected)
    check.that(
        not missing,
        f"{what}: {len(missing)} are missing: {check.describe(missing[:6])}",
    )
    check.that(
        not foreign,
        f"{what}: {len(foreign)} do not belong there: {check.describe(foreign[:6])}",
    )


def joined(splits):
    return torch.cat(splits).tolist()


@contextmanager
def global_generator_left_alone():
    """Check that the block draws nothing from torch's global generator, and does not
    seed it.
    """
    torch.manual_seed(torch.randint(10**6, ()).item())
    torch.rand(3)
    before = torch.get_rng_state()
    yield
    message = (
        "torch's global generator was used or seeded, although a generator was given"
    )
    check.that(torch.equal(torch.get_rng_state(), before), message)


def check_repeatable(draw):
    """Check that `draw(generator)` is the same for an equal generator, and from torch's
    global one if that is None.
    """
    with global_generator_left_alone():
        first = draw(seeded(3))
    check.equal(
        draw(seeded(3)), first, what="the second time, with an equally seeded generator"
    )
    check.that(
        draw(seeded(4)) != first, "generators of two different seeds gave the same"
    )
    generator = seeded(3)
    check.that(
        draw(generator) != draw(generator),
        "two calls with one generator gave the same: is it set back?",
    )
    torch.manual_seed(5)
    first, second = draw(None), draw(None)
    check.that(
        first != second,
        "two calls without a generator gave the same: is a seed set inside, or "
        "nothing drawn?",
    )
    torch.manual_seed(5)
    check.equal(
        draw(None), first, what="without a generator, after the same torch.manual_seed"
    )


@st.composite
def fractions_above_zero(draw):
    """One to four fractions in sixteenths, which floats hold exactly."""
    cuts = sorted(draw(st.sets(st.integers(1, 15), max_size=3)))
    return tuple(
        (end - start) / 16 for start, end in itertools.pairwise([0, *cuts, 16])
    )


class Recording(Dataset):
    """A dataset of these items that notes which of them are asked for."""

    def __init__(self, items):
        self.items = list(items)
        self.asked = []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        self.asked.append(i)
        if not 0 <= i < len(self.items):
            raise IndexError(
                f"dataset[{i}] was asked for, there are {len(self.items)} samples"
            )
        return self.items[i]


def sample(i):
    """Six numbers that tell which sample they belong to, and the sample's number as
    its label.
    """
    return 10.0 * i + torch.arange(6.0).reshape(2, 3), i


def samples(n):
    return Recording(sample(i) for i in range(n))


def batch_of(indices):
    return torch.stack([sample(i)[0] for i in indices]), torch.tensor(list(indices))


def batches_of(loader):
    """All batches of a pass."""
    batches = list(itertools.islice(loader, ENOUGH))
    check.that(
        len(batches) < ENOUGH, f"a pass does not end: it came to {ENOUGH} batches"
    )
    return batches


def order_of(loader):
    """The labels of a pass one after another, which are the numbers of the samples."""
    return [label for batch in batches_of(loader) for label in batch[1].tolist()]


class TestSplitSizes:
    def test_sizes_are_shares_of_n(self, kata):
        """70, 15 and 15 per cent of 100 samples are 70, 15 and 15 samples: one plain
        int per split, in the order of the fractions. In floats, 0.6 + 0.3 + 0.1 is
        slightly below 1; that is no error.
        """
        check_sizes(kata.split_sizes(100, USUAL), [70, 15, 15])
        check_sizes(kata.split_sizes(10, [0.6, 0.3, 0.1]), [6, 3, 1])

    def test_leftovers_are_dealt_out_from_the_first_split_on(self, kata):
        """7.7, 1.65 and 1.65 are 7, 1 and 1 when rounded down. Two of the 11 samples
        are left over: one for the first split, one for the second.
        """
        unlike = {
            "rounded to the nearest: the sum is 12": [8, 2, 2],
            "all leftovers in the last split": [7, 1, 3],
            "all leftovers in the first split": [9, 1, 1],
            "leftovers lost": [7, 1, 1],
            "leftovers dealt out from the last split on": [7, 2, 2],
        }
        check_sizes(kata.split_sizes(11, USUAL), [8, 2, 1], unlike)
        check_sizes(kata.split_sizes(1, USUAL), [1, 0, 0])

    @given(n=st.integers(0, 60), fractions=fractions_above_zero())
    def test_sizes_sum_to_n(self, kata, n, fractions):
        """No sample is lost, and none is given out twice. Each size is its product
        rounded down, or one more, from the first split on.
        """
        check_sizes(kata.split_sizes(n, fractions), sizes_by_hand(n, fractions))

    @pytest.mark.edge
    def test_a_fraction_of_zero_stays_empty(self, kata):
        """A split with fraction 0 was not asked for, so no leftover goes there.
        (torch's random_split does put one there: it makes [1, 1, 1] of 3 samples by 0,
        0.5 and 0.5.)
        """
        check_sizes(
            kata.split_sizes(3, (0, 0.5, 0.5)),
            [0, 2, 1],
            {"a leftover given to the split of 0": [1, 1, 1]},
        )
        check_sizes(kata.split_sizes(3, (0.5, 0.0, 0.5)), [2, 0, 1])
        check_sizes(kata.split_sizes(7, (1, 0)), [7, 0])

    @pytest.mark.edge
    def test_products_that_are_whole_but_for_rounding_are_whole(self, kata):
        """100 · 0.29 is 28.999999999999996 in Python. Rounded down that is 28, and a
        sample goes to the wrong split. For every percentage p, 100 samples by p and
        100 - p per cent are p and 100 - p.
        """
        for p in range(101):
            check_sizes(kata.split_sizes(100, (p / 100, (100 - p) / 100)), [p, 100 - p])

    @pytest.mark.edge
    def test_nearly_whole_is_not_whole(self, kata):
        """Rounding errors are tiny. A product of 0.9995 is rounded down like any other:
        it becomes 0, and the leftover goes to the first split.
        """
        check_sizes(
            kata.split_sizes(1999, (0.9995, 0.0005)),
            [1999, 0],
            {"0.9995 taken for 1": [1998, 1]},
        )

    @pytest.mark.edge
    def test_a_sum_of_nearly_one_will_do(self, kata):
        """Three times 0.3333333 is 0.9999999. A sum that is off 1 by no more than 1e-6
        is meant to be 1, and the sizes still sum to n, even if ten samples of a hundred
        million are left over.
        """
        for third in (0.3333333, 0.3333334):
            check_sizes(kata.split_sizes(7, (third,) * 3), [3, 2, 2])
        got = kata.split_sizes(10**8, (0.3333333,) * 3)
        check.that(
            sum(got) == 10**8,
            f"10**8 by three times 0.3333333 gives {got}, which sums to {sum(got)}",
        )

    @pytest.mark.edge
    def test_fractions_have_to_make_sense(self, kata):
        """Fractions are shares of a whole: there is at least one, none is negative, and
        they sum to 1. An error here is better than a test set that silently lacks a
        third of its samples.
        """
        for n, fractions in (
            (-1, USUAL),
            (10, ()),
            (10, (1.2, -0.2)),
            (10, (0.5, 0.4)),
            (10, (0.7, 0.2, 0.2)),
            (10, (0.5, 0.49999)),
            (10, (0.5, 0.50001)),
        ):
            with check.raises(ValueError):
                kata.split_sizes(n, fractions)


@pytest.mark.stretch
class TestRandomSplitIndices:
    def test_a_list_of_index_tensors_of_these_sizes(self, kata):
        """One int64 tensor per split: 11 by 0.7, 0.15, 0.15 are 8, 2 and 1 indices."""
        check_splits(kata.random_split_indices(11, USUAL, seeded()), [8, 2, 1])

    @given(n=st.integers(1, 40), fractions=fractions_above_zero())
    def test_every_index_is_in_exactly_one_split(self, kata, n, fractions):
        """A sample in two splits is learned by heart and then tested; a sample in none
        is wasted. Drawing each split on its own, or with replacement, makes
        both happen.
        """
        got = kata.random_split_indices(n, fractions, seeded())
        check_each_once(joined(got), range(n), "indices of all splits")
        check_splits(got, sizes_by_hand(n, fractions))

    def test_splits_are_random(self, kata):
        """Data often come sorted by class or by date, so their first 70 per cent are
        not a fair sample. Draw the members of a split at random. Its indices come in
        the order in which they were drawn.
        """
        first, second = kata.random_split_indices(80, (0.5, 0.5), seeded())
        check.that(
            set(first.tolist()) != set(range(40)),
            "the first split holds just the first half of the samples",
        )
        check.that(
            first.tolist() != sorted(first.tolist()),
            "the indices of the first split are sorted",
        )
        check.that(
            second.tolist() != sorted(second.tolist()),
            "the indices of the second split are sorted",
        )

    def test_a_generator_repeats_the_splits(self, kata):
        """A split has to be the same tomorrow, or test samples become training samples.
        All random numbers come from the generator. A draw from torch's global one would
        change every later random number of the program.
        """
        check_repeatable(
            lambda generator: joined(kata.random_split_indices(40, USUAL, generator))
        )

    @pytest.mark.edge
    def test_empty_splits_are_empty_tensors(self, kata):
        """No samples, or a fraction of 0, give tensors of shape (0,). They are
        int64, too.
        """
        check_splits(kata.random_split_indices(0, USUAL, seeded()), [0, 0, 0])
        check_splits(kata.random_split_indices(5, (0.0, 1.0), seeded()), [0, 5])

    @pytest.mark.edge
    def test_sizes_are_checked(self, kata):
        """Arguments that `split_sizes` refuses are refused here."""
        for n, fractions in (
            (-1, USUAL),
            (10, ()),
            (10, (0.5, 0.4)),
            (10, (1.5, -0.5)),
        ):
            with check.raises(ValueError):
                kata.random_split_indices(n, fractions, seeded())


def mixed_labels(counts, seed=0):
    """Labels with so many of each class, in random order."""
    labels = torch.tensor(
        [label for label, count in counts.items() for _ in range(count)]
    )
    return labels[torch.randperm(len(labels), generator=seeded(seed))]


def class_counts(splits, labels, classes):
    """(splits, classes): how many members of each class are in each split."""
    return torch.tensor(
        [
            [(labels[split] == label).sum().item() for label in classes]
            for split in splits
        ]
    )


@st.composite
def labels_and_fractions(draw):
    """Labels of up to 24 samples, and fractions."""
    labels = draw(
        st.lists(st.sampled_from([0, 1, 7, -3, 1000]), min_size=1, max_size=24)
    )
    return torch.tensor(labels), draw(fractions_above_zero())


class TestStratifiedSplit:
    def test_every_class_has_its_share_in_every_split(self, kata):
        """60, 23, 7 and 1 samples of four classes by 0.7, 0.15, 0.15: `split_sizes` of
        each class on its own says how many of them are in which split.
        """
        labels = mixed_labels({0: 60, 1: 23, 2: 7, 3: 1})
        got = kata.stratified_split(labels, USUAL, seeded())
        unlike = {
            "all samples split at once, whatever their class": sizes_by_hand(91, USUAL),
            "rounded down in every split: members are lost": [
                sum(int(n * fraction) for n in (60, 23, 7, 1)) for fraction in USUAL
            ],
        }
        check.equal(
            [len(split) for split in got],
            [65, 13, 13],
            unlike=unlike,
            what="the sizes of the splits",
        )
        check_splits(got, [65, 13, 13])
        expected = torch.tensor([[42, 17, 5, 1], [9, 3, 1, 0], [9, 3, 1, 0]])
        check.equal(
            class_counts(got, labels, range(4)),
            expected,
            what="members of each class (columns) in each split",
        )

    @given(case=labels_and_fractions())
    def test_every_sample_is_in_one_split_and_every_class_shared_out(self, kata, case):
        """Splits have no sample in common, and together they hold all of them. A class
        is any number that occurs: -3, 7, 1000, not only 0 … K - 1.
        `int(count * fraction)` in every split loses members.
        """
        labels, fractions = case
        got = kata.stratified_split(labels, fractions, seeded())
        classes = labels.unique().tolist()
        check_each_once(
            joined(got),
            range(len(labels)),
            f"indices of all splits, from the classes {classes}",
        )
        wanted = [
            sizes_by_hand(int((labels == label).sum()), fractions) for label in classes
        ]
        found = class_counts(got, labels, classes)
        check.equal(
            found,
            torch.tensor(wanted).T,
            what=f"members of the classes {classes} (columns) in each split",
        )

    def test_indices_ascend(self, kata):
        """Each split lists its indices in ascending order. Shuffling is the loader's
        work, and a fixed order makes splits easy to compare.
        """
        labels = mixed_labels({0: 30, 1: 20})
        for k, split in enumerate(kata.stratified_split(labels, (0.5, 0.5), seeded())):
            order, classes = split.tolist(), labels[split].tolist()
            how = "class after class" if classes == sorted(classes) else "in no order"
            check.that(
                order == sorted(order), f"split {k} begins with {order[:5]}: {how}"
            )

    def test_members_are_drawn_at_random(self, kata):
        """The first members of each class are, in sorted data, the oldest or the
        easiest. In 200 splits into halves, every sample should be in the first half
        about 100 times.
        """
        labels, generator, counts = mixed_labels({0: 6, 1: 8}), seeded(1), Counter()
        for _ in range(200):
            counts.update(
                kata.stratified_split(labels, (0.5, 0.5), generator)[0].tolist()
            )
        same = [i for i in range(len(labels)) if counts[i] == 200]
        fixed = "no draw inside a class: the same members in every split"
        check.that(
            len(same) < 7,
            f"the indices {same} were in the first half 200 times of 200",
            like=fixed,
        )
        for i in range(len(labels)):
            check.that(
                60 <= counts[i] <= 140,
                f"index {i} was in the first half {counts[i]} times of 200",
            )

    def test_a_generator_repeats_the_splits(self, kata):
        """Equally seeded generators give equal splits, and torch's global generator is
        left alone.
        """
        labels = mixed_labels({0: 30, 1: 20})
        check_repeatable(
            lambda generator: joined(kata.stratified_split(labels, USUAL, generator))
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int32], ids=str)
    def test_labels_may_have_any_integer_dtype(self, kata, dtype):
        """Small data sets come with labels in uint8, others in int32."""
        labels = mixed_labels({200 if dtype == torch.uint8 else -200: 6, 3: 4}).to(
            dtype
        )
        check_splits(kata.stratified_split(labels, (0.5, 0.5), seeded()), [5, 5])

    @pytest.mark.edge
    def test_labels_are_not_changed(self, kata):
        """The labels are still needed, in their order. They may be a column of a
        larger table.
        """
        table = torch.stack([mixed_labels({0: 8, 1: 12}), torch.arange(20)], dim=1)
        with check.unchanged(labels=table):
            got = kata.stratified_split(table[:, 0], (0.5, 0.5), seeded())
        check_splits(got, [10, 10])

    @pytest.mark.edge
    def test_no_labels_give_empty_splits(self, kata):
        """Without samples there are no classes, and still as many splits as fractions:
        int64 tensors of shape (0,).
        """
        check_splits(
            kata.stratified_split(torch.empty(0, dtype=torch.int64), USUAL, seeded()),
            [0, 0, 0],
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(6, 1), (2, 3), ()], ids=str)
    def test_labels_are_a_vector(self, kata, shape):
        """Labels of shape (N, 1) may be a column, and (N, 3) may be one-hot: an error
        is better than a guess.
        """
        with check.raises(ValueError):
            kata.stratified_split(torch.ones(shape, dtype=torch.int64), USUAL, seeded())

    @pytest.mark.edge
    def test_fractions_have_to_make_sense(self, kata):
        """Fractions that `split_sizes` refuses are refused here, even if there are no
        labels to split.
        """
        for n in (6, 0):
            for fractions in ((), (0.5, 0.4), (1.5, -0.5)):
                with check.raises(ValueError):
                    kata.stratified_split(
                        torch.ones(n, dtype=torch.int64), fractions, seeded()
                    )


@st.composite
def loader_settings(draw):
    """A number of samples, a batch size, and whether the rest is dropped."""
    return draw(st.integers(1, 9)), draw(st.integers(1, 5)), draw(st.booleans())


class TestMiniLoaderLen:
    def test_the_rest_counts_unless_it_is_dropped(self, kata):
        """Seven samples in batches of 3 are batches of 3, 3 and 1. With drop_last the
        smaller batch is left out.
        """
        whole, dropped = (
            kata.MiniLoader(samples(7), 3),
            kata.MiniLoader(samples(7), 3, drop_last=True),
        )
        check.equal(
            len(whole), 3, unlike={"only full batches counted": 2}, what="the length"
        )
        check.equal(
            len(dropped),
            2,
            unlike={"drop_last ignored": 3},
            what="the length with drop_last",
        )

    @given(case=loader_settings())
    def test_len_is_the_number_of_batches(self, kata, case):
        """A progress bar and a learning rate schedule ask the loader for its length. It
        is that of torch's DataLoader.
        """
        n, size, drop = case
        got = len(kata.MiniLoader(samples(n), size, drop_last=drop))
        check.equal(
            got, len(DataLoader(samples(n), size, drop_last=drop)), what="length"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("drop", [False, True])
    def test_no_samples_make_no_batches(self, kata, drop):
        """A split can be empty. Its loader has length 0."""
        check.equal(
            len(kata.MiniLoader(samples(0), 3, drop_last=drop)),
            0,
            what="length of a loader without samples",
        )


class TestMiniLoaderIter:
    def test_batches_are_samples_stacked(self, kata):
        """A batch is a tuple with one tensor per field: inputs (2, 3) of three samples
        become (3, 2, 3), int labels become an int64 tensor (3,).
        """
        got = batches_of(kata.MiniLoader(samples(6), batch_size=3))
        check.equal(got, [batch_of([0, 1, 2]), batch_of([3, 4, 5])], what="batches")

    def test_the_last_batch_may_be_smaller(self, kata):
        """Seven samples in batches of 3 are batches of 3, 3 and 1: the rest is a
        batch, too.
        """
        got = batches_of(kata.MiniLoader(samples(7), batch_size=3))
        lengths = [len(batch[1]) for batch in got]
        check.that(
            lengths == [3, 3, 1],
            f"expected batches of 3, 3 and 1 samples, got batches of {lengths}",
        )
        check.equal(got[2], batch_of([6]), what="last batch")

    @given(case=loader_settings())
    def test_batches_are_those_of_a_data_loader(self, kata, case):
        """Without shuffling there is one right answer, for every number of samples and
        every batch size: that of torch's DataLoader.
        """
        n, size, drop = case
        got = batches_of(kata.MiniLoader(samples(n), size, drop_last=drop))
        check.equal(
            got,
            [tuple(batch) for batch in DataLoader(samples(n), size, drop_last=drop)],
            what="batches",
        )

    @pytest.mark.parametrize("seed", [None, 0], ids=["no generator", "generator"])
    def test_every_pass_is_a_new_order_of_all_samples(self, kata, seed):
        """A pass is a permutation, not a draw with replacement, and batches are new
        combinations in every epoch. An order drawn once, in __init__, makes every epoch
        the same.
        """
        generator = None if seed is None else seeded(seed)
        loader = kata.MiniLoader(samples(30), 7, shuffle=True, generator=generator)
        first, second = order_of(loader), order_of(loader)
        check_each_once(first, range(30), "samples of the first pass")
        check_each_once(second, range(30), "samples of the second pass")
        check.that(first != list(range(30)), "the first pass is not shuffled")
        check.that(first != second, "the second pass has the order of the first")

    def test_samples_are_shuffled_not_batches(self, kata):
        """Sorted data stay sorted by class if only whole batches are shuffled, or only
        the samples within a batch.
        """
        loader = kata.MiniLoader(samples(40), 4, shuffle=True, generator=seeded())
        groups = [{i // 4 for i in batch[1].tolist()} for batch in batches_of(loader)]
        apart = any(len(group) > 1 for group in groups)
        check.that(
            apart,
            "every batch holds neighbours such as 0, 1, 2, 3: samples never change "
            "their batch",
        )

    def test_inputs_and_labels_stay_together(self, kata):
        """A shuffled input next to another sample's label is the worst bug of a loader:
        all shapes are right, and nothing can be learned.
        """
        for inputs, labels in batches_of(
            kata.MiniLoader(samples(20), 6, shuffle=True, generator=seeded())
        ):
            expected, _ = batch_of(labels.tolist())
            mixed = sorted(inputs.flatten(1).tolist()) == sorted(
                expected.flatten(1).tolist()
            )
            said = (
                f"the inputs are those of the labels {labels.tolist()}, in another "
                "order"
            )
            apart = "inputs and labels shuffled apart"
            check.that(not mixed or torch.equal(inputs, expected), said, like=apart)
            check.equal(
                inputs,
                expected,
                what=f"inputs of the samples with labels {labels.tolist()}",
            )

    def test_samples_are_fetched_batch_by_batch(self, kata):
        """A dataset may open a file for every sample. The first batch needs its own
        samples and no others. Making a loader, asking for its length and starting a
        pass need none.
        """
        for shuffle in (False, True):
            dataset = samples(20)
            loader = kata.MiniLoader(dataset, 4, shuffle=shuffle, generator=seeded())
            len(loader)
            batches = iter(loader)
            check.that(
                not dataset.asked,
                f"{len(dataset.asked)} samples were fetched before a batch was asked "
                "for",
            )
            next(batches)
            check.that(
                len(dataset.asked) <= 4,
                f"the first batch of 4 samples fetched {len(dataset.asked)} of 20",
            )
            list(itertools.islice(batches, ENOUGH))
            check_each_once(
                [int(i) for i in dataset.asked],
                range(20),
                "samples fetched in one pass",
            )

    def test_a_generator_repeats_the_orders(self, kata):
        """With an equally seeded generator the same training can be run again, pass by
        pass. Torch's global generator is left alone.
        """
        check_repeatable(
            lambda g: order_of(
                kata.MiniLoader(samples(30), 6, shuffle=True, generator=g)
            )
        )

    def test_written_without_data_loader(self, kata):
        """DataLoader is what this exercise rebuilds."""
        with check.forbidden(kata, "torch.utils.data.DataLoader.__init__"):
            batches_of(kata.MiniLoader(samples(5), 2, shuffle=True))

    @pytest.mark.edge
    def test_iterators_do_not_disturb_each_other(self, kata):
        """Every iter() is a pass of its own. If the position is kept in the loader, two
        loops over it at the same time steal each other's batches.
        """
        loader = kata.MiniLoader(samples(7), 3)
        got = list(itertools.islice(zip(loader, loader, strict=False), ENOUGH))
        expected = [(batch_of(i), batch_of(i)) for i in ([0, 1, 2], [3, 4, 5], [6])]
        check.equal(got, expected, what="pairs of batches from two passes at once")
        loader = kata.MiniLoader(samples(12), 5, shuffle=True, generator=seeded())
        pairs = list(itertools.islice(zip(loader, loader, strict=False), ENOUGH))
        for side in (0, 1):
            order = [label for pair in pairs for label in pair[side][1].tolist()]
            check_each_once(
                order, range(12), f"samples of shuffled pass {side + 1} of two at once"
            )

    @pytest.mark.edge
    def test_a_pass_may_be_left(self, kata):
        """A loop that breaks off, and a look at one batch with next(iter(loader)),
        leave nothing behind: the next pass starts at the beginning.
        """
        loader = kata.MiniLoader(samples(5), 2)
        next(iter(loader))
        check.equal(
            batches_of(loader),
            [batch_of([0, 1]), batch_of([2, 3]), batch_of([4])],
            what="batches",
        )

    @pytest.mark.edge
    def test_fields_keep_their_dtype(self, kata):
        """Stacking changes no dtype: uint8 stays uint8, and bool stays bool. Only plain
        ints, which have none, become int64. There may be any number of fields.
        """
        for count in (1, 4):
            points = [torch.tensor([i, i + 1], dtype=torch.float64) for i in range(3)]
            items = [
                (p, torch.tensor(i, dtype=torch.int32), torch.tensor([i > 1]), -i)
                for i, p in enumerate(points)
            ]
            fields = [
                torch.tensor([[0, 1], [1, 2], [2, 3]], dtype=torch.float64),
                torch.tensor([0, 1, 2], dtype=torch.int32),
                torch.tensor([[False], [False], [True]]),
                torch.tensor([0, -1, -2]),
            ]
            loader = kata.MiniLoader(Recording(item[:count] for item in items), 3)
            check.equal(
                batches_of(loader),
                [tuple(fields[:count])],
                what=f"batches of items with {count} fields",
            )

    @pytest.mark.edge
    def test_datasets_are_asked_for_python_ints(self, kata):
        """dataset[i] gets an int, as from a DataLoader. A tensor can index a list, but
        not a dict, and it makes no file name.
        """
        for shuffle in (False, True):
            dataset = samples(5)
            batches_of(kata.MiniLoader(dataset, 2, shuffle=shuffle, generator=seeded()))
            kinds = {type(i).__name__ for i in dataset.asked}
            check.that(
                kinds == {"int"},
                f"dataset[i] was called with i of type {', '.join(sorted(kinds))}",
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("shuffle", [False, True])
    def test_an_empty_dataset_gives_no_batch(self, kata, shuffle):
        """A split can be empty. Then a pass has no batch, rather than one with nothing
        in it.
        """
        check.equal(
            batches_of(kata.MiniLoader(samples(0), 3, shuffle, generator=seeded())),
            [],
            what="batches",
        )


def ragged(dtype=torch.float32):
    """Sequences of 2, 4 and 1 steps, with a label each."""
    return [
        (torch.tensor([1, 2], dtype=dtype), 7),
        (torch.tensor([3, 0, 5, 6], dtype=dtype), 8),
        (torch.tensor([9], dtype=dtype), 9),
    ]


@st.composite
def ragged_batches(draw):
    """Whole numbers in sequences of different lengths, and a value to fill up with."""
    number = st.integers(1, 9)
    sequences = draw(
        st.lists(st.lists(number, min_size=1, max_size=4), min_size=1, max_size=4)
    )
    return [torch.tensor(sequence) for sequence in sequences], draw(
        st.sampled_from([0, -1])
    )


@pytest.mark.stretch
class TestPadCollate:
    def test_short_sequences_are_filled_up_at_the_end(self, kata):
        """Sequences of 2, 4 and 1 steps become (3, 4): each starts in column 0,
        zeros follow.
        """
        got = kata.pad_collate(ragged())
        check.that(
            isinstance(got, tuple) and len(got) == 3,
            f"expected a tuple of three, got {check.describe(got)}",
        )
        expected = torch.tensor([[1.0, 2, 0, 0], [3, 0, 5, 6], [9, 0, 0, 0]])
        unlike = {
            "padded in front": torch.tensor(
                [[0.0, 0, 1, 2], [3, 0, 5, 6], [0, 0, 0, 9]]
            ),
            "one step too long": torch.tensor(
                [[1.0, 2, 0, 0, 0], [3, 4, 5, 6, 0], [9, 0, 0, 0, 0]]
            ),
        }
        check.equal(got[0], expected, unlike=unlike, what="sequences")

    def test_lengths_and_labels_come_along(self, kata):
        """A padded sequence no longer shows how long it was: lengths (B,) says it. Both
        are int64.
        """
        _, lengths, labels = kata.pad_collate(ragged())
        check.equal(lengths, torch.tensor([2, 4, 1]), what="lengths")
        check.equal(labels, torch.tensor([7, 8, 9]), what="labels")

    @pytest.mark.parametrize(
        "dtype",
        [
            torch.int64,
            *(
                pytest.param(d, marks=pytest.mark.edge)
                for d in (torch.float64, torch.bfloat16)
            ),
        ],
        ids=str,
    )
    def test_the_dtype_is_kept(self, kata, dtype):
        """Tokens are integers and stay integers: an embedding cannot look up the
        token 3.0.
        """
        got, _, _ = kata.pad_collate(ragged(dtype))
        check.equal(
            got,
            torch.tensor([[1, 2, 0, 0], [3, 0, 5, 6], [9, 0, 0, 0]], dtype=dtype),
            what="sequences",
        )

    @given(case=ragged_batches())
    def test_cutting_the_padding_off_gives_the_sequences_back(self, kata, case):
        """Row i begins with sequence i, lengths[i] says where it ends, and from there
        on everything is pad_value. 0 may be a token like any other, so another value
        can be asked for.
        """
        sequences, value = case
        padded, lengths, _ = kata.pad_collate(
            [(sequence, 0) for sequence in sequences], pad_value=value
        )
        check.shape(
            padded, (len(sequences), max(map(len, sequences))), what="sequences"
        )
        for row, length, sequence in zip(
            padded, lengths.tolist(), sequences, strict=True
        ):
            check.equal(row[:length], sequence, what="a row up to its length")
            check.equal(
                row[length:],
                torch.full((len(row) - length,), value),
                what="the rest of the row",
            )

    def test_steps_may_have_dimensions(self, kata):
        """(T_i, 2, 3) becomes (B, T_max, 2, 3): time is padded, the features of a step
        are not.
        """
        sequences = [torch.arange(1.0, 6 * T + 1).reshape(T, 2, 3) for T in (3, 1)]
        got, lengths, _ = kata.pad_collate(
            [(sequence, 0) for sequence in sequences], pad_value=-1
        )
        expected = torch.stack(
            [sequences[0], torch.cat([sequences[1], -torch.ones(2, 2, 3)])]
        )
        check.equal(got, expected, what="sequences")
        check.equal(lengths, torch.tensor([3, 1]), what="lengths")

    def test_labels_may_be_tensors_without_dimensions(self, kata):
        """A label of shape () is one number, like an int: labels are (B,) and int64."""
        batch = [
            (torch.ones(2), torch.tensor(5)),
            (torch.ones(3), torch.tensor(6)),
            (torch.ones(1), torch.tensor(7)),
        ]
        _, _, labels = kata.pad_collate(batch)
        check.equal(labels, torch.tensor([5, 6, 7]), what="labels")

    def test_label_sequences_are_padded_with_minus_100(self, kata):
        """One label per step, as for tagging words: labels are filled up like the
        inputs, but with -100, the value that cross-entropy leaves out. Filled up with
        0, padding would count as class 0.
        """
        batch = [
            (torch.tensor([1.0, 2, 3]), torch.tensor([4, 5, 6])),
            (torch.tensor([7.0]), torch.tensor([8])),
        ]
        sequences, lengths, labels = kata.pad_collate(batch, pad_value=-1)
        unlike = {
            "pad_value taken for the labels, too": torch.tensor(
                [[4, 5, 6], [8, -1, -1]]
            ),
            "filled up with 0, which is a class": torch.tensor([[4, 5, 6], [8, 0, 0]]),
        }
        check.equal(
            labels,
            torch.tensor([[4, 5, 6], [8, -100, -100]]),
            unlike=unlike,
            what="labels",
        )
        check.equal(
            sequences, torch.tensor([[1.0, 2, 3], [7, -1, -1]]), what="sequences"
        )
        check.equal(lengths, torch.tensor([3, 1]), what="lengths")
        check.equal(
            kata.pad_collate(batch[:1])[2],
            torch.tensor([[4, 5, 6]]),
            what="labels of the first sample alone",
        )

    @pytest.mark.parametrize(
        "dtype",
        [torch.int64, pytest.param(torch.uint8, marks=pytest.mark.edge)],
        ids=str,
    )
    def test_the_labels_padding_can_be_chosen(self, kata, dtype):
        """label_pad_value fills up labels and nothing else. The result is int64."""
        short = (torch.ones(1, 2), torch.tensor([3], dtype=dtype))
        long = (torch.ones(2, 2), torch.tensor([4, 5], dtype=dtype))
        sequences, _, labels = kata.pad_collate([short, long], label_pad_value=-7)
        check.equal(labels, torch.tensor([[3, -7], [4, 5]]), what="labels")
        check.equal(
            sequences,
            torch.tensor([[[1.0, 1], [0, 0]], [[1, 1], [1, 1]]]),
            what="sequences",
        )

    def test_a_data_loader_can_use_it(self, kata):
        """DataLoader(collate_fn=pad_collate) calls it with a list of samples. Every
        batch is as wide as its own longest sequence.
        """
        loader = DataLoader(
            Recording(ragged()), batch_size=2, collate_fn=kata.pad_collate
        )
        got = [tuple(batch) for batch in loader]
        expected = [
            (
                torch.tensor([[1.0, 2, 0, 0], [3, 0, 5, 6]]),
                torch.tensor([2, 4]),
                torch.tensor([7, 8]),
            ),
            (torch.tensor([[9.0]]), torch.tensor([1]), torch.tensor([9])),
        ]
        check.equal(got, expected, what="batches")

    @pytest.mark.edge
    def test_label_sequences_of_one_step_stay_sequences(self, kata):
        """If every sequence happens to have one step, labels of shape (1,) still make
        (B, 1): the shape of a result must not depend on which samples meet in a batch.
        """
        batch = [
            (torch.tensor([1.0]), torch.tensor([4])),
            (torch.tensor([2.0]), torch.tensor([5])),
        ]
        for items in (batch, batch[:1]):
            _, _, labels = kata.pad_collate(items)
            expected = torch.tensor([[4], [5]])[: len(items)]
            check.equal(
                labels,
                expected,
                unlike={"taken for one label per sequence": expected.flatten()},
                what="labels",
            )

    @pytest.mark.edge
    def test_labels_of_one_number_may_have_any_integer_dtype(self, kata):
        """int32 labels, or ints among them, become int64 all the same."""
        batch = [
            (torch.ones(2), torch.tensor(5).int()),
            (torch.ones(3), torch.tensor(6)),
            (torch.ones(1), 7),
        ]
        for items, expected in (
            (batch[:1], [5]),
            (batch[:2], [5, 6]),
            (batch, [5, 6, 7]),
            (batch[::-1], [7, 6, 5]),
        ):
            _, _, labels = kata.pad_collate(items)
            check.equal(labels, torch.tensor(expected), what="labels")

    @pytest.mark.edge
    def test_a_sequence_may_be_empty(self, kata):
        """A text without words has length 0 and is all padding. If all are empty, T_max
        is 0.
        """
        got, lengths, _ = kata.pad_collate(
            [(torch.ones(0, 2), 3), (torch.ones(1, 2), 4)], pad_value=5
        )
        check.equal(got, torch.tensor([[[5.0, 5]], [[1, 1]]]), what="sequences")
        check.equal(lengths, torch.tensor([0, 1]), what="lengths")
        nothing = torch.empty(0, dtype=torch.int64)
        got, lengths, labels = kata.pad_collate(
            [(nothing, nothing), (nothing, nothing)]
        )
        check.equal(
            got,
            torch.empty(2, 0, dtype=torch.int64),
            what="sequences, all of them empty",
        )
        check.equal(lengths, torch.tensor([0, 0]), what="lengths")
        check.equal(labels, torch.empty(2, 0, dtype=torch.int64), what="labels")

    @pytest.mark.edge
    def test_the_result_has_memory_of_its_own(self, kata):
        """A transform that writes into a batch must not write into the dataset, not
        even if the batch is one sample that needs no padding. The samples stay as
        they are.
        """
        sequence, labels = torch.tensor([1.0, 2, 3]), torch.tensor([4, 5, 6])
        for batch in ([(sequence, labels)], [(sequence, labels), (sequence, labels)]):
            with check.unchanged(sequence=sequence, labels=labels):
                padded, _, padded_labels = kata.pad_collate(batch)
            check.independent(padded, sequence, what="the padded sequences")
            check.independent(padded_labels, labels, what="the padded labels")

    @pytest.mark.edge
    def test_an_empty_batch_is_refused(self, kata):
        """Without a sample the shape of a step and the dtype are unknown."""
        with check.raises(ValueError):
            kata.pad_collate([])


def numbered(start, end):
    """A dataset of the numbers start … end - 1."""
    return TensorDataset(torch.arange(start, end))


def numbers_in(loader):
    return [number for (batch,) in loader for number in batch.tolist()]


def three_loaders(kata, **options):
    """Loaders over 0 … 29, 100 … 110 and 200 … 204 in batches of 4."""
    return kata.make_loaders(
        numbered(0, 30), numbered(100, 111), numbered(200, 205), 4, **options
    )


@pytest.mark.stretch
class TestMakeLoaders:
    def test_one_loader_per_split(self, kata):
        """A dict with one DataLoader under each of "train", "val" and "test", with the
        batch size asked for.
        """
        loaders = three_loaders(kata)
        keys = sorted(loaders) if isinstance(loaders, dict) else check.describe(loaders)
        check.that(
            keys == ["test", "train", "val"],
            f"expected a dict with train, val and test, got {keys}",
        )
        for name, sizes in (
            ("train", [4] * 7 + [2]),
            ("val", [4, 4, 3]),
            ("test", [4, 1]),
        ):
            check.that(
                isinstance(loaders[name], DataLoader),
                f"{name}: expected a DataLoader, got {check.describe(loaders[name])}",
            )
            got = [len(batch) for (batch,) in loaders[name]]
            check.that(
                got == sizes, f"{name}: expected batches of {sizes} samples, got {got}"
            )

    def test_every_loader_reads_all_of_its_own_split(self, kata):
        """Nothing is dropped: a score over a part of the test set cannot be compared
        with other scores.
        """
        loaders = three_loaders(kata)
        for name, expected in (
            ("train", range(30)),
            ("val", range(100, 111)),
            ("test", range(200, 205)),
        ):
            check_each_once(numbers_in(loaders[name]), expected, f"samples of {name}")

    def test_training_data_come_in_a_new_order_each_epoch(self, kata):
        """Training batches are new combinations in every epoch, with a generator
        and without.
        """
        for generator in (None, seeded()):
            train = three_loaders(kata, generator=generator)["train"]
            first, second = numbers_in(train), numbers_in(train)
            check.that(
                first != sorted(first),
                "the training data of the first epoch are in order",
            )
            check.that(first != second, "the second epoch has the order of the first")

    def test_validation_and_test_data_stay_in_order(self, kata):
        """Predictions on val and test are compared with labels, with other models and
        with each other, which is simple in a fixed order. Shuffling gains nothing:
        nothing is learned there.
        """
        loaders = three_loaders(kata, generator=seeded())
        for name, expected in (("val", range(100, 111)), ("test", range(200, 205))):
            for number in (1, 2):
                check.that(
                    numbers_in(loaders[name]) == list(expected),
                    f"{name} is not in order in pass {number}",
                )

    def test_equal_generators_give_equal_epochs(self, kata):
        """An equally seeded generator gives the same training orders, epoch by epoch;
        another seed gives others.
        """
        epochs = []
        for seed in (3, 3, 4):
            train = three_loaders(kata, generator=seeded(seed))["train"]
            epochs.append([numbers_in(train), numbers_in(train)])
            torch.rand(5)
        check.equal(epochs[1], epochs[0], what="two epochs from an equal generator")
        check.that(
            epochs[2][0] != epochs[0][0],
            "generators of two different seeds gave the same order",
        )

    def test_workers_are_passed_on(self, kata):
        """num_workers is for all three loaders; 0 unless asked for."""
        for count in (0, 2):
            loaders = three_loaders(kata, **({"num_workers": count} if count else {}))
            got = {name: loader.num_workers for name, loader in loaders.items()}
            check.equal(
                got,
                dict.fromkeys(("train", "val", "test"), count),
                what="num_workers of each loader",
            )

    @pytest.mark.edge
    def test_reading_val_and_test_does_not_change_training(self, kata):
        """More validation must not change the training batches. A DataLoader draws a
        number from its generator at every pass, shuffled or not: a generator that is
        shared with val and test moves on when they are read.
        """
        alone, between = (three_loaders(kata, generator=seeded(3)) for _ in range(2))
        expected = [numbers_in(alone["train"]) for _ in range(3)]
        got = []
        for _ in range(3):
            numbers_in(between["val"]), numbers_in(between["test"])
            got.append(numbers_in(between["train"]))
        changed = [
            epoch for epoch in (1, 2, 3) if got[epoch - 1] != expected[epoch - 1]
        ]
        check.that(
            not changed,
            "val and test were read before each epoch: the orders of epochs "
            f"{changed} changed",
        )

    @pytest.mark.edge
    def test_without_a_generator_nothing_is_seeded(self, kata):
        """generator=None takes torch's global generator: other orders for each set of
        loaders, the same ones after the same torch.manual_seed.
        """
        torch.manual_seed(5)
        first, second = (numbers_in(three_loaders(kata)["train"]) for _ in range(2))
        check.that(
            first != second,
            "two sets of loaders have the same training order: nothing is drawn, or "
            "it is seeded",
        )
        torch.manual_seed(5)
        check.equal(
            numbers_in(three_loaders(kata)["train"]),
            first,
            what="training order after the same manual_seed",
        )


def vectors(n):
    """n samples of three float32 and one int64 label: 12 and 8 bytes."""
    return TensorDataset(torch.zeros(n, 3), torch.zeros(n, dtype=torch.int64))


class TestBatchReport:
    def test_five_samples_in_pairs(self, kata):
        """Five samples in batches of 2 are 2, 2 and 1: three batches, one sample in the
        last. A full batch has 2 · (12 + 8) bytes: inputs and labels are both in memory.
        """
        got = kata.batch_report(vectors(5), [2])
        unlike = {
            "only full batches counted": {
                2: {"batches": 2, "max_bytes": 40, "last_batch": 3}
            },
            "only inputs counted": {
                2: {"batches": 3, "max_bytes": 24, "last_batch": 1}
            },
        }
        expected = {2: {"batches": 3, "max_bytes": 40, "last_batch": 1}}
        check.equal(got, expected, unlike=unlike, what="report")

    def test_a_batch_size_above_the_number_of_samples(self, kata):
        """A batch cannot hold more samples than there are: 5 samples in batches of 8
        are one batch of 5, with the bytes of 5.
        """
        expected = {8: {"batches": 1, "max_bytes": 100, "last_batch": 5}}
        unlike = {
            "bytes of a batch that was never full": {
                8: {"batches": 1, "max_bytes": 160, "last_batch": 5}
            }
        }
        check.equal(
            kata.batch_report(vectors(5), [8]), expected, unlike=unlike, what="report"
        )
        expected = {3: {"batches": 1, "max_bytes": 20, "last_batch": 1}}
        check.equal(
            kata.batch_report(vectors(1), [3]),
            expected,
            what="report of a single sample",
        )

    def test_all_fields_count_with_their_own_dtype(self, kata):
        """(2, 5) float64 are 80 bytes, 3 uint8 are 3, one bool is 1: 84 per sample. Any
        dataset will do, as long as its items are tuples of tensors.
        """
        item = (
            torch.zeros(2, 5, dtype=torch.float64),
            torch.zeros(3, dtype=torch.uint8),
            torch.tensor(True),
        )
        expected = {3: {"batches": 3, "max_bytes": 252, "last_batch": 1}}
        unlike = {
            "four bytes for every element": {
                3: {"batches": 3, "max_bytes": 168, "last_batch": 1}
            }
        }
        check.equal(
            kata.batch_report(Recording([item] * 7), [3]),
            expected,
            unlike=unlike,
            what="report",
        )

    @given(
        n=st.integers(1, 12), sizes=st.sets(st.integers(1, 15), min_size=1, max_size=3)
    )
    def test_the_report_is_what_a_data_loader_makes(self, kata, n, sizes):
        """One entry per size, with the numbers that can be measured on the batches of a
        DataLoader. Where the size divides the number of samples, the last batch is
        full, and no batch holds more samples than there are.
        """
        expected = {}
        for size in sizes:
            batches = [
                sum(field.nbytes for field in batch)
                for batch in DataLoader(vectors(n), size)
            ]
            expected[size] = {
                "batches": len(batches),
                "max_bytes": max(batches),
                "last_batch": batches[-1] // 20,
            }
        check.equal(
            kata.batch_report(vectors(n), sorted(sizes)), expected, what="report"
        )


def reads(stream):
    """The numbers of a stream, up to a limit."""
    return list(itertools.islice(stream, ENOUGH))


def read_as_worker(stream, worker, count):
    """The numbers that worker number `worker` of `count` reads, by
    get_worker_info().
    """
    info = SimpleNamespace(id=worker, num_workers=count, seed=worker, dataset=stream)
    with mock.patch.object(torch_worker, "_worker_info", info):
        return reads(stream)


def read_by_processes(stream, count):
    """The numbers that a DataLoader reads with this many worker processes. Without
    fork, workers are simulated.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        return [
            number
            for worker in range(count)
            for number in read_as_worker(stream, worker, count)
        ]
    return reads(
        DataLoader(
            stream,
            batch_size=None,
            num_workers=count,
            multiprocessing_context="fork",
            timeout=8,
        )
    )


@st.composite
def shared_ranges(draw):
    """The start and end of a stream, and a number of workers that all get something
    to read.
    """
    workers, start = draw(st.integers(1, 5)), draw(st.integers(-3, 9))
    return start, start + draw(st.integers(workers, 12)), workers


class TestShardedRange:
    def test_without_workers_all_numbers_in_order(self, kata):
        """Outside a worker the stream is the whole range, from start up to the number
        before end, as Python ints.
        """
        stream = kata.ShardedRange(3, 9)
        check.that(
            isinstance(stream, IterableDataset),
            "it is not an IterableDataset: a DataLoader would index it",
        )
        check.equal(reads(stream), [3, 4, 5, 6, 7, 8], what="ShardedRange(3, 9)")
        check.equal(
            reads(kata.ShardedRange(-2, 1)), [-2, -1, 0], what="ShardedRange(-2, 1)"
        )

    def test_it_can_be_iterated_again(self, kata):
        """Every epoch is a new iter() with all the numbers, even after a pass that was
        left early.
        """
        stream = kata.ShardedRange(3, 7)
        next(iter(stream))
        for number in (1, 2):
            check.equal(reads(stream), [3, 4, 5, 6], what=f"pass {number}")

    @given(case=shared_ranges())
    def test_workers_read_every_number_once(self, kata, case):
        """Each worker has a copy of the dataset. If each reads all of it, every number
        comes as often as there are workers. Here get_worker_info() plays 1 to
        5 workers.
        """
        start, end, workers = case
        stream = kata.ShardedRange(start, end)
        read = [
            number
            for worker in range(workers)
            for number in read_as_worker(stream, worker, workers)
        ]
        everything = (
            workers > 1 and sorted(read) == sorted([*range(start, end)] * workers) != []
        )
        said = f"{workers} workers read {check.describe(read[:6])} and so on"
        check.that(not everything, said, like="every worker reads everything")
        check_each_once(
            read,
            range(start, end),
            f"numbers {start} … {end - 1} read by {workers} workers",
        )

    def test_the_work_is_shared_out(self, kata):
        """Workers are there to read at the same time. Twelve numbers for three workers
        are four for each, not twelve for one of them.
        """
        stream = kata.ShardedRange(20, 32)
        got = [len(read_as_worker(stream, worker, 3)) for worker in range(3)]
        check.that(
            got == [4, 4, 4],
            f"12 numbers, 3 workers: expected 4 for each, they read {got}",
        )

    def test_a_data_loader_makes_batches_of_it(self, kata):
        """A DataLoader walks through the stream and stacks: no sampler, no shuffling,
        no length needed.
        """
        got = list(
            itertools.islice(DataLoader(kata.ShardedRange(3, 10), batch_size=4), ENOUGH)
        )
        check.equal(
            got, [torch.tensor([3, 4, 5, 6]), torch.tensor([7, 8, 9])], what="batches"
        )

    @pytest.mark.timeout(30)
    def test_real_worker_processes_share_the_stream(self, kata):
        """Now with two worker processes of a DataLoader, which joins what they read:
        every number once, in two epochs.
        """
        stream = kata.ShardedRange(3, 10)
        for number in (1, 2):
            check_each_once(
                read_by_processes(stream, 2),
                range(3, 10),
                f"numbers 3 … 9 in epoch {number} of two workers",
            )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("start", "end", "workers"), [(5, 7, 4), (0, 1, 2), (-1, 2, 7), (4, 4, 3)]
    )
    def test_more_workers_than_numbers(self, kata, start, end, workers):
        """With two numbers and four workers, some workers read nothing. No number is
        read twice or lost.
        """
        stream = kata.ShardedRange(start, end)
        read = [
            number
            for worker in range(workers)
            for number in read_as_worker(stream, worker, workers)
        ]
        check_each_once(
            read,
            range(start, end),
            f"numbers of ShardedRange({start}, {end}) read by {workers} workers",
        )

    @pytest.mark.edge
    def test_passes_of_a_worker_are_alike(self, kata):
        """A worker's second pass over its copy of the dataset gives its part again, not
        a part of its part.
        """
        stream = kata.ShardedRange(0, 12)
        first, second = (read_as_worker(stream, 1, 3) for _ in range(2))
        check.equal(second, first, what="second pass of worker 1 of 3")
        check.equal(
            reads(stream), list(range(12)), what="a pass without workers after that"
        )

    @pytest.mark.edge
    def test_an_empty_stream_is_fine(self, kata):
        """end = start gives no numbers, and is no error."""
        check.equal(reads(kata.ShardedRange(4, 4)), [], what="ShardedRange(4, 4)")

    @pytest.mark.edge
    def test_the_end_is_not_before_the_start(self, kata):
        """A range that runs backwards is a mistake of the caller, found when the stream
        is made.
        """
        with check.raises(ValueError):
            kata.ShardedRange(5, 4)
