"""Wrong solutions of papers/12 that its specs must catch."""

from grader.course.mistakes import Mistake

ADD_AT = 'np.add.at(messages, target, np.einsum("eij,ej->ei", A[edge_type], h[source]))'
SUMMED = "return torch.zeros_like(h).index_add(0, target, per_node[edge_type, source])"
SHARED = """        self.layer = MPNNLayer(hidden, num_edge_types)
        self.readout = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out_features)
        )
        self.steps = steps

    def node_states(self, x: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        h = self.embed(x)
        for _ in range(self.steps):
            h = self.layer(h, edge_index, edge_type)
"""
OWN = (
    SHARED.replace(
        "self.layer = MPNNLayer(hidden, num_edge_types)",
        "self.layer = nn.ModuleList([MPNNLayer(hidden, num_edge_types) for _ in "
        "range(steps)])",
    )
    .replace("for _ in range(self.steps):", "for layer in self.layer:")
    .replace("h = self.layer(", "h = layer(")
)
RETURN = "return sums.index_add(0, batch, outputs)"
READ_OUT = f"""self.readout(self.node_states(x, edge_index, edge_type))
        sums = outputs.new_zeros(int(batch.max()) + 1, outputs.shape[1])
        {RETURN}"""
SHIFT = "edges + offset for edges"
LOSS = "F.mse_loss(outputs[:, 0], targets[drawn])"

