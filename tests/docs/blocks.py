# SPDX-License-Identifier: Apache-2.0
"""Fenced blocks of Markdown files, and whether what a command printed is what a document says.

A block is a command if its language is `sh`. What it prints is in the block right after it, if that is
`text` (the lines appear in this order, white space aside) or `json` (the last line of JSON holds at
least this), and in its own comments `# → text`. In all of them `…` stands for anything.
"""
import dataclasses
import json
import pathlib
import re

FENCE = re.compile(r"^(`{3,})([\w-]*)[ \t]*\n(.*?)^\1[ \t]*$", re.S | re.M)
ARROW = re.compile(r"#\s*→\s*(.+?)\s*$", re.M)
ANYTHING = "…"
COMMAND = "sh"
OUTPUT = ("text", "json")
# What a fence may hold besides. A language is a must: a command may not hide in a block without one.
OTHER = ("xml", "js", "c", "http", "diagram", "python", "cmake")


@dataclasses.dataclass
class Block:
    language: str
    text: str
    line: int              # of its first line, 1-based
    output: "Block | None" = None  # of a command

    @property
    def first_line(self):
        return self.text.split("\n", 1)[0]


def fences(text):
    """Every fenced block, in order; a command's output is with the command and alone as well."""
    found, end = [], 0
    for match in FENCE.finditer(text):
        block = Block(match[2], match[3], text.count("\n", 0, match.start()) + 2)
        adjacent = text[end:match.start()].strip() == ""
        if block.language in OUTPUT and adjacent and found and found[-1].language == COMMAND:
            found[-1].output = block
        found.append(block)
        end = match.end()
    return found


def commands(path):
    return [block for block in fences(pathlib.Path(path).read_text(encoding="utf-8"))
            if block.language == COMMAND]


# ---- Comparing -------------------------------------------------------------------------------------

def squeeze(text):
    return " ".join(text.split())


def line_found(expected, line):
    """Whether the expected text is somewhere in the line."""
    parts = [re.escape(squeeze(part)) for part in expected.split(ANYTHING)]
    return re.search(".*?".join(part for part in parts), squeeze(line)) is not None


def missing_line(expected, output):
    """The first of the expected lines that the output does not have after those before it, or None."""
    lines = iter(output.splitlines())
    for line in expected:
        if line.strip() in ("", ANYTHING):
            continue
        if not any(line_found(line, candidate) for candidate in lines):
            return line
    return None


def json_difference(expected, actual, where="$"):
    """Where `actual` does not hold what is expected, or None. Members that are not expected are fine,
    items of lists are not, unless the last one expected is `…`."""
    if expected == ANYTHING:
        return None
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name, value in expected.items():
            if name == ANYTHING:
                continue
            if name not in actual:
                return f"{where}.{name} is missing"
            found = json_difference(value, actual[name], f"{where}.{name}")
            if found:
                return found
        return None
    if isinstance(expected, list) and isinstance(actual, list):
        open_end = bool(expected) and expected[-1] == ANYTHING
        wanted = expected[:-1] if open_end else expected
        if len(actual) < len(wanted) or (not open_end and len(actual) > len(wanted)):
            return f"{where} has {len(actual)} items"
        for i, value in enumerate(wanted):
            found = json_difference(value, actual[i], f"{where}[{i}]")
            if found:
                return found
        return None
    if isinstance(expected, str) and isinstance(actual, str) and ANYTHING in expected:
        return None if line_found(expected, actual) else f"{where} is {actual!r}"
    same = type(expected) is type(actual) and expected == actual
    return None if same else f"{where} is {actual!r}, not {expected!r}"


def last_json(output):
    """The value of the last line that is a JSON object or array, or of the whole output."""
    for text in [output, *reversed(output.splitlines())]:
        if text.strip()[:1] in ("{", "["):
            try:
                return json.loads(text)
            except ValueError:
                pass
    return None


def difference(block, output):
    """What the output lacks of what the document says about it, or None."""
    line = missing_line(ARROW.findall(block.text), output)
    if line is None and block.output is not None and block.output.language == "text":
        line = missing_line(block.output.text.splitlines(), output)
    if line is not None:
        return f"no line with: {line.strip()}"
    if block.output is not None and block.output.language == "json":
        actual = last_json(output)
        if actual is None:
            return "no JSON"
        return json_difference(json.loads(block.output.text), actual)
    return None
