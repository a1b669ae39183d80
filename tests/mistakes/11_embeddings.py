"""Wrong solutions of 11 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

COUNTS = "counts = Counter(word for text in texts for word in self.tokenize(text))"
WORDS = "words = [word for word, count in counts.items() if count >= min_freq and word not in special]"
SORT = "words.sort(key=lambda word: (-counts[word], word))"
ENCODE = "return torch.tensor([self.ids.get(word, self.unk_id) for word in self.tokenize(text)], dtype=torch.int64)"
DECODE = 'return " ".join(self.tokens[number] for number in numbers if number != self.pad_id)'
PAD = "padded = pad_sequence(pieces, batch_first=True, padding_value=padding_value)"
MASK = "return padded, steps < lengths[:, None]"
NORMAL = "self.weight = nn.Parameter(torch.randn(num_embeddings, embedding_dim))"
OUTSIDE = "outside = ids[(ids < 0) | (ids >= self.num_embeddings)]"
ROWS = "rows = self.weight[ids]"
WHERE = "return torch.where((ids == self.padding_idx).unsqueeze(-1), rows.detach(), rows)"
ONE_HOT = "return F.one_hot(ids, weight.shape[0]).to(weight.dtype) @ weight"
TOTAL = "total = vectors.masked_fill(~mask.unsqueeze(-1), 0.0).sum(dim=1)"
COUNT = "count = mask.sum(dim=1, keepdim=True).clamp(min=1)"
RESULT = 'return {"ids": ids, "mask": mask, "vectors": vectors, "mean": total / count}'
SORTED = "sorted_indices = lengths.argsort(descending=True, stable=True)"
DATA = "data = padded[sorted_indices].transpose(0, 1)[running]"
SIZES = "batch_sizes = running.sum(dim=1)[: lengths.max()].cpu()"
FULL = "padded = self.data.new_full((batch, self.total_length, *rest), padding_value)"
RUNNING = "running = self.sorted_indices[: len(items)]"
CENTRED = "centred = vectors.detach() - vectors.detach().mean(dim=0)"
SVD = "axes = torch.linalg.svd(centred, full_matrices=False).Vh"

MISTAKES = [
    # Vocabulary
    Mistake(
        "ties by first appearance",
        was=SORT,
        now="words.sort(key=counts.get, reverse=True)",
        caught_by="test_equal_counts_are_in_alphabetical_order",
    ),
    Mistake(
        "ties in falling alphabetical order",
        was=SORT,
        now="words.sort(key=lambda word: (counts[word], word), reverse=True)",
        caught_by="test_equal_counts_are_in_alphabetical_order",
    ),
    Mistake(
        "rarest words first",
        was=SORT,
        now="words.sort(key=lambda word: (counts[word], word))",
        caught_by="test_special_tokens_come_first_then_words_by_falling_count",
    ),
    Mistake(
        "each text counts a word once",
        was="for word in self.tokenize(text))",
        now="for word in set(self.tokenize(text)))",
        caught_by="test_special_tokens_come_first_then_words_by_falling_count",
    ),
    Mistake(
        "special tokens last",
        was="(special + words)[:max_size]",
        now="(words + special)[:max_size]",
        caught_by="test_special_tokens_come_first_then_words_by_falling_count",
    ),
    Mistake(
        "ids count from 1",
        was="enumerate(self.tokens)}",
        now="enumerate(self.tokens, 1)}",
        caught_by="test_ids_are_the_places_in_tokens",
    ),
    Mistake(
        "unk and pad ids swapped",
        was="self.pad_id, self.unk_id = 0, 1",
        now="self.pad_id, self.unk_id = 1, 0",
        caught_by="test_ids_are_the_places_in_tokens",
    ),
    Mistake(
        "unknown words become padding",
        was="self.ids.get(word, self.unk_id)",
        now="self.ids.get(word, self.pad_id)",
        caught_by="test_unknown_words_get_unk_id",
    ),
    Mistake(
        "KeyError for an unknown word",
        was="self.ids.get(word, self.unk_id)",
        now="self.ids[word]",
        caught_by="test_unknown_words_get_unk_id",
    ),
    Mistake(
        "unknown words left out",
        was="for word in self.tokenize(text)], dtype",
        now="for word in self.tokenize(text) if word in self], dtype",
        caught_by="test_unknown_words_get_unk_id",
    ),
    Mistake(
        "len without the special tokens",
        was="return len(self.tokens)",
        now="return len(self.tokens) - 2",
        caught_by="test_length_and_membership",
    ),
    Mistake(
        "in asks about ids",
        was="return token in self.ids",
        now="return token in self.ids.values()",
        caught_by="test_length_and_membership",
    ),
    Mistake(
        "in answers yes to everything but <unk>",
        was="return token in self.ids",
        now="return self.ids.get(token, self.unk_id) != self.unk_id",
        caught_by="test_length_and_membership",
    ),
    Mistake(
        "encode keeps upper case",
        was="for word in self.tokenize(text)], dtype",
        now="for word in text.split()], dtype",
        caught_by="test_case_and_spacing_do_not_matter",
    ),
    Mistake(
        "encode splits at single blanks",
        was="for word in self.tokenize(text)], dtype",
        now='for word in text.lower().split(" ")], dtype',
        caught_by="test_case_and_spacing_do_not_matter",
    ),
    Mistake(
        "float tensor for an empty text",
        was=ENCODE,
        now=ENCODE.replace(", dtype=torch.int64", ""),
        caught_by="test_an_empty_text_has_no_ids",
    ),
    Mistake("int32 ids", was=ENCODE, now=ENCODE.replace("64", "32"), caught_by="test_encode_gives_the_id_of_each_word"),
    Mistake(
        "decode joins without blanks",
        was=DECODE,
        now=DECODE.replace('" "', '""'),
        caught_by="test_encode_then_decode_gives_the_text_back",
    ),
    Mistake(
        "decode shows padding",
        was=DECODE,
        now='return " ".join(self.tokens[number] for number in numbers)',
        caught_by="test_decode_drops_padding",
    ),
    Mistake(
        "decode stops at the first padding",
        was=DECODE,
        now='return " ".join(self.tokens[n] for n in (numbers + [0])[: (numbers + [0]).index(0)])',
        caught_by="test_decode_drops_padding",
    ),
    Mistake(
        "decode drops unknown words too",
        was="if number != self.pad_id)",
        now="if number > self.unk_id)",
        caught_by="test_decode_drops_padding",
    ),
    Mistake(
        "decode takes −1 for the last token",
        was="if not 0 <= number < len(self):",
        now="if number >= len(self):",
        caught_by="test_decode_refuses_ids_that_do_not_exist",
    ),
    Mistake(
        "decode shows ids beyond the end as unknown",
        was="if not 0 <= number < len(self):",
        now="numbers = [n if n < len(self) else 1 for n in numbers]\n            if number < 0:",
        caught_by="test_decode_refuses_ids_that_do_not_exist",
    ),
    Mistake(
        "more than min_freq",
        was="count >= min_freq",
        now="count > min_freq",
        caught_by="test_words_below_min_freq_are_left_out",
    ),
    Mistake(
        "max_size without the special tokens",
        was="(special + words)[:max_size]",
        now="special + words[:max_size]",
        caught_by="test_max_size_counts_the_special_tokens",
    ),
    Mistake(
        "ids of words that were cut off",
        was="enumerate(self.tokens)}",
        now="enumerate(special + words)}",
        caught_by="test_max_size_counts_the_special_tokens",
    ),
    Mistake(
        "a second pass over the texts",
        was=COUNTS,
        now="list(texts)\n        " + COUNTS,
        caught_by="test_texts_may_be_a_generator",
    ),
    Mistake(
        "special tokens in the text listed twice",
        was=WORDS,
        now="words = [word for word, count in counts.items() if count >= min_freq]",
        caught_by="test_special_tokens_in_a_text_get_no_second_entry",
    ),
    Mistake(
        "only <unk> is kept from being listed twice",
        was="word not in special]",
        now='word != "<unk>"]',
        caught_by="test_special_tokens_in_a_text_get_no_second_entry",
    ),
    Mistake(
        "min_freq of 0",
        was="if min_freq < 1:",
        now="if min_freq < 0:",
        caught_by="test_limits_that_make_no_sense_are_errors",
    ),
    Mistake(
        "max_size of 1",
        was="max_size < 2:",
        now="max_size < 1:",
        caught_by="test_limits_that_make_no_sense_are_errors",
    ),
    Mistake(
        "max_size of 0 taken for no limit",
        was="if max_size is not None and max_size < 2:",
        now="if max_size and max_size < 2:",
        caught_by="test_limits_that_make_no_sense_are_errors",
    ),
    Mistake(
        "max_size of 2 refused",
        was="max_size < 2:",
        now="max_size <= 2:",
        caught_by="test_max_size_counts_the_special_tokens",
    ),
    # pad_batch
    Mistake(
        "left padding",
        was=PAD,
        now=PAD.replace(")", ', padding_side="left")'),
        caught_by="test_short_sequences_are_filled_up_on_the_right",
    ),
    Mistake(
        "time before batch",
        was=PAD,
        now="padded = pad_sequence(pieces, padding_value=padding_value)",
        caught_by="test_short_sequences_are_filled_up_on_the_right",
    ),
    Mistake(
        "dtype lost in a float buffer",
        was=PAD,
        now="padded = pad_sequence([piece.float() for piece in pieces], batch_first=True, padding_value=padding_value)",
        caught_by="test_short_sequences_are_filled_up_on_the_right",
    ),
    Mistake(
        "everything is float32 or int64",
        was=PAD,
        now=PAD + "\n    padded = padded.float() if padded.is_floating_point() else padded.long()",
        caught_by="test_the_dtype_stays",
    ),
    Mistake(
        "mask from the padding value",
        was=MASK,
        now="return padded, (padded != padding_value).reshape(*padded.shape[:2], -1).any(-1)",
        caught_by="test_a_real_item_may_equal_the_padding_value",
    ),
    Mistake(
        "mask inverted",
        was=MASK,
        now="return padded, steps >= lengths[:, None]",
        caught_by="test_the_mask_is_true_where_items_are_real",
    ),
    Mistake(
        "mask one too long",
        was=MASK,
        now="return padded, steps <= lengths[:, None]",
        caught_by="test_the_mask_is_true_where_items_are_real",
    ),
    Mistake(
        "mask as int64",
        was=MASK,
        now="return padded, (steps < lengths[:, None]).long()",
        caught_by="test_the_mask_is_true_where_items_are_real",
    ),
    Mistake(
        "mask with the further dimensions",
        was=MASK,
        now="mask = steps < lengths[:, None]\n"
        "    return padded, mask.reshape(*mask.shape, *[1] * (padded.ndim - 2)).expand(padded.shape)",
        caught_by="test_further_dimensions_stay",
    ),
    Mistake(
        "padding value ignored",
        was=PAD,
        now="padded = pad_sequence(pieces, batch_first=True)",
        caught_by="test_the_padding_value_fills_the_rest",
    ),
    Mistake(
        "empty sequences dropped",
        was="pieces = [sequence[:max_len] for sequence in sequences]",
        now="pieces = [sequence[:max_len] for sequence in sequences if len(sequence)]",
        caught_by="test_empty_sequences_are_all_padding",
    ),
    Mistake(
        "at least one step",
        was=MASK,
        now="if padded.shape[1] == 0:\n        padded = padded.new_zeros(len(pieces), 1)\n"
        "    return padded, torch.arange(padded.shape[1]) < lengths[:, None]",
        caught_by="test_only_empty_sequences_give_no_steps",
    ),
    Mistake(
        "the last items kept",
        was="sequence[:max_len] for sequence",
        now="sequence[-(max_len or 0) :] for sequence",
        caught_by="test_max_len_keeps_the_first_items",
    ),
    Mistake(
        "mask of the uncut lengths, on the uncut width",
        was=MASK,
        now="full = torch.tensor([len(sequence) for sequence in sequences])\n"
        "    return padded, torch.arange(int(full.max())) < full[:, None]",
        caught_by="test_max_len_keeps_the_first_items",
    ),
    Mistake(
        "max_len taken for the width",
        was=PAD,
        now=PAD + "\n    if max_len and padded.shape[1] < max_len:\n"
        "        extra = padded.new_full((len(pieces), max_len - padded.shape[1], *padded.shape[2:]), padding_value)\n"
        "        padded = torch.cat([padded, extra], dim=1)",
        caught_by="test_max_len_never_widens_the_batch",
    ),
    Mistake(
        "padding cuts the graph",
        was=PAD,
        now=PAD.replace("(pieces", "([piece.detach() for piece in pieces]"),
        caught_by="test_gradients_flow_back_to_the_sequences",
    ),
    Mistake(
        "a single sequence is only viewed",
        was=PAD,
        now="padded = pieces[0][None] if len(pieces) == 1 else " + PAD.removeprefix("padded = "),
        caught_by="TestPadBatch::test_the_sequences_stay_as_they_were",
    ),
    Mistake(
        "sequences cut in place",
        was=PAD,
        now="for sequence in sequences:\n        if max_len:\n            sequence[max_len:] = 0\n    " + PAD,
        caught_by="TestPadBatch::test_the_sequences_stay_as_they_were",
    ),
    Mistake(
        "no sequences end in a RuntimeError",
        was="if len(sequences) == 0:",
        now="if False:",
        caught_by="test_no_sequences_are_an_error",
    ),
    Mistake(
        "max_len of 0 taken for no limit",
        was='if max_len is not None and max_len < 1:\n        raise ValueError(f"max_len = {max_len} is below 1")',
        now="if max_len is not None and max_len < 0:\n        raise ValueError(max_len)\n    max_len = max_len or None",
        caught_by="test_max_len_is_at_least_one",
    ),
    Mistake(
        "negative max_len",
        was="if max_len is not None and max_len < 1:",
        now="if max_len == 0:",
        caught_by="test_max_len_is_at_least_one",
    ),
    # Embedding
    Mistake(
        "the table shifted by one row",
        was=ROWS,
        now="rows = self.weight[ids - 1]",
        caught_by="test_each_id_gets_its_row",
    ),
    Mistake(
        "ids and rows flattened",
        was=ROWS,
        now="ids = ids.flatten()\n        rows = self.weight[ids]",
        caught_by="TestEmbedding::test_each_id_gets_its_row",
    ),
    Mistake(
        "weight is no parameter",
        was=NORMAL,
        now='self.register_buffer("weight", torch.randn(num_embeddings, embedding_dim))',
        caught_by="test_the_table_is_the_only_parameter",
    ),
    Mistake(
        "padding mask kept as a buffer",
        was=NORMAL,
        now=NORMAL + '\n        self.register_buffer("padding", torch.zeros(num_embeddings))',
        caught_by="test_the_table_is_the_only_parameter",
    ),
    Mistake(
        "padding_idx not kept",
        was="= num_embeddings, embedding_dim, padding_idx",
        now="= num_embeddings, embedding_dim, padding_idx or None",
        caught_by="test_the_arguments_are_kept_as_attributes",
    ),
    Mistake(
        "uniform start",
        was="torch.randn(num_embeddings, embedding_dim)",
        now="torch.rand(num_embeddings, embedding_dim)",
        caught_by="test_rows_start_standard_normal",
    ),
    Mistake(
        "uniform start with standard deviation 1",
        was="torch.randn(num_embeddings, embedding_dim)",
        now="(torch.rand(num_embeddings, embedding_dim) - 0.5) * 12**0.5",
        caught_by="test_rows_start_standard_normal",
    ),
    Mistake(
        "small start",
        was="torch.randn(num_embeddings, embedding_dim)",
        now="0.02 * torch.randn(num_embeddings, embedding_dim)",
        caught_by="test_rows_start_standard_normal",
    ),
    Mistake(
        "all rows start alike",
        was="torch.randn(num_embeddings, embedding_dim)",
        now="torch.randn(1, embedding_dim).repeat(num_embeddings, 1)",
        caught_by="test_rows_start_standard_normal",
    ),
    Mistake(
        "padding row not zeroed at the start",
        was="nn.init.zeros_(self.weight[padding_idx])",
        now="pass",
        caught_by="test_the_padding_row_starts_at_zero",
    ),
    Mistake(
        "padding row 0 forgotten",
        was="if padding_idx is not None:",
        now="if padding_idx:",
        caught_by="test_the_padding_row_starts_at_zero",
    ),
    Mistake(
        "padding row 0 zeroed by default",
        was="if padding_idx is not None:\n            nn.init.zeros_(self.weight[padding_idx])",
        now="nn.init.zeros_(self.weight[padding_idx or 0])",
        caught_by="test_without_a_padding_row_no_row_is_special",
    ),
    Mistake(
        "gradient reaches the padding row",
        was=WHERE,
        now="return rows",
        caught_by="test_the_padding_row_gets_no_gradient",
    ),
    Mistake(
        "padding row 0 learns",
        was="if self.padding_idx is None:",
        now="if not self.padding_idx:",
        caught_by="test_the_padding_row_gets_no_gradient",
    ),
    Mistake(
        "padding row forced to zero",
        was=WHERE,
        now="return rows * (ids != self.padding_idx).unsqueeze(-1)",
        caught_by="test_rows_are_those_of_the_present_table",
    ),
    Mistake(
        "padding row zeroed at each call",
        was=ROWS,
        now="if self.padding_idx is not None:\n            self.weight.data[self.padding_idx] = 0\n        " + ROWS,
        caught_by="test_rows_are_those_of_the_present_table",
    ),
    Mistake(
        "a copy of the table made at the first call",
        was=ROWS,
        now='if not hasattr(self, "_copy"):\n            self._copy = self.weight.clone()\n        rows = self._copy[ids]',
        caught_by="test_rows_are_those_of_the_present_table",
    ),
    Mistake(
        "repeated ids learn once",
        was=ROWS,
        now="rows = self.weight[ids]\n"
        "        first = torch.tensor([i not in ids.flatten()[:n] for n, i in enumerate(ids.flatten())])\n"
        "        rows = torch.where(first.reshape(ids.shape).unsqueeze(-1), rows, rows.detach())",
        caught_by="test_repeated_ids_add_up_their_gradients",
    ),
    Mistake(
        "gradient of a repeated id averaged",
        was=ROWS,
        now="counts = torch.bincount(ids.flatten(), minlength=self.num_embeddings)[ids].unsqueeze(-1)\n"
        "        rows = self.weight[ids]\n        rows = rows.detach() + (rows - rows.detach()) / counts",
        caught_by="test_repeated_ids_add_up_their_gradients",
    ),
    Mistake(
        "lookup cuts the graph",
        was=ROWS,
        now="rows = self.weight.data[ids]",
        caught_by="test_repeated_ids_add_up_their_gradients",
    ),
    Mistake(
        "ids must be a batch of sequences",
        was=ROWS,
        now="rows = torch.stack([self.weight[row] for row in ids])",
        caught_by="TestEmbedding::test_ids_may_have_any_shape[shape0]",
    ),
    Mistake(
        "only int64 ids",
        was="if ids.dtype not in (torch.int64, torch.int32):",
        now="if ids.dtype != torch.int64:",
        caught_by="test_int32_ids_are_fine",
    ),
    Mistake(
        "rows are always float32",
        was=ROWS,
        now="rows = self.weight[ids].float()",
        caught_by="TestEmbedding::test_the_dtype_is_that_of_the_table",
    ),
    Mistake(
        "ids clamped in place",
        was=ROWS,
        now="rows = self.weight[ids]\n        ids.remainder_(5)",
        caught_by="test_ids_stay_as_they_were",
    ),
    Mistake(
        "another name in the state_dict",
        was=NORMAL,
        now="self.table = nn.Parameter(torch.randn(num_embeddings, embedding_dim))\n        self._weight = self.table",
        caught_by="test_the_table_is_the_only_parameter",
    ),
    Mistake(
        "no check of negative ids",
        was=OUTSIDE,
        now="outside = ids[ids >= self.num_embeddings]",
        caught_by="test_ids_that_do_not_exist_are_an_error",
    ),
    Mistake(
        "ids beyond the table clamped to its last row",
        was=OUTSIDE,
        now="ids = ids.clamp(max=self.num_embeddings - 1)\n        outside = ids[ids < 0]",
        caught_by="test_ids_that_do_not_exist_are_an_error",
    ),
    Mistake(
        "message without the id",
        was='raise IndexError(f"id {outside[0].item()} is outside the table: num_embeddings = {self.num_embeddings}")',
        now='raise IndexError(f"an id is outside the table: num_embeddings = {self.num_embeddings}")',
        caught_by="test_ids_that_do_not_exist_are_an_error",
    ),
    Mistake(
        "float ids cut to integers",
        was="if ids.dtype not in (torch.int64, torch.int32):",
        now="if ids.is_floating_point():\n            ids = ids.long()\n        if ids.dtype == torch.bool:",
        caught_by="test_float_and_bool_ids_are_an_error",
    ),
    Mistake(
        "bool ids taken for a mask",
        was="if ids.dtype not in (torch.int64, torch.int32):",
        now="if ids.is_floating_point():",
        caught_by="test_float_and_bool_ids_are_an_error",
    ),
    Mistake(
        "padding_idx −1 wraps round",
        was="not 0 <= padding_idx < num_embeddings:",
        now="padding_idx >= num_embeddings:",
        caught_by="test_the_padding_row_must_exist",
    ),
    Mistake(
        "padding_idx V allowed",
        was="not 0 <= padding_idx < num_embeddings:",
        now="not 0 <= padding_idx <= num_embeddings:",
        caught_by="test_the_padding_row_must_exist",
    ),
    Mistake(
        "the finished function",
        was=ROWS,
        now="rows = F.embedding(ids, self.weight)",
        caught_by="test_written_without_the_finished_layer",
    ),
    # one_hot_lookup
    Mistake(
        "one-hot rows only as wide as the largest id",
        was=ONE_HOT,
        now="return F.one_hot(ids).to(weight.dtype) @ weight",
        caught_by="test_the_product_picks_the_rows",
    ),
    Mistake(
        "one-hot stays int64",
        was=ONE_HOT,
        now="return F.one_hot(ids, weight.shape[0]) @ weight",
        caught_by="test_the_product_picks_the_rows",
    ),
    Mistake(
        "one-hot in float32",
        was=ONE_HOT,
        now="return (F.one_hot(ids, weight.shape[0]).float() @ weight.float()).to(weight.dtype)",
        caught_by="TestOneHotLookup::test_the_dtype_is_that_of_the_table[dtype0]",
    ),
    Mistake(
        "one-hot rows as wide as the vectors",
        was=ONE_HOT,
        now="return F.one_hot(ids, weight.shape[1]).to(weight.dtype) @ weight",
        caught_by="test_the_product_picks_the_rows",
    ),
    Mistake(
        "one-hot lookup cuts the graph",
        was=ONE_HOT,
        now=ONE_HOT + ".detach()",
        caught_by="test_the_gradient_is_that_of_a_lookup",
    ),
    Mistake("a plain lookup", was=ONE_HOT, now="return weight[ids]", caught_by="test_the_table_is_not_indexed"),
    Mistake(
        "lookup by index_select",
        was=ONE_HOT,
        now="return weight.index_select(0, ids.flatten()).reshape(*ids.shape, -1)",
        caught_by="test_the_table_is_not_indexed",
    ),
    Mistake(
        "no single id",
        was=ONE_HOT,
        now="return torch.stack([F.one_hot(row, weight.shape[0]).to(weight.dtype) @ weight for row in ids])",
        caught_by="TestOneHotLookup::test_ids_may_have_any_shape[shape0]",
    ),
    # embed_texts
    Mistake(
        "mask from the ids in place of that from pad_batch",
        was='"mask": mask, "vectors"',
        now='"mask": ids != vocabulary.pad_id, "vectors"',
        caught_by="test_the_word_pad_in_a_text_is_a_token",
    ),
    Mistake(
        "mean over all places",
        was='"mean": total / count}',
        now='"mean": vectors.mean(dim=1)}',
        caught_by="test_the_mean_counts_real_tokens_only",
    ),
    Mistake(
        "sum in place of the mean",
        was='"mean": total / count}',
        now='"mean": total}',
        caught_by="test_the_mean_counts_real_tokens_only",
    ),
    Mistake(
        "one count for the whole batch",
        was=COUNT,
        now="count = mask.sum().clamp(min=1)",
        caught_by="test_the_mean_counts_real_tokens_only",
    ),
    Mistake(
        "padding added in",
        was=TOTAL,
        now="total = vectors.sum(dim=1)",
        caught_by="test_the_mean_leaves_padding_out_also_where_it_is_not_zero",
    ),
    Mistake(
        "padding masked in the vectors as well",
        was=TOTAL,
        now="vectors = vectors * mask.unsqueeze(-1)\n    total = vectors.sum(dim=1)",
        caught_by="test_vectors_are_what_the_module_makes_of_the_ids",
    ),
    Mistake(
        "NaN for an empty text",
        was=COUNT,
        now="count = mask.sum(dim=1, keepdim=True)",
        caught_by="test_a_text_without_tokens_has_mean_zero",
    ),
    Mistake(
        "a small number against NaN",
        was=COUNT,
        now="count = mask.sum(dim=1, keepdim=True) + 0.01",
        caught_by="test_the_mean_counts_real_tokens_only",
    ),
    Mistake(
        "empty text padded to one token that counts",
        was=COUNT,
        now="total = torch.where(mask.any(dim=1, keepdim=True), total, vectors[:, :1].sum(dim=1))\n    " + COUNT,
        caught_by="test_a_text_without_tokens_has_mean_zero",
    ),
    Mistake(
        "unknown words are not real",
        was=RESULT,
        now='mask = ids > 1\n    return {"ids": ids, "mask": mask, "vectors": vectors, "mean": total / count}',
        caught_by="test_texts_are_encoded_and_padded",
    ),
    Mistake(
        "weights that depend on the order",
        was=TOTAL,
        now="falling = torch.arange(ids.shape[1], 0, -1)[:, None] / max(ids.shape[1], 1)\n"
        "    total = (vectors * falling * mask.unsqueeze(-1)).sum(dim=1)",
        caught_by="test_the_mean_forgets_the_order",
    ),
    Mistake(
        "max_len ignored",
        was="vocabulary.pad_id, max_len)",
        now="vocabulary.pad_id)",
        caught_by="test_max_len_cuts_the_texts",
    ),
    Mistake(
        "the module's weight is read, not called",
        was="vectors = embedding(ids)",
        now="vectors = embedding.weight[ids]",
        caught_by="test_any_module_may_make_the_vectors",
    ),
    Mistake(
        "mean in float32",
        was=TOTAL,
        now="total = (vectors * mask.unsqueeze(-1)).sum(dim=1).float()",
        caught_by="test_any_module_may_make_the_vectors",
    ),
    Mistake(
        "mask made float promotes the mean",
        was=COUNT,
        now="count = mask.float().sum(dim=1, keepdim=True).clamp(min=1)",
        caught_by="test_any_module_may_make_the_vectors",
    ),
    Mistake(
        "mean cut off from the table",
        was='"mean": total / count}',
        now='"mean": total.detach() / count}',
        caught_by="test_gradients_reach_the_table_through_real_tokens",
    ),
    Mistake(
        "vectors cut off from the table",
        was='"vectors": vectors, "mean"',
        now='"vectors": vectors.detach(), "mean"',
        caught_by="test_gradients_flow_through_the_vectors",
    ),
    Mistake(
        "no texts give empty tensors",
        was="ids, mask = pad_batch(",
        now='if not texts:\n        return {"ids": torch.zeros(0, 0)}\n    ids, mask = pad_batch(',
        caught_by="test_no_texts_or_no_room_are_an_error",
    ),
    # PackedBatch
    Mistake(
        "packed sequence after sequence",
        was=DATA,
        now="data = torch.cat([padded[b, :n] for b, n in enumerate(lengths)])",
        caught_by="test_data_goes_step_by_step",
    ),
    Mistake(
        "sorted, but sequence after sequence",
        was=DATA,
        now="data = padded[sorted_indices][running.T]",
        caught_by="test_data_goes_step_by_step",
    ),
    Mistake(
        "shortest first",
        was=SORTED,
        now="sorted_indices = lengths.argsort(stable=True)",
        caught_by="test_data_goes_step_by_step",
    ),
    Mistake(
        "equal lengths change places",
        was=SORTED,
        now="sorted_indices = lengths.argsort(stable=True).flip(0)",
        caught_by="test_sorted_indices_tell_where_each_sequence_was",
    ),
    Mistake(
        "the inverse order kept",
        was="return cls(data, batch_sizes, sorted_indices, steps)",
        now="return cls(data, batch_sizes, sorted_indices.argsort(), steps)",
        caught_by="test_sorted_indices_tell_where_each_sequence_was",
    ),
    Mistake(
        "batch sizes up to T",
        was=SIZES,
        now="batch_sizes = running.sum(dim=1).cpu()",
        caught_by="test_batch_sizes_are_those_of_torch",
    ),
    Mistake(
        "batch sizes in int32",
        was=SIZES,
        now=SIZES + ".int()",
        caught_by="test_batch_sizes_are_those_of_torch",
    ),
    Mistake(
        "lengths in place of batch sizes",
        was=SIZES,
        now="batch_sizes = lengths[sorted_indices]",
        caught_by="test_batch_sizes_are_those_of_torch",
    ),
    Mistake(
        "total length is the longest",
        was="return cls(data, batch_sizes, sorted_indices, steps)",
        now="return cls(data, batch_sizes, sorted_indices, int(lengths.max()))",
        caught_by="test_total_length_is_the_width_of_the_batch",
    ),
    Mistake(
        "total length is the number of steps",
        was="return cls(data, batch_sizes, sorted_indices, steps)",
        now="return cls(data, batch_sizes, sorted_indices, len(data))",
        caught_by="test_total_length_is_the_width_of_the_batch",
    ),
    Mistake(
        "unpack without undoing the sort",
        was=RUNNING,
        now="running = torch.arange(len(items))",
        caught_by="test_unpack_restores_the_batch",
    ),
    Mistake(
        "unpack sorts a second time",
        was=RUNNING,
        now="running = self.sorted_indices.argsort()[: len(items)]",
        caught_by="test_unpack_restores_the_batch",
    ),
    Mistake(
        "unpack only as wide as the longest",
        was="(batch, self.total_length, *rest)",
        now="(batch, len(self.batch_sizes), *rest)",
        caught_by="test_unpack_restores_the_batch",
    ),
    Mistake(
        "lengths still sorted",
        was="return padded, lengths\n\n\ndef memory",
        now="return padded, lengths.sort(descending=True).values\n\n\ndef memory",
        caught_by="test_unpack_gives_the_lengths_back",
    ),
    Mistake(
        "zeros in the rest",
        was=FULL,
        now=FULL.replace("padding_value)", "0)"),
        caught_by="test_unpack_fills_with_the_padding_value",
    ),
    Mistake(
        "unpack into float32",
        was=FULL,
        now="padded = torch.full((batch, self.total_length, *rest), float(padding_value))",
        caught_by="test_steps_may_be_ids_or_have_any_shape",
    ),
    Mistake(
        "pack reads memory in storage order",
        was="batch, steps = padded.shape[:2]",
        now="batch, steps = padded.shape[:2]\n"
        "        padded = padded.as_strided(padded.shape, torch.empty(padded.shape).stride())",
        caught_by="TestPackedBatch::test_works_on_a_transposed_view",
    ),
    Mistake("pack cuts the graph", was=DATA, now=DATA + ".detach()", caught_by="test_gradients_flow_through_pack"),
    Mistake(
        "unpack cuts the graph",
        was="padded[running, step] = items",
        now="padded[running, step] = items.detach()",
        caught_by="test_gradients_flow_through_unpack",
    ),
    Mistake(
        "padding zeroed in the caller's batch",
        was=DATA,
        now="padded[torch.arange(steps) >= lengths[:, None]] = 0\n        " + DATA,
        caught_by="test_nothing_is_written_to",
    ),
    Mistake(
        "unpack uses the packed batch up",
        was="return padded, lengths\n\n\ndef memory",
        now="self.data = self.data[:0]\n        return padded, lengths\n\n\ndef memory",
        caught_by="test_nothing_is_written_to",
    ),
    Mistake(
        "empty sequences packed",
        was="(lengths < 1)",
        now="(lengths < 0)",
        caught_by="test_lengths_must_fit_the_batch",
    ),
    Mistake(
        "lengths beyond T packed",
        was="((lengths < 1) | (lengths > steps)).any()",
        now="(lengths < 1).any()",
        caught_by="test_lengths_must_fit_the_batch",
    ),
    Mistake(
        "a length of T refused",
        was="(lengths > steps)",
        now="(lengths >= steps)",
        caught_by="test_a_full_batch_has_no_padding",
    ),
    Mistake(
        "shape of lengths unchecked",
        was="if lengths.shape != (batch,):",
        now="if False:",
        caught_by="test_lengths_must_fit_the_batch",
    ),
    Mistake(
        "torch's packing",
        was=DATA,
        now="data = nn.utils.rnn.pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False).data",
        caught_by="test_written_without_torch_packing",
    ),
    # memory_comparison
    Mistake(
        "one byte for each one-hot entry",
        was="num_tokens * vocab_size * size",
        now="num_tokens * vocab_size",
        caught_by="test_one_hot_input_beside_ids",
    ),
    Mistake(
        "ids of 4 bytes",
        was="torch.int64.itemsize",
        now="torch.int32.itemsize",
        caught_by="test_one_hot_input_beside_ids",
    ),
    Mistake(
        "ids as large as the dtype",
        was="id_bytes = num_tokens * torch.int64.itemsize",
        now="id_bytes = num_tokens * 2 * size",
        caught_by="test_the_dtype_changes_everything_but_the_ids",
    ),
    Mistake(
        "always float32",
        was="size = dtype.itemsize",
        now="size = 4",
        caught_by="test_the_dtype_changes_everything_but_the_ids",
    ),
    Mistake(
        "ratio upside down",
        was="one_hot_bytes / id_bytes if num_tokens",
        now="id_bytes / one_hot_bytes if num_tokens",
        caught_by="test_one_hot_input_beside_ids",
    ),
    Mistake(
        "division by zero tokens",
        was="one_hot_bytes / id_bytes if num_tokens else 0.0",
        now="one_hot_bytes / id_bytes",
        caught_by="test_no_tokens_have_ratio_zero",
    ),
    Mistake(
        "the one-hot tensor is built",
        was="one_hot_bytes = num_tokens * vocab_size * size",
        now="one_hot_bytes = torch.zeros(num_tokens, vocab_size, dtype=dtype).nbytes",
        caught_by="test_huge_sizes_are_only_computed",
    ),
    # project_2d
    Mistake(
        "the last two axes",
        was="return centred @ axes[:2].mT",
        now="return centred @ axes[-2:].mT",
        caught_by="test_coordinates_on_the_first_two_principal_axes",
    ),
    Mistake(
        "second axis first",
        was="return centred @ axes[:2].mT",
        now="return centred @ axes[:2].flip(0).mT",
        caught_by="test_coordinates_on_the_first_two_principal_axes",
    ),
    Mistake(
        "columns of Vh in place of its rows",
        was="return centred @ axes[:2].mT",
        now="return centred @ torch.linalg.svd(centred).Vh[:, :2]",
        caught_by="test_coordinates_on_the_first_two_principal_axes",
    ),
    Mistake(
        "coordinates scaled to length 1",
        was="return centred @ axes[:2].mT",
        now="return torch.linalg.svd(centred, full_matrices=False).U[:, :2]",
        caught_by="test_coordinates_on_the_first_two_principal_axes",
    ),
    Mistake("not centred", was=CENTRED, now="centred = vectors.detach()", caught_by="test_the_mean_is_taken_off_first"),
    Mistake(
        "the mean of each vector taken off",
        was=CENTRED,
        now=CENTRED.replace("dim=0", "dim=1, keepdim=True"),
        caught_by="test_the_mean_is_taken_off_first",
    ),
    Mistake(
        "centred, projected without centring",
        was="return centred @ axes[:2].mT",
        now="return vectors.detach() @ axes[:2].mT",
        caught_by="test_the_mean_is_taken_off_first",
    ),
    Mistake(
        "graph kept",
        was=CENTRED,
        now="centred = vectors - vectors.mean(dim=0)",
        caught_by="test_the_result_is_detached",
    ),
    Mistake(
        "the caller's vectors centred in place",
        was=CENTRED,
        now="centred = vectors.detach().sub_(vectors.detach().mean(dim=0))",
        caught_by="test_the_result_is_detached",
    ),
    Mistake(
        "a stack of tables projected",
        was="vectors.ndim != 2",
        now="vectors.ndim < 2",
        caught_by="test_anything_but_a_table_is_an_error",
    ),
    Mistake(
        "a single vector projected",
        was="min(vectors.shape) < 2",
        now="vectors.shape[1] < 2",
        caught_by="test_anything_but_a_table_is_an_error",
    ),
    Mistake(
        "two rows refused",
        was="min(vectors.shape) < 2",
        now="min(vectors.shape) <= 2",
        caught_by="test_two_vectors_or_two_features_are_enough",
    ),
]

LENGTHS = "lengths = torch.tensor([len(piece) for piece in pieces], device=padded.device)"
STEPS = "steps = torch.arange(padded.shape[1], device=padded.device)"
RUNNING_STEPS = "running = torch.arange(steps, device=lengths.device)[:, None] < lengths[sorted_indices]"

EQUIVALENT = [
    Equivalent("numbers = ids.tolist()", "numbers = ids", "a tensor is walked through and compared in the same way"),
    Equivalent(
        "if not 0 <= number < len(self):",
        "if not 0 <= number <= len(self):",
        "the list raises the same error for the one id more",
    ),
    Equivalent(DECODE, DECODE.replace("!=", ">"), "no id below the padding's passes the check"),
    Equivalent("if len(sequences) == 0:", "if len(sequences) <= 0:", "no length is negative"),
    Equivalent(LENGTHS, LENGTHS.replace(", device=padded.device", ""), "only a GPU can tell"),
    Equivalent(STEPS, STEPS.replace(", device=padded.device", ""), "only a GPU can tell"),
    Equivalent(RUNNING_STEPS, RUNNING_STEPS.replace(", device=lengths.device", ""), "only a GPU can tell"),
    Equivalent(SIZES, SIZES.replace(".cpu()", ""), "only a GPU can tell"),
    Equivalent(OUTSIDE, "outside = ids[(ids < 0)]", "torch's own IndexError names the id and the size too"),
    Equivalent(OUTSIDE, OUTSIDE.replace("|", "^"), "no id is both below 0 and beyond the table"),
    Equivalent(OUTSIDE, OUTSIDE.replace(">=", ">"), "torch's own IndexError names the id and the size too"),
    Equivalent(
        "if ((lengths < 1) | (lengths > steps)).any():",
        "if ((lengths < 1) ^ (lengths > steps)).any():",
        "no length is both below 1 and above T",
    ),
    Equivalent(SORTED, SORTED.replace("stable=True", "stable=False"), "small sorts are stable either way"),
    Equivalent(SVD, SVD.replace("False", "True"), "the further axes are not used"),
]
