"""Specs of kata tinytorch/10: files, datasets, preprocessing, batches, and
loading ahead.
"""

import gzip
import struct
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

U8, I8, I16, I32, F32, F64 = 0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E


def idx(array, code=U8):
    """The bytes of an IDX file, number by number."""
    kind = {U8: "B", I8: "b", I16: "h", I32: "i", F32: "f", F64: "d"}[code]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + struct.pack(f">{array.size}{kind}", *array.ravel().tolist())


def written(folder, name, content):
    """A file with this content, gzipped if its name says so."""
    path = Path(folder) / name
    path.write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    return path


def pixels(*shape):
    """Random pixels 0 … 255."""
    return np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)


class TestReadIdx:
    def test_images_and_labels_as_they_were_written(self, kata, tmp_path):
        """The header says how many dimensions there are, then one size for each, of
        four bytes, the largest byte first. The rest are the elements, the last
        dimension first.
        """
        for name, array in (("images", pixels(3, 4, 5)), ("labels", pixels(7))):
            check.equal(
                kata.read_idx(written(tmp_path, name, idx(array))), array, what=name
            )

    def test_the_example_of_the_docstring(self, kata, tmp_path):
        """0 0 8 1 is the start of a uint8 array with one dimension, 0 0 0 2 its size,
        and 7 9 are its elements.
        """
        path = written(tmp_path, "two", bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
        check.equal(kata.read_idx(str(path)), np.array([7, 9], dtype=np.uint8))

    def test_gzipped_files_are_unpacked(self, kata, tmp_path):
        """MNIST is published gzipped. The name tells: it ends in ".gz"."""
        array = pixels(2, 3, 4)
        check.equal(kata.read_idx(written(tmp_path, "images.gz", idx(array))), array)
        check.equal(
            kata.read_idx(str(written(tmp_path, "again.gz", idx(array)))),
            array,
            what="with a path as text",
        )

    def test_sizes_are_big_endian(self, kata, tmp_path):
        """60,000 is 0 0 234 96 in the file, the largest byte first. Most processors
        have it the other way round, so the byte order must be said.
        """
        array = pixels(1000)
        check.equal(
            kata.read_idx(written(tmp_path, "labels", idx(array))),
            array,
            what="1000 labels",
        )

    @given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4))
    def test_reading_undoes_writing(self, kata, shape):
        """For any number of dimensions."""
        array = pixels(*shape)
        with tempfile.TemporaryDirectory() as folder:
            check.equal(kata.read_idx(written(folder, "array", idx(array))), array)

    @pytest.mark.edge
    @pytest.mark.parametrize("code", [I8, I16, I32, F32, F64])
    def test_every_type_code(self, kata, tmp_path, code):
        """Elements are big-endian, too. The result has the byte order of this machine:
        not all functions take another one.
        """
        dtype = np.dtype({I8: "i1", I16: "i2", I32: "i4", F32: "f4", F64: "f8"}[code])
        array = np.array([[-3, 100, 7], [0, -128, 127]], dtype=dtype)
        got = kata.read_idx(written(tmp_path, "array", idx(array, code)))
        check.that(
            isinstance(got, np.ndarray), f"got {check.describe(got)}, expected an array"
        )
        check.that(
            got.dtype.isnative,
            f"the dtype is {got.dtype.str}, which is not this machine's byte order",
        )
        check.equal(got, array)

    @pytest.mark.edge
    def test_the_array_can_be_written_to(self, kata, tmp_path):
        """np.frombuffer looks at bytes that cannot change. A caller may want to work
        in place.
        """
        got = kata.read_idx(written(tmp_path, "array", idx(pixels(2, 3))))
        check.that(got.flags.writeable, "the array is read-only")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"\x89PNG" + bytes(20), id="another kind of file"),
            pytest.param(b"\0\0\x07\x01\0\0\0\x02ab", id="an unknown type code"),
            pytest.param(b"", id="an empty file"),
            pytest.param(b"\0\0\x08\x02\0\0\0\x02\0\0", id="a header that is cut off"),
            pytest.param(b"\0\0\x08\x01\0\0\0\x04abc", id="a body that is cut off"),
            pytest.param(b"\0\0\x08\x01\0\0\0\x02abc", id="one byte too many"),
            pytest.param(
                b"\0\0\x0b\x01\0\0\0\x02ab", id="half of the bytes that two int16 need"
            ),
        ],
    )
    def test_a_broken_file_is_named(self, kata, tmp_path, content):
        """A download that stopped halfway must not become a smaller data set. The
        message says which file it is.
        """
        path = written(tmp_path, "train-images-of-mine", content)
        with check.raises(ValueError, "train-images-of-mine"):
            kata.read_idx(path)


