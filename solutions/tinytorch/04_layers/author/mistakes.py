"""Wrong solutions of tinytorch/04 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

NAMED_LOOP = """        for name, value in _leaves("", self):
            if isinstance(value, Parameter):"""
SET_MODE = """        for module in self.modules():
            module.training = mode
        return self"""
PRODUCT = "        y = x @ self.weight.T\n"
COPY = """    first.weight.data[:hidden] = W1
    first.bias.data[:hidden] = b1
    second.weight.data[:, :hidden] = W2
    second.bias.data[...] = b2
"""

MISTAKES = [
    # Parameter
    Mistake(
        "requires_grad is not passed on",
        was="super().__init__(data, requires_grad=requires_grad)",
        now="super().__init__(data)",
        caught_by="test_is_a_tensor_that_requires_a_gradient",
        says="requires_grad is False, expected True",
    ),
    # Module
    Mistake(
        "forward gets one argument: `*inputs` hands on all of them",
        was="return self.forward(*inputs)",
        now="return self.forward(inputs[0])",
        caught_by="test_passes_on_every_input",
        says="forward() missing 1 required positional argument: 'b'",
    ),
    Mistake(
        "parameters without recursion",
        was=NAMED_LOOP,
        now=NAMED_LOOP.replace('_leaves("", self)', "vars(self).items()"),
        caught_by="test_finds_those_of_inner_modules",
        says="looks like its own alone: inner modules are left out",
    ),
    Mistake(
        "names without the path",
        was='_leaves(f"{name}.{part}" if name else str(part), item)',
        now="_leaves(str(part), item)",
        caught_by="test_finds_those_of_inner_modules",
        says="looks like names without the path",
    ),
    Mistake(
        "every Tensor is a parameter",
        was=NAMED_LOOP,
        now="""        for name, value in vars(self).items():
            if isinstance(value, Tensor):""",
        caught_by="test_a_plain_tensor_is_no_parameter",
        says="expected 1 of them: ['weight']",
    ),
    Mistake(
        "a shared parameter is listed twice",
        was="found.setdefault(id(value), (name, value))",
        now="found[len(found)] = (name, value)",
        caught_by="test_a_shared_parameter_is_listed_once",
        says="expected 1 of them: ['one.weight']",
        edge=True,
    ),
    Mistake(
        "a module lists what is inside it, without itself",
        was="""if isinstance(value, Module)
            )
        )""",
        now="if isinstance(value, Module) and value is not self))",
        caught_by="test_itself_first",
        says="expected the module alone",
    ),
    Mistake(
        "train sets only the module itself",
        was=SET_MODE,
        now="        self.training = mode\n        return self",
        caught_by="test_reaches_every_module_inside",
        says="after train(False), `training` is not False of: inner, attribute",
    ),
    Mistake(
        "train sets the mode on the class",
        was="            module.training = mode\n",
        now="            type(module).training = mode\n",
        caught_by="test_another_module_keeps_its_mode",
        says="another module, which is not inside this one, was switched too",
    ),
    Mistake(
        "train returns nothing",
        was=SET_MODE,
        now=SET_MODE.replace("        return self", ""),
        caught_by="test_returns_the_module",
        says="train() should return the module itself",
    ),
    Mistake(
        "zeros instead of None",
        was="            parameter.grad = None",
        now="            parameter.grad = np.zeros_like(parameter.data)",
        caught_by="test_sets_every_gradient_to_none",
        says="every grad is an array of zeros, expected None",
    ),
    # Linear
    Mistake(
        "a weight of (in, out)",
        was="drawn(out_features, in_features)",
        now="drawn(in_features, out_features)",
        caught_by="test_a_weight_with_one_row_per_output_and_a_bias",
        says="looks like (in, out), exchanged",
    ),
    Mistake(
        "scaled by the outputs",
        was="in_features**-0.5",
        now="out_features**-0.5",
        caught_by="test_all_numbers_are_within_one_over_the_root_of_the_inputs",
        says="looks like scaled by the number of outputs",
    ),
    Mistake(
        "every layer seeds its own generator",
        was="rng, bound = get_rng(rng),",
        now="rng, bound = np.random.default_rng(0),",
        caught_by="TestLinearInit::test_the_generator_decides_every_number",
        says="two layers from one generator have the same weight",
    ),
    Mistake(
        "the weight not transposed",
        was=PRODUCT,
        now="        y = x @ self.weight\n",
        caught_by="test_a_weighted_sum_per_output",
        says="looks like x W + b: the weight was not transposed",
    ),
    Mistake(
        "computed from .data",
        was=PRODUCT,
        now="        y = Tensor(x.data @ self.weight.data.T)\n",
        caught_by="test_the_result_is_connected_to_x_weight_and_bias",
        says="no chain of announced operations leads from the output to x",
    ),
    Mistake(
        "batches only",
        was="        if x.ndim == 1:\n",
        now="        if x.ndim == 100:\n",
        caught_by="test_one_sample_alone",
        says="cannot multiply matrices of shapes (3,) and (3, 4)",
        edge=True,
    ),
    # Sequential
    Mistake(
        "the caller's own list",
        was="self.layers = list(layers)",
        now="self.layers = layers",
        caught_by="test_keeps_a_list_of_its_own",
        says="looks like the caller's own list is kept, and grows with it",
    ),
    Mistake(
        "every layer on the input",
        was="            x = layer(x)\n        return x",
        now="            y = layer(x)\n        return y",
        caught_by="test_applies_its_layers_in_order",
        says="looks like the last layer's result on the input alone",
    ),
    # Dropout
    Mistake(
        "what is left is not scaled",
        was="(kept / (1 - self.p))",
        now="(kept * 1.0)",
        caught_by="test_each_number_is_dropped_or_scaled",
        says="looks like what is left was not scaled",
    ),
    Mistake(
        "p is the probability to stay",
        was=">= self.p",
        now="< self.p",
        caught_by="test_each_number_is_dropped_or_scaled",
        says="It looks like p is the probability to stay",
    ),
    Mistake(
        "dropout is on in evaluation",
        was="if not self.training or self.p == 0:",
        now="if self.p == 0:",
        caught_by="test_evaluation_changes_nothing",
        says="looks like dropout is on in evaluation",
    ),
    # what it costs
    Mistake(
        "bias forgotten in the count",
        was="in_features * out_features + (out_features if bias else 0)",
        now="in_features * out_features",
        caught_by="test_of_one_layer",
        says="looks like the bias is not counted",
    ),
    # XOR
    Mistake(
        "arrays of another shape in place of p.data",
        was=COPY,
        now=(
            "    first.weight.data, first.bias.data, second.weight.data, "
            "second.bias.data = W1, b1, W2, b2\n"
        ),
        caught_by="test_the_network_and_its_parameters_stay_the_same_objects",
        says="shapes of the parameters",
    ),
    Mistake(
        "unused units keep their random weights",
        was="        parameter.data[...] = 0\n",
        now="        parameter.data[...] *= 1\n",
        caught_by="test_the_network_is_xor_exactly",
        says="numbers are left as they were drawn: in layers.0.weight",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="mask = self.rng.random(x.shape) > self.p",
        now="mask = self.rng.random(x.shape) >= self.p",
        reason="a number in 2⁵³ is p itself",
        textbook=True,
    ),
]
