#!/usr/bin/env bash
# One step of the workflow: grades one kata of a submission, in nine minutes at most. The step's output `result` holds
# the report. Students read the log of this step: what the grader prints for teachers stays out of it.
# Usage: step.sh KATA SUBMISSION MAX_SCORE, where SUBMISSION is the student's checkout.
set -euo pipefail
kata=$1 submission=$2/katas here=$(cd "$(dirname "$0")/.." && pwd)
result=$(mktemp) summary=$(mktemp)
trap 'rm -f "$result" "$summary"' EXIT
if timeout 540 "$here/.venv/bin/kata" grade "$kata" --sealed --code "$submission" --report "classroom=$result" --report "markdown=$summary" >/dev/null; then
  cat "$summary" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
else
  printf '{"version":1,"status":"error","max_score":%s,"tests":[{"name":"%s","status":"error","score":0,"message":"could not be graded: see the log of this step","test_code":"","filename":"","line_no":0,"duration":0}]}\n' \
    "$3" "$kata" >"$result"
fi
echo "result=$(base64 <"$result" | tr -d '\n')" >>"${GITHUB_OUTPUT:-/dev/stdout}"