class TestArrayDataset:
    def test_a_sample_is_an_image_and_its_label(self, kata):
        """dataset[i] is the pair (images[i], labels[i]), and len(dataset) says how many
        there are.
        """
        images, labels = pixels(6, 2, 3), np.array([5, 3, 8, 0, 1, 9])
        dataset = kata.ArrayDataset(images, labels)
        check.equal(len(dataset), 6, what="len(dataset)")
        for i in (4, 0):
            got = dataset[i]
            pair = isinstance(got, (tuple, list)) and len(got) == 2
            check.that(
                pair,
                f"dataset[{i}] is {check.describe(got)}, expected the pair (image, "
                "label)",
            )
            check.equal(got[0], images[i], what=f"image {i}")
            check.that(
                np.ndim(got[1]) == 0,
                f"label {i} is {check.describe(got[1])}, expected one number",
            )
            check.equal(int(got[1]), int(labels[i]), what=f"label {i}")

    def test_the_transform_changes_the_image(self, kata):
        """The image passes through the transform, the label does not."""
        dataset = kata.ArrayDataset(
            np.array([[1.0], [2.0]]),
            np.array([10, 20]),
            transform=lambda image: image * 3,
        )
        image, label = dataset[1]
        check.close(
            image,
            np.array([6.0]),
            what="image",
            unlike={"not transformed": np.array([2.0])},
        )
        check.equal(int(label), 20, what="label")

    def test_the_transform_runs_at_each_access(self, kata):
        """A random transform shows another picture in each epoch. One that ran up
        front, for all images at once, or that is remembered, would show the same.
        """
        calls = []
        images = np.arange(5.0)
        dataset = kata.ArrayDataset(
            images,
            np.arange(5),
            transform=lambda image: calls.append(float(image)) or image,
        )
        check.that(
            not calls,
            f"the transform ran {len(calls)} times before any sample was asked for",
        )
        for i in (3, 1, 3):
            dataset[i]
        check.equal(
            calls,
            [3.0, 1.0, 3.0],
            what="images that were transformed for samples 3, 1 and 3",
        )

    def test_a_loop_over_the_dataset_ends(self, kata):
        """Python asks for 0, 1, 2 … until an IndexError says that there are no more."""
        dataset = kata.ArrayDataset(np.arange(4.0), np.array([7, 8, 9, 6]))
        seen = []
        for _, label in dataset:
            seen.append(int(label))
            check.that(
                len(seen) <= 4,
                "a loop over 4 samples does not end: index 4 gave another one",
            )
        check.equal(seen, [7, 8, 9, 6], what="labels in a loop over the dataset")

    @pytest.mark.edge
    def test_lengths_must_agree(self, kata):
        """A label too few most likely means that the wrong file was read."""
        with check.raises(ValueError, 5, 4):
            kata.ArrayDataset(pixels(5, 2, 2), np.arange(4))


def mnist_files(folder, ending=""):
    """Four files as MNIST has them, of 5 training and 3 test images. Their arrays,
    by name.
    """
    arrays = {
        "train-images-idx3": pixels(5, 4, 4),
        "train-labels-idx1": np.array([3, 1, 4, 1, 5]),
    }
    arrays |= {
        "t10k-images-idx3": 255 - pixels(3, 4, 4),
        "t10k-labels-idx1": np.array([9, 2, 6]),
    }
    for name, array in arrays.items():
        written(folder, f"{name}-ubyte{ending}", idx(array))
    return arrays


def all_of(dataset):
    """The images and the labels of a dataset, in two arrays."""
    samples = [dataset[i] for i in range(len(dataset))]
    for _, label in samples[:1]:
        check.that(
            np.ndim(label) == 0,
            f"the label of a sample is {check.describe(label)}, expected one number",
        )
    return np.stack([image for image, _ in samples]), np.array(
        [int(label) for _, label in samples]
    )


