# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Key: the first result again, never a second run."""
import threading

import pytest

from conftest import COUNTER, Wire, wait_until
from test_auth import SECRET, bearer, token
from ws_client import WebSocket


def keyed(server, key, tool="increment", args=None, panel="counter", headers=None, **options):
    return server.trigger(panel, tool, args, headers={"Idempotency-Key": key, **(headers or {})}, **options)


def count(server):
    return server.get("/panels/counter/state").json()["state"]["count"]


def test_the_first_result_again(server):
    first = keyed(server, "once")
    again = keyed(server, "once")
    assert first.status_code == again.status_code == 200
    assert first.json()["returnValue"] == 1
    assert again.content == first.content
    assert "Idempotent-Replayed" not in first.headers and again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert count(server) == 1
    # The control: another key, and none.
    assert keyed(server, "twice").json()["returnValue"] == 2
    assert server.trigger("counter", "increment").json()["returnValue"] == 3


def test_a_key_belongs_to_panel_and_tool(server):
    server.create(COUNTER.replace('"counter"', '"other"'))
    assert keyed(server, "k").json()["returnValue"] == 1
    assert keyed(server, "k", panel="other").json()["returnValue"] == 1
    assert "returnValue" in keyed(server, "k", tool="echo").json()
    assert count(server) == 1


def test_a_key_belongs_to_a_subject(start, tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    server = start(env={"AUTH_ENABLED": "true", "JWT_SECRET_FILE": str(tmp_path / "secret")})
    server.post("/panels", data=COUNTER.encode(),
                headers={"Content-Type": "application/xml", **bearer(token("*"))})
    values = [keyed(server, "k", headers=bearer(token("*", sub=sub))).json()["returnValue"]
              for sub in ("ada", "bob", "ada", "bob")]
    assert values == [1, 2, 1, 2]
    # Another token of the same subject, without the permission, gets nothing.
    refused = keyed(server, "k", headers=bearer(token("panel:read", sub="ada")))
    assert refused.status_code == 403
    server.stop_cleanly()


def test_another_body_is_refused(server):
    keyed(server, "k", args={"by": 1})
    refused = keyed(server, "k", args={"by": 2})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "IDEMPOTENCY_CONFLICT")
    assert count(server) == 1


def test_errors_of_the_handler_are_results(server):
    first, again = keyed(server, "k", tool="fail"), keyed(server, "k", tool="fail")
    assert first.json()["error"]["code"] == "EXECUTION_ERROR"
    assert again.content == first.content and again.headers["Idempotent-Replayed"] == "true"


def test_what_did_not_run_is_not_kept(server):
    for _ in range(2):
        assert keyed(server, "k", args={"by": "many"}).status_code == 400
    assert keyed(server, "k", tool="missing").status_code == 404
    assert keyed(server, "k", args={"by": 5}).json()["returnValue"] == 5


def test_a_trigger_cancelled_in_the_queue_is_not_kept(start):
    server = start(env={"MAX_QUEUE": "1", "TIMEOUT_MS": "600000"})
    server.create()
    with WebSocket(server) as busy, Wire(server) as waiting:
        busy.send({"type": "TRIGGER", "tool": "spin", "requestId": "busy"})
        server.wait_for_instances("running")
        waiting.send(b"POST /panels/counter/trigger/increment HTTP/1.1\r\nHost: h\r\n\r\n")
        wait_until(lambda: server.figure("nexus_queue_depth") == 1)
        assert keyed(server, "k").status_code == 429
        busy.send({"type": "CANCEL", "requestId": "busy"})
        assert busy.read_until("RESULT")[-1]["error"]["code"] == "CANCELLED"
        assert waiting.read().json()["returnValue"] == 1
    assert keyed(server, "k").json()["returnValue"] == 2
    server.stop_cleanly()


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "bl\u00e5".encode().decode("latin-1")])
def test_keys_that_are_none(server, key):
    response = keyed(server, key)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_REQUEST")
    assert count(server) == 0
    assert keyed(server, "x" * 255).json()["returnValue"] == 1


def test_a_key_twice_in_one_request(wire, server):
    response = wire(b"POST /panels/counter/trigger/increment HTTP/1.1\r\nHost: h\r\nIdempotency-Key: a\r\n"
                    b"Idempotency-Key: b\r\n\r\n").read()
    assert response.status == 400 and count(server) == 0


