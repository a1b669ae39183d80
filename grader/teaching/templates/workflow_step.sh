#!/usr/bin/env bash
# One step of the workflow: grades one kata of a submission, in nine minutes at most, and leaves its report to the last
# step. Students read the log of this step: what the grader prints for teachers stays out of it. The grader takes the
# specs of the course around the current folder, which is this one.
# Usage: step.sh KATA SUBMISSION, where SUBMISSION is the student's checkout.
set -euo pipefail
kata=$1 submission=$2/katas
[[ $submission == /* ]] || submission=$PWD/$submission
cd "$(dirname "$0")/.."
reports=${RUNNER_TEMP:-/tmp}/kata-reports summary=$(mktemp)
trap 'rm -f "$summary"' EXIT
mkdir -p "$reports"
if timeout 540 .venv/bin/kata grade "$kata" --sealed --code "$submission" --report "json=$reports/${kata//\//-}.json" --report "markdown=$summary" >/dev/null; then
  cat "$summary" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
fi
