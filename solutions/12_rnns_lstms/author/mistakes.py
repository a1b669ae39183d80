"""Wrong solutions of 12 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

RNN_STEP = """return torch.tanh(
            F.linear(x, self.weight_ih, self.bias_ih)
            + F.linear(h, self.weight_hh, self.bias_hh)
        )"""
RNN_START = f"""        h = _zeros(self, x) if state is None else state
        {RNN_STEP}"""
LSTM_ROWS = "i, f, g, o = gates.chunk(4, dim=-1)"
LSTM_H = "h = torch.sigmoid(o) * torch.tanh(c)"
GRU_HIDDEN = (
    "r_h, z_h, n_h = F.linear(h, self.weight_hh, self.bias_hh).chunk(3, dim=-1)"
)
FIT = "elif lengths.shape != (batch,) or ((lengths < 0) | (lengths > steps)).any():"
ADVANCE = "state = _advance(live, state, cell(x[:, t], state))"
RUN_END = "return torch.stack(outputs, dim=1), state"
READ = "outputs, state = self.rnn(self.embedding(ids), state)"
SHIFT = "return windows[:, :-1], windows[:, 1:]"
STARTS = (
    "starts = torch.randint(len(data) - seq_len, (batch_size,), generator=generator)"
)
LOSS = "loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())"
LEAF = "x = x.detach().requires_grad_()"
GRAD = "[gradient] = torch.autograd.grad(outputs[:, -1].sum(), x)"

MISTAKES = [
    # RNNCell
    Mistake(
        "bias_hh left out",
        was=RNN_STEP,
        now=RNN_STEP.replace(", self.bias_hh", ""),
        caught_by="TestRNNCell::test_one_step_follows_the_formula",
        says="looks like bias_hh is left out",
    ),
    Mistake(
        "the state kept on the cell between calls",
        was=RNN_START,
        now=f"""\
        h = getattr(self, "last", _zeros(self, x)) if state is None else state
        self.last = {RNN_STEP.removeprefix("return ")}.detach()
        {RNN_STEP}""",
        caught_by="TestRNNCell::test_without_a_state_it_starts_from_zeros",
        says="looks like a state that the cell kept from the call before",
    ),
    Mistake(
        "no graph through time",
        was=RNN_STEP,
        now=RNN_STEP.replace("linear(h,", "linear(h.detach(),"),
        caught_by="TestRNNCell::test_five_steps_and_all_gradients_are_those_of_pytorch",
        says="of gradient of x",
    ),
    Mistake(
        "start values beyond 1/√H",
        was="torch.empty(shape).uniform_(-bound, bound)",
        now="torch.empty(shape).normal_(0, bound / 2)",
        caught_by="TestRNNCell::test_parameters_start_within_the_bound",
        says="beyond 1/√400 = 0.05",
    ),
    Mistake(
        "zeros of the default dtype",
        was="return x.new_zeros(len(x), cell.hidden_size)",
        now="return torch.zeros(len(x), cell.hidden_size, device=x.device)",
        caught_by="TestRNNCell::test_a_float64_cell_gives_float64",
        says="must have the same dtype, but got Float and Double",
        edge=True,
    ),
    # LSTMCell
    Mistake(
        "rows in the order i, f, o, g",
        was=LSTM_ROWS,
        now="i, f, o, g = gates.chunk(4, dim=-1)",
        caught_by="TestLSTMCell::test_one_step_follows_the_formula",
        says="looks like the rows are taken in the order i, f, o, g",
    ),
    Mistake(
        "gates dealt out by view(B, H, 4)",
        was=LSTM_ROWS,
        now="i, f, g, o = gates.view(len(x), self.hidden_size, 4).unbind(-1)",
        caught_by="TestLSTMCell::test_one_step_follows_the_formula",
        says="looks like the rows are dealt out one by one, as view(B, H, 4) does",
    ),
    Mistake(
        "h without the tanh",
        was=LSTM_H,
        now="h = torch.sigmoid(o) * c",
        caught_by="TestLSTMCell::test_one_step_follows_the_formula",
        says="looks like h = σ(o) · c, without the tanh",
    ),
    # GRUCell
    Mistake(
        "z and 1 − z exchanged",
        was="return (1 - z) * n + z * h",
        now="return z * n + (1 - z) * h",
        caught_by="TestGRUCell::test_one_step_follows_the_formula",
        says="looks like z and 1 − z are exchanged",
    ),
    Mistake(
        "reset before the hidden matrix",
        was="n = torch.tanh(n_x + r * n_h)",
        now="""\
