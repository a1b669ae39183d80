"""Renders a report as JUnit XML, which any CI service can show."""

import xml.etree.ElementTree as ET
from collections import Counter

from grader.reports import words
from grader.results import DONE, ExerciseResult, KataResult, Report, SpecResult

TAGS = {
    "failed": "failure",
    "error": "error",
    "missing": "error",
    "skipped": "skipped",
    "not graded": "error",
}


def render(report: Report) -> str:
    """One suite per kata, one case per spec. An open edge is no failure: it counts
    as skipped.
    """
    suites = ET.Element("testsuites", name="torch katas", time=f"{report.seconds:.3f}")
    for kata in report.katas:
        suites.append(
            _suite(kata, report.started)
            if kata.exercises
            else _lost(kata.kata, words.not_graded(kata))
        )
    if not report.complete:
        suites.append(_lost("grading", words.gap(report)))
    # Jenkins's schema knows no sum of the skipped ones
    for name in ("tests", "failures", "errors"):
        suites.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _suite(kata: KataResult, started: str) -> ET.Element:
    specs = [spec for exercise in kata.exercises for spec in exercise.specs]
    count = Counter(map(_tag, specs))
    suite = ET.Element(
        "testsuite",
        name=kata.kata,
        tests=str(len(specs)),
        failures=str(count["failure"]),
        errors=str(count["error"]),
        skipped=str(count["skipped"]),
        time=f"{kata.seconds:.3f}",
        timestamp=started,
    )
    seals = [
        (exercise.name, words.seal(exercise))
        for exercise in kata.exercises
        if words.seal(exercise)
    ]
    properties = ET.SubElement(suite, "properties")
    for name, value in [("state", kata.state), *seals]:
        ET.SubElement(properties, "property", name=name, value=value)
    for exercise in kata.exercises:
        for spec in exercise.specs:
            suite.append(_case(kata, exercise, spec))
    return suite


def _case(kata: KataResult, exercise: ExerciseResult, spec: SpecResult) -> ET.Element:
    place = f"{kata.kata}.{exercise.name}"
    case = ET.Element(
        "testcase", classname=place, name=spec.marked, time=f"{spec.seconds:.4f}"
    )
    if tag := _tag(spec):
        open_edge = _is_open_edge(spec)
        unconfirmed = exercise.to_settle and not open_edge and spec.status not in DONE
        state = (
            "not graded"
            if spec.status == "not graded"
            else "open edge"
            if open_edge
            else ""
        )
        said = ": ".join(
            filter(None, ["unconfirmed" if unconfirmed else state, spec.first])
        )
        ET.SubElement(case, tag, message=said).text = spec.message + (
            f"\n\n{words.ASK}" if unconfirmed else ""
        )
        if spec.printed:
            ET.SubElement(case, "system-out").text = spec.printed
    return case


def _tag(spec: SpecResult) -> str | None:
    return "skipped" if _is_open_edge(spec) else TAGS.get(spec.status)


def _lost(name: str, why: str) -> ET.Element:
    """A suite whose one case is an error: what could not be graded, and why."""
    suite = ET.Element(
        "testsuite",
        name=name,
        tests="1",
        failures="0",
        errors="1",
        skipped="0",
        time="0",
    )
    case = ET.SubElement(suite, "testcase", classname=name, name="graded", time="0")
    ET.SubElement(case, "error", message=f"not graded: {why}")
    return suite


def _is_open_edge(spec: SpecResult) -> bool:
    return spec.edge and spec.status not in (*DONE, "not graded")
