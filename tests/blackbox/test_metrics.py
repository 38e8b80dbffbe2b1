# SPDX-License-Identifier: Apache-2.0
"""GET /metrics: the text format, what is counted, who may read it and where."""
import os
import re
import secrets
import signal
import subprocess

import pytest
import requests

import prometheus
from conftest import COUNTER, NEXUS, ROOT, wait_until

# What the contract lists, and more.
LISTED = """executions_total execution_duration_seconds execution_memory_bytes compile_duration_seconds
cache_hits_total cache_misses_total cache_bytes instances sandbox_resets_total worker_restarts_total host_calls_total errors_total
capability_denied_total panels ws_clients ws_dropped_total http_requests_total http_request_duration_seconds
extension_calls_total queue_depth build_info set_off_total skipped_total disk_cache_reads_total
disk_cache_writes_total disk_cache_bytes""".split()


def metrics(server, **options):
    response = server.get("/metrics", **options)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return prometheus.read(response.text)


# ---- The reader itself -------------------------------------------------------------------------------

GOOD = ('# HELP a_total A.\n# TYPE a_total counter\na_total{x="1",y="\\"\\\\\\n"} 2\na_total 3\n'
        '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 5\nh_count 2\n')


def test_the_reader_reads():
    families = prometheus.read(GOOD)
    assert families["a_total"].value(x="1", y='"\\\n') == 2
    assert families["h"].value("_count") == 2


@pytest.mark.parametrize("old, new", [
    ("\na_total 3", '\na_total{y="\\"\\\\\\n",x="1"} 3'), ('"1",y', '"1"y'), ('\\\\\\n"', '\\\\\\t"'),
    ("a_total 3", "a_total -3"), ("a_total 3", "a_total three"), ("a_total 3", "b_total 3"), ("a_total 3", ""),
    ("# HELP a_total A.\n", ""), ("counter", "gauge"), ("counter", "thing"), ("a_total counter", "c_total counter"),
    ('h_bucket{le="1"} 1', 'h_bucket{le="1"} 3'), ("h_count 2", "h_count 3"), ('{le="+Inf"}', '{le="9"}'),
    ("h_sum 5", "h_sum 0.5"), ("h_count 2\n", "h_count 2"), ("a_total 3", "a_total{} 3"), ("h H.\n", "h H.\n\n")])
def test_the_reader_refuses(old, new):
    assert GOOD.count(old) == 1
    with pytest.raises((prometheus.Malformed, KeyError)):
        prometheus.read(GOOD.replace(old, new))


def test_the_reader_sees_counters_fall():
    less = prometheus.read(GOOD.replace("a_total 3", "a_total 2"))
    prometheus.check_no_counter_fell(less, prometheus.read(GOOD))
    with pytest.raises(prometheus.Malformed):
        prometheus.check_no_counter_fell(prometheus.read(GOOD), less)


# ---- What there is -----------------------------------------------------------------------------------

def test_every_listed_metric_is_there_and_no_other(server):
    assert set(metrics(server)) == {"nexus_" + name for name in LISTED}


def test_documented():
    text = (ROOT / "docs/operating.md").read_text()
    for name in LISTED:
        assert f"nexus_{name}`" in text or f"nexus_{name}{{" in text, name


def test_head(server):
    response = server.request("HEAD", "/metrics")
    assert (response.status_code, response.text) == (200, "")


def difference(server, name, act, suffix="", **labels):
    before = metrics(server)
    act()
    after = metrics(server)
    prometheus.check_no_counter_fell(before, after)
    key = (name + suffix, tuple(sorted(labels.items())))
    return after[name].samples[key] - before[name].samples.get(key, 0)


