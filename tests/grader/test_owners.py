"""Rosters as platforms export them, names as people have them, and the layouts of
downloads: who owns what.
"""

import csv
from dataclasses import replace

import pytest

from grader.course.catalogue import find
from grader.errors import BrokenRoster
from grader.execution import cores, grading
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.teaching import class_grading, class_run, regrading, roster, submissions
from grader.teaching.assignment import Assignment
from grader.teaching.class_grading import Graded
from grader.teaching.class_options import ClassOptions
from grader.teaching.regrading import Earlier
from grader.teaching.roster import Person
from grader.teaching.submissions import Submission

KATA, ONE = find("00"), find("01")
CLASSROOM50 = (
    "username,first_name,last_name,email,section,github_id\n"
    "ada,Ada,Lovelace,ada@uni.edu,A,1\n"
)
CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Sums (101)\n"
    "    Points Possible,,,,,3.0\n"
)
GRADES = (
    "First name,Last name,ID number,Institution,Department,Email address,Assignment: "
    "Sums (Real)\n"
)
WORKSHEET = (
    'Identifier,"Full name","Email address",Status,Grade,"Maximum grade","Last '
    'modified (submission)"\n'
)
ANY = object()  # the people are not looked at, as another row does it

# What a teacher has, its text, and the people: id, name, email, further ids, the
# platform's number. Or the error.
ROSTERS: list[tuple[str, str | bytes, object]] = [
    ("a teacher's own", "id,name,email\n1,Ada,a@x\n", [("1", "Ada", "a@x", (), "")]),
    ("in another order", "email,name,id\na@x,Ada,1\n", [("1", "Ada", "a@x", (), "")]),
    ("capital letters", "ID,Name,EMAIL\n1,Ada,a@x\n", [("1", "Ada", "a@x", (), "")]),
    (
        "with a GitHub name",
        "id,name,email,GitHub Username\n1,Ada,a@x,ada-l\n",
        [("1", "Ada", "a@x", ("ada-l",), "")],
    ),
    (
        "with a login",
        "id,name,email,login\n1,Ada,a@x,al12\n",
        [("1", "Ada", "a@x", ("al12",), "")],
    ),
    ("semicolons", "id;name;email\n1;Ada;a@x\n", [("1", "Ada", "a@x", (), "")]),
    ("tabs", "id\tname\temail\n1\tAda\ta@x\n", [("1", "Ada", "a@x", (), "")]),
    (
        "Excel's own line",
        "sep=;\nid;name;email\n1;Ada;a@x\n",
        [("1", "Ada", "a@x", (), "")],
    ),
    (
        "UTF-8 with a mark",
        "\ufeffid,name,email\n1,Zoë,a@x\n".encode(),
        [("1", "Zoë", "a@x", (), "")],
    ),
    (
        "UTF-16",
        "id\tname\temail\n1\tZoë\ta@x\n".encode("utf-16"),
        [("1", "Zoë", "a@x", (), "")],
    ),
    (
        "Latin-1",
        "id;name;email\n1;Zoë;a@x\n".encode("latin-1"),
        [("1", "Zoë", "a@x", (), "")],
    ),
    (
        "lines of Windows",
        "id,name,email\r\n1,Ada,a@x\r\n",
        [("1", "Ada", "a@x", (), "")],
    ),
    (
        "lines of an old Mac",
        "id,name,email\r1,Ada,a@x\r",
        [("1", "Ada", "a@x", (), "")],
    ),
    (
        "empty lines",
        "id,name,email\n\n1,Ada,a@x\n,,\n\n",
        [("1", "Ada", "a@x", (), "")],
    ),
    ("zeros in front", "id,name,email\n007,Ada,a@x\n", [("007", "Ada", "a@x", (), "")]),
    (
        "a name with a comma",
        'id,name,email\n1,"Lovelace, Ada",a@x\n',
        [("1", "Lovelace, Ada", "a@x", (), "")],
    ),
    ("Classroom 50", CLASSROOM50, [("ada", "Ada Lovelace", "ada@uni.edu", (), "")]),
    (
        "Classroom 50 with roles",
        (
            "username,first_name,last_name,email,section,github_id,role\n"
            "a,Ada,L,,,1,student\nt,Tea,Cher,,,2,teacher\nx,T,A,,,3,ta\n"
        ),
        [("a", "Ada L", "", (), "")],
    ),
    (
        "Classroom 50, invited by email",
        "username,first_name,last_name,email,section,github_id\n,Bob,B,bob@uni.edu,,\n",
        [("bob@uni.edu", "Bob B", "bob@uni.edu", (), "")],
    ),
    ("Classroom 50, names alone", "username\nada\n", [("ada", "", "", (), "")]),
    (
        "Classroom 50, one name",
        "username,name,email\nada,Ada L,a@x\n",
        [("ada", "Ada L", "a@x", (), "")],
    ),
    (
        "Canvas",
        f'{CANVAS}"Lovelace, Ada",501,U1,ada@x,Sec 1,2\n',
        [("U1", "Lovelace, Ada", "", ("ada@x",), "Canvas 501")],
    ),
    (
        "Canvas without SIS",
        f'{CANVAS}"Lovelace, Ada",501,,,Sec 1,\n',
        [("501", "Lovelace, Ada", "", (), "Canvas 501")],
    ),
    (
        "Canvas with logins",
        f'{CANVAS}"L, Ada",501,,al1,Sec 1,\n',
        [("al1", "L, Ada", "", (), "Canvas 501")],
    ),
    (
        "Canvas with its test student",
        f'{CANVAS}"L, Ada",501,U1,al1,S,\n"Student, Test",777,,9f3c,S,\n',
        [("U1", "L, Ada", "", ("al1",), "Canvas 501")],
    ),
    (
        "Canvas with manual posting",
        CANVAS.replace("\n", "\n,,,,,Manual Posting\n", 1) + '"L, Ada",5,U1,,S,\n',
        [("U1", "L, Ada", "", (), "Canvas 5")],
    ),
    (
        "Canvas with a root account",
        (
            f'{CANVAS.replace("Section", "Root Account,Section")}"L, '
            'Ada",5,U1,al1,x.edu,S,\n'
        ),
        [("U1", "L, Ada", "", ("al1",), "Canvas 5")],
    ),
    (
        "Canvas with semicolons",
        CANVAS.replace(",", ";") + "L Ada;5;U1;;S;\n",
        [("U1", "L Ada", "", (), "Canvas 5")],
    ),
    (
        "Moodle's grades",
        f"{GRADES}Ada,Lovelace,12345,,,ada@x,3\n",
        [("12345", "Ada Lovelace", "ada@x", (), "")],
    ),
    (
        "Moodle's grades without ids",
        f"{GRADES}Ada,Lovelace,,,,ada@x,3\n",
        [("ada@x", "Ada Lovelace", "ada@x", (), "")],
    ),
    (
        "Moodle's older grades",
        "First name,Surname,ID number,Email address\nAda,Lovelace,1,ada@x\n",
        [("1", "Ada Lovelace", "ada@x", (), "")],
    ),
    (
        "Moodle's participants",
        "First name,Last name,Email address,Groups\nAda,Lovelace,ada@x,A\n",
        [("ada@x", "Ada Lovelace", "ada@x", (), "")],
    ),
    (
        "Moodle with user names",
        (
            "First name,Last name,ID number,Email address,Username\n"
            "Ada,Lovelace,1,ada@x,al1\n"
        ),
        [("1", "Ada Lovelace", "ada@x", ("al1",), "")],
    ),
    (
        "Moodle's grading worksheet",
        f'{WORKSHEET}"Participant 501","Ada Lovelace",ada@x,Submitted,,100,\n',
        [("ada@x", "Ada Lovelace", "ada@x", (), "Moodle 501")],
    ),
    (
        "Moodle's worksheet without names",
        'Identifier,"Full name",Status,Grade\n"Participant 501",,Submitted,\n',
        [("Participant 501", "", "", (), "Moodle 501")],
    ),
    (
        "Moodle's worksheet in German",
        (
            'ID,"Vollständiger Name",E-Mail-Adresse,Status\n'
            '"Teilnehmer/in 501","Ada Lovelace",ada@x,\n'
        ),
        (
            ":1: the header has no column id, name, email, or is not in English: it "
            "needs id, name, email; from Canvas "
        ),
    ),
    (
        "no id",
        "name,email\nAda,a@x\n",
        ":1: the header has no column id: it needs id, name, email",
    ),
    (
        "twice",
        "username,first_name,last_name\nada,A,B\nada,C,D\n",
        ":3: the id ada is there already, in line 2",
    ),
    (
        "ids in two cases",
        "id,name,email\nada,A,\nAda,B,\n",
        [("ada", "A", "", (), ""), ("Ada", "B", "", (), "")],
    ),
    (
        "nobody but the test student",
        f'{CANVAS}"Student, Test",7,,x,S,\n',
        ": holds nobody",
    ),
    (
        "an empty id",
        "username,first_name,last_name,email\n,Ada,L,\n",
        ":2: the id is empty",
    ),
    (
        "a line that is too short, after Excel's",
        "sep=,\nid,name,email\n1,Ada\n",
        ":3: no cell for email",
    ),
    ("no text", b"id,name,email\n\0", ": is not text"),
    ("a spreadsheet", b"PK\x03\x04\0", ": is a spreadsheet: save it as CSV"),
]


