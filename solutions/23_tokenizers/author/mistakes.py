"""Wrong solutions of 23 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

CHARACTERS = "self.itos = dict(enumerate(sorted(set(text))))"
CHAR_ENCODE = """        for position, character in enumerate(text):
            if character not in self.stoi:
                raise ValueError(
                    f"the character {character!r} at position {position} is not in "
                    "the vocabulary"
                )
        return [self.stoi[character] for character in text]"""
CHAR_DECODE = """        for i in map(int, ids):
            if i not in self.itos:
                raise ValueError(
                    f"there is no id {i}: they go from 0 to {self.vocab_size - 1}"
                )
            characters.append(self.itos[i])"""
PRINTABLE = "printable = {*range(33, 127), *range(161, 173), *range(174, 256)}"
PAIRS = "return Counter(zip(tokens, tokens[1:], strict=False))"
MERGE_LOOP = "    while i < len(tokens):"
MERGE_STEP = """            out.append(merged)
            i += 2"""
CHUNKS = "chunks = Counter(re.findall(SPLIT_PATTERN, text))\n"
COUNTED = "counts[pair] += count * times"
BEST = "best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)"
STOP = "if best is None or counts[best] < 2:"
ONLY_ON_REQUEST = "if not (allow_special and self.special_tokens):"
LONGEST = "longest_first = sorted(self.special_tokens, key=len, reverse=True)"
PLAIN = """        chunks = re.findall(SPLIT_PATTERN, text)
        known"""
LINES = 'Path(bpe_path).read_text(encoding="utf-8").splitlines()[1:]:'
VOCAB_LOOP = """        if spelling not in special_tokens:
            raise ValueError(f"{spelling!r} has no id in {encoder_path}")
        vocab[token] = special_tokens.pop(spelling)"""
EACH_DECODED = '"".join(tokenizer.decode([i]) for i in tokenizer.encode(text)).encode()'
RATIO = "return len(text.encode()) / len(tokenizer.encode(text))"

MISTAKES = [
    # CharTokenizer
    Mistake(
        "vocabulary in order of appearance",
        was=CHARACTERS,
        now="self.itos = dict(enumerate(dict.fromkeys(text)))",
        caught_by="TestCharTokenizer::test_the_vocabulary_is_sorted_and_distinct",
        says="looks like numbered in the order of the text",
    ),
    Mistake(
        "unknown characters dropped",
        was=CHAR_ENCODE,
        now=(
            "        return [self.stoi[character] for character in text if character "
            "in self.stoi]"
        ),
        caught_by="TestCharTokenizer::test_an_unknown_character_is_named",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "negative ids count from the end",
        was=CHAR_DECODE,
        now=CHAR_DECODE.replace(
            "if i not in self.itos:", "if i >= self.vocab_size:"
        ).replace("self.itos[i]", "list(self.stoi)[i]"),
        caught_by="TestCharTokenizer::test_an_unknown_id_is_refused",
        says="raised nothing",
        edge=True,
    ),
    # bytes_to_unicode
    Mistake(
        "delete and the soft hyphen taken for printable",
        was=PRINTABLE,
        now="printable = {*range(33, 128), *range(161, 256)}",
        caught_by="test_the_others_move_up_as_in_gpt2",
        says="looks like delete and the soft hyphen taken for printable",
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
        says="looks like overlaps skipped",
    ),
    # merge_pair
    Mistake(
        "the last token lost",
        was=MERGE_LOOP,
        now="    while i < len(tokens) - 1:",
        caught_by="test_the_pair_becomes_one_token_everywhere",
        says="looks like the last token lost",
    ),
    Mistake(
        "overlapping merges",
        was=MERGE_STEP,
        now=MERGE_STEP.replace(
            "+= 2", "+= 2 if tuple(tokens[i + 1 : i + 3]) != pair else 1"
        ),
        caught_by="test_a_token_is_used_once",
        says="looks like overlapping merges",
    ),
    # train_bpe
    Mistake(
        "the first pair seen wins a tie",
        was=BEST,
        now="best = max(counts, key=counts.get, default=None)",
        caught_by="test_a_tie_goes_to_the_smallest_pair",
        says="looks like the first one seen",
    ),
    Mistake(
        "the text not cut into chunks",
        was=CHUNKS,
        now="chunks = Counter([text])\n",
        caught_by="test_merges_stay_inside_chunks",
        says="looks like the text was not cut, or only at blanks",
    ),
    Mistake(
        "each different chunk counted once",
        was=COUNTED,
        now="counts[pair] += count",
        caught_by="test_every_occurrence_counts",
        says="looks like each different chunk counted once",
    ),
    Mistake(
        "pairs that occur once are merged",
        was=STOP,
        now="if best is None:",
        caught_by="test_it_stops_when_nothing_repeats",
        says="looks like pairs merged that occur once",
    ),
    Mistake(
        "characters instead of bytes",
        was="[bytes([byte]) for byte in chunk.encode()], times)",
        now="[character.encode() for character in chunk], times)",
        caught_by="test_any_text_is_learned_as_by_hand",
        says="list [] expected 1 of them: [(b'\\xc3', b'\\xa9')]",
    ),
    # train_bpe_fast
    Mistake(
        "old neighbours still counted",
        was="            add(i, -1)",
        now="            counts[best] = 0",
        caught_by="TestTrainBpeFast::test_the_neighbours_change_too",
        says="looks like old neighbours still counted",
    ),
    Mistake(
        "the frequency of a chunk forgotten",
        was="counts[pair] += sign * count * times[i]",
        now="counts[pair] += sign * count",
        caught_by="TestTrainBpeFast::test_every_occurrence_counts",
        says="looks like each different chunk counted once",
    ),
    Mistake(
        "all chunks gone through for each merge",
        was="for i in holders.pop(best):",
        now="for i in range(len(words)):",
        caught_by="test_only_chunks_that_hold_the_pair_are_counted_again",
        says="45 merges more than four times as many",
    ),
    # BPETokenizer
    Mistake(
        "the leftmost known pair first",
        was="best = min(known, key=self._ranks.get)",
        now="best = known[0]",
        caught_by="test_the_lowest_rank_goes_first",
        says="looks like the leftmost pair",
    ),
    Mistake(
        "rank taken from the ids",
        was="best = min(known, key=self._ranks.get)",
        now="best = min(known, key=lambda pair: self.vocab[pair[0] + pair[1]])",
        caught_by="test_rank_is_the_place_in_the_list",
        says="looks like the lowest id first",
    ),
    Mistake(
        "encode does not cut the text",
        was=PLAIN,
        now="""        chunks = [text]
        known""",
        caught_by="test_text_is_cut_into_chunks_first",
        says="looks like not cut",
    ),
    Mistake(
        "special strings always read as special",
        was=ONLY_ON_REQUEST,
        now="if not self.special_tokens:",
        caught_by="test_special_text_is_plain_text_by_default",
        says="looks like always read as special",
    ),
    Mistake(
        "special strings in the order of the dict",
        was=LONGEST,
        now="longest_first = list(self.special_tokens)",
        caught_by="test_the_longer_special_string_wins",
        says="looks like the shorter ones",
        edge=True,
    ),
    Mistake(
        "decoded token by token",
        was="return self.decode_bytes(ids).decode(errors=errors)",
        now='return "".join(self.decode_bytes([i]).decode(errors=errors) for i in ids)',
        caught_by="test_bytes_are_joined_before_they_are_decoded",
        says="looks like decoded token by token",
    ),
    Mistake(
        "errors always strict",
        was="return self.decode_bytes(ids).decode(errors=errors)",
        now='return self.decode_bytes(ids).decode(errors="strict")',
        caught_by="test_bytes_that_are_no_text",
        says="raised UnicodeDecodeError",
    ),
    # GPT-2's files
    Mistake(
        "the byte's value used as its id",
        was=VOCAB_LOOP,
        now=VOCAB_LOOP
        + "\n    vocab.update({bytes([byte]): byte for byte in range(256)})",
        caught_by="test_ids_come_from_the_file",
        says="looks like the byte's value as its id",
    ),
    Mistake(
        "every line with # a comment",
        was=LINES,
        now=LINES.replace(
            "[1:]:", "[1:]:\n        if line.startswith('#'):\n            continue"
        ),
        caught_by="test_a_number_sign_is_no_comment",
        says="looks like lines with # dropped",
    ),
    # bytes_per_token
    Mistake(
        "bytes of each decoded token",
        was=RATIO,
        now=RATIO.replace("text.encode()", EACH_DECODED),
        caught_by="test_a_token_may_hold_a_part_of_a_character",
        says="looks like bytes of what each token decodes to",
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
        reason="256 is at the end of the list, where it moves nothing",
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
        was="changed.clear()",
        now="pass",
        reason=(
            "the counts of old pairs are pushed once more, which takes time and "
            "changes no merge"
        ),
    ),
    Equivalent(
        was="self.merges = list(merges)",
        now="self.merges = merges",
        reason="nothing writes into the list",
    ),
    Equivalent(
        was="longest_first = sorted(self.special_tokens, key=len, reverse=True)",
        now="longest_first = sorted(self.special_tokens, reverse=True)",
        reason=(
            "of two strings that match at one place one begins with the other, and "
            "comes first in falling order"
        ),
    ),
    Equivalent(
        was='Path(encoder_path).write_text(json.dumps(encoder), encoding="utf-8")',
        now="Path(encoder_path).write_text(json.dumps(encoder))",
        reason="json writes ASCII only",
    ),
    Equivalent(
        was='"\\n".join(["#version: 0.2", *pairs]) + "\\n", encoding="utf-8"',
        now='"\\n".join(["#version: 0.2", *pairs]) + "\\n"',
        reason=BY_DEFAULT,
    ),
    Equivalent(
        was='"\\n".join(["#version: 0.2", *pairs]) + "\\n", encoding="utf-8"',
        now='"\\n".join(["#version: 0.2", *pairs]), encoding="utf-8"',
        reason="nothing is promised about the end of the last line",
    ),
    Equivalent(
        was='for line in Path(bpe_path).read_text(encoding="utf-8").splitlines()[1:]:',
        now="for line in Path(bpe_path).read_text().splitlines()[1:]:",
        reason=BY_DEFAULT,
    ),
    Equivalent(
        was=(
            "special_tokens = "
            'json.loads(Path(encoder_path).read_text(encoding="utf-8"))'
        ),
        now="special_tokens = json.loads(Path(encoder_path).read_text())",
        reason=BY_DEFAULT,
    ),
    Equivalent(
        was="others = [byte for byte in range(256) if byte not in table]",
        now="others = [byte for byte in range(255) if byte not in table]",
        reason="byte 255 is printable",
        textbook=True,
    ),
]
