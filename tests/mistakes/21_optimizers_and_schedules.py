"""Wrong solutions of 21 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

SGD_STATE = "buf = momentum * self.state[p] + g if p in self.state else g"
SGD_LOOP = """                g = p.grad + group["weight_decay"] * p
                momentum = group["momentum"]"""
SGD_END = """                p -= group["lr"] * g

"""
ADAM_LOOP = """                g = p.grad + group["weight_decay"] * p
                p -= group["lr"] * _adam_direction(p, g, self.state, group)"""
ADAMW_DECAY = 'p *= 1 - group["lr"] * group["weight_decay"]'
ADAMW_STEP = 'p -= group["lr"] * _adam_direction(p, p.grad, self.state, group)'
NEW_STATE = """    if p not in state:
        state[p] = {"t": 0, "m": torch.zeros_like(p), "v": torch.zeros_like(p)}
    own = state[p]"""
GROUPS = 'groups = [{**defaults, **group, "params": list(group["params"])} for group in given]'
HAS_GRADIENT = """            if p.grad is not None:
                yield p, group"""
DECAYING = '{"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},'
RATE = 'group["lr"] = base_lr * factor'
SCALE = """    if total > max_norm:
        for g in gradients:
            g.mul_(max_norm / total)"""
NORMS = "norms = torch.stack([torch.linalg.vector_norm(g, norm_type) for g in gradients])"
TOTAL = "total = torch.linalg.vector_norm(norms, norm_type)"
GRADIENTS = """    params = [params] if isinstance(params, Tensor) else params
    return [p.grad for p in params if p.grad is not None]"""
SIZE = "size = start + (end - start) * tokens_seen // ramp_tokens"

MISTAKES = [
    # warmup_cosine
    Mistake(
        "warm-up starts at rate 0",
        was="return max_lr * (step + 1) / warmup_steps",
        now="return max_lr * step / warmup_steps",
        caught_by="test_the_rise_is_a_straight_line",
    ),
    Mistake(
        "warm-up one step too long",
        was="if step < warmup_steps:",
        now="if step <= warmup_steps:",
        caught_by="test_the_cosine_starts_at_the_top",
    ),
    Mistake(
        "cosine counted from step 0",
        was="progress = (step - warmup_steps) / (max_steps - warmup_steps)",
        now="progress = step / max_steps",
        caught_by="test_half_way_is_the_mean",
    ),
    Mistake(
        "min_lr not part of the cosine",
        was="return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2",
        now="return max_lr * (1 + math.cos(math.pi * progress)) / 2",
        caught_by="test_half_way_is_the_mean",
    ),
    Mistake(
        "a straight line down",
        was="(1 + math.cos(math.pi * progress)) / 2",
        now="(1 - progress)",
        caught_by="test_between_it_is_half_a_cosine",
    ),
    Mistake(
        "a whole cosine, down and up again",
        was="math.cos(math.pi * progress)",
        now="math.cos(2 * math.pi * progress)",
        caught_by="test_half_way_is_the_mean",
    ),
    Mistake(
        "the cosine goes on after the end",
        was="""    if step >= max_steps:
        return min_lr
