# SPDX-License-Identifier: Apache-2.0
"""What a client does with a server, and what it may conclude from the answers: the model that the
server's state is compared with."""
import itertools
import json
import socket

import requests

from control import _load, wait_for

ws_client = _load("blackbox/ws_client.py", "ws_client")

PANEL = """<NexusPanel id="%s">
  <Data>
    <State name="count" type="number" default="0"/>
    <State name="marks" type="list"/>
  </Data>
  <Logic>
    <Extension name="time"/>
    <Tool name="mark">
      <Arg name="id" type="string"/>
      <Capabilities>
        <Capability type="state:read" scope="*"/>
        <Capability type="state:write" scope="*"/>
        <Capability type="events:emit" scope="marked"/>
      </Capabilities>
      <Handler>
        $state.count = $state.count + 1;
        $state.marks.push($args.id);
        $emit('marked', $args.id);
        $log('marked', $args.id);
        return $state.count;
      </Handler>
    </Tool>
    <Tool name="nap">
      <Arg name="id" type="string"/>
      <Capabilities>
        <Capability type="state:read" scope="*"/>
        <Capability type="state:write" scope="*"/>
        <Capability type="ext" scope="time"/>
      </Capabilities>
      <Handler>
        $state.marks.push($args.id);
        await $ext.time.sleep(1);
        $state.marks.push($args.id + "'");
        $state.count = $state.count + 2;
        return 'rested';
      </Handler>
    </Tool>
    <Tool name="rest">
      <Arg name="id" type="string"/>
      <Arg name="ms" type="number" required="false" default="20000"/>
      <Capabilities>
        <Capability type="state:read" scope="marks"/>
        <Capability type="state:write" scope="marks"/>
        <Capability type="ext" scope="time"/>
      </Capabilities>
      <Handler>$state.marks.push($args.id); await $ext.time.sleep($args.ms); return 'rested';</Handler>
    </Tool>
    <Tool name="fail"><Handler>throw new Error('on purpose');</Handler></Tool>
    <Tool name="spin"><Handler>for (;;) {}</Handler></Tool>
    <Tool name="clear">
      <Capabilities><Capability type="state:write" scope="*"/></Capabilities>
      <Handler>$state.count = 0; $state.marks = [];</Handler>
    </Tool>
  </Logic>
</NexusPanel>
"""


class Model:
    """Which marks the panel must hold, and which it may: those whose client got no answer at all."""

    def __init__(self):
        self.certain, self.possible = [], set()

    def expect(self, mark, segments, reply):
        """Takes in the answer to a trigger that leaves the marks of `segments` segments."""
        names = [mark, mark + "'"][:segments]
        if reply is None or reply.status_code == 500:  # "the reply could not be made"
            self.possible.update(names)
            return {"status": "unknown"}
        body = reply.json()
        if reply.status_code == 202:
            self.certain.append(names[0])
            self.possible.update(names[1:])
        elif body.get("status") == "success":
            self.certain += names
        elif "mutations" in body:
            # A failed execution says what of it was committed before.
            assert body["status"] == "error" and body["error"]["code"], body
            if any(m["key"] == "marks" for m in body["mutations"]):
                self.certain.append(names[0])
        else:
            assert reply.status_code >= 400 and body["error"]["code"], body
        return body

    def check(self, state):
        marks = state["marks"]
        assert len(set(marks)) == len(marks), f"applied twice: {marks}"
        lost = set(self.certain) - set(marks)
        assert not lost, f"acknowledged and lost: {lost}"
        forged = set(marks) - set(self.certain) - self.possible
        assert not forged, f"refused, and applied: {forged}"
        assert state["count"] == len([m for m in marks if "nap" not in m]) + 2 * len(
            [m for m in marks if m.endswith("'")]), state


class Client:
    """One client. Its connections may break: then it does not know."""

    def __init__(self, server, panel="p"):
        self.server, self.panel = server, panel
        self.session = requests.Session()
        self.session.trust_env = False
        self.model = Model()
        self.may_wait = False  # while nothing can be accepted, an answer may be missing, not wrong

    def close(self):
        self.session.close()

    def ask(self, method, path, **options):
        """The reply, or None if there was none. A server that does not answer fails the test."""
        try:
            return self.session.request(method, self.server.url + path, timeout=2 if self.may_wait else 60, **options)
        except requests.exceptions.Timeout as error:
            if self.may_wait:
                return None
            raise AssertionError(f"no answer to {method} {path}") from error
        except requests.exceptions.RequestException:
            return None

    def create(self):
        return self.ask("POST", "/panels", data=(PANEL % self.panel).encode(),
                        headers={"Content-Type": "application/xml"})

    def delete(self):
        return self.ask("DELETE", f"/panels/{self.panel}")

    def trigger(self, tool, mark, segments=1, **headers):
        reply = self.ask("POST", f"/panels/{self.panel}/trigger/{tool}", json={"id": mark}, headers=headers)
        return self.model.expect(mark, segments, reply)

    def watch(self, mark):
        """Over a WebSocket: subscribes, triggers, reads up to the result."""
        names = [mark]
        try:
            with ws_client.WebSocket(self.server, self.panel) as socket_:
                if not socket_.opened:
                    return
                self.model.possible.update(names)
                socket_.send({"type": "TRIGGER", "requestId": "r", "tool": "mark", "args": {"id": mark}})
                while True:
                    frame = socket_.read_frame()
                    if frame is None or frame[0] != ws_client.TEXT:
                        return
                    message = json.loads(frame[1])
                    if message["type"] in ("RESULT", "ERROR"):
                        break
                if message["type"] == "RESULT" and message["status"] == "success":
                    self.model.certain += names
                else:
                    self.model.possible.difference_update(names)
        except socket.timeout as error:
            raise AssertionError("no answer on the WebSocket") from error
        except (OSError, AttributeError, TypeError, ValueError):
            return  # it broke in the middle

    def state(self):
        reply = self.ask("GET", f"/panels/{self.panel}/state")
        return reply.json()["state"] if reply is not None and reply.status_code == 200 else None

    def round(self, name, sockets=True):
        """Everything once, while something fails."""
        self.create()
        self.trigger("mark", f"a{name}")
        self.trigger("nap", f"nap{name}", 2)
        self.trigger("nap", f"napasync{name}", 2, Prefer="respond-async")
        if sockets:
            self.watch(f"w{name}")
        self.ask("GET", "/health")
        self.ask("GET", "/metrics")
        self.ask("GET", "/panels")

    def settle(self, name):
        """Nothing fails any more: the server must work, and its state be what the model says."""
        assert wait_for(lambda: (self.ask("GET", "/health") or False) and
                        self.ask("GET", f"/panels/{self.panel}/state") is not None)
        if self.state() is None:
            assert not self.model.certain, "the panel is gone with what it held"
            assert self.create().status_code == 201
        assert wait_for(lambda: self.ask("GET", f"/panels/{self.panel}").json()["status"] == "active")
        # Workers may be on their way back.
        tries = itertools.count()
        assert wait_for(lambda: self.trigger("mark", f"s{name}.{next(tries)}").get("status") == "success")
        self.model.check(self.state())

    def start_over(self):
        """An empty panel, so that rounds do not get longer."""
        reply = self.ask("POST", f"/panels/{self.panel}/trigger/clear", json={})
        if reply is not None and reply.status_code == 200 and reply.json()["status"] == "success":
            self.model = Model()