class TestMNIST:
    @pytest.mark.parametrize("train", [True, False])
    def test_training_and_test_files(self, kata, tmp_path, train):
        """`train` says which two of the four files are read: those that begin with
        train or with t10k.
        """
        arrays = mnist_files(tmp_path)
        wanted, other = ("train", "t10k") if train else ("t10k", "train")
        dataset = kata.MNIST(tmp_path, train=train)
        unlike = {f"the {other} files": len(arrays[f"{other}-labels-idx1"])}
        check.equal(
            len(dataset),
            len(arrays[f"{wanted}-labels-idx1"]),
            what="len(dataset)",
            unlike=unlike,
        )
        images, labels = all_of(dataset)
        check.equal(images, arrays[f"{wanted}-images-idx3"], what="images")
        check.equal(labels, arrays[f"{wanted}-labels-idx1"], what="labels")

    def test_gzipped_files_are_found(self, kata, tmp_path):
        """They are published as train-images-idx3-ubyte.gz and so on. Training files
        are the default, and the folder may be given as text.
        """
        arrays = mnist_files(tmp_path, ".gz")
        check.equal(
            all_of(kata.MNIST(str(tmp_path)))[0],
            arrays["train-images-idx3"],
            what="images",
        )
        mnist_files(tmp_path)
        for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"):
            (tmp_path / name).unlink()
        check.equal(
            all_of(kata.MNIST(tmp_path))[1],
            arrays["train-labels-idx1"],
            what="labels, the only .gz",
        )

    def test_labels_are_int64(self, kata, tmp_path):
        """The file has bytes, and losses index with the labels: int64 is the dtype that
        indices have. Images stay bytes, an eighth of the memory.
        """
        mnist_files(tmp_path)
        image, label = kata.MNIST(tmp_path)[2]
        check.equal(str(np.asarray(label).dtype), "int64", what="dtype of a label")
        check.equal(str(image.dtype), "uint8", what="dtype of an image")

    def test_it_is_an_array_dataset(self, kata, tmp_path):
        """Everything that an ArrayDataset can do comes with it: the transform, too."""
        arrays = mnist_files(tmp_path)
        dataset = kata.MNIST(tmp_path, transform=lambda image: image[:2])
        check.that(isinstance(dataset, kata.ArrayDataset), "MNIST is no ArrayDataset")
        check.equal(
            dataset[1][0],
            arrays["train-images-idx3"][1, :2],
            what="image, of which the transform keeps 2 rows",
        )

    @pytest.mark.edge
    def test_a_missing_file_is_named(self, kata, tmp_path):
        """The message says what is to be downloaded. The other files being there does
        not help.
        """
        mnist_files(tmp_path)
        (tmp_path / "t10k-labels-idx1-ubyte").unlink()
        with check.raises(FileNotFoundError, "t10k-labels-idx1-ubyte"):
            kata.MNIST(tmp_path, train=False)


class TestNormalize:
    def test_shift_and_scale(self, kata):
        """(x − mean) / std, in an array of any shape."""
        x = np.array([[4.0, 10.0, -2.0]])
        unlike = {
            "only shifted": x - 4,
            "the order swapped: x / std − mean": x / 3 - 4,
            "by x's own mean and deviation": (x - 4) / 24**0.5,
        }
        check.close(
            kata.Normalize(4.0, 3.0)(x), np.array([[0.0, 2.0, -2.0]]), unlike=unlike
        )

    def test_bytes_do_not_wrap(self, kata):
        """3 − 8 is 251 in uint8, without a warning. Convert to float first."""
        x = np.array([3, 8, 16], dtype=np.uint8)
        unlike = {
            "the difference in uint8: 3 − 8 wrapped around to 251": np.array(
                [251 / 4, 0.0, 2.0]
            )
        }
        check.close(kata.Normalize(8, 4)(x), np.array([-1.25, 0.0, 2.0]), unlike=unlike)

    @pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
    def test_the_result_is_float32(self, kata, dtype):
        """The weights are float32. float64 would double the memory of every layer after
        it. The statistics of `fit` may be float64 numbers of NumPy, which carry their
        dtype into a sum.
        """
        x = pixels(3, 4).astype(dtype)
        for normalize in (kata.Normalize(100.0, 50.0), kata.Normalize.fit(x)):
            check.equal(str(normalize(x).dtype), "float32", what="dtype")

    def test_fit_takes_one_mean_and_one_deviation_of_all_pixels(self, kata):
        """The pixels 0, 2, 4, 6 have mean 3, and their squared distances from it the
        mean 5. A mean per image would take away how bright the image is.
        """
        images = np.array([[[0.0, 2.0]], [[4.0, 6.0]]])
        normalize = kata.Normalize.fit(images)
        check.that(
            isinstance(normalize, kata.Normalize),
            f"fit gives {check.describe(normalize)}, no Normalize",
        )
        check.close(float(np.mean(normalize.mean)), 3.0, what="mean")
        unlike = {
            "divided by n − 1": (20 / 3) ** 0.5,
            "the variance": 5.0,
            "each image by itself": 1.0,
        }
        unlike["each pixel by itself, over the images"] = 2.0
        check.close(float(np.mean(normalize.std)), 5**0.5, what="std", unlike=unlike)
        unlike = {"statistics of each image": np.array([[[-1.0, 1.0]], [[-1.0, 1.0]]])}
        check.close(
            normalize(images),
            (images - 3) / 5**0.5,
            what="images that were fitted",
            unlike=unlike,
        )

    def test_fitted_images_have_mean_0_and_deviation_1(self, kata):
        """A Normalize that was fitted to some images keeps their statistics when it is
        applied to others.
        """
        images, others = pixels(20, 5, 5), pixels(4, 5, 5) // 2
        normalize = kata.Normalize.fit(images)
        check.close(
            float(normalize(images).mean()),
            0.0,
            atol=1e-5,
            what="mean of the normalised images",
        )
        check.close(
            float(normalize(images).std()),
            1.0,
            rtol=1e-5,
            what="deviation of the normalised images",
        )
        expected = (others - images.mean()) / images.std()
        check.close(normalize(others), expected, what="other images")

    @pytest.mark.edge
    @pytest.mark.parametrize("std", [0.0, -1.0])
    def test_std_must_be_positive(self, kata, std):
        """Images of one colour have the deviation 0, and dividing by it makes NaN
        of everything.
        """
        with check.raises(ValueError):
            kata.Normalize(0.0, std)


