"""Wrong solutions of papers/27 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

STACK = "return torch.stack([head(hidden) for head in self.heads], dim=2)"
LOSS = """losses.append(
            F.cross_entropy(
                logits[:, :scored, k].flatten(0, 1), tokens[:, k + 1 :].flatten()
            )
        )"""
CUT = "cut = hidden.detach().requires_grad_()"
BODY = """    cut = hidden.detach().requires_grad_()
    total = 0.0
    for k, head in enumerate(model.heads):
        logits = head(cut[:, : tokens.size(1) - 1 - k])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, k + 1 :].flatten())
        loss.backward()
        total += loss.item()
    hidden.backward(cut.grad)
"""
EACH = """        loss.backward()
        total += loss.item()
    hidden.backward(cut.grad)
"""
STEP = """        optimizer.zero_grad()
        total.backward()
"""
ACCEPT = "accepted = int(right.cumprod(dim=1).sum())"
APPEND = "text = torch.cat([text, draft[:, :accepted], best[:, accepted, :1]], dim=1)"
DRAFT = "draft = best[:, accepted, 1:]"
SEEDED = """            torch.manual_seed(seed)
            model = MultiTokenModel(len(transition), hidden_size, num_heads)
            generator = torch.Generator().manual_seed(seed)
"""

MISTAKES = [
    Mistake(
        "the heads put on an axis before time",
        was=STACK,
        now="return torch.stack([head(hidden) for head in self.heads], dim=1)",
        caught_by="test_logits_of_head_k_are_at_index_k_of_axis_2",
        says="(2, 3, 7, 5)  expected (2, 7, 3, 5)",
    ),
    Mistake(
        "batch_first forgotten",
        was="nn.GRU(hidden_size, hidden_size, batch_first=True)",
        now="nn.GRU(hidden_size, hidden_size)",
        caught_by="test_hidden_runs_the_trunk_over_the_tokens",
        says="looks like batch_first is missing",
    ),
    Mistake(
        "one head, several times",
        was="""nn.ModuleList(
            nn.Linear(hidden_size, vocab_size) for _ in range(num_heads)
        )""",
        now="nn.ModuleList([nn.Linear(hidden_size, vocab_size)] * num_heads)",
        caught_by="test_has_one_trunk_and_n_heads",
        says="heads.1.weight",
    ),
    Mistake(
        "the heads created before the trunk",
        was=(
            "def greedy_generate(  # stub: keep\n"
            '    model: "MultiTokenModel", prompt: Tensor, num_new: int\n'
            ") -> tuple[Tensor, int]:\n"
            '    """Append the first head\'s arg max, `num_new` times: the pair '
            '(tokens (1,\n    T + num_new), number of model calls).\n    """\n'
            "    tokens = prompt\n    with torch.no_grad():\n"
            "        for _ in range(num_new):\n"
            "            best = model(tokens)[:, -1:, 0].argmax(dim=-1)\n"
            "            tokens = torch.cat([tokens, best], dim=1)\n"
            "    return tokens, num_new\n\n\nclass MultiTokenModel(nn.Module):\n"
            '    """Read tokens once with a shared trunk, and predict the next n '
            "tokens from every\n    place, each with its own head.\n\n"
            "    - `hidden(tokens)` takes (B, T) int64 and returns (B, T, H), the "
            "outputs of\n      the trunk.\n"
            "    - `forward(tokens)` returns logits (B, T, n, V): [:, t, k] are head "
            "k's logits for\n      token t + 1 + k.\n\n    Args:\n"
            "        vocab_size, hidden_size, num_heads: V, H and n.\n"
            "    Attributes:\n        vocab_size, num_heads: as given.\n"
            "        embedding: nn.Embedding(V, H).\n"
            "        trunk: nn.GRU(H, H, batch_first=True).\n"
            "        heads: nn.ModuleList of n nn.Linear(H, V).\n\n    Edge cases ★\n"
            "        The layers are created in this order. So under one seed, models "
            "with any n start\n"
            "        with the same embedding, trunk and first head, and can be "
            'compared.\n    """\n\n'
            "    def __init__(self, vocab_size: int, hidden_size: int, num_heads: "
            "int):\n        super().__init__()\n"
            "        self.vocab_size, self.num_heads = vocab_size, num_heads\n"
            "        self.embedding = nn.Embedding(vocab_size, hidden_size)\n"
            "        self.trunk = nn.GRU(hidden_size, hidden_size, batch_first=True)\n"
            "        self.heads = nn.ModuleList(\n"
            "            nn.Linear(hidden_size, vocab_size) for _ in "
            "range(num_heads)\n        )"
        ),
        now=(
            "def greedy_generate(\n"
            '    model: "MultiTokenModel", prompt: Tensor, num_new: int\n'
            ") -> tuple[Tensor, int]:  # stub: keep\n"
            '    """Append the first head\'s arg max, `num_new` times: the pair '
            '(tokens (1,\n    T + num_new), number of model calls).\n    """\n'
            "    tokens = prompt\n    with torch.no_grad():\n"
            "        for _ in range(num_new):\n"
            "            best = model(tokens)[:, -1:, 0].argmax(dim=-1)\n"
            "            tokens = torch.cat([tokens, best], dim=1)\n"
            "    return tokens, num_new\n\n\nclass MultiTokenModel(nn.Module):\n"
            '    """Read tokens once with a shared trunk, and predict the next n '
            "tokens from every\n    place, each with its own head.\n\n"
            "    - `hidden(tokens)` takes (B, T) int64 and returns (B, T, H), the "
            "outputs of\n      the trunk.\n"
            "    - `forward(tokens)` returns logits (B, T, n, V): [:, t, k] are head "
            "k's logits for\n      token t + 1 + k.\n\n    Args:\n"
            "        vocab_size, hidden_size, num_heads: V, H and n.\n"
            "    Attributes:\n        vocab_size, num_heads: as given.\n"
            "        embedding: nn.Embedding(V, H).\n"
            "        trunk: nn.GRU(H, H, batch_first=True).\n"
            "        heads: nn.ModuleList of n nn.Linear(H, V).\n\n    Edge cases ★\n"
            "        The layers are created in this order. So under one seed, models "
            "with any n start\n"
            "        with the same embedding, trunk and first head, and can be "
            'compared.\n    """\n\n'
            "    def __init__(self, vocab_size: int, hidden_size: int, num_heads: "
            "int):\n        super().__init__()\n"
            "        self.vocab_size, self.num_heads = vocab_size, num_heads\n"
            "        self.heads = nn.ModuleList(\n"
            "            nn.Linear(hidden_size, vocab_size) for _ in "
            "range(num_heads)\n        )\n"
            "        self.embedding = nn.Embedding(vocab_size, hidden_size)\n"
            "        self.trunk = nn.GRU(hidden_size, hidden_size, batch_first=True)"
        ),
        caught_by="test_the_same_seed_gives_the_same_trunk_and_first_head",
        says="of 4 heads beside that of 1 head",
        edge=True,
    ),
    Mistake(
        "every head against the next token",
        was=LOSS,
        now=(
            "losses.append(F.cross_entropy(logits[:, :-1, k].flatten(0, 1), tokens[:, "
            "1:].flatten()))"
        ),
        caught_by="test_head_k_is_scored_k_plus_1_places_later",
        says="looks like every head scored on the next token",
    ),
    Mistake(
        "targets by torch.roll",
        was=LOSS,
        now=(
            "losses.append(F.cross_entropy(logits[:, :, k].flatten(0, 1), "
            "tokens.roll(-(k + 1), 1).flatten()))"
        ),
        caught_by="test_head_k_is_scored_k_plus_1_places_later",
        says="looks like targets that wrap around, as with torch.roll",
    ),
    Mistake(
        "targets padded with token 0",
        was=LOSS,
        now="losses.append("
        "F.cross_entropy(logits[:, :, k].flatten(0, 1), F.pad(tokens[:, k + 1 :], (0, "
        "k + 1)).flatten()))",
        caught_by="test_head_k_is_scored_k_plus_1_places_later",
        says="looks like targets after the end that are token 0",
    ),
    Mistake(
        "one common length for all heads",
        was=LOSS,
        now=LOSS.replace(":scored", ": length - num_heads").replace(
            "k + 1 :]", "k + 1 : length - num_heads + k + 1]"
        ),
        caught_by="test_head_k_is_scored_k_plus_1_places_later",
        says="looks like only the places that have a target for every head",
    ),
    Mistake(
        "the mean over the heads",
        was="return per_head.sum(), per_head",
        now="return per_head.mean(), per_head",
        caught_by="test_the_total_is_the_sum_over_heads",
        says="looks like the mean over the heads",
    ),
    Mistake(
        "NumPy: the targets of head 0 for all heads",
        was="""np.take_along_axis(
                logp[:, :scored, k], tokens[:, k + 1 :, None], axis=-1
            )""",
        now="np.take_along_axis(logp[:, :-1, k], tokens[:, 1:, None], axis=-1)",
        caught_by="test_is_the_total_loss",
        says="looks like every head scored on the next token",
    ),
    Mistake(
        "each entry of P to a power",
        was="power = power @ transition",
        now="power = power * transition",
        caught_by="test_a_chain_of_two_tokens_by_hand",
        says="looks like each entry of P squared, not the matrix",
    ),
    Mistake(
        "hidden states not detached",
        was=CUT,
        now="cut = hidden",
        caught_by="TestBackwardHeadByHead::test_gradients_are_those_of_the_total_loss",
        says="backward through the graph a second time",
    ),
    Mistake(
        "hidden states not detached, and the graph retained",
        was=BODY,
        now=BODY.replace("hidden.detach().requires_grad_()", "hidden")
        .replace("loss.backward()", "loss.backward(retain_graph=True)")
        .replace("    hidden.backward(cut.grad)\n", ""),
        caught_by="test_the_trunk_runs_once_in_each_direction",
        says="backward",
    ),
    Mistake(
        "all logits at once",
        was=EACH,
        now="""        total = total + loss
    total.backward()
    hidden.backward(cut.grad)
    total = total.item()
""",
        caught_by="test_one_head_is_done_before_the_next_begins",
        says="two heads' logits are in memory at once",
    ),
    Mistake(
        "gradients never cleared",
        was=STEP,
        now="        total.backward()\n",
        caught_by="test_each_step_is_one_of_adam_on_the_total",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "only the first head trained",
        was=STEP,
        now=STEP.replace("total.backward", "per_head[0].backward"),
        caught_by="test_each_step_is_one_of_adam_on_the_total",
        says="looks like only the first head is trained",
    ),
    Mistake(
        "one batch for all steps",
        was="""    for _ in range(steps):
        tokens = sample_sequences(transition, batch_size, length, generator)
""",
        now="""    tokens = sample_sequences(transition, batch_size, length, generator)
    for _ in range(steps):
""",
        caught_by="test_every_step_reads_fresh_sequences_of_the_chain",
        says="steps 0 and 1 read the same sequences",
    ),
    Mistake(
        "drafts taken unchecked",
        was=ACCEPT,
        now="accepted = draft.size(1)",
        caught_by="test_wrong_drafts_change_nothing_in_the_text",
        says="looks like drafts taken unchecked",
    ),
    Mistake(
        "right tokens counted after a wrong one",
        was=ACCEPT,
        now="accepted = int(right.sum())",
        caught_by="test_wrong_drafts_change_nothing_in_the_text",
        says="looks like a draft token counts that comes after a wrong one",
    ),
    Mistake(
        "no sure token after an accepted draft",
        was=APPEND,
        now="sure = best[:, accepted, : int(accepted == 0)]\n"
        "            text = torch.cat([text, draft[:, :accepted], sure], dim=1)",
        caught_by="test_right_drafts_save_calls",
        says="looks like no sure token after an accepted draft",
    ),
    Mistake(
        "the draft read off the last place, accepted or not",
        was=DRAFT,
        now="draft = best[:, -1, 1:]",
        caught_by="test_wrong_drafts_change_nothing_in_the_text",
        says="looks like the next draft read off the last place, accepted or not",
    ),
    Mistake(
        "the text not cut",
        was="return text[:, :length], calls",
        now="return text, calls",
        caught_by="test_the_text_is_cut_where_it_should_end",
        says="expected (1, 5)",
    ),
    Mistake(
        "a graph over all calls",
        was="    with torch.no_grad():\n        while",
        now="    with torch.enable_grad():\n        while",
        caught_by="TestSpeculativeGenerate::test_no_graph_is_built",
        says="the logits have a graph",
        edge=True,
    ),
    Mistake(
        "the total loss compared",
        was="[losses[0] for losses in history]",
        now="[sum(losses) for losses in history]",
        caught_by="test_a_curve_is_the_first_heads_loss",
        says="looks like the total over the heads",
    ),
    Mistake(
        "one generator going on from model to model",
        was=SEEDED,
        now="""            if not curves:
                torch.manual_seed(seed)
                generator = torch.Generator().manual_seed(seed)
            model = MultiTokenModel(len(transition), hidden_size, num_heads)
""",
        caught_by="test_a_curve_is_the_first_heads_loss",
        says="looks like seeded once, not once per model",
    ),
]

UNASKED = {
    f"{name}: transition, never negative": "chances"
    for name in ("compare_heads", "train_multi_token")
}

EQUIVALENT = [
    Equivalent(
        was="while last + 1 < text.size(1) and text[0, last + 1] == best[0, last, 0]:",
        now="while last + 1 < text.size(1) and text[0, last + 1] == best[-1, last, 0]:",
        reason="a batch of one",
        textbook=True,
    ),
    Equivalent(
        was="while last + 1 < text.size(1) and text[0, last + 1] == best[0, last, 0]:",
        now="while last + 1 < text.size(1) and text[-1, last + 1] == best[0, last, 0]:",
        reason="a batch of one",
        textbook=True,
    ),
]
