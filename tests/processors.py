"""Tries each kata's promises with the instructions of other processors, which round
sums and functions differently.

    python -m tests.processors [--quick]  (--quick: the snippets alone, on one thread)
    python -m tests.processors --here     with the instructions that the environment
                                          chooses, and no others

A promise that holds with some instructions alone has a tolerance that is too tight, or
shows digits that are noise.
"""

import os
import subprocess
import sys
from collections.abc import Iterator

import torch

from grader.course.catalogue import Kata, all_katas
from grader.workers import forkserver
from workshop import kept, promises, variants

QUICK, HERE = "--quick", "--here"
CODE = [
    promises.reference_passes,
    promises.textbook,
    promises.mistakes,
    promises.accepted,
]
THREADS = 1, 2  # of snippets; a worker has one
# From the oldest to the newest: a processor that has one setting's instructions has
# those before, too.
SETTINGS = {
    "default": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    },
    "avx512": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
    },
}


def differing(katas: list[Kata], quick: bool) -> Iterator[str]:
    """What does not hold in this process, and in the workers that it starts: a
    line each.
    """
    # it knows results by files and versions, not by instructions
    promises.CACHE = None  # type: ignore[assignment]
    promises.HEADROOM = float("inf")  # older instructions take longer
    forkserver.ENVIRONMENT += tuple(SETTINGS["default"])
    kept.warm_up([] if quick else katas)
    if not quick:
        yield from of_workers(katas[0])
    for threads in THREADS[:1] if quick else THREADS:
        torch.set_num_threads(threads)  # the forks that run snippets start them
        for kata in katas:
            yield from (
                f"{said} (threads: {threads})" for said in promises.snippets(kata)
            )
    torch.set_num_threads(1)
    for promise in [] if quick else CODE:
        for kata in katas:
            yield from promise(kata)


def of_workers(kata: Kata) -> Iterator[str]:
    """A line if a worker uses other instructions than this process, so that its results
    prove nothing.
    """
    raises = (
        f"def {kata.exercises[0].name}(*_, **__):\n"
        "    raise ValueError(torch.backends.cpu.get_cpu_capability())"
    )
    job = variants.job(kata, f"import torch\n\n\n{raises}\n")
    said = variants.specs(variants.results([job])[job])[0].message
    if capability() not in said:
        yield f"instructions: {capability()} here, and in a worker: {said}"


def capability() -> str:
    """The instructions that PyTorch uses in this process."""
    return torch.backends.cpu.get_cpu_capability()


def of_this_processor() -> list[str]:
    """The settings whose instructions this processor has. With those of another,
    PyTorch would crash.
    """
    names, newest = list(SETTINGS), capability().lower()
    return names[: names.index(newest) + 1] if newest in names else names[:1]


def try_with(setting: str, *options: str) -> bool:
    """Print what differs with the instructions of this setting, in a process that has
    them from its start.
    """
    command = [sys.executable, "-m", "tests.processors", HERE, *options]
    return subprocess.run(command, env=os.environ | SETTINGS[setting]).returncode == 0


def main(options: list[str]) -> int:
    if HERE in options:
        found, katas = 0, [kata for kata in all_katas() if not kata.description.lack]
        for line in differing(katas, QUICK in options):
            print(" ".join(line.split()), flush=True)
            found += 1
        print(f"{capability()}: {found} differ", flush=True)
        return 1 if found else 0
    possible = of_this_processor()
    for name in [name for name in SETTINGS if name not in possible]:
        print(
            f"{name}: not tried, since this processor lacks these instructions",
            flush=True,
        )
    tried = [try_with(name, *options) for name in possible]
    return 0 if all(tried) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
