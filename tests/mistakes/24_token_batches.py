"""Wrong solutions of 24 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

FITS = "    if start < 0 or start + count + 1 > len(tokens):"
PIECE = "piece = tokens[start : start + count + 1].long()"
PAIR = "return piece[:-1].reshape(batch_size, block_size), piece[1:].reshape(batch_size, block_size)"
ENOUGH = "if len(tokens) < block_size + 1:"
OFFSETS = "offsets = torch.randint(len(tokens) - block_size, (batch_size,), generator=generator)"
WINDOWS = "windows = torch.stack([tokens[o : o + block_size + 1] for o in offsets.tolist()]).long()"
WINDOW_PAIR = "return windows[:, :-1], windows[:, 1:]"
DISTINCT = "distinct = list(dict.fromkeys(docs))"
SPLIT_CHECK = "if not 0 < val_fraction < 1 or len(distinct) < 2:"
SIZE = "size = min(max(round(val_fraction * len(distinct)), 1), len(distinct) - 1)"
DRAWN = """    order = torch.randperm(len(distinct), generator=generator).tolist()
    held_out = {distinct[i] for i in order[:size]}
"""
SIDES = "return [doc for doc in docs if doc not in held_out], [doc for doc in docs if doc in held_out]"
STREAM = """        stream.append(eot)
        stream.extend(encode(doc))
"""
AS_STREAM = "return _uint16(stream)"
SHARD_SIZE = "if shard_size < 1:"
IDS = "    stream = _uint16(tokens)\n"
FOLDER = "folder.mkdir(parents=True, exist_ok=True)"
SHARDS = "for i, first in enumerate(range(0, len(stream), shard_size)):"
NAME = 'paths.append(folder / f"{split}_{i:06d}.npy")'
SAVE = "np.save(paths[-1], stream[first : first + shard_size])"
IDS_TO_SAVE = """    stream = _uint16(tokens)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, first in enumerate(range(0, len(stream), shard_size)):
        paths.append(folder / f"{split}_{i:06d}.npy")
        np.save(paths[-1], stream[first : first + shard_size])
