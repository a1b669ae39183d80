"""Wrong solutions of 33 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

SPLIT = (
    "    train = [doc for i, doc in enumerate(docs) if i % every != every // 2]\n"
    "    known = {paragraph.strip() for doc in train for paragraph in "
    "_paragraphs(doc)}\n    val = []\n    for doc in docs[every // 2 :: every]:\n"
    "        new = [\n            paragraph\n"
    "            for paragraph in _paragraphs(doc)\n"
    "            if paragraph.strip() not in known\n        ]\n        if new:\n"
    '            val.append("\\n\\n".join(new))\n'
)
NEW = """new = [
            paragraph
            for paragraph in _paragraphs(doc)
            if paragraph.strip() not in known
        ]"""
RUNS = """    runs = groupby(doc.split("\\n"), key=lambda line: bool(line.strip()))
    return ["\\n".join(lines) for filled, lines in runs if filled]"""
MERGES = 'merges = train_bpe("\\n\\n".join(train)[:bpe_chars], vocab_size - 1)'
STREAM = "train_ids = [i for doc in train for i in (eot, *tokenizer.encode(doc))]"
EOT = "eot = BPETokenizer(merges).vocab_size"
BYTES = "val_bytes=sum(len(doc.encode()) for doc in val)"
LADDER = """p = [
            (grams[g] + strength * q) / (contexts[g[:-1]] + strength)
            for g, q in zip(told_grams, p, strict=True)
        ]"""
WINDOWS = """    x = stream[: count * size].view(count, size)
    y = stream[1 : count * size + 1].view(count, size)
"""
SUM = "total += model(inputs, targets)[1].item() * len(inputs)"
BITS = "return loss * n_tokens / (math.log(2) * n_bytes)"
OPTIMIZER = """optimizer = make_optimizer(
        model, config.max_lr, config.weight_decay, betas=(0.9, 0.95)
    )"""
LOOK = """        if step % config.eval_every == 0:
            history["val"].append((step, evaluate_stream(model, data.val)))
"""
BATCH = """batch = random_batch(
            data.train, config.batch_size, config.block_size, generator
        )
