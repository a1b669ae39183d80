"""Wrong solutions of today/04 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

CORRECTION = """return self.base(x) + self.scale * (
            self.dropout(x) @ self.lora_A.mT @ self.lora_B.mT
        )"""
MERGED = (
    "            merged.weight.copy_(base.weight + self.scale * self.lora_B @ "
    "self.lora_A)\n"
)
MESSAGE = (
    'ids += [im_start, *encode(f"{role}\\n"), *encode(content), im_end, *encode("\\n")]'
)
PROMPT = 'ids += [im_start, *encode("assistant\\n")]'
SPEAKS = """        if is_speaking:
            mask[t] = True
            is_speaking = token != im_end
"""
ROW = "row = next((i for i, left in enumerate(room) if len(doc) <= left), len(rows))"
TARGETS = "targets[row, start : end - 1] = doc.where(counts, -100)[1:]"
SAME = """    same = doc_ids[:, None, :, None] == doc_ids[:, None, None, :]
    return same.tril()"""

MISTAKES = [
    # LoRALinear
    Mistake(
        "A begins as zeros, too",
        was="nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))",
        now="nn.init.zeros_(self.lora_A)",
        caught_by="TestLoRALinearInit::test_b_is_zero_and_a_is_not",
        says="no gradient reaches either: A and B are both 0",
    ),
    Mistake(
        "the base is not frozen",
        was="self.base = base.requires_grad_(False)",
        now="self.base = base",
        caught_by="TestLoRALinearInit::test_only_the_two_learn",
        says="base",
    ),
    Mistake(
        "scaled by alpha",
        was="self.scale = alpha / rank",
        now="self.scale = alpha",
        caught_by="TestLoRALinearForward::test_base_plus_scaled_correction",
        says="looks like scaled by alpha, not alpha / r",
    ),
    Mistake(
        "dropout on the base's input",
        was=CORRECTION,
        now=(
            "x = self.dropout(x)\n"
            "        return self.base(x) + self.scale * (x @ self.lora_A.mT @ "
            "self.lora_B.mT)"
        ),
        caught_by="TestLoRALinearForward::test_dropout_is_for_the_correction_only",
        says="the base's input was dropped, too",
    ),
    Mistake(
        "merged into the base's own weight",
        was=MERGED,
        now="""            base.weight += self.scale * self.lora_B @ self.lora_A
            merged.weight.copy_(base.weight)
""",
        caught_by="TestLoRALinearMerge::test_merging_leaves_the_module_as_it_was",
        says="looks like BA was added to the base's own weight",
    ),
    Mistake(
        "the merged layer has base's own bias",
        was="                merged.bias.copy_(base.bias)\n",
        now="                merged.bias = base.bias\n",
        caught_by="TestLoRALinearMerge::test_no_memory_is_shared",
        says="base.bias changed with the merged layer",
    ),
    # mark_trainable
    Mistake(
        "norms and head still learn",
        was="""parameter.requires_grad_(
            is_adapter or any(_covers(prefix, name) for prefix in also)
        )""",
        now="parameter.requires_grad_(parameter.requires_grad or is_adapter)",
        caught_by="TestMarkTrainable::test_adapters_learn_and_nothing_else",
        says="these parameters should be frozen: first.base.bias",
    ),
    Mistake(
        "tensors are counted",
        was="""return sum(
        parameter.numel() for parameter in named.values() if parameter.requires_grad
    )""",
        now="return sum(parameter.requires_grad for parameter in named.values())",
        caught_by="TestMarkTrainable::test_it_counts_values",
        says="looks like the tensors were counted",
    ),
    # chat_template
    Mistake(
        "a text with special tokens in it",
        was=MESSAGE,
        now="""text = f"<|im_start|>{role}\\n{content}<|im_end|>\\n"
        marked = text.replace("<|im_start|>", "\\0<").replace("<|im_end|>", "\\0>")
        for part in marked.split("\\0"):
            special = {"<": [im_start], ">": [im_end]}.get(part[:1])
            ids += [*special, *encode(part[1:])] if special else encode(part)""",
        caught_by="TestChatTemplate::test_text_ends_no_message",
        says="looks like special tokens read out of a message's text",
    ),
    Mistake(
        "no newline behind im_end",
        was=MESSAGE,
        now='ids += [im_start, *encode(f"{role}\\n"), *encode(content), im_end]',
        caught_by="TestChatTemplate::test_one_message",
        says="looks like without the newline behind im_end",
    ),
    Mistake(
        "role and newline apart",
        was=MESSAGE,
        now=(
            'ids += [im_start, *encode(role), *encode("\\n"), *encode(content), '
            'im_end, *encode("\\n")]'
        ),
        caught_by="TestChatTemplate::test_role_and_newline_go_together",
        says="looks like role and newline encoded apart in the messages",
    ),
    Mistake(
        "the prompt is already closed",
        was=PROMPT,
        now='ids += [im_start, *encode("assistant\\n"), im_end, *encode("\\n")]',
        caught_by="TestChatTemplate::test_the_prompt_opens_an_answer",
        says="looks like the prompt is already closed",
    ),
    # loss_mask
    Mistake(
        "im_end does not count",
        was=SPEAKS,
        now="""        if is_speaking:
            is_speaking = token != im_end
            mask[t] = is_speaking
