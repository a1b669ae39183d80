"""The roster of a course: its file, which submission is whose, and what late and
missing submissions come to.
"""

import csv
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from grader.course.catalogue import find
from grader.errors import BrokenRoster
from grader.teaching import roster
from grader.teaching.roster import Person
from grader.teaching.submissions import Submission

ADA = Person("12345", "Ada Lovelace", "ada@x.org")
JOSE = Person("7", "José Ruiz Mora", "jr@x.org")
ONE = find("01")


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "roster.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


class TestRead:
    def test_a_person_per_line(self, tmp_path):
        text = (
            "id,name,email,due,extension\n1,Ada,a@x,2015-12-01,2d\n"
            "2,Bob,b@x,2015-12-01T18:00,\n"
        )
        assert roster.read(written(tmp_path, text)) == [
            Person(
                "1", "Ada", "a@x", datetime(2015, 12, 1, 23, 59, 59), timedelta(days=2)
            ),
            Person("2", "Bob", "b@x", datetime(2015, 12, 1, 18)),
        ]

    @pytest.mark.parametrize(
        ("encoding", "mark"), [("utf-8-sig", ";"), ("latin-1", ";"), ("utf-16", "\t")]
    )
    def test_as_spreadsheets_write_it(self, tmp_path, encoding, mark):
        """Other columns, other order, capitals, quotes, and an empty line at
        the end.
        """
        text = (
            '"Name";Group;"E-Mail";EMAIL;ID\r\n"José, R";1;;j@x;7\r\n;;;;\r\n'.replace(
                ";", mark
            )
        )
        assert roster.read(written(tmp_path, text.encode(encoding))) == [
            Person("7", "José, R", "j@x")
        ]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "",
                (
                    ":1: the header has no column id, name, email, or is not in "
                    "English: it needs id, name, email"
                ),
            ),
            ("1,Ada,a@x\n", ":1: the header has no column id, name, email"),
            ("id,name\n1,Ada\n", ":1: the header has no column email"),
            ("id,name,email\n", ": holds nobody"),
            ("id,name,email\n1,Ada\n", ":2: no cell for email"),
            ("id,name,email\n,Ada,a@x\n", ":2: the id is empty"),
            (
                "id,name,email\na,Ada,\n\na,Bob,\n",
                ":4: the id a is there already, in line 2",
            ),
            (
                "id,name,email,due\n1,,,1.12.2015\n",
                ":2: '1.12.2015' is no date: write 2026-12-01 or 2026-12-01T18",
            ),
            ("id,name,email,due\n1,,,2015-02-30\n", ":2: '2015-02-30' is no date"),
            (
                "id,name,email,extension\n1,,,2\n",
                ":2: '2' is no length of time: write 15m, 36h or 2d",
            ),
            (b"id,name,email\n\0", ": is not text"),
        ],
    )
    def test_what_is_wrong_has_its_line(self, tmp_path, text, said):
        with pytest.raises(BrokenRoster) as failure:
            roster.read(written(tmp_path, text))
        assert f"roster.csv{said}" in str(failure.value) and "\n" not in str(
            failure.value
        )

    def test_no_file(self, tmp_path):
        with pytest.raises(BrokenRoster, match="none.csv: No such file"):
            roster.read(tmp_path / "none.csv")


class TestOwner:
    @pytest.mark.parametrize(
        "name",
        [
            "12345",
            "ada",
            "Ada Lovelace",
            "lovelace_ada",
            "lovelaceada_12345",
            "x_12345",
            "ADA LOVELACE_9_file_",
        ],
    )
    def test_by_id_email_and_name(self, name):
        assert roster.owner(name, [ADA, JOSE]) == ADA

    @pytest.mark.parametrize(
        "name", ["jose ruiz mora", "Ruiz Mora José", "ruizmorajose_99"]
    )
    def test_accents_and_family_names_of_two_words(self, name):
        assert roster.owner(name, [ADA, JOSE]) == JOSE

    @pytest.mark.parametrize("name", ["adam", "", "123", "lovelace", "a"])
    def test_nobody(self, name):
        assert roster.owner(name, [ADA, JOSE]) is None

    def test_an_id_goes_before_a_name(self):
        assert roster.owner("7", [Person("1", "7", "7@x"), JOSE]) == JOSE

    def test_two_of_one_name_are_not_guessed(self):
        assert (
            roster.owner("ada lovelace", [ADA, Person("2", "Ada Lovelace", "")]) is None
        )

    def test_everybody_has_one_submission(self):
        one, two, other = (
            Submission(name, (Path(name),)) for name in ("ada", "12345", "who")
        )
        everybody, unowned = roster.assigned([one, two, other], [JOSE, ADA])
        assert everybody == [
            Submission("José Ruiz Mora (7)", ()),
            Submission("Ada Lovelace (12345)", (Path("ada"), Path("12345"))),
            other,
        ]
        assert unowned == {"who": roster.STRANGER}

    def test_a_submission_named_as_reports_name_somebody_stays_apart(self):
        forged = Submission(ADA.label, (Path("forged"),))
        everybody, unowned = roster.assigned([forged], [ADA])
        assert [one.student for one in everybody] == [
            ADA.label,
            f"{ADA.label}, not in the roster",
        ]
        assert everybody[0].places == () and list(unowned) == [everybody[1].student]


