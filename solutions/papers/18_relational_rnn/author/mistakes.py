"""Wrong solutions of papers/18 that its specs must catch."""

from grader.course.mistakes import Mistake

SCORES = "scores = query @ key.mT / math.sqrt(query.shape[-1])"
SOFTMAX = "return scores.softmax(dim=-1) @ value"
NUMPY_WEIGHTS = "return weights / weights.sum(axis=-1, keepdims=True) @ value"
MEMORY = """        rows = torch.eye(self.num_slots, self.slot_size).to(self.qkv.weight)
        return rows.repeat(batch_size, 1, 1)
"""
HEADS = """heads = (
            self.qkv(rows).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        )"""
ATTENDED = "attended = attend(query[:, :, :-1], key, value).transpose(1, 2).flatten(2)"
NEW = """return (
            torch.sigmoid(i) * torch.tanh(self.update(memory, x))
            + torch.sigmoid(f + 1) * memory
        )"""
CLIP = "        nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"
READ = """        memory = self.core.initial_memory(len(x))
        for inputs in x.unbind(dim=1):
            memory = self.core(inputs, memory)
"""

MISTAKES = [
    # attend
    Mistake(
        "softmax over the query axis",
        was=SOFTMAX,
        now="return scores.softmax(dim=-2) @ value",
        caught_by="TestAttend::test_each_query_averages_the_values",
        says="looks like the softmax taken over the queries",
    ),
    Mistake(
        "scores not scaled",
        was=SCORES,
        now="scores = query @ key.mT",
        caught_by="TestAttend::test_each_query_averages_the_values",
        says="looks like scores not divided by √d",
    ),
    Mistake(
        "PyTorch's own attention",
        was=SOFTMAX,
        now="return F.scaled_dot_product_attention(query, key, value)",
        caught_by="TestAttend::test_each_query_averages_the_values",
        says="without torch.nn.functional.scaled_dot_product_attention",
    ),
    Mistake(
        "exp without the largest score subtracted",
        was=SOFTMAX,
        now=(
            "weights = scores.exp()\n"
            "    return weights / weights.sum(dim=-1, keepdim=True) @ value"
        ),
        caught_by="TestAttend::test_large_scores_stay_finite",
        says="got nan, expected 3",
        edge=True,
    ),
    # attend_numpy
    Mistake(
        "NumPy: normalised over the queries",
        was=NUMPY_WEIGHTS,
        now="return weights / weights.sum(axis=-2, keepdims=True) @ value",
        caught_by="TestAttendNumpy::test_equal_values_stay_as_they_are",
        says="looks like weights that add up to 1 over the queries",
    ),
    Mistake(
        "NumPy: the query scaled in place",
        was="scores = query @ np.swapaxes(key, -2, -1) / math.sqrt(query.shape[-1])",
        now=(
            "query /= math.sqrt(query.shape[-1])\n"
            "    scores = query @ np.swapaxes(key, -2, -1)"
        ),
        caught_by="TestAttendNumpy::test_arguments_are_left_as_they_were",
        says="query after the call",
        edge=True,
    ),
    # RelationalMemory.__init__
    Mistake(
        "backward: the softmax's own sum left out",
        was="weights * (d_weights - (weights * d_weights).sum(axis=-1, keepdims=True))",
        now="weights * d_weights",
        caught_by="TestAttendBackwardNumpy::test_gradients_are_those_of_autograd",
        says="looks like the sum over the keys left out",
    ),
    Mistake(
        "backward: the root of d forgotten on the way back",
        was=(
            "return d_scores @ key / root, np.swapaxes(d_scores, -2, -1) @ query / "
            "root, d_value"
        ),
        now="return d_scores @ key, np.swapaxes(d_scores, -2, -1) @ query, d_value",
        caught_by="TestAttendBackwardNumpy::test_gradients_are_those_of_autograd",
        says="looks like not divided by √d on the way back",
    ),
    Mistake(
        "gates for D numbers only",
        was="self.memory_gates = nn.Linear(slot_size, 2 * slot_size)",
        now="self.memory_gates = nn.Linear(slot_size, slot_size)",
        caught_by="TestRelationalMemoryInit::test_the_parameters",
        says="the parameters, with 5 slots",
    ),
    Mistake(
        "num_heads not checked",
        was="if slot_size % num_heads:",
        now="if False:",
        caught_by="TestRelationalMemoryInit::test_heads_must_divide_the_slot",
        says="raised nothing expected an error, such as ValueError that mentions 8, 3",
        edge=True,
    ),
    # RelationalMemory.initial_memory
    Mistake(
        "zeros as initial memory",
        was=MEMORY,
        now="        return torch.zeros(batch_size, self.num_slots, self.slot_size)\n",
        caught_by=(
            "TestRelationalMemoryInitialMemory::test_slot_s_is_the_unit_vector_e_s"
        ),
        says="looks like zeros: no slot could ever differ from another",
    ),
    Mistake(
        "initial memory without a batch",
        was="return rows.repeat(batch_size, 1, 1)",
        now="return rows[None]",
        caught_by=(
            "TestRelationalMemoryInitialMemory::"
            "test_every_sequence_starts_with_the_same_slots"
        ),
        says="(1, 2, 4)  expected (3, 2, 4)",
    ),
    # RelationalMemory.update
    Mistake(
        "keys and values from memory alone",
        was=ATTENDED,
        now=ATTENDED.replace("key, value", "key[:, :, :-1], value[:, :, :-1]"),
        caught_by=(
            "TestRelationalMemoryUpdate::test_slots_attend_to_slots_and_to_the_input"
        ),
        says="looks like keys and values from the slots alone",
    ),
    Mistake(
        "keys and values from x alone",
        was=ATTENDED,
        now=ATTENDED.replace("key, value", "key[:, :, -1:], value[:, :, -1:]"),
        caught_by=(
            "TestRelationalMemoryUpdate::test_slots_attend_to_slots_and_to_the_input"
        ),
        says="looks like keys and values from x alone",
    ),
    Mistake(
        "a query row for x, too",
        was=ATTENDED + "\n        m = self.norm1(memory + attended)",
        now=ATTENDED.replace("[:, :, :-1]", "")
        + "\n        m = self.norm1(rows + attended)",
        caught_by=(
            "TestRelationalMemoryUpdate::test_slots_attend_to_slots_and_to_the_input"
        ),
        says="(3, 6, 8)  expected (3, 5, 8)",
    ),
    Mistake(
        "heads dealt out in turn",
        was=HEADS,
        now=(
            "heads = self.qkv(rows).unflatten(-1, (3, -1, self.num_heads)).permute(2, "
            "0, 4, 1, 3)"
        ),
        caught_by=(
            "TestRelationalMemoryUpdate::test_each_head_has_a_block_of_the_numbers"
        ),
        says="looks like numbers dealt out to the heads in turn",
    ),
    Mistake(
        "one head for all",
        was=HEADS,
        now="heads = self.qkv(rows).unflatten(-1, (3, 1, -1)).permute(2, 0, 3, 1, 4)",
        caught_by=(
            "TestRelationalMemoryUpdate::test_each_head_has_a_block_of_the_numbers"
        ),
        says="looks like one head, whatever num_heads",
    ),
    Mistake(
        "norm before the residual",
        was="m = self.norm1(memory + attended)",
        now="m = memory + self.norm1(attended)",
        caught_by=(
            "TestRelationalMemoryUpdate::test_slots_attend_to_slots_and_to_the_input"
        ),
        says="looks like a norm before the residual",
    ),
    # RelationalMemory.forward
    Mistake(
        "gate order swapped",
        was="i, f = gates.chunk(2, dim=-1)",
        now="f, i = gates.chunk(2, dim=-1)",
        caught_by=(
            "TestRelationalMemoryForward::"
            "test_gates_decide_what_is_written_and_what_is_kept"
        ),
        says="looks like input and forget gate exchanged",
    ),
    Mistake(
        "forget gate without + 1",
        was=NEW,
        now=NEW.replace("f + 1", "f"),
        caught_by=(
            "TestRelationalMemoryForward::"
            "test_gates_decide_what_is_written_and_what_is_kept"
        ),
        says="looks like the forget gate without + 1",
    ),
    # RelationalRNN
    Mistake(
        "memory kept between calls",
        was=READ,
        now="""        memory = vars(self).get("kept")
        if memory is None or len(memory) != len(x):
            memory = self.core.initial_memory(len(x))
        for inputs in x.unbind(dim=1):
            memory = self.core(inputs, memory)
        self.kept = memory.detach()
""",
        caught_by="TestRelationalRNN::test_each_call_starts_from_the_initial_memory",
        says="the same sequences, after others",
    ),
    Mistake(
        "memory detached at each step",
        was="memory = self.core(inputs, memory)",
        now="memory = self.core(inputs, memory.detach())",
        caught_by="TestRelationalRNN::test_the_gradient_reaches_the_first_input",
        says="no gradient reaches the first step",
    ),
    # train_recall
    Mistake(
        "gradients not clipped",
        was=CLIP,
        now="",
        caught_by="TestTrainRecall::test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not clipped before the step",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="TestTrainRecall::test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "trained in the mode in which the model came",
        was="    model.train()\n    losses",
        now="    losses",
        caught_by="TestTrainRecall::test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
]
