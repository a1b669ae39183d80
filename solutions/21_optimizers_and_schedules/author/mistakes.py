"""Wrong solutions of 21 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

SGD_LOOP = """                g = p.grad + group["weight_decay"] * p
                momentum = group["momentum"]"""
SGD_END = """                p -= group["lr"] * g

"""
ADAMW_DECAY = 'p *= 1 - group["lr"] * group["weight_decay"]'
ADAMW_STEP = 'p -= group["lr"] * _adam_direction(p, p.grad, self.state, group)'
HAS_GRADIENT = """            if p.grad is not None:
                yield p, group"""
SCALE = """    if total > max_norm:
        for g in gradients:
            g.mul_(max_norm / total)"""

ADAM_LOOP = """        with torch.no_grad():
            for p, group in _with_gradients(self.param_groups):
                g = p.grad + group["weight_decay"] * p
                p -= group["lr"] * _adam_direction(p, g, self.state, group)
"""

MISTAKES = [
    # warmup_cosine
    Mistake(
        "warm-up starts at rate 0",
        was="return max_lr * (step + 1) / warmup_steps",
        now="return max_lr * step / warmup_steps",
        caught_by="test_the_rise_is_a_straight_line",
        says="looks like step / warmup_steps, which begins at 0",
    ),
    Mistake(
        "the cosine goes on after the end",
        was="""    if step >= max_steps:
        return min_lr
""",
        now="",
        caught_by="test_after_the_end_it_stays",
        says="looks like a cosine that goes on",
    ),
    # SGD
    Mistake(
        "a subclass of torch's SGD",
        was="class Adam:\n",
        now="class SGD(torch.optim.SGD):\n    pass\n\n\nclass Adam:\n",
        caught_by="TestSGDStep::test_is_written_without_torchs_own",
        says="to be written without torch.optim.SGD",
    ),
    Mistake(
        "torch's SGD does the work",
        was=(
            "        self.param_groups = _make_groups(params, defaults)\n"
            "        self.state: dict[nn.Parameter, Tensor] = {}"
        ),
        now="        self.inner = torch.optim.SGD(list(params), **defaults)\n"
        "        self.step, self.state = self.inner.step, self.inner.state\n"
        "        self.param_groups = self.inner.param_groups",
        caught_by="TestSGDStep::test_is_written_without_torchs_own",
        says="to be written without torch.optim.SGD",
    ),
    Mistake(
        "params taken for a list: they may be a generator, read once and without an "
        "index",
        was="    given = list(params)\n    if not given:",
        now="    given = params\n    if not list(given):",
        caught_by="TestSGDInit::test_params_may_be_a_generator",
        says="'generator' object is not subscriptable",
    ),
    Mistake(
        "the buffer is a mean of the gradients",
        was="buf = momentum * self.state[p] + g if p in self.state else g",
        now="buf = momentum * self.state.get(p, 0.0) + (1 - momentum) * g",
        caught_by="test_momentum_sums_gradients_up",
        says="looks like a mean of the gradients, (1 − momentum) · g",
    ),
    Mistake(
        "the name p bound to a new tensor",
        was=SGD_END,
        now=SGD_END.replace('p -= group["lr"] * g', 'p = p - group["lr"] * g'),
        caught_by="test_a_plain_step_goes_down_the_gradient",
        says="looks like nothing has moved",
    ),
    Mistake(
        "nesterov without the gradient itself",
        was='g = g + momentum * buf if group["nesterov"] else buf',
        now="g = buf",
        caught_by="test_nesterov_looks_ahead",
        says="looks like momentum without nesterov",
    ),
    Mistake(
        "decay written into .grad",
        was=SGD_LOOP,
        now=SGD_LOOP.replace("g = p.grad +", "g = p.grad\n                g +="),
        caught_by="TestSGDStep::test_gradients_stay_as_they_were",
        says="looks like the decay was added to them",
        edge=True,
    ),
    Mistake(
        "lr copied in __init__",
        was=SGD_END,
        now='                self.__dict__.setdefault("lr", group["lr"])\n'
        + SGD_END.replace('group["lr"]', "self.lr"),
        caught_by="TestSGDStep::test_each_group_steps_with_its_current_settings",
        says="looks like the lr of the first group for all",
    ),
    Mistake(
        "None taken for zeros",
        was=HAS_GRADIENT,
        now="""            if p.grad is None:
                p.grad = torch.zeros_like(p)
            yield p, group""",
        caught_by="TestAdamW::test_a_parameter_without_gradient_is_left_alone",
        says="the parameter without gradient",
    ),
    Mistake(
        "zero_grad of the first group only",
        was="for p, _ in _with_gradients(self.param_groups):",
        now="for p, _ in _with_gradients(self.param_groups[:1]):",
        caught_by="TestSGDZeroGrad::test_sets_none",
        says="parameters [1] still have a gradient after zero_grad()",
    ),
    # Adam and AdamW
    Mistake(
        "no bias correction",
        was="return m_hat / (v_hat.sqrt()",
        now='return own["m"] / (own["v"].sqrt()',
        caught_by="TestAdamStep::test_the_first_step_has_the_size_lr",
        says="looks like no bias correction",
    ),
    Mistake(
        "eps under the root",
        was='(v_hat.sqrt() + group["eps"])',
        now='(v_hat + group["eps"]).sqrt()',
        caught_by="TestAdamStep::test_eps_is_added_to_the_root",
        says="looks like eps under the root",
    ),
    Mistake(
        "one step count for all parameters",
        was='    own["t"] += 1',
        now=(
            '    state["t"] = state.get("t", 0) + (p is group["params"][0])\n'
            '    own["t"] = max(1, state["t"])'
        ),
        caught_by="TestAdamStep::test_a_parameter_may_join_late_or_pause",
        says="parameters['thawed late']",
        edge=True,
    ),
    Mistake(
        "p.data in place of no_grad",
        was=ADAM_LOOP,
        now="""        for p, group in _with_gradients(self.param_groups):
            g = p.grad + group["weight_decay"] * p
            p.data -= group["lr"] * _adam_direction(p, g, self.state, group)
