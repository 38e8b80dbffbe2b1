# SPDX-License-Identifier: Apache-2.0
"""deploy/monitoring: what the dashboard and the alerts ask for is what /metrics has."""
import json
import re

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


@pytest.fixture(scope="module", name="series")
def make_series():
    """name -> the label sets that a server which has seen a little of everything has."""
    server = Server()
    server.create()
    for tool, args in (("increment", {}), ("fail", {}), ("nap", {"ms": 1})):
        server.trigger("counter", tool, args)
    found = {}
    for family in prometheus.read(server.get("/metrics").text).values():
        for name, labels in family.samples:
            found.setdefault(name, []).append(dict(labels))
    server.stop_cleanly()
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