@pytest.mark.parametrize(
    ("text", "people"), [row[1:] for row in ROSTERS], ids=[row[0] for row in ROSTERS]
)
def test_a_roster_is_read_as_it_is(tmp_path, text, people):
    path = tmp_path / "roster.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if isinstance(people, str):
        with pytest.raises(BrokenRoster) as failure:
            roster.read(path)
        assert f"roster.csv{people}" in str(failure.value)
    else:
        found = [
            (one.id, one.name, one.email, one.others, one.number)
            for one in roster.read(path)
        ]
        assert found == people


def test_there_are_as_many_rosters_and_names_as_a_teacher_has_seen():
    assert len(ROSTERS) >= 40 and len(NAMES) >= 28


# The name in the roster, and a name that a submission may have.
NAMES = [
    ("Ada Lovelace", "Ada Lovelace"),
    ("Lovelace, Ada", "Ada Lovelace"),
    ("Ada Lovelace", "lovelaceada"),
    ("Ada Lovelace", "lovelace_ada".replace("_", " ")),
    ("Ada Lovelace", "ADA LOVELACE"),
    ("José Ruiz Mora", "Jose Ruiz Mora"),
    ("José Ruiz Mora", "ruizmorajosé"),
    ("Jose\u0301 Ruiz", "José Ruiz"),  # an accent as a character of its own
    ("Zoë Żuk", "zukzoe"),
    ("Jürgen Müller", "Juergen Mueller"),
    ("Jürgen Müller", "mullerjurgen"),
    ("Groß, Anna", "grossanna"),
    ("Søren Åberg", "Soren Aberg"),
    ("Søren Åberg", "Soeren Aaberg"),
    ("Łukasz Wójcik", "Lukasz Wojcik"),
    ("Đorđe Đurić", "Dorde Duric"),
    ("İbrahim Yıldız", "Ibrahim Yildiz"),
    ("Jan van der Berg", "vanderbergjan"),
    ("van der Berg, Jan", "Jan van der Berg"),
    ("Maria del Carmen García López", "garcialopezmariadelcarmen"),
    ("Anna-Lena Maier", "Anna-Lena Maier"),
    ("Anna-Lena Maier", "maierannalena"),
    ("Siobhán O'Brien", "obriensiobhan"),
    ("Siobhán O\u2019Brien", "Siobhan O'Brien"),
    ("王伟", "王伟"),
    ("Иван Петров", "петровиван"),
    ("محمد علي", "محمد علي"),
    ("Nguyễn Thị Minh Khai", "Nguyen Thi Minh Khai"),
    ("Plato", "plato"),
    ("Ada Lovelace", "Ada  Lovelace"),
]


