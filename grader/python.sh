#!/usr/bin/env bash
# Prints the path of a Python that the course supports. Where none is installed, uv downloads one.
# make setup PYTHON="$(bash grader/python.sh)"
set -euo pipefail
supported='import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
for python in python3 python3.13 python3.12 python3.11; do
  if "$python" -c "$supported" 2>/dev/null; then
    command -v "$python"
    exit
  fi
done
echo "No Python 3.11, 3.12 or 3.13 here (this is $(python3 -V 2>&1 || echo 'no Python 3')): uv downloads 3.12" >&2
uv=$(command -v uv || true)
if [ -z "$uv" ]; then
  tools=$(mktemp -d)
  trap 'rm -rf "$tools"' EXIT
  python3 -m pip install -q --target "$tools" uv >&2
  uv=$tools/bin/uv
fi
"$uv" python install --no-progress 3.12 >&2
"$uv" python find 3.12
