"""Wrong solutions of 26 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

# Lines of the reference that several mistakes change.
GELU = "return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))"
MLP = 'return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))'
ATTEND = "x = x + self.attn(self.ln_1(x), cache)"
FEED = "return x + self.mlp(self.ln_2(x))"
TIE = "self.lm_head.weight = self.transformer.wte.weight"
EMBED = "x = self.transformer.drop(self.transformer.wte(idx) + self.transformer.wpe(positions))"
POSITIONS = "positions = torch.arange(start, end, device=idx.device)"
LIMIT = "if end > self.config.block_size:"
THROUGH = "x = block(x, None if cache is None else cache[i])"
HEAD = "logits = self.lm_head(self.transformer.ln_f(x))"
LOSS = "return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())"
COUNT = "count = sum(parameter.numel() for parameter in self.parameters())"
SCALED = "std=0.02 / math.sqrt(2 * self.config.n_layer)"
CACHES = "return [LayerCache() for _ in model.transformer.h]"

MISTAKES = [
    # gelu_tanh
    Mistake(
        "exact erf form",
        GELU,
        "return x * (1 + torch.erf(x / math.sqrt(2))) / 2",
        "TestGeluTanh::test_values",
    ),
    Mistake("calls F.gelu", GELU, 'return F.gelu(x, approximate="tanh")', "test_is_written_by_hand"),
    Mistake(
        "a float32 tensor for the factor",
        GELU,
        GELU.replace("math.sqrt(2 / math.pi)", "torch.tensor([2 / math.pi]).sqrt()"),
        "TestGeluTanh::test_the_dtype_is_kept",
    ),
    Mistake(
        "tanh by exponentials",
        GELU,
        "u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)\n"
        "    return 0.5 * x * (1 + (u.exp() - (-u).exp()) / (u.exp() + (-u).exp()))",
        "test_far_from_zero",
    ),
    # MLP
    Mistake("nn.GELU(), the erf form", MLP, MLP.replace(', approximate="tanh"', ""), "test_is_linear_gelu_linear"),
    Mistake(
        "dropout on the hidden values",
        MLP,
        'return self.c_proj(self.dropout(F.gelu(self.c_fc(x), approximate="tanh")))',
        "test_dropout_is_the_last_thing",
    ),
    Mistake(
        "F.dropout without the training flag",
        MLP,
        MLP.replace("self.dropout(", "F.dropout(").replace('"tanh"))', '"tanh")), self.dropout.p'),
        "TestMLP::test_nothing_is_dropped_in_eval_mode",
    ),
    Mistake(
        "c_proj always with bias",
        "self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)",
        "self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)",
        "TestMLP::test_parameter_names",
    ),
    # Block
    Mistake("post-norm", ATTEND, "x = self.ln_1(x + self.attn(x, cache))", "test_attention_then_mlp_each_added"),
    Mistake(
        "the MLP reads the block's input",
        f"{ATTEND}\n        {FEED}",
        "return x + self.attn(self.ln_1(x), cache) + self.mlp(self.ln_2(x))",
        "test_attention_then_mlp_each_added",
    ),
    Mistake(
        "layer norm keeps its bias",
        "self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)",
        "self.ln_2 = nn.LayerNorm(config.n_embd)",
        "TestBlock::test_parameter_names",
    ),
    Mistake(
        "cache not handed on",
        ATTEND,
        "x = x + self.attn(self.ln_1(x))",
        "test_the_cache_reaches_the_attention",
    ),
    Mistake(
        "flash not handed to the attention",
        "CausalSelfAttention(config, flash)",
        "CausalSelfAttention(config)",
        "test_flash_reaches_the_attention",
    ),
    # GPT
    Mistake("no ln_f", HEAD, "logits = self.lm_head(x)", "TestGPT::test_logits"),
    Mistake(
        "position embeddings missing",
        EMBED,
        "x = self.transformer.drop(self.transformer.wte(idx))",
        "TestGPT::test_logits",
    ),
    Mistake(
        "every block shares its weights",
        "nn.ModuleList(Block(config, flash) for _ in range(config.n_layer))",
        "nn.ModuleList([Block(config, flash)] * config.n_layer)",
        "test_num_params_of_a_small_model",
    ),
    Mistake("lm_head untied", f"        {TIE}\n", "", "test_wte_and_lm_head_are_one_parameter"),
    Mistake(
        "tied through .data",
        TIE,
        "self.lm_head.weight.data = self.transformer.wte.weight.data",
        "test_wte_and_lm_head_are_one_parameter",
    ),
    Mistake(
        "output layer cut off from the graph",
        HEAD,
        "logits = F.linear(self.transformer.ln_f(x), self.transformer.wte.weight.detach())",
        "test_tokens_that_are_not_in_the_input_learn_too",
    ),
    Mistake(
        "mask kept as a buffer",
        "        self._init_weights()\n",
        '        self._init_weights()\n        self.register_buffer("positions", torch.arange(config.block_size))\n',
        "test_names_are_those_of_gpt2",
    ),
    Mistake(
        "only the last position's logits",
        HEAD,
        HEAD.replace("ln_f(x)", "ln_f(x[:, -1:])"),
        "test_scores_every_token_at_every_position",
    ),
    Mistake(
        "targets shifted inside",
        LOSS,
        "return logits, F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten())",
        "TestGPT::test_loss",
    ),
    Mistake(
        "mean over all positions",
        LOSS,
        LOSS.replace("flatten())", 'flatten(), reduction="none").mean()'),
        "test_targets_of_minus_100_do_not_count",
    ),
    Mistake(
        "targets.view(-1)",
        LOSS,
        LOSS.replace("targets.flatten()", "targets.view(-1)"),
        "test_transposed_ids_and_targets",
    ),
    Mistake("no initialisation", "        self._init_weights()\n", "", "test_the_first_loss_is_ln_v"),
    Mistake("c_proj not scaled", SCALED, "std=0.02", "test_start_values"),
    Mistake("scaled by √L", SCALED, SCALED.replace("2 * ", ""), "test_start_values"),
    Mistake("only attn.c_proj scaled", '"c_proj.weight"', '"attn.c_proj.weight"', "test_start_values"),
    Mistake(
        "uniform start values",
        "nn.init.normal_(parameter, std=0.02)",
        "nn.init.uniform_(parameter, -0.02 * math.sqrt(3), 0.02 * math.sqrt(3))",
        "test_start_values",
    ),
    Mistake(
        "biases as PyTorch draws them",
        "nn.init.zeros_(parameter)",
        "pass",
        "test_biases_start_at_0_and_norms_at_1",
    ),
    Mistake(
        "positions restart at 0",
        POSITIONS,
        "positions = torch.arange(idx.size(1), device=idx.device)",
        "test_chunks_through_a_cache",
    ),
    Mistake(
        "token 0 taken for padding",
        '"wte": nn.Embedding(config.vocab_size, config.n_embd)',
        '"wte": nn.Embedding(config.vocab_size, config.n_embd, padding_idx=0)',
        "TestGPT::test_gradients_of_every_parameter",
    ),
    Mistake(
        "positions from the number of caches on",
        "len(cache[0])",
        "len(cache)",
        "test_chunks_through_a_cache",
    ),
    Mistake(
        "one cache for all blocks",
        THROUGH,
        THROUGH.replace("cache[i]", "cache[0]"),
        "test_chunks_through_a_cache",
    ),
    Mistake(
        "positions on the CPU",
        POSITIONS,
        "positions = torch.arange(start, end)",
        "test_positions_are_made_where_the_tokens_are",
    ),
    Mistake("block_size not allowed itself", LIMIT, LIMIT.replace(">", ">="), "test_block_size_is_the_limit"),
    Mistake(
        "cached tokens not counted",
        LIMIT,
        "if idx.size(1) > self.config.block_size:",
        "test_cached_tokens_count_towards_block_size",
    ),
    Mistake(
        "no dropout after the embeddings",
        EMBED,
        EMBED.replace("self.transformer.drop(", "("),
        "test_dropout_after_the_embeddings",
    ),
    Mistake(
        "flash not handed to the blocks",
        "Block(config, flash)",
        "Block(config)",
        "test_flash_reaches_every_block",
    ),
    Mistake(
        "only what is trained counted",
        COUNT,
        COUNT.replace(" in self.parameters()", " in self.parameters() if parameter.requires_grad"),
        "test_num_params_of_a_small_model",
    ),
    Mistake(
        "lm_head counted as well",
        COUNT,
        "count = sum(p.numel() for p in self.state_dict().values())",
        "test_gpt2_has_124_439_808_parameters",
    ),
    Mistake(
        "non_embedding leaves out wte",
        "self.transformer.wpe.weight.numel()",
        "self.transformer.wte.weight.numel()",
        "test_num_params_of_a_small_model",
    ),
    # new_cache
    Mistake(
        "one cache L times",
        CACHES,
        "return [LayerCache()] * len(model.transformer.h)",
        "test_every_block_has_its_own",
    ),
    # gpt2_config
    Mistake(
        "unknown names give gpt2",
        "if name not in sizes:",
        "name = name if name in sizes else 'gpt2'\n    if False:",
        "test_other_names_are_refused",
    ),
    Mistake("gpt2-xl with 24 heads", "(48, 25, 1600)", "(48, 24, 1600)", "test_published_sizes"),
    # parameter_count
    Mistake(
        "ln_f forgotten",
        "(attention + mlp + 2 * norm) + norm",
        "(attention + mlp + 2 * norm)",
        "TestParameterCount::test_small_models",
    ),
    Mistake("bias always counted", "config.bias  # True", "True  # True", "TestParameterCount::test_small_models"),
    Mistake(
        "builds the model",
        "    c, bias = config.n_embd",
        "    return GPT(config).num_params()\n    c, bias = config.n_embd",
        "test_published_counts",
    ),
]

EQUIVALENT = [
    Equivalent(
        "self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)",
        "self.lm_head = nn.Linear(config.vocab_size, config.n_embd, bias=False)",
        "its weight is replaced by wte's in the next line",
    ),
    Equivalent(
        "start = 0 if cache is None else len(cache[0])",
        "start = 0 if cache is None else len(cache[-1])",
        "the caches of all blocks are equally long",
    ),
    Equivalent(
        "elif parameter.ndim == 2:  # linear and embedding weights; those of layer norms are 1 already",
        "elif parameter.ndim >= 2:  # linear and embedding weights; those of layer norms are 1 already",
        "no parameter has more than two dimensions",
    ),
]
