"""Wrong solutions of today/06 that its specs must catch."""

from grader.course.mistakes import Mistake

TOPK = "weights, experts = logits.softmax(dim=1).topk(k, dim=1)"
DIVIDED = "weights = weights / weights.sum(dim=1, keepdim=True)"
SHARES = (
    "shares = torch.bincount(experts.flatten(), minlength=n_experts) / experts.numel()"
)
LOSS = "return n_experts * (shares * probs.mean(dim=0)).sum()"
SORTED = "order = flat.argsort(stable=True)"
ROWS = (
    "return x[order // experts.size(1)], order, torch.bincount(flat, "
    "minlength=n_experts)"
)
WEIGHTED = "weighted = rows * weights.flatten()[order].to(rows.dtype).unsqueeze(1)"
ADDED = "return rows.new_zeros(count, rows.size(1)).index_add(0, order // k, weighted)"
CAPACITY = "capacity = max(1, math.ceil(capacity_factor * count * k / n_experts))"
PLACE = "place = (asked.cumsum(dim=0) * asked).sum(dim=1)"
ROUTED = "weights, experts = route_topk(logits, self.k, renormalise=self.k > 1)"
DROPPED = """weights = weights * drop_over_capacity(
                experts, len(self.experts), self.capacity_factor
            )"""
DONE = """done = [
            expert(part)
            for expert, part in zip(self.experts, parts, strict=True)
            if len(part)
        ]"""
BACK = """return combine(torch.cat(done), order, weights).view_as(x), logits.softmax(
            dim=1
        )"""

