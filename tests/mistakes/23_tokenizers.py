"""Wrong solutions of 23 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

CHARACTERS = "self.itos = dict(enumerate(sorted(set(text))))"
CHAR_ENCODE = """        for position, character in enumerate(text):
            if character not in self.stoi:
                raise ValueError(f"the character {character!r} at position {position} is not in the vocabulary")
        return [self.stoi[character] for character in text]"""
CHAR_DECODE = """        for i in map(int, ids):
            if i not in self.itos:
                raise ValueError(f"there is no id {i}: they go from 0 to {self.vocab_size - 1}")
            characters.append(self.itos[i])"""
PRINTABLE = "printable = {*range(33, 127), *range(161, 173), *range(174, 256)}"
TABLE = "return {byte: chr(256 + others.index(byte)) if byte in others else chr(byte) for byte in range(256)}"
PAIRS = "return Counter(zip(tokens, tokens[1:], strict=False))"
MERGE_LOOP = "    while i < len(tokens):"
MERGE_STEP = """            out.append(merged)
            i += 2"""
CHUNKS = "chunks = Counter(re.findall(SPLIT_PATTERN, text))\n"
COUNTED = "counts[pair] += count * times"
BEST = "best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)"
STOP = "if best is None or counts[best] < 2:"
RANKS = """        for rank, pair in enumerate(self.merges):
            self._ranks.setdefault(pair, rank)"""
TAKEN = """            if i in self._bytes:
                raise ValueError(f"{string!r} can not have the id {i}: {self._bytes[i]!r} has it")
