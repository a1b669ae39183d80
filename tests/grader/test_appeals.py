"""Objections: what a student hands in, what the teacher sees, what is kept, and files that are none."""

import json
import re
import shutil
from pathlib import Path

import pytest

from grader.cli import appeal
from grader.course.catalogue import find
from grader.errors import BrokenDispute, KataError
from grader.execution import disputes
from grader.teaching import appeals

pytestmark = pytest.mark.usefixtures("warm_workers")
SIXTEEN = find("16")
REFERENCE = SIXTEEN.reference.read_text()
DEALT_OUT = "\n\ndef split_heads(x, num_heads):\n    return x.reshape(x.shape[0], num_heads, x.shape[1], -1)\n"
OWN_WAY = '''

import einops_of_my_own as e  # is not there

HEADS = 1


def sizes(x, num_heads):
    return x.shape[0], x.shape[1], num_heads, x.shape[2] // num_heads


@torch.no_grad
def unused(x):
    return x


def split_heads(x, num_heads):
    """By a helper of my own."""
    return x.reshape(sizes(x, num_heads)).transpose(HEADS, 2)
'''.replace("import einops_of_my_own as e  # is not there\n\n", "")


@pytest.fixture
def learner(tmp_path, monkeypatch, submission):
    """A function that has a learner write kata 16, in a folder of their own."""
    monkeypatch.setattr(appeal, "KATAS", tmp_path / "code")
    shutil.copytree(SIXTEEN.folder, tmp_path / "code" / SIXTEEN.name)

    def write(code: str) -> Path:
        submission(SIXTEEN, code)
        return tmp_path / "d.json"

    return write


@pytest.fixture
def valid(learner, kata_here) -> dict:
    """The data of a dispute about wrong code."""
    file = learner(REFERENCE + DEALT_OUT)
    assert kata_here("dispute", "16", "split_heads", "--why", "mine\nis right", "--out", file).returncode == 0
    return json.loads(file.read_text())


def hand_in(folder: Path, data: object) -> Path:
    (folder / "d.json").write_text(data if isinstance(data, str) else json.dumps(data))
    return folder / "d.json"


class TestDispute:
    def test_the_file_holds_code_failure_and_surroundings(self, valid):
        assert valid["schema"] == "kata-dispute/1"
        assert (valid["kata"], valid["exercise"], valid["why"]) == (SIXTEEN.name, "split_heads", "mine is right")
        assert valid["files"][SIXTEEN.name] == REFERENCE + DEALT_OUT
        assert valid["failed"].startswith("TestSplitHeads::test_") and "specs pass" in valid["verdict"]
        assert "Reshaping straight to (B, H, T, D)" in valid["message"] and "expected" in valid["message"]
        assert valid["seed"] == 0 and {"python", "torch", "numpy", "pytest", "hypothesis"} <= valid["versions"].keys()

    def test_a_stub_is_nothing_to_object_to(self, learner, kata_here):
        done = kata_here("dispute", "16", "split_heads", "--out", learner(SIXTEEN.code.read_text()))
        assert done.returncode == 2
        assert done.stderr == f"kata: there is nothing to object to: {SIXTEEN.file.name} is not begun\n"

    def test_a_name_that_is_not_there(self, kata_here):
        assert f"{SIXTEEN.name} has no exercise 'split'" in kata_here("dispute", "16", "split").stderr

    def test_a_place_that_cannot_be_written(self, learner, kata_here):
        learner(REFERENCE)
        done = kata_here("dispute", "16", "split_heads", "--out", "/dev/null/x")
        assert done.returncode == 2 and done.stderr.startswith("kata: /dev/null/x cannot be written: ")