""",
        now="",
        caught_by="test_after_the_end_it_stays",
    ),
    Mistake(
        "the end divides by zero",
        was="if step >= max_steps:",
        now="if step > max_steps:",
        caught_by="test_warmup_up_to_the_end",
    ),
    Mistake(
        "rates are tensors",
        was="math.cos(math.pi * progress)",
        now="torch.cos(torch.tensor(math.pi * progress))",
        caught_by="test_rates_are_plain_floats",
    ),
    Mistake(
        "warm-up must be shorter than the run",
        was="if not 0 <= warmup_steps <= max_steps:",
        now="if not 0 <= warmup_steps < max_steps:",
        caught_by="test_warmup_up_to_the_end",
    ),
    Mistake(
        "a negative warm-up goes through",
        was="if not 0 <= warmup_steps <= max_steps:",
        now="if warmup_steps > max_steps:",
        caught_by="test_warmup_fits_into_the_run",
        edge=True,
    ),
    # SGD
    Mistake(
        "the buffer is a mean of the gradients",
        was=SGD_STATE,
        now="buf = momentum * self.state[p] + (1 - momentum) * g if p in self.state else (1 - momentum) * g",
        caught_by="test_momentum_sums_gradients_up",
    ),
    Mistake(
        "only later gradients damped",
        was=SGD_STATE,
        now="buf = momentum * self.state[p] + (1 - momentum) * g if p in self.state else g",
        caught_by="test_momentum_sums_gradients_up",
    ),
    Mistake(
        "the name p bound to a new tensor",
        was=SGD_END,
        now=SGD_END.replace('p -= group["lr"] * g', 'p = p - group["lr"] * g'),
        caught_by="test_a_plain_step_goes_down_the_gradient",
    ),
    Mistake(
        "up the gradient",
        was=SGD_END,
        now=SGD_END.replace("p -=", "p +="),
        caught_by="test_a_plain_step_goes_down_the_gradient",
    ),
    Mistake(
        "p.data replaced by another tensor",
        was=SGD_END,
        now=SGD_END.replace('p -= group["lr"] * g', 'p.data = p - group["lr"] * g'),
        caught_by="TestSGD::test_steps_write_into_the_parameters",
    ),
    Mistake(
        "a new Parameter in the group",
        was=SGD_END,
        now=SGD_END.replace(
            'p -= group["lr"] * g',
            'i = next(i for i, q in enumerate(group["params"]) if q is p)\n'
            '                group["params"][i] = nn.Parameter(p - group["lr"] * g)',
        ),
        caught_by="TestSGD::test_steps_write_into_the_parameters",
    ),
    Mistake(
        "the buffer drags a graph along",
        was="""            for p, group in _with_gradients(self.param_groups):
                g = p.grad + group["weight_decay"] * p
                momentum""",
        now="""            for p, group in _with_gradients(self.param_groups):
                torch.set_grad_enabled(True)
                p, leaf = p.data, p
                g = leaf.grad + group["weight_decay"] * leaf
                momentum""",
        caught_by="TestSGD::test_no_graph_is_remembered",
    ),
    Mistake(
        "nesterov ignored",
        was='g = g + momentum * buf if group["nesterov"] else buf',
        now="g = buf",
        caught_by="test_nesterov_looks_ahead",
    ),
    Mistake(
        "nesterov without the gradient itself",
        was='g = g + momentum * buf if group["nesterov"] else buf',
        now='g = buf + momentum * buf if group["nesterov"] else buf',
        caught_by="test_nesterov_looks_ahead",
    ),
    Mistake(
        "decay after the momentum",
        was=SGD_LOOP,
        now=SGD_LOOP.replace(
            'g = p.grad + group["weight_decay"] * p',
            'g = p.grad\n                p *= 1 - group["lr"] * group["weight_decay"]',
        ),
        caught_by="test_decay_is_part_of_the_gradient",
    ),
    Mistake(
        "decay written into .grad",
        was=SGD_LOOP,
        now=SGD_LOOP.replace('p.grad + group["weight_decay"] * p', 'p.grad.add_(p, alpha=group["weight_decay"])'),
        caught_by="TestSGD::test_gradients_stay_as_they_were",
    ),
    Mistake(
        "the buffer is the gradient itself",
        was=SGD_STATE,
        now="""if p in self.state:
                        buf = self.state[p].mul_(momentum).add_(g)
                    else:
                        buf = p.grad.add_(p, alpha=group["weight_decay"])""",
        caught_by="TestSGD::test_gradients_stay_as_they_were",
    ),
    Mistake(
        "a pause forgets the momentum",
        was=SGD_LOOP,
        now="                self.state = {q: buf for q, buf in self.state.items() if q.grad is not None}\n" + SGD_LOOP,
        caught_by="TestSGD::test_a_parameter_may_join_late_or_pause",
    ),
    Mistake(
        "lr copied in __init__",
        was=SGD_END,
        now='                self.__dict__.setdefault("lr", group["lr"])\n' + SGD_END.replace('group["lr"]', "self.lr"),
        caught_by="TestSGD::test_changed_settings_count_from_the_next_step",
    ),
    Mistake(
        "momentum of the first group for all",
        was='momentum = group["momentum"]',
        now='momentum = self.param_groups[0]["momentum"]',
        caught_by="TestSGD::test_groups_keep_their_own_settings",
    ),
    Mistake(
        "one buffer a shape",
        was=SGD_STATE + "\n                    self.state[p] = buf",
        now="buf = momentum * self.state[p.shape] + g if p.shape in self.state else g\n"
        "                    self.state[p.shape] = buf",
        caught_by="TestSGD::test_groups_keep_their_own_settings",
    ),
    Mistake(
        "nesterov without momentum goes through",
        was='raise ValueError("nesterov looks ahead along the momentum, which is 0")',
        now="pass",
        caught_by="test_nesterov_needs_momentum",
        edge=True,
    ),
    Mistake(
        "nesterov is on by default",
        was="""        nesterov: bool = False,
    ):
        if nesterov and momentum == 0:""",
        now="""        nesterov: bool = True,
    ):
        if False:""",
        caught_by="test_nesterov_is_off_unless_asked_for",
    ),
    Mistake(
        "torch's SGD does the work",
        was=SGD_LOOP,
        now='                torch.optim.SGD([p], lr=group["lr"]).step()\n                continue\n' + SGD_LOOP,
        caught_by="TestSGD::test_written_without_torchs_own_update",
    ),
    # What all optimizers share
    Mistake(
        "None taken for zeros",
        was=HAS_GRADIENT,
        now="""            if p.grad is None:
                p.grad = torch.zeros_like(p)
            yield p, group""",
        caught_by="TestAdamW::test_a_parameter_without_gradient_is_left_alone",
    ),
    Mistake(
        "params walked through twice",
        was="    given = list(params)\n    if not given:",
        now="    given = params\n    if not list(given):",
        caught_by="TestAdam::test_params_may_be_a_generator",
    ),
    Mistake(
        "a group's generator is not kept",
        was=GROUPS,
        now="""groups = [{**defaults, **group} for group in given]
    for group in groups:
        list(group["params"])""",
        caught_by="TestAdam::test_groups_keep_their_own_settings",
    ),
    Mistake(
        "defaults win over the group",
        was=GROUPS,
        now=GROUPS.replace("**defaults, **group", "**group, **defaults"),
        caught_by="TestAdam::test_groups_keep_their_own_settings",
    ),
    Mistake(
        "the group lacks what it does not name",
        was=GROUPS,
        now=GROUPS.replace("**defaults,", "**({} if len(given) > 1 else defaults),"),
        caught_by="TestAdamW::test_groups_keep_their_own_settings",
    ),
    Mistake(
        "params stay a tuple",
        was=GROUPS,
        now=GROUPS.replace("list(group", "tuple(group"),
        caught_by="TestSGD::test_param_groups_hold_every_hyperparameter",
    ),
    Mistake(
        "empty params go through",
        was='raise ValueError("there are no parameters to optimize")',
        now="return []",
        caught_by="TestSGD::test_something_must_be_optimized",
        edge=True,
    ),
    Mistake(
        "an empty group is refused",
        was="    everything = [p for",
        now="    if [] in [g['params'] for g in groups]:\n        raise ValueError('empty')\n    everything = [p for",
        caught_by="TestAdam::test_a_group_may_be_empty",
    ),
    Mistake(
        "a parameter in two groups goes through",
        was='raise ValueError("a parameter is in more than one group")',
        now="pass",
        caught_by="TestAdamW::test_a_parameter_is_in_one_group_only",
        edge=True,
    ),
    Mistake(
        "a negative rate goes through",
        was="raise ValueError(f\"lr should not be negative: {defaults['lr']}\")",
        now="pass",
        caught_by="TestAdamW::test_the_rate_may_not_be_negative",
        edge=True,
    ),
    Mistake(
        "the message hides the rate",
        was="raise ValueError(f\"lr should not be negative: {defaults['lr']}\")",
        now='raise ValueError("lr should not be negative")',
        caught_by="TestSGD::test_the_rate_may_not_be_negative",
        edge=True,
    ),
    Mistake(
        "a rate of 0 is refused",
        was='if defaults["lr"] < 0:',
        now='if defaults["lr"] <= 0:',
        caught_by="TestSGD::test_a_rate_of_zero_is_allowed",
    ),
    Mistake(
        "zero_grad always fills with zeros",
        was="p.grad = None if set_to_none else torch.zeros_like(p.grad)",
        now="p.grad.zero_()",
        caught_by="TestSGD::test_zero_grad_sets_none",
    ),
    Mistake(
        "zero_grad always sets None",
        was="p.grad = None if set_to_none else torch.zeros_like(p.grad)",
        now="p.grad = None",
        caught_by="TestAdam::test_zero_grad_makes_zeros_on_request",
    ),
    Mistake(
        "zero_grad of the first group only",
        was="for p, _ in _with_gradients(groups):",
        now="for p, _ in _with_gradients(groups[:1]):",
        caught_by="TestAdam::test_zero_grad_makes_zeros_on_request",
    ),
    # Adam
    Mistake(
        "no bias correction",
        was="return m_hat / (v_hat.sqrt()",
        now='return own["m"] / (own["v"].sqrt()',
        caught_by="TestAdam::test_the_first_step_has_the_size_lr",
    ),
    Mistake(
        "only the first moment is corrected",
        was='v_hat = own["v"] / (1 - beta2 ** own["t"])',
        now='v_hat = own["v"]',
        caught_by="TestAdam::test_the_first_step_has_the_size_lr",
    ),
    Mistake(
        "eps under the root",
        was='(v_hat.sqrt() + group["eps"])',
        now='(v_hat + group["eps"]).sqrt()',
        caught_by="TestAdam::test_eps_is_added_to_the_root",
    ),
    Mistake(
        "eps on the uncorrected root",
        was='return m_hat / (v_hat.sqrt() + group["eps"])',
        now='return m_hat * (1 - beta2 ** own["t"]) ** 0.5 / (own["v"].sqrt() + group["eps"])',
        caught_by="TestAdam::test_eps_is_added_to_the_root",
    ),
    Mistake(
        "betas exchanged",
        was='beta1, beta2 = group["betas"]',
        now='beta2, beta1 = group["betas"]',
        caught_by="TestAdam::test_moments_follow_torch",
    ),
    Mistake(
        "second moment of the mean",
        was="(1 - beta2) * g.square()",
        now='(1 - beta2) * own["m"].square()',
        caught_by="TestAdamW::test_moments_follow_torch",
    ),
    Mistake(
        "steps counted from 0",
        was=NEW_STATE,
        now=NEW_STATE.replace('"t": 0', '"t": 1'),
        caught_by="TestAdam::test_the_first_step_has_the_size_lr",
    ),
    Mistake(
        "one step count for all parameters",
        was='    own["t"] += 1',
        now='    state["t"] = state.get("t", 0) + (p is group["params"][0])\n    own["t"] = max(1, state["t"])',
        caught_by="TestAdam::test_a_parameter_may_join_late_or_pause",
    ),
    Mistake(
        "decoupled decay in Adam",
        was=ADAM_LOOP,
        now="                " + ADAMW_DECAY + "\n                " + ADAMW_STEP,
        caught_by="TestAdam::test_decay_goes_through_the_moments",
    ),
    Mistake(
        "Adam decays by default",
        was="weight_decay: float = 0.0,\n    ):\n        _check_betas",
        now="weight_decay: float = 0.01,\n    ):\n        _check_betas",
        caught_by="TestAdam::test_param_groups_hold_every_hyperparameter",
    ),
    Mistake(
        "a beta of 1 goes through",
        was="if not all(0 <= beta < 1 for beta in betas):",
        now="if not all(0 <= beta <= 1 for beta in betas):",
        caught_by="TestAdam::test_betas_are_below_one",
        edge=True,
    ),
    Mistake(
        "a beta of 0 is refused",
        was="if not all(0 <= beta < 1 for beta in betas):",
        now="if not all(0 < beta < 1 for beta in betas):",
        caught_by="TestAdam::test_moments_follow_torch",
    ),
    # AdamW
    Mistake(
        "L2 decay in AdamW",
        was=ADAMW_DECAY + "\n                " + ADAMW_STEP,
        now=ADAM_LOOP.strip(),
        caught_by="TestAdamW::test_decay_is_taken_off_the_parameter",
    ),
    Mistake(
        "both kinds of decay",
        was=ADAMW_STEP,
        now='p -= group["lr"] * _adam_direction(p, p.grad + group["weight_decay"] * p, self.state, group)',
        caught_by="TestAdamW::test_decay_is_taken_off_the_parameter",
    ),
    Mistake(
        "decay after the step",
        was=ADAMW_DECAY + "\n                " + ADAMW_STEP,
        now=ADAMW_STEP + "\n                " + ADAMW_DECAY,
        caught_by="TestAdamW::test_decay_is_taken_off_the_parameter",
    ),
    Mistake(
        "decay without lr",
        was=ADAMW_DECAY,
        now='p *= 1 - group["weight_decay"]',
        caught_by="TestAdamW::test_decay_is_taken_off_the_parameter",
    ),
    Mistake(
        "decay with the rate of the first group",
        was=ADAMW_DECAY,
        now='p *= 1 - self.param_groups[0]["lr"] * group["weight_decay"]',
        caught_by="TestAdamW::test_groups_keep_their_own_settings",
    ),
    Mistake(
        "decay also without a gradient",
        was=ADAMW_DECAY,
        now="""for q in group["params"]:
                    if q is p or q.grad is None:
                        q *= 1 - group["lr"] * group["weight_decay"]""",
        caught_by="TestAdamW::test_a_parameter_without_gradient_is_left_alone",
    ),
    Mistake(
        "no decay by default in AdamW",
        was="weight_decay: float = 0.01,",
        now="weight_decay: float = 0.0,",
        caught_by="TestAdamW::test_param_groups_hold_every_hyperparameter",
    ),
    # decay_groups
    Mistake(
        "matrices do not decay",
        was=DECAYING,
        now=DECAYING.replace("p.ndim >= 2", "p.ndim > 2"),
        caught_by="test_two_dimensions_or_more_decay",
    ),
    Mistake(
        "convolution kernels do not decay",
        was=DECAYING,
        now=DECAYING.replace("p.ndim >= 2", "p.ndim == 2"),
        caught_by="test_two_dimensions_or_more_decay",
    ),
    Mistake(
        "everything decays",
        was=DECAYING,
        now=DECAYING.replace(" if p.ndim >= 2", ""),
        caught_by="test_two_dimensions_or_more_decay",
    ),
    Mistake(
        "names decide",
        was=DECAYING,
        now=DECAYING.replace(
            "[p for p in trainable if p.ndim >= 2]",
            '[p for n, p in model.named_parameters() if p.requires_grad and p.ndim >= 2 and not n.endswith("bias")]',
        ),
        caught_by="test_two_dimensions_or_more_decay",
    ),
    Mistake(
        "tied weights twice",
        was="for p in model.parameters() if p.requires_grad]",
        now="for _, p in model.named_parameters(remove_duplicate=False) if p.requires_grad]",
        caught_by="test_tied_weights_come_once",
    ),
    Mistake(
        "frozen parameters are listed",
        was="for p in model.parameters() if p.requires_grad]",
        now="for p in model.parameters()]",
        caught_by="test_frozen_parameters_are_in_neither",
    ),
    Mistake(
        "parameters out of order",
        was="trainable = [p for p in model.parameters() if p.requires_grad]",
        now="trainable = sorted((p for p in model.parameters() if p.requires_grad), key=lambda p: -p.numel())",
        caught_by="test_parameters_keep_their_order",
    ),
    Mistake(
        "empty groups left out",
        was="""    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]""",
        now="""    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]""",
        caught_by="test_a_list_may_be_empty",
    ),
    # StepLR
    Mistake(
        "the rate falls in every call",
        was=RATE,
        now='group["lr"] *= self.gamma',
        caught_by="test_rates_fall_every_step_size_epochs",
    ),
    Mistake(
        "one base rate for all groups",
        was=RATE,
        now='group["lr"] = self.base_lrs[0] * factor',
        caught_by="test_two_groups_follow_torch_for_10_epochs",
    ),
    Mistake(
        "a smooth fall",
        was="self.last_epoch // self.step_size",
        now="self.last_epoch / self.step_size",
        caught_by="test_rates_fall_every_step_size_epochs",
    ),
    Mistake(
        "counted after the rate was set",
        was="self.gamma ** (self.last_epoch // self.step_size)",
        now="self.gamma ** ((self.last_epoch - 1) // self.step_size)",
        caught_by="test_rates_fall_every_step_size_epochs",
    ),
    Mistake(
        "fallen rates taken for base rates",
        was='        self.base_lrs = list(state["base_lrs"])\n',
        now="",
        caught_by="test_a_resumed_run_goes_on_as_if_never_stopped",
    ),
    Mistake(
        "the epoch is not resumed",
        was='        self.last_epoch = state["last_epoch"]\n',
        now="",
        caught_by="test_a_resumed_run_goes_on_as_if_never_stopped",
    ),
    Mistake(
        "the state is the live dict",
        was='return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}',
        now="return self.__dict__",
        caught_by="test_a_saved_state_is_a_snapshot",
    ),
    Mistake(
        "get_last_lr gives the base rates",
        was='return [group["lr"] for group in self.optimizer.param_groups]',
        now="return list(self.base_lrs)",
        caught_by="test_get_last_lr_tells_the_rates",
    ),
    Mistake(
        "the schedule steps once when built",
        was="        self.last_epoch = 0\n",
        now="        self.last_epoch = -1\n        self.step()\n        self.last_epoch = 1\n",
        caught_by="test_building_it_changes_no_rate",
    ),
    Mistake(
        "reads the optimizer's defaults",
        was='self.base_lrs = [group["lr"] for group in optimizer.param_groups]',
        now='self.base_lrs = [group.get("lr", optimizer.defaults["lr"]) for group in optimizer.param_groups]',
        caught_by="test_param_groups_are_all_it_needs",
    ),
    Mistake(
        "step_size 0 goes through",
        was="if step_size < 1:",
        now="if step_size < 0:",
        caught_by="test_a_rate_holds_for_at_least_one_epoch",
        edge=True,
    ),
    # clip_grad_norm
    Mistake(
        "no minimum with 1",
        was=SCALE,
        now="    for g in gradients:\n        g.mul_(max_norm / total)",
        caught_by="test_short_gradients_are_not_stretched",
    ),
    Mistake(
        "each tensor clipped by itself",
        was=SCALE,
        now="    for g, norm in zip(gradients, norms):\n        g.mul_((max_norm / norm).clamp(max=1))",
        caught_by="test_all_gradients_shrink_by_one_factor",
    ),
    Mistake(
        "the sum of the norms",
        was=TOTAL,
        now="total = norms.sum()",
        caught_by="test_the_norm_is_that_of_all_gradients_together",
    ),
    Mistake(
        "the norms of norms are always squared",
        was=TOTAL,
        now="total = torch.linalg.vector_norm(norms)",
        caught_by="test_norm_types_follow_the_definition",
    ),
    Mistake(
        "the root is left out",
        was=TOTAL,
        now="total = norms.square().sum()",
        caught_by="test_the_norm_is_that_of_all_gradients_together",
    ),
    Mistake(
        "norm_type ignored",
        was=NORMS,
        now="norm_type = 2.0\n    " + NORMS,
        caught_by="test_norm_types_follow_the_definition",
    ),
    Mistake(
        "the norm after clipping",
        was=SCALE + "\n    return total",
        now=SCALE + "\n    return total.clamp(max=max_norm)",
        caught_by="test_the_returned_norm_is_the_one_before",
    ),
    Mistake(
        "new gradient tensors",
        was=SCALE,
        now="    if total > max_norm:\n        for p in params:\n            p.grad = p.grad * (max_norm / total)",
        caught_by="TestClipGradNorm::test_gradients_are_written_in_place",
    ),
    Mistake(
        "parameters scaled, not gradients",
        was=SCALE,
        now="    if total > max_norm:\n        for p in params:\n            p.data.mul_(max_norm / total)",
        caught_by="test_all_gradients_shrink_by_one_factor",
    ),
    Mistake(
        "a generator walked through twice",
        was="gradients = _gradients(params)\n    if not gradients:",
        now="_gradients(params)\n    gradients = _gradients(params)\n    if not gradients:",
        caught_by="TestClipGradNorm::test_params_may_be_a_generator",
    ),
    Mistake(
        "a single tensor taken for an iterable",
        was=GRADIENTS,
        now="    return [p.grad for p in params if p.grad is not None]",
        caught_by="TestClipGradNorm::test_params_may_be_one_tensor",
    ),
    Mistake(
        "None gradients crash",
        was=GRADIENTS,
        now=GRADIENTS.replace(" if p.grad is not None", ""),
        caught_by="TestClipGradNorm::test_parameters_without_gradient_are_passed_over",
    ),
    Mistake(
        "no gradient at all crashes",
        was="""    if not gradients:
        return torch.tensor(0.0)
