"""Wrong solutions of 28 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

ENDS = 'return key.endswith((".attn.bias", ".attn.masked_bias"))'
N_LAYER = 'len({key.split(".")[1] for key in plain if key.startswith("h.")})'
TIED = 'head is None or torch.equal(head, plain["wte.weight"])'
NAME = 'name = key if key.startswith(("transformer.", "lm_head.")) else f"transformer.{key}"'
TURN = "ours = tensor.t() if key.endswith(_CONV1D) else tensor"
COPY = "converted[name] = ours.clone(memory_format=torch.contiguous_format)"
NAMES_DIFFER = "    if missing or unexpected:\n"
SHAPES_DIFFER = "        if given[name].shape != tensor.shape:\n"
UNTIED = '    if not torch.equal(given["lm_head.weight"], given["transformer.wte.weight"]):\n'
LOAD = "    model.load_state_dict(given)\n"
CROP = """    cropped = GPT(replace(model.config, block_size=block_size)).to(wpe.device, wpe.dtype)
    cropped.load_state_dict(state | {"transformer.wpe.weight": wpe[:block_size]})
    return cropped.train(model.training)
"""
SURGERY = """    import copy

    cropped = copy.deepcopy(model)
    cropped.config.block_size = block_size
    cropped.transformer.wpe.weight = nn.Parameter(cropped.transformer.wpe.weight.detach()[:block_size].clone())
    for block in cropped.transformer.h:
        block.attn.block_size = block_size
    return cropped
