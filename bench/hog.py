# SPDX-License-Identifier: Apache-2.0
"""One tenant that takes what it can get: keeps requests of one kind at work until it is killed. Runs at
the lowest priority, so that what is measured beside it is what the server lets it take, not what its
client takes of the processors.

usage: hog.py KIND HOST PORT
"""
import http.client
import json
import os
import socket
import sys
import threading
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


def request(connection, method, path, body):
    connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
    return connection.getresponse().read()


def trigger(host, port, panel, body):
    path, headers = f"/panels/{panel}/trigger/hog", {"Content-Type": "application/json"}
    text = json.dumps(body)
    while True:
        connection = http.client.HTTPConnection(host, port, timeout=60)
        try:
            while True:
                connection.request("POST", path, text, headers)
                connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.01)


def churn(host, port):
    while True:
        try:
            with socket.create_connection((host, port)) as one:
                one.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
                one.recv(100)
        except OSError:
            time.sleep(0.01)


def listen(host, port, panel):
    with socket.create_connection((host, port)) as one:
        one.sendall((f"GET /panels/{panel}/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
        while one.recv(1 << 20):
            pass


def main(kind, host, port):
    os.nice(19)
    panels, connections, handler, arguments, _ = KINDS[kind]
    names = [f"hog{number}" for number in range(panels)]
    connection = http.client.HTTPConnection(host, port, timeout=10)
    for name in names:
        request(connection, "POST", "/panels", {"id": name, "kind": "bench", "tools": [tool(handler)]})
    jobs = [(trigger, (host, port, names[number % panels], arguments)) for number in range(connections)]
    if kind == "sockets":
        jobs = [(churn, (host, port))] * connections
    if kind == "events":
        jobs += [(listen, (host, port, names[0]))] * CONNECTIONS
    for function, parameters in jobs:
        threading.Thread(target=function, args=parameters, daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
