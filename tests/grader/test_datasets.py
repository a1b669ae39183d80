"""The data in the package, and the optional downloads against a small server on the
loopback address.
"""

import base64
import errno
import hashlib
import io
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from grader.course import downloads
from grader.course.catalogue import all_katas
from grader.course.downloads import DataSet, Source
from grader.datasets import characters, digits, prose, verse
from grader.errors import DownloadFailure
from grader.execution import grading
from tests.conftest import SOUND

# 305,000 bytes: several blocks
BODY = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 5000
SPEC_WITH_DATA = '''

class TestDouble:
    def test_data_is_at_hand(self, kata):
        """Specs train on it."""
        from grader.datasets import digits, prose

        images, labels = digits()
        assert torch.equal(kata.double(images), images + images)
        assert len(labels) == 1797 and "import" in prose()
'''


class Server(ThreadingHTTPServer):
    """Gives out `files`. It can end connections after `cut` bytes of a body, fall
    silent there, or know no ranges.
    """

    daemon_threads = True
    files: dict[str, bytes]
    cut: int | None = None
    silent = ranges = False
    length = True
    asked: list[tuple[str, str | None]]

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked, self.ranges = {}, [], True
        self.finished = threading.Event()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name, wanted = self.path[1:], self.headers["Range"]
        self.server.asked.append((name, wanted))
        if name not in self.server.files:
            return self.send_error(404, "gone \x1b[2J\x1b]0;title\x07")
        if b"://" in self.server.files[name][:8]:
            self.send_response(302)
            self.send_header("Location", self.server.files[name].decode())
            return self.end_headers()
        body = self.server.files[name]
        start = (
            int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if wanted and self.server.ranges
            else 0
        )
        self.send_response(206 if start else 200)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}"
            )
        if self.server.length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = len(body) if self.server.cut is None else start + self.server.cut
        self.wfile.write(body[start:end])
        if self.server.silent:
            self.server.finished.wait(20)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    yield server
    server.finished.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def known(server, tmp_path, monkeypatch):
    """A function that puts files on the server and makes them the one data set that
    there is.
    """

    def put(name: str, *files: tuple, holds: tuple[str, ...]) -> DataSet:
        sources = []
        for file, body, unpack, place in files:
            server.files[file] = body
            digest = None if file.endswith(".bin") else hashlib.sha256(body).hexdigest()
            sources.append(Source(server.base + file, len(body), digest, unpack, place))
        chosen = DataSet(
            name, "made here", "https://example.org/about", tuple(sources), holds
        )
        monkeypatch.setattr(downloads, "SETS", (chosen,))
        monkeypatch.setattr(downloads, "DATA", tmp_path / "data")
        return chosen

    return put


@pytest.fixture
def play(known) -> DataSet:
    return known(
        "play", ("input.txt", BODY, downloads.keep, "play.txt"), holds=("play.txt",)
    )


@pytest.fixture
def command(kata_here):
    """`kata` with these arguments in this process: (exit code, what it printed, what it
    complained of).
    """

    def run(*args: str) -> tuple[int, str, str]:
        done = kata_here(*args)
        return done.returncode, done.stdout, done.stderr

    return run


def quietly(chosen: DataSet) -> Path:
    return downloads.fetch(chosen, downloads.DATA, lambda source, have: None)


def left() -> dict[str, int]:
    """The contents of data/: path → bytes."""
    files = [
        path
        for path in downloads.DATA.rglob("*")
        if path.is_file() or not any(path.iterdir())
    ]
    return {
        path.relative_to(downloads.DATA).as_posix(): path.stat().st_size
        if path.is_file()
        else -1
        for path in files
    }


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name.replace("__", "/") + ".png", body)
    return file.getvalue()


def tarred(
    *members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, target: str = ""
) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, body in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, len(body)
            archive.addfile(member, io.BytesIO(body))
    return file.getvalue()


