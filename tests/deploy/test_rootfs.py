# SPDX-License-Identifier: Apache-2.0
"""How the image is put together, without an image: the scripts that its build runs, on this build's programs."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("NX_BUILD_DIR", ROOT / "build/release"))
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root: owners, devices, chroot")


def run(*command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module", name="programs")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image") / "programs"
    done = run("cmake", "--install", BUILD, "--prefix", "/usr", "--component", "programs", "--strip",
               env={**os.environ, "DESTDIR": str(folder)})
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module", name="rootfs")
def laid_out(programs):
    folder = programs.with_name("rootfs")
    done = run(ROOT / "deploy/rootfs.py", programs, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_programs_run_in_it(rootfs):
    """With nothing but what was put there."""
    os.mknod(rootfs / "dev/null", 0o666 | 0o020000, os.makedev(1, 3))
    done = run("chroot", rootfs, "/usr/bin/nexus", "version")
    os.unlink(rootfs / "dev/null")
    assert done.returncode == 0 and "nexus" in done.stdout, done.stderr
    # By hand it only says that it is not started by hand: it was loaded.
    assert "by hand" in run("chroot", rootfs, "/usr/libexec/nexus/nexus-sandbox").stderr


def test_no_library_is_there_for_nothing(rootfs, tmp_path):
    """Each one taken away, either program stops working, or it is the one that libc opens by itself."""
    libraries = [path for path in rootfs.rglob("*.so.*") if not path.is_symlink() and not path.name.startswith("ld-")]
    assert len(libraries) > 10
    for path in libraries:
        away = path.rename(tmp_path / path.name)
        found = [run("chroot", rootfs, program).stderr for program in
                 ("/usr/bin/nexus", "/usr/libexec/nexus/nexus-sandbox")]
        away.rename(path)
        assert any(path.name in one for one in found) or path.name == "libgcc_s.so.1", path.name


def test_nothing_else(rootfs):
    files = {str(path.relative_to(rootfs)) for path in rootfs.rglob("*") if path.is_file() and ".so." not in path.name}
    assert files == {"usr/bin/nexus", "usr/libexec/nexus/nexus-sandbox", "etc/passwd", "etc/group",
                     "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt"}
    cache = (rootfs / "tmp/nexus-cache").stat()
    assert (cache.st_uid, cache.st_gid) == (1000, 1000)


def test_what_opens_libraries_is_known(programs, tmp_path):
    """A library that opens others, and that nobody has looked into, stops the build."""
    script = tmp_path / "rootfs.py"
    text = (ROOT / "deploy/rootfs.py").read_text()
    assert '    "libcrypto.so.3":' in text
    script.write_text("\n".join(line for line in text.splitlines() if '"libcrypto.so.3"' not in line))
    done = run("/usr/bin/python3", script, programs, tmp_path / "rootfs")
    assert done.returncode == 1 and "libcrypto.so.3 opens libraries" in done.stderr


def test_bill_of_materials(rootfs, tmp_path):
    """Every file with its package; the same bytes for the same files; a file of no package stops it."""
    (tmp_path / "packages").write_text("wasi-libc 1 wasi-libc\ngcc 1 gcc\n")
    (tmp_path / "quickjs.sha256").write_text("0" * 64 + "\n")
    out = [tmp_path / "one.json", tmp_path / "two.json"]
    for path in out:
        done = run("/usr/bin/python3", ROOT / "deploy/sbom.py", rootfs, tmp_path, path, cwd=ROOT)
        assert done.returncode == 0, done.stderr
    assert out[0].read_bytes() == out[1].read_bytes()
    listed = {one["fileName"] for one in json.loads(out[0].read_text())["files"]}
    assert listed == {f"./{path.relative_to(rootfs)}" for path in rootfs.rglob("*")
                      if path.is_file() and not path.is_symlink()}
    stray = rootfs / "usr/lib/stray"
    shutil.copy(out[0], stray)
    done = run("/usr/bin/python3", ROOT / "deploy/sbom.py", rootfs, tmp_path, out[0], cwd=ROOT)
    stray.unlink()
    assert done.returncode == 1 and "belongs to no package" in done.stderr
