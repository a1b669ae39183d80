"""Wrong solutions of 28 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

ENDS = 'return key.endswith((".attn.bias", ".attn.masked_bias"))'
N_LAYER = 'len({key.split(".")[1] for key in plain if key.startswith("h.")})'
TIED = 'head is None or torch.equal(head, plain["wte.weight"])'
NAME = """name = (
            key
            if key.startswith(("transformer.", "lm_head."))
            else f"transformer.{key}"
        )"""
TURN = "ours = tensor.t() if key.endswith(_CONV1D) else tensor"
COPY = "converted[name] = ours.clone(memory_format=torch.contiguous_format)"
NAMES_DIFFER = "    if missing or unexpected:\n"
UNTIED = (
    '    if not torch.equal(given["lm_head.weight"], '
    'given["transformer.wte.weight"]):\n'
)
LOAD = "    model.load_state_dict(given)\n"
CROP = """    cropped = GPT(replace(model.config, block_size=block_size)).to(
        wpe.device, wpe.dtype
    )
    cropped.load_state_dict(state | {"transformer.wpe.weight": wpe[:block_size]})
    return cropped.train(model.training)
"""
SURGERY = """    import copy

    cropped = copy.deepcopy(model)
    cropped.config.block_size = block_size
    positions = cropped.transformer.wpe.weight.detach()
    cropped.transformer.wpe.weight = nn.Parameter(positions[:block_size].clone())
    for block in cropped.transformer.h:
        block.attn.block_size = block_size
    return cropped
