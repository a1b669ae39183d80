#!/usr/bin/env bash
# Gradescope runs this once, when the autograder's image is built.
set -euo pipefail
apt-get update -q && apt-get install -y -q python3 python3-venv make
make -C /autograder/source setup