MISTAKES = [
    Mistake(
        "the scores as weights, without a softmax",
        TOPK,
        "weights, experts = logits.topk(k, dim=-1)",
        "test_weights_are_probabilities",
        says="looks like the scores themselves, without a softmax",
    ),
    Mistake(
        "a softmax over the chosen ones alone",
        TOPK,
        "weights, experts = logits.topk(k, dim=-1)\n"
        "    weights = weights.softmax(dim=-1)",
        "test_one_expert_keeps_its_probability",
        says="all weights are 1.0 and the router's gradient is 0",
    ),
    Mistake(
        "not renormalised",
        DIVIDED,
        "pass",
        "TestRouteTopk::test_weights_are_probabilities",
        says="looks like not divided by their sum",
    ),
    Mistake(
        "a coefficient in the balance loss",
        LOSS,
        "return 0.01 * n_experts * (shares * probs.mean(dim=0)).sum()",
        "test_uniform_is_1_and_one_expert_is_e",
        says="looks like a coefficient inside",
    ),
    Mistake(
        "probabilities in place of counted shares",
        SHARES,
        "shares = probs.mean(dim=0)",
        "test_gradient_flows_through_the_probabilities",
        says="looks like that of P²: f comes from `probs`",
    ),
    Mistake(
        "the balance of first choices only",
        SHARES,
        "shares = torch.bincount(experts[:, 0], minlength=n_experts) / len(experts)",
        "test_share_times_mean_probability",
        says="looks like the first choices alone",
    ),
    Mistake(
        "probabilities without their gradient",
        LOSS,
        "return n_experts * (shares * probs.detach().mean(dim=0)).sum()",
        "test_gradient_flows_through_the_probabilities",
        says="the loss has no gradient",
    ),
    Mistake(
        "a sort that mixes equal numbers",
        SORTED,
        "order = (flat * len(flat) + torch.randperm(len(flat))).argsort()",
        "test_tokens_of_an_expert_stay_in_order",
        says="the choices of one expert are not in the order of their flat indices",
    ),
    Mistake(
        "counts only up to the last chosen expert",
        ROWS,
        "return x[order // experts.size(1)], order, torch.bincount(flat)",
        "test_experts_at_the_end_count_0",
        says="looks like counts up to the last chosen expert: minlength is missing",
    ),
    Mistake(
        "order holds tokens",
        ROWS,
        "order = order // experts.size(1)\n"
        "    return x[order], order, torch.bincount(flat, minlength=n_experts)",
        "test_rows_are_sorted_by_expert",
        says="looks like the tokens, not the choices",
    ),
    Mistake(
        "written over, not added",
        ADDED,
        "out = rows.new_zeros(count, rows.size(1))\n    out[order // k] += weighted\n"
        "    return out",
        "test_sum_of_weight_times_row",
        says="looks like a token with two choices kept one of them",
    ),
    Mistake(
        "weights in the order of tokens",
        WEIGHTED,
        "weighted = rows * weights.flatten().to(rows.dtype).unsqueeze(-1)",
        "test_sum_of_weight_times_row",
        says="looks like weights in their own order, rows in the sorted one",
    ),
    Mistake(
        "a remainder in place of a quotient",
        ADDED,
        "return rows.new_zeros(count, rows.size(1)).index_add(0, order % count, "
        "weighted)",
        "test_sum_of_weight_times_row",
        says="looks like the token is the flat index modulo N, not index // k",
    ),
    Mistake(
        "capacity without k",
        CAPACITY,
        "capacity = max(1, math.ceil(capacity_factor * count / n_experts))",
        "test_second_choices_go_first",
        says="looks like a capacity of N/E: every token makes k choices",
    ),
    Mistake(
        "capacity rounded down",
        CAPACITY,
        "capacity = max(1, int(capacity_factor * count * k / n_experts))",
        "test_five_tokens_and_two_experts",
        says="looks like room for N/E rounded down",
    ),
    Mistake(
        "served token by token",
        """asked = F.one_hot(experts.mT.flatten(), n_experts)
    # 1 for the first choice of an expert, then 2, …
    place = (asked.cumsum(dim=0) * asked).sum(dim=1)
    return (place <= capacity).view(k, count).mT""",
        f"asked = F.one_hot(experts.flatten(), n_experts)\n    {PLACE}\n"
        "    return (place <= capacity).view(count, k)",
        "test_second_choices_go_first",
        says=(
            "looks like served token by token, second choices before the next token's "
            "first"
        ),
    ),
    Mistake(
        "a list of experts that the module does not see",
        """self.experts = nn.ModuleList(
            nn.Sequential(
                nn.Linear(n_embd, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_embd)
            )
            for _ in range(n_experts)
        )""",
        """self.experts = [
            nn.Sequential(
                nn.Linear(n_embd, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_embd)
            )
            for _ in range(n_experts)
        ]""",
        "TestMoEInit::test_names_and_shapes",
        says="names in the state dict",
    ),
    Mistake(
        "one expert E times",
        """self.experts = nn.ModuleList(
            nn.Sequential(
                nn.Linear(n_embd, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_embd)
            )
            for _ in range(n_experts)
        )""",
        """self.experts = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Linear(n_embd, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_embd)
                )
            ]
            * n_experts
        )""",
        "test_experts_begin_apart",
        says="looks like one expert, E times in the list",
    ),
    Mistake(
        "one expert with a weight of 1",
        ROUTED,
        "weights, experts = route_topk(logits, self.k)",
        "test_gradients_reach_experts_and_router",
        says="the router's gradient is 0: it learns nothing from the task",
    ),
    Mistake(
        "never renormalised in the layer",
        ROUTED,
        "weights, experts = route_topk(logits, self.k, renormalise=False)",
        "test_equals_a_loop_over_tokens",
        says="looks like never renormalised",
    ),
    Mistake(
        "renormalised after dropping",
        DROPPED,
        f"{DROPPED}\n"
        "            weights = weights / weights.sum(-1, "
        "keepdim=True).clamp(min=1e-12)",
        "test_dropped_choices_add_nothing",
        says="looks like the weights that are left were renormalised",
    ),
    Mistake(
        "every expert on every token",
        f"{DONE}\n        {BACK}",
        """y = torch.zeros_like(flat)
        for number, expert in enumerate(self.experts):
            y = y + (weights * (experts == number)).sum(-1, keepdim=True) * expert(flat)
        return y.view_as(x), logits.softmax(dim=1)""",
        "test_an_expert_computes_its_own_tokens_only",
        says="expert 0 was called with 30 tokens",
    ),
    Mistake(
        "called without tokens",
        DONE,
        "done = [expert(part) for expert, part in zip(self.experts, parts, "
        "strict=True)]",
        "test_an_expert_without_tokens_is_not_called",
        says="experts that were called",
        edge=True,
    ),
]