""",
        caught_by="TestLossMask::test_the_answer_and_its_end",
        says="looks like im_end is left out: the model never learns to stop",
    ),
    Mistake(
        "shifted in the mask, and once more in the targets",
        was="    return mask\n\n\nclass Packed",
        now="    return mask.roll(-1)\n\n\nclass Packed",
        caught_by="TestLossMask::test_the_answer_and_its_end",
        says="looks like shifted: the mask belongs to the inputs",
    ),
    Mistake(
        "only the header's words are looked for",
        was="tokens[max(t + 1 - len(start), 0) : t + 1] == start:",
        now="tokens[max(t + 2 - len(start), 0) : t + 1] == start[1:]:",
        caught_by="TestLossMask::test_the_word_is_no_header",
        says="counts",
    ),
    # pack_documents
    Mistake(
        "next fit",
        was=ROW,
        now="row = len(rows) - 1 if rows and len(doc) <= room[-1] else len(rows)",
        caught_by="TestPackDocuments::test_the_first_row_with_room",
        says="looks like next fit: row 0 had room for a later document",
    ),
    Mistake(
        "positions along the row",
        was="positions[row, start:end] = torch.arange(len(doc))",
        now="positions[row, start:end] = torch.arange(start, end)",
        caught_by="TestPackDocuments::test_positions_restart",
        says="looks like counted along the row",
    ),
    Mistake(
        "the mask of the input decides",
        was=TARGETS,
        now="targets[row, start : end - 1] = doc[1:].where(counts[:-1], -100)",
        caught_by="TestPackDocuments::test_targets_stay_in_their_document",
        says="looks like the mask of the input decides",
    ),
    Mistake(
        "documents are numbered over all rows",
        was="doc_ids[row, start:end] = place",
        now="doc_ids[row, start:end] = number",
        caught_by="TestPackDocuments::test_documents_are_numbered_within_a_row",
        says="looks like numbered over all rows",
    ),
    # document_mask
    Mistake(
        "causal alone",
        was=SAME,
        now="""    length = doc_ids.size(1)
    return torch.ones(len(doc_ids), 1, length, length, dtype=torch.bool).tril()""",
        caught_by="TestDocumentMask::test_the_same_document_and_not_later",
        says="looks like causal alone: documents see their neighbours",
    ),
    Mistake(
        "padding sees nothing",
        was=SAME,
        now="""    same = doc_ids[:, None, :, None] == doc_ids[:, None, None, :]
    return same.tril() & (doc_ids >= 0)[:, None, :, None]""",
        caught_by="TestDocumentMask::test_padding_has_itself",
        says="looks like padding sees nothing, so its row is NaN",
    ),
    Mistake(
        "a copy of the base",
        "self.base = base.requires_grad_(False)",
        "base.requires_grad_(False)\n"
        "        self.base = nn.Linear(base.in_features, base.out_features, base.bias "
        "is not None)\n"
        "        self.base = self.base.to(base.weight).requires_grad_(False)\n"
        "        self.base.load_state_dict(base.state_dict())",
        "test_the_base_is_the_layer_itself",
        says="base is a copy of the layer: keep the layer itself",
    ),
    Mistake(
        "dropout behind A",
        """(
            self.dropout(x) @ self.lora_A.mT @ self.lora_B.mT
        )""",
        "(self.dropout(x @ self.lora_A.mT) @ self.lora_B.mT)",
        "test_features_are_dropped_before_a",
        says="twice, or none: the dropout is behind A",
    ),
    Mistake(
        "whatever has lora_ in its name",
        'is_adapter = name.rpartition(".")[2] in ("lora_A", "lora_B")',
        'is_adapter = "lora_" in name',
        "test_adapters_learn_and_nothing_else",
        says="these parameters should be frozen: flora_2.bias, flora_2.weight",
    ),
    Mistake(
        "header and content encoded in one call",
        'ids += [im_start, *encode(f"{role}\\n"), *encode(content), im_end, '
        '*encode("\\n")]',
        'ids += [im_start, *encode(f"{role}\\n{content}"), im_end, *encode("\\n")]',
        "test_the_content_is_encoded_apart",
        says="looks like header and content encoded in one call",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="while t < len(ids):",
        now="while t <= len(ids):",
        reason=(
            "as it is written, a conversation ends behind im_end; one that is cut off "
            "is asked at the edges alone"
        ),
        textbook=True,
    ),
    Equivalent(
        was="while t < len(ids):",
        now="while t < len(ids) + 1:",
        reason=(
            "as it is written, a conversation ends behind im_end; one that is cut off "
            "is asked at the edges alone"
        ),
        textbook=True,
    ),
    Equivalent(
        was="while t < len(ids):",
        now="while t < len(ids) - 1:",
        reason=(
            "as it is written, a conversation ends behind im_end; one that is cut off "
            "is asked at the edges alone"
        ),
        textbook=True,
    ),
]