class TestCompose:
    def test_the_first_function_runs_first(self, kata):
        """Compose([f, g])(x) is g(f(x)): the list reads like steps of a recipe."""
        both = kata.Compose([lambda x: x + 1, lambda x: x * 10])
        check.equal(
            both(2),
            30,
            unlike={
                "the last function first": 21,
                "each function is given x itself": 20,
            },
        )

    def test_any_number_of_functions(self, kata):
        """With none, x comes back as it is. The result can be used as often as
        you like.
        """
        check.equal(kata.Compose([])(7), 7, what="no functions")
        three = kata.Compose([str, str.strip, len])
        check.equal([three(12345), three(678)], [5, 3], what="two calls of one Compose")


class TestTrainTestSplit:
    @pytest.mark.parametrize(
        ("n", "fraction", "test"),
        [(10, 0.2, 2), (10, 0.23, 2), (10, 0.28, 3), (7, 0.5, 4), (50, 0.06, 3)],
    )
    def test_each_index_is_in_one_of_the_two(self, kata, n, fraction, test):
        """A sample in both sets would be tested after it was learned. The test set has
        round(n · fraction).
        """
        first, second = kata.train_test_split(n, fraction, rng=np.random.default_rng(1))
        unlike = {
            "train and test exchanged": (test, n - test),
            "rounded down": (n - test + 1, test - 1),
        }
        unlike["rounded up"] = (n - test - 1, test + 1)
        check.equal(
            (len(first), len(second)),
            (n - test, test),
            what="numbers of (train, test)",
            unlike=unlike,
        )
        check.equal(
            sorted(int(i) for i in [*first, *second]),
            list(range(n)),
            what="all indices, sorted",
        )

    def test_a_fifth_by_default(self, kata):
        """Indices come as integer arrays, so that `images[train]` works."""
        train, test = kata.train_test_split(15, rng=np.random.default_rng(1))
        check.equal((len(train), len(test)), (12, 3), what="numbers of (train, test)")
        for part in (train, test):
            right = isinstance(part, np.ndarray) and part.dtype.kind in "iu"
            check.that(
                right, f"got {check.describe(part)}, expected an array of integers"
            )

    def test_every_index_may_be_tested(self, kata):
        """Data often come sorted, and the last fifth of sorted data is one class. In 30
        random splits every index is in the test set at least once.
        """
        rng = np.random.default_rng(1)
        tested = {
            int(i) for _ in range(30) for i in kata.train_test_split(8, 0.5, rng=rng)[1]
        }
        unlike = {
            "the first half, each time": list(range(4)),
            "the last half, each time": list(range(4, 8)),
        }
        check.equal(
            sorted(tested),
            list(range(8)),
            what="indices that were ever in the test set",
            unlike=unlike,
        )

    def test_equal_seeds_give_equal_splits(self, kata):
        """The generator decides, the one that is given or the framework's own."""
        from tinytorch.setup import manual_seed

        once, again, other = (
            kata.train_test_split(40, rng=np.random.default_rng(seed))
            for seed in (1, 1, 2)
        )
        check.equal(again[1], once[1], what="test indices with the same seed")
        check.that(set(other[1]) != set(once[1]), "seeds 1 and 2 give the same split")
        manual_seed(3)
        first, second = kata.train_test_split(40), kata.train_test_split(40)
        manual_seed(3)
        check.equal(
            kata.train_test_split(40)[1],
            first[1],
            what="test indices after manual_seed, without an rng",
        )
        check.that(
            set(first[1]) != set(second[1]), "without an rng each split is the same"
        )


def raw_digits():
    """The 1797 digits as rows of 64 pixels 0 … 16, each with its label behind it."""
    from tinytorch.data import load_digits

    images, labels = load_digits()
    return np.column_stack([images.reshape(-1, 64), labels]).astype(np.int64)


