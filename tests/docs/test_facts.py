# SPDX-License-Identifier: Apache-2.0
"""Settings, limits, routes and codes in the documents are those of the sources."""
import re

import pytest
import sources
import yaml

OPERATING = sources.text_of("docs/operating.md")
API = sources.text_of("docs/api.md")
NXML = sources.text_of("docs/nxml.md")
OPENAPI = yaml.safe_load(sources.text_of("docs/openapi.yaml"))
UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "kb": 1024, "mb": 1024**2,
         "ms": 1, "s": 1000, "min": 60000, "h": 3600000}
QUANTITY = re.compile(r"(?<![\w/.])(\d[\d,]*)(?: ?(KiB|MiB|GiB|kb|mb|ms|s|min|h)\b)?(?![\w/])")


def section(text, title):
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |^\1 |\Z)", text, re.S | re.M)
    assert match, f"no section '{title}'"
    return match[2]


def rows(text):
    """The cells of each row of the tables in `text`, heads and rulers left out."""
    found = []
    for line in text.splitlines():
        if line.startswith("|") and not re.match(r"^\|[-| ]+\|$", line):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def quantities(text):
    """The quantities in a text, as numbers of the smallest unit: bytes, milliseconds, pieces."""
    return [int(digits.replace(",", "")) * UNITS[unit] for digits, unit in QUANTITY.findall(text)]


# ---- Settings ------------------------------------------------------------------------------------------

def documented_settings():
    """name -> (default, values), of the settings tables."""
    return {row[0].strip("`"): (row[1], row[2]) for row in rows(section(OPERATING, "Settings"))
            if re.fullmatch(r"`[A-Z_0-9]+`", row[0])}


SETTINGS = sources.settings()


def test_the_tables_are_read():
    assert len(SETTINGS) >= 35 and len(documented_settings()) >= 20
    assert SETTINGS["MAX_QUEUE"] == ("NUMBER", "max_queue", 1, sources.limits()["NX_MAX_QUEUE"])
    assert sources.defaults()["max_queue"] == "1000"


def test_every_setting_is_documented_and_no_other():
    listed = set(documented_settings())
    assert listed <= set(SETTINGS)
    assert listed == set(SETTINGS) - sources.without_effect()


def test_every_setting_has_an_effect():
    assert not sources.without_effect()


@pytest.mark.parametrize("name", sorted(documented_settings()))
def test_default_and_range(name):
    kind, field, least, most = SETTINGS[name]
    default, values = documented_settings()[name]
    known = sources.defaults().get(field)
    if kind in ("NUMBER", "BYTES"):
        low, high = values.split("–")
        assert (quantities(low), quantities(high)) == ([least], [most])
        if known is not None:
            assert quantities(default) == [int(known)]
    elif kind == "BOOL":
        assert (default, values) == ("false" if known is None else known, "true, false")
    elif known is not None:
        assert default.lower() == known or known in default.lower()


# ---- Limits --------------------------------------------------------------------------------------------

LIMITS = sources.limits()


def limit_rows():
    return [(row[1], re.findall(r"`(NX_\w+)`", row[2])) for row in rows(section(OPERATING, "Fixed limits"))
            if "`NX_" in row[-1]]


@pytest.mark.parametrize("value, names", limit_rows(), ids=lambda v: v[0] if isinstance(v, list) else None)
def test_limit(value, names):
    # A share is written as a fraction.
    found = [int(part) for part in re.findall(r"1/(\d+)", value)]
    for name in names:
        if name.endswith("_SHARE"):
            assert LIMITS[name] in found
    rest = quantities(re.sub(r"1/\d+", "", value))
    assert rest == [LIMITS[name] for name in names if not name.endswith("_SHARE")]


def test_limits_are_read():
    assert len(limit_rows()) > 15
    assert LIMITS["NX_MAX_FRAME_BYTES"] == 32 * 1024 * 1024


# ---- HTTP and panels -----------------------------------------------------------------------------------

def test_routes():
    documented = {}
    for row in rows(API):
        match = re.fullmatch(r"([A-Z]+) `(/[^`]*)`", row[0])
        if match:
            documented.setdefault(match[2], set()).add(match[1])
    implemented = {pattern: methods for pattern, methods in sources.routes().items() if methods}
    assert documented == implemented


