"""Wrong solutions of 19 that its specs must catch."""

import textwrap

from tests.course.variants import Equivalent, Mistake

# Lines of the reference that several mistakes change.
MEAN = 'self.register_buffer("mean", torch.zeros(in_features))'
TAKE_IN = "if self.training and x.numel():"
DETACHED = "self._take_in(x.detach().reshape(-1, self.in_features))"
SPREAD = "spread = rows.var(dim=0, correction=0)"
VAR = "self.var.copy_((1 - share) * self.var + share * spread + share * (1 - share) * shift.square())"
CHAIN = """        for module in self:
            x = module(x)
"""
LINEAR = "nn.init.xavier_uniform_(module.weight, generator=generator)"
NORMAL = "nn.init.normal_(module.weight, std=embedding_std, generator=generator)"
COVERS = 'return name == prefix or name.startswith(f"{prefix}.")'
COVERED = "covered = [name for name in parameters if any(_covers(prefix, name) for prefix in prefixes)]"
RESTORE = """        for module, training in modes.items():
            module.training = training
"""
REMOVE = """        for handle in handles:
            handle.remove()
"""
RUN = f"""            model.eval()(*inputs)
    except Exception as error:
        if running is None:
            raise
        name, shape = running
        raise RuntimeError(f"{{name!r}} failed on an input of shape {{shape}}: {{error}}") from error
    finally:
{REMOVE}"""
COPY = "                tensor.copy_(state[name])\n"
SAVED = "saved = module.state_dict()"
APPEND = "self.add_module(str(len(self)), _checked(module))"
ASSIGN = "self.add_module(key, _checked(module))"
LIST_INIT = """        for module in modules or ():
            self.append(module)
"""