class TestWhatComesWithThePackage:
    def test_digits_are_images_in_0_to_1_with_their_labels(self):
        images, labels = digits()
        assert (images.shape, images.dtype, labels.shape, labels.dtype) == (
            (1797, 1, 8, 8),
            torch.float32,
            (1797,),
            torch.int64,
        )
        assert sorted(set((images * 16).flatten().tolist())) == list(range(17))
        assert labels.bincount().tolist() == [
            178,
            182,
            177,
            183,
            181,
            182,
            181,
            179,
            174,
            180,
        ]
        assert images.is_contiguous() and not images.requires_grad

    def test_images_and_labels_belong_together(self):
        """The nearest mean tells nearly nine digits in ten: no shuffled labels, no
        transposed pixels in one half.
        """
        images, labels = digits()
        x = images.flatten(1)
        means = torch.stack(
            [x[:900][labels[:900] == digit].mean(0) for digit in range(10)]
        )
        assert (
            torch.cdist(x[900:], means).argmin(1) == labels[900:]
        ).float().mean() > 0.85

    def test_every_call_gives_new_tensors(self):
        for tensor in digits():
            tensor.zero_()
        images, labels = digits()
        assert images.max() == 1 and labels.max() == 9

    def test_prose_is_english(self):
        text = prose()
        assert 300_000 < len(text) < 1_000_000
        assert (
            text == prose()
            and sum(text.count(word) for word in (" the ", " of ", " is ")) > 5_000
        )
        assert "\n\n" in text and not text.startswith("\n")

    def test_characters_are_split_the_same_way_each_time(self):
        (train, held_out, symbols), again = characters(), characters()
        assert torch.equal(train, again[0]) and torch.equal(held_out, again[1])
        assert abs(len(train) - 9 * len(held_out)) < 10
        assert set(torch.cat([train, held_out]).tolist()) == set(range(symbols))

    def test_verse_is_a_short_text_of_few_characters(self):
        text = verse()
        assert 4_000 < len(text) < 10_000 and text.isascii() and len(set(text)) < 80
        assert text.count("\n\n") > 20 and text.endswith("\n") and "Jabberwock" in text

    def test_a_confined_worker_has_them_too(self, tmp_path):
        shutil.copytree(SOUND, tmp_path / "tree")
        kata = all_katas(tmp_path / "tree")[0]
        before, _, after = kata.specs.read_text().partition("\n\nclass TestDouble:")
        kata.specs.write_text(
            before
            + SPEC_WITH_DATA
            + "\n\nclass TestTotal:"
            + after.partition("\n\nclass TestTotal:")[2]
        )
        [result] = grading.grade_folder([kata], kata.root / "solutions")
        found = {
            spec.name: (spec.status, spec.message)
            for exercise in result.exercises
            for spec in exercise.specs
        }
        assert found["TestDouble::test_data_is_at_hand"] == ("passed", ""), found


