"""Wrong solutions of today/12 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

HOOK = """hooks.enter_context(
                _removed(model.get_submodule(name).register_forward_hook(keep_as(name)))
            )"""
KEPT = "cache[name] = output.detach()"
COLUMNS = "columns = attn.c_proj.weight.unflatten(1, (z.size(1), -1))  # (C, H, D)"
PARTS = 'return torch.einsum("bhtd,chd->bhtc", z, columns)'
STD = "std = (total.var(dim=-1, unbiased=False, keepdim=True) + norm.eps).sqrt()"
CENTRED = "centred = stacked - stacked.mean(dim=-1, keepdim=True)"
SHARES = "return (centred / std * norm.weight * direction).sum(dim=-1)"
EARLIER = "earlier = (tokens.unsqueeze(2) == tokens.unsqueeze(1)).tril(-1)"
FOUND = "found = (weights[..., 1:] * earlier[:, None, :, :-1]).sum(dim=-1)  # (B, H, T)"
SCORE = "return found.sum(dim=(0, 2)) / earlier.any(dim=-1).sum().clamp(min=1)"
INPUTS = "inputs: list[Tensor] = []"
PATCHED = """found = _one_head_at_a_time(
            model, corrupt, metric, lambda layer, z: inputs[layer]
        )"""
RESTORED = "return (found - worst) / (best - worst)"
OUTSIDE = "return (predict(features[~train]) == labels[~train]).double().mean().item()"
ANSWERS = "return right(labels), right(labels[drawn][types])"
MEAN = '"mean": lambda layer, z: z.mean(dim=(0, 1)).expand_as(z),'
LOST = """return metric(model(tokens)[0]) - _one_head_at_a_time(
            model, tokens, metric, ways[how]
        )"""
CODES = "codes = ((x - self.bias) @ self.encoder.T).relu()"
UNIT = "self.decoder.copy_(nn.functional.normalize(self.decoder, dim=1))"

MISTAKES = [
    Mistake(
        "the name of the last module for all hooks",
        HOOK,
        "keep = lambda module, args, output: cache.__setitem__(name, output.detach())\n"
        "            "
        "hooks.enter_context(_removed(model.get_submodule(name)."
        "register_forward_hook(keep)))",
        "test_what_each_module_returns",
        says="looks like hooks that all use the last name of the loop",
    ),
    Mistake(
        "hooks stay",
        HOOK,
        "model.get_submodule(name).register_forward_hook(keep_as(name))",
        "TestRunWithCache::test_no_hook_is_left",
        says="looks like handles without remove()",
    ),
    Mistake(
        "what goes in is kept",
        KEPT,
        "cache[name] = args[0].detach()",
        "test_what_each_module_returns",
        says="looks like what goes into the modules, not what comes out",
    ),
    Mistake(
        "entries keep their graph",
        KEPT,
        "cache[name] = output",
        "test_entries_have_no_graph_and_logits_do",
        says="looks like kept without detach()",
    ),
    Mistake(
        "rows of c_proj",
        COLUMNS,
        "columns = attn.c_proj.weight.T.unflatten(1, (z.size(1), -1))",
        "test_each_head_has_its_columns",
        says="looks like rows of c_proj.weight, not columns",
    ),
    Mistake(
        "the bias in every head",
        PARTS,
        'return torch.einsum("bhtd,chd->bhtc", z, columns) + attn.c_proj.bias',
        "test_the_sum_is_the_layer",
        says="looks like the bias in every head",
    ),
    Mistake(
        "features dealt out to the heads",
        COLUMNS,
        "columns = attn.c_proj.weight.unflatten(1, (-1, z.size(1))).transpose(1, 2)",
        "test_each_head_has_its_columns",
        says="looks like every third column for a head, not four neighbours",
    ),
    Mistake(
        "each part normed by itself",
        STD,
        "std = (torch.stack([*parts]).var(dim=-1, unbiased=False, keepdim=True) + "
        "norm.eps).sqrt()",
        "test_a_share_per_part",
        says="looks like each part divided by its own standard deviation",
    ),
    Mistake(
        "means left in",
        CENTRED,
        "centred = stacked",
        "test_a_share_per_part",
        says="looks like the means of the parts left in",
    ),
    Mistake(
        "the unbiased variance",
        STD,
        STD.replace("unbiased=False, ", ""),
        "test_a_share_per_part",
        says="looks like a variance divided by C − 1",
    ),
    Mistake(
        "norm.bias in each share",
        SHARES,
        "return ((centred / std * norm.weight + norm.bias) * direction).sum(dim=-1)",
        "test_a_share_per_part",
        says="looks like norm.bias in each share",
    ),
    Mistake(
        "the weight on the occurrence itself",
        FOUND,
        "found = (weights * earlier[:, None]).sum(dim=-1)",
        "test_behind_the_earlier_one",
        says="looks like the weight on the earlier occurrence itself",
    ),
    Mistake(
        "the mean over all queries",
        SCORE,
        "return found.mean(dim=(0, 2))",
        "test_behind_the_earlier_one",
        says=(
            "looks like the mean over all queries, also those without an earlier "
            "occurrence"
        ),
    ),
    Mistake(
        "a token is its own earlier occurrence",
        EARLIER,
        EARLIER.replace("tril(-1)", "tril()"),
        "test_behind_the_earlier_one",
        says=(
            "looks like the mean over all queries, also those without an earlier "
            "occurrence"
        ),
    ),
    Mistake(
        "corrupt's z in the clean run",
        INPUTS,
        f"clean, corrupt = corrupt, clean\n        {INPUTS}",
        "test_one_head_from_the_clean_run",
        says="looks like what the clean run loses by corrupt's z",
    ),
    Mistake(
        "the clean run's hooks still collect",
        PATCHED,
        "found = _one_head_at_a_time(model, corrupt, metric, lambda layer, z: z)",
        "test_one_head_from_the_clean_run",
        says=(
            "looks like each head patched with its own z: was the clean run's "
            "overwritten?"
        ),
    ),
    Mistake(
        "not divided",
        RESTORED,
        "return found - worst",
        "test_one_head_from_the_clean_run",
        says="looks like the metric's change, not divided",
    ),
    Mistake(
        "the last position alone is patched",
        PATCHED,
        "found = _one_head_at_a_time(\n"
        "            model, corrupt, metric, lambda layer, z: torch.cat([z[:, :-1], "
        "inputs[layer][:, -1:]], dim=1)\n"
        "        )",
        "test_one_head_from_the_clean_run",
        says="looks like patched at the last position alone",
    ),
    Mistake(
        "judged on the rows it was fitted to",
        OUTSIDE,
        "return (predict(features[train]) == labels[train]).double().mean().item()",
        "test_accuracy_on_rows_outside_training",
        says="looks like judged on the rows in train",
    ),
    Mistake(
        "a random label per row",
        ANSWERS,
        "return right(labels), right(labels[torch.randperm(len(labels), "
        "generator=generator)])",
        "test_the_control_is_about_types",
        says="looks like a random label per row, not per type",
    ),
    Mistake(
        "labels of the control drawn evenly",
        ANSWERS,
        "drawn = torch.randint(int(labels.max()) + 1, drawn.shape, "
        "generator=generator)\n"
        "    return right(labels), right(drawn[types])",
        "test_control_labels_are_as_frequent_as_labels",
        says=(
            "looks like labels drawn evenly from the classes, not from the rows of "
            "`labels`"
        ),
    ),
    Mistake(
        "a mean per position",
        MEAN,
        '"mean": lambda layer, z: z.mean(dim=0).expand_as(z),',
        "test_without_each_head",
        says="looks like the mean over rows alone, one for each position",
    ),
    Mistake(
        "without minus whole",
        LOST,
        "return _one_head_at_a_time(model, tokens, metric, ways[how]) - "
        "metric(model(tokens)[0])",
        "test_without_each_head",
        says="looks like without minus whole, not whole minus without",
    ),
    Mistake(
        "the bias not taken off",
        CODES,
        "codes = (x @ self.encoder.T).relu()",
        "test_codes",
        says="looks like the bias not taken off",
    ),
    Mistake(
        "columns of length 1",
        UNIT,
        UNIT.replace("dim=1", "dim=0"),
        "test_normalise",
        says="looks like columns brought to length 1, not rows",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="kept[module] = args[0]",
        now="kept[module] = args[-1]",
        reason="a layer is given one argument",
        textbook=True,
    ),
    Equivalent(
        was="z = args[0].clone()",
        now="z = args[-1].clone()",
        reason="a layer is given one argument",
        textbook=True,
    ),
    Equivalent(
        was="z = args[0].clone()",
        now="z = args[-1].clone()",
        reason="a layer is given one argument",
        textbook=True,
    ),
    Equivalent(
        was="classes = int(labels.max()) + 1",
        now="classes = int(labels.max()) + 2",
        reason="no label is of the class more, and nothing predicts it",
        textbook=True,
    ),
    Equivalent(
        was="torch.randint(len(labels), (int(types.max()) + 1,), generator=generator)",
        now="torch.randint(len(labels), (int(types.max()) + 2,), generator=generator)",
        reason="nothing reads the label of the type more",
        textbook=True,
    ),
]
