"""Wrong solutions of 12 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

RNN_STEP = "return torch.tanh(F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh))"
RNN_START = f"""        h = _zeros(self, x) if state is None else state
        {RNN_STEP}"""
LSTM_SUM = "gates = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)"
LSTM_ROWS = "i, f, g, o = gates.chunk(4, dim=-1)"
LSTM_C = "c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)"
LSTM_H = "h = torch.sigmoid(o) * torch.tanh(c)"
GRU_HIDDEN = "r_h, z_h, n_h = F.linear(h, self.weight_hh, self.bias_hh).chunk(3, dim=-1)"
GRU_N = "n = torch.tanh(n_x + r * n_h)"
GRU_END = "return (1 - z) * n + z * h"
BOUND = "rows, bound = gates * hidden_size, hidden_size**-0.5"
DRAW = "torch.empty(shape).uniform_(-bound, bound)"
ZEROS = "return x.new_zeros(len(x), cell.hidden_size)"

FIT = "elif lengths.shape != (batch,) or ((lengths < 0) | (lengths > steps)).any():"
STATE = "state, outputs = initial_state, [x] * steps"
ORDER = "for t in reversed(range(steps)) if reverse else range(steps):"
ADVANCE = "state = _advance(live, state, cell(x[:, t], state))"
PLACE = "outputs[t] = h.masked_fill(~live, 0.0)"
RUN_END = "return torch.stack(outputs, dim=1), state"
WHERE = "return torch.where(live, new, torch.zeros_like(new) if old is None else old)"

RIGHT = "from_right, last_backward = run_recurrent(backward_cell, x, lengths, reverse=True)"
BOTH = "return torch.cat([from_left, from_right], dim=-1), (last_forward, last_backward)"

MAKE_RNN = "self.rnn = classes[cell_type](embed_dim, hidden_size, num_layers, batch_first=True)"
READ = "outputs, state = self.rnn(self.embedding(ids), state)"
LOGITS = "return self.head(outputs), state"
LOOK = """            with torch.no_grad():
                outputs, _ = self.rnn(self.embedding(ids)[None])
        finally:
            self.train(was_training)
        return outputs[0]"""

STARTS = "starts = torch.randint(len(data) - seq_len, (batch_size,), generator=generator)"
SHIFT = "inputs, targets = windows[:, :-1], windows[:, 1:]"
MODEL = "logits, _ = model(inputs)"
LOSS = "loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())"
KEEP = "losses.append(loss.item())"
CLIP = "nn.utils.clip_grad_norm_(model.parameters(), max_norm)"
STEP = "            optimizer.step()\n"
TRAIN_END = """    finally:
        model.train(was_training)
