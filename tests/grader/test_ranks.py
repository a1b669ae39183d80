"""What a learner reads of an error in another process: the line of the learner's own
code, and no line of gloo's.
"""

import importlib.util

import pytest

from grader.specs import check, ranks

LEARNERS = """
import traceback

def launch(work, world_size, *args):
    try:
        work(*args)
    except Exception:
        raise RuntimeError(f"rank 1 failed\\n{traceback.format_exc()}")

def mean_over_ranks(x):
    return gloo(x) / 2
"""


def test_an_error_in_a_rank_shows_the_learners_line(tmp_path):
    path = tmp_path / "kata_of_ranks.py"
    path.write_text(LEARNERS)
    found = importlib.util.spec_from_file_location("kata_of_ranks", path)
    kata = importlib.util.module_from_spec(found)
    found.loader.exec_module(kata)

    def gloo(x):
        raise RuntimeError(
            "[enforce fail at /pytorch/third_party/gloo/gloo/pair.cc:446] 8 bytes for 4"
        )

    kata.gloo = gloo
    with pytest.raises(check.Mismatch) as caught:
        ranks.on_ranks(2, kata, lambda kata, x: kata.mean_over_ranks(x), 1.0)
    assert caught.value.rows[:2] == [
        ("rank 1", "RuntimeError: 8 bytes for 4"),
        ("at", "line 11: return gloo(x) / 2"),
    ]