MISTAKES = [
    # describe_state
    Mistake(
        "parameters taken from state_dict()",
        was="parameters = list(module.named_parameters())",
        now="parameters = [(n, p) for n, p in module.state_dict(keep_vars=True).items() if "
        "isinstance(p, nn.Parameter)]",
        caught_by="test_tied_weights_are_listed_once",
    ),
    Mistake(
        "tied tensors not removed",
        was="parameters = list(module.named_parameters())",
        now="parameters = list(module.named_parameters(remove_duplicate=False))",
        caught_by="test_tied_weights_are_listed_once",
    ),
    Mistake(
        "buffers of a repeated module listed twice",
        was="in module.named_buffers()]",
        now="in module.named_buffers(remove_duplicate=False)]",
        caught_by="TestDescribeState::test_a_module_used_twice_is_listed_once",
    ),
    Mistake(
        "only the root's own transient buffers recognised",
        was=SAVED,
        now="saved = {n for n, _ in module.named_buffers()} - module._non_persistent_buffers_set",
        caught_by="test_non_persistent_buffers_are_transient",
    ),
    Mistake(
        "transient decided by the last part of the name",
        was=SAVED,
        now="last = {n for m in module.modules() for n in m._non_persistent_buffers_set}\n"
        "    saved = {n for n, _ in module.named_buffers() if n.split('.')[-1] not in last}",
        caught_by="test_a_saved_buffer_may_share_its_last_name_with_a_transient_one",
    ),
    Mistake(
        "frozen parameters counted as trainable",
        was='"trainable": [name for name, parameter in parameters if parameter.requires_grad],',
        now='"trainable": [name for name, parameter in parameters],',
        caught_by="test_frozen_parameters_stand_apart",
    ),
    Mistake(
        "names sorted",
        was="parameters = list(module.named_parameters())",
        now="parameters = sorted(module.named_parameters(), key=lambda pair: pair[0])",
        caught_by="test_parameters_have_dotted_names",
    ),
    # StandardizedLinear
    Mistake(
        "mean is a plain tensor attribute",
        was=MEAN,
        now="self.mean = torch.zeros(in_features)",
        caught_by="test_statistics_survive_a_state_dict_round_trip_and_go_on_identically",
    ),
    Mistake(
        "mean does not follow double()",
        was=MEAN,
        now="self.mean = torch.zeros(in_features)",
        caught_by="test_statistics_follow_double",
    ),
    Mistake(
        "mean is a Parameter",
        was=MEAN,
        now="self.mean = nn.Parameter(torch.zeros(in_features), requires_grad=False)",
        caught_by="test_weight_and_bias_are_parameters_and_the_statistics_are_not",
    ),
    Mistake(
        "statistics not persistent",
        was='self.register_buffer("var", torch.ones(in_features))',
        now='self.register_buffer("var", torch.ones(in_features), persistent=False)',
        caught_by="test_weight_and_bias_are_parameters_and_the_statistics_are_not",
    ),
    Mistake(
        "count is not registered",
        was='self.register_buffer("count", torch.tensor(0))',
        now='object.__setattr__(self, "count", torch.tensor(0))',
        caught_by="test_statistics_survive_a_state_dict_round_trip_and_go_on_identically",
    ),
    Mistake(
        "count is a float",
        was='self.register_buffer("count", torch.tensor(0))',
        now='self.register_buffer("count", torch.tensor(0.0))',
        caught_by="test_weight_and_bias_are_parameters_and_the_statistics_are_not",
    ),
    Mistake(
        "bias stays registered as zeros without bias",
        was='self.register_parameter("bias", None)',
        now='self.register_buffer("bias", torch.zeros(out_features))',
        caught_by="test_without_bias",
    ),
    Mistake(
        "running average that ignores counts",
        was="self.mean += share * shift",
        now="self.mean.copy_((self.mean + rows.mean(dim=0)) / 2)",
        caught_by="test_two_batches_of_different_size_give_the_pooled_mean_and_variance",
    ),
    Mistake(
        "sample variance",
        was=SPREAD,
        now="spread = rows.var(dim=0)",
        caught_by="test_the_first_batch_is_standardized_by_its_own_statistics",
    ),
    Mistake(
        "shift term missing",
        was=VAR,
        now="self.var.copy_((1 - share) * self.var + share * spread)",
        caught_by="test_two_batches_of_different_size_give_the_pooled_mean_and_variance",
    ),
    Mistake(
        "mean updated before the shift is taken",
        was="        shift = rows.mean(dim=0) - self.mean\n",
        now="        self.mean += share * (rows.mean(dim=0) - self.mean)\n"
        "        shift = rows.mean(dim=0) - self.mean\n",
        caught_by="test_two_batches_of_different_size_give_the_pooled_mean_and_variance",
    ),
    Mistake(
        "momentum in place of counts",
        was="share = len(rows) / int(self.count)",
        now="share = 0.1",
        caught_by="test_the_first_batch_is_standardized_by_its_own_statistics",
    ),
    Mistake(
        "updates in eval mode too",
        was=TAKE_IN,
        now="if x.numel():",
        caught_by="test_eval_does_not_touch_the_buffers",
    ),
    Mistake(
        "batch statistics used in eval mode",
        was="standardized = (x - self.mean)",
        now="standardized = (x - (self.mean if self.training else x.mean(0)))",
        caught_by="test_eval_does_not_touch_the_buffers",
    ),
    Mistake(
        "statistics not detached",
        was=DETACHED,
        now="self._take_in(x.reshape(-1, self.in_features))",
        caught_by="test_the_statistics_carry_no_graph",
    ),
    Mistake(
        "gradient through the batch mean",
        was="standardized = (x - self.mean)",
        now="standardized = (x - x.reshape(-1, self.in_features).mean(0) + x.detach().reshape(-1, self.in_features)"
        ".mean(0) - self.mean)",
        caught_by="test_input_gradient_treats_statistics_as_constants",
    ),
    Mistake(
        "the whole input detached",
        was="standardized = (x - self.mean)",
        now="standardized = (x.detach() - self.mean)",
        caught_by="test_input_gradient_treats_statistics_as_constants",
    ),
    Mistake(
        "mean over dimension 0 only",
        was=DETACHED,
        now="self._take_in(x.detach() if x.ndim < 3 else x.detach()[:, 0])",
        caught_by="test_rows_are_all_leading_positions",
    ),
    Mistake(
        "eps outside of the root",
        was="torch.sqrt(self.var + self.eps)",
        now="(torch.sqrt(self.var) + self.eps)",
        caught_by="test_the_first_batch_is_standardized_by_its_own_statistics",
    ),
    Mistake(
        "standardized before the update",
        was=f"        {TAKE_IN}\n            {DETACHED}\n"
        f"        standardized = (x - self.mean) / torch.sqrt(self.var + self.eps)\n",
        now=f"        standardized = (x - self.mean) / torch.sqrt(self.var + self.eps)\n        {TAKE_IN}\n"
        f"            {DETACHED}\n",
        caught_by="test_the_first_batch_is_standardized_by_its_own_statistics",
    ),
    Mistake(
        "an empty batch divides by zero",
        was=TAKE_IN,
        now="if self.training:",
        caught_by="test_a_batch_without_rows_changes_nothing",
    ),
    Mistake(
        "width not checked",
        was="if x.shape[-1] != self.in_features:",
        now="if False:",
        caught_by="TestStandardizedLinear::test_a_wrong_width_is_an_error",
    ),
    Mistake(
        "bound of Kaiming's, without the root",
        was="bound = 1 / math.sqrt(in_features)",
        now="bound = 1 / in_features",
        caught_by="test_weight_and_bias_are_uniform_in_their_bounds",
    ),
    Mistake(
        "normal weights",
        was="weight = torch.empty(out_features, in_features).uniform_(-bound, bound, generator=generator)",
        now="weight = torch.empty(out_features, in_features).normal_(0, bound, generator=generator)",
        caught_by="test_weight_and_bias_are_uniform_in_their_bounds",
    ),
    Mistake(
        "bias from the global generator",
        was="self.bias = nn.Parameter(torch.empty(out_features).uniform_(-bound, bound, generator=generator))",
        now="self.bias = nn.Parameter(torch.empty(out_features).uniform_(-bound, bound))",
        caught_by="test_weights_are_drawn_from_the_generator_only",
    ),
    Mistake(
        "x standardized in place",
        was="standardized = (x - self.mean) / torch.sqrt(self.var + self.eps)",
        now="standardized = x.sub_(self.mean).div_(torch.sqrt(self.var + self.eps))",
        caught_by="test_a_transposed_input_stays_as_it_was",
    ),
    # SimpleSequential
    Mistake(
        "forward over children()",
        was=CHAIN,
        now=CHAIN.replace("in self:", "in self.children():"),
        caught_by="TestSimpleSequential::test_a_repeated_module_runs_twice",
    ),
    Mistake(
        "forward over modules()",
        was=CHAIN,
        now=CHAIN.replace("in self:", "in list(self.modules())[1:]:"),
        caught_by="TestSimpleSequential::test_a_repeated_module_runs_twice",
    ),
    Mistake(
        "modules kept in a Python list",
        was="            self.add_module(name, _checked(module))\n\n"
        "    def forward(self, x: Tensor) -> Tensor:\n" + CHAIN,
        now="            self.__dict__.setdefault('layers', []).append(_checked(module))\n\n"
        "    def forward(self, x: Tensor) -> Tensor:\n" + CHAIN.replace("in self:", "in self.layers:"),
        caught_by="test_state_dict_keys_equal_those_of_sequential",
    ),
    Mistake(
        "every module gets the first input",
        was="            x = module(x)\n        return x\n",
        now="            y = module(x)\n        return y\n",
        caught_by="test_each_module_gets_what_the_one_before_returned",
    ),
    Mistake(
        "names of the OrderedDict dropped",
        was="            named = args[0]\n",
        now="            named = {str(i): module for i, module in enumerate(args[0].values())}\n",
        caught_by="test_named_modules_are_attributes",
    ),
    Mistake(
        "names with a prefix",
        was="named = {str(i): module for i, module in enumerate(args)}",
        now='named = {f"layer{i}": module for i, module in enumerate(args)}',
        caught_by="test_state_dict_keys_equal_those_of_sequential",
    ),
    Mistake(
        "index taken for a name",
        was="        chosen = list(self)[index]\n"
        "        return SimpleSequential(*chosen) if isinstance(index, slice) else chosen",
        now="        if isinstance(index, int):\n            return self._modules[str(index % len(self))]\n"
        "        return SimpleSequential(*list(self)[index])",
        caught_by="TestSimpleSequential::test_indices_count_from_either_end",
    ),
    Mistake(
        "a slice is a plain list",
        was="return SimpleSequential(*chosen) if isinstance(index, slice) else chosen",
        now="return chosen",
        caught_by="test_a_slice_is_a_chain_of_the_same_modules",
    ),
    Mistake(
        "None let through by add_module",
        was="self.add_module(name, _checked(module))",
        now="self.add_module(name, module)",
        caught_by="TestSimpleSequential::test_only_modules_may_be_in_it",
    ),
    # SimpleModuleList
    Mistake(
        "modules kept in a Python list",
        was=APPEND,
        now="self.__dict__.setdefault('layers', []).append(_checked(module))",
        caught_by="test_the_modules_are_registered_by_number",
    ),
    Mistake(
        "length of the iterable asked for",
        was=LIST_INIT,
        now="        for i in range(len(modules or ())):\n            self.append(modules[i])\n",
        caught_by="test_it_takes_any_iterable_or_nothing",
    ),
    Mistake(
        "append returns nothing",
        was=f"        {APPEND}\n        return self\n",
        now=f"        {APPEND}\n",
        caught_by="test_append_adds_at_the_end_and_returns_the_list",
    ),
    Mistake(
        "a repeated object is put in once",
        was=APPEND,
        now="if module not in list(self):\n            " + APPEND,
        caught_by="TestSimpleModuleList::test_the_same_object_may_be_in_it_twice",
    ),
    Mistake(
        "a slice is a plain list",
        was="return SimpleModuleList(chosen) if isinstance(index, slice) else chosen",
        now="return chosen",
        caught_by="test_a_slice_is_a_list_of_the_same_modules",
    ),
    # SimpleModuleDict
    Mistake(
        "replacing moves to the end",
        was=ASSIGN,
        now="self._modules.pop(key, None)\n        " + ASSIGN,
        caught_by="test_replacing_keeps_the_position",
    ),
    Mistake(
        "missing key looked up as an attribute",
        was="return self._modules[key]",
        now="return getattr(self, key)",
        caught_by="TestSimpleModuleDict::test_a_missing_key_is_an_error",
    ),
    Mistake(
        "hasattr for in",
        was="return key in self._modules",
        now="return hasattr(self, key)",
        caught_by="test_in_asks_for_keys",
    ),
    Mistake(
        "values skip repeats",
        was="return self._modules.values()",
        now="return list(self.children())",
        caught_by="test_the_same_object_may_have_two_keys",
    ),
    # init_weights
    Mistake(
        "new Parameter in place of the old",
        was=LINEAR,
        now="module.weight = nn.Parameter(torch.randn_like(module.weight) * 0.02)",
        caught_by="TestInitWeights::test_parameters_stay_the_same_objects",
    ),
    Mistake(
        "exact type of Linear",
        was="if isinstance(module, nn.Linear):",
        now="if type(module) is nn.Linear:",
        caught_by="test_subclasses_of_linear_count_as_linear",
    ),
    Mistake(
        "Xavier-normal",
        was=LINEAR,
        now="nn.init.xavier_normal_(module.weight, generator=generator)",
        caught_by="test_linear_weights_are_xavier_uniform",
    ),
    Mistake(
        "Kaiming-uniform",
        was=LINEAR,
        now="nn.init.kaiming_uniform_(module.weight, generator=generator)",
        caught_by="test_linear_weights_are_xavier_uniform",
    ),
    Mistake(
        "linear weights from the global generator",
        was=LINEAR,
        now="nn.init.xavier_uniform_(module.weight)",
        caught_by="test_all_draws_come_from_the_generator",
    ),
    Mistake(
        "embeddings from the global generator",
        was=NORMAL,
        now="nn.init.normal_(module.weight, std=embedding_std)",
        caught_by="test_all_draws_come_from_the_generator",
    ),
    Mistake(
        "seed taken by the global generator",
        was="    return model.apply(initialise)",
        now="    if generator is not None:\n        torch.manual_seed(generator.initial_seed())\n"
        "        generator = None\n"
        "    return model.apply(initialise)",
        caught_by="test_all_draws_come_from_the_generator",
    ),
    Mistake(
        "padding row overwritten",
        was="if module.padding_idx is not None:",
        now="if False:",
        caught_by="test_the_padding_row_is_zero",
    ),
    Mistake(
        "padding row 0 taken for none",
        was="if module.padding_idx is not None:",
        now="if module.padding_idx:",
        caught_by="test_the_padding_row_is_zero",
    ),
    Mistake(
        "embedding_std ignored",
        was=NORMAL,
        now="nn.init.normal_(module.weight, std=0.02, generator=generator)",
        caught_by="test_embeddings_are_normal",
    ),
    Mistake(
        "every module with a weight",
        was="elif isinstance(module, nn.LayerNorm):",
        now='elif hasattr(module, "weight"):',
        caught_by="test_other_layers_stay_as_they_are",
    ),
    Mistake(
        "direct children only",
        was="    return model.apply(initialise)",
        now="    for module in [model, *model.children()]:\n        initialise(module)\n    return model",
        caught_by="test_every_depth_is_reached_and_the_model_comes_back",
    ),
    Mistake(
        "model not returned",
        was="    return model.apply(initialise)",
        now="    model.apply(initialise)",
        caught_by="test_every_depth_is_reached_and_the_model_comes_back",
    ),
    # set_trainable
    Mistake(
        "prefix without the dot",
        was=COVERS,
        now="return name.startswith(prefix)",
        caught_by="test_layer1_does_not_cover_layer10",
    ),
    Mistake(
        "single parameters not covered",
        was=COVERS,
        now='return name.startswith(f"{prefix}.")',
        caught_by="test_a_prefix_may_be_a_deeper_part_or_a_single_parameter",
    ),
    Mistake(
        "first part of the name compared",
        was=COVERS,
        now='return name.split(".")[0] == prefix',
        caught_by="test_a_prefix_may_be_a_deeper_part_or_a_single_parameter",
    ),
    Mistake(
        "order of the prefixes, with repeats",
        was=COVERED,
        now="covered = [name for prefix in prefixes for name in parameters if _covers(prefix, name)]",
        caught_by="test_names_come_in_the_models_order_without_repeats",
    ),
    Mistake(
        "[] means all",
        was="    if prefixes is not None:\n",
        now="    if prefixes:\n",
        caught_by="test_an_empty_list_covers_nothing",
    ),
    Mistake(
        "gradients left on frozen parameters",
        was="            parameters[name].grad = None",
        now="            pass",
        caught_by="test_freezing_clears_the_gradients_covered",
    ),
    Mistake(
        "gradients of the whole model cleared",
        was="            parameters[name].grad = None",
        now="            model.zero_grad()",
        caught_by="test_freezing_clears_the_gradients_covered",
    ),
    Mistake(
        "thawing clears gradients",
        was="        if not trainable:\n            parameters[name].grad = None",
        now="        parameters[name].grad = None",
        caught_by="test_thawing_leaves_gradients_alone",
    ),
    Mistake(
        "always frozen",
        was="parameters[name].requires_grad = trainable",
        now="parameters[name].requires_grad = False",
        caught_by="test_all_parameters_are_frozen_and_thawed",
    ),
    Mistake(
        "frozen parts put in eval mode",
        was="    return covered\n",
        now="    for name in covered:\n        model.get_submodule(name.rpartition('.')[0]).train(trainable)\n"
        "    return covered\n",
        caught_by="test_parameters_and_modes_stay",
    ),
    Mistake(
        "a str taken for letters",
        was="if isinstance(prefixes, str):",
        now="if False:",
        caught_by="test_a_str_is_refused",
    ),
    Mistake(
        "frozen while prefixes are still being checked",
        was='                raise ValueError(f"no parameter is called {prefix!r} or lies below it")\n',
        now='                raise ValueError(f"no parameter is called {prefix!r} or lies below it")\n'
        "            for name in parameters:\n                if _covers(prefix, name):\n"
        "                    parameters[name].requires_grad = trainable\n",
        caught_by="test_a_prefix_that_covers_nothing_is_refused",
    ),
    # trace_shapes
    Mistake(
        "a dict by name",
        was="    return records\n",
        now="    return list({record.name: record for record in records}.values())\n",
        caught_by="test_records_are_in_call_order_with_repeats",
    ),
    Mistake(
        "order of registration",
        was="    return records\n",
        now="    return sorted(records, key=lambda record: list(names.values()).index(record.name))\n",
        caught_by="test_records_are_in_call_order_with_repeats",
    ),
    Mistake(
        "containers recorded too",
        was=" for name, module in model.named_modules() if not list(module.children())}",
        now=" for name, module in model.named_modules()}",
        caught_by="test_each_leaf_has_a_record",
    ),
    Mistake(
        "the model itself is never a leaf",
        was="if not list(module.children())}",
        now="if name and not list(module.children())}",
        caught_by="test_a_model_may_be_a_leaf_itself",
    ),
    Mistake(
        "hooks removed after the forward, not in finally",
        was=RUN,
        now=RUN.replace(REMOVE, "").replace("inputs)\n", "inputs)\n" + textwrap.indent(REMOVE, "    ")),
        caught_by="test_hooks_are_gone_and_flags_restored_after_an_error",
    ),
    Mistake(
        "hooks never removed",
        was=REMOVE,
        now="",
        caught_by="test_hooks_are_gone_and_those_of_others_stay",
    ),
    Mistake(
        "hooks of others removed too",
        was=REMOVE,
        now="        for leaf in names:\n            leaf._forward_hooks.clear()\n"
        "            leaf._forward_pre_hooks.clear()\n",
        caught_by="test_hooks_are_gone_and_those_of_others_stay",
    ),
    Mistake(
        "model.train() at the end",
        was=RESTORE,
        now="        model.train()\n",
        caught_by="test_every_module_gets_its_own_flag_back",
    ),
    Mistake(
        "the model's flag given to all its parts",
        was=RESTORE,
        now="        model.train(modes[model])\n",
        caught_by="test_every_module_gets_its_own_flag_back",
    ),
    Mistake(
        "runs in training mode",
        was="model.eval()(*inputs)",
        now="model(*inputs)",
        caught_by="test_running_statistics_are_unchanged",
    ),
    Mistake(
        "runs with gradients",
        was="        with torch.no_grad():\n            model.eval()",
        now="        with torch.enable_grad():\n            model.eval()",
        caught_by="test_it_runs_in_eval_mode_without_gradients",
    ),
    Mistake(
        "the last layer that ran is blamed",
        was="        running = None\n\n    handles",
        now="\n    handles",
        caught_by="test_an_error_outside_of_a_leaf_comes_through",
    ),
    Mistake(
        "only RuntimeErrors explained",
        was="except Exception as error:",
        now="except RuntimeError as error:",
        caught_by="test_a_leaf_may_raise_any_kind_of_error",
    ),
    Mistake(
        "cause suppressed",
        was='{error}") from error',
        now='{error}") from None',
        caught_by="test_the_failing_layer_and_its_input_shape_are_named",
    ),
    Mistake(
        "shapes are torch.Size",
        was="return tuple(value.shape)",
        now="return value.shape",
        caught_by="test_each_leaf_has_a_record",
    ),
    # load_matching
    Mistake(
        "p.data = state[name]",
        was=COPY,
        now="                {**dict(model.named_parameters()), "
        "**dict(model.named_buffers())}[name].data = state[name].data\n",
        caught_by="test_no_memory_is_shared",
    ),
    Mistake(
        "p.data = a copy of state[name]",
        was=COPY,
        now="                {**dict(model.named_parameters()), "
        "**dict(model.named_buffers())}[name].data = state[name].data.clone()\n",
        caught_by="test_the_models_dtype_is_kept",
    ),
    Mistake(
        "load_state_dict with assign",
        was=COPY,
        now="                model.load_state_dict({name: "
        "state[name].detach().clone().to(tensor.dtype)}, strict=False, assign=True)\n",
        caught_by="TestLoadMatching::test_parameters_stay_the_same_objects",
    ),
    Mistake(
        "parameters only",
        was="own = model.state_dict()",
        now="own = {name: parameter.detach() for name, parameter in model.named_parameters()}",
        caught_by="test_parameters_and_buffers_are_loaded",
    ),
    Mistake(
        "transient buffers counted",
        was="own = model.state_dict()",
        now="own = {**model.state_dict(), **dict(model.named_buffers())}",
        caught_by="test_buffers_that_are_not_saved_are_not_missing",
    ),
    Mistake(
        "as many numbers counted as the same shape",
        was="elif state[name].shape != tensor.shape:",
        now="elif state[name].numel() != tensor.numel():",
        caught_by="test_as_many_numbers_in_another_shape_do_not_match",
    ),
    Mistake(
        "broadcast instead of mismatched",
        was="elif state[name].shape != tensor.shape:",
        now="elif state[name].ndim != tensor.ndim or any(a not in (1, b) for a, b in "
        "zip(state[name].shape, tensor.shape)):",
        caught_by="test_what_does_not_match_stays",
    ),
    Mistake(
        "mismatched counted as missing too",
        was="                report.mismatched.append(name)\n",
        now="                report.mismatched.append(name)\n                report.missing.append(name)\n",
        caught_by="test_every_name_is_reported_once",
    ),
    Mistake(
        "unexpected names in a set's order",
        was="[name for name in state if name not in own]",
        now="sorted(set(state) - set(own), reverse=True)",
        caught_by="test_every_name_is_reported_once",
    ),
    Mistake(
        "loaded names popped from the state",
        was="                report.loaded.append(name)\n",
        now="                report.loaded.append(name)\n                state.pop(name)\n",
        caught_by="test_the_state_stays_as_it_was",
    ),
]

ONE_DICT = "if len(args) == 1 and isinstance(args[0], OrderedDict):"

EQUIVALENT = [
    Equivalent(was=ONE_DICT, now=ONE_DICT.replace("[0]", "[-1]"), reason="there is only one"),
    Equivalent(was="named = args[0]", now="named = args[-1]", reason="there is only one"),
    Equivalent(
        was="return self._modules.keys()",
        now="return self._modules",
        reason="iterating and asking a dict is asking its keys",
    ),
    Equivalent(
        was="share = len(rows) / int(self.count)",
        now="share = len(rows) / self.count",
        reason="the quotient is a float32 tensor then, which a layer in float64 notices in the eighth digit",
    ),
    Equivalent(
        was="with torch.no_grad():",
        now="with torch.enable_grad():",
        reason="in load_matching, where the tensors of state_dict() are detached already; elsewhere it is caught",
    ),
]
