"""Specs of 07: digests, a download that is whole or not there, an archive unpacked with
care, two data sets.
"""

import contextlib
import hashlib
import io
import itertools
import mimetypes
import os
import socket
import tarfile
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from grader.specs import check


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def check_digest(got, expected, unlike):
    """Check a digest. `unlike` holds the digests of other bytes by the name of
    these bytes.
    """
    for name, wrong in unlike.items():
        check.that(got != wrong, f"this is the digest of {name}")
    check.equal(got, expected, what="the digest")


def tree(folder):
    """The contents of each file below a folder by its path, and None for each folder
    or link.
    """
    found = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    return {
        path.as_posix(): (folder / path).read_bytes()
        if is_file(folder / path)
        else None
        for path in found
    }


def is_file(path):
    return path.is_file() and not path.is_symlink()


@st.composite
def contents_and_chunks(draw):
    """The bytes of a file, and a chunk size that may be smaller or larger."""
    return draw(st.binary(min_size=1, max_size=40)), draw(st.integers(1, 50))


class TestFileSha256:
    def test_the_digest_of_three_bytes(self, kata, tmp_path):
        """The digest of `abc` is in the docstring, and every other program for SHA-256
        gives the same. It is computed from the contents of the file, in
        lower-case hexadecimal.
        """
        file = tmp_path / "letters.txt"
        file.write_bytes(b"abc")
        expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        unlike = {
            "the file's name": sha256(b"letters.txt"),
            "the file's path": sha256(str(file).encode()),
            "nothing at all": sha256(b""),
        }
        check_digest(kata.file_sha256(file), expected, unlike)

    @given(case=contents_and_chunks())
    def test_the_chunk_size_does_not_matter(self, kata, tmp_path, case):
        """Reading in pieces saves memory. All pieces count, also the last, shorter one,
        and together they give the digest of the whole. The bytes need not be text: open
        the file in mode "rb".
        """
        content, chunk_size = case
        (tmp_path / "data.bin").write_bytes(content)
        rest = len(content) % chunk_size
        unlike = {
            "one chunk alone": sha256(content[:chunk_size]),
            "whole chunks, without the rest": sha256(content[: len(content) - rest]),
            "the last chunk alone": sha256(content[len(content) - rest :]),
            "a text whose line ends were changed": sha256(
                content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            ),
        }
        unlike = {
            name: wrong for name, wrong in unlike.items() if wrong != sha256(content)
        }
        check_digest(
            kata.file_sha256(str(tmp_path / "data.bin"), chunk_size),
            sha256(content),
            unlike,
        )

    def test_a_large_file_is_not_held_in_memory(self, kata, tmp_path):
        """Checking a file of 150 GB must not take 150 GB of memory. This file has 8 MB,
        and the default chunk 1 MB.
        """
        with open(tmp_path / "large.bin", "wb") as file:
            file.truncate(8 << 20)
        tracemalloc.start()
        try:
            kata.file_sha256(tmp_path / "large.bin")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        check.that(
            peak < 4 << 20,
            f"{peak / 2**20:.1f} MB were held at once, for a file of 8 MB in chunks "
            "of 1 MB",
        )

    @pytest.mark.edge
    def test_an_empty_file_has_a_digest(self, kata, tmp_path):
        """A file without bytes has a digest, too."""
        (tmp_path / "empty").write_bytes(b"")
        check_digest(kata.file_sha256(tmp_path / "empty"), sha256(b""), {})


class Wire(socket.socket):
    """The client's end of a connection to `Server`."""

    def setsockopt(self, *_):
        """Ignore the options of TCP, which this connection does not have."""


class Server:
    """The server behind http://flowers.test/ in these specs: a thread of this process,
    without a network.

    It gives every request the same answer and lists the paths asked for. Any port but
    80 is closed.
    """

    def __init__(self):
        self.requests = []
        self.timeouts = []
        self.answer = b""

    def gives(self, body, *, status="200 OK", length="right"):
        length = {"right": len(body), "none": None}.get(length, length)
        header = f"HTTP/1.1 {status}\r\nConnection: close\r\n"
        header += "" if length is None else f"Content-Length: {length}\r\n"
        self.answer = f"{header}\r\n".encode() + body

    def connect(self, address, timeout=socket._GLOBAL_DEFAULT_TIMEOUT, *_, **__):
        """Replaces `socket.create_connection`."""
        if address[1] != 80:
            raise ConnectionRefusedError(f"nobody listens at port {address[1]}")
        server, client = socket.socketpair()
        server.settimeout(5)
        client = Wire(fileno=client.detach())
        if timeout is not socket._GLOBAL_DEFAULT_TIMEOUT:
            client.settimeout(timeout)
        self.timeouts.append(client.gettimeout())
        threading.Thread(target=self._serve, args=(server,), daemon=True).start()
        return client

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request and (received := connection.recv(1 << 16)):
                request += received
            self.requests.append(request.split()[1].decode())
            connection.sendall(self.answer)


@pytest.fixture
def server(monkeypatch):
    found = Server()
    monkeypatch.setattr(socket, "create_connection", found.connect)
    # urllib looks into these for file: URLs, and graders forbid that
    monkeypatch.setattr(mimetypes, "knownfiles", [])
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("no_proxy", "*")
    return found


URL = "http://flowers.test/flowers.tgz"
BODY = np.random.default_rng(1).bytes(300_001)  # more than a block, whatever the block
OLD = b"what was there before"


def check_body(path):
    """Check that the whole body lies at this path."""
    check.that(path.is_file(), "there is no file at destination")
    size = path.stat().st_size
    check.that(
        size == len(BODY),
        f"the file at destination has {size} bytes, the body has {len(BODY)}",
    )
    check.that(
        path.read_bytes() == BODY,
        "the file at destination has other contents than the body",
    )


def check_as_before(folder, old):
    """Check that only the old file lies in the folder, or nothing."""
    now = tree(folder)
    if old is None:
        check.that(
            "flowers.tgz" not in now,
            "there is a file at destination, where none was before",
        )
    else:
        check.that("flowers.tgz" in now, "the file that was at destination is gone")
        check.that(
            now["flowers.tgz"] == old, "the file at destination has lost its old bytes"
        )
    check.equal(
        [name for name in now if name != "flowers.tgz"],
        [],
        what="what is left over in the folder",
    )