class TestAppeal:
    def test_a_failure_is_reproduced(self, valid, tmp_path, kata_here):
        valid["versions"]["torch"] = "2.99.0"
        done = kata_here("appeal", hand_in(tmp_path, valid))
        assert done.returncode == 0, done.stderr
        said = done.stdout
        assert f"{SIXTEEN.name} · split_heads, objected to at 20" in said and "\n  why    mine is right\n" in said
        assert said.count(f"{valid['verdict']}, first at: ") == 2 and "\n  reproduced\n" in said
        assert "\n  torch is 2.99.0 there, " in said and said.count("Reshaping straight to") == 1
        assert f"\n  id,kata::exercise,points,reason\n  ,{SIXTEEN.name}::split_heads,,\n" in said

    def test_it_works_here(self, valid, tmp_path, kata_here):
        valid["files"][SIXTEEN.name] = REFERENCE + OWN_WAY
        said = kata_here("appeal", hand_in(tmp_path, valid)).stdout
        assert "\n  not reproduced: it works here\n" in said and "\n  here   works" in said

    def test_it_works_there(self, valid, tmp_path, kata_here):
        valid |= {"failed": "", "message": "", "verdict": "works"}
        assert "\n  it works there, and fails here\n" in kata_here("appeal", hand_in(tmp_path, valid)).stdout

    def test_a_file_decides_nothing_by_its_words(self, valid, tmp_path, kata_here):
        """Words of the file are shown harmless: no colours, no lines of their own."""
        valid |= {
            "why": "x\x1b[31m\nreproduced",
            "verdict": "works\n  here   works",
            "message": "\x1b]0;t\x07::set-x\nb",
        }
        said = kata_here("appeal", hand_in(tmp_path, valid)).stdout
        assert "\x1b" not in said and "\n::" not in said and "\n  here   works" not in said
        assert "\n  reproduced: the same spec fails, in other words\n" in said

    def test_code_that_ends_its_process_costs_its_own_exercise(self, valid, tmp_path, kata_here):
        valid["files"][SIXTEEN.name] = "import os\nos._exit(0)\n"
        done = kata_here("appeal", hand_in(tmp_path, valid))
        assert done.returncode == 0 and "\n  here   error" in done.stdout

    def test_what_is_right_is_kept(self, valid, tmp_path, kata_here, monkeypatch):
        root = self.course(tmp_path, monkeypatch)
        valid["files"][SIXTEEN.name] = REFERENCE + OWN_WAY
        file = hand_in(tmp_path, valid)
        done = kata_here("appeal", file, "--keep", "by_sizes")
        assert done.returncode == 0, done.stderr
        kept = root / "solutions" / SIXTEEN.name / "author/accepted/by_sizes.py"
        said = kept.read_text()
        assert said.startswith('"""split_heads as a student wrote it, whose objection was upheld."""\n')
        body = said[said.index("HEADS = 1") :]
        assert body == OWN_WAY[OWN_WAY.index("HEADS = 1") :].replace(body_of_unused(), ""), (
            "only what split_heads needs"
        )
        assert "by_sizes.py is written: works" in done.stdout and "kata regrade --submissions DIR" in done.stdout
        again = kata_here("appeal", file, "--keep", "by_sizes")
        assert again.returncode == 2 and "16 has an accepted solution of this name already" in again.stderr

    def test_open_edges_are_named_as_an_accepted_solution_does(self, valid, tmp_path, kata_here, monkeypatch):
        root = self.course(tmp_path, monkeypatch)
        body = "x[..., : x.shape[2] // H * H].unflatten(2, (H, -1)).transpose(1, 2)"
        valid["files"][SIXTEEN.name] = f"{REFERENCE}\n\ndef split_heads(x, H):\n    return {body}\n"
        assert kata_here("appeal", hand_in(tmp_path, valid), "--keep", "cut").returncode == 0
        said = (root / "solutions" / SIXTEEN.name / "author/accepted/cut.py").read_text()
        assert re.findall("^# leaves open: (.*)$", said, re.M) == ["test_heads_must_divide_the_features"]

    def test_what_a_spec_still_refuses_is_kept_with_what_to_do(self, valid, tmp_path, kata_here, monkeypatch):
        self.course(tmp_path, monkeypatch)
        said = kata_here("appeal", hand_in(tmp_path, valid), "--keep", "dealt_out").stdout
        assert "Change the spec until it takes this code: kata promises 16\n" in said

    @pytest.mark.parametrize("name", ["", "Upper", "a-b", "../x", "x.py", "1a", "a" * 99])
    def test_a_name_that_is_none(self, valid, tmp_path, name):
        dispute = disputes.read(hand_in(tmp_path, valid))
        with pytest.raises(KataError, match="write a name such as split_by_view"):
            appeals.keep(dispute, None, name)  # type: ignore[arg-type]

    def course(self, folder: Path, monkeypatch) -> Path:
        """The kata's solutions in a folder of the test, so that nothing is kept in this tree."""
        place = folder / "course/solutions" / SIXTEEN.name
        shutil.copytree(SIXTEEN.reference.parent, place)
        monkeypatch.setattr(type(SIXTEEN), "reference", property(lambda kata: folder / "course/solutions" / kata.file))
        monkeypatch.setattr(appeal, "ROOT", folder / "course")
        return folder / "course"