@pytest.mark.parametrize(("name", "called"), NAMES)
@pytest.mark.parametrize(
    "form", ["{}", "{}_9_assignsubmission_file_", "{}_12345_678_sums.py"]
)
def test_a_name_in_the_way_that_platforms_write_it(tmp_path, name, called, form):
    """The others share a part of it each. A number that a platform made up is
    nobody's id.
    """
    (tmp_path / form.format(called)).write_bytes(b"") if "." in form else (
        tmp_path / form.format(called)
    ).mkdir()
    found = (
        [*submissions.collect(tmp_path)] if "_" in form else [Submission(called, ())]
    )
    words = name.replace(",", " ").split()
    others = [Person("8", f"{words[0]} Xyz", ""), Person("10", f"Xyz {words[-1]}", "")]
    me = Person("id-1", name, "")
    assert roster.owners(found, [*others, me])[0][1] == me


NOBODY = None
ADA, OTHER, BOB = (
    Person("ada", "Ada L", ""),
    Person("lovelace-ada", "Ada Lovelace", ""),
    Person("bob", "Bob B", ""),
)
UPPER, NUMBERED = Person("Ada", "Other", ""), Person("7", "José Ruiz", "")
# The people, the submissions, and the id of each owner.
OWNERS: list[tuple[str, list[Person], dict[str, str | None]]] = [
    (
        "Classroom 50",
        [ADA, BOB],
        {"dl26-attention-ada": "ada", "dl26-attention-bob": "bob"},
    ),
    (
        "a repository per student",
        [ADA, BOB],
        {"attention-ada": "ada", "attention-bob": "bob"},
    ),
    ("capital letters", [ADA], {"dl26-attention-Ada": "ada"}),
    (
        "ids in two cases",
        [ADA, UPPER],
        {"ada": "ada", "Ada": "Ada", "hw-ada": "ada", "hw-Ada": "Ada", "ADA": NOBODY},
    ),
    (
        "one of two cases on Canvas",
        [ADA, UPPER],
        {"Ada_8_1_sums.py": "Ada", "ada_9_1_sums.py": "ada"},
    ),
    (
        "a longer id in capital letters",
        [ADA, replace(OTHER, id="Lovelace-Ada")],
        {"hw-lovelace-ada": "Lovelace-Ada"},
    ),
    (
        "a repository's zip archive",
        [ADA, BOB],
        {"attention-ada-main": "ada", "attention-bob-master": "bob"},
    ),
    (
        "a hyphen in a name",
        [OTHER, BOB],
        {"hw-lovelace-ada": "lovelace-ada", "hw-bob": "bob"},
    ),
    (
        "one is the end of another",
        [ADA, OTHER],
        {"hw-ada": "ada", "hw-lovelace-ada": "lovelace-ada"},
    ),
    ("alone, the longest counts", [ADA, OTHER], {"hw-lovelace-ada": "lovelace-ada"}),
    (
        "an assignment that ends as a name begins",
        [ADA, OTHER, BOB],
        {
            "hw-lovelace-ada": "ada",
            "hw-lovelace-lovelace-ada": "lovelace-ada",
            "hw-lovelace-bob": "bob",
        },
    ),
    (
        "who is not in the roster",
        [ADA, BOB],
        {"hw-ada": "ada", "hw-bob": "bob", "hw-lovelace-ada": NOBODY},
    ),
    (
        "two assignments",
        [ADA, BOB],
        {"a-ada": "ada", "a-bob": "bob", "b-c-ada": "ada", "b-c-bob": "bob"},
    ),
    ("not the end", [ADA], {"hw-adam": NOBODY, "hw-ada-1": NOBODY, "hwada": NOBODY}),
    ("a number is too little", [Person("1", "X", "")], {"hw-1": NOBODY}),
    ("a long number", [Person("40123", "X", "")], {"hw-40123": "40123"}),
    (
        "one GitHub name of two people",
        [replace(ADA, others=("al",)), replace(BOB, others=("al",))],
        {"hw-al": NOBODY},
    ),
    ("a further id", [replace(BOB, others=("bobby-t",))], {"hw-bobby-t": "bob"}),
    (
        "a name within another",
        [Person("l", "Lena Maier", "")],
        {"Anna-Lena Maier_3_assignsubmission_file_": NOBODY},
    ),
    (
        "a group's name in front",
        [Person("l", "Lena Maier", "")],
        {"Team 3-Lena Maier_3_assignsubmission_file_": NOBODY},
    ),
    (
        "one's first name is the other's last",
        [Person("1", "Ali Hassan", ""), Person("2", "Ali, Hassan", "")],
        {
            "Ali Hassan_8_assignsubmission_file_": "1",
            "Hassan Ali_9_assignsubmission_file_": "2",
        },
    ),
    (
        "the same on Canvas",
        [Person("1", "Ali Hassan", ""), Person("2", "Hassan Ali", "")],
        {"hassanali_8_1_sums.py": "1", "alihassan_9_1_sums.py": "2"},
    ),
    (
        "the same without a platform",
        [Person("1", "Ali Hassan", ""), Person("2", "Hassan Ali", "")],
        {"Ali Hassan": NOBODY},
    ),
    (
        "a number settles a name",
        [Person("31", "Ada L", ""), Person("32", "Ada L", "")],
        {"lada_32": "32"},
    ),
    (
        "two of one name",
        [Person("1", "Ada L", ""), Person("2", "Ada L", "")],
        {"Ada L": NOBODY},
    ),
    ("an id before a name", [Person("1", "bob", ""), BOB], {"bob": "bob"}),
    ("a number and a name of two people", [NUMBERED, ADA], {"lada_7": NOBODY}),
    ("a number and a name of one", [NUMBERED, ADA], {"ruizjose_7": "7"}),
    (
        "Moodle's number is nobody's id",
        [NUMBERED, ADA],
        {"Ada L_7_assignsubmission_file_": "ada"},
    ),
    ("somebody else's name", [NUMBERED], {"Ada L_7_assignsubmission_file_": NOBODY}),
    (
        "Moodle's own number",
        [
            replace(ADA, number="Moodle 41"),
            Person("2", "Ada L", "", number="Moodle 42"),
        ],
        {
            "Ada L_42_assignsubmission_file_": "2",
            "Ada L_41_assignsubmission_onlinetext_": "ada",
        },
    ),
    (
        "graded without names",
        [replace(ADA, number="Moodle 41")],
        {"Participant_41_assignsubmission_file_": "ada"},
    ),
    (
        "Canvas's own number",
        [
            replace(ADA, number="Canvas 501"),
            Person("501", "Xyz", "", number="Canvas 502"),
        ],
        {
            "x_501_9_sums.py": "ada",
            "ladal_LATE_502_9_sums.py": "501",
            "ladal_503_9_sums.py": NOBODY,
        },
    ),
]


