"""Wrong solutions of 11 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

WORDS = """words = [
            word
            for word, count in counts.items()
            if count >= min_freq and word not in special
        ]"""
SORT = "words.sort(key=lambda word: (-counts[word], word))"
DECODE = """return " ".join(
            self.tokens[number] for number in numbers if number != self.pad_id
        )"""
PAD = "padded = pad_sequence(pieces, batch_first=True, padding_value=padding_value)"
LENGTHS = (
    "lengths = torch.tensor([len(piece) for piece in pieces], device=padded.device)"
)
STEPS = "steps = torch.arange(padded.shape[1], device=padded.device)"
MASK = "return padded, steps < lengths[:, None]"
OUTSIDE = "outside = ids[(ids < 0) | (ids >= self.num_embeddings)]"
WHERE = (
    "return torch.where((ids == self.padding_idx).unsqueeze(-1), rows.detach(), rows)"
)
ONE_HOT = "return F.one_hot(ids, weight.shape[0]).to(weight.dtype) @ weight"
SORTED = "sorted_indices = lengths.argsort(descending=True, stable=True)"
DATA = "data = padded[sorted_indices].transpose(0, 1)[running]"
SIZES = "batch_sizes = running.sum(dim=1)[: lengths.max()].cpu()"
SVD = "axes = torch.linalg.svd(centred, full_matrices=False).Vh"

MISTAKES = [
    # Vocabulary
    Mistake(
        "ties by first appearance",
        was=SORT,
        now="words.sort(key=counts.get, reverse=True)",
        caught_by="test_equal_counts_are_in_alphabetical_order",
        says="looks like ties in the order of their first appearance",
    ),
    Mistake(
        "max_size without the special tokens",
        was="(special + words)[:max_size]",
        now="special + words[:max_size]",
        caught_by="test_max_size_counts_the_special_tokens",
        says="looks like max_size words, and <pad> and <unk> beside them",
    ),
    Mistake(
        "special tokens in the text listed twice",
        was=WORDS,
        now="words = [word for word, count in counts.items() if count >= min_freq]",
        caught_by="test_special_tokens_in_a_text_get_no_second_entry",
        says="looks like <pad> and <unk> listed a second time",
        edge=True,
    ),
    Mistake(
        "KeyError for an unknown word",
        was="self.ids.get(word, self.unk_id)",
        now="self.ids[word]",
        caught_by="test_unknown_words_get_unk_id",
        says="raised KeyError: 'bird'",
    ),
    Mistake(
        "unknown words become padding",
        was="self.ids.get(word, self.unk_id)",
        now="self.ids.get(word, self.pad_id)",
        caught_by="test_unknown_words_get_unk_id",
        says="looks like unknown words are encoded as padding",
    ),
    Mistake(
        "decode shows padding",
        was=DECODE,
        now='return " ".join(self.tokens[number] for number in numbers)',
        caught_by="test_decode_drops_padding",
        says="looks like padding is shown",
    ),
    # pad_batch
    Mistake(
        "left padding",
        was=PAD,
        now=PAD.replace(")", ', padding_side="left")'),
        caught_by="test_short_sequences_are_filled_up_on_the_right",
        says="looks like padded on the left",
    ),
    Mistake(
        "float32 in place of the pieces' own dtype",
        was=PAD,
        now=(
            "padded = pad_sequence([piece.float() for piece in pieces], "
            "batch_first=True, padding_value=padding_value)"
        ),
        caught_by="test_short_sequences_are_filled_up_on_the_right",
        says="float32 expected int64",
    ),
    Mistake(
        "mask from the padding value",
        was=MASK,
        now=(
            "return padded, (padded != padding_value).reshape(*padded.shape[:2], "
            "-1).any(-1)"
        ),
        caught_by="test_a_real_item_may_equal_the_padding_value",
        says="looks like where items differ from the padding value",
    ),
    Mistake(
        "max_len taken for the width",
        was=PAD,
        now=PAD + "\n    if max_len and padded.shape[1] < max_len:\n"
        "        extra = padded.new_full((len(pieces), max_len - padded.shape[1], "
        "*padded.shape[2:]), padding_value)\n"
        "        padded = torch.cat([padded, extra], dim=1)\n"
        "        lengths = torch.tensor([len(piece) for piece in pieces])\n"
        "        return padded, torch.arange(max_len) < lengths[:, None]",
        caught_by="test_max_len_cuts_and_never_pads_further",
        says="looks like padded up to max_len",
    ),
    # Embedding
    Mistake(
        "weight is no parameter",
        was="self.weight = nn.Parameter(torch.randn(num_embeddings, embedding_dim))",
        now=(
            'self.register_buffer("weight", torch.randn(num_embeddings, embedding_dim))'
        ),
        caught_by="test_the_table_is_the_only_parameter",
        says="looks like weight is no nn.Parameter",
    ),
    Mistake(
        "padding row 0 forgotten",
        was="if padding_idx is not None:",
        now="if padding_idx:",
        caught_by="test_only_the_padding_row_starts_at_zero",
        says="looks like the padding row is drawn like the others",
    ),
    Mistake(
        "gradient reaches the padding row",
        was=WHERE,
        now="return rows",
        caught_by="test_it_learns_like_torchs_embedding",
        says="looks like the padding row learns like any other",
    ),
    Mistake(
        "padding row forced to zero",
        was=WHERE,
        now="return rows * (ids != self.padding_idx).unsqueeze(-1)",
        caught_by="test_rows_are_those_of_the_present_table",
        says="looks like the padding row is forced to zero",
    ),
    Mistake(
        "no check of negative ids",
        was=OUTSIDE,
        now="outside = ids[ids >= self.num_embeddings]",
        caught_by="test_ids_that_do_not_exist_are_an_error",
        says="such as IndexError that mentions -1",
        edge=True,
    ),
    # one_hot_lookup
    Mistake(
        "the table indexed",
        was=ONE_HOT,
        now="return weight[ids]",
        caught_by="test_the_table_is_not_indexed",
        says="weight was indexed, by __getitem__",
    ),
    Mistake(
        "one-hot rows only as wide as the largest id",
        was=ONE_HOT,
        now="return F.one_hot(ids).to(weight.dtype) @ weight",
        caught_by="test_the_product_picks_the_rows",
        says="shapes cannot be multiplied (6x4 and 7x4)",
    ),
    # embed_texts
    Mistake(
        "mean over all places",
        was='"mean": total / count}',
        now='"mean": vectors.mean(dim=1)}',
        caught_by="test_the_mean_counts_real_tokens_only",
        says="looks like a mean over all T places",
    ),
    Mistake(
        "padding added in",
        was="total = vectors.masked_fill(~mask.unsqueeze(-1), 0.0).sum(dim=1)",
        now="total = vectors.sum(dim=1)",
        caught_by="test_the_mean_counts_real_tokens_only",
        says="looks like the padding is added in",
    ),
    Mistake(
        "NaN for an empty text",
        was="count = mask.sum(dim=1, keepdim=True).clamp(min=1)",
        now="count = mask.sum(dim=1, keepdim=True)",
        caught_by="test_a_text_without_tokens_has_mean_zero",
        says="first at [1, 0]: got nan",
        edge=True,
    ),
    # PackedBatch
    Mistake(
        "packed sequence after sequence",
        was=DATA,
        now="data = torch.cat([padded[b, :n] for b, n in enumerate(lengths)])",
        caught_by="test_data_goes_step_by_step",
        says="looks like one sequence after another",
    ),
    Mistake(
        "batch sizes up to T",
        was=SIZES,
        now="batch_sizes = running.sum(dim=1).cpu()",
        caught_by="test_batch_sizes_are_those_of_torch",
        says="(6,) expected (5,)",
    ),
    Mistake(
        "unpack does not undo the sort",
        was="running = self.sorted_indices[: len(items)]",
        now="running = torch.arange(len(items))",
        caught_by="test_each_sequence_is_back_in_its_own_row",
        says="looks like the rows are still sorted by length",
    ),
    # memory_comparison, project_2d
    Mistake(
        "ids of 4 bytes",
        was="id_bytes = num_tokens * torch.int64.itemsize",
        now="id_bytes = num_tokens * 4",
        caught_by="test_one_hot_input_beside_ids",
        says="looks like ids of 4 bytes: int64 has 8",
    ),
    Mistake(
        "projection on the last two axes",
        was=SVD,
        now="axes = torch.linalg.eigh(centred.mT @ centred).eigenvectors.mT",
        caught_by="test_coordinates_on_the_first_two_principal_axes",
        says="looks like the axes with the smallest spread",
    ),
]

EQUIVALENT = [
    Equivalent(
        "numbers = ids.tolist()",
        "numbers = ids",
        "a tensor is walked through and compared in the same way",
    ),
    Equivalent(
        "if not 0 <= number < len(self):",
        "if not 0 <= number <= len(self):",
        "the list raises the same error for the one id more",
    ),
    Equivalent(
        "self.tokens[number] for number in numbers if number != self.pad_id",
        "self.tokens[number] for number in numbers if number > self.pad_id",
        "no id below the padding's passes the check",
    ),
    Equivalent(
        "if len(sequences) == 0:", "if len(sequences) <= 0:", "no length is negative"
    ),
    Equivalent(
        LENGTHS, LENGTHS.replace(", device=padded.device", ""), "only a GPU can tell"
    ),
    Equivalent(
        STEPS, STEPS.replace(", device=padded.device", ""), "only a GPU can tell"
    ),
    Equivalent(
        "torch.arange(steps, device=lengths.device)[:, None]",
        "torch.arange(steps)[:, None]",
        "only a GPU can tell",
    ),
    Equivalent(SIZES, SIZES.replace(".cpu()", ""), "only a GPU can tell"),
    Equivalent(
        OUTSIDE,
        "outside = ids[(ids < 0)]",
        "torch's own IndexError names the id and the size too",
    ),
    Equivalent(
        OUTSIDE, OUTSIDE.replace("|", "^"), "no id is both below 0 and beyond the table"
    ),
    Equivalent(
        OUTSIDE,
        OUTSIDE.replace(">=", ">"),
        "torch's own IndexError names the id and the size too",
    ),
    Equivalent(
        "if ((lengths < 1) | (lengths > steps)).any():",
        "if ((lengths < 1) ^ (lengths > steps)).any():",
        "no length is both below 1 and above T",
    ),
    Equivalent(
        SORTED,
        SORTED.replace("stable=True", "stable=False"),
        "small sorts are stable either way",
    ),
    Equivalent(SVD, SVD.replace("False", "True"), "the further axes are not used"),
    Equivalent(
        was="mean = total / mask.sum(dim=1, keepdim=True).clamp(min=1)",
        now="mean = total / mask.sum(dim=1, keepdim=True).clamp(min=0)",
        reason="a text without tokens is asked at the edges alone",
        textbook=True,
    ),
]
