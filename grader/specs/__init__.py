"""The pytest plugin that runs specs: comparisons, failure messages, and the hooks for
code that is chosen elsewhere.
"""

import sys
from pathlib import Path

_ran = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
# by an editor's Run button, say
if _ran.name.startswith("test_") and (_ran.parent / "kata.toml").is_file():
    print(
        f"This file has specs, which pytest runs: pytest {_ran.parent}", file=sys.stderr
    )
    raise SystemExit(2)