def openapi_operations():
    """pattern -> methods, of docs/openapi.yaml."""
    return {path: {key.upper() for key in item if key != "parameters"} for path, item in OPENAPI["paths"].items()}


def test_openapi_has_every_route_and_no_other():
    implemented = {pattern: methods for pattern, methods in sources.routes().items() if methods}
    documented = openapi_operations()
    assert {path: methods - {"HEAD", "OPTIONS"} for path, methods in documented.items()} == implemented
    allowed = sources.allow_headers()
    assert documented == {path: allowed[path] for path in implemented}


def test_openapi_names_what_the_sources_name():
    schemas = OPENAPI["components"]["schemas"]
    assert set(schemas["ResultCode"]["enum"]) == sources.result_codes()
    assert set(schemas["Metrics"]["properties"]["hostCalls"]["properties"]) == sources.host_calls()
    error = schemas["Error"]["properties"]["error"]["properties"]
    assert set(error["code"]["enum"]) == codes_in_tables(section(API, "Errors of requests"))
    assert f'VERSION {OPENAPI["info"]["version"]} ' in sources.text_of("CMakeLists.txt")


def codes_in_tables(text):
    return {code for row in rows(text) for cell in row[:2] for code in re.findall(r"\b[A-Z]{3,}(?:_[A-Z]+)*\b", cell)}


def test_result_codes():
    assert codes_in_tables(section(API, "Results")) == sources.result_codes()


def test_codes_of_refused_requests():
    assert sources.request_codes() <= codes_in_tables(section(API, "Errors of requests"))


def test_host_calls():
    assert all(f"`{name}`" in section(API, "Results") for name in sources.host_calls())


def test_codes_of_findings():
    assert codes_in_tables(section(NXML, "Findings")) == sources.finding_codes()


# ---- The reading itself --------------------------------------------------------------------------------

@pytest.mark.parametrize("text, expected", [
    ("1 MiB, 2 MiB", [1 << 20, 2 << 20]), ("5,000, 64", [5000, 64]), ("10 s; 50 ms to 5 s", [10000, 50, 5000]),
    ("1mb", [1 << 20]), ("nothing", []), ("v1.2", []), ("1 KiB", [1024]), ("10", [10])])
def test_quantities(text, expected):
    assert quantities(text) == expected


def test_constants():
    found = sources.constants("#define NX_A 3 // three\n#define NX_B (NX_A * 2u)\n#define NX_C ((size_t)8 * 1024)\n"
                              "#define NX_D \"text\"\n#define NX_E (1 << 4)\n")
    assert found == {"NX_A": 3, "NX_B": 6, "NX_C": 8192, "NX_E": 16}


# ---- The catalogue of attacks --------------------------------------------------------------------------

THREATS = sources.text_of("docs/threats.md")


def without_tests(text):
    """The rows whose last cell names no test: a file or folder of tests/, or the name of a case."""
    cases = sources.test_cases()
    for row in rows(text):
        if row[-1] == "tests":
            continue
        named = re.findall(r"`([^`]+)`", row[-1])
        if not named or not all(name in cases or (sources.ROOT / name).exists() for name in named):
            yield row[0]


def test_every_attack_has_a_test():
    assert len(rows(THREATS)) > 60
    assert not list(without_tests(THREATS))


PROMISES = sources.text_of("docs/promises.md")


def test_every_promise_has_a_test():
    assert len(rows(PROMISES)) > 40
    assert not list(without_tests(PROMISES))


def test_every_route_and_error_is_promised():
    promised = "\n".join(row[0] for row in rows(PROMISES))
    wanted = [row[0] for row in rows(API) if re.fullmatch(r"[A-Z]+ `/[^`]*`", row[0])]
    wanted += [status for row in rows(section(API, "Errors of requests")) for status in re.findall(r"\b\d{3}\b", row[0])]
    assert len(wanted) > 25
    assert [one for one in wanted if one not in promised] == []


def test_an_attack_without_a_test_is_found():
    table = "| attack | outcome | tests |\n|---|---|---|\n| a | b | c |\n| d | e | `test_matrix` |\n| f | g | `nx_gone` |\n"
    assert list(without_tests(table)) == ["a", "f"]
