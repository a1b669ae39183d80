"""The kata that a name means, and the parts of a kata."""

import re
import shutil

import pytest

from grader.course import catalogue, description
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.errors import BrokenDescription, UnknownExercise, UnknownKata
from tests.conftest import SOUND


@pytest.fixture
def tree(tmp_path):
    for name in [
        "01_tensors",
        "13_normalization",
        "15_scaled",
        "16_multi_head",
        "17_transformer",
        "appendix_a_cnn",
        "appendix_b_gpu_cuda",
        "papers/13_attention_is_all",
        "papers/14_bahdanau",
        "tinytorch/05_autograd",
    ]:
        (tmp_path / "katas" / name / "__pycache__").mkdir(parents=True)
        (tmp_path / "katas" / name / "kata.toml").touch()
    return tmp_path


def test_katas_come_core_path_first(tree):
    names = [kata.name for kata in catalogue.all_katas(tree)]
    assert names[:3] == ["01_tensors", "13_normalization", "15_scaled"]
    assert names[-3:] == [
        "papers/13_attention_is_all",
        "papers/14_bahdanau",
        "tinytorch/05_autograd",
    ]


def test_a_folder_without_a_kata_toml_is_no_kata(tree):
    (tree / "katas/15_scaled/kata.toml").unlink()
    assert "15_scaled" not in [kata.name for kata in catalogue.all_katas(tree)]


def test_no_katas_at_all(tmp_path):
    assert catalogue.all_katas(tmp_path) == []


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("16", "16_multi_head"),
        ("katas/16", "16_multi_head"),
        ("./katas/16_multi_head/", "16_multi_head"),
        ("13", "13_normalization"),
        ("papers/13", "papers/13_attention_is_all"),
        ("pap/14", "papers/14_bahdanau"),
        ("multi", "16_multi_head"),
        ("auto", "tinytorch/05_autograd"),
        ("appendix_a", "appendix_a_cnn"),
        ("B", "appendix_b_gpu_cuda"),
        ("gpu", "appendix_b_gpu_cuda"),
    ],
)
def test_a_prefix_of_any_part_is_enough(tree, query, name):
    assert catalogue.find(query, tree).name == name


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("1", ["13_normalization", "15_scaled", "16_multi_head", "17_transformer"]),
        ("appendix", ["appendix_a_cnn", "appendix_b_gpu_cuda"]),
        ("99", ["'99' matches nothing", "17_transformer"]),
        ("transfromer", ["matches nothing", "17_transformer"]),
        ("", ["matches nothing"]),
        ("papers/99", ["matches nothing", "papers/14_bahdanau"]),
    ],
)
def test_none_or_several_are_one_line_with_candidates(tree, query, words):
    with pytest.raises(UnknownKata) as caught:
        catalogue.find(query, tree)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_what_a_kata_is_made_of(tree):
    kata = catalogue.find("papers/13", tree)
    assert (kata.module, kata.number) == ("attention_is_all", "papers/13")
    assert kata.file.as_posix() == "papers/13_attention_is_all/attention_is_all.py"
    assert kata.specs.name == "test_attention_is_all.py"
    assert catalogue.find("appendix_b", tree).number == "appendix_b"


def test_kata_of_a_path(tmp_path):
    """In a checkout that lies in a folder named katas, too."""
    shutil.copytree(SOUND, tmp_path / "katas")
    for root in (SOUND, tmp_path / "katas"):
        assert catalogue.kata_at(root / "katas/01_sums/test_sums.py") == Kata(
            root, "01_sums"
        )
        assert catalogue.kata_at(root / "katas/notes.txt") is None
        assert catalogue.kata_at(root / "solutions/01_sums/sums.py") is None


def test_its_exercises_and_what_it_builds_on(sound):
    assert sound[0].exercises == (
        Exercise("double", "TestDouble", asks="twice every number"),
        Exercise("total", "TestTotal", asks="the sum along a dimension"),
        Exercise(
            "Doubler",
            "TestDoubler",
            stretch=True,
            uses=("double",),
            asks="doubling as a layer",
        ),
    )
    assert (sound[0].title, sound[0].builds_on, sound[1].builds_on) == (
        "Sums",
        [],
        [sound[0]],
    )


