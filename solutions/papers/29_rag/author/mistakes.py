"""Wrong solutions of papers/29 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

SEQUENCE = "return torch.logsumexp(doc_logits.log_softmax(dim=1) + of_answer, dim=1)"
NUMPY = (
    "return np.logaddexp.reduce(doc_log_probs + token_log_probs.sum(axis=2), axis=1)"
)
JOINT = (
    "joint = doc_logits.log_softmax(dim=1)[:, :, None] + token_log_probs  # (B, K, T)\n"
)
TOKEN = "return torch.logsumexp(joint, dim=1).sum(dim=1)"
SCORES = "scores = self.query_encoder(queries) @ self.document_encoder(keys).T\n"
READ = "return doc_logits, self.generate_log_probs(values[indices])"
DRAWN = """keys, values = make_knowledge_base(
            num_docs, num_keys, model.num_values, answer_length, generator
        )
"""
TRAINED = "loss = -rag_sequence_log_likelihood(doc_logits, token_log_probs).mean()"
MARGINAL = "joint = doc_logits.log_softmax(dim=1)[:, :, None, None] + log_probs\n"

MISTAKES = [
    Mistake(
        "mean of the logs",
        was=SEQUENCE,
        now="return (doc_logits.softmax(dim=1) * of_answer).sum(dim=1)",
        caught_by="TestRagSequenceLogLikelihood::test_two_documents_by_hand",
        says="looks like the mean of the logs instead of the log of the mean",
    ),
    Mistake(
        "no softmax over the documents",
        was=SEQUENCE,
        now=SEQUENCE.replace(".log_softmax(dim=1)", ""),
        caught_by="TestRagSequenceLogLikelihood::test_two_documents_by_hand",
        says="looks like no softmax over the documents",
    ),
    Mistake(
        "softmax over the batch",
        was=SEQUENCE,
        now=SEQUENCE.replace("log_softmax(dim=1)", "log_softmax(dim=0)"),
        caught_by="TestRagSequenceLogLikelihood::test_one_number_per_question",
        says="looks like the softmax over the batch",
    ),
    Mistake(
        "the document's probability once per token",
        was=f"of_answer = token_log_probs.sum(dim=2)  # (B, K)\n    {SEQUENCE}",
        now="joint = doc_logits.log_softmax(dim=1)[:, :, None] + token_log_probs\n"
        "    return torch.logsumexp(joint.sum(dim=2), dim=1)",
        caught_by="TestRagSequenceLogLikelihood::test_two_documents_by_hand",
        says="looks like the document's probability once per token",
    ),
    Mistake(
        "product and sum exchanged: a document per token",
        was=f"of_answer = token_log_probs.sum(dim=2)  # (B, K)\n    {SEQUENCE}",
        now=(
            "return torch.logsumexp(doc_logits.log_softmax(dim=1)[:, :, None] + "
            "token_log_probs, dim=1).sum(dim=1)"
        ),
        caught_by="TestRagSequenceLogLikelihood::test_two_documents_by_hand",
        says="looks like the likelihood with a document per token",
    ),
    Mistake(
        "scores detached",
        was=SEQUENCE,
        now=SEQUENCE.replace("doc_logits.", "doc_logits.detach()."),
        caught_by=(
            "TestRagSequenceLogLikelihood::test_gradients_reach_scores_and_generator"
        ),
        says="gradient of input 0 is None",
    ),
    Mistake(
        "NumPy: the weights are not normalised",
        was=NUMPY,
        now=NUMPY.replace("doc_log_probs", "doc_logits"),
        caught_by="TestRagSequenceLogLikelihoodNumpy::test_two_documents_by_hand",
        says="looks like no softmax over the documents",
    ),
    Mistake(
        "product and sum exchanged: a document per answer",
        was=f"{JOINT}    {TOKEN}",
        now="joint = doc_logits.log_softmax(dim=1) + token_log_probs.sum(dim=2)\n"
        "    return torch.logsumexp(joint, dim=1)",
        caught_by="TestRagTokenLogLikelihood::test_two_documents_by_hand",
        says="looks like the likelihood with a document per answer",
    ),
    Mistake(
        "encoders as PyTorch initialises them",
        was="nn.init.normal_(encoder.weight, std=0.1)",
        now="nn.init.normal_(encoder.weight)",
        caught_by="test_both_encoders_start_small",
        says="looks like 1, as nn.Embedding has it",
    ),
    Mistake(
        "documents numbered by their place",
        was=SCORES,
        now=SCORES.replace("(keys)", "(torch.arange(len(keys)))"),
        caught_by="test_scores_are_dot_products_best_first",
        says="looks like documents numbered 0, 1, … instead of by their keys",
    ),
    Mistake(
        "retrieval without gradients",
        was=SCORES,
        now=SCORES.replace(".T", ".T.detach()"),
        caught_by="TestRAGRetrieve::test_gradients_reach_both_encoders",
        says="no gradient reaches document_encoder",
    ),
    Mistake(
        "keys instead of places",
        was="return best.values, best.indices",
        now="return best.values, keys[best.indices]",
        caught_by="test_indices_are_places_in_keys",
        says="looks like the keys of the documents",
    ),
    Mistake(
        "top_k of 0 returns nothing",
        was="if not 1 <= top_k <= len(keys):",
        now="if top_k > len(keys):",
        caught_by="test_top_k_must_be_possible",
        says="raised     nothing",
        edge=True,
    ),
    Mistake(
        "log-softmax over the tokens of a document",
        was=".log_softmax(dim=-1)\n\n    def forward",
        now=".log_softmax(dim=-2)\n\n    def forward",
        caught_by="test_each_token_is_read_by_itself",
        says="looks like the log-softmax over the tokens of a document",
    ),
    Mistake(
        "values by key instead of by document",
        was=READ,
        now=READ.replace("values[indices]", "values[keys[indices]]"),
        caught_by="test_reads_the_documents_that_it_found",
        says="looks like values looked up by key instead of by document",
    ),
    Mistake(
        "the first K documents",
        was=READ,
        now=READ.replace(
            "values[indices]", "values[:top_k].expand(len(queries), -1, -1)"
        ),
        caught_by="test_reads_the_documents_that_it_found",
        says="looks like the first K documents",
    ),
    Mistake(
        "one knowledge base for all steps",
        was=f"    for _ in range(steps):\n        {DRAWN}",
        now=f"    {DRAWN}    for _ in range(steps):\n",
        caught_by="test_each_step_has_documents_and_questions_of_its_own",
        says="steps 0 and 1 have the same documents",
    ),
    Mistake(
        "only the first documents are asked about",
        was="asked = torch.randint(num_docs, (batch_size,), generator=generator)",
        now="asked = torch.zeros(batch_size, dtype=torch.int64)",
        caught_by="test_every_document_is_asked_about",
        says="the 3 documents are asked about [300, 0, 0] times",
    ),
    Mistake(
        "a loss on the best document only",
        was=TRAINED,
        now="loss = -token_log_probs[:, 0].sum(dim=1).mean()",
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like the best document only",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n        loss.backward()\n"
        "        optimizer.step()\n"
        "        losses.append(loss.item())\n    return losses\n\n\n@torch.no_grad()",
        now="        loss.backward()\n        optimizer.step()\n"
        "        losses.append(loss.item())\n    return losses\n\n\n@torch.no_grad()",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "the retriever is not trained",
        was=TRAINED,
        now=TRAINED.replace("(doc_logits,", "(doc_logits.detach(),"),
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like weights that were never updated",
    ),
    Mistake(
        "the best document's answer",
        was=f"{MARGINAL}    return torch.logsumexp(joint, dim=1).argmax(dim=-1)",
        now="return log_probs[:, 0].argmax(dim=-1)",
        caught_by="test_two_documents_outvote_one",
        says="looks like the best document's answer",
    ),
    Mistake(
        "one vote per document, whatever its weight",
        was=MARGINAL,
        now="joint = log_probs\n",
        caught_by="test_weights_count",
        says="looks like one vote each",
    ),
    Mistake(
        "answers from the mean of the logs",
        was=f"{MARGINAL}    return torch.logsumexp(joint, dim=1).argmax(dim=-1)",
        now=(
            "return (doc_logits.softmax(dim=1)[:, :, None, None] * "
            "log_probs).sum(dim=1).argmax(dim=-1)"
        ),
        caught_by="test_probabilities_are_averaged_not_their_logs",
        says="looks like the mean of the logs",
    ),
    Mistake(
        "answers with a graph",
        was="@torch.no_grad()\n",
        now="",
        caught_by="test_no_graph_is_built_and_the_mode_stays",
        says="the model was called with gradients enabled",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="answers = values[asked][:, None, :, None].expand(-1, top_k, -1, 1)",
        now="answers = values[asked][:, None, :, None].expand(-1, top_k, -1, 2)",
        reason="the column more is never read",
        textbook=True,
    ),
    Equivalent(
        was="token_log_probs = log_probs.gather(3, answers)[..., 0]",
        now="token_log_probs = log_probs.gather(3, answers)[..., -1]",
        reason="one column",
        textbook=True,
    ),
]
