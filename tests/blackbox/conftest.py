# SPDX-License-Identifier: Apache-2.0
"""The harness of the black-box tests: starts the real server on a free port and talks to it.

The build under test is named by NX_BIN_DIR, or NX_BUILD_DIR (as CTest sets it), else build/release.
"""
import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD_DIR = pathlib.Path(os.environ.get("NX_BUILD_DIR", ROOT / "build/release"))
BIN_DIR = pathlib.Path(os.environ.get("NX_BIN_DIR", BUILD_DIR / "bin"))
NEXUS = BIN_DIR / "nexus"

COUNTER = """<NexusPanel id="counter" title="Counter">
  <Data><State name="count" type="number" default="0"/></Data>
  <Logic>
    <Extension name="time"/>
    <Tool name="increment">
      <Arg name="by" type="number" required="false" default="1"/>
      <Capabilities>
        <Capability type="state:read" scope="count"/>
        <Capability type="state:write" scope="count"/>
        <Capability type="events:emit" scope="incremented"/>
      </Capabilities>
      <Handler>
        $state.count = $state.count + $args.by;
        $emit('incremented', $state.count);
        return $state.count;
      </Handler>
    </Tool>
    <Tool name="nap">
      <Capabilities>
        <Capability type="state:read" scope="count"/>
        <Capability type="state:write" scope="count"/>
        <Capability type="ext" scope="time"/>
      </Capabilities>
      <Handler>
        await $ext.time.sleep($args.ms);
        $state.count = $state.count + 1;
        return 'rested';
      </Handler>
    </Tool>
    <Tool name="fail">
      <Handler>throw new Error('on purpose');</Handler>
    </Tool>
    <Tool name="echo">
      <Handler>return { args: $args, requestId: $scope.requestId };</Handler>
    </Tool>
    <Tool name="big">
      <Handler>return 'x'.repeat($args.size);</Handler>
    </Tool>
    <Tool name="measure">
      <Handler>return $args.text.length;</Handler>
    </Tool>
    <Tool name="spin">
      <Handler>for (;;) {}</Handler>
    </Tool>
  </Logic>
</NexusPanel>
"""


def is_sanitized():
    return "NX_SANITIZE:BOOL=ON" in (BUILD_DIR / "CMakeCache.txt").read_text(encoding="utf-8").splitlines()


def processes():
    """{pid: (parent, state)} of all there are."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            # pid (name) state parent …; the name may hold anything
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # ended in the meantime
        found[int(folder.name)] = (int(parent), state)
    return found


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running_from(folder):
    """The processes whose program is in the folder."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            program = os.readlink(process / "exe")
        except OSError:  # ended, or somebody else's
            continue
        if program.startswith(str(folder)):
            found.append(int(process.name))
    return found


