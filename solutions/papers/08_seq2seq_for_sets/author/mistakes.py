"""Wrong solutions of papers/08 that its specs must catch."""

from grader.course.mistakes import Mistake

QUERY = "scores = (memory @ h[:, :, None]).squeeze(-1)"
WEIGHTS = "weights = scores.softmax(dim=1)"
LOSS = "F.cross_entropy(logits.flatten(0, 1), targets.flatten())"
CHOICE = "choice = pick if targets is None else targets[:, t]"
UPDATE = """        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
"""

MISTAKES = [
    Mistake(
        "NumPy: exponentials that are not divided",
        was="    weights /= weights.sum()\n",
        now="",
        caught_by="test_weights_are_a_softmax_over_the_elements",
        says=(
            "looks like exponentials of what lies below the largest, not divided by "
            "their sum"
        ),
    ),
    Mistake(
        "mean pool in place of attention",
        was=WEIGHTS,
        now="weights = torch.full_like(scores, 1 / scores.shape[1])",
        caught_by="test_one_step_is_the_state_and_what_it_reads",
        says="looks like the plain mean of the memory in place of attention",
    ),
    Mistake(
        "a softmax over a dimension of size 1",
        was=WEIGHTS,
        now="weights = scores[..., None].softmax(dim=-1).squeeze(-1)",
        caught_by="test_one_step_is_the_state_and_what_it_reads",
        says="looks like weights that are all 1",
    ),
    Mistake(
        "a softmax over H",
        was="r = (weights[:, None] @ memory).squeeze(1)",
        now="r = ((memory * h[:, None]).softmax(dim=-1) * memory).sum(dim=1)",
        caught_by="test_one_step_is_the_state_and_what_it_reads",
        says="looks like a softmax over H, not over the elements",
    ),
    Mistake(
        "the mean of the memory as the query",
        was=QUERY,
        now="scores = (memory @ memory.mean(dim=1)[:, :, None]).squeeze(-1)",
        caught_by="test_one_step_is_the_state_and_what_it_reads",
        says="looks like the mean of the memory as the query",
    ),
    Mistake(
        "scores divided by √H",
        was=QUERY,
        now=QUERY + " / hidden**0.5",
        caught_by="test_one_step_is_the_state_and_what_it_reads",
        says="looks like scores divided by √H",
    ),
    Mistake(
        "r first, then h",
        was="torch.cat([h, r], dim=1)",
        now="torch.cat([r, h], dim=1)",
        caught_by="test_one_step_is_the_state_and_what_it_reads",
        says="looks like r first, then h",
    ),
    Mistake(
        "q* not fed back",
        was="state = self.cell(q_star, state)",
        now="state = self.cell(torch.zeros_like(q_star), state)",
        caught_by="test_each_step_reads_what_the_last_one_found",
        says="looks like q* is not fed back",
    ),
    Mistake(
        "h restarted in each step",
        was="state = self.cell(q_star, state)",
        now="state = self.cell(q_star, (torch.zeros_like(state[0]), state[1]))",
        caught_by="test_each_step_reads_what_the_last_one_found",
        says="looks like h starts from zeros in each step",
    ),
    Mistake(
        "scores multiplied by the mask",
        was='scores = scores.masked_fill(~mask, float("-inf"))',
        now="scores = scores * mask",
        caught_by="test_masked_elements_have_no_influence",
        says="looks like a mask without effect, or one that makes scores 0",
    ),
    Mistake(
        "position codes",
        was="        for _ in range(steps):\n            state = self.cell",
        now="        memory = memory + torch.linspace(0, 1, memory.shape[1])[:, None]\n"
        "        for _ in range(steps):\n            state = self.cell",
        caught_by="test_the_order_of_the_elements_does_not_matter",
        says="q* with the elements in the order",
    ),
    Mistake(
        "the memory sorted",
        was="return elements, self.process(elements, self.process_steps)",
        now="elements = elements.sort(dim=1).values\n"
        "            return elements, self.process(elements, self.process_steps)",
        caught_by="test_the_memory_has_each_element_read_alone",
        says="looks like the memory sorted",
    ),
    Mistake(
        "h and c as the baseline's code",
        was="""memory, (last, _) = self.lstm(elements)
        return memory, torch.cat([last[0], last[0]], dim=1)""",
        now="""memory, (last, cell) = self.lstm(elements)
        return memory, torch.cat([last[0], cell[0]], dim=1)""",
        caught_by="test_the_lstm_reads_one_after_the_other",
        says="looks like h and c side by side",
    ),
    Mistake(
        "no mask of used elements",
        was="            free = free & (places != choice[:, None])\n",
        now="",
        caught_by="test_without_targets_it_follows_its_own_picks",
        says="looks like an element can be chosen twice",
    ),
    Mistake(
        "targets without effect",
        was=CHOICE,
        now="choice = pick",
        caught_by="test_teacher_forcing_uses_the_targets",
        says="looks like with targets it still follows its own picks",
    ),
    Mistake(
        "the decoder reads target t before it scores step t",
        was="            state = self.decoder(chosen, state)\n",
        now="            chosen = chosen if targets is None else memory[rows, "
        "targets[:, t]]\n"
        "            state = self.decoder(chosen, state)\n",
        caught_by="test_a_row_depends_on_the_targets_before_it",
        says="logits[:, :1], which should not know targets[:, 0:2]",
    ),
    Mistake(
        "the loss over the wrong dimension",
        was=LOSS,
        now="F.cross_entropy(logits, targets)",
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like the steps taken for the places",
    ),
    Mistake(
        "the order not passed on",
        was="targets = set_targets(x, order, generator)",
        now="targets = set_targets(x)",
        caught_by="test_targets_are_in_the_order_asked_for",
        says="the targets are in rising order",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "no clipping",
        was="        nn.utils.clip_grad_norm_(model.parameters(), 2.0)\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not clipped before the step",
    ),
    Mistake(
        "the identity as a permutation",
        was=".argsort(dim=1)\n    permuted",
        now=".argsort(dim=1).argsort(dim=1).sort(dim=1).values\n    permuted",
        caught_by="test_each_set_is_permuted_by_an_order_of_its_own",
        says="the permutation is the identity",
    ),
    Mistake(
        "a difference with its sign",
        was="gap.abs().max().item()",
        now="gap.max().item()",
        caught_by="test_it_is_the_largest_absolute_difference",
        says="looks like a difference with its sign",
    ),
    # edges
    Mistake(
        "NumPy: exp of the scores as they are",
        was="np.exp(scores - scores.max())",
        now="np.exp(scores)",
        caught_by="test_scores_of_1000_stay_finite",
        says="2 values are NaN",
        edge=True,
    ),
    Mistake(
        "any other reader is an LSTM",
        was='if reader not in ("set", "lstm"):',
        now='if reader == "":',
        caught_by="test_any_other_reader_is_an_error",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "gradients cleared after the step only",
        was=UPDATE,
        now="""        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        optimizer.zero_grad()
""",
        caught_by="test_old_gradients_have_no_effect",
        says="looks like old gradients that were not cleared",
        edge=True,
    ),
]
