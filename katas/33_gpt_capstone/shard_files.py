"""Files of GPT-2 tokens, and one's own text as such: `kata data shards`, continued
where it was interrupted.

The first shard is for validation, the others for training. A document ends in the
end-of-text mark.
"""

import json
import multiprocessing
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np

from grader import files
from grader.errors import KataError

Encode = Callable[[str], list[int]]
VOCABULARY = 50_257  # tokens of GPT-2
HEADER, MAGIC, VERSION = 1024, 20240520, 1  # of a file, as llm.c writes it
PIECE = 1_000_000  # characters that a process encodes at a time
AHEAD = 4  # pieces for each process that may wait
STATE = "shards.json"  # says how far a folder has come
KINDS = (".txt", ".md", ".jsonl", ".parquet")


def token_count(path: Path) -> int:
    """The number of tokens in a shard: a header of 256 int32 (magic number, version,
    tokens, zeros), then uint16 ids.

    Raises:
        ValueError: the file is not such a shard, or not a complete one.
    """
    with open(path, "rb") as file:
        header = file.read(HEADER)
    if len(header) < HEADER or struct.unpack_from("<ii", header) != (MAGIC, VERSION):
        raise ValueError("its header is not that of a shard of GPT-2 tokens")
    count = int(struct.unpack_from("<i", header, 8)[0])
    size = path.stat().st_size
    if size != HEADER + 2 * count:
        raise ValueError(
            f"it has {size:,} bytes, and its header promises {count:,} tokens of 2 "
            "bytes"
        )
    return count


def check(path: Path) -> None:
    """Look at all of a shard.

    Raises:
        ValueError: the file is not a complete shard, or an id is not of
            GPT-2's vocabulary.
    """
    largest = int(np.memmap(path, np.uint16, "r", HEADER, (token_count(path),)).max())
    if largest >= VOCABULARY:
        raise ValueError(
            f"it holds the id {largest}, and GPT-2 has {VOCABULARY:,} tokens"
        )


@dataclass
class State:
    """How far the tokens have been written.

    Attributes:
        sources: names and sizes of the files, so that others are not continued.
        pieces: those whose tokens are in complete shards, but for `left` tokens of the
            last one.
        left: tokens of the last piece that are not in a complete shard yet.
    """

    sources: list[tuple[str, int]]
    shard_tokens: int
    pieces: int = 0
    left: int = 0
    shards: int = 0
    done: bool = False
    lengths: list[int] = field(default_factory=list)  # of the shards


def write(
    sources: list[Path],
    folder: Path,
    shard_tokens: int,
    encode: Encode,
    end_of_text: int,
    say: Callable[[str], None],
    processes: int,
) -> None:
    """Write the shards, or those that are still missing.

    Args:
        encode: text → ids below 2^16.
        end_of_text: the id after each document.
        say: told of every shard.
    Raises:
        KataError: a file cannot be read, the folder holds shards of other files, or
            there are too few tokens.
    """
    state = _begun(sources, folder, shard_tokens)
    if state.done:
        say(
            f"{folder} is complete: {sum(state.lengths):,} tokens in {state.shards} "
            "shards"
        )
        return
    waiting: list[np.ndarray] = []
    have = 0
    context = multiprocessing.get_context("fork")
    with context.Pool(processes, _prepare, (encode, end_of_text)) as pool:
        pieces = _bounded(
            pool, pieces_of(sources), state.pieces - bool(state.left), processes * AHEAD
        )
        for number, ids in pieces:
            if number < state.pieces:
                ids = ids[len(ids) - state.left :]
            waiting.append(ids)
            have += len(ids)
            while have >= shard_tokens:
                tokens = np.concatenate(waiting)
                _complete(folder, state, tokens[:shard_tokens], say)
                waiting, have = [tokens[shard_tokens:]], have - shard_tokens
                state.pieces, state.left = number + 1, have
                _keep(folder, state)
    if have:
        _complete(folder, state, np.concatenate(waiting), say)
    if state.shards < 2:
        raise KataError(
            f"{sum(state.lengths):,} tokens make one shard, and training needs two: "
            "make --tokens smaller"
        )
    state.done = True
    _keep(folder, state)
    say(
        f"{sum(state.lengths):,} tokens in {state.shards} shards in {folder}: the "
        "first is for validation"
    )


