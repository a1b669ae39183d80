"""Wrong solutions of papers/30 that its specs must catch."""

from grader.course.mistakes import Mistake

NUMPY = "/ np.sqrt(query.shape[1]) + position_bias"
SCORES = """scores = (
            torch.einsum("bd,bnd->bn", q, k) / q.shape[-1] ** 0.5 + self.position_bias
        )"""
CORRECTED = "scores = scores - correction\n        return scores.softmax(dim=-1)"
VOTES = """one_hot = F.one_hot(values, self.num_values).to(weights)
        probabilities = torch.einsum("bn,bnv->bv", weights, one_hot)"""
LOG = "return probabilities.clamp(min=1e-9).log()"
DRAWN = """model.num_values,
            noise,
            prior=prior,
            generator=generator"""
ORDER = "return torch.cat([ranked[:, ::2], ranked[:, 1::2].flip(1)], dim=1)"
RANKED = "ranked = relevance.argsort(dim=1, descending=True)"
CENTRED = "bias = model.attention(query, keys).log().mean(dim=0)"
DEPTH = "((accuracy[0] + accuracy[-1]) / 2 - accuracy[n // 2]).item()"

MISTAKES = [
    Mistake(
        "NumPy: no scale",
        was=NUMPY,
        now="+ position_bias",
        caught_by="test_content_and_position_add_up_before_the_softmax",
        says="looks like no scale",
    ),
    Mistake(
        "the bias is no parameter",
        was="self.position_bias = nn.Parameter(torch.zeros(num_documents))",
        now="self.position_bias = torch.zeros(num_documents)",
        caught_by="test_has_two_projections_and_a_bias_per_position",
        says="missing 'position_bias'",
    ),
    Mistake(
        "scaled by the size of the keys",
        was=SCORES,
        now=SCORES.replace("q.shape[-1]", "self.key_size"),
        caught_by="test_content_decides_without_a_bias",
        says="looks like divided by √key_size",
    ),
    Mistake(
        "the bias multiplied to the weights",
        was=f"{SCORES}\n        if correction is not None:\n            {CORRECTED}",
        now=(
            f"{SCORES.replace(' + self.position_bias', '')}\n"
            "        return scores.softmax(dim=-1) * self.position_bias"
        ),
        caught_by="test_the_bias_is_added_before_the_softmax",
        says="looks like the bias multiplied to the weights, after the softmax",
    ),
    Mistake(
        "the correction added",
        was=CORRECTED,
        now=CORRECTED.replace("scores - correction", "scores + correction"),
        caught_by="test_a_correction_is_taken_out",
        says="looks like the correction added",
    ),
    Mistake(
        "the last document with a value wins",
        was=VOTES,
        now=(
            "probabilities = torch.zeros(len(values), self.num_values).scatter(1, "
            "values, weights)"
        ),
        caught_by="test_documents_with_the_same_value_add_up",
        says="looks like only the last document with a value counts",
    ),
    Mistake(
        "a log without a floor",
        was=LOG,
        now="return probabilities.log()",
        caught_by="test_an_absent_value_has_the_log_of_1e_9",
        says="looks like log 0",
    ),
    Mistake(
        "forward forgets the correction",
        was="weights = self.attention(query, keys, correction)",
        now="weights = self.attention(query, keys)",
        caught_by="test_the_correction_reaches_the_attention",
        says="looks like the correction ignored",
    ),
    Mistake(
        "trained on uniform positions",
        was=DRAWN,
        now="model.num_values, noise, generator=generator",
        caught_by="test_positions_come_from_the_prior",
        says="of 400 answers are at the 4 positions, expected about [0, 0, 400, 0]",
    ),
    Mistake(
        "trained without the noise that was asked for",
        was=DRAWN,
        now="model.num_values, prior=prior, generator=generator",
        caught_by="TestTrainReader::test_queries_are_as_noisy_as_asked",
        says="with {'noise': 3.0}",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "positions in place of documents",
        was=ORDER,
        now=ORDER.replace("dim=1)", "dim=1).argsort(dim=1)"),
        caught_by="test_of_documents_in_any_order",
        says=(
            "looks like the new position of each document, not the document at each "
            "position"
        ),
    ),
    Mistake(
        "the best documents in the middle",
        was=RANKED,
        now="ranked = relevance.argsort(dim=1)",
        caught_by="test_of_sorted_documents",
        says="looks like the least relevant at the ends",
    ),
    Mistake(
        "argsort applied twice",
        was=RANKED,
        now="ranked = relevance.argsort(dim=1, descending=True).argsort(dim=1)",
        caught_by="test_of_documents_in_any_order",
        says="looks like the ranks, arranged",
    ),
    Mistake(
        "keys moved, values not",
        was="            values = values.gather(1, order)\n",
        now="",
        caught_by="test_reorder_moves_keys_and_values_together",
        says="values lost their keys",
    ),
    Mistake(
        "measured without the correction",
        was="model(query, keys, values, correction).argmax",
        now="model(query, keys, values).argmax",
        caught_by="test_the_correction_is_handed_to_the_model",
        says="the correction that the model was called with",
    ),
    Mistake(
        "mean attention, not mean log attention",
        was=CENTRED,
        now=CENTRED.replace(".log()", ""),
        caught_by="test_is_the_mean_log_attention_around_its_mean",
        says="looks like the mean attention",
    ),
    Mistake(
        "measured on questions with a relevant document",
        was="""query = torch.randn(num_examples, model.key_size, generator=generator)
    keys = torch.randn(
        num_examples, model.num_documents, model.key_size, generator=generator
    )""",
        now="""query, keys, *_ = make_examples(
        num_examples,
        model.num_documents,
        model.key_size,
        noise=0.1,
        generator=generator,
    )""",
        caught_by="test_nothing_is_relevant",
        says="expected 0 for all",
    ),
    Mistake(
        "the middle minus the ends",
        was=DEPTH,
        now="(accuracy[n // 2] - (accuracy[0] + accuracy[-1]) / 2).item()",
        caught_by="test_the_depth_is_the_mean_of_both_ends_minus_the_middle",
        says="looks like the middle minus the ends",
    ),
    Mistake(
        "the middle at (N + 1) // 2",
        was=DEPTH,
        now=DEPTH.replace("n // 2", "(n + 1) // 2"),
        caught_by="test_the_depth_is_the_mean_of_both_ends_minus_the_middle",
        says="looks like the middle taken one position too far",
    ),
    Mistake(
        "noise in training only",
        was="accuracy_by_position(model, noise=noise, generator=generator)",
        now="accuracy_by_position(model, generator=generator)",
        caught_by="test_the_depth_is_the_mean_of_both_ends_minus_the_middle",
        says="noise 0.4",
    ),
    # edges
    Mistake(
        "NumPy: exponentials of large scores",
        was="np.exp(scores - scores.max(axis=1, keepdims=True))",
        now="np.exp(scores)",
        caught_by="test_large_scores_stay_finite",
        says="12 values are NaN",
        edge=True,
    ),
    Mistake(
        "no call of train()",
        was="    model.train()\n    losses",
        now="    losses",
        caught_by="TestTrainReader::test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
    Mistake(
        "eval mode for good",
        was="    shares = []\n",
        now="    shares = []\n    model.eval()\n",
        caught_by="TestAccuracyByPosition::test_the_mode_stays",
        says="model.training after the call",
        edge=True,
    ),
]

UNASKED = {"train_reader: prior, never negative": "chances"}
