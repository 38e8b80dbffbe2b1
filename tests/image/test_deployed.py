# SPDX-License-Identifier: Apache-2.0
"""What docs/deploy.md tells to type about containers, and deploy/compose.yaml, with this image."""
import os
import re
import shutil
import subprocess
import sys

import pytest
import requests
import yaml

from container import ENGINE, IMAGE, PATIENCE, ROOT, engine, until
from kube import free_ports

sys.path[:0] = [str(ROOT / "tests/docs")]
import blocks  # noqa: E402

DOCUMENT = ROOT / "docs/deploy.md"


def command(first_words):
    return next(block.text for block in blocks.commands(DOCUMENT) if first_words in block.text)


def healthy(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=PATIENCE).status_code == 200
    except requests.ConnectionError:
        return False


@pytest.fixture(name="place")
def prepared_folder(tmp_path):
    """A folder with a secret and panels, as the document has them."""
    (tmp_path / "panels").mkdir()
    shutil.copy(ROOT / "examples/counter.nxml", tmp_path / "panels")
    with open(tmp_path / "jwt-secret", "w", encoding="utf-8") as file:
        subprocess.run([ROOT / "scripts/make-secret.sh", "--raw"], stdout=file, check=True)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    return tmp_path


def run(text, place, name, port):
    """A block of the document, with this image, this engine, and names of our own."""
    text = re.sub(r"\bdocker\b", ENGINE, text).replace("localhost/nexus-runtime", IMAGE)
    text = text.replace("--name nexus", f"--name {name}").replace("HUP nexus", f"HUP {name}")
    text = text.replace("127.0.0.1:3000:3000", f"127.0.0.1:{port}:3000").replace("scripts/", f"{ROOT}/scripts/")
    if ENGINE == "podman":
        text = text.replace("--read-only ", "--read-only --read-only-tmpfs=false ")
    if os.getuid() == 0:
        text = text.replace("sudo ", "")
    return subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=place, capture_output=True, text=True,
                          check=False)


def test_the_command_of_the_document(place):
    name, port = f"nexus-deploy-test-{os.getpid()}", free_ports(1)[0]
    try:
        done = run(command("docker run"), place, name, port)
        assert done.returncode == 0, done.stderr
        until(lambda: healthy(port), "the container to be healthy")
        token = engine("exec", name, "/usr/bin/nexus", "token", "--sub", "t", "--permission", "*").stdout.strip()

        def status():
            return requests.get(f"http://127.0.0.1:{port}/panels", timeout=PATIENCE,
                                headers={"Authorization": f"Bearer {token}"}).status_code
        assert status() == 200
        # The rotation that the document describes: the old token ends, the server goes on.
        done = run(command("docker kill --signal HUP"), place, name, port)
        assert done.returncode == 0, done.stderr
        until(lambda: status() == 401, "the old token to end")
        assert healthy(port)
        found = yaml.safe_load(engine("inspect", name).stdout)[0]
        assert found["HostConfig"]["ReadonlyRootfs"] and found["HostConfig"]["Memory"] == 512 << 20
    finally:
        engine("rm", "-f", name, check=False)


def compose_program():
    """Compose for the engine: docker's is a plug-in, or a program of its own where it is older."""
    if ENGINE == "podman":
        return ["podman-compose", "--no-ansi"]
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    return ["docker", "compose"] if plugin else ["docker-compose"]


def test_the_compose_file(place):
    project, port = f"nexus-compose-{os.getpid()}", free_ports(1)[0]
    file = place / "compose.yaml"
    text = (ROOT / "deploy/compose.yaml").read_text()
    if ENGINE == "podman":
        # podman-compose cannot keep podman from putting a file system of its own over /tmp.
        text = text.replace("/tmp/nexus-cache", "/var/cache/nexus")
    file.write_text(text.replace("127.0.0.1:3000:3000", f"127.0.0.1:{port}:3000"))
    (place / "jwt-secret").chmod(0o444)
    environment = {**os.environ, "IMAGE": IMAGE, "COMPOSE_PROJECT_NAME": project}

    def compose(*arguments):
        return subprocess.run([*compose_program(), "-p", project, "-f", file, *arguments], cwd=place,
                              env=environment, capture_output=True, text=True, check=False)
    try:
        done = compose("up", "-d")
        until(lambda: healthy(port), f"the service to be healthy; compose said {done.stdout} {done.stderr}")
        name = engine("ps", "-q", "--filter", f"label=com.docker.compose.project={project}").stdout.strip()
        found = yaml.safe_load(engine("inspect", name).stdout)[0]
        assert found["HostConfig"]["ReadonlyRootfs"] and found["HostConfig"]["Memory"] == 512 << 20
        assert not found["BoundingCaps"] if ENGINE == "podman" else found["HostConfig"]["CapDrop"] == ["ALL"]
        assert found["Config"]["User"] == "1000:1000"
        assert requests.get(f"http://127.0.0.1:{port}/panels", timeout=PATIENCE).status_code == 401
    finally:
        compose("down", "-v")
        engine("network", "rm", f"{project}_nexus", check=False)
