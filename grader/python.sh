#!/usr/bin/env bash
# Prints the path of the newest Python here that the pinned packages have wheels for. Without one, uv downloads it:
#   make setup PYTHON="$(bash grader/python.sh)"
# --here [PYTHON…] looks among these or those installed, and downloads nothing: make asks this.
set -euo pipefail
fits='import ensurepip, sys, venv; sys.exit(not (3, 11, 5) <= sys.version_info < (3, 15))'
here=
if [ "${1:-}" = --here ]; then here=yes; shift; fi
if [ $# = 0 ]; then set -- python3.14 python3.13 python3.12 python3.11 python3 python; fi
for python in "$@"; do
  if "$python" -c "$fits" 2>/dev/null; then
    command -v "$python"
    exit
  fi
done
none="no Python 3.11.5 to 3.14 with venv here (tried $*; python3 is $(python3 -V 2>/dev/null || echo missing))"
if [ "$here" ]; then
  echo "make: $none. Install one (Debian, Ubuntu: python3-venv), or let uv download one: make PYTHON=\"\$(bash grader/python.sh)\"" >&2
  exit 2
fi
echo "$none: uv downloads 3.14" >&2
uv=$(command -v uv || true)
if [ -z "$uv" ]; then
  tools=$(mktemp -d)
  trap 'rm -rf "$tools"' EXIT
  python3 -m pip install -q --target "$tools" uv >&2
  uv=$tools/bin/uv
fi
"$uv" python install --no-progress 3.14 >&2
"$uv" python find 3.14
