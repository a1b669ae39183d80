"""Wrong solutions of papers/28 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

PASSAGE_TABLE = """self.passage_encoder = nn.EmbeddingBag(
            num_tokens, dim, mode="mean", padding_idx=0
        )"""
ENCODED = "return self.question_encoder(ids)"
LOSS = "return F.cross_entropy(q @ candidates.T, torch.arange(len(q)))"
RECALL = """    ranks = (scores >= scores.gather(1, gold[:, None])).sum(dim=1)
    return {k"""
RECIPROCAL = "return (1 / ranks.double()).mean().item()"
IDF = "idf = torch.log((len(passages) - n + 0.5) / (n + 0.5) + 1)"
DRAWN = "        passages = make_corpus(batch_size, vocab_size, generator=generator)\n"

MISTAKES = [
    Mistake(
        "no weight of its own for passage_encoder",
        was=PASSAGE_TABLE,
        now="self.passage_encoder = self.question_encoder",
        caught_by="test_its_parameters_are_two_tables_of_word_vectors",
        says="missing 'passage_encoder.weight'",
    ),
    Mistake(
        "padding counted as a word",
        was=PASSAGE_TABLE,
        now=PASSAGE_TABLE.replace(", padding_idx=0", ""),
        caught_by="test_order_and_padding_change_nothing",
        says="looks like padding counted as a word",
    ),
    Mistake(
        "sum over the words",
        was=PASSAGE_TABLE,
        now=PASSAGE_TABLE.replace('"mean"', '"sum"'),
        caught_by="test_a_text_is_the_mean_of_its_words",
        says="looks like the sum over the words",
    ),
    Mistake(
        "vectors normalised",
        was=ENCODED,
        now="return F.normalize(self.question_encoder(ids), dim=1)",
        caught_by="test_a_text_is_the_mean_of_its_words",
        says="looks like vectors scaled to length 1",
    ),
    Mistake(
        "scores scaled",
        was=(
            "return self.encode_questions(questions) @ self.encode_passages(passages).T"
        ),
        now="return self.encode_questions(questions) @ "
        "self.encode_passages(passages).T\\\n"
        "            / self.question_encoder.embedding_dim**0.5",
        caught_by="test_scores_are_all_dot_products",
        says="looks like dot products divided by √d",
    ),
    Mistake(
        "loss over the transposed matrix",
        was=LOSS,
        now="return F.cross_entropy(candidates @ q.T, torch.arange(len(q)))",
        caught_by="TestInBatchLoss::test_every_other_passage_is_a_wrong_answer",
        says="looks like softmax over the questions, not over the passages",
    ),
    Mistake(
        "right passage left out of the sum",
        was=LOSS,
        now="""scores = q @ candidates.T
    own = torch.eye(*scores.shape, dtype=torch.bool)
    others = scores.masked_fill(own, float("-inf"))
    return (others.logsumexp(dim=1) - scores.diagonal()).mean()""",
        caught_by="TestInBatchLoss::test_every_other_passage_is_a_wrong_answer",
        says="looks like the right passage left out of the sum",
    ),
    Mistake(
        "hard negatives first",
        was="torch.cat([p, hard])",
        now="torch.cat([hard, p])",
        caught_by="test_hard_negatives_are_further_candidates",
        says="looks like hard negatives first, with row i still the right one",
    ),
    Mistake(
        "passages detached",
        was=LOSS,
        now=LOSS.replace("candidates.T", "candidates.detach().T"),
        caught_by="test_gradients_reach_questions_passages_and_hard_negatives",
        says="gradient of input 1 is None: the result is detached from the input",
    ),
    Mistake(
        "NumPy: softmax over the questions",
        was="scores = q @ p.T\n",
        now="scores = p @ q.T\n",
        caught_by="TestInBatchLossNumpy::test_every_other_passage_is_a_wrong_answer",
        says="looks like softmax over the questions, not over the passages",
    ),
    Mistake(
        "search by cosine",
        was="(query_vectors @ passage_vectors.T)",
        now=(
            "(F.normalize(query_vectors, dim=1) @ F.normalize(passage_vectors, "
            "dim=1).T)"
        ),
        caught_by="test_equals_the_start_of_a_full_sort",
        says="looks like ranked by cosine",
    ),
    Mistake(
        "equal scores count for the gold passage",
        was=RECALL,
        now=RECALL.replace(
            "(scores >= scores.gather(1, gold[:, None])).sum(dim=1)",
            "1 + (\n        scores > scores.gather(1, gold[:, None])).sum(dim=1)",
        ),
        caught_by="test_equal_scores_count_against_the_gold_passage",
        says="looks like equal scores counted for the gold passage",
    ),
    Mistake(
        "passage i taken for the gold one",
        was=RECALL,
        now=RECALL.replace("gold[:, None]", "torch.arange(len(gold))[:, None]"),
        caught_by="test_four_questions_by_hand",
        says="looks like gold taken for the passage of the same number",
    ),
    Mistake(
        "idf without a floor",
        was=IDF,
        now="idf = torch.log(len(passages) / n.clamp(min=1))",
        caught_by="test_against_a_loop_over_words",
        says="looks like idf = log(N / n)",
    ),
    Mistake(
        "padding counted in the lengths",
        was="lengths = tf.sum(dim=1, keepdim=True)",
        now="lengths = torch.full((len(passages), 1), float(passages.shape[1]))",
        caught_by="test_against_a_loop_over_words",
        says="looks like padding counted in the lengths",
    ),
    Mistake(
        "repeated words of a question counted once",
        was="return asked @",
        now="return (asked > 0).float() @",
        caught_by="test_against_a_loop_over_words",
        says="looks like each word of a question counted once",
    ),
    Mistake(
        "one corpus for all steps",
        was=f"    for _ in range(steps):\n{DRAWN}",
        now=f"{DRAWN[4:]}    for _ in range(steps):\n",
        caught_by="test_each_step_has_fresh_pairs",
        says="steps 0 and 1 read the same passages",
    ),
    Mistake(
        "questions that are no paraphrases",
        was="make_questions(passages, gold, vocab_size, generator=generator)",
        now=(
            "make_questions(passages, gold, vocab_size, paraphrase=False, "
            "generator=generator)"
        ),
        caught_by="test_each_step_has_fresh_pairs",
        says="expected 41 to 80: a paraphrase",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "1 over the mean rank",
        was=RECIPROCAL,
        now="return 1 / ranks.double().mean().item()",
        caught_by="test_two_ranks_by_hand",
        says="looks like 1 over the mean rank",
    ),
    Mistake(
        "the reciprocal rank cut off at ten",
        was=RECIPROCAL,
        now="return torch.where(ranks <= 10, 1 / ranks.double(), 0.0).mean().item()",
        caught_by="test_all_first_is_1_and_knowing_nothing_is_1_over_p",
        says="looks like 0 for ranks beyond ten",
    ),
    # edges
    Mistake(
        "NumPy: exp of the scores as they are",
        was="    scores = scores - scores.max(axis=1, keepdims=True)\n",
        now="",
        caught_by="TestInBatchLossNumpy::test_large_scores_stay_finite",
        says="raised FloatingPointError: overflow encountered in exp",
        edge=True,
    ),
    Mistake(
        "no check of k",
        was="not 1 <= k <= len(passage_vectors)",
        now="k > len(passage_vectors)",
        caught_by="test_k_must_be_from_1_to_the_number_of_passages",
        says="raised",
        edge=True,
    ),
    Mistake(
        "0 / 0 for absent words",
        was="torch.where(tf > 0, weights, 0)",
        now="weights",
        caught_by="test_without_saturation_constant_a_word_is_there_or_not",
        says="12 values are NaN",
        edge=True,
    ),
    Mistake(
        "no call of train()",
        was="    model.train()\n    losses",
        now="    losses",
        caught_by="TestTrainRetriever::test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="num_words = 1 + int(max(questions.max(), passages.max()))",
        now="num_words = 2 + int(max(questions.max(), passages.max()))",
        reason="a word that never occurs adds 0",
        textbook=True,
    ),
]