@pytest.mark.stretch
@pytest.mark.usefixtures("server")
class TestDownload:
    def test_a_file_url_is_copied(self, kata, tmp_path):
        """file: URLs lead to files on this machine. The copy equals the original, byte
        for byte, and destination comes back as a Path.
        """
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "flowers.tgz").write_bytes(BODY)
        got = kata.download(
            (tmp_path / "there" / "flowers.tgz").as_uri(), str(tmp_path / "here.tgz")
        )
        check_body(tmp_path / "here.tgz")
        check.that(
            isinstance(got, Path),
            f"a Path should be returned, not {check.describe(got)}",
        )
        check.that(got == tmp_path / "here.tgz", f"another path is returned: {got}")

    def test_a_server_is_asked(self, kata, tmp_path, server):
        """An http URL names a host and a path. The body of the host's answer goes into
        the file, all of it, and missing folders are made.
        """
        server.gives(BODY)
        kata.download(
            URL, tmp_path / "data" / "raw" / "flowers.tgz", sha256=sha256(BODY)
        )
        check.equal(
            sorted(set(server.requests)),
            ["/flowers.tgz"],
            what="the paths that the server was asked for",
        )
        check_body(tmp_path / "data" / "raw" / "flowers.tgz")

    @pytest.mark.parametrize(
        "digest", [sha256(BODY), None], ids=["right digest", "no digest"]
    )
    def test_a_right_file_is_not_fetched_again(self, kata, tmp_path, server, digest):
        """Running a program twice must not download 345 MB twice. An existing file with
        the right digest is right; where no digest is given, any file is. Its Path comes
        back all the same.
        """
        server.gives(BODY)
        (tmp_path / "flowers.tgz").write_bytes(BODY)
        got = kata.download(URL, tmp_path / "flowers.tgz", sha256=digest)
        again = {"fetched again, though the file is there and right": ["/flowers.tgz"]}
        check.equal(
            server.requests,
            [],
            unlike=again,
            what="the paths that the server was asked for",
        )
        check_body(tmp_path / "flowers.tgz")
        check.that(
            got == tmp_path / "flowers.tgz",
            f"destination should be returned, not {got}",
        )

    def test_a_wrong_file_is_replaced(self, kata, tmp_path, server):
        """An existing file may be half of one, if an earlier download was cut off. Its
        digest shows that, and the file is fetched again.
        """
        server.gives(BODY)
        (tmp_path / "flowers.tgz").write_bytes(BODY[:1000])
        kata.download(URL, tmp_path / "flowers.tgz", sha256=sha256(BODY))
        kept, what = (
            {"a file that is there taken for right": []},
            "the paths that the server was asked for",
        )
        check.equal(
            sorted(set(server.requests)), ["/flowers.tgz"], unlike=kept, what=what
        )
        check_body(tmp_path / "flowers.tgz")

    def test_a_body_with_the_wrong_digest_is_an_error(self, kata, tmp_path, server):
        """The body may be a page that says "log in first", or a newer version: compare
        its digest with the one that was asked for.
        """
        server.gives(BODY)
        with check.raises(ValueError):
            kata.download(URL, tmp_path / "flowers.tgz", sha256=sha256(b"another body"))

    @pytest.mark.parametrize("options", [{}, {"timeout": 2.5}], ids=["default", "2.5"])
    def test_the_timeout_reaches_the_connection(self, kata, tmp_path, server, options):
        """Without a limit a program waits for as long as a silent server keeps the line
        open. The default is 30 seconds.
        """
        server.gives(BODY)
        kata.download(URL, tmp_path / "flowers.tgz", **options)
        expected = options.get("timeout", 30.0)
        unlike = {"the timeout is not handed on": [None]}
        check.equal(
            sorted(set(server.timeouts), key=str),
            [expected],
            unlike=unlike,
            what="the seconds that a connection waits",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("there", [False, True], ids=["fetched", "there already"])
    def test_a_digest_may_be_in_upper_case(self, kata, tmp_path, server, there):
        """Hexadecimal digits may be written either way; some sites publish digests in
        upper case.
        """
        server.gives(BODY)
        if there:
            (tmp_path / "flowers.tgz").write_bytes(BODY)
        kata.download(URL, tmp_path / "flowers.tgz", sha256=sha256(BODY).upper())
        check_body(tmp_path / "flowers.tgz")
        check.equal(
            bool(server.requests), not there, what="whether the server was asked"
        )

    @pytest.mark.edge
    def test_the_error_shows_both_digests(self, kata, tmp_path, server):
        """With the wanted digest and that of the body in full, a reader can compare
        them with the publisher's.
        """
        server.gives(BODY)
        with check.raises(ValueError, "f" * 64, sha256(BODY)):
            kata.download(URL, tmp_path / "flowers.tgz", sha256="f" * 64)

    @pytest.mark.edge
    @pytest.mark.parametrize("old", [None, OLD], ids=["absent", "old"])
    def test_a_wrong_digest_leaves_everything_as_it_was(
        self, kata, tmp_path, server, old
    ):
        """A wrong file at destination is taken for the right one next time, by a
        program that gives no digest. Write the body somewhere else, and rename it to
        destination once it is known to be right.
        """
        server.gives(BODY)
        if old:
            (tmp_path / "flowers.tgz").write_bytes(old)
        with contextlib.suppress(ValueError):
            kata.download(URL, tmp_path / "flowers.tgz", sha256=sha256(b"another body"))
        check_as_before(tmp_path, old)

    @pytest.mark.edge
    @pytest.mark.parametrize("old", [None, OLD], ids=["absent", "old"])
    @pytest.mark.parametrize(
        "trouble", ["404", "short body", "no such file", "nobody listens", "https"]
    )
    def test_a_failed_download_leaves_everything_as_it_was(
        self, kata, tmp_path, server, trouble, old
    ):
        """Networks fail. The error is an OSError, destination is absent or has its old
        bytes, and nothing else lies in its folder. A body that ends early may go
        unnoticed: compare its size with Content-Length. (No server is behind the https
        URL here, which is an error of the network, not of the URL.)
        """
        url = {
            "no such file": (tmp_path / "nowhere" / "flowers.tgz").as_uri(),
            "nobody listens": "http://flowers.test:8080/flowers.tgz",
            "https": "https://flowers.test/flowers.tgz",
        }.get(trouble, URL)
        server.gives(b"Not Found", status="404 Not Found")
        if trouble == "short body":
            server.gives(BODY, length=len(BODY) + 1)
        (tmp_path / "data").mkdir()
        if old:
            (tmp_path / "data" / "flowers.tgz").write_bytes(old)
        with check.raises(OSError):
            kata.download(url, tmp_path / "data" / "flowers.tgz", sha256=sha256(BODY))
        check_as_before(tmp_path / "data", old)

    @pytest.mark.edge
    def test_a_short_body_is_an_error_without_a_digest_too(
        self, kata, tmp_path, server
    ):
        """Without a digest, only Content-Length can tell half a file from a
        whole one.
        """
        server.gives(BODY[:1000], length=len(BODY))
        with check.raises(OSError):
            kata.download(URL, tmp_path / "flowers.tgz")
        check_as_before(tmp_path, None)

    @pytest.mark.edge
    def test_a_server_may_name_no_length(self, kata, tmp_path, server):
        """Content-Length is optional: a server that creates the body while it sends it
        does not know the length.
        """
        server.gives(BODY, length="none")
        kata.download(URL, tmp_path / "flowers.tgz")
        check_body(tmp_path / "flowers.tgz")

    @pytest.mark.edge
    def test_an_empty_body_is_a_file_too(self, kata, tmp_path, server):
        """A body of no bytes whose Content-Length is 0 is whole."""
        server.gives(b"")
        kata.download(URL, tmp_path / "empty", sha256=sha256(b""))
        check.equal(tree(tmp_path), {"empty": b""}, what="the files in the folder")

    @pytest.mark.edge
    def test_nothing_else_lies_in_the_folder(self, kata, tmp_path, server):
        """A file that was used on the way, such as a .part file, is gone afterwards."""
        server.gives(BODY)
        kata.download(URL, tmp_path / "data" / "flowers.tgz", sha256=sha256(BODY))
        check.equal(
            sorted(tree(tmp_path / "data")),
            ["flowers.tgz"],
            what="the files in the folder",
        )

    @pytest.mark.edge
    def test_destination_may_be_on_another_disk(self, kata, tmp_path, server):
        """Data are often on a large disk, and the system's folder for temporary files
        is on a small one. A rename from one disk to another fails; within the folder of
        destination it works.
        """
        server.gives(BODY)
        with check.folders_on_disks_of_their_own():
            kata.download(URL, tmp_path / "data" / "flowers.tgz", sha256=sha256(BODY))
        check_body(tmp_path / "data" / "flowers.tgz")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "url",
        [
            "ftp://flowers.test/flowers.tgz",
            "data:,petals",
            "httpx://flowers.test/flowers.tgz",
            "flowers.tgz",
        ],
    )
    def test_other_schemes_are_refused(self, kata, tmp_path, monkeypatch, url):
        """A URL may come from a settings file that somebody else wrote, and urllib also
        opens ftp: and data: URLs. So anything but http, https and file is refused
        before it is opened.
        """
        asked = []

        def refuse(address, *_, **__):
            asked.append(address)
            raise ConnectionRefusedError

        for name in ("create_connection", "gethostbyname"):
            monkeypatch.setattr(socket, name, refuse)
        with check.raises(ValueError):
            kata.download(url, tmp_path / "flowers.tgz")
        check.equal(asked, [], what="the hosts that were asked")
        check_as_before(tmp_path, None)


