"""Renders a report as JUnit XML, which any CI service can show."""

import xml.etree.ElementTree as ET
from collections import Counter

from grader.results import KataResult, Report, SpecResult


def render(report: Report) -> str:
    """One suite per kata, one case per spec."""
    suites = ET.Element("testsuites", name="torch katas", time=f"{report.seconds:.3f}")
    for kata in report.katas:
        suites.append(_suite(kata, report.started))
    for name in ("tests", "failures", "errors", "skipped"):
        suites.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _suite(kata: KataResult, started: str) -> ET.Element:
    specs = [(exercise.name, spec) for exercise in kata.exercises for spec in exercise.specs]
    count = Counter(spec.status for _, spec in specs)
    suite = ET.Element(
        "testsuite",
        name=kata.kata,
        tests=str(len(specs)),
        failures=str(count["failed"]),
        errors=str(count["error"] + count["missing"]),
        skipped=str(count["skipped"]),
        time=f"{kata.seconds:.3f}",
        timestamp=started,
    )
    for exercise, spec in specs:
        suite.append(_case(kata, exercise, spec))
    return suite


def _case(kata: KataResult, exercise: str, spec: SpecResult) -> ET.Element:
    case = ET.Element("testcase", classname=f"{kata.kata}.{exercise}", name=spec.name, time=f"{spec.seconds:.4f}")
    tag = {"failed": "failure", "error": "error", "missing": "error", "skipped": "skipped"}.get(spec.status)
    if tag:
        ET.SubElement(case, tag, message=spec.message.partition("\n")[0]).text = spec.message
    return case
