# SPDX-License-Identifier: Apache-2.0
"""What is in the image, and what is not."""
import hashlib
import json
import pathlib
import re
import subprocess

import pytest

from container import IMAGE, OUT, ROOT, engine


@pytest.fixture(scope="module", name="files")
def all_files():
    return json.loads((OUT / "files.json").read_text())


@pytest.fixture(scope="module", name="sbom")
def bill_of_materials():
    return json.loads((OUT / "sbom.spdx.json").read_text())


@pytest.fixture(scope="module", name="config")
def image_config():
    return json.loads(engine("image", "inspect", IMAGE).stdout)[0]


def test_size(files):
    size = sum(entry["size"] for entry in files.values() if entry["type"] == "file")
    assert 5e6 < size <= 30e6


def test_only_what_is_needed(files):
    regular = {name for name, entry in files.items() if entry["type"] == "file"}
    executables = {name for name in regular if int(files[name]["mode"], 8) & 0o111}
    assert {name for name in executables if "/lib/" not in name} == {
        "usr/bin/nexus", "usr/libexec/nexus/nexus-sandbox"}
    expected = re.compile(r"usr/bin/nexus|usr/libexec/nexus/nexus-sandbox|usr/lib/[^/]+/[^/]+\.so\.\d+|"
                          r"usr/lib64/ld-[^/]+|etc/(passwd|group|nsswitch\.conf)|"
                          r"etc/ssl/certs/ca-certificates\.crt")
    assert [name for name in regular if not expected.fullmatch(name)] == []


def test_nobody_else_may_write(files):
    """No set-id bits; what belongs to root only root may change; the cache's place is the server's, and
    open to whatever user it runs as."""
    for name, entry in files.items():
        mode = int(entry["mode"], 8)
        assert not mode & 0o6000 and entry["type"] != "other" or name.startswith("dev/"), name
        if name == "tmp/nexus-cache":
            assert (entry["uid"], entry["gid"], mode & 0o7777) == (1000, 1000, 0o1777)
        else:
            assert (entry["uid"], entry["gid"]) == (0, 0), name
            assert not mode & 0o022 or entry["type"] == "link" or name == "tmp", name


@pytest.mark.parametrize("program", ["usr/bin/nexus", "usr/libexec/nexus/nexus-sandbox"])
def test_programs_are_hardened(program, files, tmp_path):
    """As they are in the image, in which no symbols are left."""
    copy = tmp_path / pathlib.Path(program).name
    container = engine("create", IMAGE).stdout.strip()
    engine("cp", f"{container}:/{program}", copy)
    engine("rm", container)
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == files[program]["sha256"]
    checked = subprocess.run([ROOT / "scripts/check-binaries.py", "--file", copy], capture_output=True, text=True)
    assert checked.returncode == 0 and checked.stdout.count("ok ") >= 9, checked.stdout
    sections = subprocess.run(["readelf", "-WS", copy], check=True, capture_output=True, text=True).stdout
    assert ".text" in sections and ".symtab" not in sections and ".debug" not in sections


def test_users(files):
    for name, content in (("etc/passwd", "nexus:x:1000:1000::/:/nonexistent\n"),
                          ("etc/group", "nexus:x:1000:\n")):
        assert files[name]["sha256"] == hashlib.sha256(content.encode()).hexdigest()


def test_bill_of_materials(files, sbom):
    """Each file with its sum and exactly one package; scripts/image_files.py has compared the lists."""
    ids = [entry["SPDXID"] for entry in sbom["packages"] + sbom["files"]]
    assert len(set(ids)) == len(ids) and sbom["spdxVersion"] == "SPDX-2.3"
    packages = {entry["SPDXID"]: entry for entry in sbom["packages"]}
    owners = {}
    for relation in sbom["relationships"]:
        if relation["relationshipType"] == "CONTAINS":
            owners.setdefault(relation["relatedSpdxElement"], []).append(relation["spdxElementId"])
    for entry in sbom["files"]:
        assert len(owners[entry["SPDXID"]]) == 1
        assert packages[owners[entry["SPDXID"]][0]]["versionInfo"]
        sums = {one["algorithm"]: one["checksumValue"] for one in entry["checksums"]}
        assert sums["SHA256"] == files[entry["fileName"].removeprefix("./")]["sha256"]
    quickjs = next(entry for entry in sbom["packages"] if entry["name"] == "quickjs")
    assert quickjs["checksums"][0]["checksumValue"] in (
        OUT.parents[1] / "scripts/fetch-quickjs.sh").read_text()
    linked = {relation["relatedSpdxElement"] for relation in sbom["relationships"]
              if relation["relationshipType"] == "STATIC_LINK"}
    assert {packages[one]["name"] for one in linked} >= {"quickjs", "wasi-libc"}


def test_configuration(config):
    settings = config["Config"]
    assert settings["User"] == "1000:1000"
    assert settings["Entrypoint"] == ["/usr/bin/nexus"] and settings["Cmd"] == ["serve"]
    assert set(settings["ExposedPorts"]) == {"3000/tcp", "3001/tcp", "9090/tcp"}
    assert settings["StopSignal"] in ("SIGTERM", "15")
    health = settings.get("Healthcheck") or config.get("HealthCheck") or config["Healthcheck"]
    assert health["Test"] == ["CMD", "/usr/bin/nexus", "health"]
    labels = settings["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["org.opencontainers.image.version"])
    names = [variable.split("=")[0] for variable in settings["Env"]]
    assert "AUTH_ENABLED=true" in settings["Env"]
    assert not [name for name in names if "SECRET" in name or "TOKEN" in name]
