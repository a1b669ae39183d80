#!/usr/bin/env bash
# Gradescope runs this once, when it builds the autograder's image.
set -euo pipefail
apt-get update -q && apt-get install -y -q python3 python3-venv make
make -C /autograder/source setup
