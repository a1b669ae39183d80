"""Wrong solutions of papers/20 that its specs must catch."""

from grader.course.mistakes import Mistake

COSINE = "similarity = F.cosine_similarity(memory, key.unsqueeze(1), dim=2)"
NORMS = (
    "norms = np.linalg.norm(memory, axis=2) * np.linalg.norm(key, axis=1, "
    "keepdims=True)"
)
GATED = "gated = gate * content + (1 - gate) * previous"
SHIFTED = """shifted = (
        back * gated.roll(-1, dims=1) + stay * gated + ahead * gated.roll(1, dims=1)
    )"""
POWERS = "powers = shifted**sharpen"
SUMMED = "return powers / powers.sum(dim=1, keepdim=True)"
WRITTEN = (
    "return memory * (1 - weights * erase.unsqueeze(1)) + weights * add.unsqueeze(1)"
)
WRITES = """            writing = _address(memory, numbers, writing)
            memory = write_memory(memory, writing, erase.sigmoid(), add.tanh())
"""
READS = """            reading = _address(memory, self.read_head(h), reading)
            read = read_memory(memory, reading)
"""
LOSS = "loss = F.binary_cross_entropy_with_logits(logits[:, length:], bits)"
CLIPPED = "        nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"

MISTAKES = [
    Mistake(
        "dot product in place of the cosine",
        was=COSINE,
        now="similarity = torch.einsum('bnm,bm->bn', memory, key)",
        caught_by="test_only_directions_count",
        says="looks like a dot product in place of the cosine",
    ),
    Mistake(
        "softmax over the batch",
        was="return (strength * similarity).softmax(dim=1)",
        now="return (strength * similarity).softmax(dim=0)",
        caught_by="TestContentWeights::test_is_a_softmax_of_strength_times_cosine",
        says="looks like a softmax over the batch",
    ),
    Mistake(
        "strength after the softmax",
        was="return (strength * similarity).softmax(dim=1)",
        now="return strength * similarity.softmax(dim=1)",
        caught_by="test_strength_makes_it_sharp",
        says="looks like the strength times the softmax",
    ),
    Mistake(
        "NumPy: not divided by the length of the key",
        was=NORMS,
        now="norms = np.linalg.norm(memory, axis=2)",
        caught_by="TestContentWeightsNumpy::test_is_a_softmax_of_strength_times_cosine",
        says="looks like not divided by the length of the key",
    ),
    Mistake(
        "gate the wrong way round",
        was=GATED,
        now="gated = gate * previous + (1 - gate) * content",
        caught_by="test_the_gate_mixes_content_and_previous",
        says="looks like content and previous exchanged",
    ),
    Mistake(
        "shift in the other direction",
        was="back, stay, ahead = shift.split(1, dim=1)",
        now="ahead, stay, back = shift.split(1, dim=1)",
        caught_by="test_the_shift_moves_in_a_circle",
        says="looks like the direction of the shift reversed",
    ),
    Mistake(
        "no way round",
        was=SHIFTED,
        now="""padded = F.pad(gated, (1, 1))
    shifted = back * padded[:, 2:] + stay * gated + ahead * padded[:, :-2]""",
        caught_by="test_the_shift_moves_in_a_circle",
        says="looks like no way round",
    ),
    Mistake(
        "sharpened before the shift",
        was=f"    {SHIFTED}\n    {POWERS}\n    {SUMMED}",
        now="    gated = gated**sharpen\n"
        f"    gated = gated / gated.sum(dim=1, keepdim=True)\n    {SHIFTED}\n"
        "    return shifted",
        caught_by="test_gate_then_shift_then_sharpen",
        says="looks like sharpened before the shift",
    ),
    Mistake(
        "power without dividing by the sum",
        was=SUMMED,
        now="return powers",
        caught_by="test_sharpen_is_a_power_with_sum_1",
        says="looks like the power without dividing by the sum",
    ),
    Mistake(
        "softmax in place of the power",
        was=SUMMED,
        now="return (sharpen * shifted).softmax(dim=1)",
        caught_by="test_sharpen_is_a_power_with_sum_1",
        says="looks like a softmax in place of the power",
    ),
    Mistake(
        "add is not weighted",
        was=WRITTEN,
        now="return memory * (1 - weights * erase.unsqueeze(1)) + add.unsqueeze(1)",
        caught_by="test_erase_then_add",
        says="looks like add is not weighted",
    ),
    Mistake(
        "new content erased as well",
        was=WRITTEN,
        now=(
            "return (memory + weights * add.unsqueeze(1)) * (1 - weights * "
            "erase.unsqueeze(1))"
        ),
        caught_by="test_erase_then_add",
        says="looks like erased after adding",
    ),
    Mistake(
        "room for erase alone",
        was="self.write_head = nn.Linear(hidden_size, slot_size + 6 + 2 * slot_size)",
        now="self.write_head = nn.Linear(hidden_size, slot_size + 6 + slot_size)",
        caught_by="test_has_four_layers_and_no_more_parameters",
        says="looks like a write head with room for erase or add, not for both",
    ),
    Mistake(
        "read before write",
        was=WRITES + READS,
        now=READS + WRITES,
        caught_by="test_each_step_writes_then_reads",
        says="looks like the vector is read before the write",
    ),
    Mistake(
        "output sees the old vector",
        was="            read = read_memory(memory, reading)\n"
        "            steps.append((self.output(torch.cat([h, read], dim=1)), reading, "
        "writing))\n",
        now="            steps.append((self.output(torch.cat([h, read], dim=1)), "
        "reading, writing))\n"
        "            read = read_memory(memory, reading)\n",
        caught_by="test_each_step_writes_then_reads",
        says="looks like the output sees the vector of the step before",
    ),
    Mistake(
        "sharpen below 1",
        was="shift.softmax(dim=1), 1 + F.softplus(sharpen)\n    )",
        now="shift.softmax(dim=1), F.softplus(sharpen))",
        caught_by="test_each_step_writes_then_reads",
        says="looks like sharpen is softplus without the 1",
    ),
    Mistake(
        "first addresses spread over all slots",
        was="F.pad(x.new_ones(len(x), 1), (0, self.num_slots - 1))",
        now="x.new_full((len(x), self.num_slots), 1 / self.num_slots)",
        caught_by="test_both_heads_start_on_slot_0_and_walk",
        says="looks like a first address that is spread over all slots",
    ),
    Mistake(
        "loss over the first half",
        was=LOSS,
        now="loss = F.binary_cross_entropy_with_logits(logits[:, :length], bits)",
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like the loss of the first half",
    ),
    Mistake(
        "max_length is never drawn",
        was="torch.randint(1, max_length + 1, (), generator=generator)",
        now="torch.randint(1, max_length, (), generator=generator)",
        caught_by="test_each_step_draws_a_length_and_a_batch",
        says="lengths in 60 steps: [1, 2, 3], expected 1, 2, 3 and 4",
    ),
    Mistake(
        "clipped after the step",
        was=f"{CLIPPED}        optimizer.step()\n",
        now=f"        optimizer.step()\n{CLIPPED}",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not clipped",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    # edges
    Mistake(
        "cosine without a floor",
        was=COSINE,
        now="""dots = torch.einsum("bnm,bm->bn", memory, key)
    similarity = dots / (memory.norm(dim=2) * key.norm(dim=1, keepdim=True))""",
        caught_by="test_zeros_resemble_nothing",
        says="not finite 10 of 10 values, first at [0, 0]: nan",
        edge=True,
    ),
    Mistake(
        "power by exp and log",
        was=POWERS,
        now="powers = torch.exp(sharpen * shifted.log())",
        caught_by="test_gradients_are_finite_at_weights_of_0",
        says="of gradient of content not finite 10 of 10 values",
        edge=True,
    ),
    Mistake(
        "memory written in place",
        was=WRITTEN,
        now="""memory *= 1 - weights * erase.unsqueeze(1)
    memory += weights * add.unsqueeze(1)
    return memory""",
        caught_by="test_the_result_is_a_new_tensor",
        says="memory",
        edge=True,
    ),
    Mistake(
        "no call of train()",
        was="    model.train()\n",
        now="",
        caught_by="test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
]
