"""Feedback goes back to the students of a platform: what the archive holds, for whom,
and who is left out.
"""

import zipfile
from pathlib import Path

import pytest

from grader.teaching import returned
from grader.teaching.platforms import MOODLE
from grader.teaching.submissions import Submission

ADA, BOB = (
    "Ada Lovelace_12345_assignsubmission_file_",
    "Bob O'Neil_678_assignsubmission_file",
)


@pytest.fixture
def course(tmp_path) -> Path:
    """Moodle's download, with a folder per student as its versions before and after 4.1
    name them, and the pages.
    """
    for folder in (ADA, BOB):
        (tmp_path / "class" / folder).mkdir(parents=True)
        (tmp_path / "class" / folder / "tensors.py").write_text("x = 1\n")
    (tmp_path / "roster.csv").write_text(
        "id,name,email\n7,Ada Lovelace,\nbob,Bob O'Neil,\n9,Cy,\n"
    )
    (tmp_path / "pages").mkdir()
    for student in ("Ada Lovelace (7)", "Bob O'Neil (bob)", "Cy (9)"):
        (tmp_path / "pages" / f"{student}.html").write_text(f"<p>{student}: 3 Punkte ★")
    return tmp_path


def packed(folder: Path) -> dict[str, str]:
    with zipfile.ZipFile(folder / "f.zip") as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def arguments(folder: Path, to: str) -> list:
    options = [
        "--to",
        to,
        "--submissions",
        folder / "class",
        "--roster",
        folder / "roster.csv",
    ]
    return ["export", "feedback", folder / "pages", folder / "f.zip", *options]


def test_a_class_that_is_no_download_of_moodles_has_no_archive_for_it(
    course, kata_here
):
    for folder in (course / "class").iterdir():
        folder.rename(folder.with_name(folder.name.partition("_")[0].replace(" ", "-")))
    done = kata_here(*arguments(course, "moodle"))
    assert (
        done.returncode == 2
        and "has no folder of Moodle's download: pack the pages by --to zip"
        in done.stderr
    )
    assert not (course / "f.zip").exists()


def test_moodle_gets_its_own_folders_back(course, kata_here):
    done = kata_here(*arguments(course, "moodle"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{course}/f.zip has 2 pages: in Moodle, choose Upload multiple feedback files "
        "in a zip\n"
        "no folder of Moodle's download, so not in it: Cy (9)\n"
    )
    assert packed(course) == {
        f"{ADA}/feedback.html": "<p>Ada Lovelace (7): 3 Punkte ★",
        f"{BOB}_/feedback.html": "<p>Bob O'Neil (bob): 3 Punkte ★",
    }


def test_any_other_platform_gets_a_page_per_id(course, kata_here):
    done = kata_here(*arguments(course, "zip"))
    assert (done.returncode, done.stdout) == (0, f"{course}/f.zip has 3 pages\n")
    assert packed(course).keys() == {"7.html", "bob.html", "9.html"}


def test_who_has_no_page_is_named(course, kata_here):
    (course / "pages/Bob O'Neil (bob).html").unlink()
    done = kata_here(*arguments(course, "zip"))
    assert done.returncode == 2 and packed(course).keys() == {"7.html", "9.html"}
    assert done.stderr == (
        f"kata: no page in {course}/pages, so not in {course}/f.zip: Bob O'Neil (bob)\n"
    )


def test_pages_of_one_name_cost_only_those_who_have_it(course, kata_here):
    for name in ("a:b", "a?b", " ", "  "):
        (course / "class" / name).mkdir()
        (course / "pages" / f"{name}.html").write_text("x")
    done = kata_here(*arguments(course, "zip"))
    assert done.stdout.endswith(
        "pages that would have one name, so not in it: a:b, a?b\n"
    )
    assert done.returncode == 2 and packed(course).keys() == {
        "7.html",
        "bob.html",
        "9.html",
        " .html",
        "  .html",
    }


def test_pages_of_other_names_are_of_nobody(course, kata_here):
    for number, page in enumerate((course / "pages").iterdir()):
        page.rename(course / "pages" / f"student {number:02}.html")
    done = kata_here(*arguments(course, "moodle"))
    assert (
        done.returncode == 2
        and "has no page of a student in the class: give --submissions" in done.stderr
    )
    assert not (course / "f.zip").exists()


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (ADA, f"{ADA}/feedback.html"),
        (BOB, f"{BOB}_/feedback.html"),
        (f"{ADA}tensors.py", f"{ADA}/feedback.html"),  # a download without folders
        (
            "Participant_12_assignsubmission_onlinetext_",
            "Participant_12_assignsubmission_onlinetext_/feedback.html",
        ),
        (
            "José Ruiz Mora_3_assignsubmission_file_",
            "José Ruiz Mora_3_assignsubmission_file_/feedback.html",
        ),
        ("Ada Lovelace", ""),
        ("Ada_x_assignsubmission_file_", ""),
        ("lovelaceada_12345_678901_tensors.py", ""),
    ],
)
def test_the_name_that_moodle_reads(place, name):
    """Its importer cuts the folder's name at underscores: name, number, kind of
    plugin, plugin.
    """
    found = returned.by_upload(MOODLE)(Submission("Ada", (Path("class") / place,)))
    assert found == name
    if found:
        parts = found.partition("/")[0].split("_", 4)
        assert parts[1].isdigit() and parts[2] == "assignsubmission" and parts[4] == ""


@pytest.mark.parametrize(
    ("id_", "name"), [("7", "7.html"), ("a/b", "a b.html"), ("..\\x", ".. x.html")]
)
def test_names_by_id_are_files(id_, name):
    assert returned.by_id({"Ada": id_})(Submission("Ada", ())) == name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["pages"], "nothing: no such folder; kata class --feedback"),
        (["--to", "canvas"], "moodle"),
        (["--submissions", "none"], "none: no such folder"),
    ],
)
def test_trouble_is_told(course, kata_here, change, said):
    given = arguments(course, "moodle")
    if change == ["pages"]:
        given[2] = course / "nothing"
    else:
        given[given.index(change[0]) + 1] = change[1]
    done = kata_here(*given)
    assert done.returncode == 2 and said in done.stderr