@pytest.mark.parametrize(
    ("people", "expected"), [row[1:] for row in OWNERS], ids=[row[0] for row in OWNERS]
)
def test_who_owns_what(tmp_path, people, expected):
    for name in expected:
        (tmp_path / name).write_bytes(b"") if name.endswith(".py") else (
            tmp_path / name
        ).mkdir()
    found = {}
    for submission, who in roster.owners(submissions.collect(tmp_path), people):
        found |= {
            place.name: who.id if isinstance(who, Person) else None
            for place in submission.places
        }
    assert found == expected


def test_who_may_be_meant_is_said(tmp_path):
    people = [ADA, BOB]
    [*_, (_, why)] = roster.owners(
        [Submission(name, ()) for name in ("hw-ada", "hw-bob", "hw-lovelace-ada")],
        people,
    )
    assert why == (
        "it ends with ada, the id of Ada L (ada), and may be that of somebody "
        "called lovelace-ada"
    )
    [(_, why)] = roster.owners(
        [Submission("ada l", ())], [Person("1", "Ada L", ""), Person("2", "Ada L", "")]
    )
    assert why == "it could be that of Ada L (1) or Ada L (2)"


# A platform's roster, the layout of its download, and what its gradebook gets: of Ada
# and Bob the points, of Cy, who handed in nothing, a 0.
PLATFORMS = {
    "Classroom 50": (
        "username,first_name,last_name,email,section,github_id,role\n"
        "ada,Ada,Lovelace,ada@x,A,1,student\nlovelace-ada,Bob,B,,A,2,\ncy,Cy,C,,A,3,\n"
        "t,T,T,,,4,teacher\n",
        [
            "dl26-sums-ada/katas/{}",
            "dl26-sums-lovelace-ada/katas/{}",
            "dl26-sums-lovelace-ada/result.json",
            "scores.csv",
        ],
        {"ada": 1, "lovelace-ada": 1, "cy": 0},
    ),
    "plain Actions": (
        "id,name,email,github_username\n100,Ada,,ada\n200,Bob,,Bob-B\n300,,,\n",
        ["sums-ada/katas/{}", "sums-bob-b/katas/{}"],
        {"100": 1, "200": 1, "300": 0},
    ),
    "Moodle's grades": (
        f"{GRADES}Ada,Lovelace,100,,,ada@x,\nBob,Berg,200,,,b@x,\nCy,Cole,300,,,c@x,\n",
        [
            "Ada Lovelace_300_assignsubmission_file_/{.name}",
            "Ada Lovelace_300_assignsubmission_onlinetext_/onlinetext.html",
            "Bob Berg_100_assignsubmission_file_{.name}",
        ],
        {"100": 1, "200": 1, "300": 0},
    ),
    "Moodle's worksheet": (
        f'{WORKSHEET}"Participant 11","Ada Lovelace",a@x,,,,\n'
        '"Participant 12","Ada Lovelace",b@x,,,,\n'
        '"Participant 13","Cy Cole",c@x,,,,\n',
        [
            "Ada Lovelace_11_assignsubmission_file/{.name}",
            "Ada Lovelace_12_assignsubmission_file/{.name}",
        ],
        {"a@x": 1, "b@x": 1, "c@x": 0},
    ),
    "Moodle without names": (
        (
            'Identifier,"Full name",Status\n"Participant 11",,x\n"Participant 12",,x\n'
            '"Participant 13",,x\n'
        ),
        [
            "Participant_11_assignsubmission_file_/{.name}",
            "Participant_12_assignsubmission_file_/{.name}",
        ],
        {"Participant 11": 1, "Participant 12": 1, "Participant 13": 0},
    ),
    "Canvas": (
        f'{CANVAS}"Lovelace, Ada",12,U1,al1,S,\n"Lovelace, Ada",13,U2,al2,S,\n'
        '"Cole, Cy",14,U3,cc1,S,\n'
        '"Student, Test",9,,x,S,\n',
        [
            *(
                "lovelaceada_12_901_{.name}",
                "lovelaceada_LATE_13_902_first_look-2.py",
                "lovelaceada_13_903_notes.txt",
            ),
            "studenttest_9_904_{.name}",
        ],
        {"U1": 1, "U2": 1, "U3": 0},
    ),
    "Canvas without SIS": (
        (
            f'{CANVAS}"Lovelace, Ada",12,,,S,\n"O\'Brien, Sean",13,,,S,\n'
            '"Cole, Cy",14,,,S,\n'
        ),
        ["lovelaceada_12_901_{.name}", "obriensean_LATE_13_902_{.name}"],
        {"12": 1, "13": 1, "14": 0},
    ),
}


