# SPDX-License-Identifier: Apache-2.0
"""What a worker does, in process (bench_engine.c), and where the time of the counter's call goes."""
import collections
import subprocess

from report import Figure

PROCESSES = 7  # each lays out its memory anew
ROUNDS = 3     # within each
SECTION = "inside one worker, per call"


def samples(program):
    """Name -> microseconds per call, one sample for each process and round."""
    found = collections.defaultdict(list)
    for _ in range(PROCESSES):
        out = subprocess.run([program, "engine", str(ROUNDS)], check=True, capture_output=True, text=True)
        for line in out.stdout.splitlines():
            name, nanoseconds = line.split("\t")
            found[name].append(float(nanoseconds) / 1000)
    return found


def measure(program):
    took = samples(program)

    def figure(label, name, **rest):
        return Figure(SECTION, label, "µs", took[name], **rest)

    def part(label, whole, without):
        """What `whole` takes more than `without`, round by round."""
        return Figure("of which", label, "µs", [a - b for a, b in zip(took[whole], took[without])])

    return [
        figure("counter handler: frame, pristine call, frame", "counter"),
        figure("the same without frames", "counter without frames", goal=2.0),
        figure("the same, cold (bytecode loaded into a new instance)", "counter, cold"),
        figure("the same, warm, in an instance that another handler used", "counter, crowd"),
        figure("handler that does nothing", "empty handler"),
        figure("handler that awaits a value it has", "await"),
        figure("handler that waits for an extension: both segments", "suspend and resume"),
        figure("compiling the counter handler", "compile"),
        figure("fetching and resetting an instance", "reset"),
        part("reading and writing frames", "counter", "counter without frames"),
        part("reading one state key", "state read", "empty handler"),
        part("writing one state key", "state write", "empty handler"),
        part("arguments, the call, its result", "empty handler", "reset"),
    ]
