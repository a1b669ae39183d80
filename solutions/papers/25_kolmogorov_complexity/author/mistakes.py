"""Wrong solutions of papers/25 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

KEPT = "shortest.setdefault(run_program(program), program)"
DESCRIPTIONS = """descriptions = (
        data,
        zlib.compress(data, 9),
        bz2.compress(data, 9),
        lzma.compress(data, preset=9),
    )"""
BITS = "return 8 * min(map(len, descriptions)) + 2"
DISTANCE = "return (together - min(alone)) / max(alone)"
PRICED = "bits.append(nats / math.log(2))"
PRICE = """        with torch.no_grad():
            nats = F.cross_entropy(
                model(contexts[start:end]), symbols[start:end], reduction="none"
            )
        bits.append(nats / math.log(2))
"""
LEARN = """        for _ in range(updates):
            loss = F.cross_entropy(model(contexts[seen]), symbols[seen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
"""
SEEN = "        seen = slice(max(0, start - 512), end)\n"

MISTAKES = [
    Mistake(
        "longer programs overwrite shorter ones",
        was=KEPT,
        now="shortest[run_program(program)] = program",
        caught_by="test_no_program_is_shorter",
        says="longer than needed for",
    ),
    Mistake(
        "programs as keys",
        was=KEPT,
        now="shortest.setdefault(program, run_program(program))",
        caught_by="test_every_program_prints_its_output",
        says="'D' is among the keys: it is a program, and no output",
    ),
    Mistake(
        "the longest programs left out",
        was="for length in range(max_length + 1):",
        now="for length in range(max_length):",
        caught_by="test_no_program_is_shorter",
        says="outputs are missing",
    ),
    Mistake(
        "no raw fallback",
        was=DESCRIPTIONS,
        now="""descriptions = (
        zlib.compress(data, 9),
        bz2.compress(data, 9),
        lzma.compress(data, preset=9),
    )""",
        caught_by="test_what_no_compressor_shortens_is_sent_as_it_is",
        says="looks like the data itself is not among the descriptions",
    ),
    Mistake(
        "zlib only",
        was=DESCRIPTIONS,
        now="descriptions = (data, zlib.compress(data, 9))",
        caught_by="test_the_best_compressor_counts",
        says="looks like only zlib was tried",
    ),
    Mistake(
        "bytes",
        was=BITS,
        now="return min(map(len, descriptions))",
        caught_by="test_the_best_compressor_counts",
        says="looks like bytes, not bits",
    ),
    Mistake(
        "nothing for the choice",
        was=BITS,
        now="return 8 * min(map(len, descriptions))",
        caught_by="test_the_best_compressor_counts",
        says="looks like no 2 bits for the choice",
    ),
    Mistake(
        "divided by the smaller one",
        was=DISTANCE,
        now="return (together - min(alone)) / min(alone)",
        caught_by="test_is_what_the_cheaper_one_does_not_explain",
        says="looks like divided by the smaller one",
    ),
    Mistake(
        "lengths without compression",
        was=(
            "alone = [len(zlib.compress(part, 9)) for part in (x, y)]\n"
            "    together = len(zlib.compress(x + y, 9))"
        ),
        now="alone = [len(x), len(y)]\n    together = len(x + y)",
        caught_by="test_is_what_the_cheaper_one_does_not_explain",
        says="looks like sizes without compression",
    ),
    Mistake(
        "bits per symbol",
        was="return (counts * (len(symbols) / counts).log2()).sum().item()",
        now=(
            "return (counts / len(symbols) * (len(symbols) / "
            "counts).log2()).sum().item()"
        ),
        caught_by="TestEntropyBits::test_rare_symbols_cost_more",
        says="looks like bits per symbol, not in total",
    ),
    Mistake(
        "zeros not left out",
        was="    counts = counts[counts > 0]\n    return (counts",
        now="    return (counts",
        caught_by="TestEntropyBits::test_rare_symbols_cost_more",
        says="looks like 0 · log 0 = NaN among the terms",
    ),
    Mistake(
        "NumPy: nats",
        was="np.log2(1 / p)",
        now="np.log(1 / p)",
        caught_by="TestEntropyBitsNumpy::test_rare_symbols_cost_more",
        says="looks like nats, not bits",
    ),
    Mistake(
        "the beginning looks like symbol 0",
        was="one_hot = F.one_hot(contexts, self.alphabet_size + 1)",
        now=(
            "one_hot = F.one_hot(contexts % self.alphabet_size, self.alphabet_size + 1)"
        ),
        caught_by="test_each_place_has_columns_of_its_own",
        says="looks like the beginning taken for symbol 0",
    ),
    Mistake(
        "bits in nats",
        was=PRICED,
        now="bits.append(nats)",
        caught_by="test_a_price_is_minus_log2_p",
        says="looks like nats, not bits",
    ),
    Mistake(
        "one price per chunk",
        was=PRICED,
        now="bits.append(nats.mean()[None] / math.log(2))",
        caught_by="test_a_price_is_minus_log2_p",
        says="expected (20,)",
    ),
    Mistake(
        "contexts shifted by one",
        was="torch.cat([beginning, symbols[:-1]]).unfold(0, model.context, 1)",
        now="torch.cat([beginning[1:], symbols]).unfold(0, model.context, 1)",
        caught_by="test_a_price_is_minus_log2_p",
        says="looks like contexts that contain the symbol itself",
    ),
    Mistake(
        "newest symbol first",
        was=(
            "contexts = torch.cat([beginning, symbols[:-1]]).unfold(0, model.context, "
            "1)"
        ),
        now=(
            "contexts = torch.cat([beginning, symbols[:-1]]).unfold(0, model.context, "
            "1).flip(1)"
        ),
        caught_by="test_a_price_is_minus_log2_p",
        says="looks like contexts with the newest symbol first",
    ),
    Mistake(
        "update before the price",
        was=PRICE + SEEN + LEARN,
        now=SEEN + LEARN + PRICE,
        caught_by="test_the_first_chunk_is_priced_by_the_untouched_model",
        says="looks like prices after the update",
    ),
    Mistake(
        "learned from the last chunk only",
        was="max(0, start - 512)",
        now="start",
        caught_by="test_each_chunk_teaches_the_next",
        says="looks like learned from the last chunk only",
    ),
    Mistake(
        "512 symbols, the chunk included",
        was="max(0, start - 512)",
        now="max(0, end - 512)",
        caught_by="test_512_symbols_and_the_chunk_are_replayed",
        says="looks like learned from the last 512 symbols",
    ),
    Mistake(
        "gradients never cleared",
        was="            optimizer.zero_grad()\n",
        now="",
        caught_by="test_each_chunk_teaches_the_next",
        says="looks like gradients that were never cleared",
    ),
    # edges
    Mistake(
        "float32 entropy",
        was="counts = torch.bincount(symbols, minlength=alphabet_size).double()",
        now="counts = torch.bincount(symbols, minlength=alphabet_size).float()",
        caught_by="TestEntropyBits::test_is_computed_in_float64",
        says="looks like float32, with seven digits",
        edge=True,
    ),
    Mistake(
        "one-hot in float32",
        was=""".to(
            self.net[0].weight.dtype
        )""",
        now=".float()",
        caught_by="TestContextModel::test_a_float64_model_computes_in_float64",
        says=(
            "means a product takes tensors of one dtype, and these are float32 and "
            "float64"
        ),
        edge=True,
    ),
    Mistake(
        "prices with a graph",
        was="with torch.no_grad():",
        now="with torch.enable_grad():",
        caught_by="test_the_bits_have_no_graph",
        says="price under torch.no_grad()",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="lzma.compress(data, preset=9),",
        now="lzma.compress(data, preset=8),",
        reason="the presets differ in their dictionaries, both larger than the data",
        textbook=True,
    ),
    Equivalent(
        was="bz2.compress(data, 9),",
        now="bz2.compress(data, 8),",
        reason="up to 800 kB are one block at either level",
        textbook=True,
    ),
    Equivalent(
        was=(
            "contexts = torch.cat([beginning, symbols[:-1]]).unfold(0, model.context, "
            "1)"
        ),
        now=(
            "contexts = torch.cat([beginning, symbols[:-1]]).unfold(-1, "
            "model.context, 1)"
        ),
        reason="one dimension",
        textbook=True,
    ),
]