_, _, n_h = F.linear(r * h, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
        n = torch.tanh(n_x + n_h)""",
        caught_by="TestGRUCell::test_one_step_follows_the_formula",
        says="looks like the reset gate acts before the hidden matrix",
    ),
    # run_recurrent
    Mistake(
        "initial state ignored",
        was="state, outputs = initial_state, [x] * steps",
        now="state, outputs = None, [x] * steps",
        caught_by="TestRunRecurrent::test_two_pieces_read_in_turn_are_the_whole",
        says="looks like the second piece starts from zeros",
    ),
    Mistake(
        "padding updates the state",
        was=ADVANCE,
        now="state = cell(x[:, t], state)",
        caught_by="TestRunRecurrent::test_padding_does_not_change_the_state",
        says="looks like the padding was read, too",
    ),
    Mistake(
        "padding updates c",
        was="""        return tuple(
            _advance(live, *pair) for pair in zip(old or (None, None), new, strict=True)
        )
""",
        now="        return _advance(live, old and old[0], new[0]), new[1]\n",
        caught_by="TestRunRecurrent::test_padding_does_not_change_the_state",
        says="looks like h is kept at the end of a sequence, but c goes on",
    ),
    Mistake(
        "the last column's output as final state",
        was=RUN_END,
        now="outputs = torch.stack(outputs, dim=1)\n    "
        "return outputs, (outputs[:, -1], state[1]) if isinstance(state, tuple) else "
        "outputs[:, -1]",
        caught_by="TestRunRecurrent::test_padding_does_not_change_the_state",
        says=(
            "looks like the outputs of the last column, zeros where a sequence has "
            "ended"
        ),
    ),
    Mistake(
        "outputs of the reverse in the order of reading",
        was=RUN_END,
        now="return torch.stack(outputs[::-1] if reverse else outputs, dim=1), state",
        caught_by=(
            "TestRunRecurrent::test_reverse_reads_from_the_last_step_to_the_first"
        ),
        says=(
            "looks like outputs in the order of reading, not at the positions of "
            "their inputs"
        ),
    ),
    Mistake(
        "reverse by x.flip(1), whatever the lengths",
        was="for t in reversed(range(steps)) if reverse else range(steps):",
        now="""if reverse:
        outputs, state = run_recurrent(cell, x.flip(1), None, initial_state)
        real = torch.arange(steps) < lengths[:, None]
        return outputs.flip(1) * real[..., None], state
    for t in range(steps):""",
        caught_by="TestRunRecurrent::test_reverse_begins_at_the_last_real_step",
        says="looks like the padding was read first, then set to 0",
    ),
    Mistake(
        "final state picked at lengths − 1",
        was=RUN_END,
        now="""outputs = torch.stack(outputs, dim=1)
    if not isinstance(state, tuple) and not reverse:
        state = outputs[torch.arange(batch), lengths - 1]
    return outputs, state""",
        caught_by=(
            "TestRunRecurrent::test_a_sequence_of_length_0_keeps_its_initial_state"
        ),
        says="looks like the outputs at lengths − 1",
        edge=True,
    ),
    # run_bidirectional
    Mistake(
        "the same cell twice",
        was=(
            "from_right, last_backward = run_recurrent(backward_cell, x, lengths, "
            "reverse=True)"
        ),
        now=(
            "from_right, last_backward = run_recurrent(forward_cell, x, lengths, "
            "reverse=True)"
        ),
        caught_by=(
            "TestRunBidirectional::test_each_position_has_both_readings_side_by_side"
        ),
        says="looks like the forward cell used for both",
    ),
    # CharRNN
    Mistake(
        "state not handed on",
        was=READ,
        now="outputs, state = self.rnn(self.embedding(ids))",
        caught_by="TestCharRNN::test_two_pieces_read_in_turn_are_the_whole",
        says="looks like the second piece starts from zeros",
    ),
    Mistake(
        "left in eval mode",
        was="            self.train(was_training)\n        return outputs[0]",
        now="            pass\n        return outputs[0]",
        caught_by="test_hidden_states_leave_the_mode_as_it_was",
        says="training flags of the model and of its rnn",
        edge=True,
    ),
    # draw_windows and train_char_rnn
    Mistake(
        "targets not shifted",
        was=SHIFT,
        now="return windows[:, :-1], windows[:, :-1]",
        caught_by="test_targets_are_the_inputs_moved_by_one",
        says="looks like the inputs again",
    ),
    Mistake(
        "the last window never drawn",
        was=STARTS,
        now=STARTS.replace("len(data) - seq_len", "max(len(data) - seq_len - 1, 1)"),
        caught_by="test_every_start_is_equally_likely",
        says="start at 0, 1, 2; about 200 each are expected",
    ),
    Mistake(
        "logits reshaped to (V, …) and transposed",
        was=LOSS,
        now=(
            "loss = F.cross_entropy(logits.reshape(logits.shape[-1], -1).T, "
            "targets.flatten())"
        ),
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like logits that were reshaped to (V, …) and transposed",
    ),
    Mistake(
        "gradients never cleared",
        was="            optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_one_of_adam",
        says="looks like gradients that are never cleared",
    ),
    # input_gradient_norms
    Mistake(
        "the sum of all outputs",
        was=GRAD,
        now=GRAD.replace("outputs[:, -1].sum()", "outputs.sum()"),
        caught_by="test_matches_autograd_through_pytorch",
        says="looks like the sum of all outputs in place of the last",
    ),
]

EQUIVALENT = [
    Equivalent(
        was=LSTM_ROWS,
        now="i, f, g, o = gates.chunk(4, dim=1)",
        reason="gates is (B, 4H), so that its last dim is dim 1",
    ),
    Equivalent(
        was=(
            "r_x, z_x, n_x = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=-1)"
        ),
        now="r_x, z_x, n_x = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=1)",
        reason="(B, 3H), so that the last dim is dim 1",
    ),
    Equivalent(
        was=GRU_HIDDEN,
        now=GRU_HIDDEN.replace("dim=-1", "dim=1"),
        reason="(B, 3H), so that the last dim is dim 1",
    ),
    Equivalent(
        was=FIT,
        now=FIT.replace(" | ", " ^ "),
        reason="no length is both below 0 and above T",
    ),
    Equivalent(
        was="return outputs[0]",
        now="return outputs[-1]",
        reason="in hidden_states, where the batch is a single text",
    ),
    Equivalent(
        was=LEAF,
        now=LEAF.replace("detach", "clone"),
        reason=(
            "autograd.grad stops at the copy, which it takes for its input whether it "
            "is a leaf or not"
        ),
    ),
]
