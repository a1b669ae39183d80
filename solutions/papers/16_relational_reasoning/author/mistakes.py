"""Wrong solutions of papers/16 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

FLAG = "flag = objects.new_full((num_scenes, 1), 1.0 if relational else -1.0)"
FOUND = "(objects[..., num_objects][asked_row] > 0).long()"
FIRST = "first = objects[:, :, None].expand(-1, -1, n, -1)  # (B, N, N, D): o_i"
ASKED = "    asked = question[:, None, None].expand(-1, n, n, -1)\n"
SUMMED = "return g(torch.cat([first, second, asked], dim=-1)).sum(dim=(1, 2))"
LAST = """self.f = nn.Sequential(
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, num_answers),
        )"""
FORWARD = "return self.f(relation_sum(self.g, objects, question))"
PAIRS = "pairs = rows[:, :, None] + columns[:, None] + asked[:, None, None]"

MISTAKES = [
    Mistake(
        "flag 0 for the other questions",
        was=FLAG,
        now=FLAG.replace("-1.0", "0.0"),
        caught_by="test_a_question_is_a_colour_and_a_flag",
        says="looks like 0 for not relational",
    ),
    Mistake(
        "the same flag for both kinds",
        was=FLAG,
        now="flag = objects.new_ones((num_scenes, 1))",
        caught_by="test_a_question_is_a_colour_and_a_flag",
        says="looks like one flag for both kinds",
    ),
    Mistake(
        "the object counted as one of the others",
        was=".sum(dim=1) - 1",
        now=".sum(dim=1)",
        caught_by="test_relational_answers_count_the_others",
        says="looks like the object counted as one of the others",
    ),
    Mistake(
        "no absolute value",
        was="(x - x[asked_row][:, None]).abs() < 0.5",
        now="(x - x[asked_row][:, None]) < 0.5",
        caught_by="test_relational_answers_count_the_others",
        says="looks like all objects on its left counted as close",
    ),
    Mistake(
        "row number taken for the colour",
        was=FOUND,
        now="(objects[..., num_objects].gather(1, asked)[:, 0] > 0).long()",
        caught_by="test_other_answers_are_the_shape_of_the_object",
        says="looks like the colour taken for the row number",
    ),
    Mistake(
        "the first row's object asked about",
        was="asked = torch.randint(num_objects, (num_scenes, 1), generator=generator)",
        now="asked = objects[:, :1, :num_objects].argmax(dim=2)",
        caught_by="test_every_colour_is_asked_about",
        says="the 4 colours are asked about [0, 0, 400, 0] times",
    ),
    Mistake(
        "shapes as answers",
        was=FOUND,
        now="objects[..., num_objects][asked_row].long()",
        caught_by="test_other_answers_are_the_shape_of_the_object",
        says="looks like the shape itself",
    ),
    Mistake(
        "mean over the pairs",
        was=SUMMED,
        now=SUMMED.replace(".sum(", ".mean("),
        caught_by="test_two_copies_of_a_scene_give_four_times_the_sum",
        says="looks like the same as for one copy, as for a mean",
    ),
    Mistake(
        "pairs with i < j only",
        was=SUMMED,
        now="""i, j = torch.triu_indices(n, n, 1)
    return g(torch.cat([first, second, asked], dim=-1)[:, i, j]).sum(dim=1)""",
        caught_by="TestRelationSum::test_sums_over_all_ordered_pairs",
        says="looks like only the pairs i < j",
    ),
    Mistake(
        "both parts of a pair from the same axis",
        was=FIRST,
        now="first = objects[:, None].expand(-1, n, -1, -1)",
        caught_by="TestRelationSum::test_sums_over_all_ordered_pairs",
        says="looks like o_i twice",
    ),
    Mistake(
        "the question first",
        was="torch.cat([first, second, asked], dim=-1)",
        now="torch.cat([asked, first, second], dim=-1)",
        caught_by="test_g_reads_two_objects_then_the_question",
        says="the sum, if g returns the first D of its input",
    ),
    Mistake(
        "question of the first scene for all",
        was="asked = question[:, None, None].expand(-1, n, n, -1)",
        now="asked = question[:1, None, None].expand(len(objects), n, n, -1)",
        caught_by="test_each_scene_has_its_own_question",
        says="looks like the question of the first scene in all of them",
    ),
    Mistake(
        "question left out of g",
        was=f"{ASKED}    {SUMMED}",
        now=f"{ASKED}    {SUMMED.replace('asked]', '0 * asked]')}",
        caught_by="test_two_objects_by_hand",
        says="differs",
    ),
    Mistake(
        "NumPy: the bias added once",
        was="    asked = question @ of_question.T + bias  # (B, H)\n"
        f"    {PAIRS}\n    return np.maximum(pairs, 0).sum(axis=(1, 2))",
        now=f"    asked = question @ of_question.T\n    {PAIRS}\n"
        "    return np.maximum(pairs, 0).sum(axis=(1, 2)) + bias",
        caught_by="TestRelationSumNumpy::test_sums_over_all_ordered_pairs",
        says="looks like the bias added once, after the sum",
    ),
    Mistake(
        "NumPy: one relu after the sum",
        was="return np.maximum(pairs, 0).sum(axis=(1, 2))",
        now="return np.maximum(pairs.sum(axis=(1, 2)), 0)",
        caught_by="TestRelationSumNumpy::test_sums_over_all_ordered_pairs",
        says="looks like one relu after the sum",
    ),
    Mistake(
        "a relu after the last layer of f",
        was=LAST,
        now="""self.f = nn.Sequential(
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, num_answers),
            nn.ReLU(),
        )""",
        caught_by="test_logits_are_f_of_the_sum_of_g",
        says="looks like a relu after the last layer of f",
    ),
    Mistake(
        "question added to f's input",
        was=FORWARD,
        now="""pairs = relation_sum(self.g, objects, 0 * question)
        width = pairs.shape[1] - question.shape[1]
        return self.f(pairs + F.pad(question, (0, width)))""",
        caught_by="test_logits_are_f_of_the_sum_of_g",
        says="looks like the question added for f, and not read by g",
    ),
    Mistake(
        "f of each pair",
        was=FORWARD,
        now="return relation_sum(lambda z: self.f(self.g(z)), objects, question)",
        caught_by="test_logits_are_f_of_the_sum_of_g",
        says="looks like f of each pair, then the sum",
    ),
    Mistake(
        "relational questions only",
        was="(True, False), strict=True)",
        now="(True, True), strict=True)",
        caught_by="test_half_of_each_batch_is_relational",
        says="looks like relational questions only",
    ),
    Mistake(
        "loss after the update",
        was="losses.append(loss.item())",
        now="losses.append(F.cross_entropy(model(objects, questions), answers).item())",
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like the loss after the update",
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
        "questions in float32",
        was="F.one_hot(asked[:, 0], num_objects).to(objects), flag]",
        now="F.one_hot(asked[:, 0], num_objects).float(), flag.float()]",
        caught_by="test_questions_have_the_dtype_of_the_objects",
        says="of questions dtype float32 expected float64",
        edge=True,
    ),
    Mistake(
        "pairs by view",
        was=FIRST,
        now="objects = objects.view(len(objects), -1).view(len(objects), n, -1)\n    "
        + FIRST,
        caught_by="test_objects_may_be_non_contiguous",
        says="view size is not compatible with input tensor's size and stride",
        edge=True,
    ),
    Mistake(
        "no call of train()",
        was="    model.train()\n    losses",
        now="    losses",
        caught_by="TestTrainModel::test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="answers = (shape > 0).long()",
        now="answers = (shape >= 0).long()",
        reason="a shape is -1 or +1",
        textbook=True,
    ),
    Equivalent(
        was="answers = (shape > 0).long()",
        now="answers = (shape > -1).long()",
        reason="a shape is -1 or +1",
        textbook=True,
    ),
]
