"""Wrong solutions of papers/04 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

NUMPY_SUMS = "weight_ih @ dropout_numpy(x, mask, p) + weight_hh @ h + bias"
CELL = """\
                state[layer] = cell(F.dropout(x, between), (F.dropout(h, through), c))
                x = state[layer][0]
            tops.append(F.dropout(x, between))
"""
BETWEEN = 'between = self.p if self.training and self.where == "non_recurrent" else 0.0'
SCALED = """        inputs, olds = (
            [F.dropout(ones, self.p, self.training) for _ in self.cells]
            for _ in range(2)
        )
        top = F.dropout(ones, self.p, self.training)
"""
STEP = "                state[layer] = cell(x * inputs[layer], (h * olds[layer], c))\n"
MEASURED = "return math.exp(F.cross_entropy(logits[0], ids[1:]).item())"
CLIP = "        nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"
READ = "        logits, _ = model(windows[:, :-1])\n"

MISTAKES = [
    # dropout_numpy, lstm_stack_step_numpy
    Mistake(
        "kept values that are not scaled",
        was="np.where(keep_mask, x / (1 - p), 0.0)",
        now="np.where(keep_mask, x, 0.0)",
        caught_by="test_kept_values_are_scaled_and_the_others_are_zero",
        says="looks like not scaled",
    ),
    Mistake(
        "the mask turned around",
        was="np.where(keep_mask, x / (1 - p), 0.0)",
        now="np.where(keep_mask, 0.0, x / (1 - p))",
        caught_by="test_kept_values_are_scaled_and_the_others_are_zero",
        says="looks like dropped where the mask says kept",
    ),
    Mistake(
        "NumPy: dropout on the old h",
        was=NUMPY_SUMS,
        now=NUMPY_SUMS.replace(
            "weight_hh @ h", "weight_hh @ dropout_numpy(h, mask, p)"
        ),
        caught_by="test_masks_act_on_every_input_and_on_the_top_output",
        says="looks like dropout on the old h, too",
    ),
    Mistake(
        "NumPy: the top output left whole",
        was="return dropout_numpy(x, masks[-1], p), new_states",
        now="return x, new_states",
        caught_by="test_masks_act_on_every_input_and_on_the_top_output",
        says="looks like no dropout on the top output",
    ),
    # RegularizedLSTM
    Mistake(
        "dropped values stored as the state",
        was=CELL,
        now="""\
                inputs = x if layer else F.dropout(x, between)
                h, c = cell(inputs, (F.dropout(h, through), c))
                x = F.dropout(h, between)
                state[layer] = x, c
            tops.append(x)
""",
        caught_by="test_non_recurrent_leaves_the_way_through_time_alone",
        says="of the h that enters the cells",
    ),
    Mistake(
        "dropout on c",
        was="(F.dropout(h, through), c))",
        now="(F.dropout(h, through), F.dropout(c, through)))",
        caught_by="test_recurrent_drops_the_old_h_only",
        says="of the c that enters the cells",
    ),
    Mistake(
        "the embedding left whole",
        was="cell(F.dropout(x, between)",
        now="cell(F.dropout(x, between if layer else 0.0)",
        caught_by="test_non_recurrent_drops_every_cell_input",
        says="looks like no dropout here",
    ),
    Mistake(
        "dropout before the first layer only",
        was="cell(F.dropout(x, between)",
        now="cell(F.dropout(x, 0.0 if layer else between)",
        caught_by="test_non_recurrent_drops_every_cell_input",
        says="looks like no dropout here",
    ),
    Mistake(
        "the top output left whole",
        was="tops.append(F.dropout(x, between))",
        now="tops.append(x)",
        caught_by="test_non_recurrent_drops_the_top_output",
        says="looks like no dropout here",
    ),
    Mistake(
        "dropout without a word on the mode",
        was=BETWEEN,
        now='between = self.p if self.where == "non_recurrent" else 0.0',
        caught_by="test_no_dropout_in_eval_mode",
        says="looks like the same dropout as in training mode",
    ),
    Mistake(
        "one mask for all steps",
        was=CELL,
        now="""                torch.manual_seed(layer)
                state[layer] = cell(F.dropout(x, between), (F.dropout(h, through), c))
                x = state[layer][0]
            torch.manual_seed(len(self.cells))
            tops.append(F.dropout(x, between))