"""
SHARD_CHECK = "if stream.ndim != 1 or stream.dtype != np.uint16:"
LOADED = "return torch.from_numpy(stream.astype(np.int64))"
PATHS = "self.paths = list(shard_paths)"
ANY = "if not any(length > self.stride for length in self.lengths):"
LEFT = "while self.position + self.stride + 1 > self.lengths[self.shard]:"
NEXT = "self.shard, self.position = (self.shard + 1) % len(self.paths), 0"
LOAD = "if self.loaded != self.shard:"
OWN = "start=self.position + self.piece)"
MOVE = "self.position += self.stride"
STATE = 'return {"shard": self.shard, "position": self.position}'
STATE_CHECK = 'if not 0 <= state["shard"] < len(self.paths) or state["position"] % self.stride:'
RESTORE = 'self.shard, self.position = state["shard"], state["position"]'
NAMES = "if dataset_tokens.keys() != weights.keys():"
WEIGHTS = "if total_weight == 0 or min(weights.values()) < 0:"
EPOCHS = "name: total_tokens * weights[name] / total_weight / size for name, size in dataset_tokens.items()"

MISTAKES = [
    # sequential_batch
    Mistake(
        "targets wrap inside each row",
        was=PAIR,
        now="x = piece[:-1].reshape(batch_size, block_size); return x, x.roll(-1, dims=1)",
        caught_by="test_targets_are_the_tokens_that_follow_across_rows_too",
    ),
    Mistake(
        "tokens dealt out to the rows one by one",
        was=PAIR,
        now="return piece[:-1].reshape(block_size, batch_size).T, piece[1:].reshape(block_size, batch_size).T",
        caught_by="test_rows_are_the_next_pieces_of_the_stream",
    ),
    Mistake(
        "the last batch refused",
        was=FITS,
        now="    if start < 0 or start + count + 1 >= len(tokens):",
        caught_by="test_the_last_tokens_are_used_to_the_end",
    ),
    Mistake(
        "a negative start counts from the end",
        was=FITS,
        now="    if len(tokens[start:]) < count + 1:",
        caught_by="test_a_negative_start_is_refused",
        edge=True,
    ),
    Mistake(
        "the dtype of the stream carried through",
        was=PIECE,
        now=PIECE.replace(".long()", ""),
        caught_by="TestSequentialBatch::test_any_integer_dtype_gives_long",
    ),
    Mistake(
        "strides of a stream in one piece taken for granted",
        was=PIECE,
        now="piece = tokens.as_strided((count + 1,), (1,), tokens.storage_offset() + start).long()",
        caught_by="test_a_stream_may_be_a_view",
    ),
    Mistake(
        "targets written into the stream",
        was=PAIR,
        now="x = piece[:-1].clone(); piece[:-1] = piece[1:].clone(); "
        "return x.view(batch_size, block_size), piece[:-1].view(batch_size, block_size)",
        caught_by="test_the_stream_stays_as_it_was",
    ),
    # random_batch
    Mistake(
        "the last window is never drawn",
        was=OFFSETS,
        now=OFFSETS.replace("- block_size,", "- block_size - 1,"),
        caught_by="test_every_offset_is_equally_likely",
    ),
    Mistake(
        "windows cut short at the end",
        was=OFFSETS,
        now=OFFSETS.replace("len(tokens) - block_size", "len(tokens)"),
        caught_by="test_one_window_is_enough",
    ),
    Mistake(
        "the given generator ignored",
        was=OFFSETS,
        now=OFFSETS.replace(", generator=generator", ""),
        caught_by="TestRandomBatch::test_a_seed_gives_its_batch_again",
    ),
    Mistake(
        "a new generator at every call without one",
        was=OFFSETS,
        now=OFFSETS.replace("generator=generator", "generator=generator or torch.Generator()"),
        caught_by="TestRandomBatch::test_without_a_generator_torchs_own_is_used",
    ),
    Mistake(
        "windows side by side from one random place",
        was=OFFSETS,
        now="n = len(tokens) - block_size\n"
        "    offsets = (torch.randint(n, (1,), generator=generator) + torch.arange(batch_size)) % n",
        caught_by="test_rows_draw_for_themselves",
    ),
    Mistake(
        "targets turned around inside the window",
        was=WINDOW_PAIR,
        now="return windows[:, :-1], windows[:, :-1].roll(-1, dims=1)",
        caught_by="TestRandomBatch::test_targets_are_the_tokens_that_follow",
    ),
    Mistake(
        "the dtype of the windows carried through",
        was=WINDOWS,
        now=WINDOWS.replace(".long()", ""),
        caught_by="TestRandomBatch::test_any_integer_dtype_gives_long",
    ),
    # split_documents
    Mistake(
        "cut at a position",
        was=SIDES,
        now="cut = int(len(docs) * (1 - val_fraction)); return list(docs[:cut]), list(docs[cut:])",
        caught_by="test_copies_stay_on_one_side",
    ),
    Mistake(
        "places shuffled, not documents",
        was=DRAWN + "    " + SIDES,
        now="""    order = torch.randperm(len(docs), generator=generator).tolist()
    places = set(order[:size])
    return [d for i, d in enumerate(docs) if i not in places], [d for i, d in enumerate(docs) if i in places]""",
        caught_by="test_copies_stay_on_one_side",
    ),
    Mistake(
        "a set difference loses copies",
        was=SIDES,
        now="return sorted(set(docs) - held_out, key=docs.index), sorted(held_out, key=docs.index)",
        caught_by="test_nothing_is_lost_and_nothing_added",
    ),
    Mistake(
        "the fraction counts copies",
        was=SIZE,
        now="size = min(max(round(val_fraction * len(docs)), 1), len(distinct) - 1)",
        caught_by="test_the_fraction_counts_distinct_documents",
    ),
    Mistake(
        "val may be empty",
        was=SIZE,
        now="size = min(round(val_fraction * len(distinct)), len(distinct) - 1)",
        caught_by="test_both_sides_hold_something",
    ),
    Mistake(
        "val in the order of drawing",
        was=SIDES,
        now="val = [d for i in order[:size] for d in docs if d == distinct[i]]\n"
        "    return [doc for doc in docs if doc not in held_out], val",
        caught_by="test_both_sides_keep_the_order",
    ),
    Mistake(
        "neighbours from a random place",
        was=DRAWN,
        now="""    first = torch.randint(len(distinct), (1,), generator=generator).item()
    held_out = {distinct[(first + i) % len(distinct)] for i in range(size)}