class TestDigitsDatasets:
    def test_samples_are_float32_images_with_a_channel(self, kata):
        """One channel of 8 × 8 pixels, as a convolution wants it. A fifth of the 1797
        digits is for tests.
        """
        train, test = kata.digits_datasets(rng=np.random.default_rng(0))
        check.equal((len(train), len(test)), (1438, 359), what="numbers of samples")
        for name, dataset in (("train", train), ("test", test)):
            image, _ = dataset[0]
            check.equal(image.shape, (1, 8, 8), what=f"shape of a {name} image")
            check.equal(str(image.dtype), "float32", what=f"dtype of a {name} image")

    def test_the_training_images_alone_are_fitted(self, kata):
        """Training pixels have mean 0 and deviation 1. Statistics of all images would
        contain the test set, which is there to be unseen. Here three quarters of the
        images are for tests, so that it shows.
        """
        train, _ = kata.digits_datasets(
            test_fraction=0.75, rng=np.random.default_rng(0)
        )
        images, _ = all_of(train)
        check.close(
            float(images.mean()), 0.0, atol=2e-5, what="mean of the training pixels"
        )
        check.close(
            float(images.std()),
            1.0,
            atol=2e-5,
            rtol=0,
            what="deviation of the training pixels",
        )

    def test_both_sets_are_normalised_alike(self, kata):
        """Paper and ink, the pixels 0 and 16, must look the same to the network in both
        sets. With statistics of its own the test set would look different.
        """
        train, test = kata.digits_datasets(
            test_fraction=0.05, rng=np.random.default_rng(0)
        )
        (seen, _), (unseen, _) = all_of(train), all_of(test)
        own = (unseen - unseen.mean()) / unseen.std()
        unlike = {"the mean and deviation of the test images": float(own.min())}
        check.close(
            float(unseen.min()),
            float(seen.min()),
            what="the pixel 0 in a test image",
            unlike=unlike,
        )
        check.close(
            float(unseen.max()), float(seen.max()), what="the pixel 16 in a test image"
        )

    def test_each_digit_is_in_one_set_with_its_label(self, kata):
        """Scaled back to 0 … 16, both sets together are the 1797 digits, each with
        its label.
        """
        found = []
        for dataset in kata.digits_datasets(rng=np.random.default_rng(0)):
            images, labels = all_of(dataset)
            rows = (images - images.min()) / (images.max() - images.min()) * 16
            found.append(
                np.column_stack(
                    [np.rint(rows).reshape(-1, 64).astype(np.int64), labels]
                )
            )
        got, expected = (
            rows[np.lexsort(rows.T)] for rows in (np.concatenate(found), raw_digits())
        )
        check.equal(got, expected, what="64 pixels and the label of each digit, sorted")

    def test_the_seed_decides(self, kata):
        """Equal seeds give equal sets, so that two runs can be compared."""
        first, second, other = (
            all_of(
                kata.digits_datasets(
                    test_fraction=0.01, rng=np.random.default_rng(seed)
                )[1]
            )[1]
            for seed in (4, 4, 5)
        )
        check.equal(second, first, what="test labels with the same seed")
        check.that(
            not np.array_equal(first, other), "seeds 4 and 5 give the same test set"
        )


class TestCollate:
    def test_images_and_labels_are_stacked(self, kata):
        """Sample i becomes row i: images (B, …), labels (B,)."""
        images, labels = (
            np.random.default_rng(0).normal(size=(3, 1, 2, 5)).astype(np.float32),
            [4, 0, 9],
        )
        batch = kata.collate(
            [(image, label) for image, label in zip(images, labels, strict=True)]
        )
        check.equal(len(batch), 2, what="number of parts: (images, labels)")
        check.equal(check.data(batch[0], what="images"), images, what="images")
        check.equal(
            check.data(batch[1], what="labels"), np.array(labels), what="labels"
        )

    @pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, int])
    def test_labels_are_int64(self, kata, kind):
        """Whatever integers they were: the loss uses them as indices."""
        samples = [(np.zeros(2, dtype=np.float32), kind(label)) for label in (1, 2)]
        check.equal(
            check.data(kata.collate(samples)[1]),
            np.array([1, 2], dtype=np.int64),
            what="labels",
        )

    @pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
    def test_images_keep_their_dtype(self, kata, dtype):
        """The dataset has decided it. A batch of one sample is a batch, too."""
        image = np.ones((2, 3), dtype=dtype)
        check.equal(
            check.data(kata.collate([(image, 5)])[0]), image[None], what="images"
        )


class Recorded:
    """A dataset of the numbers 0 … n − 1 that writes down which samples were
    asked for.
    """

    def __init__(self, n):
        self.n, self.asked = n, []

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if not 0 <= index < self.n:
            raise IndexError(index)
        self.asked.append(int(index))
        return int(index)


def numbers(kata, n, batch_size, **options):
    """A loader whose batches are lists of numbers."""
    return kata.DataLoader(Recorded(n), batch_size, collate_fn=list, **options)


def in_order(n, batch_size, drop_last=False):
    """The numbers below n in batches."""
    batches = [
        list(range(n))[start : start + batch_size] for start in range(0, n, batch_size)
    ]
    return [b for b in batches if len(b) == batch_size or not drop_last]


@st.composite
def loads(draw):
    """A number of samples, a batch size, and whether an incomplete batch is dropped."""
    return draw(st.integers(0, 20)), draw(st.integers(1, 8)), draw(st.booleans())


