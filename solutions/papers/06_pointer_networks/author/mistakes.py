"""Wrong solutions of papers/06 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

SCORES = "np.tanh(enc @ W1.T + W2 @ dec) @ v"
CORNERS = "torch.tensor(chain(order) + chain(order[::-1]))"
MASKED = 'scores if mask is None else torch.where(mask, scores, float("-inf"))'
CHOICE = "choice = pick if targets is None else targets[:, t].clamp(min=0)"
LOOP = """        free, logits, picks = real, [], []
        for t in range(width):
            state = self.decoder(chosen, state)
            active = real[:, t]
            scores = self.attention(encoded, state[0], free)
            logits.append(torch.where(active[:, None], scores, 0.0))
            pick = logits[t].argmax(dim=1)
            picks.append(torch.where(active, pick, -100))
            # -100 is no place
            choice = pick if targets is None else targets[:, t].clamp(min=0)
            free = free & (places != choice[:, None])
"""
UPDATE = """        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
"""

MISTAKES = [
    Mistake(
        "NumPy: W1 and W2 swapped",
        was=SCORES,
        now="np.tanh(enc @ W2.T + W1 @ dec) @ v",
        caught_by="test_every_place_gets_its_score",
        says="looks like W1 and W2 are swapped",
    ),
    Mistake(
        "NumPy: a tanh of each part",
        was=SCORES,
        now="(np.tanh(enc @ W1.T) + np.tanh(W2 @ dec)) @ v",
        caught_by="test_every_place_gets_its_score",
        says="looks like a tanh of each part, then the sum",
    ),
    Mistake(
        "a clockwise hull",
        was=CORNERS,
        now=(
            "torch.tensor((corners := chain(order) + chain(order[::-1]))[:1] + "
            "corners[:0:-1])"
        ),
        caught_by="test_corners_of_a_tilted_square_in_any_input_order",
        says="looks like clockwise",
    ),
    Mistake(
        "a hull from the lowest y",
        was=CORNERS,
        now="""torch.tensor(
        (corners := chain(order) + chain(order[::-1]))[
            (low := corners.index(min(corners, key=lambda i: xy[i][1]))) :
        ]
        + corners[:low]
    )""",
        caught_by="test_starts_at_the_lowest_x",
        says="looks like starts at the lowest y",
    ),
    Mistake(
        "collinear points kept",
        was="point) <= 0:",
        now="point) < 0:",
        caught_by="test_points_on_an_edge_are_left_out",
        says="looks like points on the edges, too",
        edge=True,
    ),
    Mistake(
        "the mask inverted",
        was=MASKED,
        now='scores if mask is None else torch.where(mask, float("-inf"), scores)',
        caught_by="test_masked_places_get_probability_0",
        says="looks like the mask inverted",
    ),
    Mistake(
        "the last padded state as the decoder's start",
        was="packed, (h, c) = self.encoder(packed)",
        now="(packed, _), (_, (h, c)) = self.encoder(packed), self.encoder(embedded)",
        caught_by="test_padding_never_matters",
        says="looks like the encoder reads the padding",
    ),
    Mistake(
        "lengths that must be sorted",
        was=", enforce_sorted=False",
        now="",
        caught_by="test_padding_never_matters",
        says="enforce_sorted",
    ),
    Mistake(
        "no width for the unpacked states",
        was=", total_length=width",
        now="",
        caught_by="test_x_may_be_wider_than_its_longest_list",
        says="mask: (3, 6) scores: (3, 4)",
        edge=True,
    ),
    Mistake(
        "places used again",
        was="free = free & (places != choice[:, None])",
        now="free = real",
        caught_by="test_without_targets_it_follows_its_own_picks",
        says="looks like a place can be chosen twice",
    ),
    Mistake(
        "the mask written in place under autograd",
        was=LOOP,
        now=LOOP.replace(
            "free, logits, picks = real,", "free, logits, picks = real.clone(),"
        ).replace(
            "free = free & (places != choice[:, None])",
            "free[torch.arange(batch), choice] = False",
        ),
        caught_by="test_gradients_reach_all_parts_and_are_finite",
        says="inplace operation",
    ),
    Mistake(
        "the used places follow the picks under teacher forcing",
        was="(places != choice[:, None])",
        now="(places != pick[:, None])",
        caught_by="test_teacher_forcing_follows_the_targets",
        says="looks like used are the places it would have picked, not the targets",
    ),
    Mistake(
        "targets without effect",
        was=CHOICE,
        now="choice = pick",
        caught_by="test_teacher_forcing_follows_the_targets",
        says="looks like with targets it still follows its own picks",
    ),
    Mistake(
        "the decoder reads target t before it scores step t",
        was="state = self.decoder(chosen, state)",
        now="""if targets is not None:
                chosen = embedded[torch.arange(batch), targets[:, t].clamp(min=0)]
            state = self.decoder(chosen, state)""",
        caught_by="test_a_row_depends_on_the_targets_before_it",
        says="logits[:, :1], which should not know targets[:, 0:2]",
    ),
    Mistake(
        "the decoder fed the attention-weighted states",
        was="chosen = embedded[torch.arange(batch), choice]",
        now='chosen = torch.einsum("bt,bth->bh", logits[t].softmax(dim=1), encoded)',
        caught_by="test_teacher_forcing_follows_the_targets",
        says="looks like the decoder is fed the attention-weighted states",
    ),
    Mistake(
        "rows of -inf past the length",
        was="logits.append(torch.where(active[:, None], scores, 0.0))",
        now="logits.append(scores)",
        caught_by="test_rows_past_the_length_are_0_and_their_picks_minus_100",
        says="looks like rows of -inf, which make a loss NaN",
    ),
    Mistake(
        "the caller's targets written over",
        was="        batch, width, _ = x.shape\n",
        now=(
            "        batch, width, _ = x.shape\n"
            "        targets = targets if targets is None else targets.clamp_(min=0)\n"
        ),
        caught_by="test_no_argument_is_written_to",
        says="targets after the call, which must not write to it",
        edge=True,
    ),
    Mistake(
        "the loss counts steps past the length",
        was="targets.flatten(), ignore_index=-100)",
        now="targets.flatten().clamp(min=0))",
        caught_by="test_is_the_mean_over_all_real_steps",
        says="looks like steps past the length counted, with target 0",
    ),
    Mistake(
        "the loss over the wrong dimension",
        was=(
            "F.cross_entropy(logits.flatten(0, 1), targets.flatten(), "
            "ignore_index=-100)"
        ),
        now="F.cross_entropy(logits, targets)",
        caught_by="test_is_the_mean_over_all_real_steps",
        says="looks like the steps taken for the places",
    ),
    Mistake(
        "the share of right steps",
        was="return right.all(dim=1).double().mean().item()",
        now="return right[targets != -100].double().mean().item()",
        caught_by="test_counts_whole_lists",
        says="looks like the share of right steps",
    ),
    Mistake(
        "steps past the length compared, too",
        was="right = (picks == targets) | (targets == -100)",
        now="right = picks == targets",
        caught_by="test_steps_past_the_length_do_not_count",
        says="looks like steps past the length compared, too",
    ),
    Mistake(
        "no teacher forcing",
        was="logits, _ = model(x, lengths, targets)",
        now="logits, _ = model(x, lengths)",
        caught_by="test_every_step_sees_fresh_lists_and_their_targets",
        says="the model is called without targets",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "no clipping",
        was="        nn.utils.clip_grad_norm_(model.parameters(), 2.0)\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not clipped before the step",
    ),
    Mistake(
        "gradients cleared after the step only",
        was=UPDATE,
        now="""        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        optimizer.zero_grad()
""",
        caught_by="test_old_gradients_have_no_effect",
        says="looks like old gradients that were not cleared",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="while len(chain) >= 2 and turn(chain[-2], chain[-1], i) <= 0:",
        now="while len(chain) >= 2 and turn(chain[-2], chain[-1], i) < 0:",
        reason="a point on an edge between two corners is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="h, c = h[0], c[0]",
        now="h, c = h[0], c[-1]",
        reason="one layer",
        textbook=True,
    ),
    Equivalent(
        was="h, c = h[0], c[0]",
        now="h, c = h[-1], c[0]",
        reason="one layer",
        textbook=True,
    ),
]