@pytest.fixture
def points(monkeypatch):
    """Whoever handed in the reference works; nobody's verdict is the point here."""
    right = KATA.reference.read_text()

    def graded(handed_in, katas, **_):
        for attempt in handed_in:
            source = attempt.submission.texts[KATA]
            run = grading.Grading(
                [KATA], {KATA: replace(source, text="")}, options=RunOptions()
            )
            if source.reason:
                list(run.ready())
            [result] = run.results or [cores.not_started(KATA, RunOptions())]
            if source.text == right:
                passed = [
                    replace(
                        e.specs[0],
                        name="TestX::x",
                        status="passed",
                        said="",
                        failure=None,
                    )
                    for e in result.exercises
                ]
                own = zip(result.exercises, passed, strict=True)
                result = replace(
                    result, exercises=tuple(replace(e, specs=(one,)) for e, one in own)
                )
            yield Graded(attempt.student, attempt.version, result)

    monkeypatch.setattr(class_grading, "grade_class", graded)
    return graded


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_platforms_roster_and_download_give_everybody_their_own(
    platform, tmp_path, points, kata_here
):
    text, files, expected = PLATFORMS[platform]
    (tmp_path / "roster.csv").write_text(text)
    for name in files:
        place = (
            tmp_path / "class" / name.format(KATA.file if "{}" in name else KATA.file)
        )
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(KATA.reference.read_text() if place.suffix == ".py" else "x")
    reports = [
        f"--report={name}={tmp_path / name}" for name in ("moodle", "canvas", "csv")
    ]
    command = [
        "class",
        tmp_path / "class",
        "00",
        "--roster",
        tmp_path / "roster.csv",
        *reports,
    ]
    done = kata_here(*command, "--intake", tmp_path / "intake.csv")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    every = len(KATA.exercises)
    grades = {
        row["identifier"]: float(row["grade"])
        for row in csv.DictReader(open(tmp_path / "moodle"))
    }
    assert grades == {who: every * share for who, share in expected.items()}
    rows = list(csv.DictReader(open(tmp_path / "canvas")))[1:]
    assert [float(row[KATA.name]) for row in rows] == list(grades.values())
    if platform.startswith("Canvas"):
        given = list(csv.DictReader(text.splitlines()))[1:4]
        for column in ("Student", "ID", "SIS User ID", "SIS Login ID", "Section"):
            assert [row[column] for row in rows] == [row[column] for row in given]
        assert done.stdout.count("late, as Canvas says: ") == 1
        assert (
            ",handed in,Canvas marks it as late,"
            in (tmp_path / "intake.csv").read_text()
        )


