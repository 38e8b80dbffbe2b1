# SPDX-License-Identifier: Apache-2.0
"""Sums up test cases over the JUnit files of several CTest runs and prints one closing line.

usage: count_tests.py NAME=JUNIT.xml...

CTest knows programs; a program here holds many cases. Cases are counted from what cmocka and pytest
print; a program that prints neither counts as one case. Whatever a program prints, CTest's own
verdict holds: a program it calls failed adds at least one failure (a sanitizer report after the
last case, a crash, a timeout). Of what failed the end of its output is shown once more: where only the
end of a long log is kept, it must say why. Exit status: 0 when something ran and nothing failed.
"""
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

CMOCKA_RUN = re.compile(r"\[={10}\] (?:\S+: )?(\d+) test\(s\) run\.")
CMOCKA_PASSED = re.compile(r"\[  PASSED  \] (\d+) test\(s\)")
CMOCKA_SKIPPED = re.compile(r"^\[  SKIPPED \] (?:\S+: )?(\d+) test\(s\)", re.M)
CMOCKA_CASE_OK = re.compile(r"^\[       OK \] ", re.M)
PYTEST_SUMMARY = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s\b.*$", re.M)
PYTEST_FIELD = re.compile(r"(\d+) ([a-z]+)")
SHOWN_LINES = 40


class Count(NamedTuple):
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other):
        return Count(*(a + b for a, b in zip(self, other)))


def count_cmocka(output):
    """Cases in the output of a cmocka program, or None when it is none. It may run several groups."""
    ran = sum(map(int, CMOCKA_RUN.findall(output)))
    if ran == 0:
        # Cut short before its summary: what is known to have passed counts, the rest is unknown.
        passed = len(CMOCKA_CASE_OK.findall(output))
        return Count(passed=passed) if passed else None
    passed = sum(map(int, CMOCKA_PASSED.findall(output)))
    skipped = sum(map(int, CMOCKA_SKIPPED.findall(output)))
    return Count(passed, max(0, ran - passed - skipped), skipped)


def count_pytest(output):
    """Cases in the output of a pytest run, or None when it is none."""
    summaries = PYTEST_SUMMARY.findall(output)
    if not summaries:
        return None
    fields = {word.rstrip("s"): int(number) for number, word in PYTEST_FIELD.findall(summaries[-1])}
    return Count(fields.get("passed", 0) + fields.get("xpassed", 0),
                 fields.get("failed", 0) + fields.get("error", 0),
                 fields.get("skipped", 0) + fields.get("xfailed", 0))


def count_program(case):
    """Cases of one <testcase> of CTest's JUnit file."""
    status = case.get("status")
    if status == "disabled" or (status == "notrun" and case.find("skipped") is not None
                                and "SKIP" in case.find("skipped").get("message", "")):
        return Count(skipped=1)
    output = case.findtext("system-out") or ""
    count = count_cmocka(output) or count_pytest(output)
    if status == "run":
        return count or Count(passed=1)
    count = count or Count()
    return count if count.failed else count + Count(failed=1)


def count_file(name, path):
    """Cases of one CTest run. A file that is missing or empty is one failure."""
    try:
        cases = ElementTree.parse(path).getroot().findall("testcase")
    except (OSError, ElementTree.ParseError) as error:
        print(f"{name}: no test results ({error})")
        return Count(failed=1)
    if not cases:
        print(f"{name}: no test ran")
        return Count(failed=1)
    total = Count()
    for case in cases:
        count = count_program(case)
        total += count
        if count.failed:
            print(f"{name}: {case.get('name')}: {count.failed} failed")
            for line in (case.findtext("system-out") or "").splitlines()[-SHOWN_LINES:]:
                print(f"  | {line}")
        if count.skipped:
            print(f"{name}: {case.get('name')}: {count.skipped} skipped")
    return total


def main(arguments):
    total = Count()
    for argument in arguments:
        name, _, path = argument.partition("=")
        total += count_file(name, path)
    passed, failed, skipped = total
    if skipped and os.environ.get("NX_MUST_WORK"):
        print(f"{skipped} skipped, and NX_MUST_WORK is set: they count as failed")
        failed += skipped
    if passed + failed == 0:
        print("no test ran")
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