def body_of_unused() -> str:
    start, end = OWN_WAY.index("@torch.no_grad"), OWN_WAY.index("def split_heads")
    return OWN_WAY[start:end]


# Files that are no dispute, or a whole one but for these fields, and the words of the error.
BROKEN: dict[str, tuple[object, str]] = {
    "nothing": ("", "it is not JSON"),
    "no JSON": ("kata: 16", "it is not JSON"),
    "cut off": ('{"schema": "kata-dispute/1"', "it is not JSON"),
    "a pickle": ("\x80\x04K\x01.", "it is not JSON"),
    "brackets": ("[" * 100_000, "it is not JSON"),
    "a list": ([], "it has no schema kata-dispute/1"),
    "another schema": ({"schema": "kata-report/2"}, "it has no schema kata-dispute/1"),
    "no fields": ({"schema": "kata-dispute/1"}, "its keys are others: code"),
    "one more field": ({"run": "rm -rf /"}, "its keys are others: run"),
    "no such kata": ({"kata": "77_x", "files": {"77_x": ""}}, "'77_x' matches nothing in katas/"),
    "no such exercise": ({"exercise": "x"}, "has no exercise 'x'"),
    "no text of the kata": ({"files": {}}, f"files has no text of {SIXTEEN.name}"),
    "a text of another type": ({"files": {SIXTEEN.name: 1}}, "files is no table of texts of at most 1,000,000"),
    "a text that is too long": ({"files": {SIXTEEN.name: "#" * 1_000_001}}, "files is no table of texts"),
    "files as a list": ({"files": ["x"]}, "files is no table of texts"),
    "half a character": ({"files": {SIXTEEN.name: "\ud800"}}, "files is no table of texts"),
    "a reason of another type": ({"why": None}, "why is no text of at most 2,000 characters"),
    "a long reason": ({"why": "x" * 2_001}, "why is no text of at most 2,000 characters"),
    "a message of another type": ({"message": {}}, "message is no text of at most 100,000 characters"),
    "a seed of another type": ({"seed": "0"}, "seed is no whole number"),
    "a seed that is none": ({"seed": True}, "seed is no whole number"),
    "a negative seed": ({"seed": -1}, "seed is no whole number"),
    "a huge seed": ({"seed": 10**30}, "seed is no whole number"),
    "versions that are none": ({"versions": {"torch": 2}}, "versions is no table of texts"),
    "too large": ({"why": "x" * 6_000_000}, "is too large, the limit is 5 MB"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_dispute(tmp_path, name):
    given, said = BROKEN[name]
    whole = {
        "schema": disputes.SCHEMA,
        **dict.fromkeys(disputes.Dispute.__dataclass_fields__, ""),
        **{"kata": SIXTEEN.name, "exercise": "split_heads", "files": {SIXTEEN.name: ""}, "versions": {}, "seed": 0},
    }
    disputes.read(hand_in(tmp_path, whole))
    is_whole = not isinstance(given, dict) or "schema" in given
    with pytest.raises(BrokenDispute) as failure:
        disputes.read(hand_in(tmp_path, given if is_whole else {**whole, **given}))  # type: ignore[dict-item]
    assert str(failure.value).startswith("d.json: ") and "\n" not in str(failure.value)
    assert (said in str(failure.value)) or (name == "no fields" and "its keys are others: " in str(failure.value))


def test_no_file_is_one_line(tmp_path, kata_here):
    done = kata_here("appeal", tmp_path / "none.json")
    assert done.returncode == 2 and done.stderr.startswith("kata: none.json: not found in ")
    assert done.stderr.count("\n") == 1
