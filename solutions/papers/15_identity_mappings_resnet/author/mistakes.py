"""Wrong solutions of papers/15 that its specs must catch."""

from grader.course.mistakes import Mistake

GAIN = "return np.array([np.prod(scales[unit:]) for unit in range(len(scales))])"
STATES = "        states.append(states[-1] + branch)\n"
GATE = "return (1 - torch.sigmoid(self.gate(x))) * x"
TOTAL = "total = self.skip(x) + self.branch(x)"
END = 'return F.relu(total) if self.order == "post" else total'
FINAL = """self.final = (
            nn.Sequential(nn.BatchNorm1d(width), nn.ReLU())
            if order == "pre"
            else nn.Identity()
        )"""
PROFILE = "gradients = torch.autograd.grad(F.cross_entropy(logits, y), states)"

MISTAKES = [
    # shortcut_gain_numpy
    Mistake(
        "cumprod forward",
        was=GAIN,
        now="return np.cumprod(scales)",
        caught_by=(
            "TestShortcutGainNumpy::test_each_entry_is_the_product_of_all_later_scales"
        ),
        says="looks like a product from the wrong end",
    ),
    Mistake(
        "own scale left out",
        was="np.prod(scales[unit:])",
        now="np.prod(scales[unit + 1 :])",
        caught_by=(
            "TestShortcutGainNumpy::test_each_entry_is_the_product_of_all_later_scales"
        ),
        says="looks like the unit's own scale is left out",
    ),
    # residual_sum_numpy
    Mistake(
        "added in place",
        was=STATES,
        now="        x += branch\n        states.append(x)\n",
        caught_by=(
            "TestResidualSumNumpy::test_each_state_is_the_one_before_plus_a_branch"
        ),
        says="looks like one array that is written to again and again",
    ),
    Mistake(
        "last state written to x",
        was="    states = [x]\n    for branch in branches:\n" + STATES,
        now=(
            "    states = [x.copy()]\n    for branch in branches:\n"
            "        x += branch\n        states.append(x.copy())\n"
        ),
        caught_by="TestResidualSumNumpy::test_the_inputs_are_not_written_to",
        says="x and the branches after the call",
        edge=True,
    ),
    # ResidualUnit.__init__
    Mistake(
        "gate bias left at random",
        was="            nn.init.constant_(self.gate.bias, -1.0)\n",
        now="",
        caught_by="test_the_gate_starts_at_weight_0_and_bias_minus_1",
        says="gate.bias",
    ),
    Mistake(
        "a gate in every unit",
        was='nn.Linear(width, width) if shortcut == "gate" else None',
        now="nn.Linear(width, width)",
        caught_by="test_two_norms_and_two_layers_without_bias",
        says="gate",
    ),
    Mistake(
        "bias left on",
        was="nn.Linear(width, width, bias=False) for _ in range(2)",
        now="nn.Linear(width, width) for _ in range(2)",
        caught_by="test_two_norms_and_two_layers_without_bias",
        says="fc1.bias",
    ),
    Mistake(
        "unknown shortcut taken for an identity",
        was="""        if shortcut not in ("identity", "scale", "dropout", "gate"):
            raise ValueError(
                "shortcut must be 'identity', 'scale', 'dropout' or 'gate', not "
                f"{shortcut!r}"
            )
""",
        now="",
        caught_by="test_an_unknown_order_or_shortcut_is_refused",
        says="an error, such as ValueError",
        edge=True,
    ),
    # ResidualUnit.branch
    Mistake(
        "orders exchanged",
        was='        if self.order == "pre":\n',
        now='        if self.order == "post":\n',
        caught_by="test_pre_has_norm_and_relu_before_each_layer",
        says="looks like the order of 'post'",
    ),
    Mistake(
        "relu written to x",
        was="        hidden = F.relu(self.norm1(self.fc1(x)))\n",
        now="        hidden = F.relu(self.norm1(self.fc1(F.relu_(x))))\n",
        caught_by="test_the_shortcut_still_finds_x_as_it_was",
        says="x after the call, which must not write to it",
    ),
    # ResidualUnit.skip
    Mistake(
        "gate not complemented",
        was=GATE,
        now="return torch.sigmoid(self.gate(x)) * x",
        caught_by="test_a_fresh_gate_lets_three_quarters_through",
        says="looks like the gate is not complemented",
    ),
    Mistake(
        "dropout shortcut always on",
        was="F.dropout(x, self.p, self.training)",
        now="F.dropout(x, self.p)",
        caught_by="test_dropout_is_off_in_eval_mode",
        says="differs",
    ),
    # ResidualUnit.forward
    Mistake(
        "relu after the addition kept in pre",
        was=END,
        now="return F.relu(total)",
        caught_by="test_pre_is_the_sum_and_nothing_more",
        says="looks like a relu after the sum",
    ),
    Mistake(
        "norm before the split",
        was=TOTAL,
        now="total = self.skip(self.norm1(x)) + self.branch(x)",
        caught_by="test_pre_is_the_sum_and_nothing_more",
        says="looks like the shortcut is normalised, too",
    ),
    Mistake(
        "scale on the branch",
        was=TOTAL,
        now=(
            'total = x + self.scale * self.branch(x) if self.shortcut == "scale" else '
            "self.skip(x) + self.branch(x)"
        ),
        caught_by="test_pre_is_the_sum_and_nothing_more",
        says="looks like the factor is on the branch",
    ),
    Mistake(
        "in-place sum into the input",
        was=TOTAL,
        now="total = self.branch(x)\n        x += total\n        total = x",
        caught_by="TestResidualUnitForward::test_the_input_is_not_written_to",
        says="x after the call, which must not write to it",
        edge=True,
    ),
    # DeepNet
    Mistake(
        "no final norm",
        was=FINAL,
        now="self.final = nn.Identity()",
        caught_by="test_pre_has_a_final_norm_and_post_has_none",
        says="looks like no final norm",
    ),
    Mistake(
        "final's output among the states",
        was="        logits = self.head(self.final(states[-1]))\n",
        now=(
            "        states[-1] = self.final(states[-1])\n"
            "        logits = self.head(states[-1])\n"
        ),
        caught_by="test_states_go_from_the_stem_to_the_last_unit",
        says="looks like `final` has been applied",
    ),
    Mistake(
        "shortcut not handed on",
        was="ResidualUnit(width, order, shortcut) for _",
        now="ResidualUnit(width, order) for _",
        caught_by="test_every_unit_has_the_order_and_the_shortcut",
        says="order, shortcut and width of the units",
    ),
    Mistake(
        "states detached",
        was="        return (logits, states) if return_states else logits\n",
        now=(
            "        return (logits, [state.detach() for state in states]) if "
            "return_states else logits\n"
        ),
        caught_by="test_the_states_are_part_of_the_graph",
        says="it was detached",
    ),
    # gradient_profile
    Mistake(
        "profile of weights in place of states",
        was=PROFILE,
        now="weights = [model.stem.weight, *(unit.fc1.weight for unit in "
        "model.units)]\n"
        "    gradients = torch.autograd.grad(F.cross_entropy(logits, y), weights)",
        caught_by="test_one_norm_per_state_first_state_first",
        says="looks like gradients of the weights",
    ),
    Mistake(
        "measured in eval mode",
        was="    logits, states = model(x, return_states=True)\n    gradients",
        now="    logits, states = model.eval()(x, return_states=True)\n    gradients",
        caught_by="test_the_mode_stays_what_it_is",
        says="training = True",
    ),
    Mistake(
        "grads left behind",
        was=PROFILE,
        now="""for state in states:
        state.retain_grad()
    F.cross_entropy(logits, y).backward()
    gradients = [state.grad for state in states]""",
        caught_by="TestGradientProfile::test_no_gradient_is_left",
        says=".grad is there after the call",
        edge=True,
    ),
    # train_deep
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "trained in eval mode",
        was="    model.train()\n    losses",
        now="    losses",
        caught_by="TestTrainDeep::test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
]

UNASKED = {"train_deep: x, never negative": "grey levels from 0 to 1"}