"""
SLICE = "nn.Parameter(wpe[:block_size])"
COVERED = """found = {
            parameter
            for name, parameter in named
            if f"{name}.".startswith(f"{prefix}.")
        }"""
WRITE = 'file.write(parameter.detach().float().cpu().numpy().astype("<f4").tobytes())'
SORTED = (
    "missing, unexpected = sorted(set(own) - set(given)), sorted(set(given) - set(own))"
)
READ_VALUES = (
    'values = torch.from_numpy(np.frombuffer(data, "<f4", '
    "offset=32).astype(np.float32))"
)
READ_VALUES += "  # a copy that can be written to"
ANY_ORDER = "the message promises the names, in any order"
HERE = "on the CPU of a little-endian machine, where specs run; elsewhere it matters"
READ_CONFIG = """GPTConfig(
            block_size,
            vocab_size,
            n_layer,
            n_head,
            n_embd,
            dropout=0.0,
            bias=bool(bias),
        )"""

MISTAKES = [
    Mistake(
        "no dot before attn",
        was=ENDS,
        now='return key.endswith(("attn.bias", "attn.masked_bias"))',
        caught_by="test_the_bias_of_a_linear_layer_is_a_parameter",
        says="looks like the end of a name, without the dot in front of attn",
    ),
    Mistake(
        "the number of blocks from one character",
        was=N_LAYER,
        now='max(int(key[2]) for key in plain if key.startswith("h.")) + 1',
        caught_by="test_twelve_blocks_are_found",
        says="looks like one digit of a number",
    ),
    Mistake(
        "buffers counted as parameters",
        was="sum(tensor.numel() for tensor in plain.values())",
        now='sum(t.numel() for key, t in hf.items() if key != "lm_head.weight")',
        caught_by="test_buffers_are_counted_apart",
        says="looks like buffers counted",
    ),
    Mistake(
        "the head counted twice",
        was="sum(tensor.numel() for tensor in plain.values())",
        now="sum(t.numel() for key, t in hf.items() if not is_buffer(key))",
        caught_by="test_a_tied_head_is_not_counted_twice",
        says="looks like the head counted",
    ),
    Mistake(
        "an equal head not taken for tied",
        was=TIED,
        now='head is None or head.data_ptr() == plain["wte.weight"].data_ptr()',
        caught_by="test_a_tied_head_is_not_counted_twice",
        says="looks like the same memory asked for: a file holds copies",
    ),
    Mistake(
        "no dropout where nothing is said",
        was='hf_config.get("resid_pdrop", 0.1)',
        now='hf_config.get("resid_pdrop", 0.0)',
        caught_by="test_dropout_is_a_tenth_where_nothing_is_said",
        says="of dropout without resid_pdrop got 0",
    ),
    Mistake(
        "any GELU will do",
        was='if activation not in ("gelu_new", "gelu_pytorch_tanh"):',
        now='if not activation.startswith("gelu"):',
        caught_by="test_another_activation_is_refused",
        says="raised nothing expected an error, such as ValueError that mentions gelu",
        edge=True,
    ),
    Mistake(
        "everything with two dimensions transposed",
        was=TURN,
        now="ours = tensor.t() if tensor.dim() == 2 else tensor",
        caught_by="test_all_else_stays_as_it_is",
        says="looks like transposed: only the four Conv1D weights are",
    ),
    Mistake(
        "lm_head gets the prefix",
        was=NAME,
        now='name = key if key.startswith("transformer.") else f"transformer.{key}"',
        caught_by="TestConvertHfStateDict::test_names_are_those_of_our_model",
        says="too many names: 1, such as ['transformer.lm_head.weight']",
    ),
    Mistake(
        "the head always overwritten",
        was=(
            '    if "lm_head.weight" not in converted and "transformer.wte.weight" in '
            "converted:\n"
        ),
        now='    if "transformer.wte.weight" in converted:\n',
        caught_by="test_a_head_that_is_there_is_kept",
        says="looks like overwritten with wte.weight",
    ),
    Mistake(
        "views of the checkpoint",
        was=COPY,
        now="converted[name] = ours",
        caught_by="test_nothing_is_shared_with_the_checkpoint",
        says="shares memory with the input",
        edge=True,
    ),
    Mistake(
        "square weights not transposed",
        was=TURN,
        now=(
            "ours = tensor.t() if key.endswith(_CONV1D) and tensor.size(0) != "
            "tensor.size(1) else tensor"
        ),
        caught_by="test_logits_are_those_of_hugging_face",
        says="looks like the square attn.c_proj not transposed",
    ),
    Mistake(
        "strict=False instead of checks",
        was=NAMES_DIFFER,
        now=(
            "    model.load_state_dict(given, strict=False)\n    return model\n"
            "    if missing:\n"
        ),
        caught_by="test_every_missing_parameter_is_named",
        says="raised nothing",
    ),
    Mistake(
        "unexpected names ignored",
        was=NAMES_DIFFER,
        now=(
            "    given = {name: tensor for name, tensor in given.items() if name in "
            "own}\n    if missing:\n"
        ),
        caught_by="test_every_unexpected_parameter_is_named",
        says="raised nothing",
    ),
    Mistake(
        "copied before everything is checked",
        was="    for name, tensor in own.items():\n",
        now=(
            "    for name, tensor in own.items():\n"
            "        if given[name].shape == tensor.shape:\n"
            "            tensor.copy_(given[name])\n"
        ),
        caught_by="test_a_refused_checkpoint_changes_nothing",
        says="the model after a refused checkpoint",
        edge=True,
    ),
    Mistake(
        "an untied head goes in",
        was=UNTIED,
        now="    if False:\n",
        caught_by="test_a_head_of_its_own_is_refused",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "new parameters, and the tie is gone",
        was=LOAD,
        now=(
            "    model.load_state_dict(given)\n"
            "    model.transformer.wte.weight = "
            'nn.Parameter(given["transformer.wte.weight"].to(own["lm_head.weight"]))\n'
        ),
        caught_by="TestLoadHfWeights::test_wte_and_lm_head_stay_one",
        says="are two parameters now",
    ),
    Mistake(
        "wpe sliced without a copy",
        was=CROP,
        now=SURGERY.replace("nn.Parameter(positions[:block_size].clone())", SLICE),
        caught_by="test_the_two_models_share_nothing",
        says="transformer.wpe.weight for block_size 3 shares memory with the input",
    ),
    Mistake(
        "the given model or its config changed",
        was=CROP,
        now=SURGERY.replace("copy.deepcopy(model)", "model"),
        caught_by="test_the_given_model_stays_as_it_was",
        says="config.block_size of the given model",
    ),
    Mistake(
        "a prefix may end within a number",
        was=COVERED,
        now=(
            "found = {parameter for name, parameter in named if "
            "name.startswith(prefix)}"
        ),
        caught_by="test_block_1_is_not_block_10",
        says="looks like a prefix without the dot behind it",
    ),
    Mistake(
        "the second name of a tied weight hidden",
        was="named_parameters(remove_duplicate=False)",
        now="named_parameters()",
        caught_by="test_a_tied_weight_answers_to_both_names",
        says="there is no parameter under 'lm_head'",
    ),
    Mistake(
        "what was frozen before stays frozen",
        was="parameter.requires_grad_(parameter in covered)",
        now=(
            "parameter.requires_grad_(parameter.requires_grad and parameter in covered)"
        ),
        caught_by="test_what_was_frozen_before_thaws",
        says="frozen and should not be: transformer.h.1.attn",
    ),
    Mistake(
        "column by column",
        was=WRITE,
        now=(
            'file.write(parameter.detach().float().cpu().numpy().astype("<f4").'
            'tobytes(order="F"))'
        ),
        caught_by="test_wte_follows_row_by_row",
        says="looks like column by column",
    ),
    Mistake(
        "the whole state dict, so the tied weight twice",
        was="        for parameter in _in_file_order(model):\n",
        now="        for parameter in model.state_dict().values():\n",
        caught_by="test_the_tied_weight_is_written_once",
        says="looks like lm_head as well",
    ),
    Mistake(
        "always with bias",
        was=READ_CONFIG,
        now=READ_CONFIG.replace("bool(bias)", "True"),
        caught_by="TestReadFlat::test_the_weights_come_back",
        says="has 72 bytes of weights, and a model of these sizes has 120",
    ),
]

EQUIVALENT = [
    Equivalent(
        SORTED,
        SORTED.replace("sorted(set(own) - set(given))", "(set(own) - set(given))"),
        ANY_ORDER,
    ),
    Equivalent(
        SORTED,
        SORTED.replace("sorted(set(given) - set(own))", "(set(given) - set(own))"),
        ANY_ORDER,
    ),
    Equivalent(
        WRITE,
        WRITE.replace(".tobytes()", ""),
        "write takes an array's bytes as they are, in the same order",
    ),
    Equivalent(WRITE, WRITE.replace('.astype("<f4")', ""), HERE),
    Equivalent(WRITE, WRITE.replace(".cpu()", ""), HERE),
    Equivalent(
        WRITE,
        WRITE.replace("float()", "double()"),
        "astype makes float32 of it, and float32 survives the way",
    ),
    Equivalent(
        'values = torch.from_numpy(np.frombuffer(data, "<f4", '
        "offset=32).astype(np.float32))",
        'values = torch.from_numpy(np.frombuffer(data, "<f4", offset=32))',
        HERE + ", and the values are only read",
    ),
    Equivalent(
        "if len(data) < 32:",
        "if len(data) <= 32:",
        "a header without values is refused two checks later",
    ),
    Equivalent(
        "if len(data) < 32:",
        "if len(data) < 33:",
        "a header without values is refused two checks later",
    ),
    Equivalent(
        "dropout=0.0,",
        "",
        "0 is also the default of GPTConfig",
    ),
    Equivalent(
        "bias=bool(bias),",
        "bias=bias,",
        "a layer asks only whether bias is true",
    ),
]