""",
        caught_by="TestAdamStep::test_no_graph_is_remembered",
        says="tensors in `state` carry a graph",
        edge=True,
    ),
    Mistake(
        "AdamW is torch's own",
        was="def decay_groups(",
        now="AdamW = torch.optim.AdamW\n\n\ndef decay_groups(",
        caught_by="TestAdamW::test_is_written_without_torchs_own",
        says="to be written without torch.optim.AdamW",
    ),
    Mistake(
        "L2 decay in AdamW",
        was=f"                {ADAMW_DECAY}\n                {ADAMW_STEP}",
        now='                g = p.grad + group["weight_decay"] * p\n'
        '                p -= group["lr"] * _adam_direction(p, g, self.state, group)',
        caught_by="test_decay_is_taken_off_the_parameter",
        says="looks like decay as part of the gradient, as in Adam",
    ),
    Mistake(
        "decay without lr",
        was=ADAMW_DECAY,
        now='p *= 1 - group["weight_decay"]',
        caught_by="test_decay_is_taken_off_the_parameter",
        says="looks like decay without lr",
    ),
    # decay_groups
    Mistake(
        "tied weights twice",
        was="for p in model.parameters() if p.requires_grad]",
        now=(
            "for _, p in model.named_parameters(remove_duplicate=False) if "
            "p.requires_grad]"
        ),
        caught_by="test_tied_weights_come_once",
        says="listed again: ['words.weight']",
    ),
    # StepLR
    Mistake(
        "the rate falls in every call",
        was='group["lr"] = base_lr * factor',
        now='group["lr"] *= self.gamma',
        caught_by="test_rates_fall_every_step_size_epochs",
        says="looks like a fall in every epoch",
    ),
    Mistake(
        "fallen rates taken for base rates",
        was='        self.base_lrs = list(state["base_lrs"])\n',
        now="",
        caught_by="test_a_resumed_run_goes_on_as_if_never_stopped",
        says="looks like fallen rates taken for base rates",
    ),
    # clipping
    Mistake(
        "no minimum with 1",
        was=SCALE,
        now="    for g in gradients:\n        g.mul_(max_norm / total)",
        caught_by="test_short_gradients_are_not_stretched",
        says="looks like stretched to max_norm",
    ),
    Mistake(
        "the sum of the norms",
        was="total = torch.linalg.vector_norm(norms, norm_type)",
        now="total = norms.sum()",
        caught_by="test_the_norm_is_that_of_all_gradients_together",
        says="looks like the sum of the norms",
    ),
    # batch_size_schedule
    Mistake(
        "rounded to the nearest",
        was="size = start + (end - start) * tokens_seen // ramp_tokens",
        now="size = round(start + (end - start) * tokens_seen / ramp_tokens)",
        caught_by="test_sizes_are_rounded_down",
        says="looks like rounded to the nearest",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="if nesterov and momentum == 0:",
        now="if nesterov and momentum <= 0:",
        reason="nothing is promised about a negative momentum",
    ),
    Equivalent(
        was="if momentum:",
        now="if True:",
        reason="with momentum 0 the buffer is the gradient of this step",
    ),
    Equivalent(
        was='self.base_lrs = list(state["base_lrs"])',
        now='self.base_lrs = state["base_lrs"]',
        reason="nothing writes into the list of base rates",
    ),
    Equivalent(
        was="if total > max_norm:",
        now="if total >= max_norm:",
        reason="at the limit the factor is 1",
    ),
    Equivalent(
        was="if not isinstance(given[0], dict):",
        now="if not isinstance(given[-1], dict):",
        reason="parameters and dicts do not come mixed",
    ),
    Equivalent(
        was="if len(set(everything)) != len(everything):",
        now="if len(set(everything)) < len(everything):",
        reason="a set is never larger than its list",
    ),
    Equivalent(
        was="if step >= max_steps:",
        now="if step > max_steps:",
        reason="at max_steps the cosine has come to the same number",
        textbook=True,
    ),
    Equivalent(
        was="if step >= max_steps:",
        now="if step >= max_steps + 1:",
        reason="at max_steps the cosine has come to the same number",
        textbook=True,
    ),
    Equivalent(
        was="if not isinstance(params[0], dict):",
        now="if not isinstance(params[-1], dict):",
        reason="either all are dicts or none is",
        textbook=True,
    ),
    Equivalent(
        was='if group["momentum"] > 0:',
        now='if group["momentum"] >= 0:',
        reason="with momentum 0 the buffer is the gradient",
        textbook=True,
    ),
    Equivalent(
        was='if group["momentum"] > 0:',
        now='if group["momentum"] > -1:',
        reason="with momentum 0 the buffer is the gradient",
        textbook=True,
    ),
    Equivalent(
        was="if norm > max_norm:",
        now="if norm >= max_norm:",
        reason="at max_norm the factor is 1",
        textbook=True,
    ),
]