class TestDataLoaderLen:
    def test_an_incomplete_batch_counts(self, kata):
        """10 samples in batches of 4 are 4 + 4 + 2."""
        check.equal(
            len(numbers(kata, 10, 4)),
            3,
            what="10 samples, batch size 4",
            unlike={"rounded down": 2},
        )
        check.equal(
            len(numbers(kata, 12, 4)),
            3,
            what="12 samples, batch size 4",
            unlike={"one too many": 4},
        )

    def test_unless_it_is_dropped(self, kata):
        """With drop_last all batches have one size."""
        check.equal(
            len(numbers(kata, 10, 4, drop_last=True)),
            2,
            what="10 samples, batch size 4",
        )
        check.equal(
            len(numbers(kata, 3, 4, drop_last=True)), 0, what="3 samples, batch size 4"
        )

    @given(case=loads())
    def test_as_many_as_slices(self, kata, case):
        """For any numbers, as many as there are slices of the indices."""
        n, batch_size, drop_last = case
        got = len(numbers(kata, n, batch_size, drop_last=drop_last))
        what = f"{n} samples, batch_size={batch_size}, drop_last={drop_last}"
        check.equal(got, len(in_order(n, batch_size, drop_last)), what=what)


class TestDataLoaderIter:
    @given(case=loads())
    def test_every_sample_once_in_order(self, kata, case):
        """Batch by batch, without shuffle in order. The last batch is shorter if the
        numbers do not fit, or left out with drop_last.
        """
        n, batch_size, drop_last = case
        got = list(numbers(kata, n, batch_size, drop_last=drop_last))
        unlike = {
            "the incomplete batch dropped": in_order(n, batch_size, True),
            "the incomplete batch not dropped": in_order(n, batch_size, False),
        }
        what = f"batches of {n} samples, batch_size={batch_size}, drop_last={drop_last}"
        check.equal(got, in_order(n, batch_size, drop_last), what=what, unlike=unlike)

    def test_a_batch_is_what_collate_makes(self, kata):
        """Images and labels as Tensors. Each image still has its own label after
        shuffling: image i is full of i, and its label is i.
        """
        images = np.repeat(np.arange(10, dtype=np.float32), 6).reshape(10, 2, 3)
        loader = kata.DataLoader(
            kata.ArrayDataset(images, np.arange(10)),
            4,
            shuffle=True,
            rng=np.random.default_rng(0),
        )
        sizes = []
        for x, y in loader:
            x, y = check.data(x, what="images"), check.data(y, what="labels")
            sizes.append(x.shape)
            check.equal(
                y,
                x[:, 0, 0].astype(np.int64),
                what="labels, against what the images show",
            )
        check.equal(
            sizes, [(4, 2, 3), (4, 2, 3), (2, 2, 3)], what="shapes of the images"
        )

    def test_each_epoch_has_a_new_order(self, kata):
        """Batches that were always the same would let the network learn their company.
        Every epoch is complete, and one that was left early does not shorten the next.
        """
        loader = numbers(kata, 30, 7, shuffle=True, rng=np.random.default_rng(0))
        next(iter(loader))
        first, second = ([i for batch in loader for i in batch] for _ in range(2))
        for name, epoch in (("first", first), ("second", second)):
            check.equal(
                sorted(epoch),
                list(range(30)),
                what=f"samples of the {name} epoch, sorted",
            )
            check.that(
                epoch != list(range(30)),
                f"the {name} epoch is in order: nothing was shuffled",
            )
        check.that(
            first != second, "two epochs have the same order: it was drawn once for all"
        )

    def test_shuffling_mixes_samples_and_not_batches(self, kata):
        """A batch of 5 of 40 samples is hardly ever five neighbours. Shuffled batches
        of neighbours would still be sorted data, of one class each.
        """
        batches = list(numbers(kata, 40, 5, shuffle=True, rng=np.random.default_rng(0)))
        spread = [max(batch) - min(batch) for batch in batches]
        check.that(
            max(spread) > 4,
            f"every batch consists of neighbours, the first of {batches[0]}",
        )

    def test_the_seed_decides_the_order(self, kata):
        """Equal seeds give equal epochs, and different seeds others. Without an rng the
        framework's own generator draws, which `manual_seed` starts anew.
        """
        from tinytorch.setup import manual_seed

        def epochs(rng):
            loader = numbers(kata, 20, 20, shuffle=True, rng=rng)
            return [batch for _ in range(2) for batch in loader]

        first, again, other = (
            epochs(np.random.default_rng(seed)) for seed in (1, 1, 2)
        )
        check.equal(again, first, what="two epochs with the same seed")
        check.that(first != other, "seeds 1 and 2 give the same order")
        manual_seed(5)
        first = epochs(None)
        manual_seed(5)
        check.equal(epochs(None), first, what="two epochs after the same manual_seed")

    def test_samples_are_read_batch_by_batch(self, kata):
        """The first batch of 4 needs 4 samples of 100. A loader that reads all of them
        first needs memory for all, and the first step waits for the last sample.
        """
        data = Recorded(100)
        batches = iter(
            kata.DataLoader(
                data, 4, shuffle=True, rng=np.random.default_rng(0), collate_fn=list
            )
        )
        next(batches)
        asked = len(data.asked)
        check.that(
            4 <= asked <= 8, f"{asked} samples were read for the first batch of 4"
        )

    @pytest.mark.edge
    def test_two_loops_at_once(self, kata):
        """Each loop has a place of its own, as with a list: `zip(loader, loader)` gives
        every batch twice.
        """
        loader = numbers(kata, 7, 3)
        expected = in_order(7, 3)
        check.equal(
            [list(pair) for pair in zip(loader, loader)], [[b, b] for b in expected]
        )


