"""Wrong solutions of 09 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

CHECK = "    if n < 0 or not math.isclose(total, 1, rel_tol=0, abs_tol=1e-6) or min(fractions) < 0:"
FLOOR = "sizes = [math.floor(n * fraction / total + 1e-6) for fraction in fractions]"
TAKERS = "takers = [split for split, fraction in enumerate(fractions) if fraction > 0]"
LEFTOVERS = """    for split in takers[: n - sum(sizes)]:
        sizes[split] += 1
    return sizes"""
RANDOM = """    sizes = split_sizes(n, fractions)
    return list(torch.randperm(n, generator=generator).split(sizes))"""
ONE_D = """    if labels.ndim != 1:
        raise ValueError(f"labels should be (N,), not {tuple(labels.shape)}")
"""
CHECK_FRACTIONS = "    split_sizes(len(labels), fractions)  # refuses bad fractions where there is no class to do it\n"
CLASSES = "for label in labels.unique():"
DRAW_MEMBERS = "        members = members[torch.randperm(len(members), generator=generator)]\n"
PARTS = "members.split(split_sizes(len(members), fractions))"
ASCENDING = "return [torch.cat(split).sort().values for split in splits]"
SPLITS = """    splits = [[torch.empty(0, dtype=torch.int64)] for _ in fractions]
"""
KEEP_DATASET = "        self.dataset = dataset\n"
LENGTH = "return full if self.drop_last or rest == 0 else full + 1"
ORDER = "order = torch.randperm(n, generator=self.generator).tolist() if self.shuffle else range(n)"
BATCHES = "        for batch in range(len(self)):\n"
CHOSEN = "chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]"
ITEMS = "items = [self.dataset[i] for i in chosen]"
STACK = "torch.stack([torch.as_tensor(v) for v in field])"
LENGTHS = "lengths = torch.tensor([len(sequence) for sequence in sequences])"
EMPTY = """    if not batch:
        raise ValueError("an empty batch has no shape")
    sequences, labels = zip(*batch, strict=True)