def test_duplicates_wait_for_the_first(server):
    answers = []

    def ask():
        answers.append(keyed(server, "k", tool="nap", args={"ms": 300}))
    threads = [threading.Thread(target=ask) for _ in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["returnValue"] == "rested"
    assert count(server) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 4


def test_a_client_that_went_away_can_ask_again(server):
    head = b"POST /panels/counter/trigger/nap HTTP/1.1\r\nHost: h\r\nIdempotency-Key: gone\r\n" \
           b"Content-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ms\": 800}"
    with Wire(server) as first:
        first.send(head)
        wait_until(lambda: server.figure('nexus_instances{state="suspended"}') == 1 or count(server) == 1)
    with Wire(server) as again, Wire(server) as leaver:
        leaver.send(head)
        again.send(head)
        leaver.close()
        result = again.read()
        assert result.json()["returnValue"] == "rested"
        assert result.headers["idempotent-replayed"] == "true"
    assert count(server) == 1


def test_the_final_result_of_a_trigger_answered_early(server):
    early = keyed(server, "k", tool="nap", args={"ms": 200}, headers={"Prefer": "respond-async"})
    assert (early.status_code, early.json()["status"]) == (202, "suspended")
    final = keyed(server, "k", tool="nap", args={"ms": 200})
    assert (final.status_code, final.json()["returnValue"]) == (200, "rested")
    assert count(server) == 1


def test_keys_go_with_their_panel(server):
    assert keyed(server, "k").json()["returnValue"] == 1
    keyed(server, "k2")
    server.request("DELETE", "/panels/counter")
    server.create()
    assert "Idempotent-Replayed" not in keyed(server, "k").headers
    assert count(server) == 1


def test_deleting_a_panel_ends_those_who_wait(server):
    with Wire(server) as one:
        one.send(b"POST /panels/counter/trigger/nap HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\n"
                 b"Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"ms\":20000}")
        server.wait_for_instances("suspended")
        server.request("DELETE", "/panels/counter")
        assert one.read().json()["error"]["code"] == "CANCELLED"


def test_a_result_too_large_to_keep_is_not_run_again(start):
    server = start(env={"MAX_VALUE_KB": "8192"})
    server.create()
    size = 5 * 1024 * 1024
    assert len(keyed(server, "k", tool="big", args={"size": size}).json()["returnValue"]) == size
    again = keyed(server, "k", tool="big", args={"size": size})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    server.stop_cleanly()


def test_the_oldest_results_make_room(start):
    """The cap on bytes: 64 MiB of results of 4,000,000 bytes are 16, four of each panel."""
    server = start(env={"MAX_VALUE_KB": "8192", "LOG_LEVEL": "debug"})
    panels = [f"busy{n}" for n in range(5)]
    for panel in ["counter", *panels]:
        assert server.create(COUNTER.replace('id="counter"', f'id="{panel}"')).status_code == 201
    args = {"size": 4_000_000}

    def replayed(key, panel):
        return "Idempotent-Replayed" in keyed(server, key, tool="big", args=args, panel=panel).headers

    def ended():
        return [line["requestId"] for line in server.logs("request") if line["requestId"] in ("early", "late")]
    assert keyed(server, "first").json()["returnValue"] == 1
    for i in range(13):  # a panel pushes out its own
        assert not replayed(f"k{i}", panels[0])
    for tries, ms in enumerate((100, 1000, 10000), 1):  # what is begun first and ends last
        body = b'{"ms": %d}' % ms
        late = Wire(server).send(
            b"POST /panels/busy0/trigger/nap HTTP/1.1\r\nHost: h\r\nIdempotency-Key: n%d\r\nX-Request-Id: late\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (ms, len(body)) + body)
        keyed(server, f"k{ms}", tool="big", args=args, panel=panels[0], headers={"X-Request-Id": "early"})
        assert late.read().json()["returnValue"] == "rested"
        late.close()
        wait_until(lambda: len(ended()) == 2 * tries)
        if ended()[-2:] == ["early", "late"]:
            break
    else:
        pytest.fail("what was to end last never did")
    for i in range(14, 18):
        assert not replayed(f"k{i}", panels[0])
    assert "Idempotent-Replayed" in keyed(server, f"n{ms}", tool="nap", args={"ms": ms}, panel=panels[0]).headers
    assert replayed("k17", panels[0]) and not replayed("k0", panels[0])
    assert keyed(server, "first").json()["returnValue"] == 1
    for panel in panels[1:]:  # all together, the oldest
        for i in range(4):
            assert not replayed(f"k{i}", panel)
    assert replayed("k3", panels[-1]) and not replayed("k17", panels[0])
    assert keyed(server, "first").json()["returnValue"] == 2
    server.stop_cleanly()


def test_stopping_with_keys_at_work(start):
    server = start()
    server.create()
    busy = Wire(server).send(
        b"POST /panels/counter/trigger/nap HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\n"
        b"Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"ms\": 3000}")
    server.wait_for_instances("suspended")
    keyed(server, "done")
    server.process.terminate()
    assert busy.read().json()["returnValue"] == "rested"
    assert server.wait() == 0
    busy.close()
