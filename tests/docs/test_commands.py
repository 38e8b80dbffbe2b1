# SPDX-License-Identifier: Apache-2.0
"""Runs what the documents tell a reader to type, and compares what they say it prints.

The blocks of one document run in order in one shell, in an empty folder that holds what the commands
need of the repository: `examples/`, and `build/release/bin` with the programs under test. The server
listens on a free port: 3000 in a document is that port here.
"""
import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import blocks
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN_DIR = pathlib.Path(os.environ.get("NX_BUILD_DIR", ROOT / "build/release")) / "bin"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("clients/*/*.md")])
BLOCK_SECONDS = 180

# Commands that cannot run in a test, by document and first line, each with its reason.
NOT_RUN = {
    ("README.md", "make run     # builds what is missing, serves examples/ on 127.0.0.1:3000"):
        "builds the whole tree",
    ("CONTRIBUTING.md", "make build     # installs the packages it needs (root or sudo), builds build/release/bin/nexus"):
        "builds the whole tree, and tests it",
    ("docs/deploy.md", "make image     # localhost/nexus-runtime, by podman or docker"):
        "builds the image; make image-test does",
    ("docs/deploy.md", "chmod 400 jwt-secret && sudo chown 1000:1000 jwt-secret"):
        "takes the image; tests/image/test_deployed.py runs it",
    ("docs/deploy.md", "docker compose -f deploy/compose.yaml up -d"):
        "takes the image; tests/image/test_deployed.py runs the file",
    ("docs/deploy.md", "kubectl create namespace nexus-dev"):
        "takes a cluster; tests/deploy holds the manifests against the API's schemas",
    ("docs/deploy.md", "scripts/make-secret.sh | kubectl apply -f -"):
        "takes a cluster",
    ("docs/deploy.md", "scripts/make-secret.sh --raw | sudo tee jwt-secret > /dev/null    "
                       "# into the file that is mounted, not a new one"):
        "takes the image; tests/image/test_deployed.py runs it",
    ("docs/deploy.md", "scripts/make-secret.sh --raw | sudo install -m 600 /dev/stdin /etc/nexus/jwt-secret"):
        "takes root and systemd",
    ("docs/hardening.md", "make image-test    # builds the image, looks into it, runs it as production does, attacks it"):
        "takes podman, and minutes; .ci/run runs it",
    ("docs/deploy.md", "make build"):
        "takes root and systemd; scripts/systemd-test.sh does it in a container",
    ("docs/deploy.md", "sudo scripts/systemd-test.sh    # the unit under a real systemd, in a container with this "
                       "machine's /usr; podman"):
        "takes root and podman; .ci/run runs it",
    ("CONTRIBUTING.md", "cmake --preset dev && cmake --build --preset dev"):
        "builds the whole tree",
    ("clients/js/README.md", "npm install ws"): "the tests have it, in the version that their lock file names",
    ("clients/js/README.md", "node --test clients/js/test/"): "a suite of its own: tests/blackbox/test_client_js.py",
}


def name_of(path):
    return str(path.relative_to(ROOT))


def documents_with_commands():
    return [path for path in DOCUMENTS if any(
        (name_of(path), block.first_line) not in NOT_RUN for block in blocks.commands(path))]


def free_port():
    """One below those that the system gives to whoever asks for any: nobody is given it meanwhile."""
    while True:
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", random.randrange(12000, 32000)))
            return one.getsockname()[1]