@pytest.mark.parametrize("name, tool, labels", [
    ("nexus_executions_total", "increment", {"status": "success"}),
    ("nexus_executions_total", "fail", {"status": "error"}),
    ("nexus_executions_total", "nap", {"status": "suspended"}),
    ("nexus_errors_total", "fail", {"code": "EXECUTION_ERROR"}),
    ("nexus_host_calls_total", "increment", {"function": "state_set"}),
    ("nexus_host_calls_total", "increment", {"function": "emit"}),
    ("nexus_extension_calls_total", "nap", {"extension": "time", "outcome": "success"}),
    ("nexus_http_requests_total", "increment",
     {"route": "/panels/{id}/trigger/{tool}", "status": "200"}),
    ("nexus_cache_hits_total", "increment", {}),
])
def test_counted_once(server, name, tool, labels):
    server.trigger("counter", "nap", {"ms": 1})  # a series appears with its first count
    assert difference(server, name, lambda: server.trigger("counter", tool, {"ms": 1} if tool == "nap" else {}),
                      **labels) == 1


def test_durations_and_memory(server):
    before = metrics(server)
    server.trigger("counter", "increment")
    after = metrics(server)
    for name in ("nexus_execution_duration_seconds", "nexus_execution_memory_bytes"):
        assert after[name].value("_count") == before[name].value("_count") + 1
        assert after[name].value("_sum") > before[name].value("_sum")
    # The trigger, and the request that read `before`, which was not over then.
    assert (after["nexus_http_request_duration_seconds"].value("_count")
            == before["nexus_http_request_duration_seconds"].value("_count") + 2)


def test_a_slow_execution_is_in_a_high_bucket(start):
    server = start(env={"TIMEOUT_MS": "300"})
    server.create()
    server.trigger("counter", "spin")
    family = metrics(server)["nexus_execution_duration_seconds"]
    assert family.value("_count") == 1 and 0.25 < family.value("_sum") < 5
    assert family.value("_bucket", le="0.262144") == 0
    assert family.value("_bucket", le="8.388608") == 1
    server.stop_cleanly()


def test_resets(server):
    """Each execution is one, told with the next. What wrote to many pages loses them all."""
    def resets():
        return {kind: metrics(server)["nexus_sandbox_resets_total"].value(kind=kind)
                for kind in ("copied", "scanned", "dropped")}
    server.trigger("counter", "increment")
    before = resets()
    for _ in range(50):
        server.trigger("counter", "increment")
    after = resets()
    # A spare worker that took some of them has the last one to tell; there are two.
    assert after["copied"] + after["scanned"] - before["copied"] - before["scanned"] >= 48
    assert after["copied"] > before["copied"]
    wide = {"id": "wide", "kind": "k", "tools": [{"name": "t", "handler": "return 'x'.repeat(5e6).length;"}]}
    assert server.post("/panels", json=wide).status_code == 201
    assert server.trigger("wide", "t").json()["returnValue"] == 5e6
    # The next that the same worker runs says so.
    wait_until(lambda: server.trigger("counter", "increment") and resets()["dropped"] > after["dropped"])


def test_requests_without_a_route(server):
    assert difference(server, "nexus_http_requests_total", lambda: server.get("/no/such"),
                      route="*", status="404") >= 1


DENIED = """<NexusPanel id="denied"><Data><State name="s" type="number"/></Data><Logic><Tool name="t"><Handler>
for (let i = 0; i < 3; i++) { try { $state.s = 1; } catch (e) {} }</Handler></Tool>
<Tool name="strange"><Capabilities><Capability type="ext" scope="*"/></Capabilities>
<Handler>try { await $ext[$args.name].go(); } catch (e) {}</Handler></Tool></Logic></NexusPanel>"""


def test_denials(server):
    server.create(DENIED)
    assert difference(server, "nexus_capability_denied_total", lambda: server.trigger("denied", "t"),
                      kind="state:write") == 3


def test_names_that_handlers_invent_are_one_series(server):
    server.create(DENIED)

    def invent():
        for name in ("a", "b\"", "c\\\n", "unheard"):
            assert server.trigger("denied", "strange", {"name": name}).json()["status"] == "success"
    assert difference(server, "nexus_extension_calls_total", invent, extension="unknown", outcome="error") == 4
    names = {dict(labels)["extension"] for _, labels in metrics(server)["nexus_extension_calls_total"].samples}
    assert names <= {"time", "unknown"}