MISTAKES = [
    Mistake(
        "NumPy: repeated targets written once",
        was=ADD_AT,
        now='messages[target] += np.einsum("eij,ej->ei", A[edge_type], h[source])',
        caught_by="TestMessagePassingNumpy::test_sums_over_the_incoming_edges",
        says=(
            "looks like one message per node: assigning to an index keeps the last one"
        ),
    ),
    Mistake(
        "summed at the source",
        was=SUMMED,
        now=(
            "return torch.zeros_like(h).index_add(0, source, per_node[edge_type, "
            "source])"
        ),
        caught_by="test_an_edge_tells_its_target_of_its_source",
        says="looks like a message to the source",
    ),
    Mistake(
        "edges read backwards",
        was="""        source, target = edge_index
        # (R, N, D): what each node would say along an edge of each type
        per_node""",
        now="        target, source = edge_index\n        per_node",
        caught_by="test_an_edge_tells_its_target_of_its_source",
        says="looks like the edge read backwards",
    ),
    Mistake(
        "m[target] = m[target] + messages",
        was=SUMMED,
        now=(
            "m = torch.zeros_like(h)\n"
            "        m[target] = m[target] + per_node[edge_type, source]\n"
            "        return m"
        ),
        caught_by="TestMPNNLayer::test_parallel_edges_count_twice",
        says="looks like a message that counts once",
    ),
    Mistake(
        "divided by the number of messages",
        was=SUMMED,
        now=SUMMED.replace("return ", "sums = ")
        + (
            "\n"
            "        return sums / torch.bincount(target, "
            "minlength=len(h)).clamp(min=1)[:, None]"
        ),
        caught_by="test_messages_are_sums_over_the_incoming_edges",
        says="looks like the mean of the messages",
    ),
    Mistake(
        "A transposed",
        was="h @ self.A.mT",
        now="h @ self.A",
        caught_by="test_an_edge_tells_its_target_of_its_source",
        says="looks like A transposed",
    ),
    Mistake(
        "one matrix for all types",
        was="per_node[edge_type, source])",
        now="per_node[0, source])",
        caught_by="test_each_edge_type_has_its_own_matrix",
        says="looks like A[0]",
    ),
    Mistake(
        "GRUCell's arguments swapped",
        was="return self.update(self.messages(h, edge_index, edge_type), h)",
        now="return self.update(h, self.messages(h, edge_index, edge_type))",
        caught_by="test_the_update_reads_messages_and_keeps_states",
        says="looks like update(h, messages), arguments swapped",
    ),
    Mistake(
        "a layer of its own per step",
        was=SHARED,
        now=OWN,
        caught_by="test_all_steps_share_one_layer",
        says="there are 4 layers for steps=4, expected one that all steps share",
    ),
    Mistake(
        "each step starts from the inputs",
        was="h = self.layer(h, edge_index",
        now="h = self.layer(self.embed(x), edge_index",
        caught_by="test_news_travels_one_hop_per_step",
        says="node 0 depends on the nodes [0, 1], expected 0 to 3",
    ),
    Mistake(
        "the readout of the sum",
        was=READ_OUT,
        now="""self.node_states(x, edge_index, edge_type)
        sums = outputs.new_zeros(int(batch.max()) + 1, outputs.shape[1])
        return self.readout(sums.index_add(0, batch, outputs))""",
        caught_by="test_a_graph_is_the_sum_of_its_nodes_readouts",
        says="looks like the readout of the summed states",
    ),
    Mistake(
        "the mean over nodes",
        was=RETURN,
        now="return sums.index_add(0, batch, outputs) / torch.bincount(batch)[:, None]",
        caught_by="test_two_copies_in_one_graph_give_twice_the_output",
        says="looks like the output of one copy, as for a mean",
    ),
    Mistake(
        "node numbers not shifted",
        was=SHIFT,
        now="edges for edges",
        caught_by="test_node_numbers_are_shifted_by_the_nodes_before",
        says="looks like node numbers that are not shifted",
    ),
    Mistake(
        "node numbers shifted by edges",
        was="    offsets = (sizes.cumsum(0) - sizes).tolist()",
        now="""    counts = torch.tensor([len(kinds) for _, _, kinds in graphs])
    offsets = (counts.cumsum(0) - counts).tolist()""",
        caught_by="test_node_numbers_are_shifted_by_the_nodes_before",
        says="looks like node numbers shifted by the edges before",
    ),
    Mistake(
        "node numbers shifted in place",
        was=SHIFT,
        now="edges.add_(offset) for edges",
        caught_by="test_the_graphs_that_come_in_are_left_alone",
        says="looks like node numbers shifted in place",
    ),
    Mistake(
        "edges renumbered by perm",
        was="new_number[edge_index]",
        now="perm[edge_index]",
        caught_by="test_edges_keep_their_nodes_under_the_new_numbers",
        says="looks like perm[edge_index], the way from new to old",
    ),
    Mistake(
        "targets of other graphs",
        was=LOSS,
        now="F.mse_loss(outputs[:, 0], targets[:batch])",
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like targets of the first graphs",
    ),
    Mistake(
        "every output against every target",
        was=LOSS,
        now="(outputs[:, :1] - targets[drawn]).pow(2).mean()",
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like every output compared with every target",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "max with the zeros of the start",
        was='"amax", include_self=False\n        )',
        now='"amax")',
        caught_by="test_max_of_negative_messages",
        says="looks like a maximum with the zeros of the start",
    ),
    Mistake(
        "mean over all messages",
        was="index_add(0, index, messages) / counts[:, None]",
        now="index_add(0, index, messages) / len(messages)",
        caught_by="TestAggregate::test_mean",
        says="looks like the sum divided by the number of all messages",
    ),
    # edges
    Mistake(
        "the readout is summed in float32",
        was="outputs.new_zeros(",
        now="torch.zeros(",
        caught_by="TestMPNN::test_a_float64_model_computes_in_float64",
        says="dtypes sums: float32",
        edge=True,
    ),
    Mistake(
        "any other way is a sum",
        was='if how == "sum":',
        now='if how not in ("mean", "max"):',
        caught_by="test_any_other_way_is_an_error",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "no call of train()",
        was="    model.train()\n",
        now="",
        caught_by="test_the_mode_is_training_and_stays",
        says="of model.training, during the steps",
        edge=True,
    ),
]