class Shell:
    """One bash that reads blocks and says what each printed, and which of its commands failed."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0
        # in the document -> here
        self.ports = {"3000": free_port(), "3001": free_port(), "8000": free_port()}
        (folder / "build/release").mkdir(parents=True)
        (folder / "build/release/bin").symlink_to(BIN_DIR)
        for name in ("examples", "clients"):
            shutil.copytree(ROOT / name, folder / name)
        (folder / "node_modules").symlink_to(ROOT / "build/js-tools/node_modules")
        shutil.copytree(ROOT / "deploy/k8s", folder / "deploy/k8s")  # a document adds an overlay
        (folder / "deploy/systemd").symlink_to(ROOT / "deploy/systemd")
        (folder / "build/release/compile_commands.json").symlink_to(BIN_DIR.parent / "compile_commands.json")
        (folder / "scripts").symlink_to(ROOT / "scripts")
        self.process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, text=True, start_new_session=True,
            env={"PATH": f"{BIN_DIR}:{os.environ['PATH']}", "HOME": str(folder), "LC_ALL": "C.UTF-8",
                 "HTTP_PORT": str(self.ports["3000"]), "WS_PORT": str(self.ports["3001"]), "WORKERS": "1"})

    def run(self, text):
        """(what the block printed, the commands that failed)"""
        self.count += 1
        script, out, failed, done = (self.folder / f".{self.count}.{suffix}"
                                     for suffix in ("sh", "out", "failed", "done"))
        script.write_text(self.with_ports(text, self.ports), encoding="utf-8")
        self.process.stdin.write(
            f"set -o pipefail; trap 'echo \"$BASH_COMMAND\" >> {failed}' ERR\n"
            f". {script} > {out} 2>&1\n"
            f"trap - ERR; : > {done}\n")
        self.process.stdin.flush()
        deadline = time.monotonic() + BLOCK_SECONDS
        while not done.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return out.read_text(encoding="utf-8", errors="replace"), ["the shell did not come back"]
            time.sleep(0.01)
        if "nexus serve" in text and text.rstrip().endswith("&"):
            self.wait_for_server()
        output = out.read_text(encoding="utf-8", errors="replace")
        failures = failed.read_text(encoding="utf-8").splitlines() if failed.exists() else []
        return self.with_ports(output, {here: there for there, here in self.ports.items()}), failures

    @staticmethod
    def with_ports(text, ports):
        for old, new in ports.items():
            text = re.sub(rf"(:|127\.0\.0\.1 ){old}\b", rf"\g<1>{new}", text)
        return text

    def wait_for_server(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['3000']}/ready", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise AssertionError("the server that the document starts is not ready")

    def close(self):
        """Ends the shell and what it left running: they are a session of their own."""
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


@pytest.fixture(name="shell")
def open_shell(tmp_path):
    shell = Shell(tmp_path)
    yield shell
    shell.close()


@pytest.mark.parametrize("path", documents_with_commands(), ids=name_of)
def test_commands_do_what_the_document_says(path, shell):
    if "clients" in path.parts:
        subprocess.run([ROOT / "scripts/npm-ci.sh", "tests/clients", "build/js-tools"], check=True)
    ran = 0
    for block in blocks.commands(path):
        if (name_of(path), block.first_line) in NOT_RUN:
            continue
        output, failures = shell.run(block.text)
        where = f"{name_of(path)}:{block.line}\n{block.text}\nprinted:\n{output}"
        assert not failures, f"failed: {failures}\nin {where}"
        assert blocks.difference(block, output) is None, f"{blocks.difference(block, output)}\nin {where}"
        ran += 1
    assert ran > 0


def test_the_documents_that_matter_have_commands():
    names = {name_of(path) for path in documents_with_commands()}
    assert {"README.md", "docs/api.md", "docs/capabilities.md", "docs/operating.md"} <= names


def test_what_is_not_run_exists():
    known = {(name_of(path), block.first_line) for path in DOCUMENTS for block in blocks.commands(path)}
    assert set(NOT_RUN) <= known


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_fence_says_what_it_holds(path):
    languages = {blocks.COMMAND, *blocks.OUTPUT, *blocks.OTHER}
    for block in blocks.fences(path.read_text(encoding="utf-8")):
        assert block.language in languages, f"{name_of(path)}:{block.line}: {block.language!r}"


# ---- The shell itself can tell ----------------------------------------------------------------------

def test_a_failing_command_is_noticed(shell):
    assert shell.run("true\nfalse\ntrue\n")[1] == ["false"]
    assert shell.run("false || echo fine\n") == ("fine\n", [])
    assert shell.run("cd examples\n")[1] == []
    assert shell.run("ls counter.nxml\n") == ("counter.nxml\n", [])


def test_a_handler_that_fails_is_a_failing_command(shell):
    assert shell.run("nexus run examples/denied.nxml write\n")[1] != []
    assert shell.run("nexus run examples/counter.nxml increment\n")[1] == []
