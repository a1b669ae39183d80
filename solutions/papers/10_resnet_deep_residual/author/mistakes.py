"""Wrong solutions of papers/10 that its specs must catch."""

from grader.course.mistakes import Mistake

DENSE = "return np.maximum(x + hidden @ W2.T + b2, 0)"
END = "return F.relu(branch if self.shortcut is None else branch + self.shortcut(x))"
PROJECTION = """nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
        nn.BatchNorm2d(out_channels)"""
SAME = "if stride == 1 and in_channels == out_channels:"
CONV1 = """self.conv1 = nn.Conv2d(
            in_channels, out_channels, 3, stride, padding=1, bias=False
        )"""
CONV2 = "self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)"
BN2 = "self.bn2 = nn.BatchNorm2d(out_channels)"
ADD = "blocks.append(BasicBlock(channels, stage * width, stride, residual))"
GRADIENTS = """gradients = torch.autograd.grad(
        loss, [block.conv1.weight for block in model.blocks]
    )"""
SGD = """optimizer = torch.optim.SGD(
        model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4
    )"""
ZERO = "            block.bn2.weight.zero_()\n"

MISTAKES = [
    # residual_block_numpy
    Mistake(
        "relu before the addition",
        was=DENSE,
        now="return x + np.maximum(hidden @ W2.T + b2, 0)",
        caught_by="TestResidualBlockNumpy::test_equals_the_block_in_torch",
        says="looks like x is added after the second relu",
    ),
    Mistake(
        "shortcut missing",
        was=DENSE,
        now="return np.maximum(hidden @ W2.T + b2, 0)",
        caught_by="TestResidualBlockNumpy::test_equals_the_block_in_torch",
        says="looks like x is not added",
    ),
    Mistake(
        "the sum written over x",
        was=DENSE,
        now="x += hidden @ W2.T + b2\n    return np.maximum(x, 0)",
        caught_by="TestResidualBlockNumpy::test_the_input_is_not_written_to",
        says="x after the call",
        edge=True,
    ),
    # BasicBlock
    Mistake(
        "second relu before the addition",
        was=END,
        now=(
            "return F.relu(branch) if self.shortcut is None else "
            "F.relu(F.relu(branch) + self.shortcut(x))"
        ),
        caught_by="test_the_input_is_added_before_the_last_relu",
        says="looks like the branch goes through a relu of its own before the sum",
    ),
    Mistake(
        "shortcut after the relu",
        was=END,
        now=(
            "return F.relu(branch) if self.shortcut is None else F.relu(branch) + "
            "self.shortcut(x)"
        ),
        caught_by="test_the_input_is_added_before_the_last_relu",
        says="looks like x is added after the last relu",
    ),
    Mistake(
        "projection without BN",
        was=PROJECTION,
        now="nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)",
        caught_by="test_a_projection_has_a_batch_norm",
        says="expected Conv2d, BatchNorm2d",
    ),
    Mistake(
        "identity where the channels change",
        was=SAME,
        now="if stride == 1:",
        caught_by="test_a_projection_stands_where_the_shape_changes",
        says="the shortcut is nn.Identity",
    ),
    Mistake(
        "a projection everywhere",
        was=SAME,
        now="if False:",
        caught_by="test_the_identity_has_no_parameters",
        says="expected nn.Identity()",
    ),
    Mistake(
        "stride on both convs",
        was=CONV2,
        now=(
            "self.conv2 = nn.Conv2d(out_channels, out_channels, 3, stride, padding=1, "
            "bias=False)"
        ),
        caught_by="test_stride_2_halves_height_and_width",
        says="only conv1 and the projection have it",
    ),
    Mistake(
        "one BN shared",
        was=BN2,
        now="self.bn2 = self.bn1",
        caught_by="test_two_convolutions_and_two_batch_norms",
        says="parameters of the block",
    ),
    Mistake(
        "bias left on",
        was=CONV1,
        now=CONV1.replace(", bias=False", ""),
        caught_by="test_two_convolutions_and_two_batch_norms",
        says="parameters of the block",
    ),
    Mistake(
        "residual flag ignored in the block",
        was="_shortcut(in_channels, out_channels, stride) if residual else None",
        now="_shortcut(in_channels, out_channels, stride)",
        caught_by="test_the_plain_block_adds_nothing",
        says="With residual=False there is no shortcut",
    ),
    Mistake(
        "in-place sum into the input",
        was=END,
        now="""if self.shortcut is None:
            return F.relu(branch)
        shortcut = self.shortcut(x)
        with torch.no_grad():
            shortcut += branch
        return F.relu(shortcut)""",
        caught_by="TestBasicBlock::test_the_input_is_not_written_to",
        says="x after the call, which must not write to it",
        edge=True,
    ),
    # ResNet
    Mistake(
        "max over H, W",
        was="maps.mean(dim=(2, 3))",
        now="maps.amax(dim=(2, 3))",
        caught_by="test_the_head_reads_the_mean_of_each_map",
        says="looks like the maximum of each map",
    ),
    Mistake(
        "residual flag ignored in stage 2",
        was=ADD,
        now=(
            "blocks.append(BasicBlock(channels, stage * width, stride, residual or "
            "stage == 2))"
        ),
        caught_by="test_the_plain_net_has_no_shortcut_in_any_block",
        says="blocks with a shortcut",
    ),
    Mistake(
        "stride 2 in every block of stage 2",
        was="stride = 2 if stage == 2 and place == 0 else 1",
        now="stride = stage",
        caught_by="test_the_second_stage_has_twice_the_channels_and_half_the_map",
        says="looks like every block of the second stage has stride 2",
    ),
    # init_gradient_norms
    Mistake(
        "last block first",
        was=GRADIENTS,
        now=(
            "gradients = torch.autograd.grad(loss, [block.conv1.weight for block in "
            "model.blocks][::-1])"
        ),
        caught_by="test_one_norm_per_block_first_block_first",
        says="looks like the last block comes first",
    ),
    Mistake(
        "grads left behind",
        was=GRADIENTS,
        now=(
            "loss.backward()\n"
            "    gradients = [block.conv1.weight.grad for block in model.blocks]"
        ),
        caught_by="test_no_gradient_is_left",
        says=".grad",
        edge=True,
    ),
    # train_net
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "no weight decay",
        was=SGD,
        now=SGD.replace(", weight_decay=1e-4", ""),
        caught_by="test_weight_decay_shrinks_every_parameter",
        says="looks like no weight decay",
    ),
    Mistake(
        "trained in eval mode",
        was="    model.train()\n    losses",
        now="    losses",
        caught_by="test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
    # zero_init_residual
    Mistake(
        "bn1 too",
        was=ZERO,
        now=ZERO + "            block.bn1.weight.zero_()\n",
        caught_by="test_only_the_weights_of_bn2_change",
        says="bn1.weight",
    ),
    Mistake(
        "frozen at zero",
        was=ZERO,
        now=ZERO + "            block.bn2.weight.requires_grad_(False)\n",
        caught_by="test_the_weights_can_still_be_learned",
        says="requires_grad",
    ),
]