"""
ENCODE_BYTES = """        while known := [pair for pair in count_pairs(tokens) if pair in self._ranks]:
            best = min(known, key=self._ranks.get)
            tokens = merge_pair(tokens, best, best[0] + best[1])"""
ONLY_ON_REQUEST = "if not (allow_special and self.special_tokens):"
LONGEST = "longest_first = sorted(self.special_tokens, key=len, reverse=True)"
SPLIT_SPECIAL = """re.split(f"({'|'.join(map(re.escape, longest_first))})", text):"""
ADD_PART = "ids += [self.special_tokens[part]] if part in self.special_tokens else self._encode_plain(part)"
DECODE_BYTES = """            if i not in self._bytes:
                raise ValueError(f"no token has the id {i}")
            tokens.append(self._bytes[i])"""
PLAIN = """        chunks = re.findall(SPLIT_PATTERN, text)
        known"""
DEFAULT = "return {token: i for i, token in enumerate(dict.fromkeys(tokens))}"
ENCODER = "encoder = {_spelled(token, table): i for token, i in tokenizer.vocab.items()} | tokenizer.special_tokens"
SAVED_PAIRS = 'pairs = [f"{_spelled(left, table)} {_spelled(right, table)}" for left, right in tokenizer.merges]'
LINES = 'Path(bpe_path).read_text(encoding="utf-8").splitlines()[1:]:'
VOCAB_LOOP = """        if spelling not in special_tokens:
            raise ValueError(f"{spelling!r} has no id in {encoder_path}")
        vocab[token] = special_tokens.pop(spelling)"""
LOADED = "return BPETokenizer(merges, vocab, special_tokens)"
RATIO = "return len(text.encode()) / len(tokenizer.encode(text))"

MISTAKES = [
    # CharTokenizer
    Mistake(
        "vocabulary in set order",
        was=CHARACTERS,
        now="self.itos = dict(enumerate(list(set(text))))",
        caught_by="TestCharTokenizer::test_the_vocabulary_is_sorted_and_distinct",
    ),
    Mistake(
        "vocabulary in order of appearance",
        was=CHARACTERS,
        now="self.itos = dict(enumerate(dict.fromkeys(text)))",
        caught_by="TestCharTokenizer::test_the_vocabulary_is_sorted_and_distinct",
    ),
    Mistake(
        "vocabulary lower-cased",
        was=CHARACTERS,
        now="self.itos = dict(enumerate(sorted(set(text.lower()))))",
        caught_by="TestCharTokenizer::test_the_vocabulary_is_sorted_and_distinct",
    ),
    Mistake(
        "unknown characters dropped",
        was=CHAR_ENCODE,
        now="        return [self.stoi[character] for character in text if character in self.stoi]",
        caught_by="TestCharTokenizer::test_an_unknown_character_is_named",
        edge=True,
    ),
    Mistake(
        "unknown character is a KeyError",
        was=CHAR_ENCODE,
        now="        return [self.stoi[character] for character in text]",
        caught_by="TestCharTokenizer::test_an_unknown_character_is_named",
        edge=True,
    ),
    Mistake(
        "ids of a tensor looked up as tensors",
        was=CHAR_DECODE,
        now=CHAR_DECODE.replace("map(int, ids)", "ids"),
        caught_by="TestCharTokenizer::test_ids_may_be_a_tensor",
    ),
    Mistake(
        "negative ids count from the end",
        was=CHAR_DECODE,
        now=CHAR_DECODE.replace("if i not in self.itos:", "if i >= self.vocab_size:").replace(
            "self.itos[i]", "list(self.stoi)[i]"
        ),
        caught_by="TestCharTokenizer::test_a_negative_id_is_refused",
        edge=True,
    ),
    Mistake(
        "the id vocab_size goes through",
        was=CHAR_DECODE,
        now=CHAR_DECODE.replace("if i not in self.itos:", "if not 0 <= i <= self.vocab_size:").replace(
            "self.itos[i]", "self.itos.get(i, '')"
        ),
        caught_by="TestCharTokenizer::test_an_unknown_id_is_refused",
        edge=True,
    ),
    # bytes_to_unicode
    Mistake(
        "delete and the soft hyphen taken for printable",
        was=PRINTABLE,
        now="printable = {*range(33, 128), *range(161, 256)}",
        caught_by="test_the_others_move_up_as_in_gpt2",
    ),
    Mistake(
        "the space taken for printable",
        was=PRINTABLE,
        now="printable = {*range(32, 127), *range(161, 173), *range(174, 256)}",
        caught_by="test_all_256_are_different_and_printable",
    ),
    Mistake(
        "256 added to the byte",
        was=TABLE,
        now="return {byte: chr(256 + byte) if byte in others else chr(byte) for byte in range(256)}",
        caught_by="test_the_others_move_up_as_in_gpt2",
    ),
    # count_pairs
    Mistake(
        "overlaps skipped",
        was=PAIRS,
        now="""counts, i = Counter(), 0
    while i < len(tokens) - 1:
        counts[tokens[i], tokens[i + 1]] += 1
        i += 2 if tokens[i : i + 2] == tokens[i + 1 : i + 3] else 1
    return counts""",
        caught_by="test_overlapping_pairs_all_count",
    ),
    Mistake(
        "pairs without an order",
        was=PAIRS,
        now="return Counter(tuple(sorted(pair)) for pair in zip(tokens, tokens[1:]))",
        caught_by="test_neighbours_are_counted",
    ),
    # merge_pair
    Mistake(
        "the last token lost",
        was=MERGE_LOOP,
        now="    while i < len(tokens) - 1:",
        caught_by="test_the_pair_becomes_one_token_everywhere",
    ),
    Mistake(
        "overlapping merges",
        was=MERGE_STEP,
        now=MERGE_STEP.replace("+= 2", "+= 2 if tuple(tokens[i + 1 : i + 3]) != pair else 1"),
        caught_by="test_a_token_is_used_once",
    ),
    Mistake(
        "the list given is changed",
        was=MERGE_LOOP,
        now="""    while i < len(tokens) and isinstance(tokens, list):
        if tuple(tokens[i : i + 2]) == pair:
            tokens[i : i + 2] = [merged]
        i += 1
    if isinstance(tokens, list):
        return list(tokens)
    while i < len(tokens):""",
        caught_by="test_the_list_given_stays_as_it_is",
    ),
    Mistake(
        "tokens compared by identity",
        was="if tuple(tokens[i : i + 2]) == pair:",
        now="if i + 1 < len(tokens) and tokens[i] is pair[0] and tokens[i + 1] is pair[1]:",
        caught_by="test_equal_tokens_are_the_pair",
    ),
    Mistake(
        "what was merged is merged again",
        was=MERGE_LOOP,
        now="""    tokens = list(tokens)
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) == pair:
            tokens[i : i + 2] = [merged]
        else:
            i += 1
    return tokens
    while i < len(tokens):""",
        caught_by="test_what_was_merged_is_not_merged_again",
    ),
    Mistake(
        "the same list comes back",
        was="""    out = []
    i = 0
