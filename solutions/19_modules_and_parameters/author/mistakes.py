"""Wrong solutions of 19 that its specs must catch."""

import textwrap

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
MEAN = 'self.register_buffer("mean", torch.zeros(in_features))'
DETACHED = "self._take_in(x.detach().reshape(-1, self.in_features))"
CHAIN = """        for module in self:
            x = module(x)
"""
LINEAR = "nn.init.xavier_uniform_(module.weight, generator=generator)"
RESTORE = """        for module, training in modes.items():
            module.training = training
"""
REMOVE = """        for handle in handles:
            handle.remove()
"""
RUN = """            model.eval()(*inputs)
    except Exception as error:
        if running is None:
            raise
        name, shape = running
        raise RuntimeError(
            f"{name!r} failed on an input of shape {shape}: {error}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
"""
COPY = "                tensor.copy_(state[name])\n"
ONE_DICT = "if len(args) == 1 and isinstance(args[0], OrderedDict):"

MISTAKES = [
    # describe_state
    Mistake(
        "tied parameters listed twice",
        was="parameters = list(module.named_parameters())",
        now="parameters = [(n, p) for n, p in "
        "module.state_dict(keep_vars=True).items() if "
        "isinstance(p, nn.Parameter)]",
        caught_by="test_tied_weights_are_listed_once",
        says="head.weight is embed.weight, and listed again",
    ),
    Mistake(
        "transient buffers not found",
        was="[name for name in buffers if name not in saved]",
        now="[]",
        caught_by="test_non_persistent_buffers_are_transient",
        says="'transient' lacks mask, places.0.table",
    ),
    # StandardizedLinear
    Mistake(
        "mean is a plain tensor attribute",
        was=MEAN,
        now="self.mean = torch.zeros(in_features)",
        caught_by="test_statistics_follow_double",
        says="['mean'] got float32",
    ),
    Mistake(
        "mean is a Parameter",
        was=MEAN,
        now="self.mean = nn.Parameter(torch.zeros(in_features), requires_grad=False)",
        caught_by="test_weight_and_bias_are_parameters_and_the_statistics_are_not",
        says="more 'mean'",
    ),
    Mistake(
        "running average that ignores counts",
        was="self.mean += share * shift",
        now="self.mean.copy_((self.mean + rows.mean(dim=0)) / 2)",
        caught_by="test_the_first_batch_is_standardized_by_its_own_statistics",
        says="looks like the mean moves half way, whatever the counts",
    ),
    Mistake(
        "sample variance",
        was="spread = rows.var(dim=0, correction=0)",
        now="spread = rows.var(dim=0)",
        caught_by="test_the_first_batch_is_standardized_by_its_own_statistics",
        says="looks like sample variance: divided by one less than the number of rows",
    ),
    Mistake(
        "shift term missing",
        was="""self.var.copy_(
            (1 - share) * self.var
            + share * spread
            + share * (1 - share) * shift.square()
        )""",
        now="self.var.copy_((1 - share) * self.var + share * spread)",
        caught_by=(
            "test_two_batches_of_different_size_give_the_pooled_mean_and_variance"
        ),
        says=(
            "looks like the batch variances averaged by size: the distance of the "
            "means is missing"
        ),
    ),
    Mistake(
        "updates in eval mode too",
        was="if self.training and x.numel():",
        now="if x.numel():",
        caught_by="test_eval_does_not_touch_the_buffers",
        says="the buffers after eval",
    ),
    Mistake(
        "statistics not detached",
        was=DETACHED,
        now="self._take_in(x.reshape(-1, self.in_features))",
        caught_by="test_the_statistics_carry_no_graph",
        says="one graph gone back through twice",
    ),
    Mistake(
        "mean over dimension 0 only",
        was=DETACHED,
        now="self._take_in(x.detach() if x.ndim < 3 else x.detach()[:, 0])",
        caught_by="test_rows_are_all_leading_positions",
        says="looks like only the first position of each sequence",
    ),
    Mistake(
        "width not checked",
        was="if x.shape[-1] != self.in_features:",
        now="if False:",
        caught_by="TestStandardizedLinearForward::test_a_wrong_width_is_an_error",
        says="such as ValueError that mentions 1",
        edge=True,
    ),
    # containers
    Mistake(
        "forward over children()",
        was=CHAIN,
        now=CHAIN.replace("in self:", "in self.children():"),
        caught_by="TestSimpleSequential::test_a_repeated_module_runs_twice",
        says="looks like the repeated module ran only once",
    ),
    Mistake(
        "a subclass of nn.Sequential",
        was="class SimpleSequential(nn.Module):",
        now="class SimpleSequential(nn.Sequential):",
        caught_by="test_it_is_written_without_sequential",
        says="to be written without torch.nn.Sequential",
    ),
    Mistake(
        "modules that are not registered",
        was="self.add_module(str(len(self)), _checked(module))",
        now="self.__dict__.setdefault('layers', []).append(_checked(module))",
        caught_by="test_the_modules_are_registered_by_number",
        says="looks like the modules are in a plain list, which registers nothing",
    ),
    Mistake(
        "replacing moves to the end",
        was="self.add_module(key, _checked(module))",
        now=(
            "self._modules.pop(key, None)\n"
            "        self.add_module(key, _checked(module))"
        ),
        caught_by="test_replacing_keeps_the_position",
        says="looks like the new module is at the end",
    ),
    # init_weights
    Mistake(
        "new Parameter in place of the old",
        was=LINEAR,
        now="module.weight = nn.Parameter(torch.randn_like(module.weight) * 0.02)",
        caught_by="TestInitWeights::test_parameters_stay_the_same_objects",
        says="0.weight is another Parameter object than before",
    ),
    Mistake(
        "exact type of Linear",
        was="if isinstance(module, nn.Linear):",
        now="if type(module) is nn.Linear:",
        caught_by="test_subclasses_of_linear_count_as_linear",
        says="a weight of a subclass of nn.Linear is 9 still",
        edge=True,
    ),
    Mistake(
        "torch's global generator used or seeded",
        was=LINEAR,
        now="nn.init.xavier_uniform_(module.weight)",
        caught_by="test_all_draws_come_from_the_generator",
        says="the global generator has moved",
    ),
    # set_trainable
    Mistake(
        "prefix without the dot",
        was='return name == prefix or name.startswith(f"{prefix}.")',
        now="return name.startswith(prefix)",
        caught_by="test_layer1_does_not_cover_layer10",
        says="looks like a prefix without the dot behind it",
    ),
    Mistake(
        "gradients left on frozen parameters",
        was="            parameters[name].grad = None",
        now="            pass",
        caught_by="test_freezing_clears_the_gradients_covered",
        says="looks like gradients left on frozen parameters",
    ),
    # trace_shapes
    Mistake(
        "a dict by name",
        was="    return records\n",
        now="    return list({record.name: record for record in records}.values())\n",
        caught_by="test_records_are_in_call_order_with_repeats",
        says="looks like one record per name",
    ),
    Mistake(
        "hooks removed after the forward, not in finally",
        was=RUN,
        now=RUN.replace(REMOVE, "").replace(
            "inputs)\n", "inputs)\n" + textwrap.indent(REMOVE, "    ")
        ),
        caught_by="test_hooks_are_gone_and_flags_restored_after_an_error",
        says="hooks are left on the model after an error",
        edge=True,
    ),
    Mistake(
        "model.train() at the end",
        was=RESTORE,
        now="        model.train()\n",
        caught_by="test_every_module_gets_its_own_flag_back",
        says="looks like `model.train()` at the end",
        edge=True,
    ),
    # load_matching
    Mistake(
        "the memory of the given state, not a copy",
        was=COPY,
        now="                {**dict(model.named_parameters()), "
        "**dict(model.named_buffers())}[name].data = state[name].data\n",
        caught_by="test_no_memory_is_shared",
        says="norm.weight shares memory with the input",
    ),
    Mistake(
        "shapes not compared",
        was="elif state[name].shape != tensor.shape:",
        now="elif state[name].numel() > tensor.numel():",
        caught_by="test_another_shape_does_not_match",
        says="looks like the shapes are not compared",
    ),
]

EQUIVALENT = [
    Equivalent(
        was=ONE_DICT, now=ONE_DICT.replace("[0]", "[-1]"), reason="there is only one"
    ),
    Equivalent(
        was="named = args[0]", now="named = args[-1]", reason="there is only one"
    ),
    Equivalent(
        was="return self._modules.keys()",
        now="return self._modules",
        reason="iterating and asking a dict is asking its keys",
    ),
    Equivalent(
        was="share = len(rows) / int(self.count)",
        now="share = len(rows) / self.count",
        reason=(
            "the quotient is a float32 tensor then, which a layer in float64 notices "
            "in the eighth digit"
        ),
    ),
    Equivalent(
        was="with torch.no_grad():",
        now="with torch.enable_grad():",
        reason=(
            "in load_matching, where the tensors of state_dict() are detached "
            "already; elsewhere it is caught"
        ),
    ),
    Equivalent(
        was="if len(args) == 1 and isinstance(args[0], OrderedDict):",
        now="if len(args) == 1 and isinstance(args[-1], OrderedDict):",
        reason="there is one argument",
        textbook=True,
    ),
    Equivalent(
        was="for name, module in args[0].items():",
        now="for name, module in args[-1].items():",
        reason="there is one argument",
        textbook=True,
    ),
]