ODD = {
    "symlink": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "pipe": tarfile.FIFOTYPE,
    "character device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE,
}
GOOD = ("good.txt", b"good")


def pack(archive, *members, mode="w"):
    """Make a tar archive of (name, content): bytes for a file, None for a folder, a
    name in ODD for something else.
    """
    with tarfile.open(archive, mode) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif content in ODD:
                info.type, info.linkname = (
                    ODD[content],
                    "good.txt" if "link" in content else "",
                )
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if info.isfile() else None)
    return archive


def check_refused(kata, folder, destination, name, content):
    """Check that the error names the member, and that nothing in the folder has
    changed: a good member comes first.
    """
    members = [
        GOOD,
        ("sub", None),
        ("sub/good.txt", b"good"),
        (name, content),
        ("z.txt", b"good"),
    ]
    archive = pack(folder / "a.tar", *members)
    before = tree(folder)
    with check.raises(ValueError, name):
        kata.extract_tar(archive, destination)
    now = {
        path: content
        for path, content in tree(folder).items()
        if folder / path != destination or path in before
    }
    new = [path for path in now if path not in before]
    check.that(not new, f"one member is refused, and yet there is now {', '.join(new)}")
    check.that(
        now == before,
        "one member is refused, and yet a file that was there has been changed",
    )


