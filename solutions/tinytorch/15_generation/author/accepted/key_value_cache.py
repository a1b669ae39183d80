"""Different: generate keeps keys and values of a TinyGPT while the block is not full,
and draws by inverse CDF.

train_tiny_gpt has three generators made of one, and gives NumPy's means.
"""


def _attend(q, keys, values):
    scores = q @ keys.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    past = keys.shape[-2] - q.shape[-2]
    scores = np.where(
        np.tri(q.shape[-2], keys.shape[-2], past, dtype=bool), scores, -np.inf
    )
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ values


def _step(model, tokens, start, cache):
    x = model.tok_emb(tokens) + model.pos_emb(np.arange(start, start + tokens.shape[1]))
    B, T, C = x.shape
    for i, block in enumerate(model.backbone.blocks):
        attn, h = block.attn, block.ln1(x)
        q, k, v = (
            W(h).data.reshape(B, T, attn.num_heads, C // attn.num_heads).swapaxes(1, 2)
            for W in (attn.W_q, attn.W_k, attn.W_v)
        )
        if i in cache:
            k, v = (
                np.concatenate([old, new], axis=2) for old, new in zip(cache[i], (k, v))
            )
        cache[i] = k, v
        mixed = Tensor(_attend(q, k, v).swapaxes(1, 2).reshape(B, T, C))
        x = x + attn.W_o(mixed)
        x = x + block.mlp(block.ln2(x))
    return model.head(model.backbone.ln_f(x)).data[:, -1]


def generate(model, ids, max_new_tokens, *, temperature=1.0, top_k=None, rng=None):
    tokens = as_array(ids)
    if tokens.ndim != 2 or tokens.size == 0 or max_new_tokens < 0:
        raise ValueError("no prompts, or a negative count")
    tokens, rng, cache, done = tokens.copy(), get_rng(rng), {}, 0
    with evaluating(model):
        for _ in range(max_new_tokens):
            if isinstance(model, TinyGPT) and tokens.shape[1] <= model.block_size:
                logits = _step(model, tokens[:, done:], done, cache)
                done = tokens.shape[1]
            else:
                logits = model(tokens[:, -model.block_size :]).data[:, -1]
            sums = next_token_probs(
                logits, temperature=temperature, top_k=top_k
            ).cumsum(axis=1)
            new = (rng.random((len(sums), 1)) * sums[:, -1:] >= sums).sum(axis=1)
            tokens = np.append(tokens, new[:, None], axis=1)
    return tokens


def train_language_model(model, ids, steps, *, batch_size=16, lr=3e-3, rng=None):
    optimizer = Adam(model.parameters(), lr=lr)
    rates = [
        cosine_decay(s, lr, total=steps, warmup=min(steps // 10, 20))
        for s in range(steps)
    ]
    losses = []
    for optimizer.lr in rates:
        x, y = sample_batch(ids, batch_size, model.block_size, rng=rng)
        logits = model(Tensor(x))
        loss = fused_cross_entropy(
            logits.reshape(y.size, logits.shape[-1]), Tensor(y.ravel())
        )
        losses.append(float(loss.data))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return losses


def text_quality(sample, corpus):
    words, known = sample.split()[:-1], corpus.split()
    pairs, known_pairs = list(zip(words, words[1:])), list(zip(known, known[1:]))
    return {
        "known_words": np.mean([word in known for word in words] or [False]),
        "known_pairs": np.mean([pair in known_pairs for pair in pairs] or [False]),
    }


def train_tiny_gpt(rng=None, *, steps=600, lr=8e-3):
    for_parameters, for_batches, for_samples = get_rng(rng).spawn(3)
    tokenizer = CharTokenizer(PASSAGE)
    gpt = TinyGPT(tokenizer.vocab_size, 32, rng=for_parameters)
    losses = train_language_model(
        gpt, tokenizer.encode(PASSAGE), steps, lr=lr, rng=for_batches
    )
    ids = generate(
        gpt,
        tokenizer.encode("To be").reshape(1, -1),
        200,
        temperature=0.5,
        rng=for_samples,
    )
    sample = tokenizer.decode(Tensor(ids[0]))
    return {
        "model": gpt,
        "tokenizer": tokenizer,
        "losses": losses,
        "sample": sample,
    } | text_quality(sample, PASSAGE)
