"""Renders the results of a class: as JSON (schema kata-class/1), and as CSV with one row per student."""

import csv
import io
import json

from grader.reports.csv_report import as_text
from grader.results import ClassReport, as_dict


def render_json(report: ClassReport) -> str:
    """One report per student, in the form of the JSON report."""
    students = [{"student": student, "report": as_dict(one)} for student, one in report.students.items()]
    data = {
        "schema": "kata-class/1",
        "started": report.started,
        "seconds": round(report.seconds, 3),
        "complete": report.complete,
    }
    return json.dumps({**data, "students": students}, indent=2, ensure_ascii=False) + "\n"


def render_csv(report: ClassReport) -> str:
    """One column per kata, and the sum. An empty cell means not graded."""
    katas = list(dict.fromkeys(kata.kata for one in report.students.values() for kata in one.katas))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["student", "points", "max_points", *katas])
    for student, one in report.students.items():
        points = {kata.kata: kata.points for kata in one.katas}
        writer.writerow([as_text(student), one.points, one.max_points, *(points.get(name, "") for name in katas)])
    return file.getvalue()
