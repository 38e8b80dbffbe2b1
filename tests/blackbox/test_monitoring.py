# SPDX-License-Identifier: Apache-2.0
"""deploy/monitoring: what the dashboard and the alerts ask for is what /metrics has."""
import json
import os
import re
import shutil
import subprocess

import pytest

import prometheus
from conftest import ROOT, Server

FOLDER = ROOT / "deploy/monitoring"
SELECTOR = re.compile(r"\b(nexus_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!=|=|!~)"([^"]*)"')
# What Prometheus itself adds to every series.
ADDED = {"instance", "job"}


def alert_expressions():
    text = (FOLDER / "alerts.yml").read_text()
    found = re.findall(r"^        expr: '([^']+)'$", text, re.M)
    assert len(found) == text.count("- alert:") == len(set(re.findall(r"- alert: (\w+)", text)))
    return found


def dashboard():
    return json.loads((FOLDER / "grafana-dashboard.json").read_text())


def dashboard_expressions():
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]


EXPRESSIONS = alert_expressions() + dashboard_expressions()


@pytest.fixture(scope="module", name="text")
def make_text():
    """The metrics of a server which has seen a little of everything."""
    server = Server()
    server.create()
    for tool, args in (("increment", {}), ("fail", {}), ("nap", {"ms": 1})):
        server.trigger("counter", tool, args)
    text = server.get("/metrics").text
    server.stop_cleanly()
    return text


@pytest.fixture(scope="module", name="series")
def make_series(text):
    """name -> the label sets it has there."""
    found = {}
    for family in prometheus.read(text).values():
        for name, labels in family.samples:
            found.setdefault(name, []).append(dict(labels))
    return found


def mistakes(expression, series):
    """What an expression asks for that there is not."""
    for name, matchers in SELECTOR.findall(expression):
        if name not in series:
            yield f"no metric {name}"
            continue
        for label, operator, value in MATCHER.findall(matchers):
            values = {labels.get(label) for labels in series[name]} - {None}
            if label not in ADDED and not values:
                yield f"{name} has no label {label}"
            elif label not in ADDED and operator in ("=", "!=") and value not in values:
                yield f"{name}: {label} is never {value}"
    names = {name for name, _ in SELECTOR.findall(expression)}
    for by in re.findall(r"\bby \(([^)]*)\)", expression):
        for label in (text.strip() for text in by.split(",")):
            if label not in ADDED and not any(label in labels for name in names for labels in series.get(name, [])):
                yield f"nothing has the label {label}"


def test_there_is_something_to_check():
    assert len(alert_expressions()) > 8 and len(dashboard_expressions()) > 15


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression(expression, series):
    assert not list(mistakes(expression, series))
    assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")
    assert SELECTOR.search(expression) or expression == 'up{job="nexus"} == 0'


@pytest.mark.parametrize("wrong", [
    "nexus_no_such_total", 'nexus_instances{state="asleep"}', 'nexus_instances{kind="x"}',
    "sum by (code) (nexus_panels)"])
def test_mistakes_are_found(wrong, series):
    assert list(mistakes(wrong, series))


def test_every_metric_is_on_the_dashboard(series):
    text = " ".join(dashboard_expressions())
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in series}
    assert not [name for name in families if name not in text]


def test_panels_of_the_dashboard():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


# ---- As Prometheus itself reads them -----------------------------------------------------------------

@pytest.fixture(scope="module", name="promtool")
def find_promtool():
    """Runs promtool over a file; returns its exit code and what it says."""
    program = shutil.which("promtool")
    if not program:
        fetched = subprocess.run([str(ROOT / "scripts/promtool.sh")], capture_output=True, text=True, timeout=300, check=False)
        if fetched.returncode:
            assert "NX_MUST_WORK" not in os.environ, fetched.stderr
            pytest.skip(fetched.stderr)
        program = ROOT / "build/promtool/promtool"

    def run(*arguments, text=None):
        done = subprocess.run([str(program), *map(str, arguments)], input=text, capture_output=True, text=True,
                              timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr
    return run


def test_metrics_as_promtool_reads_them(promtool, series, text):
    assert series and promtool("check", "metrics", text=text) == (0, "")
    for old, new in (("# TYPE nexus_panels gauge", "# TYPE nexus_panels thing"), ("nexus_panels 1", "nexus_panels one"),
                     ("nexus_errors_total", "nexus_errors")):
        assert old in text and promtool("check", "metrics", text=text.replace(old, new))[0] != 0


def test_alerts_as_promtool_reads_them(promtool, tmp_path):
    code, said = promtool("check", "rules", FOLDER / "alerts.yml")
    assert code == 0 and f"{len(alert_expressions())} rules found" in said
    broken = tmp_path / "broken.yml"
    broken.write_text((FOLDER / "alerts.yml").read_text().replace("[5m]", "[5 parsecs]", 1))
    assert promtool("check", "rules", broken)[0] != 0


def test_the_dashboard_as_promtool_reads_it(promtool, tmp_path):
    def check(expressions):
        plain = [one.replace("$__rate_interval", "5m").replace("$instance", ".*") for one in expressions]
        path = tmp_path / "dashboard.yml"
        path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": [
            {"record": f"panel:{i}", "expr": one} for i, one in enumerate(plain)]}]}))
        return promtool("check", "rules", path)
    code, said = check(dashboard_expressions())
    assert code == 0, said
    assert check([*dashboard_expressions(), "sum by (rate(nexus_panels[5m])"])[0] != 0
