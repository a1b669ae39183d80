"""Wrong solutions of 33 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

SPLIT = """    train = [doc for i, doc in enumerate(docs) if i % every != every // 2]
    known = {paragraph.strip() for doc in train for paragraph in _paragraphs(doc)}
    val = []
    for doc in docs[every // 2 :: every]:
        new = [paragraph for paragraph in _paragraphs(doc) if paragraph.strip() not in known]
        if new:
            val.append("\\n\\n".join(new))
"""
NEW = "new = [paragraph for paragraph in _paragraphs(doc) if paragraph.strip() not in known]"
KNOWN = "known = {paragraph.strip() for doc in train for paragraph in _paragraphs(doc)}"
RUNS = """    runs = groupby(doc.split("\\n"), key=lambda line: bool(line.strip()))
    return ["\\n".join(lines) for filled, lines in runs if filled]"""
MERGES = 'merges = train_bpe("\\n\\n".join(train)[:bpe_chars], vocab_size - 1)'
STREAM = "train_ids = [i for doc in train for i in (eot, *tokenizer.encode(doc))]"
EOT = "eot = BPETokenizer(merges).vocab_size"
BYTES = "val_bytes=sum(len(doc.encode()) for doc in val)"
LADDER = "p = [(counts[g] + strength * q) / (places[g[:-1]] + strength) for g, q in zip(grams, p, strict=True)]"
PLACES = """        for gram, count in counts.items():
            places[gram[:-1]] += count
"""
COUNT = """        counts = Counter(zip(*(seen[j:] for j in range(k + 1))))  # a context of k tokens, and the one that follows
        places = Counter()
        for gram, count in counts.items():
            places[gram[:-1]] += count
        grams = zip(*(told[n - 1 - k + j :] for j in range(k + 1)))  # those that end at n - 1, n, …
"""
WINDOWS = """    x = stream[: count * size].view(count, size)
    y = stream[1 : count * size + 1].view(count, size)
"""
SUM = "total += model(inputs, targets)[1].item() * len(inputs)"
BITS = "return loss * n_tokens / (math.log(2) * n_bytes)"
SIZES = "model = GPT(GPTConfig(block_size=config.block_size, vocab_size=data.tokenizer.vocab_size, **sizes))"
OPTIMIZER = "optimizer = make_optimizer(model, config.max_lr, config.weight_decay, betas=(0.9, 0.95))"
LOOK = """        if step % config.eval_every == 0:
            history["val"].append((step, evaluate_stream(model, data.val)))
"""
BATCH = "batch = random_batch(data.train, config.batch_size, config.block_size, generator)\n"
RATE = "lr = cosine_lr(step, config.max_lr, config.min_lr, config.warmup_steps, config.steps)"
STEP = "        result = train_step(model, optimizer, [batch], max_norm=1.0, lr=lr)\n"
LAST = '    history["val"].append((config.steps, evaluate_stream(model, data.val)))\n'
SHARE = "return sum(word in lexicon for word in words) / len(words) if words else 0.0"
WORDS = 're.findall("[a-z]{3,}", text.lower())'
STEPS = "int(n_tokens // tokens_per_step)"
SIX = (
    'sizes = {"n_params": n_params, "n_tokens": n_tokens, "tokens_per_step": tokens_per_step, "peak_flops": peak_flops}'
)
LOOP = 'for name, value in {**sizes, "mfu": mfu, "n_devices": n_devices}.items():'

MISTAKES = [
    # split_prose
    Mistake(
        "the joined text cut in two",
        was=SPLIT,
        now="""    text = "\\n\\n".join(docs)
    cut = int(len(text) * (1 - 1 / every))
    train, val = [text[:cut]], [text[cut:]]
""",
        caught_by="test_whole_documents_by_their_place",
    ),
    Mistake(
        "the first document of each group",
        was="docs[every // 2 :: every]",
        now="docs[::every]",
        caught_by="test_whole_documents_by_their_place",
    ),
    Mistake(
        "the last documents held out",
        was=SPLIT,
        now=SPLIT.replace("if i % every != every // 2]", "if i < len(docs) - len(docs) // every]").replace(
            "docs[every // 2 :: every]", "docs[len(docs) - len(docs) // every :]"
        ),
        caught_by="test_whole_documents_by_their_place",
    ),
    Mistake(
        "every ignored",
        was="if i % every != every // 2]",
        now="if i % 5 != 2]",
        caught_by="test_every_says_how_many",
    ),
    Mistake(
        "nothing taken out",
        was=NEW,
        now="new = _paragraphs(doc)",
        caught_by="test_known_paragraphs_are_taken_out",
    ),
    Mistake(
        "taken out of training instead",
        was=SPLIT,
        now="""    val = list(docs[every // 2 :: every])
    known = {paragraph.strip() for doc in val for paragraph in _paragraphs(doc)}
    train = []
    for doc in [doc for i, doc in enumerate(docs) if i % every != every // 2]:
        new = [paragraph for paragraph in _paragraphs(doc) if paragraph.strip() not in known]
        if new:
            train.append("\\n\\n".join(new))
""",
        caught_by="test_known_paragraphs_are_taken_out",
    ),
    Mistake(
        "compared to the letter",
        was=NEW,
        now=NEW.replace("paragraph.strip() not in", "paragraph not in"),
        caught_by="test_paragraphs_are_compared_without_their_ends",
    ),
    Mistake(
        "training paragraphs not stripped",
        was=KNOWN,
        now=KNOWN.replace("paragraph.strip() for", "paragraph for"),
        caught_by="test_paragraphs_are_compared_without_their_ends",
    ),
    Mistake(
        "only empty lines are blank",
        was=RUNS,
        now='    return [paragraph for paragraph in doc.split("\\n\\n") if paragraph.strip()]',
        caught_by="test_a_line_of_white_space_is_blank",
    ),
    Mistake(
        "cut at blank lines, with one left at the beginning",
        was=RUNS,
        now='    return [piece for piece in re.split(r"\\n\\s*\\n", doc) if piece.strip()]',
        caught_by="test_blank_lines_at_the_ends",
    ),
    Mistake(
        "cut at blank lines, with empty pieces",
        was=RUNS,
        now='    return re.split(r"\\n\\s*\\n", doc)',
        caught_by="test_blank_lines_at_the_ends",
    ),
    Mistake(
        "line by line",
        was=RUNS,
        now='    return [line for line in doc.split("\\n") if line.strip()]',
        caught_by="test_only_whole_paragraphs",
    ),
    Mistake(
        "known anywhere in the training text",
        was=NEW,
        now='new = [paragraph for paragraph in _paragraphs(doc) if paragraph.strip() not in "\\n\\n".join(train)]',
        caught_by="test_only_whole_paragraphs",
    ),
    Mistake(
        "kept without their indentation",
        was=NEW,
        now=NEW.replace("[paragraph for", "[paragraph.strip() for"),
        caught_by="test_what_stays_keeps_every_character",
    ),
    Mistake(
        "empty documents stay",
        was="        if new:\n",
        now="        if True:\n",
        caught_by="test_emptied_documents_are_dropped",
    ),
    Mistake(
        "repeated in validation taken out, too",
        was='            val.append("\\n\\n".join(new))\n',
        now='            val.append("\\n\\n".join(dict.fromkeys(new)))\n            known.update(p.strip() for p in new)\n',
        caught_by="test_repeated_in_validation_only",
    ),
    Mistake(
        "every = 1 goes through",
        was="if every < 2 or len(docs) < every:",
        now="if every < 1 or len(docs) < every:",
        caught_by="test_what_cannot_be_split_is_refused",
        edge=True,
    ),
    # prepare
    Mistake(
        "the tokenizer has seen validation text",
        was=MERGES,
        now='merges = train_bpe("\\n\\n".join(docs)[:bpe_chars], vocab_size - 1)',
        caught_by="test_merges_come_from_training_text_alone",
    ),
    Mistake(
        "merges from all characters",
        was=MERGES,
        now=MERGES.replace("[:bpe_chars]", ""),
        caught_by="test_merges_come_from_the_first_characters",
    ),
    Mistake(
        "the streams are cut as well",
        was=STREAM,
        now=STREAM + "[:bpe_chars]",
        caught_by="test_merges_come_from_the_first_characters",
    ),
    Mistake(
        "the mark is not counted",
        was=MERGES,
        now=MERGES.replace("vocab_size - 1", "vocab_size"),
        caught_by="test_the_mark_is_the_last_id",
    ),
    Mistake("eot id 0", was=EOT, now="eot = 0", caught_by="test_the_mark_is_the_last_id"),
    Mistake("a hole before the mark", was=EOT, now="eot = vocab_size - 1", caught_by="test_text_without_pairs_enough"),
    Mistake(
        "the mark between documents only",
        was=STREAM,
        now=STREAM + "[1:]",
        caught_by="test_the_streams_are_the_documents",
    ),
    Mistake(
        "the mark after each document",
        was=STREAM,
        now="train_ids = [i for doc in train for i in (*tokenizer.encode(doc), eot)]",
        caught_by="test_the_streams_are_the_documents",
    ),
    Mistake(
        "special strings parsed in the text",
        was=STREAM,
        now="train_ids = [i for doc in train for i in (eot, *tokenizer.encode(doc, allow_special=True))]",
        caught_by="test_the_mark_inside_a_text",
    ),
    Mistake(
        "characters for bytes",
        was=BYTES,
        now="val_bytes=sum(len(doc) for doc in val)",
        caught_by="test_bytes_not_characters",
    ),
    Mistake(
        "bytes from before the cleaning",
        was=BYTES,
        now="val_bytes=sum(len(doc.encode()) for doc in docs[every // 2 :: every])",
        caught_by="test_what_was_taken_out_is_not_there",
    ),
    Mistake(
        "an empty stream of floats",
        was="val=torch.tensor(val_ids, dtype=torch.long)",
        now="val=torch.tensor(val_ids)",
        caught_by="test_nothing_left_to_validate",
    ),
    Mistake(
        "left to train_bpe, which names another number",
        was="if vocab_size < 257:",
        now="if vocab_size < 0:",
        caught_by="test_at_least_bytes_and_the_mark",
        edge=True,
    ),
    # ngram_loss
    Mistake(
        "not smoothed",
        was=LADDER,
        now="p = [counts[g] / places[g[:-1]] if counts[g] else 1e-9 for g in grams]",
        caught_by="test_bigrams_by_hand",
    ),
    Mistake(
        "back to 1/V at once",
        was=LADDER,
        now="p = [(counts[g] + strength / vocab_size) / (places[g[:-1]] + strength) for g in grams]",
        caught_by="test_bigrams_by_hand",
    ),
    Mistake(
        "add-one smoothing",
        was=LADDER,
        now="p = [(counts[g] + 1) / (places[g[:-1]] + vocab_size) for g in grams]",
        caught_by="test_bigrams_by_hand",
    ),
    Mistake(
        "V taken for the tokens seen",
        was="p = [1 / vocab_size] *",
        now="p = [1 / max(1, len(set(seen)))] *",
        caught_by="test_tokens_that_training_never_saw",
    ),
    Mistake(
        "the end of the text is a place",
        was=PLACES,
        now="        places = Counter(zip(*(seen[j:] for j in range(k)))) if k else Counter({(): len(seen)})\n",
        caught_by="test_bigrams_by_hand",
    ),
    Mistake(
        "one order too few",
        was="    for k in range(n):\n        counts",
        now="    for k in range(n - 1):\n        counts",
        caught_by="TestNgramLoss::test_unigrams_by_hand",
    ),
    Mistake(
        "counted anew for each token",
        was=COUNT + "        " + LADDER,
        now="""        contexts = [tuple(told[i - k : i]) for i in range(n - 1, len(told))]
        for j, (context, token) in enumerate(zip(contexts, told[n - 1 :], strict=True)):
            places = [i for i in range(k, len(seen)) if tuple(seen[i - k : i]) == context]
            count = sum(seen[i] == token for i in places)
            p[j] = (count + strength * p[j]) / (len(places) + strength)""",
        caught_by="test_long_streams",
    ),
    Mistake(
        "strength 5 whatever was asked",
        was=LADDER,
        now=LADDER.replace("strength * q", "5.0 * q"),
        caught_by="test_strength",
    ),
    Mistake(
        "no strength at all",
        was="if n < 1 or strength <= 0 or",
        now="if n < 1 or strength < 0 or",
        caught_by="TestNgramLoss::test_what_cannot_be_measured_is_refused",
        edge=True,
    ),
    # evaluate_stream and bits_per_byte
    Mistake(
        "windows that overlap",
        was=WINDOWS,
        now="    x, y = stream[:-1].unfold(0, size, 1), stream[1:].unfold(0, size, 1)\n    count = len(x)\n",
        caught_by="test_the_mean_over_all_windows",
    ),
    Mistake(
        "the mean of the batches",
        was=SUM,
        now="total += model(inputs, targets)[1].item() * count / len(x.split(batch_size))",
        caught_by="test_batch_size_changes_nothing",
    ),
    Mistake(
        "the last window is lost",
        was="count = (len(stream) - 1) // size",
        now="count = (len(stream) - 2) // size",
        caught_by="TestEvaluateStream::test_the_smallest_stream",
        edge=True,
    ),
    Mistake(
        "measured in training mode",
        was="    model.eval()\n    total = 0.0",
        now="    total = 0.0",
        caught_by="TestEvaluateStream::test_dropout_is_off",
    ),
    Mistake(
        "the mode is put back on the good way only",
        was="    finally:\n        model.train(was_training)\n",
        now="    except ZeroDivisionError:\n        pass\n    model.train(was_training)\n",
        caught_by="TestEvaluateStream::test_the_mode_is_put_back_after_an_error",
        edge=True,
    ),
    Mistake(
        "gradients on",
        was="with torch.no_grad():",
        now="with torch.enable_grad():",
        caught_by="test_no_gradients_are_computed",
    ),
    Mistake(
        "divided by ln 2 twice",
        was=BITS,
        now="return loss / math.log(2) * n_tokens / (math.log(2) * n_bytes)",
        caught_by="test_a_byte_has_eight_bits",
    ),
    # train_capstone
    Mistake("no validation at the end", was=LAST, now="", caught_by="TestTrainCapstone::test_the_record_of_a_run"),
    Mistake(
        "validation after the update",
        was=LOOK + "        " + BATCH + "        " + RATE + "\n" + STEP,
        now="        " + BATCH + "        " + RATE + "\n" + STEP + LOOK,
        caught_by="test_validation_on_the_way",
    ),
    Mistake(
        "validated on training text",
        was=LAST,
        now=LAST.replace("data.val", "data.train"),
        caught_by="test_validation_is_on_the_validation_stream",
    ),
    Mistake(
        "targets not shifted",
        was=BATCH,
        now=BATCH + "        batch = (batch[0], batch[0])\n",
        caught_by="test_it_learns_no_more_than_there_is",
    ),
    Mistake(
        "generator ignored",
        was=BATCH,
        now=BATCH.replace(", generator)", ")"),
        caught_by="test_windows_come_from_the_generator",
    ),
    Mistake(
        "the text cut into pieces, in order",
        was=BATCH,
        now="""count = (len(data.train) - 1) // config.block_size
        rows = [(step * config.batch_size + i) % count * config.block_size for i in range(config.batch_size)]
        windows = torch.stack([data.train[o : o + config.block_size + 1] for o in rows])
        batch = (windows[:, :-1], windows[:, 1:])
""",
        caught_by="test_random_windows_of_the_training_stream",
    ),
    Mistake("one rate for all steps", was=RATE, now="lr = config.max_lr", caught_by="test_losses_follow_the_recipe"),
    Mistake(
        "not clipped",
        was=STEP,
        now=STEP.replace("max_norm=1.0", "max_norm=None"),
        caught_by="test_losses_follow_the_recipe",
    ),
    Mistake(
        "everything decays, with torch's betas",
        was=OPTIMIZER,
        now="optimizer = torch.optim.AdamW(model.parameters(), lr=config.max_lr, weight_decay=config.weight_decay)",
        caught_by="test_losses_follow_the_recipe",
    ),
    Mistake(
        "GPT-2's vocabulary",
        was=SIZES,
        now=SIZES.replace("vocab_size=data.tokenizer.vocab_size, ", "vocab_size=50257, "),
        caught_by="test_the_model_that_was_asked_for",
    ),
    Mistake(
        "dropout forgotten",
        was=', "dropout": config.dropout}',
        now="}",
        caught_by="test_the_model_that_was_asked_for",
    ),
    Mistake(
        "back in training mode",
        was="return model.eval(), history",
        now="return model.train(), history",
        caught_by="test_the_model_that_was_asked_for",
    ),
    # lexicon, known_word_rate and reproduction_plan
    Mistake(
        "capitals kept",
        was=WORDS,
        now='re.findall("[A-Za-z]{3,}", text)',
        caught_by="TestLexicon::test_words_in_lower_case",
    ),
    Mistake(
        "split at white space",
        was=WORDS,
        now="[word for word in text.lower().split() if len(word) >= 3]",
        caught_by="test_what_is_no_letter_ends_a_word",
    ),
    Mistake(
        "different words counted",
        was=SHARE,
        now="return len(lexicon & set(words)) / len(set(words)) if words else 0.0",
        caught_by="test_repeated_words_count_each_time",
    ),
    Mistake("steps rounded up", was=STEPS, now="math.ceil(n_tokens / tokens_per_step)", caught_by="test_steps_of_gpt2"),
]

EQUIVALENT = [
    Equivalent(
        was="for doc in docs[every // 2 :: every]:",
        now="for doc in docs[every // 2 :: ]:",
        reason="a training document has no paragraph that training does not have: it is dropped again",
    ),
    Equivalent(
        was="if vocab_size < 257:",
        now="if vocab_size < 256:",
        reason="256 is then refused by train_bpe, whose message has that number in it as well",
    ),
    Equivalent(
        was="train=torch.tensor(train_ids, dtype=torch.long),",
        now="train=torch.tensor(train_ids),",
        reason="there is always a training document, and a tensor of ints is long",
    ),
    *(
        Equivalent(
            was="def evaluate_stream(model: nn.Module, stream: Tensor, batch_size: int = 32) -> float:",
            now=f"def evaluate_stream(model: nn.Module, stream: Tensor, batch_size: int = {size}) -> float:",
            reason="how many windows go through at a time changes nothing",
        )
        for size in (31, 33)
    ),
    Equivalent(
        was=OPTIMIZER, now=OPTIMIZER.replace(", betas=(0.9, 0.95)", ""), reason="these are make_optimizer's own"
    ),
    Equivalent(
        was="if step % config.eval_every == 0:",
        now="if step % config.eval_every <= 0:",
        reason="the rest of a division by a positive number is not negative",
    ),
    Equivalent(was=STEP.strip(), now=STEP.strip().replace(" max_norm=1.0,", ""), reason="this is train_step's own"),
    *(
        Equivalent(
            was=line, now=line.replace(f'"{name}":', f'"{name}_":'), reason="only the text of the error has the name"
        )
        for line in (SIX, LOOP)
        for name in ("n_params", "n_tokens", "tokens_per_step", "peak_flops", "mfu", "n_devices")
        if f'"{name}":' in line
    ),
    Equivalent(
        was='"steps": int(n_tokens // tokens_per_step),',
        now='"steps": int(n_tokens / tokens_per_step),',
        reason="differs only where a quotient of 16 digits is rounded up",
    ),
]
