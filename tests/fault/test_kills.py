# SPDX-License-Identifier: Apache-2.0
"""Workers, the zygote and the kernel are killed at every host call and every system call of a worker,
while other panels' triggers are at work. What was acknowledged stays; nothing is applied twice; whoever
was killed comes back, or takes the others with it."""
import os
import signal
import threading

from control import DIE, HOLD, WORKER, places, wait_for
from everywhere import count_places, in_rounds
from scenario import Client


class Load:
    """Another panel that is busy meanwhile; its model holds as well."""

    def __init__(self, server):
        self.client = Client(server, "load")
        assert self.client.create().status_code == 201
        self.over, self.problems = threading.Event(), []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        number = 0
        try:
            while not self.over.is_set():
                number += 1
                self.client.trigger("nap" if number % 8 == 0 else "mark", f"nap{number}" if number % 8 == 0
                                    else f"m{number}", 2 if number % 8 == 0 else 1)
                if number % 100 == 0:
                    self.client.settle(f"l{number}")
                    self.client.start_over()
        except AssertionError as error:
            self.problems.append(error)

    def stop(self):
        self.over.set()
        self.thread.join()
        assert not self.problems, self.problems
        self.client.settle("end")
        self.client.close()


def test_a_worker_dies_at_every_call(installation, serve):
    server = serve(env={"WORKERS": "2"})
    client = Client(server)
    count = count_places(installation.control, client, WORKER, DIE)
    assert count > 40
    load = Load(server)
    in_rounds(installation.control, server, client, WORKER, DIE, count)
    load.stop()
    server.stop_cleanly()


def hold(control, client, at):
    """A round during which a worker stops at the boundary. Returns the thread, and whether it did."""
    control.arm(WORKER, HOLD, at)
    thread = threading.Thread(target=client.round, args=(at,))
    thread.start()
    assert wait_for(lambda: control.held or not thread.is_alive())
    return thread, bool(control.held)


def test_the_zygote_dies_at_every_host_call(installation, serve):
    control = installation.control
    server = serve(env={"WORKERS": "2"})
    client = Client(server)
    count = count_places(control, client, WORKER, HOLD)
    assert count > 20
    for at in places(count, 2):
        thread, held = hold(control, client, at)
        before = server.sandbox_zygote()
        os.kill(before, signal.SIGKILL)
        control.disarm()
        thread.join()
        assert held or at > count
        server.check_alive()
        client.settle(at)
        assert server.sandbox_zygote() != before
        client.start_over()
    server.stop_cleanly()


def test_the_kernel_dies_at_every_host_call(installation, serve):
    """Its state is gone with it; nobody else may be left, not even a worker that hears nothing."""
    control = installation.control
    for at in [1, 2, 3, 7, 12, 19]:
        server = serve(env={"WORKERS": "2"})
        client = Client(server)
        thread, held = hold(control, client, at)
        assert held
        server.kill()
        assert installation.wait_until_gone(), "processes outlive the kernel"
        control.disarm()
        thread.join()
        client.close()