def test_without_the_right_roster_nobody_gets_a_0(tmp_path, points, kata_here):
    """The ids are those of the university, the repositories are called by
    GitHub's names.
    """
    (tmp_path / "roster.csv").write_text(
        "id,name,email\n100,Ada Lovelace,a@x\n200,Bob Berg,b@x\n"
    )
    for name in ("dl26-sums-adal", "dl26-sums-bobo"):
        place = tmp_path / "class" / name / KATA.file
        place.parent.mkdir(parents=True)
        place.write_text(KATA.reference.read_text())
    reports = [f"--report={name}={tmp_path / name}" for name in ("moodle", "csv")]
    command = [
        "class",
        tmp_path / "class",
        "00",
        "--roster",
        tmp_path / "roster.csv",
        *reports,
    ]
    done = kata_here(*command)
    assert done.returncode == 2 and "--unowned-are-nobody" in done.stderr
    assert (
        "people who may have handed one in: Ada Lovelace (100), Bob Berg (200)"
        in done.stdout
    )
    assert len((tmp_path / "moodle").read_text().splitlines()) == 1, "the header"
    done = kata_here(*command, "--unowned-are-nobody")
    assert done.returncode == 0
    assert [row["grade"] for row in csv.DictReader(open(tmp_path / "moodle"))] == [
        "0",
        "0",
    ]


