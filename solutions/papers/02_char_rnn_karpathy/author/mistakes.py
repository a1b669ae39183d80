"""Wrong solutions of papers/02 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

STEP = "h = torch.tanh(column + h @ self.W_hh.T + self.b_h)"
STARTS = "starts = range(0, len(ids) - seq_len, seq_len)"
CALL = "logits, h = model(inputs[None], h if place > 0 else None)"
UPDATE = """        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
"""
DRAW = """torch.multinomial(
                    F.softmax(scores / temperature, dim=-1), 1, generator=generator
                )"""

MISTAKES = [
    Mistake(
        "characters in the order of first appearance",
        was="itos = sorted(set(text))",
        now="itos = list(dict.fromkeys(text))",
        caught_by="test_characters_are_sorted_and_there_once",
        says="looks like numbered in the order of first appearance",
    ),
    Mistake(
        "NumPy: W_hh transposed",
        was="W_hh @ h + b_h)",
        now="h @ W_hh + b_h)",
        caught_by="TestRnnForwardNumpy::test_follows_the_recurrence",
        says="looks like W_hh is transposed",
    ),
    Mistake(
        "NumPy: h0 written over",
        was=(
            "        h = np.tanh(W_xh[:, character] + W_hh @ h + b_h)\n"
            "        states.append(h)"
        ),
        now=(
            "        h[:] = np.tanh(W_xh[:, character] + W_hh @ h + b_h)\n"
            "        states.append(h.copy())"
        ),
        caught_by="test_h0_is_left_as_it_was",
        says="of h0 after the call",
        edge=True,
    ),
    Mistake(
        "W_hh not transposed in the row form",
        was=STEP,
        now=STEP.replace("W_hh.T", "W_hh"),
        caught_by="test_logits_and_last_state_follow_the_recurrence",
        says="looks like W_hh is transposed",
    ),
    Mistake(
        "the state reset at every step",
        was=STEP,
        now=STEP.replace("h @", "torch.zeros_like(h) @"),
        caught_by="test_logits_and_last_state_follow_the_recurrence",
        says="looks like the state before is ignored",
    ),
    Mistake(
        "no graph through time",
        was=STEP,
        now=STEP.replace("h @", "h.detach() @"),
        caught_by="test_gradients_go_back_through_all_steps",
        says="of gradient of W_xh",
    ),
    Mistake(
        "start values beyond 1/√H",
        was="bound = 1 / math.sqrt(hidden_size)",
        now="bound = 1 / math.sqrt(vocab_size)",
        caught_by="TestCharRNN::test_parameters_start_within_the_bound",
        says="beyond 1/√100 = 0.1",
    ),
    Mistake(
        "targets that are the inputs",
        was="ids[start + 1 : start + seq_len + 1]",
        now="ids[start : start + seq_len]",
        caught_by="test_targets_are_the_next_characters",
        says="looks like the inputs",
    ),
    Mistake(
        "the last chunk left out",
        was=STARTS,
        now="starts = range(0, len(ids) - seq_len - 1, seq_len)",
        caught_by="test_chunks_follow_one_another",
        says="looks like no last chunk",
    ),
    Mistake(
        "no state from chunk to chunk",
        was=CALL,
        now="logits, h = model(inputs[None])",
        caught_by="test_the_state_is_carried_from_chunk_to_chunk",
        says="step 1 starts without a state",
    ),
    Mistake(
        "the state carried over into the next pass",
        was=CALL,
        now="logits, h = model(inputs[None], h)",
        caught_by="test_the_state_is_carried_from_chunk_to_chunk",
        says="step 3 reads the first chunk of the stream, but not from a fresh state",
    ),
    Mistake(
        "the graph kept over the border of a chunk",
        was="        h = h.detach()\n",
        now="",
        caught_by="test_no_gradient_crosses_the_border_of_a_chunk",
        says="the h that came in still has the graph of the chunk before",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "clipping after the step",
        was=UPDATE,
        now="""        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
""",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not clipped before the step",
    ),
    Mistake(
        "gradients cleared after the step only",
        was=UPDATE,
        now="""        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        optimizer.zero_grad()
""",
        caught_by="test_old_gradients_have_no_effect",
        says="looks like old gradients that were not cleared",
        edge=True,
    ),
    Mistake(
        "only the last character of the prompt read",
        was="model(prompt[None])",
        now="model(prompt[None, -1:])",
        caught_by="test_the_whole_prompt_is_read",
        says="looks like only the prompt's last character was read",
    ),
    Mistake(
        "the state lost while writing",
        was="model(new[None, place : place + 1], h)",
        now="model(new[None, place : place + 1])",
        caught_by="test_temperature_0_takes_the_best_character_each_time",
        says=(
            "looks like without a state: each character is guessed from the one before"
        ),
    ),
    Mistake(
        "softmax times the temperature",
        was=DRAW,
        now=DRAW.replace("/ temperature", "* temperature"),
        caught_by="test_temperature_divides_the_logits",
        says="looks like the logits times the temperature",
    ),
    Mistake(
        "the prompt returned, too",
        was="    return new\n",
        now="    return torch.cat([prompt, new])\n",
        caught_by="test_temperature_0_takes_the_best_character_each_time",
        says="looks like the prompt, then the new characters",
    ),
    Mistake(
        "a graph that grows with every character",
        was="    with torch.no_grad():\n",
        now="    with torch.enable_grad():\n",
        caught_by="test_the_model_is_left_as_it_was",
        says="the state that is handed on has a graph",
        edge=True,
    ),
    Mistake(
        "backward: nothing handed back through time",
        was="later = W_hh.T @ da[t]",
        now="later = np.zeros_like(h0)",
        caught_by="TestRnnBackwardNumpy::test_gradients_are_those_of_autograd",
        says="looks like nothing came back from the next place",
    ),
    Mistake(
        "backward: W_hh not transposed",
        was="later = W_hh.T @ da[t]",
        now="later = W_hh @ da[t]",
        caught_by="TestRnnBackwardNumpy::test_gradients_are_those_of_autograd",
        says="looks like W_hh is not transposed on the way back",
    ),
    Mistake(
        "backward: a character that comes twice counted once",
        was='"W_xh": da.T @ one_hot,',
        now=(
            '"W_xh": np.stack([da[list(ids).index(c)] if c in ids else 0 * h0 for c '
            "in range(logits.shape[1])], axis=1),"
        ),
        caught_by="TestRnnBackwardNumpy::test_gradients_are_those_of_autograd",
        says="of ['W_xh']",
    ),
    Mistake(
        "backward: zeros in place of h0",
        was="before = np.vstack([h0, hidden[:-1]])",
        now="before = np.vstack([0 * h0, hidden[:-1]])",
        caught_by="test_the_first_state_counts",
        says="of gradient of W_hh",
    ),
    Mistake(
        "backward: a softmax that overflows",
        was="np.exp(logits - logits.max(axis=1, keepdims=True))",
        now="np.exp(logits)",
        caught_by="test_large_logits_give_finite_gradients",
        says="of gradient of b_y",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="loss = F.cross_entropy(logits[0], targets)",
        now="loss = F.cross_entropy(logits[-1], targets)",
        reason="a batch of one",
        textbook=True,
    ),
    Equivalent(
        was="last = logits[0, -1]",
        now="last = logits[-1, -1]",
        reason="a batch of one",
        textbook=True,
    ),
    Equivalent(
        was="F.softmax(last / temperature, dim=-1), 1, generator=generator",
        now="F.softmax(last / temperature, dim=-0), 1, generator=generator",
        reason="one dimension",
        textbook=True,
    ),
]