""",
        now="""    out = []
    i = 0
    if pair not in zip(tokens, tokens[1:]):
        return tokens
""",
        caught_by="test_the_list_given_stays_as_it_is",
    ),
    # train_bpe
    Mistake(
        "the first pair seen wins a tie",
        was=BEST,
        now="best = max(counts, key=counts.get, default=None)",
        caught_by="test_a_tie_goes_to_the_smallest_pair",
    ),
    Mistake(
        "the largest pair wins a tie",
        was=BEST,
        now="best = max(counts, key=lambda pair: (counts[pair], pair), default=None)",
        caught_by="test_the_example_step_by_step",
    ),
    Mistake(
        "a tie decided by the joined bytes",
        was=BEST,
        now="best = min(counts, key=lambda pair: (-counts[pair], pair[0] + pair[1]), default=None)",
        caught_by="test_pairs_are_compared_as_tuples_of_bytes",
    ),
    Mistake(
        "a tie decided by ids",
        was=BEST,
        now="best = min(counts, key=lambda pair: (-counts[pair], [(len(t) > 1, t) for t in pair]), default=None)",
        caught_by="test_pairs_are_compared_as_tuples_of_bytes",
    ),
    Mistake(
        "the text not cut into chunks",
        was=CHUNKS,
        now="chunks = Counter([text])\n",
        caught_by="test_merges_stay_inside_chunks",
    ),
    Mistake(
        "cut at blanks, which are thrown away",
        was=CHUNKS,
        now="chunks = Counter(text.split())\n",
        caught_by="test_a_word_keeps_the_space_before_it",
    ),
    Mistake(
        "each different chunk counted once",
        was=COUNTED,
        now="counts[pair] += count",
        caught_by="test_every_occurrence_counts",
    ),
    Mistake(
        "a chunk with the pair counts once",
        was=COUNTED,
        now="counts[pair] += times",
        caught_by="test_overlapping_pairs_count",
    ),
    Mistake(
        "pairs that occur once are merged",
        was=STOP,
        now="if best is None:",
        caught_by="test_it_stops_when_nothing_repeats",
    ),
    Mistake(
        "no pair at all is an error",
        was=BEST,
        now="best = min(counts, key=lambda pair: (-counts[pair], pair))",
        caught_by="test_it_stops_when_nothing_repeats",
    ),
    Mistake(
        "vocab_size counts merges only",
        was="while 256 + len(merges) < vocab_size:",
        now="while len(merges) < vocab_size:",
        caught_by="test_it_stops_at_the_size",
    ),
    Mistake(
        "less room than bytes",
        was="if vocab_size < 256:",
        now="if vocab_size < 1:",
        caught_by="test_there_is_no_room_below_the_bytes",
        edge=True,
    ),
    Mistake(
        "characters instead of bytes",
        was="[bytes([byte]) for byte in chunk.encode()], times)",
        now="[character.encode() for character in chunk], times)",
        caught_by="test_characters_beyond_ascii_are_several_bytes",
    ),
    # BPETokenizer
    Mistake(
        "the leftmost known pair first",
        was="best = min(known, key=self._ranks.get)",
        now="best = known[0]",
        caught_by="test_the_lowest_rank_goes_first",
    ),
    Mistake(
        "the longest token first",
        was=ENCODE_BYTES,
        now="""        i = 0
        while i < len(tokens):
            end = next(e for e in range(len(tokens), i, -1) if b"".join(tokens[i:e]) in self.vocab)
            tokens[i:end] = [b"".join(tokens[i:end])]
            i += 1""",
        caught_by="test_the_lowest_rank_goes_first",
    ),
    Mistake(
        "rank taken from the ids",
        was="best = min(known, key=self._ranks.get)",
        now="best = min(known, key=lambda pair: self.vocab[pair[0] + pair[1]])",
        caught_by="test_rank_is_the_place_in_the_list",
        edge=True,
    ),
    Mistake(
        "the last place of a pair is its rank",
        was=RANKS,
        now="""        for rank, pair in enumerate(self.merges):
            self._ranks[pair] = rank""",
        caught_by="test_rank_is_the_place_in_the_list",
        edge=True,
    ),
    Mistake(
        "an id for each merge, equal results or not",
        was=DEFAULT,
        now="return {token: i for i, token in enumerate(tokens)}",
        caught_by="test_equal_results_share_an_id",
    ),
    Mistake(
        "encode does not cut the text",
        was=PLAIN,
        now="""        chunks = [text]
        known""",
        caught_by="test_text_is_cut_into_chunks_first",
    ),
    Mistake(
        "encode cuts at blanks and loses them",
        was=PLAIN,
        now="""        chunks = text.split()
        known""",
        caught_by="test_any_text_comes_back",
    ),
    Mistake(
        "special strings always read as special",
        was=ONLY_ON_REQUEST,
        now="if not self.special_tokens:",
        caught_by="test_special_text_is_plain_text_by_default",
    ),
    Mistake(
        "a pattern of no special strings",
        was=ONLY_ON_REQUEST,
        now="if not allow_special:",
        caught_by="test_without_special_tokens_none_are_found",
    ),
    Mistake(
        "special strings in the order of the dict",
        was=LONGEST,
        now="longest_first = list(self.special_tokens)",
        caught_by="test_the_longer_special_string_wins",
    ),
    Mistake(
        "special strings taken for patterns",
        was=SPLIT_SPECIAL,
        now=SPLIT_SPECIAL.replace("map(re.escape, longest_first)", "longest_first"),
        caught_by="test_special_strings_are_no_patterns",
    ),
    Mistake(
        "special strings cut out and dropped",
        was=SPLIT_SPECIAL,
        now=SPLIT_SPECIAL.replace("({", "(?:{"),
        caught_by="test_special_text_becomes_its_id_on_request",
    ),
    Mistake(
        "special strings looked for after the cut",
        was="for part in re.split(",
        now="for part in re.findall(SPLIT_PATTERN, text) or re.split(",
        caught_by="test_special_text_becomes_its_id_on_request",
    ),
    Mistake(
        "two special strings in a row become one",
        was=ADD_PART,
        now=ADD_PART.replace(
            "[self.special_tokens[part]]", "[i for i in [self.special_tokens[part]] if ids[-1:] != [i]]"
        ),
        caught_by="test_special_text_becomes_its_id_on_request",
    ),
    Mistake("a special id may be taken", was=TAKEN, now="", caught_by="test_a_special_id_must_be_free", edge=True),
    Mistake(
        "vocab_size without special tokens",
        was="self.vocab_size = len(self.vocab) + len(self.special_tokens)",
        now="self.vocab_size = len(self.vocab)",
        caught_by="test_special_tokens_are_kept_apart",
    ),
    Mistake(
        "decoded token by token",
        was="return self.decode_bytes(ids).decode(errors=errors)",
        now='return "".join(self.decode_bytes([i]).decode(errors=errors) for i in ids)',
        caught_by="test_any_text_comes_back",
    ),
    Mistake(
        "errors always strict",
        was="return self.decode_bytes(ids).decode(errors=errors)",
        now='return self.decode_bytes(ids).decode(errors="strict")',
        caught_by="test_bytes_that_are_no_text",
    ),
    # save_gpt2_files and load_gpt2_files
    Mistake(
        "tokens written as text",
        was=ENCODER,
        now=ENCODER.replace("_spelled(token, table)", 'token.decode(errors="replace")'),
        caught_by="test_encoder_json_holds_all_tokens",
    ),
    Mistake(
        "merges written with raw spaces",
        was=SAVED_PAIRS,
        now="pairs = [f\"{left.decode(errors='replace')} {right.decode(errors='replace')}\" for left, right in tokenizer.merges]",
        caught_by="test_vocab_bpe_holds_the_merges",
    ),
    Mistake(
        "the byte's value used as its id",
        was=VOCAB_LOOP,
        now=VOCAB_LOOP + "\n    vocab.update({bytes([byte]): byte for byte in range(256)})",
        caught_by="test_ids_come_from_the_file",
    ),
    Mistake(
        "the header read as a merge",
        was=LINES,
        now=LINES.replace("[1:]", "").replace('encoding="utf-8")', 'encoding="utf-8").strip()'),
        caught_by="test_merges_are_read_in_order",
    ),
    Mistake(
        "every line with # a comment",
        was=LINES,
        now=LINES.replace("[1:]:", "[1:]:\n        if line.startswith('#'):\n            continue"),
        caught_by="test_a_number_sign_is_no_comment",
    ),
    Mistake(
        "the last line always dropped",
        was=LINES,
        now=LINES.replace(".splitlines()[1:]", '.split("\\n")[1:-1]'),
        caught_by="test_the_last_line_may_end_without_a_newline",
    ),
    Mistake(
        "a missing id goes unnoticed",
        was=VOCAB_LOOP,
        now="        vocab[token] = special_tokens.pop(spelling, len(vocab))",
        caught_by="test_a_missing_merge_is_refused",
        edge=True,
    ),
    Mistake(
        "special tokens lost on loading",
        was=LOADED,
        now="return BPETokenizer(merges, vocab)",
        caught_by="test_other_entries_are_special_tokens",
    ),
    Mistake(
        "special tokens not saved",
        was=ENCODER,
        now=ENCODER.removesuffix(" | tokenizer.special_tokens"),
        caught_by="test_special_tokens_keep_their_own_string",
    ),
    # bytes_per_token
    Mistake(
        "characters counted",
        was=RATIO,
        now="return len(text) / len(tokenizer.encode(text))",
        caught_by="test_utf8_bytes_count",
    ),
]

BY_DEFAULT = "where the specs run, UTF-8 is the default of these functions"

EQUIVALENT = [
    Equivalent(
        was="printable = {*range(33, 127), *range(161, 173), *range(174, 256)}",
        now="printable = {*range(33, 127), *range(161, 173), *range(174, 257)}",
        reason="nobody asks about 256, which is no byte",
    ),
    Equivalent(
        was="others = [byte for byte in range(256) if byte not in printable]",
        now="others = [byte for byte in range(257) if byte not in printable]",
        reason="256 stands at the end of the list, where it moves nothing",
    ),
    Equivalent(
        was="others = [byte for byte in range(256) if byte not in printable]",
        now="others = [byte for byte in range(255) if byte not in printable]",
        reason="byte 255 is printable",
    ),
    Equivalent(
        was="if best is None or counts[best] < 2:",
        now="if counts[best] < 2:",
        reason="a Counter holds None no times",
    ),
    Equivalent(
        was="self.merges = list(merges)",
        now="self.merges = merges",
        reason="nothing writes into the list",
    ),
    Equivalent(
        was="longest_first = sorted(self.special_tokens, key=len, reverse=True)",
        now="longest_first = sorted(self.special_tokens, reverse=True)",
        reason="of two strings that match at one place one begins with the other, and comes first in falling order",
    ),
    Equivalent(
        was='Path(encoder_path).write_text(json.dumps(encoder), encoding="utf-8")',
        now="Path(encoder_path).write_text(json.dumps(encoder))",
        reason="json writes ASCII only",
    ),
    Equivalent(
        was='Path(bpe_path).write_text("\\n".join(["#version: 0.2", *pairs]) + "\\n", encoding="utf-8")',
        now='Path(bpe_path).write_text("\\n".join(["#version: 0.2", *pairs]) + "\\n")',
        reason=BY_DEFAULT,
    ),
    Equivalent(
        was='Path(bpe_path).write_text("\\n".join(["#version: 0.2", *pairs]) + "\\n", encoding="utf-8")',
        now='Path(bpe_path).write_text("\\n".join(["#version: 0.2", *pairs]), encoding="utf-8")',
        reason="nothing is promised about the end of the last line",
    ),
    Equivalent(
        was='for line in Path(bpe_path).read_text(encoding="utf-8").splitlines()[1:]:',
        now="for line in Path(bpe_path).read_text().splitlines()[1:]:",
        reason=BY_DEFAULT,
    ),
    Equivalent(
        was='special_tokens = json.loads(Path(encoder_path).read_text(encoding="utf-8"))',
        now="special_tokens = json.loads(Path(encoder_path).read_text())",
        reason=BY_DEFAULT,
    ),
]