@pytest.mark.stretch
class TestExtractTar:
    @pytest.mark.parametrize(
        "mode", ["w", "w:gz", "w:bz2"], ids=["plain", "gzip", "bzip2"]
    )
    def test_files_come_out_with_their_contents(self, kata, tmp_path, mode):
        """Each regular file of the archive lies at destination / its name, with its
        bytes. The first bytes of an archive tell how it is compressed; its name
        need not.
        """
        files = {
            "a.txt": b"some text",
            "data/raw/c.csv": b"1,2",
            "jpg/1.png": b"petals" * 5000,
        }
        archive = pack(tmp_path / "archive", *files.items(), mode=mode)
        kata.extract_tar(archive, tmp_path / "new" / "out")
        found = {
            name: content
            for name, content in tree(tmp_path / "new" / "out").items()
            if content is not None
        }
        check.equal(found, files, what="the files in destination")

    def test_returns_the_files_sorted(self, kata, tmp_path):
        """The list holds a Path per file, destination / name, in sorted order whatever
        the order in the archive.
        """
        members = [
            ("labels.csv", b"2"),
            ("jpg/2.png", b"1"),
            ("jpg/1.png", b"0"),
            ("abc", b"3"),
        ]
        got = kata.extract_tar(pack(tmp_path / "a.tar", *members), tmp_path / "out")
        check.that(
            isinstance(got, list),
            f"a list should be returned, not {check.describe(got)}",
        )
        check.that(
            all(isinstance(path, Path) for path in got),
            f"a list of Paths is wanted: {check.describe(got)}",
        )
        names = [
            path.relative_to(tmp_path).as_posix()
            if path.is_relative_to(tmp_path)
            else str(path)
            for path in got
        ]
        check.equal(
            names,
            ["out/abc", "out/jpg/1.png", "out/jpg/2.png", "out/labels.csv"],
            what="the paths returned",
        )

    def test_folders_are_made_but_not_listed(self, kata, tmp_path):
        """`tar -czf flowers.tgz .` is how most people pack a folder. All its names
        begin with "./", and the folders are members, too: "." itself, and empty ones.
        """
        members = [
            (".", None),
            ("./jpg", None),
            ("./jpg/1.png", b"petals"),
            ("./empty", None),
        ]
        got = kata.extract_tar(
            pack(tmp_path / "a.tgz", *members, mode="w:gz"), tmp_path / "out"
        )
        everything = [
            str(tmp_path / "out" / name) for name in ("", "empty", "jpg", "jpg/1.png")
        ]
        unlike = {"folders listed with the files": everything}
        check.equal(
            [str(path) for path in got],
            everything[-1:],
            unlike=unlike,
            what="the paths returned",
        )
        expected = {"empty": None, "jpg": None, "jpg/1.png": b"petals"}
        check.equal(tree(tmp_path / "out"), expected, what="what lies in destination")

    def test_existing_files_are_overwritten(self, kata, tmp_path):
        """Unpacking a second time, or a newer version, gives what is in the archive.
        Other files stay.
        """
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "good.txt").write_bytes(b"an older and much longer text")
        (tmp_path / "out" / "mine.txt").write_bytes(b"mine")
        kata.extract_tar(pack(tmp_path / "a.tar", GOOD), tmp_path / "out")
        check.equal(
            tree(tmp_path / "out"),
            {"good.txt": b"good", "mine.txt": b"mine"},
            what="what lies in destination",
        )

    def test_paths_may_be_relative_and_str(self, kata, tmp_path, monkeypatch):
        """A relative destination is one below the current folder, and the paths
        returned are relative as well.
        """
        pack(tmp_path / "a.tar", ("jpg/1.png", b"petals"))
        monkeypatch.chdir(tmp_path)
        got = kata.extract_tar("a.tar", "out")
        check.equal(
            [str(path) for path in got],
            [str(Path("out", "jpg", "1.png"))],
            what="the paths returned",
        )
        check.that(
            (tmp_path / "out" / "jpg" / "1.png").is_file(),
            "there is no file at out/jpg/1.png",
        )

    @pytest.mark.parametrize(
        "name", ["../evil.txt", "jpg/../../evil.txt", "../out-evil/x.txt"]
    )
    def test_names_that_climb_out_are_refused(self, kata, tmp_path, name):
        """`..` in a name leads up, and out of destination. As a text, the path of
        out-evil begins with that of out, but out-evil is another folder.
        """
        archive = pack(tmp_path / "a.tar", (name, b"evil"))
        with check.raises(ValueError):
            kata.extract_tar(archive, tmp_path / "work" / "out")
        outside = [path for path in tree(tmp_path) if path.endswith((".txt", "evil"))]
        check.equal(outside, [], what="what was written outside of destination")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("name", "content"),
        [("../evil.txt", b"evil"), ("../evil", None)],
        ids=["file", "folder"],
    )
    def test_the_error_names_the_member_and_nothing_is_written(
        self, kata, tmp_path, name, content
    ):
        """Check all members before the first one is written, folders like files."""
        check_refused(kata, tmp_path, tmp_path / "out", name, content)

    @pytest.mark.edge
    @pytest.mark.parametrize("place", ["evil.txt", "out/evil.txt"])
    def test_absolute_names_are_refused(self, kata, tmp_path, place):
        """destination / name ignores destination if the name begins with a slash.
        Refuse such a name wherever it leads; do not drop the slash, as some
        programs do.
        """
        check_refused(kata, tmp_path, tmp_path / "out", str(tmp_path / place), b"evil")

    @pytest.mark.edge
    @pytest.mark.parametrize("kind", ODD)
    def test_only_files_and_folders_are_unpacked(self, kata, tmp_path, kind):
        """A link can point anywhere, and the next member may go through it. Devices and
        pipes have no business in a data set. Links are refused even where they point
        inside: that is easier to get right.
        """
        check_refused(kata, tmp_path, tmp_path / "out", "odd-one", kind)

    @pytest.mark.edge
    @pytest.mark.parametrize("name", ["link/evil.txt", "link.txt"])
    def test_a_link_in_destination_does_not_lead_out(self, kata, tmp_path, name):
        """A name without `..` leaves destination all the same if a folder on its way,
        or the file itself, is a link to another place. Only the file system knows:
        resolve the path.
        """
        for folder in ("out", "elsewhere"):
            (tmp_path / folder).mkdir()
        (tmp_path / "elsewhere" / "mine.txt").write_bytes(b"mine")
        (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "out" / "link.txt").symlink_to(tmp_path / "elsewhere" / "mine.txt")
        check_refused(kata, tmp_path, tmp_path / "out", name, b"evil")

    @pytest.mark.edge
    def test_destination_may_be_a_link(self, kata, tmp_path):
        """A data folder is often a link to a larger disk. Compare resolved paths on
        both sides.
        """
        (tmp_path / "disk").mkdir()
        (tmp_path / "data").symlink_to(tmp_path / "disk")
        kata.extract_tar(pack(tmp_path / "a.tar", GOOD), tmp_path / "data")
        check.equal(
            tree(tmp_path / "disk"), {"good.txt": b"good"}, what="what lies on the disk"
        )

    @pytest.mark.edge
    def test_dots_in_names_are_harmless(self, kata, tmp_path):
        """Only a whole part `..` of a path leads up. Two dots within a name are
        just dots.
        """
        names = ["..hidden", "a..b.txt", "jpg../1.png"]
        kata.extract_tar(
            pack(tmp_path / "a.tar", *((name, b"x") for name in names)),
            tmp_path / "out",
        )
        unpacked = [
            name
            for name, content in tree(tmp_path / "out").items()
            if content is not None
        ]
        check.equal(unpacked, names, what="the files unpacked")


