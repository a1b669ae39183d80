#!/usr/bin/env bash
# Gradescope runs this once, when it builds the autograder's image.
set -euo pipefail
cd "${KATA_AUTOGRADER:-/autograder}/source"
apt-get update -q && apt-get install -y -q make python3 python3-pip python3-venv
python=$(bash grader/python.sh)
make setup PYTHON="$python"