"""
RATE = """lr = cosine_lr(
            step, config.max_lr, config.min_lr, config.warmup_steps, config.steps
        )"""
STEP = "        result = train_step(model, optimizer, [batch], max_norm=1.0, lr=lr)\n"
LAST = '    history["val"].append((config.steps, evaluate_stream(model, data.val)))\n'
STEPS = "int(n_tokens // tokens_per_step)"

MISTAKES = [
    # split_prose
    Mistake(
        "indentation lost",
        was=NEW,
        now=(
            "new = [paragraph.strip() for paragraph in _paragraphs(doc) if "
            "paragraph.strip() not in known]"
        ),
        caught_by="test_what_stays_keeps_every_character",
        says="got 'text:\\n\\nif a:",
    ),
    Mistake(
        "nothing taken out",
        was=NEW,
        now="new = _paragraphs(doc)",
        caught_by="test_known_paragraphs_are_taken_out",
        says="looks like nothing taken out",
    ),
    Mistake(
        "taken out of training instead",
        was=SPLIT,
        now="""    val = list(docs[every // 2 :: every])
    known = {paragraph.strip() for doc in val for paragraph in _paragraphs(doc)}
    train = []
    for doc in [doc for i, doc in enumerate(docs) if i % every != every // 2]:
        new = [one for one in _paragraphs(doc) if one.strip() not in known]
        if new:
            train.append("\\n\\n".join(new))
""",
        caught_by="test_known_paragraphs_are_taken_out",
        says="looks like nothing taken out of val",
    ),
    Mistake(
        "only empty lines are blank",
        was=RUNS,
        now=(
            '    return [paragraph for paragraph in doc.split("\\n\\n") if '
            "paragraph.strip()]"
        ),
        caught_by="test_a_line_of_white_space_is_blank",
        says="looks like lines of white space taken for text",
        edge=True,
    ),
    Mistake(
        "empty documents stay",
        was="        if new:\n",
        now="        if True:\n",
        caught_by="test_any_manual",
        says="of val list [''] expected 0 of them",
    ),
    # prepare
    Mistake(
        "the tokenizer has seen validation text",
        was=MERGES,
        now='merges = train_bpe("\\n\\n".join(docs)[:bpe_chars], vocab_size - 1)',
        caught_by="test_merges_come_from_training_text_alone",
        says="merges learned from validation text",
    ),
    Mistake(
        "a hole before the mark",
        was=EOT,
        now="eot = vocab_size - 1",
        caught_by="test_text_without_pairs_enough",
        says="looks like vocab_size − 1, with a hole before it",
    ),
    Mistake(
        "the mark after each document",
        was=STREAM,
        now="train_ids = [i for doc in train for i in (*tokenizer.encode(doc), eot)]",
        caught_by="test_the_streams_are_the_documents",
        says="looks like the mark after each document",
    ),
    Mistake(
        "special strings parsed in the text",
        was=STREAM,
        now=(
            "train_ids = [i for doc in train for i in (eot, *tokenizer.encode(doc, "
            "allow_special=True))]"
        ),
        caught_by="test_the_mark_inside_a_text",
        says="looks like a mark made of the characters in the text",
        edge=True,
    ),
    Mistake(
        "characters for bytes",
        was=BYTES,
        now="val_bytes=sum(len(doc) for doc in val)",
        caught_by="test_bytes_not_characters",
        says="looks like characters instead of bytes",
    ),
    # context_counts
    Mistake(
        "the end of the text is a place",
        was="""    for gram, count in grams.items():
        contexts[gram[:-1]] += count
""",
        now="""    for i in range(len(tokens) - k + bool(k)):
        contexts[tuple(tokens[i : i + k])] += 1
""",
        caught_by="test_pairs_by_hand",
        says="looks like the 0 at the very end counted",
    ),
    Mistake(
        "plain dicts",
        was="    return contexts, grams\n",
        now="    return dict(contexts), dict(grams)\n",
        caught_by="test_what_was_never_seen",
        says="KeyError",
    ),
    # ngram_loss
    Mistake(
        "back to 1/V at once",
        was=LADDER,
        now=(
            "p = [(grams[g] + strength / vocab_size) / (contexts[g[:-1]] + strength) "
            "for g in told_grams]"
        ),
        caught_by="test_bigrams_by_hand",
        says="looks like smoothed with 1/V instead of p_0",
    ),
    Mistake(
        "V taken for the tokens seen",
        was="p = [1 / vocab_size] *",
        now="p = [1 / max(1, len(set(train.tolist())))] *",
        caught_by="test_tokens_that_training_never_saw",
        says="looks like V taken for the number of tokens seen",
    ),
    # evaluate_stream and bits_per_byte
    Mistake(
        "windows that overlap",
        was=WINDOWS,
        now=(
            "    x, y = stream[:-1].unfold(0, size, 1), stream[1:].unfold(0, size, "
            "1)\n    count = len(x)\n"
        ),
        caught_by="test_the_mean_over_all_windows",
        says="looks like overlapping windows",
    ),
    Mistake(
        "the mean of the batches",
        was=SUM,
        now=(
            "total += model(inputs, targets)[1].item() * count / "
            "len(x.split(batch_size))"
        ),
        caught_by="test_every_window_counts_the_same",
        says="looks like the mean of the batches' means",
    ),
    Mistake(
        "measured in training mode",
        was="    model.eval()\n    total = 0.0",
        now="    total = 0.0",
        caught_by="TestEvaluateStream::test_dropout_is_off",
        says="looks like measured in training mode",
    ),
    Mistake(
        "divided by ln 2 twice",
        was=BITS,
        now="return loss / math.log(2) * n_tokens / (math.log(2) * n_bytes)",
        caught_by="test_a_byte_has_eight_bits",
        says="looks like divided by ln 2 twice",
    ),
    # train_capstone
    Mistake(
        "no validation at the end",
        was=LAST,
        now="",
        caught_by="TestTrainCapstone::test_the_record_of_a_run",
        says="looks like none after the last update",
    ),
    Mistake(
        "validation after the update",
        was=LOOK + "        " + BATCH + "        " + RATE + "\n" + STEP,
        now="        " + BATCH + "        " + RATE + "\n" + STEP + LOOK,
        caught_by="test_validation_on_the_way",
        says="looks like measured after the update",
    ),
    Mistake(
        "targets not shifted",
        was=BATCH,
        now=BATCH + "        batch = (batch[0], batch[0])\n",
        caught_by="test_it_learns_no_more_than_there_is",
        says="the mean of the last ten losses is 0.00",
    ),
    Mistake(
        "generator ignored",
        was=BATCH,
        now="""batch = random_batch(data.train, config.batch_size, config.block_size)
""",
        caught_by="test_the_seeds_decide",
        says="two generators of different seeds gave the same losses",
    ),
    Mistake(
        "everything decays, with torch's betas",
        was=OPTIMIZER,
        now=(
            "optimizer = torch.optim.AdamW(model.parameters(), lr=config.max_lr, "
            "weight_decay=config.weight_decay)"
        ),
        caught_by="test_losses_follow_the_recipe",
        says="looks like biases and norms decay, too, with AdamW's own betas",
    ),
    Mistake(
        "the model stays on the CPU",
        was="    model.to(data.train.device)\n",
        now="",
        caught_by="test_the_model_is_where_the_streams_are",
        says="got 'cpu'",
        edge=True,
    ),
    # reproduction_plan
    Mistake(
        "steps rounded up",
        was=STEPS,
        now="math.ceil(n_tokens / tokens_per_step)",
        caught_by="test_steps_of_gpt2",
        says="looks like rounded up",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="for doc in docs[every // 2 :: every]:",
        now="for doc in docs[every // 2 :: ]:",
        reason=(
            "a training document has no paragraph that training does not have: it is "
            "dropped again"
        ),
    ),
    Equivalent(
        was="if vocab_size < 257:",
        now="if vocab_size < 256:",
        reason=(
            "256 is then refused by train_bpe, whose message has that number in it as "
            "well"
        ),
    ),
    Equivalent(
        was="train=torch.tensor(train_ids, dtype=torch.long),",
        now="train=torch.tensor(train_ids),",
        reason="there is always a training document, and a tensor of ints is long",
    ),
    Equivalent(
        was="model, config.max_lr, config.weight_decay, betas=(0.9, 0.95)",
        now="model, config.max_lr, config.weight_decay",
        reason="these are make_optimizer's own",
    ),
    Equivalent(
        was="if step % config.eval_every == 0:",
        now="if step % config.eval_every <= 0:",
        reason="the rest of a division by a positive number is not negative",
    ),
    Equivalent(
        was=STEP.strip(),
        now=STEP.strip().replace(" max_norm=1.0,", ""),
        reason="this is train_step's own",
    ),
    Equivalent(
        was='"n_params": n_params,',
        now='"n_params_": n_params,',
        reason="only the text of the error has the name",
    ),
    Equivalent(
        was='"n_tokens": n_tokens,',
        now='"n_tokens_": n_tokens,',
        reason="only the text of the error has the name",
    ),
    Equivalent(
        was='"tokens_per_step": tokens_per_step,',
        now='"tokens_per_step_": tokens_per_step,',
        reason="only the text of the error has the name",
    ),
    Equivalent(
        was='"peak_flops": peak_flops,',
        now=('"peak_flops_": peak_flops,'),
        reason=("only the text of the error has the name"),
    ),
    Equivalent(
        was=(
            'for name, value in {**sizes, "mfu": mfu, "n_devices": n_devices}.items():'
        ),
        now=(
            'for name, value in {**sizes, "mfu_": mfu, "n_devices": n_devices}.items():'
        ),
        reason=("only the text of the error has the name"),
    ),
    Equivalent(
        was=(
            'for name, value in {**sizes, "mfu": mfu, "n_devices": n_devices}.items():'
        ),
        now=(
            'for name, value in {**sizes, "mfu": mfu, "n_devices_": n_devices}.items():'
        ),
        reason=("only the text of the error has the name"),
    ),
    Equivalent(
        was='"steps": int(n_tokens // tokens_per_step),',
        now='"steps": int(n_tokens / tokens_per_step),',
        reason="differs only where a quotient of 16 digits is rounded up",
    ),
]