ROWS = [("tulip.png", 5), ("aster.png", 9), ("rose.png", 5), ("iris.png", 2)]
COLOURS = {
    "tulip.png": (200, 30, 40),
    "aster.png": (90, 60, 180),
    "rose.png": (250, 120, 130),
    "iris.png": (10, 20, 160),
}


def make_flowers(root, rows=ROWS):
    """A folder with labels.csv and, for each row, a picture of 5×4 pixels in
    one colour.
    """
    (root / "jpg").mkdir(parents=True)
    lines = ["file,label", *(f"{file},{label}" for file, label in rows)]
    (root / "labels.csv").write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    for file, _ in rows:
        Image.new("RGB", (5, 4), COLOURS.get(file, (1, 2, 3))).save(root / "jpg" / file)
    return root


def corner(image):
    """The colour of a picture's first pixel."""
    check.that(
        isinstance(image, Image.Image),
        f"a PIL image is wanted, not {check.describe(image)}",
    )
    return image.getpixel((0, 0))


def file_of(image):
    """The name of the file that has the colour of this picture."""
    colour = corner(image)
    return next(
        (name for name, own in COLOURS.items() if own == colour),
        f"a picture in the colour {colour}",
    )


def next_descriptor(path):
    """The number of the next file to be opened: the lowest one free, so it grows while
    others stay open.
    """
    number = os.open(path, os.O_RDONLY)
    os.close(number)
    return number


class TestFlowerDatasetInit:
    def test_the_table_gives_the_files_in_its_order(self, kata, tmp_path):
        """labels.csv says which samples there are and in which order. A listing of the
        folder has another order, so files and labels would no longer belong together.
        """
        ds = kata.FlowerDataset(make_flowers(tmp_path))
        check.equal(len(ds), 4, what="len(ds)")
        unlike = {
            "a listing of the folder": [
                "aster.png",
                "iris.png",
                "rose.png",
                "tulip.png",
            ]
        }
        check.equal(
            ds.files,
            ["tulip.png", "aster.png", "rose.png", "iris.png"],
            what="ds.files",
            unlike=unlike,
        )

    def test_targets_are_labels_counted_from_zero(self, kata, tmp_path):
        """The label of the table minus 1, as plain ints, and nothing else: gaps stay,
        since class 5 must be the same flower in every table.
        """
        ds = kata.FlowerDataset(make_flowers(tmp_path))
        unlike = {
            "the labels of the table, without - 1": [5, 9, 5, 2],
            "labels numbered anew": [1, 2, 1, 0],
        }
        check.equal(ds.targets, [4, 8, 4, 1], what="ds.targets", unlike=unlike)

    def test_classes_are_counted_not_measured(self, kata, tmp_path):
        """num_classes is the number of different targets. With gaps, the largest target
        plus 1 is more.
        """
        rows = [("tulip.png", 5), ("aster.png", 9), ("rose.png", 5)]
        ds = kata.FlowerDataset(make_flowers(tmp_path, rows))
        unlike = {
            "the largest target plus 1": 9,
            "the number of samples": 3,
            "the largest minus the smallest": 4,
        }
        check.equal(ds.num_classes, 2, what="ds.num_classes", unlike=unlike)

    def test_the_attributes_that_were_given(self, kata, tmp_path):
        """root is a Path, also when it was given as a str; transform is the function
        given, or None.
        """
        root = make_flowers(tmp_path)
        ds = kata.FlowerDataset(str(root), transform=corner)
        check.that(
            isinstance(ds.root, Path) and ds.root == root,
            f"ds.root should be a Path, {root}, not {ds.root!r}",
        )
        check.that(ds.transform is corner, "ds.transform is not the function given")
        check.that(
            kata.FlowerDataset(root).transform is None,
            "ds.transform should be None where none was given",
        )

    def test_no_picture_is_opened(self, kata, tmp_path):
        """A data set of a million pictures must be there at once. Sizes, files and
        targets come from labels.csv, even where a picture is broken or the folder of
        pictures is missing.
        """
        make_flowers(tmp_path / "broken")
        (tmp_path / "broken" / "jpg" / "aster.png").write_bytes(b"no picture")
        check.equal(
            len(kata.FlowerDataset(tmp_path / "broken")),
            4,
            what="len(ds) with a broken picture",
        )
        (tmp_path / "labels.csv").write_bytes(b"file,label\r\na.png,3\r\nb.png,1\r\n")
        check.equal(
            kata.FlowerDataset(tmp_path).targets,
            [2, 0],
            what="ds.targets without the folder of pictures",
        )

    def test_the_table_is_read_once(self, kata, tmp_path):
        """`__init__` reads labels.csv and keeps what it says. Reading it again costs as
        much as all its rows, and gives another table if somebody has changed the file.
        """
        ds = kata.FlowerDataset(make_flowers(tmp_path))
        (tmp_path / "labels.csv").unlink()
        check.equal(len(ds), 4, what="len(ds), when labels.csv is gone")
        check.equal(
            ds.targets, [4, 8, 4, 1], what="ds.targets, when labels.csv is gone"
        )

    @pytest.mark.edge
    def test_a_table_without_rows(self, kata, tmp_path):
        """A table with a header and no rows is a data set of no samples."""
        ds = kata.FlowerDataset(make_flowers(tmp_path, []))
        check.equal(
            [len(ds), ds.num_classes], [0, 0], what="len(ds) and ds.num_classes"
        )
        check.equal([ds.files, ds.targets], [[], []], what="ds.files and ds.targets")

    @pytest.mark.edge
    def test_a_missing_table_is_an_error_at_once(self, kata, tmp_path):
        """A wrong root is an error where it is given, not in the middle of
        the training.
        """
        (tmp_path / "jpg").mkdir()
        with check.raises(FileNotFoundError):
            kata.FlowerDataset(tmp_path)

    @pytest.mark.edge
    @pytest.mark.parametrize("label", [0, -3])
    def test_labels_begin_at_one(self, kata, tmp_path, label):
        """A label 0 says that the table counts from 0. All targets would be one too
        low, and a target of -1 silently means the last class.
        """
        with check.raises(ValueError):
            kata.FlowerDataset(
                make_flowers(
                    tmp_path, [("tulip.png", 5), ("aster.png", label), ("iris.png", 2)]
                )
            )


