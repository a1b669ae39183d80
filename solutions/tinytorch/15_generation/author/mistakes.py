"""Wrong solutions of tinytorch/15 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

POSITIONS = "self.tok_emb(numbers) + self.pos_emb(np.arange(numbers.shape[1]))"
TEMPERATURE_AND_SUM = """\
    powers = np.exp((scores - scores.max(axis=-1, keepdims=True)) / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)
"""
LAST = "logits = model(tokens[:, -model.block_size :])[:, -1]"
DRAWN = "drawn = [rng.choice(probs.shape[1], p=row) for row in probs]"
STARTS = "integers(0, len(ids) - block_size, batch_size)"
RATE = "cosine_decay(step, lr, total=steps, warmup=min(20, steps // 10))"

MISTAKES = [
    # CharTokenizer
    Mistake(
        "every character of the text in the vocabulary",
        was="sorted(set(text))",
        now="sorted(text)",
        caught_by="test_the_vocabulary_is_sorted_and_without_repeats",
        says="looks like with repeats",
    ),
    # embedding
    Mistake(
        "NumPy wraps negative ids",
        was="0 <= numbers.min() and numbers.max() < len(weight)",
        now="numbers.max() < len(weight)",
        caught_by="TestEmbedding::test_an_id_outside_the_table_is_refused",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "not announced",
        was='record(Tensor(weight.data[numbers]), "embedding", (weight,), ids=numbers)',
        now="Tensor(weight.data[numbers])",
        caught_by="TestEmbedding::test_is_part_of_the_graph",
        says="no gradient can go back",
    ),
    Mistake(
        "gradients assigned",
        was='np.add.at(table, node.saved["ids"], grad)',
        now='table[node.saved["ids"]] = grad',
        caught_by="test_repeated_ids_add_up",
        says="looks like only the last of the repeated ids counts",
    ),
    Mistake(
        "+= with repeated ids",
        was='np.add.at(table, node.saved["ids"], grad)',
        now='table[node.saved["ids"]] += grad',
        caught_by="test_repeated_ids_add_up",
        says="looks like only the last of the repeated ids counts",
    ),
    Mistake(
        "a table of standard deviation 1",
        was="normal(0, 0.02, (num_embeddings, embedding_dim))",
        now="normal(size=(num_embeddings, embedding_dim))",
        caught_by="TestEmbeddingLayer::test_a_small_random_table",
        says="expected about 0.02",
    ),
    # TinyGPT
    Mistake(
        "one position per token of the vocabulary",
        was="self.pos_emb = Embedding(block_size, embed_dim, rng=rng)",
        now="self.pos_emb = Embedding(vocab_size, embed_dim, rng=rng)",
        caught_by="TestTinyGPTInit::test_the_parts",
        says="pos_emb",
    ),
    Mistake(
        "a head with a bias",
        was="self.head = Linear(embed_dim, vocab_size, bias=False, rng=rng)",
        now="self.head = Linear(embed_dim, vocab_size, rng=rng)",
        caught_by="test_backbone_and_head",
        says="the head has a bias",
    ),
    Mistake(
        "no positions",
        was=POSITIONS,
        now="self.tok_emb(numbers)",
        caught_by="test_logits_for_every_position",
        says="looks like without the positions",
    ),
    Mistake(
        "positions of a cropped window not restarted at 0",
        was=POSITIONS,
        now=POSITIONS.replace(
            "np.arange(", "self.block_size - numbers.shape[1] + np.arange("
        ),
        caught_by="test_logits_for_every_position",
        says="looks like positions counted from the end of the block",
    ),
    # next_token_probs
    Mistake(
        "multiplied by the temperature",
        was=TEMPERATURE_AND_SUM,
        now=TEMPERATURE_AND_SUM.replace("/ temperature", "* temperature"),
        caught_by="test_temperature_divides_the_logits",
        says="looks like multiplied by the temperature",
    ),
    Mistake(
        "top-k cuts probabilities, which no longer sum to 1",
        was="        np.put_along_axis(scores, dropped, -np.inf, axis=-1)\n"
        + TEMPERATURE_AND_SUM,
        now="        powers = np.exp((scores - scores.max(axis=-1, keepdims=True)) / "
        "temperature)\n"
        "        probs = powers / powers.sum(axis=-1, keepdims=True)\n"
        "        np.put_along_axis(probs, dropped, 0, axis=-1)\n"
        "        return probs\n" + TEMPERATURE_AND_SUM,
        caught_by="test_top_k_keeps_the_largest",
        says="looks like the rest cut away, and not renormalised",
    ),
    Mistake(
        "top-k keeps the smallest",
        was="np.argsort(-scores, axis=",
        now="np.argsort(scores, axis=",
        caught_by="test_top_k_keeps_the_largest",
        says="looks like the smallest kept",
    ),
    Mistake(
        "NaN: perhaps exponentials of the logits as they are",
        was=TEMPERATURE_AND_SUM,
        now=TEMPERATURE_AND_SUM.replace(
            "(scores - scores.max(axis=-1, keepdims=True))", "scores"
        ),
        caught_by="TestNextTokenProbs::test_large_logits",
        says="values are NaN",
    ),
    Mistake(
        "temperature 0 shares among equal maxima",
        was="        return np.eye(vocab_size)[scores.argmax(axis=-1)]\n",
        now="        best = (scores == scores.max(axis=-1, "
        "keepdims=True)).astype(float)\n"
        "        return best / best.sum(axis=-1, keepdims=True)\n",
        caught_by="test_temperature_zero_takes_the_first_maximum",
        says="looks like shared among equals",
    ),
    # generate
    Mistake(
        "the logits of the first position",
        was=LAST,
        now=LAST.replace("[:, -1]", "[:, 0]"),
        caught_by="test_each_token_follows_from_the_one_before",
        says="looks like sampled from the logits of the first position",
    ),
    Mistake(
        "the mean over the positions",
        was=LAST,
        now=LAST.replace("[:, -1]", ".mean(dim=1)"),
        caught_by="test_each_token_follows_from_the_one_before",
        says="looks like sampled from the logits of the first position",
    ),
    Mistake(
        "only what is new is returned",
        was="    return tokens\n",
        now="    return tokens[:, np.shape(as_array(ids))[1] :]\n",
        caught_by="test_each_token_follows_from_the_one_before",
        says="looks like without the prompt",
    ),
    Mistake(
        "the first tokens of a long text",
        was=LAST,
        now=LAST.replace("-model.block_size :", ": model.block_size"),
        caught_by="test_the_model_reads_the_last_block",
        says="looks like the first tokens instead of the last",
    ),
    Mistake(
        "the maximum, whatever the temperature",
        was=DRAWN,
        now="drawn = probs.argmax(axis=1)",
        caught_by="test_frequencies_match_the_probabilities",
        says="looks like the maximum always taken: nothing is drawn",
    ),
    Mistake(
        "one draw for all rows",
        was=DRAWN,
        now="drawn = [rng.choice(probs.shape[1], p=probs[0])] * len(probs)",
        caught_by="test_frequencies_match_the_probabilities",
        says="the frequencies are",
    ),
    # sample_batch
    Mistake(
        "targets not shifted",
        was="ids[places], ids[places + 1]",
        now="ids[places], ids[places]",
        caught_by="test_targets_are_one_token_ahead",
        says="looks like not shifted",
    ),
    Mistake(
        "starts up to the end of the text",
        was=STARTS,
        now="integers(0, len(ids), batch_size)",
        caught_by="test_windows_of_any_text",
        says="out of bounds",
    ),
    Mistake(
        "the last window left out",
        was=STARTS,
        now="integers(0, max(len(ids) - block_size - 1, 1), batch_size)",
        caught_by="test_every_start_is_drawn_the_last_one_too",
        says="the last window is missing",
    ),
    # train_language_model
    Mistake(
        "a constant rate",
        was=RATE,
        now="lr",
        caught_by="test_the_losses_are_those_of_pytorch",
        says="looks like a constant rate",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="table = np.zeros_like(node.inputs[0].data)",
        now="table = np.zeros_like(node.inputs[-1].data)",
        reason="one input",
        textbook=True,
    ),
    Equivalent(
        was=(
            "loss = fused_cross_entropy(logits.reshape(-1, model.vocab_size), "
            "y.reshape(-1))"
        ),
        now=(
            "loss = fused_cross_entropy(logits.reshape(-1, model.vocab_size), "
            "y.reshape(-2))"
        ),
        reason="numpy reads any negative size as -1",
        textbook=True,
    ),
    Equivalent(
        was=(
            "loss = fused_cross_entropy(logits.reshape(-1, model.vocab_size), "
            "y.reshape(-1))"
        ),
        now=(
            "loss = fused_cross_entropy(logits.reshape(-2, model.vocab_size), "
            "y.reshape(-1))"
        ),
        reason="numpy reads any negative size as -1",
        textbook=True,
    ),
    Equivalent(
        was=(
            "sample = tokenizer.decode(model.generate(prompt, 200, temperature=0.5, "
            "rng=rng)[0])"
        ),
        now=(
            "sample = tokenizer.decode(model.generate(prompt, 200, temperature=0.5, "
            "rng=rng)[-1])"
        ),
        reason="a batch of one",
        textbook=True,
    ),
    Equivalent(
        was="costs = [generation_cost(1, n, n + 1, cache=cache) for n in new_tokens]",
        now="costs = [generation_cost(1, n, n + 2, cache=cache) for n in new_tokens]",
        reason="a longer block changes nothing",
        textbook=True,
    ),
    Equivalent(
        was="costs = [generation_cost(1, n, n + 1, cache=cache) for n in new_tokens]",
        now="costs = [generation_cost(1, n, n + 0, cache=cache) for n in new_tokens]",
        reason="the last pass reads n tokens",
        textbook=True,
    ),
]
