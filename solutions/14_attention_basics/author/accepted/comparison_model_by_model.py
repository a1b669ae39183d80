"""The comparison as a loop over the models first, accuracy counted symbol by symbol,
test batches kept by length.
"""


def compare_seq2seq(lengths, steps=200, hidden_size=32, vocab_size=12, seed=0):
    tests = {}
    for length in lengths:
        generator = torch.Generator()
        generator.manual_seed(seed + 10_000)
        tests[length] = make_reversal_batch(
            batch_size=200, length=length, vocab_size=vocab_size, generator=generator
        )
    result = {length: {} for length in lengths}
    for name in ("attention", "plain"):
        for length, (src, _, answer) in tests.items():
            batches = torch.Generator()
            batches.manual_seed(seed + 1)
            torch.manual_seed(seed)
            model = Seq2Seq(
                vocab_size, 16, hidden_size, use_attention=name == "attention"
            )
            history = train_seq2seq(model, steps, length=length, generator=batches)
            written = greedy_decode(model, src, max_len=length)[0]
            right = int((written == answer).sum())
            result[length][name] = {
                "accuracy": right / answer.numel(),
                "loss": history[-1],
            }
    return result