@pytest.mark.parametrize(
    ("name", "text", "held"),
    [
        (
            ONE.file.name,
            ONE.reference.read_text(),
            {"bob": ["01"], "cy": ["01"], "di": ["01"]},
        ),
        ("report.pdf", "x", {"bob": ["01"], "cy": ["00", "01"], "di": ["00", "01"]}),
        (ONE.file.name, ONE.code.read_text(), {}),
        ("x.py", "", {}),
    ],
)
def test_what_a_submission_of_nobody_holds_back(tmp_path, name, text, held):
    """Ada has handed in 00 and 01, Bob 00, Cy nothing, Di an empty 00 and 01's stub.

    Whose stub nobody's is has 0 either way.
    """
    (tmp_path / "roster.csv").write_text("id,name,email\nada,,\nbob,,\ncy,,\ndi,,\n")
    (tmp_path / "class/di").mkdir(parents=True)
    (tmp_path / "class/di" / KATA.file.name).write_text("")
    (tmp_path / "class/di" / ONE.file.name).write_text(ONE.code.read_text())
    for path in (
        f"ada/{KATA.file.name}",
        f"ada/{ONE.file.name}",
        f"bob/{KATA.file.name}",
        f"zed/{name}",
    ):
        (tmp_path / "class" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "class" / path).write_text(text if "zed" in path else "x = 1")
    asked = ClassOptions(
        folder=tmp_path / "class",
        assignment=Assignment([KATA, ONE], RunOptions()),
        roster_file=tmp_path / "roster.csv",
    )
    attributed = class_run.attribute(class_run.collect(asked), list)
    lost = {}
    for one in attributed.read[:4]:
        missing = [
            kata.number
            for kata, source in one.submission.texts.items()
            if source.reason
        ]
        lost |= {one.submission.student: missing} if missing else {}
        assert one.waits == bool(missing)
    assert lost == held


