"""The diagrams of lessons: what a source draws, what it may not, and what holds
picture, source and lesson together.
"""

import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from grader.course.catalogue import Kata, all_katas
from tests.conftest import SOUND
from workshop import diagrams, drawing, promises

SOURCE = """\
title "A line"
size 10
# from left to right
box x data 10,5 12x5 "x" "(B, I)"
box layer parameters 40,5 12x5 "layer"
arrow x.right layer.left "(B, I)"
"""
ALT = "x (B, I) goes into the layer, which has parameters of its own. " * 3
DRAWN = [(kata, source) for kata in all_katas() for source in diagrams.sources(kata)]


@pytest.fixture
def kata(tmp_path) -> Kata:
    """A kata with a diagram that is drawn and shown."""
    shutil.copytree(SOUND, tmp_path / "tree")
    kata = Kata(tmp_path / "tree", "01_sums")
    source = kata.folder / "line.diagram"
    source.write_text(SOURCE)
    diagrams.draw(source)
    page = kata.folder / "README.md"
    page.write_text(
        page.read_text().replace(
            "![A line]", f"![{ALT.strip()}](line.svg)\n\n![A line]"
        )
    )
    return kata


def change(path: Path, was: str, now: str) -> None:
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, now))


class TestPromise:
    def test_a_sound_kata_keeps_it(self, kata):
        assert promises.diagrams(kata) == [] and promises.folder(kata) == []

    def test_a_changed_source(self, kata):
        change(kata.folder / "line.diagram", "(B, I)", "(B, H)")
        assert promises.diagrams(kata) == [
            "katas/01_sums/line.svg: not what line.diagram says: make diagrams"
        ]
        diagrams.draw(kata.folder / "line.diagram")
        assert promises.diagrams(kata) == []

    def test_a_picture_changed_by_hand(self, kata):
        change(kata.folder / "line.svg", 'width="120"', 'width="130"')
        assert promises.diagrams(kata) == [
            "katas/01_sums/line.svg: not what line.diagram says: make diagrams"
        ]

    def test_another_style(self, kata, tmp_path, monkeypatch):
        program = tmp_path / "drawing.py"
        program.write_text(
            Path(drawing.__file__).read_text().replace("#dbeafe", "#ddeeff")
        )
        monkeypatch.setattr(drawing, "__file__", str(program))
        assert promises.diagrams(kata) == [
            "katas/01_sums/line.svg: not what line.diagram says: make diagrams"
        ]

    def test_a_missing_picture(self, kata):
        (kata.folder / "line.svg").unlink()
        assert "katas/01_sums/line.svg: missing: make diagrams" in promises.diagrams(
            kata
        )

    def test_a_picture_without_a_source(self, kata):
        (kata.folder / "line.diagram").unlink()
        assert promises.diagrams(kata) == [
            "katas/01_sums/line.svg: has no source line.diagram"
        ]

    def test_a_lesson_that_does_not_show_it(self, kata):
        change(kata.folder / "README.md", "](line.svg)", "](figure.png)")
        assert promises.diagrams(kata) == [
            "katas/01_sums/README.md: does not show line.svg"
        ]

    @pytest.mark.parametrize("alt", ["", "A line.", "words " * 40, "One. Two."])
    def test_an_alt_text_that_does_not_tell_the_structure(self, kata, alt):
        change(kata.folder / "README.md", ALT.strip(), alt)
        [problem] = promises.diagrams(kata)
        assert f"the alt text of line.svg has {len(alt.split())} words" in problem


class TestCommand:
    """`kata diagrams` and, with --check, a part of `make check`."""

    @pytest.fixture(autouse=True)
    def stale(self, kata):
        change(kata.folder / "line.diagram", "(B, I)", "(B, H)")

    def test_what_is_stale_is_drawn(self, kata, capsys):
        assert diagrams.update([kata], check=False)
        assert capsys.readouterr().out == "drew katas/01_sums/line.svg\n"
        assert promises.diagrams(kata) == []
        assert not diagrams.update([kata], check=False)
        assert capsys.readouterr().out == ""

    def test_a_check_draws_nothing(self, kata, capsys):
        assert diagrams.update([kata], check=True)
        assert (
            capsys.readouterr().out
            == "stale, run make diagrams: katas/01_sums/line.svg\n"
        )
        assert promises.diagrams(kata) != []

    def test_a_wrong_source_is_named(self, kata):
        change(kata.folder / "line.diagram", "layer.left", "lawyer.left")
        with pytest.raises(
            diagrams.WrongSource,
            match="^katas/01_sums/line.diagram: line 6: arrow x.right lawyer.left",
        ):
            diagrams.update([kata], check=False)


class TestDrawing:
    def test_each_text_is_drawn_in_outlines(self):
        """So that no viewer's font makes it wider: there is no text element."""
        root = ElementTree.fromstring(drawing.draw(SOURCE))
        tags = [element.tag.rpartition("}")[2] for element in root.iter()]
        letters = sum(
            len(text.replace(" ", "")) for text in ("x", "(B, I)", "layer", "(B, I)")
        )
        legend = len("input,target,output") + len("parameters")
        assert "text" not in tags and tags.count("use") == letters + legend

    def test_it_is_the_same_every_time(self):
        assert drawing.draw(SOURCE) == drawing.draw(SOURCE)

    @pytest.mark.parametrize(
        ("kata", "source"),
        DRAWN,
        ids=[f"{kata.name}/{source.name}" for kata, source in DRAWN],
    )
    def test_a_picture_is_small_and_light(self, kata, source):
        """At most 60 kB, no wider than a page shows it, and on a light card of
        its own.
        """
        picture = source.with_suffix(".svg")
        root = ElementTree.parse(picture).getroot()
        assert picture.stat().st_size < 60_000
        assert root.get("width") == "880" and float(root.get("height")) <= 620
        card = next(element for element in root if element.tag.endswith("rect"))
        assert card.get("fill") == drawing.CARD and card.get("width") == "879"

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ('box wide data 60,5 4x5 "too wide"', "does not fit"),
            ('box tall data 60,5 20x3 "a" "b" "c"', "does not fit"),
            ('box over data 42,5 12x5 "over"', "the box layer touches the box over"),
            ('box off data 85,5 12x5 "off"', "the box off is not on the card"),
            ('text 40,5 "on"', 'the label "on" touches the box layer'),
            (
                'text 26,5 "on"',
                'the label "on" is crossed by the arrow x.right layer.left',
            ),
            (
                'frame 5,1 28,9\ntext 28,8 "on"',
                'the label "on" is on the edge of the frame at 5,1',
            ),
            ("arrow 2,5 60,5", "the box x is crossed by the arrow 2,5 60,5"),
            (
                "arrow x.right nowhere.left",
                "line 7: arrow x.right nowhere.left: 'nowhere'",
            ),
            ("circle 60,5", "there is no statement circle"),
            ('box new colour 60,5 9x5 "new"', "'colour'"),
            ('text 60,5 "字"', "the font has no '字'"),
        ],
    )
    def test_what_would_not_be_legible_is_an_error(self, line, said):
        with pytest.raises(ValueError) as error:
            drawing.draw(f"{SOURCE}{line}\n")
        assert said in str(error.value)