""",
        now="",
        caught_by="TestClipGradNorm::test_without_any_gradient_the_norm_is_zero",
        edge=True,
    ),
    Mistake(
        "NaN is not taken for a wild norm",
        was="if error_if_nonfinite and not total.isfinite():",
        now="if error_if_nonfinite and total.isinf():",
        caught_by="test_a_wild_norm_is_an_error_on_request",
        edge=True,
    ),
    Mistake(
        "the error comes after the scaling",
        was="""    if error_if_nonfinite and not total.isfinite():
        raise RuntimeError(f"the norm of the gradients is {total.item()}")
"""
        + SCALE,
        now="""    for g in gradients:
        g.mul_((max_norm / total).clamp(max=1))
    if error_if_nonfinite and not total.isfinite():
        raise RuntimeError(f"the norm of the gradients is {total.item()}")""",
        caught_by="test_a_wild_norm_is_an_error_on_request",
        edge=True,
    ),
    Mistake(
        "a wild norm is always an error",
        was="if error_if_nonfinite and not total.isfinite():",
        now="if not total.isfinite():",
        caught_by="test_a_wild_norm_is_returned_unless_asked_otherwise",
    ),
    Mistake(
        "a limit of 0 goes through",
        was="if max_norm <= 0:",
        now="if max_norm < 0:",
        caught_by="TestClipGradNorm::test_the_limit_is_above_zero",
        edge=True,
    ),
    Mistake(
        "torch clips the norm",
        was="gradients = _gradients(params)\n    if not gradients:",
        now="gradients = []\n    return nn.utils.clip_grad_norm_(params, max_norm)\n    if not gradients:",
        caught_by="TestClipGradNorm::test_written_without_torchs_own",
    ),
    # clip_grad_value
    Mistake(
        "only the upper side is cut",
        was="g.clamp_(-clip_value, clip_value)",
        now="g.clamp_(max=clip_value)",
        caught_by="test_every_element_is_cut_off_at_the_limit",
    ),
    Mistake(
        "a clamped copy is thrown away",
        was="g.clamp_(-clip_value, clip_value)",
        now="g = g.clamp(-clip_value, clip_value)",
        caught_by="test_every_element_is_cut_off_at_the_limit",
    ),
    Mistake(
        "scaled to the largest element",
        was="g.clamp_(-clip_value, clip_value)",
        now="g.mul_(min(1.0, clip_value / g.abs().max()))",
        caught_by="test_every_element_is_cut_off_at_the_limit",
    ),
    Mistake(
        "clip_grad_value takes lists only",
        was="for g in _gradients(params):",
        now="len(params)\n    for g in _gradients(params):",
        caught_by="test_generators_and_single_tensors",
    ),
    Mistake(
        "a clip value of 0 goes through",
        was="if clip_value <= 0:",
        now="if clip_value < 0:",
        caught_by="TestClipGradValue::test_the_limit_is_above_zero",
        edge=True,
    ),
    # batch_size_schedule
    Mistake(
        "rounded to the nearest",
        was=SIZE,
        now="size = round(start + (end - start) * tokens_seen / ramp_tokens)",
        caught_by="test_sizes_are_rounded_down",
    ),
    Mistake(
        "the ramp begins at 0",
        was=SIZE,
        now="size = end * tokens_seen // ramp_tokens",
        caught_by="test_the_ramp_is_linear",
    ),
    Mistake(
        "multiple_of ignored",
        was="return max(start, size - size % multiple_of)",
        now="return size",
        caught_by="test_sizes_on_the_ramp_are_multiples",
    ),
    Mistake(
        "multiples rounded up",
        was="return max(start, size - size % multiple_of)",
        now="return -(-size // multiple_of) * multiple_of",
        caught_by="test_sizes_on_the_ramp_are_multiples",
    ),
    Mistake(
        "below the start",
        was="return max(start, size - size % multiple_of)",
        now="return size - size % multiple_of",
        caught_by="test_never_below_the_start",
    ),
    Mistake(
        "multiples counted from the start",
        was="return max(start, size - size % multiple_of)",
        now="return size - (size - start) % multiple_of",
        caught_by="test_never_below_the_start",
    ),
    Mistake(
        "the end is rounded, too",
        was="        return end\n",
        now="        return max(start, end - end % multiple_of)\n",
        caught_by="test_the_end_is_exact",
    ),
    Mistake(
        "no ramp divides by zero",
        was="if tokens_seen >= ramp_tokens:",
        now="if tokens_seen > ramp_tokens:",
        caught_by="test_without_a_ramp_it_is_the_end",
    ),
    Mistake(
        "sizes are floats",
        was=SIZE,
        now="size = (start + (end - start) * tokens_seen / ramp_tokens) // 1",
        caught_by="test_the_size_never_falls",
    ),
    Mistake(
        "a start above the end goes through",
        was="if not 1 <= start <= end:",
        now="if not 1 <= start:",
        caught_by="test_the_sizes_are_in_order",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="if nesterov and momentum == 0:",
        now="if nesterov and momentum <= 0:",
        reason="nothing is promised about a negative momentum",
    ),
    Equivalent(was="if momentum:", now="if True:", reason="with momentum 0 the buffer is the gradient of this step"),
    Equivalent(
        was='return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}',
        now='return {"last_epoch": self.last_epoch, "base_lrs": self.base_lrs}',
        reason="nothing writes into the list of base rates",
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
]
