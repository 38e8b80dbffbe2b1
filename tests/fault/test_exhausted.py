# SPDX-License-Identifier: Apache-2.0
"""Memory, descriptors, the disk behind the log, and time itself run out or jump. The server says so
where it can, spins nowhere, and goes on when they are back."""
import contextlib
import fcntl
import json
import os
import pathlib
import signal
import socket
import threading
import time

from control import ALLOC, FOR_EVER, KERNEL, wait_for
from scenario import Client

HOUR_MS = 3600 * 1000


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_memory_for_a_while(installation, serve):
    server = serve()
    client = Client(server)
    client.settle("warm")
    for number in range(3):
        installation.control.arm(KERNEL, ALLOC, 1 + 20 * number, FOR_EVER)
        client.may_wait = True  # where its connection is lost, there is no memory to accept another
        client.round(number, sockets=False)
        client.may_wait = False
        installation.control.disarm()
        server.check_alive()
        client.settle(number)
    client.close()
    server.stop_cleanly()


def test_no_descriptors(serve):
    """More clients than descriptors: those past them are sent away or wait, the server does not spin, and
    serves newcomers when descriptors are free again."""
    server = serve(limits="ulimit -n 64", env={"WORKERS": "2"})
    client = Client(server)
    client.settle("before")
    others = []
    for _ in range(200):
        others.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
    client.settle("meanwhile")
    before, began = cpu_seconds(server.process.pid), time.monotonic()
    time.sleep(1)
    used = cpu_seconds(server.process.pid) - before
    assert used < 0.5 * (time.monotonic() - began), f"{used} s of processor time for nothing"
    for one in others:
        one.close()
    client.settle("after")
    client.close()
    server.stop_cleanly()


def test_accepting_without_a_single_descriptor(installation, serve):
    """The limit falls below what is open: every new client is sent away at once, by the spare one."""
    server = serve()
    client = Client(server)
    client.settle("before")
    highest = max(int(name) for name in os.listdir(f"/proc/{server.process.pid}/fd"))
    limit(server.process.pid, highest + 1)
    fill = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(40)]
    ended = 0
    for one in fill:
        one.settimeout(30)
        try:
            one.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            ended += one.recv(100) == b""
        except ConnectionError:
            ended += 1
    assert ended > 0, "there were descriptors for all"
    before, began = cpu_seconds(server.process.pid), time.monotonic()
    time.sleep(1)
    assert cpu_seconds(server.process.pid) - before < 0.5 * (time.monotonic() - began)
    for one in fill:
        one.close()
    limit(server.process.pid, 1024)
    client.settle("after")
    client.close()
    server.stop_cleanly()


class Crowd:
    """Clients that come as fast as they can, and stay: they take every descriptor that gets free."""

    def __init__(self, port):
        self.port, self.over, self.sockets = port, False, []
        self.thread = threading.Thread(target=self.come)
        self.thread.start()

    def come(self):
        while not self.over:
            with contextlib.suppress(OSError):
                self.sockets.append(socket.create_connection(("127.0.0.1", self.port), timeout=10))
            time.sleep(0.001)

    def leave(self):
        self.over = True
        self.thread.join()
        for one in self.sockets:
            one.close()


def test_starting_processes_without_descriptors(serve):
    """All sandbox processes are lost, and clients take the descriptors that new ones would need: the server
    does not wait for what it has not got, and has workers again as soon as there are descriptors."""
    server = serve()
    client = Client(server)
    for number in range(8):
        client.settle(f"before {number}")
        limit(server.process.pid, len(os.listdir(f"/proc/{server.process.pid}/fd")) + number)
        crowd = Crowd(server.port)
        os.kill(server.sandbox_zygote(), signal.SIGKILL)
        for _ in range(20):
            client.ask("GET", "/health")  # sent away perhaps, but not left without an answer
            time.sleep(0.05)
        limit(server.process.pid, 1024)
        crowd.leave()
        client.settle(f"after {number}")
    client.close()
    server.stop_cleanly()


def limit(pid, descriptors):
    import resource
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors, hard))


def test_too_few_descriptors_to_start(serve):
    """It says so, whatever it lacks; the control starts."""
    for descriptors in range(8, 40, 4):
        server = serve(wait=False, limits=f"ulimit -n {descriptors}")
        assert wait_for(lambda: server.logs("listening") or server.process.poll() is not None)
        if server.process.poll() is not None:
            server.wait()
            server.ended_well((1,))
            assert server.errors or server.lines, f"said nothing with {descriptors}"
        else:
            server.stop()
    server = serve(limits="ulimit -n 64", env={"WORKERS": "2"})
    server.stop_cleanly()


def test_the_log_goes_nowhere(serve, tmp_path):
    """Standard output is a full disk: lines are lost, triggers are not."""
    server = serve(wait=False, limits="exec > /dev/full")
    server.url = f"http://127.0.0.1:{wait_for_port(server)}"
    client = Client(server)
    assert wait_for(lambda: client.ask("GET", "/ready") is not None)
    client.settle("full")
    client.close()
    assert server.stop() in (0, 1)


def test_nobody_reads_the_log(serve, tmp_path):
    """Standard output is a pipe that is full: triggers go on, and who reads again is told what is missing."""
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 4096)
    server = serve(env={"LOG_LEVEL": "debug"}, wait=False, limits=f"exec > {pipe}")
    server.url = f"http://127.0.0.1:{wait_for_port(server)}"
    client = Client(server)
    assert wait_for(lambda: client.ask("GET", "/ready") is not None)
    began = time.monotonic()
    client.settle("full")
    for number in range(100):
        assert client.trigger("mark", f"unread{number}")["status"] == "success"
    assert time.monotonic() - began < 60, "every line was waited for"
    text = bytearray()
    assert wait_for(lambda: client.ask("GET", "/ready") and read_more(end, text) and b"lines lost" in text[:text.rfind(b"\n")])
    lost = [json.loads(one) for one in text.split(b"\n")[:-1] if b"lines lost" in one]
    assert lost[0]["count"] > 50 and lost[0]["component"] == "log"
    client.settle("read")
    client.close()
    assert server.stop() == 0
    os.close(end)


def read_more(end, text):
    with contextlib.suppress(BlockingIOError):
        text += os.read(end, 1 << 16)
    return text


def port_of(pid):
    """Where a process listens, as the system says: its log is not there to be read."""
    with contextlib.suppress(OSError):
        own = {os.readlink(one) for one in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                return int(fields[1].rpartition(":")[2], 16)
    return None


def wait_for_port(server):
    assert wait_for(lambda: port_of(server.process.pid))
    return port_of(server.process.pid)


def test_the_clock_steps(installation, serve):
    """An hour ahead, and two back, while handlers sleep and compute."""
    server = serve()
    client = Client(server)
    client.settle("before")
    for step in (HOUR_MS, -HOUR_MS, 0):
        results = []
        sleeper = Client(server)
        thread = threading.Thread(
            target=lambda: results.append(sleeper.ask("POST", "/panels/p/trigger/rest", json={"id": f"napc{step}", "ms": 200})))
        thread.start()
        assert wait_for(lambda: f"napc{step}" in client.state()["marks"])
        installation.control.set(clock_ms=step)
        thread.join()
        assert results[0].json()["status"] == "success", results[0].text
        sleeper.close()
        client.model.certain.append(f"napc{step}")
        client.settle(step)
        activity = client.ask("GET", "/panels/p").json()["lastActivity"]
        shown = time.mktime(time.strptime(activity[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        assert abs(shown - time.time() - step / 1000) < 60, activity
    client.close()
    server.stop_cleanly()
