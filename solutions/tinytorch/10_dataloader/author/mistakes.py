"""Wrong solutions of tinytorch/10 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

ORDER = (
    "        order = get_rng(self.rng).permutation(n) if self.shuffle else "
    "np.arange(n)\n"
)
BATCHES = """            yield self.collate_fn(
                [self.dataset[int(i)] for i in order[start : start + self.batch_size]]
            )"""
OVERLAPPED = """load_seconds
        + (batches - 1) * max(load_seconds, compute_seconds)
        + compute_seconds"""

MISTAKES = [
    # read_idx
    Mistake(
        "sizes in this machine's byte order",
        was='np.frombuffer(content, ">u4", ndim, 4)',
        now='np.frombuffer(content, "<u4", ndim, 4)',
        caught_by="test_images_and_labels_as_they_were_written",
        says="the header promises shape (50331648, 67108864, 83886080)",
    ),
    Mistake(
        "never unpacked",
        was='gzip.open(path) if path.suffix == ".gz" else open(path, "rb")',
        now='open(path, "rb")',
        caught_by="test_gzipped_files_are_unpacked",
        says="images.gz is no IDX file",
    ),
    Mistake(
        "one byte per size",
        was="    shape = tuple(np.frombuffer",
        now=(
            "    shape = tuple(content[7 : 4 + 4 * ndim : 4]) if ndim else "
            "tuple(np.frombuffer"
        ),
        caught_by="test_sizes_are_big_endian",
        says="the header promises shape (232,), the body has 1000 bytes",
    ),
    Mistake(
        "big-endian elements left as they are",
        was='.astype(dtype.newbyteorder("="))',
        now="",
        caught_by="test_every_type_code",
        says="which is not this machine's byte order",
        edge=True,
    ),
    Mistake(
        "a body that is too long is cut",
        was="    if len(content) != start + math.prod(shape)",
        now="    content = content[: start + math.prod(shape) * dtype.itemsize]\n"
        "    if len(content) != start + math.prod(shape)",
        caught_by="test_a_broken_file_is_named",
        says="raised nothing",
        edge=True,
    ),
    # ArrayDataset, MNIST
    Mistake(
        "the transform runs up front",
        was="self.images, self.labels, self.transform = images, labels, transform\n",
        now="self.images, self.labels, self.transform = images, labels, None\n"
        "        if transform is not None:\n"
        "            self.images = np.array([transform(i) for i in images])\n",
        caught_by="test_the_transform_runs_at_each_access",
        says="before any sample was asked for",
    ),
    Mistake(
        "the index wraps around",
        was="        image = self.images[index]\n",
        now="        index = index % len(self)\n        image = self.images[index]\n",
        caught_by="test_a_loop_over_the_dataset_ends",
        says="does not end",
    ),
    Mistake(
        "train flag ignored",
        was='part = "train" if train else "t10k"',
        now='part = "train"',
        caught_by="test_training_and_test_files",
        says="looks like the train files",
    ),
    Mistake(
        "labels left as bytes",
        was="labels.astype(np.int64), transform",
        now="labels, transform",
        caught_by="test_labels_are_int64",
        says="uint8",
    ),
    # Normalize, Compose, splits
    Mistake(
        "the difference of bytes",
        was="((np.asarray(x, dtype=np.float32) - self.mean) / self.std)",
        now="((x - type(x.flat[0].item())(self.mean)) / self.std)",
        caught_by="test_bytes_do_not_wrap",
        says="looks like the difference in uint8",
    ),
    Mistake(
        "statistics over each image",
        was="return cls(float(np.mean(images)), float(np.std(images)))",
        now="m, s = (f(images, axis=(1, 2), keepdims=True) for f in (np.mean, "
        "np.std))\n"
        "        made = cls(0.0, 1.0)\n        made.mean, made.std = m, s\n"
        "        return made",
        caught_by="test_fit_takes_one_mean_and_one_deviation_of_all_pixels",
        says="looks like each image by itself",
    ),
    Mistake(
        "the variance as deviation",
        was="float(np.std(images))",
        now="float(np.var(images))",
        caught_by="test_fit_takes_one_mean_and_one_deviation_of_all_pixels",
        says="looks like the variance",
    ),
    Mistake(
        "the last function first",
        was="self.fns = list(fns)",
        now="self.fns = list(fns)[::-1]",
        caught_by="test_the_first_function_runs_first",
        says="looks like the last function first",
    ),
    Mistake(
        "train and test exchanged",
        was="return order[size:], order[:size]",
        now="return order[:size], order[size:]",
        caught_by="test_each_index_is_in_one_of_the_two",
        says="looks like train and test exchanged",
    ),
    Mistake(
        "split without shuffling",
        was="    order = get_rng(rng).permutation(n)\n    size",
        now="    order = np.arange(n)\n    size",
        caught_by="test_every_index_may_be_tested",
        says="looks like the first half, each time",
    ),
    Mistake(
        "statistics of all images",
        was="Normalize.fit(images[train])",
        now="Normalize.fit(images)",
        caught_by="test_the_training_images_alone_are_fitted",
        says="mean of the training pixels",
    ),
    Mistake(
        "each set by its own statistics",
        was="labels[part], transform=normalize)",
        now="labels[part], transform=Normalize.fit(images[part]))",
        caught_by="test_both_sets_are_normalised_alike",
        says="looks like the mean and deviation of the test images",
    ),
    # DataLoader
    Mistake(
        "len floors always",
        was=(
            "return n // self.batch_size if self.drop_last else -(-n // "
            "self.batch_size)"
        ),
        now="return n // self.batch_size",
        caught_by="test_an_incomplete_batch_counts",
        says="looks like rounded down",
    ),
    Mistake(
        "the order drawn once",
        was=ORDER,
        now="        if not hasattr(self, 'order'):\n"
        "            self.order = get_rng(self.rng).permutation(n)\n"
        "        order = self.order if self.shuffle else np.arange(n)\n",
        caught_by="test_each_epoch_has_a_new_order",
        says="drawn once for all",
    ),
    Mistake(
        "images and labels shuffled apart",
        was=BATCHES,
        now="            part = slice(start, start + self.batch_size)\n"
        "            other = get_rng(self.rng).permutation(n)\n"
        "            pairs = zip(order[part], other[part])\n"
        "            is_pair = isinstance(self.dataset[0], tuple)\n"
        "            yield self.collate_fn([(self.dataset[i][0], self.dataset[j][1]) "
        "if is_pair else self.dataset[i]"
        " for i, j in pairs])",
        caught_by="test_a_batch_is_what_collate_makes",
        says="labels, against what the images show",
    ),
    Mistake(
        "all samples read first",
        was=ORDER,
        now=ORDER + "        samples = [self.dataset[i] for i in range(n)]\n",
        caught_by="test_samples_are_read_batch_by_batch",
        says="samples were read for the first batch of 4",
    ),
    # prefetch, systems
    Mistake(
        "everything read at once",
        was="            for item in iterable:\n",
        now="            for item in list(iterable):\n",
        caught_by="test_it_does_not_read_everything",
        says="of 500 items were read when 1 was handed out",
    ),
    Mistake(
        "the thread goes on after the consumer has left",
        was="    finally:\n        stopped.set()\n        thread.join()",
        now="    finally:\n        pass",
        caught_by="test_leaving_early_ends_the_thread",
        says="the thread is still there",
        edge=True,
    ),
    Mistake(
        "overlap as load + compute only",
        was=OVERLAPPED,
        now="load_seconds + compute_seconds",
        caught_by="test_the_slower_one_decides",
        says="looks like load + compute, once",
    ),
    Mistake(
        "elements counted, not bytes",
        was="int(np.prod(sample_shape)) * np.dtype(dtype).itemsize",
        now="int(np.prod(sample_shape))",
        caught_by="test_as_many_as_the_batch_has",
        says="looks like elements, not bytes",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="images = images.reshape(-1, 1, 8, 8)",
        now="images = images.reshape(-2, 1, 8, 8)",
        reason="numpy reads any negative size as -1",
        textbook=True,
    ),
]
