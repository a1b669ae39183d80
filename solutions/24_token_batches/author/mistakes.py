"""Wrong solutions of 24 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

PIECE = "piece = tokens[start : start + count + 1].long()"
PAIR = """return piece[:-1].reshape(batch_size, block_size), piece[1:].reshape(
        batch_size, block_size
    )"""
OFFSETS = """offsets = torch.randint(
        len(tokens) - block_size, (batch_size,), generator=generator
    )"""
DISTINCT = "distinct = list(dict.fromkeys(docs))"
SIZE = "size = min(max(round(val_fraction * len(distinct)), 1), len(distinct) - 1)"
SIDES = """return [doc for doc in docs if doc not in held_out], [
        doc for doc in docs if doc in held_out
    ]"""
STREAM = """        stream.append(eot)
        stream.extend(encode(doc))
"""
AS_STREAM = "return _uint16(stream)"
SHARDS = "for i, first in enumerate(range(0, len(stream), shard_size)):"
LOADED = "return torch.from_numpy(stream.astype(np.int64))"
LEFT = "while self.position + self.stride + 1 > self.lengths[self.shard]:"
NEXT = "self.shard, self.position = (self.shard + 1) % len(self.paths), 0"
LOAD = "if self.loaded != self.shard:"
MOVE = "self.position += self.stride"
STATE = 'return {"shard": self.shard, "position": self.position}'
RESTORE = 'self.shard, self.position = state["shard"], state["position"]'
EPOCHS = """name: total_tokens * weights[name] / total_weight / size
        for name, size in dataset_tokens.items()"""

MISTAKES = [
    # sequential_batch
    Mistake(
        "targets wrap inside each row",
        was=PAIR,
        now=(
            "x = piece[:-1].reshape(batch_size, block_size); return x, x.roll(-1, "
            "dims=1)"
        ),
        caught_by="test_targets_are_the_tokens_that_follow_across_rows_too",
        says="looks like each row rolled around",
    ),
    Mistake(
        "the dtype of the stream carried through",
        was=PIECE,
        now=PIECE.replace(".long()", ""),
        caught_by="TestSequentialBatch::test_any_integer_dtype_gives_long",
        says="expected int64",
        edge=True,
    ),
    # random_batch
    Mistake(
        "the last window is never drawn",
        was=OFFSETS,
        now=OFFSETS.replace("- block_size,", "- block_size - 1,"),
        caught_by="test_every_offset_is_equally_likely",
        says="looks like the last window is never drawn",
    ),
    Mistake(
        "one offset for all rows",
        was=OFFSETS,
        now="""\