def in_time(fn, seconds=2.0):
    """The result of fn(), or a failure if it waits for ever: it runs in a thread that
    can be left behind.
    """
    outcome = {}

    def run():
        try:
            outcome["value"] = fn()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    check.that(
        not thread.is_alive(),
        f"the consumer still waits for an item after {seconds:g} s",
    )
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


def until(condition, seconds=2.0):
    """Wait until the condition holds, and say whether it does."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    return condition()


def counted(n, read):
    """The numbers below n. Each is written to `read` when it is asked for."""
    for i in range(n):
        read.append(i)
        yield i


def failing():
    """Two items, then an error."""
    yield from (10, 20)
    raise KeyError("the third item")


def closed(iterator):
    """Close an iterator, as leaving a loop over a generator does."""
    getattr(iterator, "close", lambda: None)()


@pytest.mark.stretch
class TestPrefetch:
    def test_the_same_items_in_the_same_order(self, kata):
        """None and False are items like any other. The loop ends after the last one."""
        for items in ([3, 1, None, 2, False, 0], [], list(range(50))):
            got = in_time(lambda items=items: list(kata.prefetch(iter(items))))
            unlike = {
                "an item that is None taken for the end": [3, 1],
                "None left out": [3, 1, 2, False, 0],
            }
            check.equal(got, items, what=f"{len(items)} items", unlike=unlike)

    def test_any_buffer_size(self, kata):
        """The buffer bounds what waits. Every item still comes."""
        for size in (1, 3, 100):
            got = in_time(
                lambda size=size: list(kata.prefetch(range(20), buffer_size=size))
            )
            check.equal(got, list(range(20)), what=f"items with buffer_size {size}")

    def test_it_reads_ahead_while_the_consumer_is_busy(self, kata):
        """After the first item was handed out, the thread goes on by itself and fills
        the buffer.
        """
        read = []
        iterator = iter(kata.prefetch(counted(20, read), 3))
        in_time(lambda: next(iterator))
        ahead = until(lambda: len(read) >= 4)
        slip = (
            "nothing is read ahead: no thread fills the buffer"
            if len(read) == 1
            else ""
        )
        check.that(
            ahead,
            f"{len(read)} items were read when 1 was handed out, expected 4 or 5",
            like=slip,
        )
        closed(iterator)

    @pytest.mark.parametrize("size", [1, 4])
    def test_it_does_not_read_everything(self, kata, size):
        """The buffer has a bound: batches that wait take memory. Beyond the item that
        was handed out there are at most `buffer_size`, and one in the thread's hands.
        """
        read = []
        iterator = iter(kata.prefetch(counted(500, read), size))
        in_time(lambda: next(iterator))
        until(lambda: len(read) > size + 2, seconds=0.05)
        check.that(
            len(read) <= size + 2,
            f"{len(read)} of 500 items were read when 1 was handed out, for a buffer "
            f"of {size}",
        )
        closed(iterator)

    def test_items_are_read_in_another_thread(self, kata):
        """Only then can loading and computing overlap."""
        threads = []
        source = (threads.append(threading.get_ident()) or i for i in range(3))

        def consumer():
            list(kata.prefetch(source))
            return threading.get_ident()

        check.that(
            in_time(consumer) not in threads,
            "the items were read in the consumer's own thread",
        )

    @pytest.mark.edge
    def test_an_exception_reaches_the_consumer(self, kata):
        """After the items before it. A thread that dies silently leaves the consumer
        waiting for ever, or, worse, with a shorter epoch.
        """
        items = []

        def consumer():
            for item in kata.prefetch(failing()):
                items.append(item)

        try:
            in_time(consumer, 1.0)
        except KeyError:
            pass
        else:
            check.that(
                False,
                "the iterable raised a KeyError, and the consumer's loop ended "
                "without it",
            )
        check.equal(items, [10, 20], what="items before the exception")

    @pytest.mark.edge
    def test_leaving_early_ends_the_thread(self, kata):
        """A `break` closes the iterator. A thread that goes on waiting for room keeps
        the dataset and its batches alive.
        """
        before = set(threading.enumerate())
        iterator = iter(kata.prefetch(counted(500, []), 2))
        in_time(lambda: next(iterator))
        closed(iterator)
        ended = until(lambda: not set(threading.enumerate()) - before)
        check.that(ended, "the thread is still there after the consumer has left")

    @pytest.mark.edge
    def test_an_empty_buffer_is_refused_at_the_call(self, kata):
        """queue.Queue(0) has no bound at all. The error comes at the call, where the
        mistake is, not at the first item.
        """
        with check.raises(ValueError):
            kata.prefetch(range(3), buffer_size=0)


@st.composite
def pipelines(draw):
    """Seconds to load and to compute, and a number of batches."""
    seconds = st.integers(0, 12).map(lambda n: n / 4)
    return draw(seconds), draw(seconds), draw(st.integers(1, 6))


def simulated(load, compute, batches):
    """Two workers: batch k is computed on once it is loaded and batch k − 1 is done."""
    done = 0.0
    for k in range(1, batches + 1):
        done = max(k * load, done) + compute
    return done


@pytest.mark.stretch
class TestPipelineSeconds:
    def test_one_after_the_other(self, kata):
        """Without overlap each batch costs its load and its compute."""
        check.close(kata.pipeline_seconds(2.0, 3.0, 4), 20.0)
        check.close(kata.pipeline_seconds(0.5, 0.25, 2), 1.5)

    @pytest.mark.parametrize(
        ("load", "compute", "seconds"), [(2.0, 5.0, 22.0), (5.0, 2.0, 22.0)]
    )
    def test_the_slower_one_decides(self, kata, load, compute, seconds):
        """With overlap four batches take four times the slower part, and once the
        faster: during the first load there is nothing to compute on yet, during the
        last compute nothing to load.
        """
        got = kata.pipeline_seconds(load, compute, 4, overlap=True)
        unlike = {
            "load + compute, once": 7.0,
            "the first load or the last compute forgotten": 20.0,
            "no overlap": 28.0,
        }
        unlike |= {
            "the faster one, four times": 4 * min(load, compute) + max(load, compute)
        }
        check.close(got, seconds, unlike=unlike, what=f"load {load}, compute {compute}")

    def test_one_batch_cannot_overlap(self, kata):
        """There is nothing to load while it is computed on."""
        check.close(kata.pipeline_seconds(2.0, 3.0, 1, overlap=True), 5.0)

    @given(case=pipelines())
    def test_as_two_workers_would_do_it(self, kata, case):
        """The formula agrees with a simulation, batch by batch."""
        check.close(kata.pipeline_seconds(*case, overlap=True), simulated(*case))

    @pytest.mark.edge
    def test_no_batches_take_no_time(self, kata):
        """With overlap, too, where the formula would make it negative or more."""
        for overlap in (False, True):
            check.close(
                kata.pipeline_seconds(2.0, 3.0, 0, overlap=overlap),
                0.0,
                what=f"overlap={overlap}",
            )


@pytest.mark.stretch
class TestBatchBytes:
    @pytest.mark.parametrize("dtype", ["float32", "uint8", "float64"])
    def test_as_many_as_the_batch_has(self, kata, dtype):
        """Elements times bytes per element: the `nbytes` of such an array."""
        expected = np.zeros((5, 3, 4, 2), dtype=dtype).nbytes
        unlike = {"elements, not bytes": 120, "one sample": expected // 5}
        check.equal(
            kata.batch_bytes(5, (3, 4, 2), dtype),
            expected,
            what=dtype,
            unlike=unlike if expected > 120 else {},
        )

    def test_float32_by_default(self, kata):
        """64 images of MNIST are 200 kB, as an int."""
        check.equal(kata.batch_bytes(64, (1, 28, 28)), 200704)


@pytest.mark.stretch
class TestLoaderScaling:
    def test_twice_the_batch_is_twice_the_memory(self, kata):
        """Exponent 1: a batch is nothing but its samples."""
        got = kata.loader_scaling([8, 16, 32], (1, 28, 28))
        check.equal(sorted(got), ["exponent", "sizes", "values"], what="keys")
        check.equal(got["sizes"], [8, 16, 32], what="sizes")
        check.that(
            abs(got["exponent"] - 1) < 0.25,
            f"the exponent is {got['exponent']:.3g}, expected near 1",
        )

    def test_the_bytes_of_one_float32_batch(self, kata):
        """One batch stays in memory. The dataset exists before, so it is
        not counted.
        """
        for n, value in zip(
            (16, 64), kata.loader_scaling([16, 64], (2, 20, 20))["values"], strict=True
        ):
            predicted = 4 * 800 * n
            right = predicted <= value <= 1.2 * predicted + 8192
            twice = abs(value - 2 * predicted) < 0.2 * predicted
            slip = (
                "float64 numbers, or the dataset made inside of the measurement"
                if twice
                else ""
            )
            check.that(
                right,
                f"a batch of {n} keeps {value:,} bytes, predicted {predicted:,}",
                like=slip,
            )
