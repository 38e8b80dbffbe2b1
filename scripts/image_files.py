#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that an image holds exactly the files of its bill of materials, and says how large it is.
usage: image_files.py ENGINE IMAGE DIR      (DIR: where sbom.spdx.json is, and files.json goes)"""
import hashlib
import json
import pathlib
import subprocess
import sys
import tarfile

# What the engine itself adds when a container is made: places to mount on. Files among these are empty.
ENGINES = {".dockerenv", "run/.containerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab",
           "dev/console", "dev/pts", "dev/shm", "dev", "etc", "proc", "sys", "run", "tmp"}


def members(engine, image):
    """Every file of the image as a dictionary, by its path."""
    container = subprocess.run([engine, "create", image], check=True, capture_output=True,
                               text=True).stdout.strip()
    try:
        with subprocess.Popen([engine, "export", container], stdout=subprocess.PIPE) as export:
            with tarfile.open(fileobj=export.stdout, mode="r|") as archive:
                for member in archive:
                    content = archive.extractfile(member).read() if member.isfile() else b""
                    yield member.name.removeprefix("./").rstrip("/"), {
                        "type": "file" if member.isfile() else "link" if member.issym() else
                                "folder" if member.isdir() else "other",
                        "mode": oct(member.mode), "uid": member.uid, "gid": member.gid,
                        "size": member.size, "mtime": member.mtime,
                        "sha256": hashlib.sha256(content).hexdigest() if member.isfile() else None}
    finally:
        subprocess.run([engine, "rm", container], check=True, capture_output=True)


def main():
    engine, image, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    files = {name: entry for name, entry in members(engine, image)
             if name not in ENGINES or entry["type"] != "file" or entry["size"] != 0}
    (folder / "files.json").write_text(json.dumps(files, indent=1) + "\n")
    sbom = json.loads((folder / "sbom.spdx.json").read_text())
    listed = {entry["fileName"].removeprefix("./"): {one["algorithm"]: one["checksumValue"]
                                                     for one in entry["checksums"]}["SHA256"]
              for entry in sbom["files"]}
    there = {name: entry["sha256"] for name, entry in files.items()
             if entry["type"] in ("file", "other") and name not in ENGINES}
    for name in sorted(listed.keys() | there.keys()):
        if listed.get(name) != there.get(name):
            print(f"image: error: {name} differs between the image and its bill of materials", file=sys.stderr)
    if listed != there:
        sys.exit(1)
    size = sum(entry["size"] for entry in files.values() if entry["type"] == "file")
    print(f"image: {image}: {len(there)} files, {size / 1e6:.1f} MB; {folder}/sbom.spdx.json says whose")


main()
