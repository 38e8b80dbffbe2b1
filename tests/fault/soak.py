# SPDX-License-Identifier: Apache-2.0
"""A server under mixed load for a long time, while its workers are killed, and now and then its zygote.
Prints what grew, what was lost, and how latency drifted. Exit status 1 if anything grew or was lost.

usage: soak.py [MINUTES]   (default 30; `make soak` takes SOAK_MINUTES)
"""
import os
import pathlib
import random
import signal
import statistics
import sys
import threading
import time

import conftest  # noqa: F401  what scenario.py's WebSocket client wants to find
from control import blackbox, wait_for
from scenario import Client

CLIENTS = 8
SAMPLE_S = 5
CHECK_EVERY = 60             # actions of a client between two looks at its panel's state
RENEW_EVERY = 5              # looks, between two panels
KILL_S, ZYGOTE_S = (0.5, 3), (40, 80)
TIMEOUT_MS = 300
# What growth between the second and the last quarter of the time is more than noise.
MEMORY_GROWTH_MB, FD_GROWTH = 4, 8


def pss_mb(pid):
    """Without pages of files: how much of those is a process's share depends on who else runs."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Pss_Anon:", "Pss_Shmem:"))) / 1024


class Soak:
    def __init__(self, minutes):
        self.server = blackbox.Server(env={"WORKERS": "2", "TIMEOUT_MS": str(TIMEOUT_MS)})
        self.pid = self.server.process.pid
        self.began = time.monotonic()
        self.ends = self.began + 60 * minutes
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.samples, self.latencies = [], []
        self.counts = dict.fromkeys(("acknowledged", "failed", "unknown", "suspended", "sockets", "panels",
                                     "checks", "workers killed", "zygotes killed"), 0)
        self.problems = []

    def count(self, name, number=1):
        with self.lock:
            self.counts[name] += number

    def problem(self, text):
        with self.lock:
            self.problems.append(text)
        self.over.set()

    # ---- Load

    def act(self, client, name):
        kind = random.choices(["mark", "nap", "async", "watch", "spin", "fail", "look"],
                              [60, 10, 5, 5, 1, 5, 14])[0]
        began = time.monotonic()
        result = None
        if kind == "mark":
            result = client.trigger("mark", name)
            self.latencies.append(time.monotonic() - began)
        elif kind in ("nap", "async"):
            result = client.trigger("nap", "nap" + name, 2, **({"Prefer": "respond-async"} if kind == "async" else {}))
            self.count("suspended")
        elif kind == "watch":
            client.watch(name)
            self.count("sockets")
        elif kind in ("spin", "fail"):
            client.ask("POST", f"/panels/{client.panel}/trigger/{kind}", json={})
        else:
            client.ask("GET", random.choice(["/health", "/metrics", "/panels", "/ready"]))
        if result:
            status = result.get("status", "error")
            self.count({"success": "acknowledged", "suspended": "acknowledged",
                        "unknown": "unknown"}.get(status, "failed"))

    def check(self, client):
        """The panel at rest holds what the model says."""
        path = f"/panels/{client.panel}"
        if not wait_for(lambda: client.ask("GET", path).json()["status"] == "active", 30):
            raise AssertionError(f"{client.panel} does not come to rest")
        client.model.check(client.state())
        self.count("checks")

    def load(self, number):
        client, action = None, 0
        try:
            while not self.over.is_set():
                if client is None:
                    client = Client(self.server, f"soak{number}")
                    assert client.create().status_code == 201
                    self.count("panels")
                for _ in range(CHECK_EVERY):
                    action += 1
                    self.act(client, f"{number}.{action}")
                self.check(client)
                client.start_over()
                if action % (CHECK_EVERY * RENEW_EVERY) == 0:
                    assert client.delete().status_code == 204
                    client.close()
                    client = None
            if client:
                self.check(client)
                client.close()
        except AssertionError as error:
            self.problem(f"client {number}: {error}")
        except Exception as error:  # a client that stops would go unnoticed
            self.problem(f"client {number}: {type(error).__name__}: {error}")

    # ---- Harm

    def zygote_and_workers(self):
        every = blackbox.processes()
        for zygote in [pid for pid, (parent, _) in every.items() if parent == self.pid]:
            workers = [pid for pid, (parent, state) in every.items() if parent == zygote and state != "Z"]
            if workers:
                return zygote, workers
        return None, []

    def kill(self):
        zygote_at = time.monotonic() + random.uniform(*ZYGOTE_S)
        while not self.over.wait(random.uniform(*KILL_S)):
            zygote, workers = self.zygote_and_workers()
            try:
                if zygote and time.monotonic() > zygote_at:
                    os.kill(zygote, signal.SIGKILL)
                    zygote_at = time.monotonic() + random.uniform(*ZYGOTE_S)
                    self.count("zygotes killed")
                elif workers:
                    os.kill(random.choice(workers), signal.SIGKILL)
                    self.count("workers killed")
            except ProcessLookupError:
                continue

    # ---- Watching

    def sample(self):
        if self.server.process.poll() is not None:
            self.problem(f"the kernel ended with {self.server.process.returncode}: " +
                         "\n".join(self.server.errors[-20:]))
            return
        every = blackbox.processes()
        family, more = {self.pid}, True
        while more:
            more = {pid for pid, (parent, _) in every.items() if parent in family} - family
            family |= more
        taken, self.latencies = self.latencies, []
        self.samples.append({
            "s": time.monotonic() - self.began, "kernel MB": pss_mb(self.pid),
            "others MB": sum(pss_mb(pid) for pid in family - {self.pid}),
            "descriptors": len(os.listdir(f"/proc/{self.pid}/fd")), "processes": len(family),
            "zombies": sum(every.get(pid, (0, ""))[1] == "Z" for pid in family),
            "p99 ms": 1000 * statistics.quantiles(taken, n=100)[98] if len(taken) > 100 else None})

    def run(self):
        threads = [threading.Thread(target=self.load, args=(number,)) for number in range(CLIENTS)]
        threads.append(threading.Thread(target=self.kill))
        for thread in threads:
            thread.start()
        while not self.over.wait(SAMPLE_S):
            self.sample()
            if time.monotonic() > self.ends:
                self.over.set()
        for thread in threads:
            thread.join()
        self.rest()
        return self.report()

    def rest(self):
        """Without load and without harm: nothing may be left."""
        if self.server.process.poll() is not None:
            return
        for panel in self.server.get("/panels").json()["panels"]:
            self.server.request("DELETE", f"/panels/{panel['id']}")
        if not wait_for(lambda: not [1 for pid, (parent, state) in blackbox.processes().items() if state == "Z" and (
                parent == self.pid or blackbox.processes().get(parent, (0,))[0] == self.pid)], 10):
            self.problem("zombies stay")
        self.sample()
        self.last = self.samples.pop()
        code = self.server.stop()
        if code:
            self.problem(f"exit status {code} at the end")

    def quarters(self, name):
        """The medians of each quarter of the time."""
        values = [sample[name] for sample in self.samples if sample[name] is not None]
        size = max(1, len(values) // 4)
        return [statistics.median(values[at:at + size] or values) for at in (0, size, 2 * size, len(values) - size)]

    def slope_per_hour(self, name):
        points = [(sample["s"] / 3600, sample[name]) for sample in self.samples[len(self.samples) // 4:]]
        return statistics.linear_regression(*zip(*points)).slope if len(points) > 1 else 0.0

    def report(self):
        print(f"{(time.monotonic() - self.began) / 60:.0f} minutes, {CLIENTS} clients")
        for name, number in self.counts.items():
            print(f"  {name:<16} {number}")
        print(f"\n{'medians of quarters':<20}" + "".join(f"{n:>10}" for n in ("1st", "2nd", "3rd", "4th", "per hour")))
        for name in ("kernel MB", "others MB", "descriptors", "processes", "zombies", "p99 ms"):
            slope = "" if name == "p99 ms" else f"{self.slope_per_hour(name):>10.2f}"
            print(f"{name:<20}" + "".join(f"{value:>10.1f}" for value in self.quarters(name)) + slope)
        if hasattr(self, "last"):
            print(f"{'at rest':<20}kernel {self.last['kernel MB']:.1f} MB, others {self.last['others MB']:.1f} MB, "
                  f"{self.last['descriptors']} descriptors, {self.last['zombies']} zombies")
        for name, most in (("kernel MB", MEMORY_GROWTH_MB), ("descriptors", FD_GROWTH), ("zombies", 1)):
            _, second, _, last = self.quarters(name)
            if last - second > most:
                self.problems.append(f"{name} grew from {second:.1f} to {last:.1f}")
        for text in self.problems:
            print("PROBLEM: " + text)
        print("nothing lost, nothing doubled, nothing grew" if not self.problems else "failed")
        return 1 if self.problems else 0


if __name__ == "__main__":
    sys.exit(Soak(float(sys.argv[1]) if len(sys.argv) > 1 else 30).run())
