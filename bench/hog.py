# SPDX-License-Identifier: Apache-2.0
"""One tenant that takes what it can get: keeps requests of one kind at work until it is killed. Runs at
the lowest priority, so that what is measured beside it is what the server lets it take, not what its
client takes of the processors.

usage: hog.py KIND HOST PORT
"""
import http.client
import json
import os
import pathlib
import re
import selectors
import socket
import sys
import time

EVERYTHING = ["state:read:*", "state:write:*", "events:emit:*", "ext:time"]
CONNECTIONS = 8


def tool(handler):
    return {"name": "hog", "handler": handler, "capabilities": EVERYTHING}


# kind -> (panels, connections, handler, arguments, what is said about it)
KINDS = {
    "cpu": (1, CONNECTIONS, "for (;;) {}", {}, "loops until its time is over"),
    "cpu, 8 panels": (8, CONNECTIONS, "for (;;) {}", {}, "the same, by a client with eight panels"),
    "short turns": (1, 32, "let x = 0; for (let i = 0; i < 4e4; i++) x += i; return x;", {},
                    "computes for just under a millisecond"),
    "memory": (1, CONNECTIONS, "const a = []; for (let i = 0; i < 40; i++) a.push('x'.repeat(1e6) + i); "
               "return a.length;", {}, "fills 40 MB"),
    "state": (1, CONNECTIONS, "$state.a = 'x'.repeat(9e5) + Math.random(); "
              "$state.b = 'y'.repeat(9e5) + Math.random();", {}, "rewrites 1.8 MB of state"),
    "logs": (1, CONNECTIONS, "for (let i = 0; i < 500; i++) $log('x'.repeat(100));", {}, "logs 500 lines"),
    "events": (1, CONNECTIONS, "for (let i = 0; i < 100; i++) $emit('e', 'x'.repeat(1000));", {},
               "emits 100 KB, which eight sockets hear"),
    "suspended": (1, 64, "await $ext.time.sleep(200);", {}, "keeps as many handlers asleep as it may"),
    "arguments": (1, 64, "return $args.a.length;", {"a": "x" * 200000}, "sends 200 KB of arguments"),
    "sockets": (1, CONNECTIONS, "return 1", {}, "opens and closes connections"),
}


def post(path, body):
    text = json.dumps(body)
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(text)}\r\n\r\n{text}").encode()


class Connection:
    """One that sends the same thing again as soon as it is answered. Pieces are small: a system call is
    not interrupted everywhere, and who waits for the processor meanwhile would wait for this client."""

    PIECE_BYTES = 16 * 1024

    def __init__(self, selector, address, sent, stays=True):
        self.selector, self.address, self.sent, self.stays = selector, address, sent, stays
        self.socket = None
        self.open()

    def open(self):
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(self.address)
        self.selector.register(self.socket, selectors.EVENT_WRITE, self)
        self.begin()

    def begin(self):
        self.unsent, self.head, self.missing = memoryview(self.sent), b"", None
        self.selector.modify(self.socket, selectors.EVENT_WRITE, self)

    def again(self):
        self.selector.unregister(self.socket)
        self.socket.close()
        self.open()

    def on_ready(self, events):
        try:
            if events & selectors.EVENT_WRITE:
                self.write()
            else:
                self.read()
        except BlockingIOError:
            pass
        except OSError:
            time.sleep(0.001)
            self.again()

    def write(self):
        self.unsent = self.unsent[self.socket.send(self.unsent[:self.PIECE_BYTES]):]
        if not self.unsent:
            self.selector.modify(self.socket, selectors.EVENT_READ, self)

    def read(self):
        data = self.socket.recv(self.PIECE_BYTES)
        if not data:
            raise ConnectionResetError
        if self.missing is None:
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            self.missing = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        self.missing -= len(data)
        if self.missing == 0:
            (self.begin if self.stays else self.again)()


class Listener(Connection):
    """A WebSocket that takes all there is, or it would be closed for being slow."""

    def read(self):
        while self.socket.recv(self.PIECE_BYTES):
            pass
        raise ConnectionResetError


def upgrade(panel):
    return (f"GET /panels/{panel}/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode()


def create(host, port, names, handler):
    connection = http.client.HTTPConnection(host, port, timeout=10)
    for name in names:
        connection.request("POST", "/panels", json.dumps({"id": name, "kind": "bench", "tools": [tool(handler)]}),
                           {"Content-Type": "application/json"})
        connection.getresponse().read()


def stand_back():
    """The least share of the processors: of this process in its session, and of the session."""
    os.nice(19)
    autogroup = pathlib.Path("/proc/self/autogroup")
    if autogroup.exists():
        autogroup.write_text("19", encoding="ascii")


def main(kind, host, port):
    stand_back()
    panels, connections, handler, arguments, _ = KINDS[kind]
    names = [f"hog{number}" for number in range(panels)]
    create(host, port, names, handler)
    selector, address = selectors.DefaultSelector(), (host, port)
    for number in range(connections):
        if kind == "sockets":
            Connection(selector, address, b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n", stays=False)
        else:
            Connection(selector, address, post(f"/panels/{names[number % panels]}/trigger/hog", arguments))
    for _ in range(CONNECTIONS if kind == "events" else 0):
        Listener(selector, address, upgrade(names[0]))
    print("ready", flush=True)
    while True:
        for key, events in selector.select():
            key.data.on_ready(events)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