class TestFlowerDatasetGetitem:
    def test_a_sample_is_an_image_and_its_target(self, kata, tmp_path):
        """ds[i] is a tuple: the picture named in row i, and the target of row i."""
        ds = kata.FlowerDataset(make_flowers(tmp_path))
        for i, (file, label) in enumerate(ROWS):
            sample = ds[i]
            check.that(
                isinstance(sample, tuple) and len(sample) == 2,
                f"ds[{i}] is {check.describe(sample)}, no pair",
            )
            check.equal(
                file_of(sample[0]),
                file,
                what=f"the file that the image of ds[{i}] comes from",
            )
            check.equal(
                sample[0].size,
                (5, 4),
                what=f"the (width, height) of the image of ds[{i}]",
            )
            check.equal(sample[1], label - 1, what=f"the target of ds[{i}]")

    def test_pictures_of_every_mode_become_rgb(self, kata, tmp_path):
        """A batch is a stack of equal shapes, so one grey picture among colour ones
        stops the training. Grey ("L"), palette ("P") and transparent ("RGBA") files all
        come back in RGB.
        """
        ds = kata.FlowerDataset(make_flowers(tmp_path))
        Image.new("L", (5, 4), 77).save(tmp_path / "jpg" / "tulip.png")
        Image.new("RGB", (5, 4), (0, 255, 0)).convert("P").save(
            tmp_path / "jpg" / "aster.png"
        )
        Image.new("RGBA", (5, 4), (9, 8, 7, 255)).save(tmp_path / "jpg" / "rose.png")
        for i, colour in enumerate([(77, 77, 77), (0, 255, 0), (9, 8, 7)]):
            image, _ = ds[i]
            unlike = {
                f"a picture of mode {mode!r}, not converted": mode
                for mode in ("L", "P", "RGBA")
            }
            check.equal(
                getattr(image, "mode", None),
                "RGB",
                unlike=unlike,
                what=f"the mode of the image of ds[{i}]",
            )
            check.equal(corner(image), colour, what=f"the first pixel of ds[{i}]")

    def test_a_transform_gets_the_image_once_per_access(self, kata, tmp_path):
        """The transform is called on the image alone; the target stays outside. It is
        called at each access, since it may be random, and only once.
        """
        images = []

        def transform(image):
            images.append(image)
            return f"transformed {len(images)}"

        ds = kata.FlowerDataset(make_flowers(tmp_path), transform)
        got = ds[1]
        paired = any(isinstance(image, tuple) for image in images)
        check.that(
            not paired,
            "the transform was given the pair (image, target), not the image alone",
        )
        check.equal(got, ("transformed 1", 8), what="ds[1]")
        check.equal(len(images), 1, what="calls of the transform at one access")
        check.equal(
            file_of(images[0]),
            "aster.png",
            what="the file of the image that the transform was given",
        )
        check.equal(
            images[0].mode,
            "RGB",
            what="the mode of the image that the transform was given",
        )
        check.equal(ds[1], ("transformed 2", 8), what="ds[1] for the second time")

    def test_a_broken_picture_shows_at_its_own_access(self, kata, tmp_path):
        """A file that is no picture, and one that is missing, are an OSError at their
        own access and disturb no other.
        """
        root = make_flowers(tmp_path)
        (root / "jpg" / "aster.png").write_bytes(b"no picture")
        (root / "jpg" / "rose.png").unlink()
        ds = kata.FlowerDataset(root)
        names = [file_of(ds[0][0]), file_of(ds[3][0])]
        check.equal(
            names, ["tulip.png", "iris.png"], what="the files of ds[0] and ds[3]"
        )
        for i in (1, 2):
            with check.raises(OSError):
                ds[i]

    def test_a_loader_makes_batches_of_it(self, kata, tmp_path):
        """FlowerDataset is a torch Dataset: with a transform that makes tensors, a
        DataLoader stacks its samples.
        """
        ds = kata.FlowerDataset(
            make_flowers(tmp_path), lambda image: torch.tensor(corner(image))
        )
        check.that(
            isinstance(ds, Dataset),
            "FlowerDataset is no subclass of torch.utils.data.Dataset",
        )
        batches = list(DataLoader(ds, batch_size=3))
        check.equal(
            [len(targets) for _, targets in batches],
            [3, 1],
            what="the sizes of the batches",
        )
        check.equal(
            batches[0][1],
            torch.tensor([4, 8, 4]),
            what="the targets of the first batch",
        )
        check.shape(batches[0][0], (3, 3), what="the items of the first batch")

    @pytest.mark.edge
    def test_an_image_in_hand_no_longer_needs_its_file(self, kata, tmp_path):
        """PIL opens a file and leaves its pixels for later, when the file may have
        changed or be gone: so ds[i] reads them all. The next access reads the file that
        is there then.
        """
        ds = kata.FlowerDataset(make_flowers(tmp_path))
        pixels = np.frombuffer(
            np.random.default_rng(2).bytes(200 * 300 * 3), np.uint8
        ).reshape(200, 300, 3)
        # too large to be read together with its header
        Image.fromarray(pixels).save(tmp_path / "jpg" / "tulip.png")
        image, _ = ds[0]
        Image.new("RGB", (5, 4), COLOURS["iris.png"]).save(
            tmp_path / "jpg" / "tulip.png"
        )
        again, _ = ds[0]
        (tmp_path / "jpg" / "tulip.png").unlink()
        same = np.array_equal(np.asarray(image), pixels)
        check.that(same, "the image in hand has changed, with its file")
        check.equal(
            file_of(again),
            "iris.png",
            what="the picture read after its file was overwritten",
        )

    @pytest.mark.edge
    def test_no_file_stays_open(self, kata, tmp_path):
        """A process may have some thousand files open, and a data set has more. So the
        file is closed before ds[i] returns, while the image is still in hand.
        """
        root = make_flowers(tmp_path)
        ds = kata.FlowerDataset(root)
        ds[3]
        before = next_descriptor(root / "labels.csv")
        images = [ds[i] for i in range(3)]
        now = next_descriptor(root / "labels.csv")
        check.that(
            now == before,
            f"after {len(images)} accesses, with the images in hand, files are still "
            "open",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "i",
        [-1, -4, np.int64(2), np.int32(-2), torch.tensor(1), torch.tensor(-3)],
        ids=repr,
    )
    def test_indices_are_those_of_a_list(self, kata, tmp_path, i):
        """ds[-1] is the last sample. Samplers and shuffles give indices as NumPy
        integers and 0-dim tensors.
        """
        image, target = kata.FlowerDataset(make_flowers(tmp_path))[i]
        check.equal(
            (file_of(image), target + 1),
            ROWS[int(i)],
            what="(file, label) of the sample",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("i", [4, -5, np.int64(4), torch.tensor(-5)], ids=repr)
    def test_outside_is_an_index_error(self, kata, tmp_path, i):
        """There are samples 0 to 3 and -4 to -1. Any other index is a mistake, and must
        not give some other sample.
        """
        ds = kata.FlowerDataset(make_flowers(tmp_path))
        with check.raises(IndexError):
            ds[i]

    @pytest.mark.edge
    def test_a_for_loop_ends(self, kata, tmp_path):
        """A class with __getitem__ can be looped over: Python asks for 0, 1, 2, … and
        stops at the IndexError.
        """
        ds = kata.FlowerDataset(make_flowers(tmp_path))
        met = sum(1 for _ in itertools.islice(ds, 10))
        check.equal(
            met,
            4,
            what="the samples met in a loop over ds",
            unlike={"a loop that was stopped after 10": 10},
        )


class TestFlowerDatasetRepr:
    def test_repr_shows_numbers_and_root(self, kata, tmp_path, monkeypatch):
        """<FlowerDataset object at 0x7f…> says nothing about a data set. The text has
        exactly the form that the docstring shows.
        """
        rows = [(f"{i}.png", label) for i, label in enumerate([1, 2, 2, 1, 7, 7, 7])]
        make_flowers(tmp_path / "flowers", rows)
        monkeypatch.chdir(tmp_path)
        expected = "FlowerDataset(samples=7, classes=3, root='flowers', transform=None)"
        for root in ("flowers", Path("flowers")):
            check.equal(
                repr(kata.FlowerDataset(root)),
                expected,
                what=f"repr, with root given as {root!r}",
            )

    def test_a_transform_shows_its_own_repr(self, kata, tmp_path, monkeypatch):
        """repr(transform) says what the transform does and with which numbers; str may
        be shorter.
        """

        class Shrink:
            def __repr__(self):
                return "Shrink(to=8)"

            def __str__(self):
                return "a transform"

        make_flowers(tmp_path / "flowers")
        monkeypatch.chdir(tmp_path)
        expected = (
            "FlowerDataset(samples=4, classes=3, root='flowers', "
            "transform=Shrink(to=8))"
        )
        unlike = {"str(transform)": expected.replace("Shrink(to=8)", "a transform")}
        check.equal(
            repr(kata.FlowerDataset("flowers", Shrink())),
            expected,
            unlike=unlike,
            what="repr",
        )

    @pytest.mark.edge
    def test_an_apostrophe_in_root_changes_the_quotes(
        self, kata, tmp_path, monkeypatch
    ):
        """repr(str(root)) adds the quotes: double ones if the text contains
        an apostrophe.
        """
        make_flowers(tmp_path / "grandma's")
        monkeypatch.chdir(tmp_path)
        expected = (
            'FlowerDataset(samples=4, classes=3, root="grandma\'s", transform=None)'
        )
        check.equal(repr(kata.FlowerDataset("grandma's")), expected, what="repr")


class Letters(Dataset):
    """Samples ("a", 3), ("b", 0), …; remembers which positions were asked for."""

    def __init__(self, targets=(3, 0, 2, 0, 7, 2, 3, 0)):
        self.targets = list(targets)
        self.loaded = []

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        self.loaded.append(i)
        return "abcdefgh"[i], self.targets[i]


@st.composite
def targets_and_classes(draw):
    """The targets of a data set of up to 8 samples, and some of their classes in
    any order.
    """
    targets = draw(st.lists(st.integers(0, 4), min_size=1, max_size=8))
    classes = draw(
        st.lists(st.sampled_from(sorted(set(targets))), min_size=1, unique=True)
    )
    return targets, classes


class TestClassSubsetInit:
    def test_keeps_the_samples_of_the_classes_in_order(self, kata):
        """Classes 2 and 0 are at positions 1, 2, 3, 5 and 7, in the order of the data
        set: a subset leaves samples out, it does not sort them.
        """
        sub = kata.ClassSubset(Letters(), [2, 0])
        unlike = {"class by class": [2, 5, 1, 3, 7]}
        check.equal(sub.indices, [1, 2, 3, 5, 7], what="sub.indices", unlike=unlike)
        check.equal(
            len(sub), 5, what="len(sub)", unlike={"the length of the whole data set": 8}
        )

    def test_new_labels_are_positions_in_classes(self, kata):
        """With classes [2, 0], class 2 is now 0 and class 0 is now 1: the order of
        `classes` decides, not the size of the label.
        """
        sub = kata.ClassSubset(Letters(), [2, 0])
        unlike = {
            "labels by their size": [0, 1, 0, 1, 0],
            "the old labels": [0, 2, 0, 2, 0],
        }
        check.equal(sub.targets, [1, 0, 1, 0, 1], what="sub.targets", unlike=unlike)

    def test_labels_can_stay_as_they_are(self, kata):
        """With relabel=False a class keeps its number."""
        sub = kata.ClassSubset(Letters(), [2, 0], relabel=False)
        check.equal(sub.indices, [1, 2, 3, 5, 7], what="sub.indices")
        check.equal(
            sub.targets,
            [0, 2, 0, 2, 0],
            what="sub.targets",
            unlike={"new labels": [1, 0, 1, 0, 1]},
        )

    @given(case=targets_and_classes())
    def test_classes_turns_new_labels_back(self, kata, case):
        """The new label is a position in `classes`, so looking it up there gives the
        old label, for every sample kept and any classes.
        """
        targets, classes = case
        sub = kata.ClassSubset(Letters(targets), classes)
        kept = [i for i, target in enumerate(targets) if target in classes]
        check.equal(sub.indices, kept, what="sub.indices")
        old = [classes[label] for label in sub.targets]
        check.equal(
            old,
            [targets[i] for i in kept],
            what="the old labels, by classes[label] of each new one",
        )

    def test_the_attributes_that_were_given(self, kata):
        """dataset is the data set itself; classes is a list, also if a tuple was given,
        in the order given.
        """
        letters = Letters()
        sub = kata.ClassSubset(letters, (7, 2))
        check.that(sub.dataset is letters, "sub.dataset is not the data set given")
        check.equal(sub.classes, [7, 2], what="sub.classes")
        check.that(
            isinstance(sub, Dataset),
            "ClassSubset is no subclass of torch.utils.data.Dataset",
        )

    def test_no_sample_is_loaded_to_choose(self, kata):
        """dataset.targets holds all labels already. Opening a million pictures for the
        sake of their labels would take hours.
        """
        letters = Letters()
        len(kata.ClassSubset(letters, [2, 0]))
        check.equal(
            letters.loaded, [], what="the positions loaded before the first access"
        )

    @pytest.mark.edge
    def test_the_data_set_is_left_alone(self, kata):
        """The whole data set is still in use elsewhere, with its own labels."""
        letters, classes = Letters(), [2, 0]
        kata.ClassSubset(letters, classes)
        check.equal(
            letters.targets, [3, 0, 2, 0, 7, 2, 3, 0], what="dataset.targets afterwards"
        )
        check.equal(classes, [2, 0], what="the list given as classes, afterwards")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "classes",
        [[], [2, 0, 2], [2, 5], [-1]],
        ids=["none", "twice", "absent", "negative"],
    )
    def test_classes_must_make_sense(self, kata, classes):
        """Without a class the data set is empty, and a class named twice has two new
        labels. A class without a sample is a typing error that would only show in
        the accuracy.
        """
        with check.raises(ValueError):
            kata.ClassSubset(Letters(), classes)


