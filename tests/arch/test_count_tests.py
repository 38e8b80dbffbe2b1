# SPDX-License-Identifier: Apache-2.0
"""The closing line of `make test` must never call a run better than it was."""
import os
import pathlib
import subprocess
import sys
from xml.sax.saxutils import escape

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "count_tests.py"

CMOCKA_GOOD = """[==========] Running 3 test(s).
[ RUN      ] a
[       OK ] a
[==========] 3 test(s) run.
[  PASSED  ] 3 test(s).
"""
CMOCKA_NAMED_GROUP = "[==========] tests: 2 test(s) run.\n[  PASSED  ] 2 test(s).\n"
CMOCKA_BAD = """[==========] 4 test(s) run.
[  PASSED  ] 2 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] c
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] b
"""
CMOCKA_CRASH = "[==========] Running 3 test(s).\n[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n"


def case(output="", status="run", extra=""):
    return (f'<testcase name="t" status="{status}">{extra}'
            f"<system-out>{escape(output)}</system-out></testcase>")


def count(tmp_path, *cases, must_work=False):
    """Exit status and closing line for one CTest run of these cases."""
    result = tmp_path / "junit.xml"
    result.write_text(f"<testsuite>{''.join(cases)}</testsuite>")
    return run(f"release={result}", must_work=must_work)


def output_of(*arguments, must_work=False):
    """Exit status and what is printed."""
    environment = {name: value for name, value in os.environ.items() if name != "NX_MUST_WORK"}
    if must_work:
        environment["NX_MUST_WORK"] = "1"
    done = subprocess.run([sys.executable, SCRIPT, *arguments], env=environment, check=False,
                          capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.returncode, done.stdout


def run(*arguments, must_work=False):
    status, output = output_of(*arguments, must_work=must_work)
    return status, output.splitlines()[-1]


@pytest.mark.parametrize("output, status, expected", [
    (CMOCKA_GOOD, "run", (0, "3 passed, 0 failed")),
    (CMOCKA_GOOD + CMOCKA_GOOD, "run", (0, "6 passed, 0 failed")),
    (CMOCKA_NAMED_GROUP, "run", (0, "2 passed, 0 failed")),
    (CMOCKA_BAD, "fail", (1, "2 passed, 1 failed")),
    (CMOCKA_CRASH, "fail", (1, "1 passed, 1 failed")),
    (CMOCKA_GOOD + "ERROR: LeakSanitizer", "fail", (1, "3 passed, 1 failed")),
    ("..... [100%]\n5 passed in 0.03s\n", "run", (0, "5 passed, 0 failed")),
    ("==== 5 passed, 1 warning in 63.20s (0:01:03) ====\n", "run", (0, "5 passed, 0 failed")),
    ("= 1 failed, 2 passed, 1 skipped, 2 errors in 0.02s =\n", "fail", (1, "2 passed, 3 failed")),
    ("==== no tests ran in 0.00s ====\n", "fail", (1, "0 passed, 1 failed")),
    ("", "run", (0, "1 passed, 0 failed")),
    ("", "fail", (1, "0 passed, 1 failed")),
])
def test_counts(tmp_path, output, status, expected):
    assert count(tmp_path, case(output, status)) == expected


def test_the_end_of_what_failed_is_shown(tmp_path):
    result = tmp_path / "junit.xml"
    result.write_text(f"<testsuite>{case('good')}{case('first ' + 'x' * 99 + chr(10) * 99 + 'why', 'fail')}</testsuite>")
    _, output = output_of(f"release={result}")
    assert "  | why" in output and "first" not in output and "good" not in output


def test_sums_programs_and_runs(tmp_path):
    assert count(tmp_path, case(CMOCKA_GOOD), case("2 passed in 1.00s")) == (0, "5 passed, 0 failed")
    result = f"a={tmp_path / 'junit.xml'}"
    assert run(result, result) == (0, "10 passed, 0 failed")


def test_program_that_cannot_start_fails(tmp_path):
    missing = case(status="notrun", extra='<skipped message="Unable to find executable"/>')
    assert count(tmp_path, case(CMOCKA_GOOD), missing) == (1, "3 passed, 1 failed")


def test_skips_fail_only_where_all_must_work(tmp_path):
    skipped = case(status="notrun", extra='<skipped message="SKIP_RETURN_CODE=77"/>')
    some = "1 passed, 2 skipped in 0.10s"
    assert count(tmp_path, case(some), skipped) == (0, "1 passed, 0 failed")
    assert count(tmp_path, case(some), skipped, must_work=True) == (1, "1 passed, 3 failed")


def test_nothing_ran_fails(tmp_path):
    assert count(tmp_path) == (1, "0 passed, 1 failed")
    assert run() == (1, "0 passed, 1 failed")
    assert run(f"asan={tmp_path / 'none.xml'}") == (1, "0 passed, 1 failed")
    assert count(tmp_path, case("3 skipped in 0.10s")) == (1, "0 passed, 1 failed")