""",
        caught_by=(
            "TestRegularizedLSTMForward::test_each_step_row_and_unit_has_its_own_draw"
        ),
        says="the mask of one step is the mask of another step",
    ),
    Mistake(
        "one mask for all rows",
        was="cell(F.dropout(x, between)",
        now="cell(x * F.dropout(torch.ones_like(x[0]), between)",
        caught_by=(
            "TestRegularizedLSTMForward::test_each_step_row_and_unit_has_its_own_draw"
        ),
        says="the mask of one row is the mask of another row",
    ),
    Mistake(
        "the given state written over",
        was="state = _zeros(self, ids) if state is None else list(state)\n        tops",
        now="state = _zeros(self, ids) if state is None else state\n        tops",
        caught_by="TestRegularizedLSTMForward::test_a_given_state_is_left_as_it_was",
        says="the given state after the call",
        edge=True,
    ),
    # perplexity
    Mistake(
        "the mean of exp per symbol",
        was=MEASURED,
        now=(
            "return F.cross_entropy(logits[0], ids[1:], "
            'reduction="none").exp().mean().item()'
        ),
        caught_by="test_is_exp_of_the_mean_cross_entropy",
        says="looks like the mean of exp per symbol",
    ),
    Mistake(
        "measured in training mode",
        was="    model.eval()\n",
        now="",
        caught_by="test_predicts_in_eval_mode",
        says="looks like measured in training mode",
    ),
    Mistake(
        "left in eval mode",
        was="        model.train(training)\n",
        now="        pass\n",
        caught_by="test_the_mode_is_restored",
        says="of model.training afterwards",
        edge=True,
    ),
    # train_lm
    Mistake(
        "the last start never drawn",
        was="torch.randint(len(ids) - seq_len, (batch, 1)",
        now="torch.randint(max(1, len(ids) - seq_len - 1), (batch, 1)",
        caught_by="test_the_last_start_can_come_up",
        says="the starts that came up in a text of 6 symbols",
        edge=True,
    ),
    Mistake(
        "the state carried from batch to batch",
        was=READ,
        now="""        logits, state = model(windows[:, :-1], state if losses else None)
        state = [part.detach() for part in state]
""",
        caught_by="test_every_window_starts_from_an_empty_state",
        says="a state of the batch before is handed in",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "gradients not clipped",
        was=CLIP,
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not clipped",
    ),
    Mistake(
        "one window, again and again",
        was="windows = ids[starts + torch.arange(seq_len + 1)]",
        now="windows = ids[starts[:1] + torch.arange(seq_len + 1)].expand(batch, -1)",
        caught_by="test_reads_windows_of_the_text",
        says="all rows of a batch are the same window",
    ),
    # VariationalLSTM
    Mistake(
        "new masks in every step",
        was=STEP,
        now="                inputs, olds = ([F.dropout(ones, self.p, self.training) "
        "for _ in self.cells] for _ in 'xh')\n"
        "                inputs, olds = list(inputs), list(olds)\n" + STEP,
        caught_by="test_zeros_are_at_the_same_units_in_every_step",
        says="they should have one mask for all steps",
    ),
    Mistake(
        "one mask for input and state",
        was=STEP,
        now=STEP.replace("olds[layer]", "inputs[layer]"),
        caught_by="test_each_place_row_unit_and_call_has_its_own_draw",
        says="the mask of one place is the mask of another place",
    ),
    Mistake(
        "masks drawn for the first call only",
        was=SCALED,
        now=SCALED.replace(
            "        inputs", "        torch.manual_seed(0)\n        inputs"
        ),
        caught_by="test_each_place_row_unit_and_call_has_its_own_draw",
        says="the mask of one call is the mask of the next call",
    ),
    Mistake(
        "masks shared by all rows",
        was="ones = torch.ones_like(state[0][0])",
        now="ones = torch.ones_like(state[0][0][0])",
        caught_by="test_each_place_row_unit_and_call_has_its_own_draw",
        says="the mask of one row is the mask of another row",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="return math.exp(F.cross_entropy(logits[0], ids[1:]).item())",
        now="return math.exp(F.cross_entropy(logits[-1], ids[1:]).item())",
        reason="a batch of one",
        textbook=True,
    ),
]
