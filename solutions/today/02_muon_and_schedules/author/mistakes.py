"""Wrong solutions of today/02 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
START = "x = g / g.norm().clamp(min=eps)"
COEFFICIENTS = "a, b, c = 3.4445, -4.7750, 2.0315"
ORIGINAL = "return math.sqrt(max(1, rows / columns))"
MATCHED = "return 0.2 * math.sqrt(max(rows, columns))"
IS_LINEAR = 'if isinstance(module, nn.Linear) and "lm_head" not in name.split("."):'
BUFFER = """buffer = self.state[p].setdefault(
                    "momentum_buffer", torch.zeros_like(p)
                )"""
SUMMED = "buffer.mul_(momentum).add_(p.grad)"
UPDATE = 'update = p.grad + momentum * buffer if group["nesterov"] else buffer'
SHRUNK = 'p.mul_(1 - lr * group["weight_decay"])'
SCALED = 'scale = shape_scale(p.shape, group["mode"])'
RISE = "return max_lr * (step + 1) / warmup_steps"
FALL = "u = max(0.0, (step - max_steps + decay_steps) / decay_steps)"
SQUARES = "squares = logits.logsumexp(dim=-1).square()"

MISTAKES = [
    Mistake(
        "not normalised",
        START,
        "x = g",
        "test_large_numbers_are_normalised_first",
        says="is not finite: singular values above 1 diverge",
    ),
    Mistake(
        "each row normalised",
        START,
        "x = g / g.norm(dim=1, keepdim=True).clamp(min=eps)",
        "test_equals_the_polynomial_of_the_singular_values",
        says="looks like each row divided by its own norm",
    ),
    Mistake(
        "the cubic's coefficients",
        COEFFICIENTS,
        "a, b, c = 1.5, -0.5, 0.0",
        "test_equals_the_polynomial_of_the_singular_values",
        says="looks like the coefficients 1.5 and −0.5 of the cubic iteration",
    ),
    Mistake(
        "an SVD, exactly orthogonal",
        START,
        "u, _, v = torch.linalg.svd(g, full_matrices=False)\n    return u @ v",
        "test_equals_the_polynomial_of_the_singular_values",
        says="looks like U Vᵀ itself, by an SVD: five steps do not arrive there",
    ),
    Mistake(
        "a tall matrix not transposed",
        "tall = g.size(0) > g.size(1)",
        "tall = False",
        "test_a_tall_matrix_is_transposed_first",
        says="a tensor of 1600 numbers was made on the way",
    ),
    Mistake(
        "columns by rows",
        ORIGINAL,
        "return math.sqrt(max(1, columns / rows))",
        "test_original_helps_tall_matrices",
        says="looks like I / O, not O / I",
    ),
    Mistake(
        "the mean of both sides",
        MATCHED,
        "return 0.2 * math.sqrt((rows + columns) / 2)",
        "test_match_rms_adamw_grows_with_the_longer_side",
        says="looks like the mean of both sides",
    ),
    Mistake(
        "every matrix for Muon",
        """return [p for p in trainable if p in hidden], [
        p for p in trainable if p not in hidden
    ]""",
        "return [p for p in trainable if p.ndim == 2], [p for p in trainable if "
        "p.ndim != 2]",
        "test_a_gpts_hidden_matrices_go_to_muon",
        says="went to Muon: a row without a gradient would be moved",
    ),
    Mistake(
        "an output layer of its own for Muon",
        IS_LINEAR,
        "if isinstance(module, nn.Linear):",
        "test_what_only_looks_like_a_hidden_matrix",
        says="lm_head.0.weight is below lm_head",
    ),
    Mistake(
        "frozen parameters too",
        """trainable = [
        parameter for parameter in model.parameters() if parameter.requires_grad
    ]""",
        "trainable = list(model.parameters())",
        "test_every_trainable_parameter_once",
        says="frozen, and yet in a list: frozen.bias, frozen.weight",
    ),
    Mistake(
        "the gradient itself as buffer",
        f"{BUFFER}\n                {SUMMED}",
        """if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = p.grad
                    buffer = p.grad
                else:
                    buffer = self.state[p]["momentum_buffer"]
                    buffer.mul_(momentum).add_(p.grad)""",
        "test_the_buffer_is_not_the_gradient",
        says="looks like the momentum was cleared with the gradient",
    ),
    Mistake(
        "one buffer for all parameters",
        BUFFER,
        'buffer = self.state["all"].setdefault("momentum_buffer", torch.zeros_like(p))',
        "test_each_parameter_has_its_own_momentum",
        says="of parameter 0 of 2 after 3 steps",
    ),
    Mistake(
        "momentum after orthogonalising",
        f"{SUMMED}\n                {UPDATE}",
        """buffer.mul_(momentum).add_(newton_schulz(p.grad, group["ns_steps"]))
                update = buffer""",
        "test_five_steps_equal_a_loop",
        says="differs",
    ),
    Mistake(
        "nesterov never",
        UPDATE,
        "update = buffer",
        "test_five_steps_equal_a_loop",
        says="looks like nesterov is not used",
    ),
    Mistake(
        "the decay times the scale",
        f"{SHRUNK}\n                {SCALED}",
        f"""{SCALED}
                p.mul_(1 - lr * scale * group["weight_decay"])""",
        "test_five_steps_equal_a_loop",
        says="looks like the decay was multiplied by the scale",
    ),
    Mistake(
        "the scale forgotten",
        SCALED,
        "scale = 1.0",
        "test_one_step_moves_every_direction_alike",
        says="looks like the scale is not used",
    ),
    Mistake(
        "the rate of the constructor",
        'lr, momentum = group["lr"], group["momentum"]',
        'lr, momentum = self.defaults["lr"], group["momentum"]',
        "test_settings_are_read_at_each_step",
        says="looks like the lr of the constructor",
    ),
    Mistake(
        "a warm-up that starts at 0",
        RISE,
        "return max_lr * step / warmup_steps",
        "test_up_flat_down",
        says="looks like a warm-up that starts at 0",
    ),
    Mistake(
        "a cosine without a flat part",
        FALL,
        "u = (1 - math.cos(math.pi * (step - warmup_steps) / (max_steps - "
        "warmup_steps))) / 2",
        "test_the_flat_part_does_not_depend_on_the_length",
        says="expected 0.5",
    ),
    Mistake(
        "u counted from the end",
        FALL,
        "u = (max_steps - step) / decay_steps if step > max_steps - decay_steps else "
        "0.0",
        "test_up_flat_down",
        says="looks like u counted from the end",
    ),
    Mistake(
        "the normaliser without the square",
        SQUARES,
        "squares = logits.logsumexp(dim=-1)",
        "test_the_mean_of_the_squared_normaliser",
        says="looks like without the square",
    ),
    Mistake(
        "ignored positions count",
        "squares = squares[targets != -100]",
        "squares = squares * (targets != -100)",
        "test_ignored_positions_do_not_count",
        says="looks like divided by the number of all positions",
    ),
    Mistake(
        "exp, then log, by hand",
        SQUARES,
        "squares = logits.exp().sum(dim=-1).log().square()",
        "test_large_logits_stay_finite",
        says="inf",
        edge=True,
    ),
    Mistake(
        "nesterov writes into the gradient",
        UPDATE,
        'update = p.grad.add_(buffer, alpha=momentum) if group["nesterov"] else buffer',
        "test_gradients_are_left_alone",
        says="grad after a step",
        edge=True,
    ),
    Mistake(
        "NaN for zeros",
        START,
        "x = g / g.norm()",
        "test_zeros_give_zeros",
        says="NaN",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="if step < warmup_steps:",
        now="if step < warmup_steps - 1:",
        reason="at its end the rise has come to max_lr",
        textbook=True,
    ),
    Equivalent(
        was="if step <= max_steps - decay_steps:",
        now="if step < max_steps - decay_steps:",
        reason="there u is 0, and the fall begins at max_lr",
        textbook=True,
    ),
    Equivalent(
        was="if step <= max_steps - decay_steps:",
        now="if step <= (max_steps - decay_steps) - 1:",
        reason="there u is 0, and the fall begins at max_lr",
        textbook=True,
    ),
    Equivalent(
        was="if step >= max_steps:",
        now="if step > max_steps:",
        reason="there u is 1, and the fall ends at min_lr",
        textbook=True,
    ),
    Equivalent(
        was="if step >= max_steps:",
        now="if step >= max_steps + 1:",
        reason="there u is 1, and the fall ends at min_lr",
        textbook=True,
    ),
]
