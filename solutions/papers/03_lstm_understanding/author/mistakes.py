"""Wrong solutions of papers/03 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

NUMPY_C = "c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)"
ROWS = "i, f, g, o = sums.chunk(4, dim=1)"
RECORD = """        h, c = cell(now, (h, c))
        steps.append((h, c, *gates))
"""
READ = """            state = self.cell(now, state)
        h = state[0] if isinstance(state, tuple) else state
"""
LEAF = """    x = x.detach().clone().requires_grad_()
    loss = F.cross_entropy(model(x), y)
"""
CLIP = "        nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"
BATCH = "        x, y = recall_batch(batch, length, num_symbols, noise, generator)\n"

MISTAKES = [
    # lstm_step_numpy
    Mistake(
        "rows in the order i, f, o, g, in NumPy",
        was="i, f, g, o = np.split(",
        now="i, f, o, g = np.split(",
        caught_by="TestLstmStepNumpy::test_a_step_follows_the_formulas",
        says="looks like the rows are taken in the order i, f, o, g",
    ),
    Mistake(
        "c updated in place",
        was=NUMPY_C,
        now="c *= _sigmoid(f)\n    c += _sigmoid(i) * np.tanh(g)",
        caught_by="TestLstmStepNumpy::test_arguments_are_left_as_they_were",
        says="of c after the call",
        edge=True,
    ),
    # LSTMCellScratch
    Mistake(
        "rows in the order i, f, o, g",
        was=ROWS,
        now="i, f, o, g = sums.chunk(4, dim=1)",
        caught_by=(
            "TestLSTMCellScratch::test_gates_are_taken_after_their_nonlinearities"
        ),
        says="looks like the rows are taken in the order i, f, o, g",
    ),
    Mistake(
        "perhaps the batch cut in four, not the features",
        was=ROWS,
        now="i, f, g, o = sums.chunk(4, dim=0)",
        caught_by=(
            "TestLSTMCellScratch::test_gates_are_taken_after_their_nonlinearities"
        ),
        says="not enough values to unpack",
    ),
    Mistake(
        "a sigmoid for g",
        was="torch.tanh(g), torch.sigmoid(o)",
        now="torch.sigmoid(g), torch.sigmoid(o)",
        caught_by=(
            "TestLSTMCellScratch::test_gates_are_taken_after_their_nonlinearities"
        ),
        says="looks like a sigmoid for all four",
    ),
    Mistake(
        "h without the tanh",
        was="h = o * torch.tanh(c)",
        now="h = o * c",
        caught_by="TestLSTMCellScratch::test_a_step_follows_the_formulas",
        says="looks like h' = o · c', without the tanh",
    ),
    Mistake(
        "the forget bias in the input quarter",
        was="bias[1] = forget_bias",
        now="bias[0] = forget_bias",
        caught_by="TestLSTMCellScratch::test_only_the_forget_gate_starts_with_a_bias",
        says="looks like the bias of i in place of f's",
    ),
    Mistake(
        "c detached at each step",
        was="c = f * c + i * g",
        now="c = f * c.detach() + i * g",
        caught_by=(
            "TestLSTMCellScratch::"
            "test_on_the_road_of_c_the_gradient_meets_only_the_forget_gate"
        ),
        says="c' does not depend on c: c was detached",
    ),
    Mistake(
        "the input gate tied to the forget gate",
        was="c = f * c + i * g",
        now="c = f * c + (1 - f) * g",
        caught_by="TestLSTMCellScratch::test_a_step_follows_the_formulas",
        says="looks like the input gate is 1 − f",
    ),
    Mistake(
        "tanh(c) handed on as c",
        was="return h, c\n",
        now="return h, torch.tanh(c)\n",
        caught_by=(
            "TestLSTMCellScratch::test_an_open_memory_keeps_c_behind_a_closed_output"
        ),
        says="looks like c after 20 times tanh",
    ),
    # run_lstm
    Mistake(
        "states recorded before the update",
        was=RECORD,
        now="        steps.append((h, c, *gates))\n        h, c = cell(now, (h, c))\n",
        caught_by="TestRunLstm::test_entries_belong_to_their_steps",
        says="looks like the value before each step, not after it",
    ),
    Mistake(
        "gates computed after the update",
        was=RECORD,
        now=(
            "        h, c = cell(now, (h, c))\n"
            "        steps.append((h, c, *cell.gates(now, h)))\n"
        ),
        caught_by="TestRunLstm::test_entries_belong_to_their_steps",
        says="looks like gates computed from the new h",
    ),
    # RecallNet
    Mistake(
        "the forget bias not handed on",
        was="self.cell = LSTMCellScratch(input_size, hidden_size, forget_bias)",
        now="self.cell = LSTMCellScratch(input_size, hidden_size)",
        caught_by="TestRecallNet::test_the_forget_bias_reaches_the_cell",
        says="looks like the cell's default",
    ),
    Mistake(
        "the head on the mean of h",
        was=READ,
        now="""            state = self.cell(now, state)
            h = state[0] if isinstance(state, tuple) else state
            total = h if now is x[:, 0] or "total" not in vars() else total + h
        h = total / x.shape[1]
""",
        caught_by="TestRecallNet::test_the_head_reads_the_last_h",
        says="looks like the mean of all h",
    ),
    Mistake(
        "the head on c",
        was="h = state[0] if isinstance(state, tuple) else state",
        now="h = state[1] if isinstance(state, tuple) else state",
        caught_by="TestRecallNet::test_the_head_reads_the_last_h",
        says="looks like c in place of h",
    ),
    # gradient_through_time
    Mistake(
        "the norm over time, too",
        was="return gradient.norm(dim=(0, 2))",
        now="return gradient.norm()",
        caught_by="TestGradientThroughTime::test_equals_finite_differences",
        says="looks like one norm over everything, time included",
    ),
    Mistake(
        "the loss summed over the batch",
        was=LEAF,
        now=LEAF.replace("(model(x), y)", '(model(x), y, reduction="sum")'),
        caught_by="TestGradientThroughTime::test_equals_finite_differences",
        says="looks like the gradient of the summed loss",
    ),
    Mistake(
        "loss.backward() on the model",
        was="[gradient] = torch.autograd.grad(loss, x)",
        now="loss.backward()\n    gradient = x.grad",
        caught_by="TestGradientThroughTime::test_nothing_is_left_behind",
        says="grad was changed",
        edge=True,
    ),
    # train_recall
    Mistake(
        "one batch for all steps",
        was="    for _ in range(steps):\n" + BATCH,
        now=BATCH[4:] + "    for _ in range(steps):\n",
        caught_by="TestTrainRecall::test_each_step_reads_a_new_batch",
        says="two steps read the same batch",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="TestTrainRecall::test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "clipped after the step",
        was=f"{CLIP}        optimizer.step()\n",
        now=f"        optimizer.step()\n{CLIP}",
        caught_by="TestTrainRecall::test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not clipped before the step",
    ),
    Mistake(
        "trained in the mode in which the model came",
        was="    model.train()\n",
        now="",
        caught_by="TestTrainRecall::test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
]

EQUIVALENT: list[Equivalent] = []
