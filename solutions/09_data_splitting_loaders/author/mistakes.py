"""Wrong solutions of 09 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
FLOOR = "sizes = [math.floor(n * fraction / total + 1e-6) for fraction in fractions]"
LEFTOVERS = """    for split in takers[: n - sum(sizes)]:
        sizes[split] += 1
    return sizes"""
RANDOM = """    sizes = split_sizes(n, fractions)
    return list(torch.randperm(n, generator=generator).split(sizes))"""
CLASSES = "for label in labels.unique():"
DRAW_MEMBERS = (
    "        members = members[torch.randperm(len(members), generator=generator)]\n"
)
PARTS = "members.split(split_sizes(len(members), fractions))"
SPLITS = """    splits = [[torch.empty(0, dtype=torch.int64)] for _ in fractions]
"""
ORDER = """order = (
            torch.randperm(n, generator=self.generator).tolist()
            if self.shuffle
            else range(n)
        )"""
BATCHES = "        for batch in range(len(self)):\n"
PER_STEP = "if isinstance(labels[0], Tensor) and labels[0].ndim == 1:"
FILLED = """out = sequences[0].new_full(
        (len(sequences), longest, *sequences[0].shape[1:]), value
    )"""
PAD_LABELS = "labels = _padded([label.long() for label in labels], label_pad_value)"
VAL = "DataLoader(val, batch_size, num_workers=num_workers)"
BYTES = "sum(field.numel() * field.element_size() for field in dataset[0])"
STREAM = "return iter(range(self.start + first, self.end, step))"

MISTAKES = [
    # split_sizes
    Mistake(
        "each product rounded to the nearest",
        was=FLOOR,
        now="return [round(n * fraction) for fraction in fractions]",
        caught_by="test_leftovers_are_dealt_out_from_the_first_split_on",
        says="looks like rounded to the nearest: the sum is 12",
    ),
    Mistake(
        "all leftovers in the last split",
        was=LEFTOVERS,
        now="    sizes[-1] = n - sum(sizes[:-1])\n    return sizes",
        caught_by="test_leftovers_are_dealt_out_from_the_first_split_on",
        says="looks like all leftovers in the last split",
    ),
    Mistake(
        "int() of the product: 28.999999999999996 is 28",
        was=FLOOR,
        now="sizes = [int(n * fraction) for fraction in fractions]",
        caught_by="test_products_that_are_whole_but_for_rounding_are_whole",
        says="got [43, 57] expected [42, 58]",
        edge=True,
    ),
    # random_split_indices
    Mistake(
        "blocks of the range, not shuffled",
        was=RANDOM,
        now=RANDOM.replace("torch.randperm(n, generator=generator)", "torch.arange(n)"),
        caught_by="test_splits_are_random",
        says="the first split holds just the first half of the samples",
    ),
    Mistake(
        "drawn with replacement",
        was=RANDOM,
        now=RANDOM.replace("randperm(n,", "randint(max(n, 1), (n,),"),
        caught_by="TestRandomSplitIndices::test_every_index_is_in_exactly_one_split",
        says="are there more than once",
    ),
    Mistake(
        "torch's global generator used or seeded",
        was=RANDOM,
        now="    torch.manual_seed(42)\n"
        + RANDOM.replace("n, generator=generator", "n"),
        caught_by="TestRandomSplitIndices::test_a_generator_repeats_the_splits",
        says="torch's global generator was used or seeded",
    ),
    # stratified_split
    Mistake(
        "a plain random split",
        was=SPLITS,
        now="    order = torch.randperm(len(labels), generator=generator)\n"
        "    parts = order.split(split_sizes(len(labels), fractions))\n"
        "    return [part.sort().values for part in parts]\n" + SPLITS,
        caught_by="test_every_class_has_its_share_in_every_split",
        says="looks like all samples split at once, whatever their class",
    ),
    Mistake(
        "int(count * fraction) in every split loses members",
        was=PARTS,
        now=(
            "members.split([*(sizes := [int(len(members) * f) for f in fractions]), "
            "len(members) - sum(sizes)])[:-1]"
        ),
        caught_by="test_every_sample_is_in_one_split_and_every_class_shared_out",
        says="indices of all splits, from the classes [0]: 1 are missing: [0]",
    ),
    Mistake(
        "labels taken for 0 … K - 1",
        was=CLASSES,
        now="for label in range(int(labels.max()) + 1 if len(labels) else 0):",
        caught_by="test_every_sample_is_in_one_split_and_every_class_shared_out",
        says="indices of all splits, from the classes [-3]: 1 are missing: [0]",
    ),
    Mistake(
        "the first members of each class",
        was=DRAW_MEMBERS,
        now="",
        caught_by="test_members_are_drawn_at_random",
        says="looks like no draw inside a class: the same members in every split",
    ),
    # MiniLoader
    Mistake(
        "n // batch_size whatever drop_last",
        was="return full if self.drop_last or rest == 0 else full + 1",
        now="return full",
        caught_by="test_the_rest_counts_unless_it_is_dropped",
        says="looks like only full batches counted",
    ),
    Mistake(
        "the last batch lost",
        was=BATCHES,
        now="        for batch in range(n // self.batch_size):\n",
        caught_by="test_the_last_batch_may_be_smaller",
        says="expected batches of 3, 3 and 1 samples, got batches of [3, 3]",
    ),
    Mistake(
        "one order for all passes, drawn once",
        was=ORDER,
        now="if not hasattr(self, 'order'):\n"
        "            self.order = torch.randperm(n, "
        "generator=self.generator).tolist()\n"
        "        order = self.order if self.shuffle else range(n)",
        caught_by="test_every_pass_is_a_new_order_of_all_samples",
        says="the second pass has the order of the first",
    ),
    Mistake(
        "inputs and labels shuffled apart",
        was="""yield tuple(
                torch.stack([torch.as_tensor(v) for v in field])
                for field in zip(*items, strict=True)
            )""",
        now="""fields = [
                torch.stack([torch.as_tensor(v) for v in field])
                for field in zip(*items, strict=True)
            ]
            yield tuple(
                f[torch.randperm(len(f))] if self.shuffle else f for f in fields
            )""",
        caught_by="test_inputs_and_labels_stay_together",
        says="looks like inputs and labels shuffled apart",
    ),
    Mistake(
        "all samples fetched at the start",
        was=ORDER,
        now=ORDER + "\n        everything = [self.dataset[i] for i in order]",
        caught_by="test_samples_are_fetched_batch_by_batch",
        says="the first batch of 4 samples fetched",
    ),
    # pad_collate
    Mistake(
        "padded in front",
        was="row[: len(sequence)] = sequence",
        now="row[len(row) - len(sequence) :] = sequence",
        caught_by="test_short_sequences_are_filled_up_at_the_end",
        says="looks like padded in front",
    ),
    Mistake(
        "float32 in place of the sequences' own dtype",
        was=FILLED,
        now="out = torch.zeros(len(sequences), longest, *sequences[0].shape[1:])",
        caught_by="TestPadCollate::test_the_dtype_is_kept",
        says="of sequences dtype float32 expected int64",
    ),
    Mistake(
        "labels filled up with 0",
        was=PAD_LABELS,
        now="labels = _padded([label.long() for label in labels], 0)",
        caught_by="test_label_sequences_are_padded_with_minus_100",
        says="looks like filled up with 0, which is a class",
    ),
    Mistake(
        "labels of one element taken for ints",
        was=PER_STEP,
        now=(
            "if any(isinstance(label, Tensor) and label.numel() > 1 for label in "
            "labels):"
        ),
        caught_by="test_label_sequences_of_one_step_stay_sequences",
        says="looks like taken for one label per sequence",
        edge=True,
    ),
    # make_loaders
    Mistake(
        "all three shuffled",
        was=VAL,
        now=VAL.replace("batch_size,", "batch_size, shuffle=True,"),
        caught_by="test_validation_and_test_data_stay_in_order",
        says="val is not in order in pass 1",
    ),
    Mistake(
        "one generator for all loaders",
        was=VAL,
        now=VAL.replace("num_workers=", "generator=generator, num_workers="),
        caught_by="test_reading_val_and_test_does_not_change_training",
        says=(
            "val and test were read before each epoch: the orders of epochs [1, 2, 3] "
            "changed"
        ),
        edge=True,
    ),
    # batch_report
    Mistake(
        "only full batches counted",
        was="batches = math.ceil(n / size)",
        now="batches = n // size",
        caught_by="test_five_samples_in_pairs",
        says="looks like only full batches counted",
    ),
    Mistake(
        "labels not counted",
        was=BYTES,
        now="dataset[0][0].numel() * dataset[0][0].element_size()",
        caught_by="test_five_samples_in_pairs",
        says="looks like only inputs counted",
    ),
    # ShardedRange
    Mistake(
        "every worker reads everything",
        was=STREAM,
        now="return iter(range(self.start, self.end))",
        caught_by="test_workers_read_every_number_once",
        says="looks like every worker reads everything",
    ),
    Mistake(
        "blocks that lose the rest",
        was=STREAM,
        now="size = (self.end - self.start) // step\n"
        "        return iter(range(self.start + first * size, self.start + (first + "
        "1) * size))",
        caught_by="test_workers_read_every_number_once",
        says="are missing",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="or not math.isclose(total, 1, rel_tol=0, abs_tol=1e-6)",
        now="or not math.isclose(total, 1, abs_tol=1e-6)",
        reason="the relative tolerance by default is far below the absolute one",
    ),
    Equivalent(
        was="return full if self.drop_last or rest == 0 else full + 1",
        now="return full if self.drop_last or rest <= 0 else full + 1",
        reason="the remainder is never negative",
    ),
    Equivalent(
        was='raise ValueError("an empty batch has no shape")',
        now="pass",
        reason="nothing cannot be unpacked into two either, which is a ValueError, too",
    ),
    Equivalent(
        was="if isinstance(labels[0], Tensor) and labels[0].ndim == 1:",
        now="if isinstance(labels[-1], Tensor) and labels[0].ndim == 1:",
        reason="ints and label sequences do not come mixed",
    ),
    Equivalent(
        was="if isinstance(labels[0], Tensor) and labels[0].ndim == 1:",
        now="if isinstance(labels[0], Tensor) and labels[0].ndim >= 1:",
        reason="labels have no more than one dimension",
    ),
    Equivalent(
        was="out = sequences[0].new_full(",
        now="out = sequences[-1].new_full(",
        reason="all sequences have one dtype",
    ),
    Equivalent(
        was="(len(sequences), longest, *sequences[0].shape[1:]), value",
        now="(len(sequences), longest, *sequences[-1].shape[1:]), value",
        reason="sequences agree in all dimensions but the first",
    ),
    Equivalent(
        was="super().__init__()",
        now="pass",
        reason="an IterableDataset has nothing to initialise",
    ),
    Equivalent(
        was="not_empty = [i for i, fraction in enumerate(fractions) if fraction > 0]",
        now="not_empty = [i for i, fraction in enumerate(fractions) if fraction >= 0]",
        reason="a fraction of 0 is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="not_empty = [i for i, fraction in enumerate(fractions) if fraction > 0]",
        now="not_empty = [i for i, fraction in enumerate(fractions) if fraction > -1]",
        reason="a fraction of 0 is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="if isinstance(labels[0], Tensor) and labels[0].ndim == 1:",
        now="if isinstance(labels[0], Tensor) and labels[-1].ndim == 1:",
        reason="ints among tensors are asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="if isinstance(labels[0], Tensor) and labels[0].ndim == 1:",
        now="if isinstance(labels[-1], Tensor) and labels[0].ndim == 1:",
        reason="ints among tensors are asked at the edges alone",
        textbook=True,
    ),
]