def test_one_exercise_by_its_name(sound):
    assert sound[0].exercise("total").spec_class == "TestTotal"
    said = (
        "^01_sums has no exercise 'totals': did you mean total\\? It has double, "
        "total, Doubler$"
    )
    with pytest.raises(UnknownExercise, match=said):
        sound[0].exercise("totals")


def test_two_katas_that_build_on_each_other_are_one_line(tmp_path):
    shutil.copytree(SOUND, tmp_path, dirs_exist_ok=True)
    first, second = catalogue.all_katas(tmp_path)
    given = (first.folder / "kata.toml").read_text()
    (first.folder / "kata.toml").write_text(f'builds_on = ["{second.name}"]\n{given}')
    with pytest.raises(BrokenDescription, match="kata.toml: builds_on leads back to 0"):
        catalogue.with_prerequisites([second])


def test_what_comes_before_comes_along_once():
    names = [
        kata.name
        for kata in catalogue.with_prerequisites(
            [catalogue.find("33"), catalogue.find("25")]
        )
    ]
    assert (
        len(set(names)) == len(names)
        and names[-1].startswith("33_")
        and "25_causal_self_attention" in names
    )
    for number, name in enumerate(names):
        assert {earlier.name for earlier in catalogue.find(name).builds_on} <= set(
            names[:number]
        ), name


WHOLE = """\
title = "Sums"
chapter = "tensors"
difficulty = "easy"
minutes = { core = 5, all = 8 }
exercises = [
    { name = "double", asks = "twice every number" },
    { name = "GPT.forward", specs = "TestOther", stretch = true, uses = ["double"], \
asks = "the pass" },
]
"""


