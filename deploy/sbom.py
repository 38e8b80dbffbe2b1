#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the bill of materials of the production image, as SPDX 2.3 in JSON: every file with its sums and
the package and version it comes from, and what is inside our own programs. The same files give the same
bytes. Runs where those packages are installed.
usage: sbom.py ROOTFS GUEST-BUILD OUT"""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

NOASSERTION = "NOASSERTION"
OURS = "SPDXRef-Package-nexus"
QUICKJS = "2025.04.26"


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ref(kind, name):
    return f"SPDXRef-{kind}-" + re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-")


def package(spdx_id, name, version, license_id=NOASSERTION, **more):
    return {"SPDXID": spdx_id, "name": name, "versionInfo": version, "downloadLocation": NOASSERTION,
            "filesAnalyzed": False, "licenseConcluded": license_id, "licenseDeclared": license_id,
            "copyrightText": NOASSERTION, **more}


def locator(url):
    return [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url}]


class Debian:
    """Binary packages of this system, as they turn up."""

    def __init__(self, paths):
        """`paths`: of files that packages will be asked for."""
        self.packages = {}
        real = {os.path.realpath(path) for path in paths}
        # dpkg knows some files by their path from before /usr was merged. It fails for each that it does not
        # know, and says the others; one call, since each reads the lists of all packages.
        asked = sorted(real | {path.removeprefix("/usr") for path in real})
        found = subprocess.run(["dpkg-query", "-S", *asked], capture_output=True, text=True, check=False).stdout
        self.owners = {path: name for name, path in (line.split(": ", 1) for line in found.splitlines())
                       if path in asked}

    def of_file(self, path):
        """The id of the package that a file of this system belongs to."""
        real = os.path.realpath(path)
        owner = self.owners.get(real) or self.owners.get(real.removeprefix("/usr"))
        if not owner:
            sys.exit(f"sbom: error: {path} belongs to no package")
        return self.add(owner)

    def add(self, name):
        fields = run("dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture} ${source:Package} "
                     "${source:Version}", name).split()
        binary, version, machine, source, source_version = fields
        spdx_id = ref("Package", f"deb-{binary}")
        self.packages[spdx_id] = package(
            spdx_id, binary, version, supplier="Organization: Debian",
            sourceInfo=f"built from Debian source package {source} {source_version}",
            externalRefs=locator(f"pkg:deb/debian/{binary}@{version}?arch={machine}&distro=trixie"))
        return spdx_id


def own_packages(guest):
    """The packages inside our programs, and how they are related to us."""
    parts = {OURS: package(OURS, "nexus", project_version(), "Apache-2.0")}
    relations = []
    sha256 = (guest / "quickjs.sha256").read_text().strip()
    quickjs = ref("Package", "quickjs")
    parts[quickjs] = package(
        quickjs, "quickjs", QUICKJS, "MIT",
        checksums=[{"algorithm": "SHA256", "checksumValue": sha256}],
        packageFileName=f"quickjs_{QUICKJS}.orig.tar.xz",
        sourceInfo="the upstream tarball of Debian's source package quickjs, with our patches",
        externalRefs=locator(f"pkg:deb/debian/quickjs@{QUICKJS}-1?arch=source&distro=trixie"))
    relations.append((OURS, "STATIC_LINK", quickjs))
    for line in (guest / "packages").read_text().splitlines():
        source, version, binary = line.split()
        spdx_id = ref("Package", f"deb-{binary}-build")
        parts[spdx_id] = package(spdx_id, binary, version, supplier="Organization: Debian",
                                 sourceInfo=f"built from Debian source package {source} {version}")
        if binary == "wasi-libc" or binary.startswith("libclang-rt"):
            relations.append((OURS, "STATIC_LINK", spdx_id))
        else:
            relations.append((spdx_id, "BUILD_TOOL_OF", OURS))
    return parts, relations


def project_version():
    text = pathlib.Path("CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(r"^project\(\w+ VERSION (\S+)", text, re.M)[1]


def digest(path, algorithm):
    return hashlib.new(algorithm, path.read_bytes()).hexdigest()


def origin(name, debian):
    """The id of the package a file of the image belongs to."""
    if name.startswith(("usr/bin/nexus", "usr/libexec/nexus/")) or name in (
            "etc/passwd", "etc/group", "etc/nsswitch.conf"):
        return OURS
    if name == "etc/ssl/certs/ca-certificates.crt":  # put together when the package is installed
        return debian.add("ca-certificates")
    return debian.of_file(f"/{name}")


def main():
    root, guest, out = map(pathlib.Path, sys.argv[1:])
    regular = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    debian = Debian([f"/{path.relative_to(root)}" for path in regular])
    files, relations = [], [("SPDXRef-DOCUMENT", "DESCRIBES", OURS)]
    for path in regular:
        name = str(path.relative_to(root))
        spdx_id = ref("File", name)
        files.append({
            "SPDXID": spdx_id, "fileName": f"./{name}", "licenseConcluded": NOASSERTION,
            "copyrightText": NOASSERTION,
            "checksums": [{"algorithm": kind.upper(), "checksumValue": digest(path, kind)}
                          for kind in ("sha1", "sha256")]})
        relations.append((origin(name, debian), "CONTAINS", spdx_id))
    parts, own_relations = own_packages(guest)
    content = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
        "name": "nexus-runtime",
        "creationInfo": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ",
                                     time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", "0")))),
            "creators": ["Tool: sbom.py"]},
        "packages": [one for _, one in sorted((parts | debian.packages).items())],
        "files": files,
        "relationships": [{"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
                          for one, kind, other in relations + own_relations],
    }
    # Unique to its content, and the same for the same content.
    sum_of_all = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    content["documentNamespace"] = f"urn:nexus-runtime:sbom:{sum_of_all}"
    out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


main()