class Server:
    """A running `nexus serve`. A wrapper is a command that prepares the ground and executes what follows."""

    def __init__(self, *arguments, env=None, wait=True, wrapper=(), program=NEXUS):
        environment = {"PATH": os.environ["PATH"], "HTTP_PORT": "0", "WORKERS": "1"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        environment.update(env or {})
        self.process = subprocess.Popen([*wrapper, str(program), "serve", *map(str, arguments)],
                                        env=environment, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace")
        self.lines, self.errors = [], []
        self.news = queue.Queue()
        self.readers = [threading.Thread(target=self._read, args=pair, daemon=True) for pair in
                        ((self.process.stdout, self.lines), (self.process.stderr, self.errors))]
        for reader in self.readers:
            reader.start()
        self.url = self.wait_for_log("listening")["url"] if wait else None

    def _read(self, stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))
            self.news.put(line)

    def logs(self, message=None):
        """The log lines so far, those that say `message` if given."""
        parsed = [json.loads(line) for line in list(self.lines)]
        return [line for line in parsed if message is None or line["msg"] == message]

    def wait_for_log(self, message, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.logs(message)
            if found:
                return found[0]
            if self.process.poll() is not None and not any(r.is_alive() for r in self.readers):
                break
            try:
                self.news.get(timeout=0.1)
            except queue.Empty:
                pass
        raise AssertionError(f"no log line '{message}':\n" + "\n".join(self.lines + self.errors))

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    def request(self, method, path, **options):
        options.setdefault("timeout", 60)
        return requests.request(method, self.url + path, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def figure(self, name):
        """One of /metrics, by its name and labels as they stand there."""
        return next(float(line[len(name):]) for line in self.get("/metrics").text.splitlines()
                    if line.startswith(name + " "))

    def wait_for_instances(self, state, count=1):
        wait_until(lambda: self.figure(f'nexus_instances{{state="{state}"}}') == count)

    def trigger(self, panel, tool, args=None, **options):
        return self.post(f"/panels/{panel}/trigger/{tool}", json=args or {}, **options)

    def create(self, source=COUNTER):
        return self.post("/panels", data=source.encode(),
                         headers={"Content-Type": "application/xml"})

    def connect(self, seconds=30):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def fd_count(self):
        """Open descriptors, but for the two of each worker: spare ones come when one is slow. Counted
        again when a worker came or went meanwhile."""
        while True:
            workers = self.workers()
            count = len(os.listdir(f"/proc/{self.process.pid}/fd")) - 2 * len(workers)
            if workers == self.workers():
                return count

    def fds_at_rest(self, seconds=10):
        """How many are open when connections that ended, and workers that begin, have come to rest."""
        deadline, counts = time.monotonic() + seconds, []
        while time.monotonic() < deadline and (len(counts) < 6 or len(set(counts[-6:])) > 1):
            counts.append(self.fd_count())
            time.sleep(0.05)
        return counts[-1]

    def wait_for_fds(self, at_most, seconds=60):
        """Connections that ended are really gone. One count decides: the next may fall between the end
        of a worker and that of its descriptors."""
        wait_until(lambda: self.fd_count() <= at_most, seconds)

    def workers(self):
        """The processes that run handlers: those of its children's children."""
        every = processes()
        return [pid for pid, (parent, state) in every.items()
                if state != "Z" and every.get(parent, (0,))[0] == self.process.pid]

    def only_worker(self):
        """The worker of a server that has run nothing yet: what listens may still be starting it."""
        wait_until(lambda: len(self.workers()) == 1 and self.get("/ready").status_code == 200)
        return self.workers()[0]

    def stop(self, signum=signal.SIGTERM, seconds=60):
        """Ends it and returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.wait(seconds)

    def wait(self, seconds=60):
        """Waits for its end, which is on its way, and returns the exit code."""
        code = self.process.wait(seconds)
        for reader in self.readers:
            reader.join(seconds)
        return code

    def stop_cleanly(self):
        code = self.stop()
        assert code == 0, f"exit code {code}:\n" + "\n".join(self.errors)
        assert not [line for line in self.errors if "Sanitizer" in line or "runtime error" in line]

    def kill(self):
        self.process.kill()
        self.process.wait()


class Response:
    """One response as it stood on the wire."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json()["error"]["code"]


class Wire:
    """A connection on which a test writes its bytes itself."""

    def __init__(self, server, seconds=30):
        self.socket = server.connect(seconds)
        self.received = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def read(self, has_body=True):
        """The next response, or None when the server closed the connection before one."""
        line = self.received.readline()
        if not line:
            return None
        version, status = line.split(b" ", 2)[:2]
        assert version == b"HTTP/1.1"
        headers = {}
        for line in iter(self.received.readline, b"\r\n"):
            name, value = line.decode().rstrip("\r\n").split(": ", 1)
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        size = int(headers.get("content-length", 0)) if has_body else 0
        return Response(int(status), headers, self.received.read(size))

    def at_end(self):
        """Whether the server closes the connection without a word more."""
        try:
            return self.received.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.received.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture
def wire(server):
    """Opens connections to the server; closes them at the end."""
    opened = []

    def open_one(data=b"", seconds=30):
        opened.append(Wire(server, seconds))
        return opened[-1].send(data)
    yield open_one
    for one in opened:
        one.close()


@pytest.fixture(scope="module")
def module_server():
    one = Server()
    yield one
    one.stop_cleanly()


@pytest.fixture
def server(module_server):
    """The module's server, with a fresh counter panel and no other."""
    for panel in module_server.get("/panels").json()["panels"]:
        assert module_server.request("DELETE", f"/panels/{panel['id']}").status_code == 204
    assert module_server.create().status_code == 201
    return module_server


@pytest.fixture
def start():
    """Starts servers of its own for a test; whatever is left is killed at the end."""
    started = []

    def start_one(*arguments, **options):
        started.append(Server(*arguments, **options))
        return started[-1]
    yield start_one
    for one in started:
        if one.process.poll() is None:
            one.kill()
