"""Wrong solutions of 26 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
GELU = (
    "return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))"
)
MLP = 'return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))'
ATTEND = "x = x + self.attn(self.ln_1(x), cache)"
FEED = "return x + self.mlp(self.ln_2(x))"
TIE = "self.lm_head.weight = self.transformer.wte.weight"
EMBED = """x = self.transformer.drop(
            self.transformer.wte(idx) + self.transformer.wpe(positions)
        )"""
POSITIONS = "positions = torch.arange(start, end, device=idx.device)"
HEAD = "logits = self.lm_head(self.transformer.ln_f(x))"
LOSS = "return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())"
COUNT = "count = sum(parameter.numel() for parameter in self.parameters())"
SCALED = "std=0.02 / math.sqrt(2 * self.config.n_layer)"
DRAWN = """those of layer norms are 1 already
                nn.init.normal_(parameter, std=0.02)"""
CACHES = "return [LayerCache() for _ in model.transformer.h]"

MISTAKES = [
    Mistake(
        "exact erf form",
        GELU,
        "return x * (1 + torch.erf(x / math.sqrt(2))) / 2",
        "TestGeluTanh::test_values",
        says="looks like the exact form x·Φ(x)",
    ),
    Mistake(
        "a float32 tensor for the factor",
        GELU,
        GELU.replace("math.sqrt(2 / math.pi)", "torch.tensor([2 / math.pi]).sqrt()"),
        "TestGeluTanh::test_the_dtype_is_kept",
        says="dtype float32 expected bfloat16",
        edge=True,
    ),
    Mistake(
        "nn.GELU(), the erf form",
        MLP,
        MLP.replace(', approximate="tanh"', ""),
        "test_is_linear_gelu_linear",
        says="looks like the exact GELU, nn.GELU() without approximate",
    ),
    Mistake(
        "dropout on the hidden values",
        MLP,
        'return self.c_proj(self.dropout(F.gelu(self.c_fc(x), approximate="tanh")))',
        "test_dropout_is_the_last_step",
        says="looks like dropout before c_proj",
    ),
    Mistake(
        "F.dropout without the training flag",
        MLP,
        MLP.replace("self.dropout(", "F.dropout(").replace(
            '"tanh"))', '"tanh")), self.dropout.p'
        ),
        "TestMLP::test_nothing_is_dropped_in_eval_mode",
        says="looks like dropped in eval mode, too",
    ),
    Mistake(
        "post-norm",
        f"{ATTEND}\n        {FEED}",
        "x = self.ln_1(x + self.attn(x, cache))\n"
        "        return self.ln_2(x + self.mlp(x))",
        "test_attention_then_mlp_each_added",
        says="looks like post-norm",
    ),
    Mistake(
        "the MLP reads the block's input",
        f"{ATTEND}\n        {FEED}",
        "return x + self.attn(self.ln_1(x), cache) + self.mlp(self.ln_2(x))",
        "test_attention_then_mlp_each_added",
        says="looks like the MLP reads the block's input",
    ),
    Mistake(
        "layer norm keeps its bias",
        "self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)",
        "self.ln_2 = nn.LayerNorm(config.n_embd)",
        "TestBlock::test_parameter_names",
        says="with bias=False: missing are none, too many are ['ln_2.bias']",
    ),
    Mistake(
        "cache not handed on",
        ATTEND,
        "x = x + self.attn(self.ln_1(x))",
        "test_the_cache_reaches_the_attention",
        says="looks like the cache was not used",
    ),
    Mistake(
        "two Parameters in place of one: perhaps tied through .data",
        TIE,
        "self.lm_head.weight.data = self.transformer.wte.weight.data",
        "test_wte_and_lm_head_are_one_parameter",
        says="lm_head.weight and transformer.wte.weight are two different Parameters",
    ),
    Mistake(
        "the default config is kept",
        "self.config = config\n        self.transformer",
        "self.config = GPTConfig()\n        self.transformer",
        "test_keeps_its_config",
        says="model.config is not the config that was given",
    ),
    Mistake(
        "start values looked at after they are drawn",
        DRAWN,
        DRAWN + "\n                assert parameter.std().item() > 0.01, name",
        "test_can_be_built_without_data",
        says="cannot be called on meta tensors",
        edge=True,
    ),
    Mistake(
        "scaled by √L",
        SCALED,
        SCALED.replace("2 * ", ""),
        "test_start_values",
        says="attn.c_proj.weight with L = 3: the standard deviation is 0.01",
    ),
    Mistake(
        "only attn.c_proj scaled",
        '"c_proj.weight"',
        '"attn.c_proj.weight"',
        "test_start_values",
        says="mlp.c_proj.weight with L = 3: the standard deviation is 0.02",
    ),
    Mistake(
        "no ln_f",
        HEAD,
        "logits = self.lm_head(x)",
        "test_logits",
        says="looks like the final layer norm ln_f",
    ),
    Mistake(
        "only the last position's logits",
        HEAD,
        HEAD.replace("ln_f(x)", "ln_f(x[:, -1:])"),
        "test_scores_every_token_at_every_position",
        says="looks like the last position alone scored",
    ),
    Mistake(
        "targets shifted inside",
        LOSS,
        "return logits, F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, "
        "1:].flatten())",
        "test_loss",
        says="looks like shifted a second time inside the model",
    ),
    Mistake(
        "mean over all positions",
        LOSS,
        LOSS.replace("flatten())", 'flatten(), reduction="none").mean()'),
        "test_targets_of_minus_100_do_not_count",
        says="looks like divided by all B·T positions",
    ),
    Mistake(
        "positions restart at 0",
        POSITIONS,
        "positions = torch.arange(idx.size(1), device=idx.device)",
        "test_chunks_through_a_cache",
        says="looks like the positions start at 0 in every chunk",
    ),
    Mistake(
        "no dropout after the embeddings",
        EMBED,
        EMBED.replace("self.transformer.drop(", "("),
        "test_dropout_after_the_embeddings",
        says="looks like no dropout on the embeddings",
    ),
    Mistake(
        "targets.view(-1)",
        LOSS,
        LOSS.replace("targets.flatten()", "targets.view(-1)"),
        "test_transposed_ids_and_targets",
        says="view size is not compatible with input tensor's size and stride",
        edge=True,
    ),
    Mistake(
        "positions on the CPU",
        POSITIONS,
        "positions = torch.arange(start, end)",
        "test_positions_are_made_where_the_tokens_are",
        says="tensors on cpu and meta meet",
        edge=True,
    ),
    Mistake(
        "lm_head counted as well",
        COUNT,
        "count = sum(p.numel() for p in self.state_dict().values())",
        "test_gpt2_has_124_439_808_parameters",
        says="looks like lm_head counted as well",
    ),
    Mistake(
        "one cache for all blocks",
        CACHES,
        "return [LayerCache()] * len(model.transformer.h)",
        "test_every_block_has_its_own",
        says="the list holds 1 different caches, expected 3",
    ),
    Mistake(
        "ln_f forgotten",
        "(attention + mlp + 2 * norm) + norm",
        "(attention + mlp + 2 * norm)",
        "TestParameterCount::test_small_models",
        says="looks like ln_f left out",
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
        "elif parameter.ndim == 2:",
        "elif parameter.ndim >= 2:",
        "no parameter has more than two dimensions",
    ),
    Equivalent(
        was="start = len(cache[0]) if cache is not None else 0",
        now="start = len(cache[-1]) if cache is not None else 0",
        reason="all caches are of one length",
        textbook=True,
    ),
]