""",
        caught_by="test_every_choice_is_equally_likely",
    ),
    Mistake(
        "many copies are drawn sooner",
        was=DRAWN,
        now="""    order = torch.randperm(len(docs), generator=generator).tolist()
    held_out = set(list(dict.fromkeys(docs[i] for i in order))[:size])
""",
        caught_by="test_every_choice_is_equally_likely",
    ),
    Mistake(
        "the order of a set of strings",
        was=DISTINCT,
        now="distinct = list(set(docs))",
        caught_by="test_a_seed_gives_its_split_again",
    ),
    Mistake(
        "entries counted, not documents",
        was=SPLIT_CHECK,
        now="if not 0 < val_fraction < 1 or len(docs) < 2:",
        caught_by="test_one_document_cannot_be_split",
        edge=True,
    ),
    # tokenize_documents
    Mistake(
        "marks between documents only",
        was=STREAM,
        now=STREAM.replace("        stream.append(eot)", "        stream += [eot] if stream else []"),
        caught_by="test_a_mark_stands_before_each_document",
    ),
    Mistake(
        "marks after documents",
        was=STREAM,
        now="        stream.extend([*encode(doc), eot])\n",
        caught_by="test_a_mark_stands_before_each_document",
    ),
    Mistake(
        "empty documents passed over",
        was=STREAM,
        now="        stream.extend([eot, *encode(doc)] if doc else [])\n",
        caught_by="test_an_empty_document_has_its_mark",
    ),
    Mistake(
        "the mark put into the encoder's own list",
        was=STREAM,
        now="        ids = encode(doc)\n        ids.insert(0, eot)\n        stream.extend(ids)\n",
        caught_by="test_the_encoders_lists_are_left_alone",
    ),
    Mistake(
        "astype without a look at the range",
        was=AS_STREAM,
        now="return np.array(stream).astype(np.uint16)",
        caught_by="test_an_id_that_does_not_fit_is_refused",
        edge=True,
    ),
    # write_shards
    Mistake(
        "the rest left out",
        was=SHARDS,
        now="for i, first in enumerate(range(0, len(stream) - shard_size + 1, shard_size)):",
        caught_by="test_each_shard_holds_the_next_tokens",
    ),
    Mistake(
        "an empty shard at the end",
        was=SHARDS,
        now="for i, first in enumerate(range(0, len(stream) + 1, shard_size)):",
        caught_by="test_no_shard_is_empty",
    ),
    Mistake(
        "old files of the split removed",
        was=FOLDER,
        now=FOLDER + '\n    for old in folder.glob(f"{split}_*.npy"):\n        old.unlink()',
        caught_by="test_files_of_other_names_stay",
    ),
    Mistake(
        "numbers without zeros in front",
        was=NAME,
        now='paths.append(folder / f"{split}_{i}.npy")',
        caught_by="test_names_are_numbered_from_zero",
    ),
    Mistake(
        "the dtype of the stream on disk",
        was=IDS,
        now="    _uint16(tokens)\n    stream = np.asarray(tokens)\n",
        caught_by="test_arrays_of_any_integer_dtype",
    ),
    Mistake(
        "folders above are not made",
        was=FOLDER,
        now="folder.mkdir(exist_ok=True)",
        caught_by="test_folders_are_made",
    ),
    Mistake(
        "ids looked at shard by shard",
        was=IDS_TO_SAVE,
        now=IDS_TO_SAVE.replace("_uint16(tokens)", "np.asarray(tokens)").replace(
            "stream[first : first + shard_size]", "_uint16(stream[first : first + shard_size])"
        ),
        caught_by="TestWriteShards::test_an_id_that_does_not_fit_is_refused",
        edge=True,
    ),
    # load_shard
    Mistake(
        "read as int16",
        was=LOADED,
        now="return torch.from_numpy(stream.view(np.int16)).long()",
        caught_by="test_ids_above_32767_stay_positive",
    ),
    Mistake(
        "uint16 in memory too",
        was=LOADED,
        now="return torch.from_numpy(stream)",
        caught_by="test_the_ids_come_back_as_long",
    ),
    Mistake(
        "any dtype will do",
        was=SHARD_CHECK,
        now="if stream.ndim != 1:",
        caught_by="test_other_arrays_are_refused",
        edge=True,
    ),
    # DataLoaderLite
    Mistake(
        "moves on by its own piece only",
        was=MOVE,
        now="self.position += self.batch_size * self.block_size",
        caught_by="test_each_rank_reads_its_piece",
    ),
    Mistake(
        "each rank looks at its own place for the end",
        was=LEFT,
        now=LEFT.replace("self.position", "self.position + self.piece"),
        caught_by="test_all_ranks_change_shard_at_the_same_step",
    ),
    Mistake(
        "all ranks read the first piece",
        was=OWN,
        now="start=self.position)",
        caught_by="test_each_rank_reads_its_piece",
    ),
    Mistake(
        "the rank's place is forgotten on a new shard",
        was=NEXT,
        now=NEXT + "\n            self.piece = 0",
        caught_by="test_all_ranks_change_shard_at_the_same_step",
    ),
    Mistake(
        "no room asked for the token after the step",
        was=LEFT,
        now=LEFT.replace(" + 1 >", " >"),
        caught_by="test_a_shard_is_used_as_long_as_a_step_fits",
    ),
    Mistake(
        "there is no shard after the last",
        was=NEXT,
        now="self.shard, self.position = self.shard + 1, 0",
        caught_by="test_after_the_last_shard_comes_the_first",
    ),
    Mistake(
        "the next shard is long enough, surely",
        was=LEFT,
        now=LEFT.replace("while", "if"),
        caught_by="test_short_shards_are_passed_over",
    ),
    Mistake(
        "files in the order of their names",
        was=PATHS,
        now="self.paths = sorted(shard_paths)",
        caught_by="test_paths_may_be_text",
    ),
    Mistake(
        "room for one's own piece is room enough",
        was=ANY,
        now="if not any(length > batch_size * block_size for length in self.lengths):",
        caught_by="test_shards_without_a_single_step_are_refused",
        edge=True,
    ),
    Mistake(
        "reset stays in its shard",
        was="""        self.shard, self.position = 0, 0

    def state_dict""",
        now="""        self.position = 0

    def state_dict""",
        caught_by="test_reset_goes_back_to_the_first_shard",
    ),
    Mistake(
        "the state holds the rank's own place",
        was=STATE,
        now='return {"shard": self.shard, "position": self.position + self.piece}',
        caught_by="test_state_is_plain_and_the_same_on_all_ranks",
    ),
    Mistake(
        "one dict for all states",
        was=STATE,
        now="""self.state = getattr(self, "state", {})
        self.state.update(shard=self.shard, position=self.position)
        return self.state""",
        caught_by="test_a_state_does_not_move_on",
    ),
    Mistake(
        "only the position restored",
        was=RESTORE,
        now='self.position = state["position"]',
        caught_by="test_resuming_continues_on_every_rank",
    ),
    Mistake(
        "the shard in memory is kept",
        was=LOAD,
        now="if self.loaded is None or self.position == 0:",
        caught_by="test_a_running_loader_can_be_set_back",
    ),
    Mistake(
        "a shard from the end",
        was=STATE_CHECK,
        now='if state["shard"] >= len(self.paths) or state["position"] % self.stride:',
        caught_by="test_a_state_that_does_not_fit_is_refused",
        edge=True,
    ),
    Mistake(
        "any piece is a place to resume at",
        was=STATE_CHECK,
        now=STATE_CHECK.replace("self.stride", "(self.batch_size * self.block_size)"),
        caught_by="test_a_state_that_does_not_fit_is_refused",
        edge=True,
    ),
    Mistake(
        "the shard taken before the position is looked at",
        was=STATE_CHECK,
        now=f'self.shard = state["shard"] % len(self.paths)\n        {STATE_CHECK}',
        caught_by="test_a_state_that_does_not_fit_is_refused",
        edge=True,
    ),
    Mistake(
        "reset goes back to the loaded state",
        was=RESTORE,
        now=f"{RESTORE}\n        self.reset = lambda: self.load_state_dict(state)",
        caught_by="test_reset_goes_back_behind_a_loaded_state",
    ),
    Mistake(
        "no room asked for at the beginning of a shard",
        was=LEFT,
        now=LEFT.replace("while ", "while (self.position > 0 or self.loaded is None) and "),
        caught_by="test_reset_goes_back_to_the_first_shard",
    ),
    # mixture_epochs
    Mistake(
        "weights taken as they are",
        was=EPOCHS,
        now=EPOCHS.replace(" / total_weight", ""),
        caught_by="test_percentages_and_fractions_say_the_same",
    ),
    Mistake(
        "weights by their order",
        was=EPOCHS,
        now="name: total_tokens * weight / total_weight / size\n"
        "        for (name, size), weight in zip(dataset_tokens.items(), weights.values())",
        caught_by="test_names_decide_not_their_order",
    ),
    Mistake(
        "a weight without a dataset passed over",
        was=NAMES,
        now="if not dataset_tokens.keys() <= weights.keys():",
        caught_by="test_names_that_differ_are_refused",
        edge=True,
    ),
    Mistake(
        "negative shares",
        was=WEIGHTS,
        now="if total_weight == 0:",
        caught_by="test_weights_must_be_proportions",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="windows = torch.stack([tokens[o : o + block_size + 1] for o in offsets.tolist()]).long()",
        now="windows = torch.stack([tokens[o : o + block_size + 1] for o in offsets]).long()",
        reason="a slice takes a tensor of shape () for an int",
    ),
    Equivalent(
        was="order = torch.randperm(len(distinct), generator=generator).tolist()",
        now="order = torch.randperm(len(distinct), generator=generator)",
        reason="a list takes a tensor of shape () for an int",
    ),
    Equivalent(
        was="if shard_size < 1:",
        now="if shard_size < 0:",
        reason="range refuses a step of 0 with a ValueError of its own",
    ),
    Equivalent(
        was="self.paths = list(shard_paths)",
        now="self.paths = shard_paths",
        reason="nothing is promised about a list of paths that changes later",
    ),
    Equivalent(
        was='self.lengths = [len(np.load(path, mmap_mode="r")) for path in self.paths]',
        now="self.lengths = [len(np.load(path)) for path in self.paths]",
        reason="the same lengths, from whole files in memory",
    ),
    Equivalent(
        was="if self.loaded != self.shard:",
        now="if True:",
        reason="the same tokens, read from the file at every step",
    ),
    Equivalent(
        was="if total_weight == 0 or min(weights.values()) < 0:",
        now="if total_weight <= 0 or min(weights.values()) < 0:",
        reason="a sum below 0 has a negative weight in it",
    ),
]
