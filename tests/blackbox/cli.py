# SPDX-License-Identifier: Apache-2.0
"""Running the command line, for its tests."""
import json
import re
import subprocess

from conftest import NEXUS, ROOT, is_sanitized

EXAMPLES = ROOT / "examples"
COUNTER = EXAMPLES / "counter.nxml"


def panel(handler, capabilities="", logic="", args="", data='<State name="n" type="number"/>'):
    """A panel with one tool, `t`; its handler starts on line 1."""
    return (f'<NexusPanel><Data>{data}</Data><Logic>{logic}<Tool name="t">{args}<Capabilities>'
            f'{capabilities}</Capabilities><Handler>{handler}</Handler></Tool></Logic></NexusPanel>')


def capability(token):
    kind, _, scope = token.rpartition(":")
    return f'<Capability type="{kind}" scope="{scope}"/>'


# The sanitizer's search for leaks says so of a thread that ends just then; it finds none the less.
THREAD_ENDED = re.compile(r"^==\d+==Unable to get registers from thread \d+\.\n", re.M)


class Outcome:
    def __init__(self, process):
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr
        if is_sanitized():
            self.err = THREAD_ENDED.sub("", self.err)
        assert "Sanitizer" not in self.err and "runtime error" not in self.err, self.err

    @property
    def result(self):
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


def nexus(*arguments, stdin="", **options):
    options.setdefault("stdout", subprocess.PIPE)
    return Outcome(subprocess.run([str(NEXUS), *map(str, arguments)], input=stdin, text=True,
                                  errors="replace", stderr=subprocess.PIPE, timeout=60, **options))


def run(*arguments, **options):
    return nexus("run", *arguments, **options)


def run_source(source, *arguments):
    return run("-", "t", *arguments, stdin=source)


def succeed(outcome):
    assert outcome.code == 0, outcome.err + outcome.out
    assert outcome.result["status"] == "success"
    return outcome.result


def fail(outcome, code):
    """A handler's failure: exit code 1, the error in the result, nothing committed."""
    assert outcome.code == 1, outcome.err + outcome.out
    assert outcome.result["status"] == "error"
    assert outcome.result["error"]["code"] == code
    return outcome.result


def refused(outcome, *said):
    """A wrong call: exit code 2, nothing on standard output, and what is wrong on standard error."""
    assert outcome.code == 2, outcome.err + outcome.out
    assert outcome.out == ""
    for text in said:
        assert text in outcome.err
    return outcome.err