def test_gauges(server):
    families = metrics(server)
    assert families["nexus_panels"].value() == 1
    assert families["nexus_instances"].value(state="available") == 256
    assert families["nexus_queue_depth"].value() == 0
    assert families["nexus_cache_bytes"].value() > 0
    (_, labels), value = next(iter(families["nexus_build_info"].samples.items()))
    assert value == 1 and dict(labels)["version"] in subprocess.run(
        [str(NEXUS), "version"], capture_output=True, text=True, check=True, timeout=30).stdout


def test_a_worker_that_dies_is_counted(start):
    server = start()
    before = metrics(server)
    os.kill(server.only_worker(), signal.SIGKILL)
    wait_until(lambda: metrics(server)["nexus_worker_restarts_total"].value(reason="died"))
    after = metrics(server)
    prometheus.check_no_counter_fell(before, after)
    assert after["nexus_worker_restarts_total"].value(reason="died") == 1
    assert after["nexus_worker_restarts_total"].value(reason="watchdog") == 0
    server.stop_cleanly()


# ---- By panel ----------------------------------------------------------------------------------------

def test_panels_have_no_series_of_their_own(server):
    server.trigger("counter", "increment")
    assert '"counter"' not in server.get("/metrics").text


def test_series_by_panel(start):
    server = start(env={"METRICS_PER_PANEL": "true"})
    server.create()
    server.create(COUNTER.replace('"counter"', '"idle"'))
    for tool in ("increment", "increment", "fail"):
        server.trigger("counter", tool)
    family = metrics(server)["nexus_panel_executions_total"]
    assert family.value(panel="counter", status="success") == 2
    assert family.value(panel="counter", status="error") == 1
    assert len(family.samples) == 2
    server.request("DELETE", "/panels/counter")
    assert not metrics(server)["nexus_panel_executions_total"].samples
    server.create()
    server.trigger("counter", "increment")
    family = metrics(server)["nexus_panel_executions_total"]
    assert family.value(panel="counter", status="success") == 1
    server.stop_cleanly()


def test_series_by_panel_are_capped(start):
    most = int(re.search(r"#define NX_MAX_METRICS_PANELS\s+(\d+)", (ROOT / "src/base/limits_net.h").read_text())[1])
    server = start(env={"METRICS_PER_PANEL": "true"})
    with requests.Session() as session:
        for i in range(most + 1):
            panel = {"id": f"p{i}", "kind": "k", "tools": [{"name": "t", "handler": "return 1"}]}
            assert session.post(server.url + "/panels", json=panel, timeout=20).status_code == 201
            assert session.post(server.url + f"/panels/p{i}/trigger/t", json={}, timeout=20).status_code == 200
    family = metrics(server)["nexus_panel_executions_total"]
    assert len(family.samples) == 2 * most
    server.request("DELETE", "/panels/p0")
    server.trigger(f"p{most}", "t")
    assert metrics(server)["nexus_panel_executions_total"].value(panel=f"p{most}", status="success") == 1
    server.stop_cleanly()


# ---- Its own port ------------------------------------------------------------------------------------

def test_metrics_port(start):
    server = start(env={"METRICS_PORT": "0", "AUTH_ENABLED": "true", "JWT_SECRET": secrets.token_hex(32)})
    apart = server.logs("listening")[0]["metricsUrl"]
    assert apart.startswith("http://127.0.0.1:") and apart != server.url

    def status(url, path):
        return requests.get(url + path, timeout=20).status_code
    assert status(apart, "/metrics") == 200
    assert status(apart, "/health") == 200 and status(apart, "/ready") == 200
    for path in ("/panels", "/panels/x", "/panels/x/state", "/panels/x/ws", "/"):
        assert status(apart, path) == 404, path
    assert requests.post(apart + "/panels", json={}, timeout=20).status_code == 404
    # On the main port the permission counts all the same.
    assert status(server.url, "/metrics") == 401
    server.stop_cleanly()


def test_no_port_unless_asked_for(server):
    assert server.logs("listening")[0]["metricsUrl"] == ""