"""
SPEED = '"tokens_per_second": steps * batch_size * seq_len / seconds'

LEAF = "x = x.detach().requires_grad_()"
GRAD = "[gradient] = torch.autograd.grad(outputs[:, -1].sum(), x)"
NORM = "torch.linalg.vector_norm(gradient, dim=(0, 2))"

MISTAKES = [
    # RNNCell
    Mistake(
        "no tanh",
        was=RNN_STEP,
        now=RNN_STEP.replace("torch.tanh", ""),
        caught_by="TestRNNCell::test_one_step_follows_the_formula",
    ),
    Mistake(
        "bias_hh left out",
        was=RNN_STEP,
        now=RNN_STEP.replace(", self.bias_hh", ""),
        caught_by="TestRNNCell::test_one_step_follows_the_formula",
    ),
    Mistake(
        "the state kept on the cell between calls",
        was=RNN_START,
        now=f"""        h = getattr(self, "last", _zeros(self, x)) if state is None else state
        self.last = {RNN_STEP.removeprefix("return ")}.detach()
        {RNN_STEP}""",
        caught_by="TestRNNCell::test_it_remembers_nothing_between_calls",
    ),
    Mistake(
        "no graph through time",
        was=RNN_STEP,
        now=RNN_STEP.replace("linear(h,", "linear(h.detach(),"),
        caught_by="TestRNNCell::test_five_steps_and_all_gradients_are_those_of_pytorch",
    ),
    Mistake(
        "the new state written over the old one",
        was=RNN_STEP,
        now=f"return h.copy_({RNN_STEP.removeprefix('return ')})",
        caught_by="TestRNNCell::test_x_and_state_are_not_written_to",
    ),
    Mistake(
        "zeros of the default dtype",
        was=ZEROS,
        now="return torch.zeros(len(x), cell.hidden_size, device=x.device)",
        caught_by="TestRNNCell::test_a_float64_cell_gives_float64",
    ),
    Mistake(
        "zeros on the CPU",
        was=ZEROS,
        now="return torch.zeros(len(x), cell.hidden_size, dtype=x.dtype)",
        caught_by="TestLSTMCell::test_the_zeros_are_made_on_the_device_of_x",
    ),
    Mistake(
        "normal start values",
        was=DRAW,
        now="torch.empty(shape).normal_(0, bound / 2)",
        caught_by="TestRNNCell::test_parameters_start_within_the_bound",
    ),
    Mistake(
        "bound from the input size",
        was=BOUND,
        now="rows, bound = gates * hidden_size, input_size**-0.5",
        caught_by="TestRNNCell::test_parameters_start_within_the_bound",
    ),
    Mistake(
        "PyTorch's cell inside",
        was=RNN_STEP,
        now="return torch.rnn_tanh_cell(x, h, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)",
        caught_by="TestRNNCell::test_it_is_written_without_the_finished_ones",
    ),
    # LSTMCell
    Mistake(
        "rows in the order i, f, o, g",
        was=LSTM_ROWS,
        now="i, f, o, g = gates.chunk(4, dim=-1)",
        caught_by="TestLSTMCell::test_one_step_follows_the_formula",
    ),
    Mistake(
        "gates dealt out by view(B, H, 4)",
        was=LSTM_ROWS,
        now="i, f, g, o = gates.view(len(x), self.hidden_size, 4).unbind(-1)",
        caught_by="TestLSTMCell::test_one_step_follows_the_formula",
    ),
    Mistake(
        "h without the tanh",
        was=LSTM_H,
        now="h = torch.sigmoid(o) * c",
        caught_by="TestLSTMCell::test_one_step_follows_the_formula",
    ),
    Mistake(
        "h shows the old memory",
        was=f"{LSTM_C}\n        {LSTM_H}",
        now=f"{LSTM_H}\n        {LSTM_C}",
        caught_by="TestLSTMCell::test_one_step_follows_the_formula",
    ),
    Mistake(
        "bias_hh left out of the gates",
        was=LSTM_SUM,
        now=LSTM_SUM.replace(", self.bias_hh", ""),
        caught_by="TestLSTMCell::test_one_step_follows_the_formula",
    ),
    Mistake(
        "c updated in place",
        was=LSTM_C,
        now="c = c.mul_(torch.sigmoid(f)).add_(torch.sigmoid(i) * torch.tanh(g))",
        caught_by="TestLSTMCell::test_x_and_state_are_not_written_to",
    ),
    # GRUCell
    Mistake(
        "z and 1 − z exchanged",
        was=GRU_END,
        now="return z * n + (1 - z) * h",
        caught_by="TestGRUCell::test_one_step_follows_the_formula",
    ),
    Mistake(
        "rows in the order z, r, n",
        was=f"r_x, z_x, n_x = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=-1)\n        {GRU_HIDDEN}",
        now="z_x, r_x, n_x = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=-1)\n        "
        + GRU_HIDDEN.replace("r_h, z_h", "z_h, r_h"),
        caught_by="TestGRUCell::test_one_step_follows_the_formula",
    ),
    Mistake(
        "reset before the hidden matrix",
        was=GRU_N,
        now="""_, _, n_h = F.linear(r * h, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
        n = torch.tanh(n_x + n_h)""",
        caught_by="TestGRUCell::test_one_step_follows_the_formula",
    ),
    # run_recurrent
    Mistake(
        "each step from zeros",
        was=ADVANCE,
        now="state = _advance(live, state, cell(x[:, t], initial_state))",
        caught_by="TestRunRecurrent::test_outputs_hold_h_after_every_step",
    ),
    Mistake(
        "initial state ignored",
        was=STATE,
        now="state, outputs = None, [x] * steps",
        caught_by="TestRunRecurrent::test_the_initial_state_is_where_it_starts",
    ),
    Mistake(
        "padding updates the state",
        was=ADVANCE,
        now="state = cell(x[:, t], state)",
        caught_by="TestRunRecurrent::test_padding_does_not_change_the_state",
    ),
    Mistake(
        "padding updates c",
        was="        return tuple(_advance(live, *pair) for pair in zip(old or (None, None), new, strict=True))\n",
        now="        return _advance(live, old and old[0], new[0]), new[1]\n",
        caught_by="TestRunRecurrent::test_padding_does_not_change_the_state",
    ),
    Mistake(
        "outputs behind the end keep the last state",
        was=PLACE,
        now="outputs[t] = h",
        caught_by="TestRunRecurrent::test_outputs_behind_the_end_are_zero",
    ),
    Mistake(
        "the last column's output as final state",
        was=RUN_END,
        now="outputs = torch.stack(outputs, dim=1)\n    "
        "return outputs, (outputs[:, -1], state[1]) if isinstance(state, tuple) else outputs[:, -1]",
        caught_by="TestRunRecurrent::test_padding_does_not_change_the_state",
    ),
    Mistake(
        "final state picked at lengths − 1",
        was=RUN_END,
        now="""outputs = torch.stack(outputs, dim=1)
    if not isinstance(state, tuple) and not reverse:
        state = outputs[torch.arange(batch), lengths - 1]
    return outputs, state""",
        caught_by="TestRunRecurrent::test_a_sequence_of_length_0_keeps_its_initial_state",
    ),
    Mistake(
        "outputs of the reverse in the order of reading",
        was=RUN_END,
        now="return torch.stack(outputs[::-1] if reverse else outputs, dim=1), state",
        caught_by="TestRunRecurrent::test_reverse_reads_from_the_last_step_to_the_first",
    ),
    Mistake(
        "reverse by x.flip(1), whatever the lengths",
        was=ORDER,
        now="""if reverse:
        outputs, state = run_recurrent(cell, x.flip(1), None, initial_state)
        return outputs.flip(1) * (torch.arange(steps) < lengths[:, None])[..., None], state
    for t in range(steps):""",
        caught_by="TestRunRecurrent::test_reverse_begins_at_the_last_real_step",
    ),
    Mistake(
        "initial state cut from the graph",
        was=WHERE,
        now="return torch.where(live, new, torch.zeros_like(new) if old is None else old.detach())",
        caught_by="TestRunRecurrent::test_gradients_reach_the_initial_state",
    ),
    Mistake(
        "padding cleaned in the caller's tensor",
        was=STATE,
        now="x *= (torch.arange(steps, device=x.device) < lengths[:, None])[..., None]\n    " + STATE,
        caught_by="TestRunRecurrent::test_inputs_may_be_views_and_are_not_written_to",
    ),
    Mistake(
        "outputs in a float32 buffer",
        was=PLACE,
        now="outputs[t] = h.masked_fill(~live, 0.0).float()",
        caught_by="TestRunRecurrent::test_float64_stays_float64",
    ),
    Mistake(
        "lengths made on the CPU",
        was="lengths = torch.full((batch,), steps, device=x.device)",
        now="lengths = torch.full((batch,), steps)",
        caught_by="TestRunRecurrent::test_everything_is_made_on_the_device_of_x",
    ),
    Mistake(
        "lengths beyond T accepted",
        was=FIT,
        now="elif lengths.shape != (batch,) or (lengths < 0).any():",
        caught_by="TestRunRecurrent::test_wrong_lengths_are_an_error",
        edge=True,
    ),
    Mistake(
        "length 0 refused, as packing does",
        was=FIT,
        now="elif lengths.shape != (batch,) or ((lengths < 1) | (lengths > steps)).any():",
        caught_by="TestRunRecurrent::test_a_sequence_of_length_0_keeps_its_initial_state",
    ),
    # run_bidirectional
    Mistake(
        "the same cell twice",
        was=RIGHT,
        now=RIGHT.replace("(backward_cell", "(forward_cell"),
        caught_by="TestRunBidirectional::test_each_position_has_both_readings_side_by_side",
    ),
    Mistake(
        "the whole padded row turned round",
        was=RIGHT,
        now="""from_right, last_backward = run_recurrent(backward_cell, x.flip(1))
    from_right = from_right.flip(1)
    if lengths is not None:
        from_right = from_right * (torch.arange(x.shape[1]) < lengths[:, None])[..., None]""",
        caught_by="TestRunBidirectional::test_the_backward_reading_begins_at_the_last_real_step",
    ),
    Mistake(
        "outputs of the backward half not turned back",
        was=BOTH,
        now=BOTH.replace("from_right]", "from_right.flip(1)]"),
        caught_by="TestRunBidirectional::test_each_position_has_both_readings_side_by_side",
    ),
    # CharRNN
    Mistake(
        "state not handed on",
        was=READ,
        now="outputs, state = self.rnn(self.embedding(ids))",
        caught_by="TestCharRNN::test_two_pieces_read_in_turn_are_the_whole",
    ),
    Mistake(
        "only h of the LSTM handed on",
        was=LOGITS,
        now="return self.head(outputs), state[0] if isinstance(state, tuple) else state",
        caught_by="TestCharRNN::test_the_state_is_the_recurrent_layers_own",
    ),
    Mistake(
        "state kept on the model",
        was=READ,
        now="outputs, state = self.rnn(self.embedding(ids), getattr(self, 'last', None) if state is None else state)\n"
        "        self.last = state",
        caught_by="TestCharRNN::test_it_remembers_nothing_between_calls",
    ),
    Mistake(
        "time first",
        was=MAKE_RNN,
        now=MAKE_RNN.replace(", batch_first=True", ""),
        caught_by="TestCharRNN::test_the_parts_have_the_sizes_asked_for",
    ),
    Mistake(
        "an unknown cell_type is taken for an LSTM",
        was="if cell_type not in classes:",
        now="cell_type = cell_type if cell_type in classes else 'lstm'\n        if cell_type not in classes:",
        caught_by="TestCharRNN::test_an_unknown_cell_type_is_an_error",
        edge=True,
    ),
    Mistake(
        "logits in place of the hidden states",
        was=LOOK,
        now=LOOK.replace("return outputs[0]", "return self.head(outputs)[0]"),
        caught_by="TestCharRNN::test_hidden_states_are_the_last_layers",
    ),
    Mistake(
        "hidden states with their graph",
        was=LOOK,
        now=LOOK.replace("torch.no_grad()", "torch.enable_grad()"),
        caught_by="TestCharRNN::test_hidden_states_carry_no_graph_and_keep_the_mode",
        edge=True,
    ),
    Mistake(
        "left in eval mode",
        was=LOOK,
        now=LOOK.replace("self.train(was_training)", "pass"),
        caught_by="TestCharRNN::test_hidden_states_carry_no_graph_and_keep_the_mode",
        edge=True,
    ),
    Mistake(
        "mode lost after an error",
        was=LOOK,
        now=LOOK.replace(
            "        finally:\n            self.train",
            "        except ZeroDivisionError:\n            pass\n        self.train",
        ),
        caught_by="TestCharRNN::test_the_mode_is_kept_after_an_error_too",
        edge=True,
    ),
    # train_char_rnn
    Mistake(
        "targets not shifted",
        was=SHIFT,
        now="inputs, targets = windows[:, :-1], windows[:, :-1]",
        caught_by="test_the_next_symbol_is_what_it_learns",
    ),
    Mistake(
        "logits reshaped to (V, …) and turned",
        was=LOSS,
        now="loss = F.cross_entropy(logits.reshape(logits.shape[-1], -1).T, targets.flatten())",
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
    ),
    Mistake(
        "no update",
        was=STEP,
        now="",
        caught_by="test_a_repeating_sequence_is_learned",
    ),
    Mistake(
        "gradients never cleared",
        was="            optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_one_of_adam",
    ),
    Mistake(
        "the state carried from one batch to the next",
        was=MODEL,
        now="logits, was = model(inputs, locals().get('was'))\n            was = was.detach()",
        caught_by="test_every_step_is_one_of_adam",
    ),
    Mistake(
        "loss taken after the update",
        was=STEP,
        now=STEP
        + "            losses[-1] = F.cross_entropy(model(inputs)[0].flatten(0, 1), targets.flatten()).item()\n",
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
    ),
    Mistake(
        "losses as tensors",
        was=KEEP,
        now="losses.append(loss.detach())",
        caught_by="test_losses_and_speed_are_plain_numbers",
    ),
    Mistake(
        "no clipping",
        was=CLIP,
        now="pass",
        caught_by="test_gradients_are_clipped_by_their_norm",
    ),
    Mistake(
        "clipped by value",
        was=CLIP,
        now="nn.utils.clip_grad_value_(model.parameters(), max_norm)",
        caught_by="test_gradients_are_clipped_by_their_norm",
    ),
    Mistake(
        "always scaled to max_norm",
        was=CLIP,
        now="norm = nn.utils.get_total_norm([p.grad for p in model.parameters()])\n"
        "            [p.grad.mul_(max_norm / norm) for p in model.parameters()]",
        caught_by="test_clipping_only_shortens",
    ),
    Mistake(
        "the last window never drawn",
        was=STARTS,
        now=STARTS.replace("len(data) - seq_len", "max(len(data) - seq_len - 1, 1)"),
        caught_by="test_every_start_is_equally_likely",
    ),
    Mistake(
        "draws from the global generator",
        was=STARTS,
        now=STARTS.replace(", generator=generator", ""),
        caught_by="test_draws_come_from_the_generator",
    ),
    Mistake(
        "one place for the whole batch",
        was=STARTS,
        now=STARTS.replace("(batch_size,)", "(1,)") + ".expand(batch_size)",
        caught_by="test_windows_of_a_batch_are_drawn_one_by_one",
    ),
    Mistake(
        "the clock started anew in every step",
        was="            starts = torch.randint",
        now="            started = time.perf_counter()\n            starts = torch.randint",
        caught_by="test_seconds_are_those_of_all_steps",
    ),
    Mistake(
        "N = seq_len + 1 refused",
        was="if len(data) < seq_len + 1:",
        now="if len(data) <= seq_len + 1:",
        caught_by="test_the_shortest_text_is_one_window",
        edge=True,
    ),
    Mistake(
        "no check of the length: randint complains",
        was='        raise ValueError(f"data has',
        now='        str(f"data has',
        caught_by="test_the_shortest_text_is_one_window",
        edge=True,
    ),
    Mistake(
        "tokens_per_second without seq_len",
        was=SPEED,
        now=SPEED.replace(" * seq_len", ""),
        caught_by="test_losses_and_speed_are_plain_numbers",
    ),
    Mistake(
        "mode left as it came",
        was="    model.train()\n",
        now="",
        caught_by="test_the_mode_is_training_and_then_as_before",
        edge=True,
    ),
    Mistake(
        "always in training mode after training",
        was=TRAIN_END,
        now="    finally:\n        pass\n",
        caught_by="test_the_mode_is_training_and_then_as_before",
        edge=True,
    ),
    # input_gradient_norms
    Mistake(
        "norm over time",
        was=NORM,
        now="gradient.norm(dim=1).mean(-1)",
        caught_by="test_matches_autograd_through_pytorch",
    ),
    Mistake(
        "the sum of all outputs",
        was=GRAD,
        now=GRAD.replace("outputs[:, -1].sum()", "outputs.sum()"),
        caught_by="test_matches_autograd_through_pytorch",
    ),
    Mistake(
        "gradients of the hidden states",
        was=GRAD,
        now="states = [cell(x[:, 0])]\n    for t in range(1, x.shape[1]):\n        states.append(cell(x[:, t], states[-1]))\n"
        "    gradient = torch.stack(torch.autograd.grad(states[-1].sum(), states), dim=1)",
        caught_by="test_matches_autograd_through_pytorch",
    ),
    Mistake(
        "h and c summed",
        was=GRAD,
        now="last = _[0] + _[1] if isinstance(_, tuple) else _\n    [gradient] = torch.autograd.grad(last.sum(), x)",
        caught_by="test_of_an_lstm_only_h_counts",
    ),
    Mistake(
        "backward into everything",
        was=GRAD,
        now="outputs[:, -1].sum().backward()\n    gradient = x.grad",
        caught_by="test_nothing_is_left_behind",
    ),
    Mistake(
        "the caller's x made a leaf that wants gradients",
        was=LEAF,
        now="x.requires_grad_()",
        caught_by="test_nothing_is_left_behind",
    ),
]

EQUIVALENT = [
    Equivalent(
        was=LSTM_ROWS,
        now="i, f, g, o = gates.chunk(4, dim=1)",
        reason="gates is (B, 4H), so that its last dim is dim 1",
    ),
    Equivalent(
        was="r_x, z_x, n_x = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=-1)",
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
        reason="autograd.grad stops at the copy, which it takes for its input whether it is a leaf or not",
    ),
]