"""
PER_STEP = "if isinstance(labels[0], Tensor) and labels[0].ndim == 1:"
PAD_LABELS = "labels = _padded([label.long() for label in labels], label_pad_value)"
LABELS = "labels = torch.tensor([int(label) for label in labels])"
PADDED = "return _padded(sequences, pad_value), lengths, labels"
LONGEST = "longest = max(len(sequence) for sequence in sequences)"
FILLED = "out = sequences[0].new_full((len(sequences), longest, *sequences[0].shape[1:]), value)"
ROW = "row[: len(sequence)] = sequence"
TRAIN = "DataLoader(train, batch_size, shuffle=True, generator=generator, num_workers=num_workers)"
VAL = "DataLoader(val, batch_size, num_workers=num_workers)"
TEST = "DataLoader(test, batch_size, num_workers=num_workers)"
BYTES = "sum(field.numel() * field.element_size() for field in dataset[0])"
COUNT = "batches = math.ceil(n / size)"
LAST = "last = n - (batches - 1) * size"
SHARD = "first, step = (0, 1) if info is None else (info.id, info.num_workers)"
STREAM = "return iter(range(self.start + first, self.end, step))"

MISTAKES = [
    # split_sizes
    Mistake(
        "each product rounded to the nearest",
        was=FLOOR,
        now="return [round(n * fraction) for fraction in fractions]",
        caught_by="test_leftovers_are_dealt_out_from_the_first_split_on",
    ),
    Mistake(
        "all leftovers in the last split",
        was=LEFTOVERS,
        now="    sizes[-1] = n - sum(sizes[:-1])\n    return sizes",
        caught_by="test_leftovers_are_dealt_out_from_the_first_split_on",
    ),
    Mistake(
        "all leftovers in the first split",
        was=LEFTOVERS,
        now="    sizes[0] += n - sum(sizes)\n    return sizes",
        caught_by="test_leftovers_are_dealt_out_from_the_first_split_on",
    ),
    Mistake(
        "leftovers lost",
        was=LEFTOVERS,
        now="    return sizes",
        caught_by="test_sizes_sum_to_n",
    ),
    Mistake(
        "leftovers to the largest remainders",
        was=TAKERS,
        now="takers = sorted(range(len(sizes)), key=lambda k: sizes[k] - n * fractions[k])",
        caught_by="test_sizes_sum_to_n",
    ),
    Mistake(
        "a leftover for a split of fraction 0",
        was=TAKERS,
        now="takers = list(range(len(fractions)))",
        caught_by="test_a_fraction_of_zero_stays_empty",
    ),
    Mistake(
        "int() of the product: 28.999999999999996 is 28",
        was=FLOOR,
        now="sizes = [int(n * fraction) for fraction in fractions]",
        caught_by="test_products_that_are_whole_but_for_rounding_are_whole",
    ),
    Mistake(
        "0.9995 taken for 1",
        was=FLOOR,
        now=FLOOR.replace("1e-6", "1e-3"),
        caught_by="test_nearly_whole_is_not_whole",
    ),
    Mistake(
        "sizes are floats",
        was=LEFTOVERS,
        now=LEFTOVERS.replace("return sizes", "return [float(size) for size in sizes]"),
        caught_by="test_sizes_are_shares_of_n",
    ),
    Mistake(
        "the sum has to be 1 to the last digit",
        was=CHECK,
        now="    if n < 0 or total != 1 or min(fractions) < 0:",
        caught_by="test_sizes_are_shares_of_n",
    ),
    Mistake(
        "a tolerance for rounding errors alone",
        was=CHECK,
        now=CHECK.replace("abs_tol=1e-6", "abs_tol=1e-9"),
        caught_by="test_a_sum_of_nearly_one_will_do",
        edge=True,
    ),
    Mistake(
        "a tolerance of a per cent",
        was=CHECK,
        now=CHECK.replace("abs_tol=1e-6", "abs_tol=1e-2"),
        caught_by="TestSplitSizes::test_fractions_have_to_make_sense",
        edge=True,
    ),
    Mistake(
        "only sums above 1 are refused",
        was=CHECK,
        now="    if n < 0 or not fractions or total > 1 + 1e-6 or min(fractions) < 0:",
        caught_by="TestSplitSizes::test_fractions_have_to_make_sense",
        edge=True,
    ),
    Mistake(
        "negative fractions go through",
        was=CHECK,
        now=CHECK.replace(" or min(fractions) < 0", ""),
        caught_by="TestSplitSizes::test_fractions_have_to_make_sense",
        edge=True,
    ),
    # random_split_indices
    Mistake(
        "blocks of the range, not shuffled",
        was=RANDOM,
        now=RANDOM.replace("torch.randperm(n, generator=generator)", "torch.arange(n)"),
        caught_by="test_splits_are_random",
    ),
    Mistake(
        "shuffled only within each block",
        was=RANDOM,
        now="    sizes = split_sizes(n, fractions)\n"
        "    blocks = torch.arange(n).split(sizes)\n"
        "    return [block[torch.randperm(len(block), generator=generator)] for block in blocks]",
        caught_by="test_splits_are_random",
    ),
    Mistake(
        "drawn with replacement",
        was=RANDOM,
        now=RANDOM.replace("randperm(n,", "randint(max(n, 1), (n,),"),
        caught_by="TestRandomSplitIndices::test_every_index_is_in_exactly_one_split",
    ),
    Mistake(
        "a permutation of its own for each split",
        was=RANDOM,
        now="    return [torch.randperm(n, generator=generator)[:size] for size in split_sizes(n, fractions)]",
        caught_by="TestRandomSplitIndices::test_every_index_is_in_exactly_one_split",
    ),
    Mistake(
        "index 0 never leaves the first split",
        was=RANDOM,
        now="    sizes = split_sizes(n, fractions)\n"
        "    order = torch.cat([torch.arange(min(n, 1)), 1 + torch.randperm(max(n - 1, 0), generator=generator)])\n"
        "    return list(order.split(sizes))",
        caught_by="test_every_index_has_the_same_chance",
    ),
    Mistake(
        "the generator forgotten",
        was=RANDOM,
        now=RANDOM.replace("torch.randperm(n, generator=generator)", "torch.randperm(n)"),
        caught_by="TestRandomSplitIndices::test_equal_generators_give_equal_splits",
    ),
    Mistake(
        "manual_seed inside",
        was=RANDOM,
        now="    torch.manual_seed(42)\n" + RANDOM.replace("n, generator=generator", "n"),
        caught_by="TestRandomSplitIndices::test_without_a_generator_the_global_one_decides",
    ),
    Mistake(
        "the global generator seeded from the one given",
        was=RANDOM,
        now="    if generator is not None:\n"
        "        torch.manual_seed(generator.initial_seed())\n" + RANDOM.replace("n, generator=generator", "n"),
        caught_by="TestRandomSplitIndices::test_the_global_generator_is_left_alone",
    ),
    Mistake(
        "the generator set back at every call",
        was=RANDOM,
        now="    if generator is not None:\n        generator.manual_seed(generator.initial_seed())\n" + RANDOM,
        caught_by="test_a_generator_goes_on_drawing",
    ),
    Mistake(
        "Python's random shuffles",
        was=RANDOM,
        now="    import random\n\n"
        "    order = list(range(n))\n"
        "    random.Random(generator.initial_seed() if generator else None).shuffle(order)\n"
        "    return list(torch.tensor(order, dtype=torch.int64).split(split_sizes(n, fractions)))",
        caught_by="TestRandomSplitIndices::test_without_a_generator_the_global_one_decides",
    ),
    Mistake(
        "lists of ints",
        was=RANDOM,
        now="    order = torch.randperm(n, generator=generator)\n"
        "    return [part.tolist() for part in order.split(split_sizes(n, fractions))]",
        caught_by="test_a_list_of_index_tensors_of_these_sizes",
    ),
    Mistake(
        "no samples give float tensors",
        was=RANDOM,
        now="    sizes = split_sizes(n, fractions)\n"
        "    order = torch.randperm(n, generator=generator).tolist()\n"
        "    return [torch.tensor(order[sum(sizes[:k]) : sum(sizes[: k + 1])]) for k in range(len(sizes))]",
        caught_by="test_empty_splits_are_empty_tensors",
    ),
    # stratified_split
    Mistake(
        "a plain random split",
        was=SPLITS,
        now="    order = torch.randperm(len(labels), generator=generator)\n"
        "    parts = order.split(split_sizes(len(labels), fractions))\n"
        "    return [part.sort().values for part in parts]\n" + SPLITS,
        caught_by="test_every_class_has_its_share_in_every_split",
    ),
    Mistake(
        "classes sorted, then the whole cut into blocks",
        was=SPLITS,
        now="    parts = labels.argsort(stable=True).split(split_sizes(len(labels), fractions))\n"
        "    return [part.sort().values for part in parts]\n" + SPLITS,
        caught_by="test_every_class_has_its_share_in_every_split",
    ),
    Mistake(
        "int(count * fraction) in every split loses members",
        was=PARTS,
        now="members.split([*(sizes := [int(len(members) * f) for f in fractions]), len(members) - sum(sizes)])[:-1]",
        caught_by="TestStratifiedSplit::test_every_index_is_in_exactly_one_split",
    ),
    Mistake(
        "labels taken for 0 … K - 1",
        was=CLASSES,
        now="for label in range(int(labels.max()) + 1 if len(labels) else 0):",
        caught_by="test_labels_may_be_any_integers",
    ),
    Mistake(
        "the first members of each class",
        was=DRAW_MEMBERS,
        now="",
        caught_by="test_members_are_drawn_at_random",
    ),
    Mistake(
        "one draw for every split: members twice",
        was=PARTS,
        now="[members[torch.randperm(len(members))[:s]] for s in split_sizes(len(members), fractions)]",
        caught_by="TestStratifiedSplit::test_every_index_is_in_exactly_one_split",
    ),
    Mistake(
        "the generator of stratified_split forgotten",
        was=DRAW_MEMBERS,
        now=DRAW_MEMBERS.replace(", generator=generator", ""),
        caught_by="TestStratifiedSplit::test_equal_generators_give_equal_splits",
    ),
    Mistake(
        "manual_seed in stratified_split",
        was=DRAW_MEMBERS,
        now="        torch.manual_seed(0)\n" + DRAW_MEMBERS,
        caught_by="TestStratifiedSplit::test_the_global_generator_is_left_alone",
    ),
    Mistake(
        "a fixed generator where none is given",
        was=SPLITS,
        now=SPLITS + "    generator = generator or torch.Generator().manual_seed(0)\n",
        caught_by="TestStratifiedSplit::test_without_a_generator_the_global_one_decides",
    ),
    Mistake(
        "class after class, not sorted",
        was=ASCENDING,
        now="return [torch.cat(split) for split in splits]",
        caught_by="test_indices_ascend",
    ),
    Mistake(
        "labels instead of indices",
        was=ASCENDING,
        now="return [labels[torch.cat(split)].sort().values for split in splits]",
        caught_by="TestStratifiedSplit::test_every_index_is_in_exactly_one_split",
    ),
    Mistake(
        "labels sorted in place",
        was=SPLITS,
        now=SPLITS + "    labels[:] = labels.clone().sort().values\n",
        caught_by="test_labels_are_not_changed",
    ),
    Mistake(
        "no labels cannot be joined",
        was=SPLITS,
        now="    splits = [[] for _ in fractions]\n",
        caught_by="test_no_labels_give_empty_splits",
        edge=True,
    ),
    Mistake(
        "a column of labels flattened",
        was=ONE_D,
        now="    labels = labels.flatten()\n",
        caught_by="test_labels_are_a_vector",
        edge=True,
    ),
    Mistake(
        "fractions unchecked where there are no labels",
        was=CHECK_FRACTIONS,
        now="",
        caught_by="TestStratifiedSplit::test_fractions_have_to_make_sense",
        edge=True,
    ),
    # MiniLoader
    Mistake(
        "the last batch lost",
        was=BATCHES,
        now="        for batch in range(n // self.batch_size):\n",
        caught_by="test_the_last_batch_may_be_smaller",
    ),
    Mistake(
        "the last full batch lost, too",
        was=BATCHES,
        now="        for batch in range(len(range(0, n - self.batch_size, self.batch_size))):\n",
        caught_by="test_batches_are_samples_stacked",
    ),
    Mistake(
        "length without the rest",
        was=LENGTH,
        now="return full",
        caught_by="test_len_is_the_number_of_batches",
    ),
    Mistake(
        "length with the rest, dropped or not",
        was=LENGTH,
        now="return full + (rest > 0)",
        caught_by="test_drop_last_leaves_out_a_smaller_batch",
    ),
    Mistake(
        "length with one batch too many where the size divides",
        was=LENGTH,
        now="return full if self.drop_last else full + 1",
        caught_by="test_len_is_the_number_of_batches",
    ),
    Mistake(
        "length in samples",
        was=LENGTH,
        now="return len(self.dataset)",
        caught_by="test_len_is_the_number_of_batches",
    ),
    Mistake(
        "drop_last drops a full batch",
        was=LENGTH,
        now="return full - (rest == 0) if self.drop_last else full + (rest > 0)",
        caught_by="test_drop_last_leaves_out_a_smaller_batch",
    ),
    Mistake(
        "order drawn once in __init__",
        was=KEEP_DATASET,
        now=KEEP_DATASET + "        order = torch.randperm(len(dataset), generator=generator)\n"
        "        self.dataset = torch.utils.data.Subset(dataset, order.tolist()) if shuffle else dataset\n"
        "        shuffle = False\n",
        caught_by="test_every_pass_has_an_order_of_its_own",
    ),
    Mistake(
        "drawn with replacement in each pass",
        was=ORDER,
        now=ORDER.replace("torch.randperm(n,", "torch.randint(max(n, 1), (n,),"),
        caught_by="test_shuffled_passes_are_complete",
    ),
    Mistake(
        "batches shuffled, not samples",
        was=CHOSEN,
        now="size = self.batch_size\n"
        "            blocks = [list(range(i, min(i + size, n))) for i in range(0, n, size)]\n"
        "            k = sorted({i // size for i in order}, key=[i // size for i in order].index)[batch]\n"
        "            chosen = blocks[k] if self.shuffle else order[batch * size : (batch + 1) * size]",
        caught_by="test_samples_are_shuffled_not_batches",
    ),
    Mistake(
        "shuffled within each batch only",
        was=CHOSEN,
        now="chosen = range(n)[batch * self.batch_size : (batch + 1) * self.batch_size]\n"
        "            if self.shuffle:\n"
        "                chosen = [chosen[i] for i in torch.randperm(len(chosen), generator=self.generator).tolist()]",
        caught_by="test_samples_are_shuffled_not_batches",
    ),
    Mistake(
        "inputs and labels shuffled separately",
        was=ITEMS,
        now=ITEMS + "\n            if self.shuffle:\n"
        "                items = [(x, items[i - 1][1]) for i, (x, _) in enumerate(items)]",
        caught_by="test_inputs_and_labels_stay_together",
    ),
    Mistake(
        "shuffled by default",
        was="        shuffle: bool = False,\n        drop_last",
        now="        shuffle: bool = True,\n        drop_last",
        caught_by="test_batches_are_samples_stacked",
    ),
    Mistake(
        "everything fetched at the start",
        was=ITEMS,
        now="if batch == 0:\n                fetched = [self.dataset[i] for i in order]\n"
        "            items = fetched[batch * self.batch_size : (batch + 1) * self.batch_size]",
        caught_by="test_samples_are_fetched_batch_by_batch",
    ),
    Mistake(
        "all samples stacked in __init__",
        was=KEEP_DATASET,
        now="        self.dataset = [dataset[i] for i in range(len(dataset))]\n",
        caught_by="test_samples_are_fetched_batch_by_batch",
    ),
    Mistake(
        "a sample fetched for each field",
        was=ITEMS,
        now="items = [tuple(self.dataset[i][f] for f in range(len(self.dataset[i]))) for i in chosen]",
        caught_by="test_samples_are_fetched_batch_by_batch",
    ),
    Mistake(
        "the position kept in the loader",
        was=BATCHES,
        now="        self.position = -1\n"
        "        while self.position + 1 < len(self):\n"
        "            self.position = batch = self.position + 1\n",
        caught_by="test_iterators_do_not_disturb_each_other",
    ),
    Mistake(
        "the order of a pass kept in the loader",
        was=CHOSEN,
        now="self.order = order if batch == 0 else self.order\n"
        "            chosen = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]",
        caught_by="test_iterators_do_not_disturb_each_other",
    ),
    Mistake(
        "a pass goes on where the last one was left",
        was=BATCHES,
        now="        batch = getattr(self, 'next', 0)\n"
        "        for batch in range(batch, len(self)):\n"
        "            self.next = batch + 1 if batch + 1 < len(self) else 0\n",
        caught_by="test_a_pass_may_be_left",
    ),
    Mistake(
        "batches are lists",
        was="yield tuple(torch.stack([torch.as_tensor(v) for v in field]) for field in zip(*items, strict=True))",
        now="yield [torch.stack([torch.as_tensor(v) for v in field]) for field in zip(*items, strict=True)]",
        caught_by="test_batches_are_samples_stacked",
    ),
    Mistake(
        "always two fields",
        was="for field in zip(*items, strict=True))",
        now="for field in ([item[0] for item in items], [item[1] for item in items]))",
        caught_by="test_fields_keep_their_dtype",
    ),
    Mistake(
        "joined along the first dimension, not stacked",
        was=STACK,
        now="torch.cat([torch.as_tensor(v).reshape(-1, *torch.as_tensor(v).shape[1:]) for v in field])",
        caught_by="test_batches_are_samples_stacked",
    ),
    Mistake(
        "every field becomes float32",
        was=STACK,
        now="torch.stack([torch.as_tensor(v).float() for v in field])",
        caught_by="test_batches_are_samples_stacked",
    ),
    Mistake(
        "0-dim tensors go through Python numbers",
        was=STACK,
        now="(torch.tensor([int(v) for v in field]) if torch.as_tensor(field[0]).ndim == 0 else torch.stack(field))",
        caught_by="test_fields_keep_their_dtype",
    ),
    Mistake(
        "datasets asked for tensors",
        was=ORDER,
        now=ORDER.replace(".tolist()", ""),
        caught_by="test_datasets_are_asked_for_python_ints",
    ),
    Mistake(
        "the loader's generator forgotten",
        was=ORDER,
        now=ORDER.replace("generator=self.generator", "generator=None"),
        caught_by="TestMiniLoader::test_equal_generators_give_equal_orders",
    ),
    Mistake(
        "the loader's generator set back at every pass",
        was=ORDER,
        now="if self.generator is not None:\n"
        "            self.generator.manual_seed(self.generator.initial_seed())\n        " + ORDER,
        caught_by="test_every_pass_has_an_order_of_its_own",
    ),
    Mistake(
        "manual_seed in every pass",
        was=ORDER,
        now="torch.manual_seed(0)\n        " + ORDER,
        caught_by="test_every_pass_has_an_order_of_its_own",
    ),
    Mistake(
        "a fixed generator for a loader that was given none",
        was=KEEP_DATASET,
        now=KEEP_DATASET + "        generator = generator or torch.Generator().manual_seed(0)\n",
        caught_by="TestMiniLoader::test_without_a_generator_the_global_one_decides",
    ),
    Mistake(
        "a RandomSampler chokes on no samples",
        was=ORDER,
        now="if self.shuffle and n == 0:\n"
        '            raise ValueError("num_samples should be a positive integer value, but got num_samples=0")\n'
        "        " + ORDER,
        caught_by="test_an_empty_dataset_gives_no_batch",
    ),
    Mistake(
        "an empty batch for an empty dataset",
        was=BATCHES,
        now="        if n == 0:\n            yield ()\n" + BATCHES,
        caught_by="test_an_empty_dataset_gives_no_batch",
    ),
    Mistake(
        "DataLoader does the work",
        was=BATCHES,
        now="        loader = DataLoader(torch.utils.data.Subset(self.dataset, list(order)), self.batch_size)\n"
        "        for items, _ in zip(loader, range(len(self)), strict=False):\n"
        "            yield tuple(items)\n"
        "        for batch in range(0):\n",
        caught_by="test_written_without_data_loader",
    ),
    Mistake(
        "a batch size of 0 goes through",
        was="if batch_size < 1:",
        now="if batch_size < 0:",
        caught_by="test_a_batch_holds_at_least_one_sample",
        edge=True,
    ),
    # pad_collate
    Mistake(
        "stacked without padding",
        was=PADDED,
        now="return torch.stack(sequences), lengths, labels",
        caught_by="test_short_sequences_are_filled_up_at_the_end",
    ),
    Mistake(
        "cut off at the shortest sequence",
        was=LONGEST,
        now="longest = min(len(sequence) for sequence in sequences)\n    sequences = [s[:longest] for s in sequences]",
        caught_by="test_short_sequences_are_filled_up_at_the_end",
    ),
    Mistake(
        "one step too long",
        was=LONGEST,
        now=LONGEST + " + 1",
        caught_by="test_short_sequences_are_filled_up_at_the_end",
    ),
    Mistake(
        "padded in front",
        was=ROW,
        now="row[longest - len(sequence) :] = sequence",
        caught_by="test_short_sequences_are_filled_up_at_the_end",
    ),
    Mistake(
        "torch.zeros: float32, and pad_value ignored",
        was=FILLED,
        now="out = torch.zeros(len(sequences), longest, *sequences[0].shape[1:])",
        caught_by="test_the_dtype_is_kept",
    ),
    Mistake(
        "pad_value ignored",
        was=PADDED,
        now="return _padded(sequences, 0), lengths, labels",
        caught_by="test_the_padding_value_can_be_chosen",
    ),
    Mistake(
        "padding put wherever the value is 0",
        was=PADDED,
        now="padded = _padded(sequences, 0)\n    return padded.masked_fill(padded == 0, pad_value), lengths, labels",
        caught_by="test_the_padding_value_can_be_chosen",
    ),
    Mistake(
        "vectors only",
        was=FILLED,
        now="out = sequences[0].new_full((len(sequences), longest), value)",
        caught_by="test_steps_may_have_dimensions",
    ),
    Mistake(
        "lengths of the padded sequences",
        was=LENGTHS,
        now="lengths = torch.tensor([max(len(sequence) for sequence in sequences)] * len(sequences))",
        caught_by="test_lengths_and_labels_come_along",
    ),
    Mistake(
        "lengths count elements, not steps",
        was=LENGTHS,
        now="lengths = torch.tensor([sequence.numel() for sequence in sequences])",
        caught_by="test_steps_may_have_dimensions",
    ),
    Mistake(
        "lengths are a list",
        was=LENGTHS,
        now="lengths = [len(sequence) for sequence in sequences]",
        caught_by="test_lengths_and_labels_come_along",
    ),
    Mistake(
        "labels stacked with their own dtype",
        was=LABELS,
        now="labels = torch.stack([torch.as_tensor(label) for label in labels])",
        caught_by="test_labels_may_be_tensors_without_dimensions",
    ),
    Mistake(
        "labels are float32",
        was=LABELS,
        now="labels = torch.tensor([float(label) for label in labels])",
        caught_by="test_lengths_and_labels_come_along",
    ),
    Mistake(
        "pad_value for the labels, too",
        was=PAD_LABELS,
        now="labels = _padded([label.long() for label in labels], pad_value)",
        caught_by="test_label_sequences_are_padded_with_minus_100",
    ),
    Mistake(
        "labels filled up with 0",
        was=PAD_LABELS,
        now="labels = _padded([label.long() for label in labels], 0)",
        caught_by="test_label_sequences_are_padded_with_minus_100",
    ),
    Mistake(
        "label_pad_value ignored",
        was=PAD_LABELS,
        now="labels = _padded([label.long() for label in labels], -100)",
        caught_by="test_the_labels_padding_can_be_chosen",
        edge=True,
    ),
    Mistake(
        "label sequences keep their dtype",
        was=PAD_LABELS,
        now="labels = _padded(labels, label_pad_value)",
        caught_by="test_the_labels_padding_can_be_chosen",
        edge=True,
    ),
    Mistake(
        "labels of one element taken for ints",
        was=PER_STEP,
        now="if any(isinstance(label, Tensor) and label.numel() > 1 for label in labels):",
        caught_by="test_label_sequences_of_one_step_stay_sequences",
    ),
    Mistake(
        "the first label's length decides",
        was=PER_STEP,
        now="if isinstance(labels[0], Tensor) and labels[0].numel() > 1:",
        caught_by="test_the_labels_padding_can_be_chosen",
        edge=True,
    ),
    Mistake(
        "at least one step",
        was=LONGEST,
        now="longest = max(1, *(len(sequence) for sequence in sequences))",
        caught_by="test_a_sequence_may_be_empty",
    ),
    Mistake(
        "a batch of one is a view of its sample",
        was=PADDED,
        now="return (sequences[0][None] if len(sequences) == 1 else _padded(sequences, pad_value)), lengths, labels",
        caught_by="test_the_result_has_memory_of_its_own",
    ),
    Mistake(
        "an empty batch ends in another error",
        was=EMPTY,
        now="    sequences, labels = [pair[0] for pair in batch], [pair[1] for pair in batch]\n    sequences[0]\n",
        caught_by="test_an_empty_batch_is_refused",
    ),
    # make_loaders
    Mistake(
        "all three shuffled",
        was=VAL,
        now=VAL.replace("batch_size,", "batch_size, shuffle=True,"),
        caught_by="test_validation_and_test_data_stay_in_order",
    ),
    Mistake(
        "test data shuffled",
        was=TEST,
        now="DataLoader(test, batch_size, shuffle=True, num_workers=num_workers)",
        caught_by="test_validation_and_test_data_stay_in_order",
    ),
    Mistake(
        "training data not shuffled",
        was=TRAIN,
        now=TRAIN.replace("shuffle=True, ", ""),
        caught_by="test_training_data_come_in_a_new_order_each_epoch",
    ),
    Mistake(
        "training order drawn once",
        was=TRAIN,
        now="DataLoader(torch.utils.data.Subset(train, torch.randperm(len(train), generator=generator).tolist()), "
        "batch_size, num_workers=num_workers)",
        caught_by="test_training_data_come_in_a_new_order_each_epoch",
    ),
    Mistake(
        "the rest of the training data dropped",
        was=TRAIN,
        now=TRAIN.replace("shuffle=True", "shuffle=True, drop_last=True"),
        caught_by="test_one_loader_a_split",
    ),
    Mistake(
        "the rest of the test data dropped",
        was=TEST,
        now=TEST.replace("batch_size,", "batch_size, drop_last=True,"),
        caught_by="test_every_loader_reads_all_of_its_own_split",
    ),
    Mistake(
        "the generator of the training loader forgotten",
        was=TRAIN,
        now=TRAIN.replace(" generator=generator,", ""),
        caught_by="TestMakeLoaders::test_equal_generators_give_equal_epochs",
    ),
    Mistake(
        "one generator for all loaders",
        was=VAL,
        now=VAL.replace("num_workers=", "generator=generator, num_workers="),
        caught_by="test_reading_val_and_test_does_not_change_training",
    ),
    Mistake(
        "a fixed seed where there is no generator",
        was=TRAIN,
        now=TRAIN.replace("generator=generator", "generator=generator or torch.Generator().manual_seed(0)"),
        caught_by="test_without_a_generator_nothing_is_seeded",
    ),
    Mistake(
        "all of val in one batch",
        was=VAL,
        now="DataLoader(val, len(val), num_workers=num_workers)",
        caught_by="test_one_loader_a_split",
    ),
    Mistake(
        "val and test exchanged",
        was=VAL,
        now=VAL.replace("val,", "test,"),
        caught_by="test_one_loader_a_split",
    ),
    Mistake(
        "workers for training only",
        was=TEST,
        now="DataLoader(test, batch_size)",
        caught_by="test_workers_are_passed_on",
    ),
    # batch_report
    Mistake(
        "only full batches counted",
        was=COUNT,
        now="batches = n // size",
        caught_by="test_five_samples_in_pairs",
    ),
    Mistake(
        "one batch too many where the size divides",
        was=COUNT,
        now="batches = n // size + 1",
        caught_by="test_every_batch_size_has_its_report",
    ),
    Mistake(
        "n % size: no samples in a full last batch",
        was=LAST,
        now="last = n % size",
        caught_by="test_every_batch_size_has_its_report",
    ),
    Mistake(
        "labels not counted",
        was=BYTES,
        now="dataset[0][0].numel() * dataset[0][0].element_size()",
        caught_by="test_five_samples_in_pairs",
    ),
    Mistake(
        "four bytes for every element",
        was=BYTES,
        now="sum(field.numel() * 4 for field in dataset[0])",
        caught_by="test_all_fields_count_with_their_own_dtype",
    ),
    Mistake(
        "elements, not bytes",
        was=BYTES,
        now="sum(field.numel() for field in dataset[0])",
        caught_by="test_five_samples_in_pairs",
    ),
    Mistake(
        "bytes of the storage behind a sample",
        was=BYTES,
        now="sum(field.untyped_storage().nbytes() for field in dataset[0])",
        caught_by="test_five_samples_in_pairs",
    ),
    Mistake(
        "bytes of a batch that was never full",
        was="min(size, n) * sample_bytes",
        now="size * sample_bytes",
        caught_by="test_a_batch_size_above_the_number_of_samples",
    ),
    Mistake(
        "bytes of the last batch",
        was="min(size, n) * sample_bytes",
        now="last * sample_bytes",
        caught_by="test_five_samples_in_pairs",
    ),
    Mistake(
        "bytes of all batches",
        was="min(size, n) * sample_bytes",
        now="n * sample_bytes",
        caught_by="test_five_samples_in_pairs",
    ),
    Mistake(
        "TensorDatasets only",
        was=BYTES,
        now="sum(t[0].nbytes for t in dataset.tensors)",
        caught_by="test_all_fields_count_with_their_own_dtype",
    ),
    # ShardedRange
    Mistake(
        "every worker reads everything",
        was=STREAM,
        now="return iter(range(self.start, self.end))",
        caught_by="test_real_worker_processes_share_the_stream",
    ),
    Mistake(
        "the last number missing in every shard",
        was=STREAM,
        now="return iter(range(self.start + first, self.end - (info is not None), step))",
        caught_by="test_workers_read_every_number_once",
    ),
    Mistake(
        "the end is part of the stream",
        was=STREAM,
        now="return iter(range(self.start + first, self.end + 1, step))",
        caught_by="test_without_workers_all_numbers_in_order",
    ),
    Mistake(
        "numbers counted from 0",
        was=STREAM,
        now="return iter(range(first, self.end - self.start, step))",
        caught_by="test_without_workers_all_numbers_in_order",
    ),
    Mistake(
        "blocks that lose the rest",
        was=STREAM,
        now="size = (self.end - self.start) // step\n"
        "        return iter(range(self.start + first * size, self.start + (first + 1) * size))",
        caught_by="test_workers_read_every_number_once",
    ),
    Mistake(
        "blocks that go past the end",
        was=STREAM,
        now="size = -((self.start - self.end) // step)\n"
        "        return iter(range(self.start + first * size, self.start + (first + 1) * size))",
        caught_by="test_workers_read_every_number_once",
    ),
    Mistake(
        "one worker reads everything, the others nothing",
        was=STREAM,
        now="return iter(range(self.start, self.end) if first == 0 else ())",
        caught_by="test_the_work_is_shared_out",
    ),
    Mistake(
        "workers counted from 1",
        was=SHARD,
        now=SHARD.replace("info.id,", "info.id - 1,"),
        caught_by="test_workers_read_every_number_once",
    ),
    Mistake(
        "shards by remainder, from start or not",
        was=STREAM,
        now="return iter([n for n in range(self.start, self.end) if abs(n) % step == first and (n or info is None)])",
        caught_by="test_more_workers_than_numbers",
    ),
    Mistake(
        "nothing where there are no workers",
        was=SHARD,
        now="first, step = info.id, info.num_workers",
        caught_by="test_without_workers_all_numbers_in_order",
    ),
    Mistake(
        "one iterator for all passes",
        was=STREAM,
        now="self.stream = getattr(self, 'stream', iter(range(self.start + first, self.end, step)))\n"
        "        return self.stream",
        caught_by="test_it_can_be_iterated_again",
    ),
    Mistake(
        "a shard of the shard in the second pass",
        was=STREAM,
        now="self.start += first\n        return iter(range(self.start, self.end, step))",
        caught_by="test_passes_of_a_worker_are_alike",
    ),
    Mistake(
        "tensors instead of ints",
        was=STREAM,
        now="return iter(torch.arange(self.start + first, self.end, step))",
        caught_by="test_without_workers_all_numbers_in_order",
    ),
    Mistake(
        "an empty stream is refused",
        was="if end < start:",
        now="if end <= start:",
        caught_by="test_an_empty_stream_is_fine",
    ),
    Mistake(
        "a range that runs backwards is empty",
        was="if end < start:",
        now="if False:",
        caught_by="test_the_end_is_not_before_the_start",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="if n < 0 or not math.isclose(total, 1, rel_tol=0, abs_tol=1e-6) or min(fractions) < 0:",
        now="if n < 0 or not math.isclose(total, 1, abs_tol=1e-6) or min(fractions) < 0:",
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
        was="out = sequences[0].new_full((len(sequences), longest, *sequences[0].shape[1:]), value)",
        now="out = sequences[-1].new_full((len(sequences), longest, *sequences[0].shape[1:]), value)",
        reason="all sequences have one dtype",
    ),
    Equivalent(
        was="out = sequences[0].new_full((len(sequences), longest, *sequences[0].shape[1:]), value)",
        now="out = sequences[0].new_full((len(sequences), longest, *sequences[-1].shape[1:]), value)",
        reason="sequences agree in all dimensions but the first",
    ),
    Equivalent(
        was="super().__init__()",
        now="pass",
        reason="an IterableDataset has nothing to initialise",
    ),
]