offsets = torch.randint(len(tokens) - block_size, (1,), generator=generator).expand(
        batch_size
    )""",
        caught_by="test_every_offset_is_equally_likely",
        says="looks like one offset for all rows: each row draws its own",
    ),
    Mistake(
        "windows cut short at the end",
        was=OFFSETS,
        now=OFFSETS.replace("len(tokens) - block_size", "len(tokens)"),
        caught_by="test_every_offset_is_equally_likely",
        says="stack expects each tensor to be equal size",
    ),
    Mistake(
        "the given generator ignored",
        was=OFFSETS,
        now=OFFSETS.replace(", generator=generator", ""),
        caught_by="TestRandomBatch::test_a_seed_gives_its_batch_again",
        says="torch's global generator was used",
    ),
    # split_documents
    Mistake(
        "copies of a document on both sides",
        was=SIDES,
        now=(
            "cut = int(len(docs) * (1 - val_fraction)); return list(docs[:cut]), "
            "list(docs[cut:])"
        ),
        caught_by="test_copies_stay_on_one_side",
        says="on both sides",
    ),
    Mistake(
        "a set difference loses copies",
        was=SIDES,
        now=(
            "return sorted(set(docs) - held_out, key=docs.index), sorted(held_out, "
            "key=docs.index)"
        ),
        caught_by="test_nothing_is_lost_and_the_order_kept",
        says="how many copies too few",
    ),
    Mistake(
        "the fraction counts copies",
        was=SIZE,
        now="size = min(max(round(val_fraction * len(docs)), 1), len(distinct) - 1)",
        caught_by="test_the_fraction_counts_distinct_documents",
        says="distinct documents in val",
    ),
    Mistake(
        "the order of a set of strings",
        was=DISTINCT,
        now="distinct = list(set(docs))",
        caught_by="test_a_seed_gives_its_split_again",
        says="back in lower case",
    ),
    # tokenize_documents
    Mistake(
        "marks between documents only",
        was=STREAM,
        now=STREAM.replace(
            "        stream.append(eot)", "        stream += [eot] if stream else []"
        ),
        caught_by="test_a_mark_is_before_each_document",
        says="looks like marks between documents only",
    ),
    Mistake(
        "astype without a look at the range",
        was=AS_STREAM,
        now="return np.array(stream).astype(np.uint16)",
        caught_by="TestTokenizeDocuments::test_an_id_that_does_not_fit_is_refused",
        says="raised nothing",
        edge=True,
    ),
    # write_shards and load_shard
    Mistake(
        "the rest left out",
        was=SHARDS,
        now=(
            "for i, first in enumerate(range(0, len(stream) - shard_size + 1, "
            "shard_size)):"
        ),
        caught_by="test_each_shard_holds_the_next_tokens",
        says="the files",
    ),
    Mistake(
        "read as int16",
        was=LOADED,
        now="return torch.from_numpy(stream.view(np.int16)).long()",
        caught_by="test_ids_above_32767_stay_positive",
        says="looks like uint16 read as int16",
    ),
    # DataLoaderLite
    Mistake(
        "moves on by its own piece only",
        was=MOVE,
        now="self.position += self.batch_size * self.block_size",
        caught_by="test_each_rank_reads_its_piece",
        says="looks like advanced by B·T, not by B·T·world_size",
    ),
    Mistake(
        "each rank looks at its own place for the end",
        was=LEFT,
        now=LEFT.replace("self.position", "self.position + self.piece"),
        caught_by="test_all_ranks_change_shard_at_the_same_step",
        says="looks like a rank that counts the tokens left from its own piece",
    ),
    Mistake(
        "no room asked for the token after the step",
        was=LEFT,
        now=LEFT.replace(" + 1 >", " >"),
        caught_by="test_a_shard_is_used_as_long_as_a_step_fits",
        says="13 tokens from 12 on do not fit into a stream of 24",
    ),
    Mistake(
        "perhaps no way back from the last shard to the first",
        was=NEXT,
        now="self.shard, self.position = self.shard + 1, 0",
        caught_by="test_after_the_last_shard_comes_the_first",
        says="list index out of range",
    ),
    Mistake(
        "the next shard is long enough, surely",
        was=LEFT,
        now=LEFT.replace("while", "if"),
        caught_by="test_short_shards_are_passed_over",
        says="13 tokens from 0 on do not fit into a stream of 12",
        edge=True,
    ),
    Mistake(
        "reset stays in its shard",
        was="""        self.shard, self.position = 0, 0

    def state_dict""",
        now="""        self.shard, self.position = getattr(self, "shard", 0), 0

    def state_dict""",
        caught_by="test_reset_goes_back_to_the_first_shard",
        says="looks like only the position went back",
    ),
    Mistake(
        "the state holds the rank's own place",
        was=STATE,
        now='return {"shard": self.shard, "position": self.position + self.piece}',
        caught_by="test_state_is_plain_and_the_same_on_all_ranks",
        says="wanted a multiple of 12",
    ),
    Mistake(
        "one dict for all states",
        was=STATE,
        now="""self.state = getattr(self, "state", {})
        self.state.update(shard=self.shard, position=self.position)
        return self.state""",
        caught_by="test_a_state_does_not_move_on",
        says="looks like the state now, not that of the save",
    ),
    Mistake(
        "only the position restored",
        was=RESTORE,
        now='self.position = state["position"]',
        caught_by="test_resuming_continues_on_every_rank",
        says="looks like only the position restored",
    ),
    Mistake(
        "the shard in memory is kept",
        was=LOAD,
        now="if self.loaded is None or self.position == 0:",
        caught_by="test_a_running_loader_can_be_set_back",
        says="looks like the right position, in the shard",
    ),
    # mixture_epochs
    Mistake(
        "weights taken as they are",
        was=EPOCHS,
        now=EPOCHS.replace(" / total_weight", ""),
        caught_by="test_tokens_taken_over_tokens_there",
        says="looks like weights that were not divided by their sum",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="[tokens[o : o + block_size + 1] for o in offsets.tolist()]",
        now="[tokens[o : o + block_size + 1] for o in offsets]",
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
    Equivalent(
        was="n_val = min(max(round(val_fraction * n), 1), n - 1)",
        now="n_val = min(max(round(val_fraction * n), 1), n - 0)",
        reason="a fraction that rounds to all is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="n_val = min(max(round(val_fraction * n), 1), n - 1)",
        now="n_val = min(max(round(val_fraction * n), 0), n - 1)",
        reason="a fraction that rounds to none is asked at the edges alone",
        textbook=True,
    ),
]