"""
SLICE = "nn.Parameter(wpe[:block_size])"
CROP_LIMIT = "if not 1 <= block_size <= model.config.block_size:"
COVERED = 'found = {parameter for name, parameter in named if f"{name}.".startswith(f"{prefix}.")}'
COUNT = "return sum(parameter.numel() for parameter in covered)"
WRITE = 'file.write(parameter.detach().float().cpu().numpy().astype("<f4").tobytes())'
IN_ORDER = "return [parameter for layer in layers for parameter in layer.parameters()]"
SORTED = "missing, unexpected = sorted(set(own) - set(given)), sorted(set(given) - set(own))"
READ_VALUES = 'values = torch.from_numpy(np.frombuffer(data, "<f4", offset=32).astype(np.float32))'
READ_VALUES += "  # a copy that can be written to"
ANY_ORDER = "the message promises the names, in any order"
HERE = "on the CPU of a little-endian machine, where specs run; elsewhere it matters"
LENGTH = "    if len(data) - 32 != expected:\n"
READ_CONFIG = "GPTConfig(block_size, vocab_size, n_layer, n_head, n_embd, dropout=0.0, bias=bool(bias))"

MISTAKES = [
    # is_buffer
    Mistake(
        "no dot before attn",
        was=ENDS,
        now='return key.endswith(("attn.bias", "attn.masked_bias"))',
        caught_by="test_the_bias_of_a_linear_layer_is_a_parameter",
    ),
    Mistake(
        "every bias of the attention",
        was=ENDS,
        now='return key.endswith("bias") and "attn" in key',
        caught_by="test_the_bias_of_a_linear_layer_is_a_parameter",
    ),
    # checkpoint_summary
    Mistake(
        "the number of blocks from one character",
        was=N_LAYER,
        now='max(int(key[2]) for key in plain if key.startswith("h.")) + 1',
        caught_by="test_twelve_blocks_are_found",
    ),
    Mistake(
        "the prefix taken for granted",
        was='{key.removeprefix("transformer."): tensor for key, tensor in hf.items() if not is_buffer(key)}',
        now='{key.partition(".")[2]: tensor for key, tensor in hf.items() if not is_buffer(key)}',
        caught_by="test_names_may_lack_the_prefix",
    ),
    Mistake(
        "buffers counted as parameters",
        was="sum(tensor.numel() for tensor in plain.values())",
        now='sum(t.numel() for key, t in hf.items() if key != "lm_head.weight")',
        caught_by="test_buffers_are_counted_apart",
    ),
    Mistake(
        "the head counted twice",
        was="sum(tensor.numel() for tensor in plain.values())",
        now="sum(t.numel() for key, t in hf.items() if not is_buffer(key))",
        caught_by="test_a_tied_head_is_not_counted_twice",
    ),
    Mistake(
        "tied only if in the same memory",
        was=TIED,
        now='head is None or head.data_ptr() == plain["wte.weight"].data_ptr()',
        caught_by="test_a_tied_head_is_not_counted_twice",
    ),
    Mistake(
        "tied if the shapes are the same",
        was=TIED,
        now='head is None or head.shape == plain["wte.weight"].shape',
        caught_by="test_a_head_of_its_own_is_not_tied",
    ),
    # config_from_hf
    Mistake(
        "n_ctx instead of n_positions",
        was='hf_config["n_positions"]',
        now='hf_config["n_ctx"]',
        caught_by="TestConfigFromHf::test_sizes_are_carried_over",
    ),
    Mistake(
        "no dropout where nothing is said",
        was='hf_config.get("resid_pdrop", 0.1)',
        now='hf_config.get("resid_pdrop", 0.0)',
        caught_by="test_dropout_is_a_tenth_where_nothing_is_said",
    ),
    Mistake(
        "any GELU will do",
        was='if activation not in ("gelu_new", "gelu_pytorch_tanh"):',
        now='if not activation.startswith("gelu"):',
        caught_by="test_another_activation_is_refused",
    ),
    Mistake(
        "n_inner never looked at",
        was="if n_inner not in (None, 4 * n_embd):",
        now="if False:",
        caught_by="test_another_width_of_the_mlp_is_refused",
    ),
    # convert_hf_state_dict
    Mistake(
        "everything with two dimensions transposed",
        was=TURN,
        now="ours = tensor.t() if tensor.dim() == 2 else tensor",
        caught_by="test_all_else_stays_as_it_is",
    ),
    Mistake(
        "names with the prefix transposed, others not",
        was=TURN,
        now='ours = tensor.t() if key.startswith("transformer.") and key.endswith(_CONV1D) else tensor',
        caught_by="TestConvertHfStateDict::test_all_is_the_same_without_the_prefix",
    ),
    Mistake(
        "lm_head gets the prefix",
        was=NAME,
        now='name = key if key.startswith("transformer.") else f"transformer.{key}"',
        caught_by="TestConvertHfStateDict::test_names_are_those_of_our_model",
    ),
    Mistake(
        "buffers come along",
        was="        if is_buffer(key):\n            continue\n",
        now="",
        caught_by="TestConvertHfStateDict::test_names_are_those_of_our_model",
    ),
    Mistake(
        "the head always overwritten",
        was='    if "lm_head.weight" not in converted and "transformer.wte.weight" in converted:\n',
        now='    if "transformer.wte.weight" in converted:\n',
        caught_by="test_a_head_that_is_there_is_kept",
    ),
    Mistake(
        "views of the checkpoint",
        was=COPY,
        now="converted[name] = ours",
        caught_by="test_nothing_is_shared_with_the_checkpoint",
    ),
    Mistake(
        "contiguous taken for a copy",
        was=COPY,
        now="converted[name] = ours.contiguous()",
        caught_by="test_transposed_views_are_copied_too",
        edge=True,
    ),
    Mistake(
        "clone keeps the strides of the transpose",
        was=COPY,
        now="converted[name] = ours.clone()",
        caught_by="test_everything_is_contiguous",
    ),
    Mistake(
        "unknown names dropped",
        was="        if is_buffer(key):\n            continue\n",
        now='        if is_buffer(key) or "adapter" in key:\n            continue\n',
        caught_by="test_unknown_names_go_through",
    ),
    # load_hf_weights
    Mistake(
        "square weights not transposed",
        was=TURN,
        now="ours = tensor.t() if key.endswith(_CONV1D) and tensor.size(0) != tensor.size(1) else tensor",
        caught_by="test_logits_are_those_of_hugging_face",
    ),
    Mistake(
        "strict=False instead of checks",
        was=NAMES_DIFFER,
        now="    model.load_state_dict(given, strict=False)\n    return model\n    if missing:\n",
        caught_by="test_every_missing_parameter_is_named",
    ),
    Mistake(
        "only the numbers of names compared",
        was=NAMES_DIFFER,
        now="    if len(own) != len(given):\n",
        caught_by="test_as_many_names_need_not_be_the_same_names",
    ),
    Mistake(
        "unexpected names ignored",
        was=NAMES_DIFFER,
        now="    given = {name: tensor for name, tensor in given.items() if name in own}\n    if missing:\n",
        caught_by="test_every_unexpected_parameter_is_named",
    ),
    Mistake(
        "only the first missing name told",
        was="missing {missing}, unexpected",
        now="missing {missing[:1]}, unexpected",
        caught_by="test_every_missing_parameter_is_named",
    ),
    Mistake(
        "a KeyError for a missing wte",
        was=NAMES_DIFFER,
        now='    given["lm_head.weight"] == given["transformer.wte.weight"]\n    if missing or unexpected:\n',
        caught_by="test_a_missing_wte_is_named",
        edge=True,
    ),
    Mistake(
        "copied before everything is checked",
        was="    for name, tensor in own.items():\n",
        now="    for name, tensor in own.items():\n        if given[name].shape == tensor.shape:\n"
        "            tensor.copy_(given[name])\n",
        caught_by="test_a_wrong_shape_is_named_with_both_shapes",
    ),
    Mistake(
        "copy_ without a look at shapes",
        was="    for name, tensor in own.items():\n",
        now="    for name, tensor in own.items():\n        tensor.copy_(given[name])\n    for name, tensor in []:\n",
        caught_by="test_a_shape_that_would_broadcast_is_wrong",
    ),
    Mistake(
        "an untied head goes in",
        was=UNTIED,
        now="    if False:\n",
        caught_by="test_a_head_of_its_own_is_refused",
        edge=True,
    ),
    Mistake(
        "new parameters, and the tie is gone",
        was=LOAD,
        now="    model.load_state_dict(given)\n"
        '    model.transformer.wte.weight = nn.Parameter(given["transformer.wte.weight"].to(own["lm_head.weight"]))\n',
        caught_by="TestLoadHfWeights::test_wte_and_lm_head_stay_one",
    ),
    Mistake("eval mode after loading", LOAD, f"{LOAD}    model.eval()\n", "TestLoadHfWeights::test_the_mode_stays"),
    Mistake(
        "the model takes the checkpoint's dtype",
        was=LOAD,
        now='    model.to(given["lm_head.weight"].dtype).load_state_dict(given)\n',
        caught_by="test_the_models_dtype_stays",
    ),
    Mistake(
        "tensors assigned instead of copied",
        was=LOAD,
        now="    given = {name: tensor.to(own[name].dtype) for name, tensor in given.items()}\n"
        "    model.load_state_dict(given, assign=True)\n"
        "    model.lm_head.weight = model.transformer.wte.weight\n",
        caught_by="test_parameters_stay_the_same_objects",
    ),
    # crop_block_size
    Mistake(
        "wpe sliced without a copy",
        was=CROP,
        now=SURGERY.replace("nn.Parameter(cropped.transformer.wpe.weight.detach()[:block_size].clone())", SLICE),
        caught_by="test_the_two_models_share_nothing",
    ),
    Mistake(
        "the given model cropped",
        was=CROP,
        now=SURGERY.replace("copy.deepcopy(model)", "model"),
        caught_by="test_the_given_model_stays_as_it_was",
    ),
    Mistake(
        "the attention's own limit forgotten",
        was=CROP,
        now=SURGERY.replace("        block.attn.block_size = block_size\n", "        pass\n"),
        caught_by="test_attention_refuses_longer_input_too",
    ),
    Mistake(
        "the config's limit forgotten",
        was=CROP,
        now=SURGERY.replace("    cropped.config.block_size = block_size\n", ""),
        caught_by="test_longer_input_is_refused",
    ),
    Mistake(
        "one config for both models",
        was=CROP,
        now=SURGERY.replace("cropped.config.block", "cropped.config = model.config\n    cropped.config.block"),
        caught_by="test_the_given_model_stays_as_it_was",
    ),
    Mistake(
        "the last rows of wpe",
        was="[:block_size]",
        now="[-block_size:]",
        caught_by="test_the_first_rows_of_wpe_are_kept",
    ),
    Mistake(
        "always in training mode",
        was="return cropped.train(model.training)",
        now="return cropped",
        caught_by="TestCropBlockSize::test_the_mode_stays",
    ),
    Mistake(
        "always on the CPU",
        was=CROP,
        now=CROP.replace("wpe.device, ", ""),
        caught_by="test_the_device_stays",
        edge=True,
    ),
    Mistake("always float32", was=".to(wpe.device, wpe.dtype)", now="", caught_by="test_the_dtype_stays", edge=True),
    Mistake(
        "no positions at all",
        was=CROP_LIMIT,
        now="if block_size > model.config.block_size:",
        caught_by="test_other_sizes_are_refused",
        edge=True,
    ),
    # freeze_all_but
    Mistake(
        "a prefix may end within a number",
        was=COVERED,
        now="found = {parameter for name, parameter in named if name.startswith(prefix)}",
        caught_by="test_block_1_is_not_block_10",
    ),
    Mistake(
        "parts only, no single parameters",
        was=COVERED,
        now='found = {parameter for name, parameter in named if name.startswith(f"{prefix}.")}',
        caught_by="test_a_single_parameter_can_be_named",
    ),
    Mistake(
        "the second name of a tied weight hidden",
        was="named_parameters(remove_duplicate=False)",
        now="named_parameters()",
        caught_by="test_a_tied_weight_answers_to_both_names",
    ),
    Mistake(
        "a tied weight counted under both names",
        was=COUNT,
        now="return sum(parameter.numel() for _, parameter in named if parameter in covered)",
        caught_by="test_a_tied_weight_answers_to_both_names",
    ),
    Mistake(
        "what was frozen before stays frozen",
        was="parameter.requires_grad_(parameter in covered)",
        now="parameter.requires_grad_(parameter.requires_grad and parameter in covered)",
        caught_by="test_what_was_frozen_before_thaws",
    ),
    Mistake(
        "prefixes that cover nothing ignored",
        was="        if not found:\n",
        now="        if False:\n",
        caught_by="test_a_prefix_that_covers_nothing_is_an_error",
        edge=True,
    ),
    Mistake(
        "everything frozen before prefixes are checked",
        was="    covered = set()\n",
        now="    covered = set()\n    model.requires_grad_(False)\n",
        caught_by="test_a_prefix_that_covers_nothing_is_an_error",
        edge=True,
    ),
    # write_flat
    Mistake(
        "a big-endian header",
        was='struct.pack("<8i", MAGIC, VERSION, *sizes)',
        now='struct.pack(">8i", MAGIC, VERSION, *sizes)',
        caught_by="test_the_header_is_eight_small_integers",
    ),
    Mistake(
        "the values in the model's own dtype",
        was=WRITE,
        now="file.write(parameter.detach().cpu().numpy().tobytes())",
        caught_by="test_any_float_dtype_becomes_float32",
        edge=True,
    ),
    Mistake(
        "column by column",
        was=WRITE,
        now='file.write(parameter.detach().float().cpu().numpy().astype("<f4").tobytes(order="F"))',
        caught_by="test_wte_follows_row_by_row",
    ),
    Mistake(
        "the whole state dict, so the tied weight twice",
        was="        for parameter in _in_file_order(model):\n",
        now="        for parameter in model.state_dict().values():\n",
        caught_by="test_the_tied_weight_is_written_once",
    ),
    Mistake(
        "the model itself converted",
        was="    config = model.config\n    sizes",
        now="    config = model.float().config\n    sizes",
        caught_by="TestWriteFlat::test_the_model_stays_as_it_was",
        edge=True,
    ),
    # read_flat
    Mistake(
        "the version not looked at",
        was="if (magic, version) != (MAGIC, VERSION):",
        now="if magic != MAGIC:",
        caught_by="test_another_kind_of_file_is_refused",
        edge=True,
    ),
    Mistake(
        "the magic number not looked at",
        was="if (magic, version) != (MAGIC, VERSION):",
        now="if version != VERSION:",
        caught_by="test_another_kind_of_file_is_refused",
        edge=True,
    ),
    Mistake(
        "a short header left to struct",
        was="    if len(data) < 32:\n",
        now="    if False:\n",
        caught_by="test_a_short_header_is_refused",
        edge=True,
    ),
    Mistake(
        "what is left over ignored",
        was=LENGTH,
        now="    data = data[: 32 + expected]\n" + LENGTH,
        caught_by="test_too_many_values_are_refused",
        edge=True,
    ),
    Mistake(
        "whole values counted, not bytes",
        was=LENGTH,
        now="    data = data[: len(data) // 4 * 4]\n" + LENGTH,
        caught_by="test_too_many_values_are_refused",
        edge=True,
    ),
    Mistake(
        "always with bias",
        was=READ_CONFIG,
        now=READ_CONFIG.replace("bool(bias)", "True"),
        caught_by="TestReadFlat::test_without_bias",
    ),
]

EQUIVALENT = [
    Equivalent(SORTED, SORTED.replace("sorted(set(own) - set(given))", "(set(own) - set(given))"), ANY_ORDER),
    Equivalent(SORTED, SORTED.replace("sorted(set(given) - set(own))", "(set(given) - set(own))"), ANY_ORDER),
    Equivalent(WRITE, WRITE.replace(".tobytes()", ""), "write takes an array's bytes as they are, in the same order"),
    Equivalent(WRITE, WRITE.replace('.astype("<f4")', ""), HERE),
    Equivalent(WRITE, WRITE.replace(".cpu()", ""), HERE),
    Equivalent(WRITE, WRITE.replace("float()", "double()"), "astype makes float32 of it, and float32 survives the way"),
    Equivalent(READ_VALUES, READ_VALUES.replace(".astype(np.float32)", ""), HERE + ", and the values are only read"),
    Equivalent("if len(data) < 32:", "if len(data) <= 32:", "a header without values is refused two checks later"),
    Equivalent("if len(data) < 32:", "if len(data) < 33:", "a header without values is refused two checks later"),
    Equivalent(
        f"model = GPT({READ_CONFIG})",
        f"model = GPT({READ_CONFIG})".replace(" dropout=0.0,", ""),
        "0 is also the default of GPTConfig",
    ),
    Equivalent(
        f"model = GPT({READ_CONFIG})",
        f"model = GPT({READ_CONFIG})".replace("bool(bias)", "bias"),
        "a layer asks only whether bias is true",
    ),
]