class TestClassSubsetGetitem:
    def test_samples_have_their_own_item_and_the_new_label(self, kata):
        """sub[i] is the i-th sample kept: its position in the data set is
        sub.indices[i], and its label is the new one.
        """
        sub = kata.ClassSubset(Letters(), [2, 0])
        got = [sub[i] for i in range(5)]
        pairs = all(isinstance(sample, tuple) for sample in got)
        check.that(pairs, f"samples should be tuples, not {check.describe(got[0])}")
        unlike = {
            "i taken as a position in the whole data set": ["a", "b", "c", "d", "e"]
        }
        check.equal(
            [item for item, _ in got],
            ["b", "c", "d", "f", "h"],
            what="the items of sub[0:5]",
            unlike=unlike,
        )
        unlike = {"the old labels": [0, 2, 0, 2, 0]}
        check.equal(
            [label for _, label in got],
            [1, 0, 1, 0, 1],
            what="the labels of sub[0:5]",
            unlike=unlike,
        )

    def test_labels_can_stay_as_they_are(self, kata):
        """With relabel=False a sample keeps its label."""
        sub = kata.ClassSubset(Letters(), [2, 0], relabel=False)
        check.equal(
            [sub[i] for i in range(3)],
            [("b", 0), ("c", 2), ("d", 0)],
            what="sub[0] to sub[2]",
        )

    def test_an_access_loads_one_sample_once(self, kata):
        """One access costs one picture. Asking the data set for the item and then for
        the label opens it twice.
        """
        letters = Letters()
        sub = kata.ClassSubset(letters, [2, 0])
        sub[1]
        check.equal(letters.loaded, [2], what="the positions loaded by sub[1]")

    def test_a_subset_of_a_subset(self, kata):
        """A subset has targets like any data set. Its classes are the new labels: of
        [2, 0, 3], relabelled, class 1 is the old class 0.
        """
        sub = kata.ClassSubset(kata.ClassSubset(Letters(), [2, 0, 3]), [1, 2])
        check.equal(
            sub.indices, [0, 1, 3, 5, 6], what="the positions in the first subset"
        )
        samples = [("a", 1), ("b", 0), ("d", 0), ("g", 1), ("h", 0)]
        check.equal(
            [sub[i] for i in range(5)], samples, what="the samples of the second subset"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "i",
        [-1, -5, np.int64(1), np.int32(-1), torch.tensor(1), torch.tensor(-5)],
        ids=repr,
    )
    def test_indices_are_those_of_a_list(self, kata, i):
        """sub[-1] is the last sample of the subset; NumPy integers and 0-dim tensors
        count like ints.
        """
        samples = [("b", 1), ("c", 0), ("d", 1), ("f", 0), ("h", 1)]
        sub = kata.ClassSubset(Letters(), [2, 0])
        check.equal(sub[i], samples[int(i)])

    @pytest.mark.edge
    @pytest.mark.parametrize("i", [5, -6, 7, np.int64(5), torch.tensor(-6)], ids=repr)
    def test_outside_is_an_index_error(self, kata, i):
        """The subset has 5 samples, whatever the size of the data set behind it."""
        sub = kata.ClassSubset(Letters(), [2, 0])
        with check.raises(IndexError):
            sub[i]

    @pytest.mark.edge
    def test_a_for_loop_ends(self, kata):
        """A loop goes through the samples kept, and stops."""
        met = sum(1 for _ in itertools.islice(kata.ClassSubset(Letters(), [7, 2]), 10))
        check.equal(
            met,
            3,
            what="the samples met in a loop over sub",
            unlike={"a loop that was stopped after 10": 10},
        )