def test_an_untouched_stub_waits_as_an_empty_hand_does(tmp_path, points, kata_here):
    """Fay's repository holds the stub, and her work is in one that nobody owns."""
    (tmp_path / "roster.csv").write_text("id,name,email\nada,Ada,\nfay,Fay,\n")
    right, stub = KATA.reference.read_text(), KATA.code.read_text()
    for name, text in (("hw-ada", right), ("hw-fay", stub), ("hw-fay-1", right)):
        place = tmp_path / "class" / name / KATA.file
        place.parent.mkdir(parents=True)
        place.write_text(text)
    grades, pages, intake = (tmp_path / name for name in ("moodle", "pages", "i.csv"))
    command = [
        *("class", tmp_path / "class", "00", "--roster", tmp_path / "roster.csv"),
        *(f"--report=moodle={grades}", "--feedback", pages, "--intake", intake),
    ]
    done = kata_here(*command)
    nobodys = "and work in 1 submission of nobody in the roster"
    why = f"untouched stub in hw-fay/{KATA.file}, {nobodys}"
    both = f"{why}: hw-fay-1/{KATA.file}"
    assert done.returncode == 2
    assert "which 1 of 3 students may have handed in" in done.stderr
    waiting = "people who may have handed one in: Fay (fay)"
    assert f"{waiting}\nFay (fay): {both}\n" in done.stdout
    rows = csv.DictReader(open(intake))
    assert [row["note"] for row in rows if row["verdict"] == "not graded"] == [both]
    assert [row["identifier"] for row in csv.DictReader(open(grades))] == ["ada"]
    page = (pages / "Fay (fay).html").read_text()
    assert why in page and "hw-fay-1" not in page, "which may be anybody's"
    done = kata_here(*command, "--unowned-are-nobody")
    assert done.returncode == 0, done.stderr
    assert [row["identifier"] for row in csv.DictReader(open(grades))] == ["ada", "fay"]


@pytest.mark.parametrize(
    "name", ["ada.py", "Ada Lovelace.py", "ada.docx", "ada.py.txt", "ada.rar"]
)
def test_a_loose_file_is_that_of_whom_it_is_called_after(
    name, tmp_path, points, kata_here
):
    (tmp_path / "roster.csv").write_text("id,name,email\nada,Ada Lovelace,\nbob,Bob,\n")
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / name).write_text(
        KATA.reference.read_text() if ".py" in name else "x"
    )
    (tmp_path / "class/notes.txt").write_text("of the teacher")
    reports = [f"--report=moodle={tmp_path / 'moodle'}"]
    done = kata_here(
        "class", tmp_path / "class", "00", "--roster", tmp_path / "roster.csv", *reports
    )
    grades = {
        row["identifier"]: row["grade"]
        for row in csv.DictReader(open(tmp_path / "moodle"))
    }
    assert grades == (
        {"ada": str(len(KATA.exercises)), "bob": "0"} if ".py" in name else {"bob": "0"}
    ), done.stdout
    assert "notes.txt: ignored" in done.stdout
    assert done.returncode == (0 if ".py" in name else 2)
    (tmp_path / "class/who.py").write_text("x = 1")
    done = kata_here(
        "class", tmp_path / "class", "00", "--roster", tmp_path / "roster.csv", *reports
    )
    assert done.returncode == 2 and "  who: nobody in the roster" in done.stdout
    assert not [
        row for row in csv.DictReader(open(tmp_path / "moodle")) if row["grade"] == "0"
    ]


def test_times_of_a_download_are_not_known(tmp_path, points, kata_here):
    """Canvas and Moodle give every file the time at which it is downloaded, after the
    date that is due.
    """
    (tmp_path / "g.toml").write_text(
        '[late]\nzone = "UTC"\ndue = 2001-01-01T00:00:00\nper_day = 100\n'
    )
    for name in (
        "lovelaceada_LATE_12_901_first_look.py",
        "Bob Berg_3_assignsubmission_file_",
        "cy",
    ):
        place = tmp_path / "class" / name
        place = place if place.suffix else place / KATA.file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(KATA.reference.read_text())
    rules = ["--rules", tmp_path / "g.toml", f"--report=csv={tmp_path / 'csv'}"]
    done = kata_here("class", tmp_path / "class", "00", *rules)
    scores = {
        row["student"]: float(row["score"])
        for row in csv.DictReader(open(tmp_path / "csv"))
    }
    assert scores == {
        "Bob Berg_3": len(KATA.exercises),
        "lovelaceada_12": len(KATA.exercises),
        "cy": 0,
    }
    assert "so lateness costs nothing: Bob Berg_3, lovelaceada_12\n" in done.stdout
    assert "late, as Canvas says: lovelaceada_12\n" in done.stdout


def test_earlier_results_are_found_by_the_exact_id():
    ids, kata = {"Ada": "Ada", "Lovelace (ada)": "ada"}, KATA.name
    earlier = {
        (student, kata): Earlier(KataResult(kata, ()), {}, {}, student)
        for student in ("Ada", "ada", "ADA")
    }
    found = regrading.of_students(earlier, ids)
    assert {student: one.id for (student, _), one in found.items()} == {
        "Ada": "Ada",
        "Lovelace (ada)": "ada",
        "ADA": "ADA",
    }