class TestKataToml:
    """The contents of a kata.toml, and the one line on each mistake."""

    def read(self, tmp_path, text: str | bytes) -> description.Description:
        path = tmp_path / "kata.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return description.read(path)

    def test_every_key(self, tmp_path):
        more = """\
finished = true
builds_on = ["01_sums"]
ideas_of = ["02_reuse", "03_more"]
needs = ["processes", "loopback"]
practice = [{ problem = "sums by hand", exercises = ["double", "GPT.forward"] }]
gpt2 = [{ step = "02 the model as modules", exercises = ["GPT.forward"] }]
"""
        assert self.read(tmp_path, WHOLE + more) == description.Description(
            title="Sums",
            chapter="tensors",
            difficulty="easy",
            minutes_core=5,
            minutes_all=8,
            exercises=(
                Exercise("double", "TestDouble", asks="twice every number"),
                Exercise(
                    "GPT.forward",
                    "TestOther",
                    stretch=True,
                    uses=("double",),
                    asks="the pass",
                ),
            ),
            finished=True,
            builds_on=("01_sums",),
            ideas_of=("02_reuse", "03_more"),
            needs=frozenset({"processes", "loopback"}),
            practice=(description.Practice("sums by hand", ("double", "GPT.forward")),),
            gpt2=(description.Step("02 the model as modules", ("GPT.forward",)),),
        )

    def test_what_is_left_out_is_empty(self, tmp_path):
        found = self.read(tmp_path, WHOLE)
        assert (
            found.builds_on,
            found.ideas_of,
            found.needs,
            found.practice,
            found.gpt2,
        ) == ((), (), set(), (), ())
        assert not found.finished

    @pytest.mark.parametrize(
        ("exercise", "spec_class"),
        [
            ("split_heads", "TestSplitHeads"),
            ("MultiHeadAttention", "TestMultiHeadAttention"),
            ("GPT.forward", "TestGPTForward"),
            ("LayerNorm.reset_parameters", "TestLayerNormResetParameters"),
            ("to_torch_mha", "TestToTorchMha"),
        ],
    )
    def test_the_spec_class_follows_from_the_name(self, tmp_path, exercise, spec_class):
        row = f'exercises = [{{ name = "{exercise}", asks = "it" }}]'
        [found] = self.read(tmp_path, WHOLE[: WHOLE.index("exercises")] + row).exercises
        assert (found.name, found.spec_class) == (exercise, spec_class)

    @pytest.mark.parametrize(
        ("was", "now", "said"),
        [
            ('title = "Sums"', "title = Sums", "(at line 1, column 9)"),
            ('title = "Sums"\n', "", "title is missing"),
            ('title = "Sums"', "title = 3", "title must be str, not 3"),
            ('title = "Sums"', 'title = "Sums"\ntitel = "Sum"', "unknown key: titel"),
            ("core = 5", "core = true", "core must be int, not True"),
            ("core = 5", "core = 5.0", "core must be int, not 5.0"),
            ("all = 8", "most = 8", "all is missing"),
            ("difficulty", "difficult", ":3: difficulty is missing: is it difficult?"),
            ("all = 8", "all = 8, most = 9", "unknown key: most"),
            ("{ core = 5, all = 8 }", "5", "minutes must be dict, not 5"),
            ('"easy"', '"simple"', "difficulty must be one of easy, medium, hard"),
            (
                'name = "double", asks = "twice every number"',
                'name = "double"',
                "asks is missing",
            ),
            (
                'name = "double",',
                'name = "double", streched = true,',
                ":6: exercise double: unknown key: streched (stretch?)",
            ),
            ("stretch = true", 'stretch = "yes"', "stretch must be bool, not 'yes'"),
            ('uses = ["double"]', 'uses = "double"', "uses must be list, not 'double'"),
            ('uses = ["double"]', "uses = [1]", "uses must contain strings, not [1]"),
            (
                'uses = ["double"]',
                'uses = ["doubel"]',
                ":7: no such exercise: doubel (double?)",
            ),
            (
                '"GPT.forward"',
                '"double"',
                "exercises needs at least one exercise, and each name once",
            ),
            (WHOLE[WHOLE.index("exercises") :], "", "exercises is missing"),
            (
                WHOLE[WHOLE.index("exercises") :],
                "exercises = []",
                "exercises needs at least one exercise, and each name once",
            ),
            (
                WHOLE[WHOLE.index("exercises") :],
                'exercises = ["double"]',
                "exercises must contain tables, not 'double'",
            ),
            (
                "minutes",
                'finished = "yes"\nminutes',
                "finished must be bool, not 'yes'",
            ),
            (
                "minutes",
                'needs = ["gpu"]\nminutes',
                "needs may contain processes, loopback, training, triton",
            ),
            (
                "minutes",
                "builds_on = [1]\nminutes",
                "builds_on must contain strings, not [1]",
            ),
            ("minutes", "practice = 1\nminutes", "practice must be list, not 1"),
            ("minutes", "gpt2 = [1]\nminutes", "gpt2 must contain tables, not 1"),
            (
                "minutes",
                'gpt2 = [{ step = "02", exercise = ["double"] }]\nminutes',
                "unknown key: exercise",
            ),
            (
                "minutes",
                'gpt2 = [{ step = "02", exercises = ["x"] }]\nminutes',
                "no such exercise: x",
            ),
            (
                "minutes",
                (
                    'practice = [{ problem = "p", exercises = ["double"], x = 1 }]\n'
                    "minutes"
                ),
                "unknown key: x",
            ),
        ],
    )
    def test_what_cannot_be_used_is_one_line_that_names_the_file(
        self, tmp_path, was, now, said
    ):
        assert WHOLE.count(was) == 1
        with pytest.raises(BrokenDescription) as caught:
            self.read(tmp_path, WHOLE.replace(was, now))
        self.is_one_line(tmp_path, str(caught.value), said)

    def test_bytes_that_are_no_text(self, tmp_path):
        with pytest.raises(BrokenDescription) as caught:
            self.read(tmp_path, b'title = "\xff"')
        self.is_one_line(tmp_path, str(caught.value), "can't decode byte 0xff")

    def test_no_file_at_all(self, tmp_path):
        with pytest.raises(BrokenDescription) as caught:
            description.read(tmp_path / "kata.toml")
        self.is_one_line(tmp_path, str(caught.value), "No such file or directory")

    def is_one_line(self, tmp_path, message: str, said: str) -> None:
        assert re.match(rf"{re.escape(str(tmp_path / 'kata.toml'))}(:\d+)?: ", message)
        assert said in message and "\n" not in message
