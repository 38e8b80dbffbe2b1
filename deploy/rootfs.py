#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Lays out the file system of the production image: the programs, the shared libraries they load, what
libc and libcurl read, and nothing else. Which libraries is asked of the dynamic linker, not kept in a list.
usage: rootfs.py PROGRAMS ROOTFS      (PROGRAMS: where the programs are installed, as usr/bin/...)"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

CACHE = "tmp/nexus-cache"
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"

# Libraries that open others while they run, which no linker can tell, and why none of those is needed
# here. One that is not in this list stops the build: somebody has to find out what it opens.
OPENS_NOTHING_NEEDED = {
    "libc.so.6": "name services: those of files and DNS are built in; character sets: UTF-8 is built in",
    "libcrypto.so.3": "providers: the default one is built in; legacy algorithms and engines are not used",
    "libuv.so.1": "only what uv_dlopen is asked for: nothing",
    "libkrb5support.so.0": "plug-ins of Kerberos, an authentication of libcurl that is never switched on",
    "libsasl2.so.2": "mechanisms of SASL, for protocols that the http extension does not allow",
    "libp11-kit.so.0": "PKCS#11 modules, for keys on hardware",
}
# libc opens this one itself when a thread is cancelled or exits early, and aborts without it.
UNWINDER = "libgcc_s.so.1"

FILES = {
    "etc/passwd": "nexus:x:1000:1000::/:/nonexistent\n",
    "etc/group": "nexus:x:1000:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
# Where a container's runtime mounts something, and the cache's parent.
FOLDERS = {"dev": 0o755, "proc": 0o555, "sys": 0o555, "run": 0o755, "tmp": 0o1777}


def die(message):
    sys.exit(f"rootfs: error: {message}")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed(program):
    """The paths of all shared libraries a program loads, the dynamic linker among them, by the name they
    are asked for."""
    found = {}
    for line in run("ldd", program).splitlines():
        if "linux-vdso" in line:
            continue
        match = re.fullmatch(r"\s*(\S+)(?: => (\S+))? \(0x[0-9a-f]+\)", line)
        if not match:
            die(f"{program}: cannot tell what this line of ldd means: {line.strip()}")
        name, path = match[1], match[2] or match[1]
        found[os.path.basename(name)] = pathlib.Path(path)
    return found


def imports(library):
    return set(re.findall(r" [Uw] (\w+)", run("nm", "-D", "--undefined-only", library)))


def with_unwinder(libraries):
    """Adds the library that libc opens by itself, if anything may make it do so."""
    if any({"pthread_exit", "pthread_cancel"} & imports(path) for path in libraries.values()):
        folder = libraries["libc.so.6"].parent
        libraries = {UNWINDER: folder / UNWINDER, **libraries}
    return libraries


def check_openers(libraries):
    for name, path in libraries.items():
        if {"dlopen", "dlmopen"} & imports(path) and name not in OPENS_NOTHING_NEEDED:
            die(f"{name} opens libraries while it runs: find out which, and say so in this script")


def copy(source, root, mode):
    """Copies a file, symbolic links resolved, to the same path under root with /usr merged."""
    path = pathlib.Path(os.path.realpath(source.parent)) / source.name
    target = root / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def merge_usr(root, libraries):
    """/lib and /lib64 as links into /usr: where programs name their dynamic linker."""
    for name in ("lib", "lib64"):
        if os.path.islink(f"/{name}"):
            (root / name).symlink_to(f"usr/{name}")
    for path in libraries.values():
        linked = pathlib.Path("/usr/lib64") / path.name
        if path.parent.name == "lib64":
            target = root / linked.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            real = pathlib.Path(os.path.realpath(path))
            target.symlink_to(os.path.relpath(real, linked.parent))
            copy(real, root, 0o755)


def main():
    programs, root = map(pathlib.Path, sys.argv[1:])
    root.mkdir(parents=True)
    libraries = {}
    for program in sorted(path for path in programs.rglob("*") if path.is_file()):
        libraries |= needed(program)
        target = root / program.relative_to(programs)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(program, target)
        target.chmod(0o755)
    libraries = with_unwinder(libraries)
    check_openers(libraries)
    for path in libraries.values():
        if path.parent.name != "lib64":
            copy(path, root, 0o755 if path.name.startswith("ld-") else 0o644)
    merge_usr(root, libraries)

    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="ascii")
        (root / name).chmod(0o644)
    copy(pathlib.Path("/") / CA_BUNDLE, root, 0o644)
    for name, mode in FOLDERS.items():
        (root / name).mkdir()
        (root / name).chmod(mode)
    # Some engines give a volume mounted here the mode of what it covers, with root as its owner. The
    # server keeps its files in a folder of its own below, closed to others.
    (root / CACHE).mkdir()
    (root / CACHE).chmod(0o1777)
    os.chown(root / CACHE, 1000, 1000)
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file())
    print(f"rootfs: {len(libraries)} libraries, {size / 1e6:.1f} MB in all")


main()