class TestTheTable:
    def test_every_set_has_a_digest_a_size_and_a_place_for_each_file(self):
        assert [chosen.name for chosen in downloads.SETS] == [
            "fashion_mnist",
            "mnist",
            "oxford_flowers",
            "horse_or_human",
            "text",
            "gpt2_bpe",
            "hellaswag",
            "fineweb_edu",
            "fineweb_edu_10b",
        ]
        for chosen in downloads.SETS:
            for source in chosen.sources:
                published = source.sha256 and re.fullmatch(
                    "[0-9a-f]{64}", source.sha256
                )
                assert (
                    (published or source.file.endswith(".bin"))
                    and source.size > 0
                    and source.file
                )
            assert len({source.file for source in chosen.sources}) == len(
                chosen.sources
            )
        digests = [
            source.sha256
            for chosen in downloads.SETS
            for source in chosen.sources
            if source.sha256
        ]
        assert len(set(digests)) == len(digests)

    def test_the_shards_hold_ten_billion_tokens_and_the_sample_is_the_beginning(self):
        sample, whole = (
            {s.file: s for s in downloads._named(f"fineweb_edu{name}").sources}
            for name in ("", "_10b")
        )
        assert sample.items() <= whole.items() and len(whole) == 100
        assert (
            sum(s.size - 1024 for name, s in whole.items() if "train" in name)
            == 2 * 9_853_989_344
        )
        assert list(sample) == [
            "finewebedu_val_000000.bin",
            "finewebedu_train_000001.bin",
            "finewebedu_train_000002.bin",
        ]

    def test_git_ignores_what_is_downloaded_and_not_what_comes_along(self, tmp_path):
        paths = ["data/mnist/x.gz", "data/mnist.part/x.gz", "grader/data/digits.npz"]
        shutil.copy(downloads.ROOT / ".gitignore", tmp_path)
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
        done = subprocess.run(
            ["git", "check-ignore", *paths],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.stdout.splitlines() == paths[:2]


class TestListing:
    def test_each_set_says_what_it_is_and_where(self, play, command):
        code, out, _ = command("data")
        assert (
            code == 0
            and out
            == "play            made here    0.3 MB  not downloaded: kata data play\n"
        )
        quietly(play)
        assert command("data")[1].endswith(f"in {downloads.DATA}/play\n")

    def test_half_a_download_is_listed_as_that(self, play, server):
        server.cut = 100_000
        with pytest.raises(DownloadFailure):
            quietly(play)
        assert downloads.listing().endswith("0.1 MB downloaded: kata data play resumes")

    def test_an_unknown_name(self, play, command):
        assert command("data", "plya") == (
            2,
            "",
            "kata: there is no data set 'plya': there are play\n",
        )

    def test_lessons_find_a_set_only_when_it_is_whole(self, play):
        assert downloads.find("play") is None
        assert quietly(play) == downloads.DATA / "play" == downloads.find("play")
        (downloads.DATA / "play" / "play.txt").unlink()
        assert downloads.find("play") is None


class TestDownload:
    def test_the_set_is_there_and_nothing_else(self, play, command):
        code, out, err = command("data", "play")
        assert (code, left()) == (0, {"play/play.txt": len(BODY)})
        assert (downloads.DATA / "play" / "play.txt").read_bytes() == BODY
        assert out == (
            f"play is in {downloads.DATA}/play; description and licence: "
            "https://example.org/about\n"
        )
        assert re.fullmatch(r"input.txt \(0.3 MB\) from 127.0.0.1:\d+\n", err), (
            "a plain line a file where nobody watches"
        )

    def test_a_terminal_gets_a_bar(self, play, command, monkeypatch):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm")
        code, _, err = command("data", "play")
        assert code == 0 and "from 127" not in err

    def test_what_is_there_is_not_fetched_again(self, play, server, command):
        quietly(play)
        server.asked.clear()
        code, out, err = command("data", "play")
        assert (code, out, err) == (
            0,
            f"play is already in {downloads.DATA}/play\n",
            "",
        ) and not server.asked

    def test_a_body_without_a_length(self, play, server):
        server.length = False
        assert (quietly(play) / "play.txt").read_bytes() == BODY

    def test_archives_are_unpacked_where_lessons_look(self, known):
        training, validation = (
            zipped(horses__a=b"1", humans__b=b"2"),
            zipped(horses__c=b"3"),
        )
        chosen = known(
            "animals",
            ("t.zip", training, downloads.unpack, "training"),
            ("v.zip", validation, downloads.unpack, "validation"),
            holds=("training", "validation"),
        )
        quietly(chosen)
        assert left() == dict.fromkeys(
            [
                "animals/training/horses/a.png",
                "animals/training/humans/b.png",
                "animals/validation/horses/c.png",
            ],
            1,
        )

    def test_a_token_shard_is_checked_by_its_form(self, known, server):
        """No digest of these files is published."""
        shard = struct.pack("<256i", 20240520, 1, 500, *[0] * 253) + bytes(1000)
        chosen = known(
            "shards",
            ("val_0.bin", shard, downloads.keep, "val_0.bin"),
            holds=("val_0.bin",),
        )
        assert (quietly(chosen) / "val_0.bin").read_bytes() == shard
        shutil.rmtree(downloads.DATA)
        for damaged, complaint in (
            (
                b"<!DOCTYPE html>".ljust(len(shard)),
                "its header is not that of a shard of GPT-2 tokens",
            ),
            (
                struct.pack("<256i", 20240520, 1, 501, *[0] * 253) + bytes(1000),
                "its header promises 501 tokens",
            ),
            (
                shard[:-2] + struct.pack("<H", 50_257),
                "it holds the id 50257, and GPT-2 has 50,257 tokens",
            ),
        ):
            server.files["val_0.bin"] = damaged
            with pytest.raises(
                DownloadFailure,
                match=f"val_0.bin from .* was deleted, because .*{complaint}",
            ):
                quietly(chosen)
            assert left() == {}

    def test_flowers_with_their_labels(self, known):
        """imagelabels.mat as SciPy writes it: compressed, one row of uint8."""
        header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
        labels = header + base64.b64decode(
            "DwAAADMAAAB4nONjYGBwAGI2IOYAYk4GCGCF8hmBmB1Kg9TkJCal5hQzMDBBxX2Z0xgZWdMYA"
            "FmKBCE="
        )
        images = tarred(
            *((f"jpg/image_{number:05d}.jpg", b"J") for number in range(1, 8))
        )
        chosen = known(
            "flowers",
            ("f.tgz", images, downloads.unpack, "."),
            ("l.mat", labels, downloads.flower_labels, "labels.csv"),
            holds=("jpg", "labels.csv"),
        )
        lines = (quietly(chosen) / "labels.csv").read_text().splitlines()
        assert (
            lines[:3] == ["file,label", "image_00001.jpg,77", "image_00002.jpg,3"]
            and len(lines) == 8
        )
        assert all(
            (downloads.DATA / "flowers" / "jpg" / line.split(",")[0]).exists()
            for line in lines[1:]
        )

    @pytest.mark.parametrize(
        ("array", "expected"),
        [
            (
                (
                    "DgAAADgAAAAGAAAACAAAAAkAAAAAAAAABQAAAAgAAAABAAAAAwAAAAEAAAAGAAAAb"
                    "GFiZWxzAAACAAMABwMCAA=="
                ),
                [7, 3, 2],
            ),
            (
                (
                    "DwAAADgAAAB4nONjYGAIAGI2IOaA0iDACuUzAjEzlAbJ5SQmpeYUMzBwAtkSULUMD"
                    "sEOEAYHhG6IdAAAndEFUw=="
                ),
                [77, 3, 102],
            ),
        ],
        ids=["uint8 in a short element", "float64 compressed"],
    )
    def test_other_forms_of_a_matlab_file(self, array, expected):
        assert (
            downloads.mat_numbers(
                b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + base64.b64decode(array)
            )
            == expected
        )


class TestResume:
    def test_a_cut_connection_goes_on_where_it_ended(self, play, server, command):
        server.cut = 100_000
        code, out, err = command("data", "play")
        assert (code, out, left()) == (2, "", {"play.part/input.txt": 100_000})
        assert (
            "ended after 100,000 of 305,000 bytes of input.txt: try again to resume"
            in err.splitlines()[-1]
        )
        server.cut = None
        code, _, err = command("data", "play")
        assert (
            server.asked[-1] == ("input.txt", "bytes=100000-")
            and "0.1 MB already downloaded" in err
        )
        assert (code, left()) == (0, {"play/play.txt": len(BODY)})
        assert (downloads.DATA / "play" / "play.txt").read_bytes() == BODY

    def test_a_host_that_knows_no_ranges_sends_it_all_again(self, play, server):
        server.cut = 100_000
        with pytest.raises(DownloadFailure):
            quietly(play)
        server.cut, server.ranges = None, False
        assert (quietly(play) / "play.txt").read_bytes() == BODY

    def test_a_host_leads_to_no_other_protocol(self, play, server):
        server.files["input.txt"] = b"ftp://127.0.0.1/play.txt"
        with pytest.raises(
            DownloadFailure,
            match=r"leads to ftp://127.0.0.1/play.txt: that is not followed",
        ):
            quietly(play)
        server.files |= {"input.txt": f"{server.base}moved".encode(), "moved": BODY}
        assert (quietly(play) / "play.txt").read_bytes() == BODY

    def test_https_leads_to_https_alone(self):
        asked, answer = urllib.request.Request("https://a.example/x"), ("", 302, "", {})
        follow = downloads._Redirects().redirect_request
        assert (
            follow(asked, *answer, "https://b.example/x").full_url
            == "https://b.example/x"
        )
        with pytest.raises(
            DownloadFailure, match="a.example leads to http://b.example/x"
        ):
            follow(asked, *answer, "http://b.example/x")

    def test_files_that_came_whole_are_not_fetched_again(self, known, server):
        chosen = known(
            "two",
            ("a", b"A" * 9, downloads.keep, "a"),
            ("b", b"B" * 9, downloads.keep, "b"),
            holds=("a", "b"),
        )
        body = server.files.pop("b")
        with pytest.raises(
            DownloadFailure, match="refused b: 404 gone .\\[2J.]0;title.$"
        ) as failure:
            quietly(chosen)
        assert str(failure.value).isprintable()
        assert left() == {"two.part/a": 9}
        server.files["b"] = body
        quietly(chosen)
        assert [name for name, _ in server.asked] == ["a", "b", "b"] and left() == {
            "two/a": 9,
            "two/b": 9,
        }

    def test_the_beginning_of_another_file_is_noticed(self, play, server):
        part = downloads.DATA / "play.part" / "input.txt"
        part.parent.mkdir(parents=True)
        part.write_bytes(b"X" * 1000)
        with pytest.raises(
            DownloadFailure,
            match="was deleted, because its SHA-256 is .*: try again later",
        ):
            quietly(play)
        assert left() == {}
        assert (quietly(play) / "play.txt").read_bytes() == BODY


class TestWhatGoesWrong:
    """One line, exit code 2, and nothing left but what the next call goes on from."""

    def fails(self, command, name: str, words: str) -> None:
        code, out, err = command("data", name)
        assert (code, out) == (2, "")
        *started, line = err.splitlines()
        assert line.startswith("kata: ") and re.search(words, line), line
        assert all(
            " MB) from " in before or " MB already downloaded" in before
            for before in started
        )

    def test_an_unreachable_host(self, play, command, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        gone = replace(
            play,
            sources=(
                replace(play.sources[0], url=f"http://127.0.0.1:{port}/input.txt"),
            ),
        )
        monkeypatch.setattr(downloads, "SETS", (gone,))
        self.fails(
            command, "play", f"127.0.0.1:{port} cannot be reached: Connection refused"
        )
        assert not downloads.DATA.exists()

    def test_a_silent_host(self, play, server, command, monkeypatch):
        monkeypatch.setattr(downloads, "SECONDS_OF_SILENCE", 0.2)
        server.cut, server.silent = 70_000, True
        self.fails(
            command, "play", "lost the connection to .*: timed out; try again to resume"
        )
        assert left() == {"play.part/input.txt": 70_000}

    def test_an_altered_file(self, play, server, command):
        server.files["input.txt"] = BODY.replace(b"hear", b"HEAR", 1)
        self.fails(
            command,
            "play",
            "input.txt from 127.0.0.1:[0-9]+ was deleted, because its SHA-256 is .* "
            f"not {play.sources[0].sha256}",
        )
        assert left() == {}

    @pytest.mark.parametrize("length", [True, False])
    def test_a_longer_file(self, play, server, command, length):
        server.files["input.txt"], server.length = BODY + b"!", length
        self.fails(
            command,
            "play",
            "a different input.txt: 305,001 bytes instead of 305,000"
            if length
            else "its SHA-256 is",
        )
        assert left() == {}

    def test_a_page_instead_of_the_file_does_not_cost_what_has_come(
        self, play, server, command
    ):
        """Hotel networks answer everything with their login page."""
        server.cut = 100_000
        with pytest.raises(DownloadFailure):
            quietly(play)
        server.files["input.txt"], server.ranges, server.cut = b"<html>", False, None
        self.fails(command, "play", "a different input.txt: 6 bytes")
        assert left() == {"play.part/input.txt": 100_000}

    def test_a_full_disk_while_downloading(self, play, command, monkeypatch):
        monkeypatch.setattr(
            downloads, "open", disk_with_room_for(130_000), raising=False
        )
        self.fails(
            command,
            "play",
            r"the disk is full: free about 0.6 MB and try again, or delete the "
            r"partial download in .*play.part",
        )
        assert list(left()) == ["play.part/input.txt"]
        monkeypatch.delattr(downloads, "open")
        assert (
            command("data", "play")[0] == 0
            and (downloads.DATA / "play" / "play.txt").read_bytes() == BODY
        )

    def test_a_full_disk_while_unpacking(self, known, command, monkeypatch):
        body = zipped(horses__a=os.urandom(3000), horses__b=os.urandom(3000))
        known(
            "animals",
            ("t.zip", body, downloads.unpack, "training"),
            holds=("training",),
        )
        limited = disk_with_room_for(len(body) + 4000)
        monkeypatch.setattr(downloads, "open", limited, raising=False)
        monkeypatch.setattr(shutil, "open", limited, raising=False)
        self.fails(command, "animals", "the disk is full")
        assert left() == {"animals.part/t.zip": len(body)}

    def test_a_folder_that_cannot_be_written(self, play, command):
        downloads.DATA.write_text("a file where data/ should be")
        self.fails(command, "play", "cannot be written: Not a directory")

    def test_files_of_ones_own_in_its_place_are_left_alone(self, play, command):
        (downloads.DATA / "play").mkdir(parents=True)
        (downloads.DATA / "play" / "mine.txt").write_text("mine")
        self.fails(command, "play", "is not the complete play: move it away")
        assert left() == {"play/mine.txt": 4}

    def test_interrupted(self, play, server):
        """Ctrl-C in the middle: one line, exit code 130, and the next call goes on."""
        server.cut, server.silent = 100_000, True
        script = (
            "import pathlib; from grader.cli import main; from grader.course import "
            "downloads as d; "
            f"d.DATA = pathlib.Path({str(downloads.DATA)!r}); s = "
            f"d.Source({play.sources[0].url!r}, {len(BODY)}, "
            f"{play.sources[0].sha256!r}, d.keep, 'play.txt'); "
            "d.SETS = (d.DataSet('play', '', '', (s,), ('play.txt',)),); main.main()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, "data", "play"],
            cwd=downloads.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        part = downloads.DATA / "play.part" / "input.txt"
        deadline = time.monotonic() + 300
        while (
            not (part.exists() and part.stat().st_size == 100_000)
            and time.monotonic() < deadline
        ):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=8)
        except subprocess.TimeoutExpired:
            # Python swallows an interrupt that meets it in a destructor: press again
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
        assert (process.returncode, out) == (130, "")
        assert err.splitlines()[1:] == [
            "kata: interrupted: run kata data play again to continue"
        ]
        assert left() == {"play.part/input.txt": 100_000}
        server.cut, server.silent = None, False
        assert (quietly(play) / "play.txt").read_bytes() == BODY
        assert server.asked[-1] == ("input.txt", "bytes=100000-")

    def test_interrupted_while_unpacking(self, known, monkeypatch):
        body = zipped(horses__a=b"1", horses__b=b"2")
        chosen = known(
            "animals",
            ("t.zip", body, downloads.unpack, "training"),
            holds=("training",),
        )

        def interrupted(*args, **options):
            assert (downloads.DATA / "animals.part" / "unpacked").exists()
            raise KeyboardInterrupt

        monkeypatch.setattr(downloads.shutil, "unpack_archive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            quietly(chosen)
        assert left() == {"animals.part/t.zip": len(body)}


@pytest.mark.parametrize("unpack", [downloads.unpack, downloads.flower_labels])
@pytest.mark.parametrize("name", ["bad.zip", "bad.tgz"])
def test_what_is_no_archive_at_all(known, unpack, name):
    body = b"<html>not here</html>" * 20
    chosen = known("bad", (name, body, unpack, "here/below"), holds=("here",))
    before = sorted(downloads.DATA.parent.rglob("*"))
    with pytest.raises(
        DownloadFailure, match=f"{name} cannot be unpacked: "
    ) as failure:
        quietly(chosen)
    assert "\n" not in str(failure.value)
    shutil.rmtree(downloads.DATA)
    assert sorted(downloads.DATA.parent.rglob("*")) == before


def disk_with_room_for(count: int):
    """An `open` whose files, all together, take so many bytes."""
    room = [count]

    def limited(path, mode="r", **options):
        file = open(path, mode, **options)
        if "b" in mode and mode != "rb":
            write = file.write

            class Limited:
                def __enter__(self):
                    return self

                def __exit__(self, *error):
                    file.close()

                def write(self, block: bytes) -> None:
                    room[0] -= len(block)
                    if room[0] < 0:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    write(block)

                def flush(self) -> None:
                    file.flush()

            return Limited()
        return file

    return limited