@pytest.mark.usefixtures("warm_workers")
def test_a_class_with_late_and_missing_submissions(tmp_path, kata_here):
    for name in ("ada", "7", "who"):
        (tmp_path / "class" / name).mkdir(parents=True)
        file = tmp_path / "class" / name / ONE.file.name
        file.write_text(ONE.reference.read_text())
        os.utime(file, (1_442_844_800, 1_442_844_800))  # 2015-09-21 14:13 UTC
    people = (
        "id,name,email,due,extension\n1,Ada,ada@x,,\n7,Bob,,2015-09-20,1d\n8,Cy,,,\n"
    )
    late = '[late]\nzone = "Europe/Berlin"\ndue = 2015-09-20T12:00:00\nper_day = 10\n'
    (tmp_path / "g.toml").write_text(late)
    command = [
        *("class", tmp_path / "class", "01", "--roster", written(tmp_path, people)),
        *(
            "--rules",
            tmp_path / "g.toml",
            "--intake",
            tmp_path / "intake.csv",
            "--explain",
        ),
        *("--report", f"csv={tmp_path}/c.csv", "--report", f"moodle={tmp_path}/m.csv"),
    ]
    done = kata_here(*command)
    assert done.returncode == 2, "somebody's submission may be Cy's"
    nobodys = (
        "submissions that nobody in the roster owns:\n"
        "  who: nobody in the roster has this id, email or name\n"
    )
    assert done.stdout.startswith(
        f"{nobodys}people who may have handed one in: Cy (8)\n"
    )
    assert done.stdout.count(nobodys) == 2, "again at the end"
    assert done.stderr.startswith(
        "kata: 1 submission of nobody in the roster, which 1 of 4 students may have "
        "handed in: "
    )
    assert done.stderr.endswith("or add --unowned-are-nobody\n")
    assert {row["identifier"] for row in csv.DictReader(open(tmp_path / "m.csv"))} == {
        "1",
        "7",
    }
    cy = next(
        row
        for row in csv.DictReader(open(tmp_path / "c.csv"))
        if row["student"] == "Cy (8)"
    )
    assert cy["score"] == "" and cy["reason"].startswith(
        "not handed in, and in 1 submission of nobody"
    )
    done = kata_here(*command, "--unowned-are-nobody")
    every = len(ONE.exercises)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "who: nobody in the roster has this id, email or name\n"
    )
    assert f"\nCy (8): not handed in · 0 of {every} points" in done.stdout
    assert done.stdout.count("  total ") == 4
    scores = {
        row["student"]: float(row["score"])
        for row in csv.DictReader(open(tmp_path / "c.csv"))
    }
    assert scores == {
        "Ada (1)": pytest.approx(0.8 * every),
        "Bob (7)": every,
        "Cy (8)": 0,
        "who": scores["Ada (1)"],
    }
    moodle = {
        row["identifier"]: (row["email"], row["grade"])
        for row in csv.DictReader(open(tmp_path / "m.csv"))
    }
    assert moodle["1"] == ("ada@x", f"{scores['Ada (1)']:g}") and moodle["8"] == (
        "",
        "0",
    )
    rows = [
        row
        for row in csv.DictReader(open(tmp_path / "intake.csv"))
        if row["verdict"] == "handed in"
    ]
    mark = (
        "due Sun 20 Sep 2015 12:00 (Europe/Berlin) · handed in Mon 21 Sep 2015 16:13 "
        "· 2 days late: −20 %"
    )
    assert (
        rows[0]["note"] == f"Mon 21 Sep 2015 16:13, the time of ada/tensors.py: {mark}"
    )