def pieces_of(sources: list[Path]) -> Iterator[tuple[str, bool]]:
    """The text of all documents, in pieces: each with whether it ends a document."""
    for path in sources:
        try:
            for document in _documents(path):
                begin = 0
                while len(document) - begin > PIECE:
                    end = _cut(document, begin + PIECE)
                    yield document[begin:end], False
                    begin = end
                yield document[begin:], True
        except (OSError, ValueError, KeyError) as error:
            raise KataError(
                f"{path}: {getattr(error, 'strerror', None) or error}"
            ) from None


def _documents(path: Path) -> Iterator[str]:
    """A text file is one document, a line of JSON or a row of parquet is one, with its
    text under "text".
    """
    if path.suffix == ".parquet":
        if find_spec("pyarrow") is None:
            raise ValueError("reading parquet needs pyarrow: pip install pyarrow")
        for batch in (
            import_module("pyarrow.parquet")
            .ParquetFile(path)
            .iter_batches(columns=["text"])
        ):
            yield from map(str, batch.column("text").to_pylist())
    elif path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        yield str(json.loads(line)["text"])
                    except (ValueError, KeyError, TypeError):
                        raise ValueError(
                            f'line {number} is no JSON object with a "text"'
                        ) from None
    else:
        yield path.read_text(encoding="utf-8")


def _cut(text: str, near: int) -> int:
    """A place at or before `near` where a cut changes no token, between the line ends
    of two paragraphs; else `near`.

    GPT-2's pattern ends a word before white space, and takes the last white space
    before a word apart.
    """
    found = near
    while (found := text.rfind("\n\n", 0, found)) > max(0, near - PIECE // 2):
        before, after = text[found - 1 : found], text[found + 2 : found + 3]
        if before and not before.isspace() and after and not after.isspace():
            return found + 1
    return near


def _begun(sources: list[Path], folder: Path, shard_tokens: int) -> State:
    """The state of a folder, which is a new one if it is empty."""
    try:
        named = [(str(path.resolve()), path.stat().st_size) for path in sources]
    except OSError as error:
        raise KataError(f"{error.filename}: {error.strerror}") from None
    if odd := [path for path in sources if path.suffix not in KINDS]:
        raise KataError(f"{odd[0]}: is none of {', '.join(KINDS)}")
    try:
        found = State(**json.loads((folder / STATE).read_text(encoding="utf-8")))
    except OSError:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise KataError(
                f"{folder} is not empty, and has no {STATE}: take another --into"
            ) from None
        return State(named, shard_tokens)
    except (ValueError, TypeError):
        raise KataError(
            f"{folder / STATE} cannot be read: take another --into"
        ) from None
    if [
        tuple(one) for one in found.sources
    ] != named or found.shard_tokens != shard_tokens:
        raise KataError(
            f"{folder} has shards of other files or of another size: take another "
            "--into"
        )
    return found


def _bounded(
    pool: Pool, pieces: Iterator[tuple[str, bool]], first: int, ahead: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The tokens of the pieces from the first on, in their order, with few of them
    in memory.
    """
    waiting = []
    for number, piece in enumerate(pieces):
        if number >= first:
            waiting.append((number, pool.apply_async(_encoded, piece)))
        if len(waiting) > ahead:
            number, result = waiting.pop(0)
            yield number, result.get()
    for number, result in waiting:
        yield number, result.get()


_code: list[tuple[Encode, int]] = []  # of this process


def _prepare(encode: Encode, end_of_text: int) -> None:
    _code[:] = [(encode, end_of_text)]


def _encoded(text: str, ends: bool) -> np.ndarray:
    encode, end_of_text = _code[0]
    ids = encode(text) + ([end_of_text] if ends else [])
    if ids and max(ids) >= 2**16:
        raise KataError(f"the token id {max(ids)} does not fit into two bytes")
    return np.array(ids, np.uint16)


def _complete(
    folder: Path, state: State, tokens: np.ndarray, say: Callable[[str], None]
) -> None:
    """Write one shard, with the header that llm.c gives it. It has its name once it
    is whole.
    """
    header = struct.pack("<iii", MAGIC, VERSION, len(tokens)).ljust(HEADER, b"\0")
    path = folder / f"{'train' if state.shards else 'val'}_{state.shards:06}.bin"
    files.write(path, header + tokens.tobytes())
    state.shards += 1
    state.lengths.append(len(tokens))
    say(f"wrote {path.name}: {len(tokens):,} tokens")


def _keep(folder: Path, state: State) -> None:
    files.write(folder / STATE, json.dumps(asdict(state)).encode())
