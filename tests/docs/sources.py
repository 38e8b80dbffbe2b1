# SPDX-License-Identifier: Apache-2.0
"""What the sources say, for comparing the documents with it: constants, settings, routes, codes."""
import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


# ---- Constants -----------------------------------------------------------------------------------------

def number(node):
    """The value of an expression of whole numbers."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.BinOp):
        left, right = number(node.left), number(node.right)
        return {ast.Add: left + right, ast.Sub: left - right, ast.Mult: left * right,
                ast.LShift: left << min(right, 64)}[type(node.op)]
    raise ValueError(ast.dump(node))


def constants(text):
    """NX_… -> value, of every #define that is a number."""
    defines = dict(re.findall(r"^#define[ \t]+(NX_\w+)[ \t]+(\S.*?)[ \t]*(?://.*)?$", text, re.M))

    def value(name):
        expression = re.sub(r"\((?:size_t|uint\d+_t)\)|(?<=\d)u\b", "", defines[name])
        expression = re.sub(r"NX_\w+", lambda match: str(value(match[0])), expression)
        return number(ast.parse(expression.strip(), mode="eval").body)

    found = {}
    for name in defines:
        try:
            found[name] = value(name)
        except (ValueError, SyntaxError, KeyError):
            pass  # not a number
    return found


def limits():
    return constants(text_of("src/base/limits.h") + text_of("src/base/limits_net.h"))


# ---- Settings ------------------------------------------------------------------------------------------

def settings():
    """name -> (kind, field or None, min, max), of the table in config.c."""
    known = {**limits(), "UINT32_MAX": 2**32 - 1}
    table = re.search(r"settings\[\] = \{\n(.*?)\n\};", text_of("src/kernel/config.c"), re.S)[1]
    row = re.compile(r'\{\s*"(\w+)",\s*(\w+),\s*(?:AT\(([\w.]+)\)|0),\s*(\w+),\s*(\w+)\s*\}')
    return {name: (kind, field or None, *(int(known.get(bound, bound)) if bound in known or bound.isdigit()
                                          else bound for bound in bounds))
            for name, kind, field, *bounds in row.findall(table)}


def defaults():
    """field -> value as text, of the defaults in config.c; those of a struct inside as `struct.field`."""
    known = {name: str(value) for name, value in limits().items()}
    known["NX_CONFIG_PORT_OFF"] = "off"
    table = re.search(r"defaults = \{\n(.*?)\n\};", text_of("src/kernel/config.c"), re.S)[1]
    found, inside = {}, ""
    for line in table.splitlines():
        opened = re.match(r"\s*\.(\w+) =$", line)
        if opened:
            inside = opened[1] + "."
        elif re.match(r"\s*\},", line):
            inside = ""
        for field, value in re.findall(r"\.(\w+) = ([^,{]+),", line):
            if value.endswith("_UNSET"):
                continue  # decided by other settings
            value = known.get(value, value.removeprefix("NX_LOG_"))
            text = re.match(r'"([^"]*)"', value)  # what a macro adds to it is left out
            found[inside + field] = (text[1] if text else value).lower()
    return found


# Settings that do their work in config.c: they decide what others may be.
DECIDED_IN_CONFIG = {"memory_budget_mb", "allow_insecure"}


def fields_in_use():
    """Fields of struct nx_config that somebody besides config.c looks at."""
    used = set(DECIDED_IN_CONFIG)
    for path in (ROOT / "src/kernel").glob("*.c"):
        if path.name != "config.c":
            used |= set(re.findall(r"\b(?:config|from|settings)(?:->|\.)(\w+)",
                                   path.read_text(encoding="utf-8")))
    return used


def without_effect():
    """Settings that do nothing, or that stop the start for asking what is not there."""
    used = fields_in_use()
    return {name for name, (kind, field, *_) in settings().items()
            if kind.startswith(("UNUSED", "MUST")) or (field and field.split(".")[0] not in used)}


# ---- What clients see ----------------------------------------------------------------------------------

def routes():
    """pattern -> methods, of http_route.c, without those that every route takes."""
    table = re.search(r"routes\[NX_ROUTE_COUNT\] = \{\n(.*?)\n\};", text_of("src/kernel/http_route.c"), re.S)[1]
    found = {}
    for methods, pattern in re.findall(r'((?:BIT\(\w+\)[\s|]*)+),\s*"[^"]*",\s*"([^"]*)"', table):
        found[pattern] = set(re.findall(r"BIT\((\w+)\)", methods)) - {"HEAD", "OPTIONS"}
    return found


def allow_headers():
    """pattern -> all methods that the route answers to, of http_route.c."""
    table = re.search(r"routes\[NX_ROUTE_COUNT\] = \{\n(.*?)\n\};", text_of("src/kernel/http_route.c"), re.S)[1]
    return {pattern: set(allow.split(", ")) for allow, pattern in re.findall(r'"([A-Z, ]+)",\s*"([^"]*)"', table)}


def result_codes():
    table = re.search(r"#define NX_RESULT_CODES\(X\)(.*?)\n\n", text_of("src/base/result_code.h"), re.S)[1]
    return set(re.findall(r"X\((\w+)\)", table))


def host_calls():
    table = re.search(r"#define NX_HOST_CALLS\(X\)(.*?)\n\n", text_of("src/guest/abi.h"), re.S)[1]
    return set(re.findall(r'"(\w+)"', table))


def request_codes():
    """Error codes that the HTTP server puts into its replies."""
    found = set()
    for path in (ROOT / "src/kernel").glob("http_*.c"):
        found |= set(re.findall(r'"([A-Z]{3,}(?:_[A-Z]+)*)"', path.read_text(encoding="utf-8")))
    return found - {"GET", "HEAD", "POST", "DELETE", "OPTIONS", "JSON"}


def finding_codes():
    return set(re.findall(r'#define NX_DIAG_\w+\s+"(\w+)"', text_of("src/nxml/diag.h"))) | {"COMPILATION_ERROR"}


def test_cases():
    """Names of the tests' cases: Python's functions, C's functions, hostile handlers."""
    names = set()
    for path in pathlib.Path(ROOT, "tests").rglob("*"):
        if path.suffix == ".py":
            names |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.M))
        elif path.suffix == ".c":
            names |= set(re.findall(r"^static void (\w+)\(void \*\*", path.read_text(), re.M))
        elif path.suffix == ".js":
            names.add(path.stem)
    return names
