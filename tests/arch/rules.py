# SPDX-License-Identifier: Apache-2.0
"""The rules every file of the repository keeps. Each takes a root folder, so that the tests can show
it firing on a bad example, and yields one line of text per violation."""
import os
import pathlib
import re

MAX_LINES = 500
GENERATED_OR_FOREIGN = {".git", "__pycache__", ".pytest_cache", "node_modules", "corpus"}
BUILD_FOLDER = "build"  # at the top only
C_SUFFIXES = {".c", ".h"}
SOURCE_SUFFIXES = C_SUFFIXES | {".py", ".sh", ".js", ".mjs", ".ts", ".cmake", ".S"}
SOURCE_NAMES = {"CMakeLists.txt", "Makefile", "Dockerfile", "run"}

# What a folder of src/ may include, itself apart. A folder that is not here is a violation: whoever
# adds one decides where it stands. What is native must not enter the guest; of the guest, only the
# ABI header may leave it.
GUEST_ABI = "guest/abi.h"
MAY_INCLUDE = {
    "base": set(),
    "nxml": {"base"},
    "store": {"base"},
    "ext": {"base"},
    "guest": set(),
    "sandbox": {"base"},
    "kernel": {"base", "nxml", "store", "ext", "sandbox"},
}
MAY_INCLUDE_GUEST_ABI = {"sandbox", "kernel"}
# Linked into the process that runs untrusted code, which has no network, storage, tokens or TLS.
IN_SANDBOX_PROCESS = {"base", "guest", "sandbox"}
KERNEL_LIBRARIES = re.compile(r"(jansson|libwebsockets|jwt|openssl/.*|curl/.*|sqlite3|hiredis/.*)(\.h)?$")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')

# Calls without a bound, or that act on the whole process behind its back, or that start a shell.
BANNED_CALLS = ("strcpy strcat strncpy strncat stpcpy sprintf vsprintf gets strtok "
                "atoi atol atoll atof system popen alloca tmpnam tempnam mktemp setenv putenv rand "
                "srand").split()
BANNED_CALL = re.compile(r"(?<![\w.])(?<!->)(" + "|".join(BANNED_CALLS) + r")\s*\(")

# In pieces, so that this file does not hold what it forbids.
_UNFINISHED = r"\b(?:" + "|".join(a + b for a, b in (("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("HA", "CK"))) + r")\b"
_REGISTRY_HOSTS = "|".join(re.escape(".".join(name)) for name in (
    ("deb", "debian", "org"), ("security", "debian", "org"), ("snapshot", "debian", "org"),
    ("registry", "npmjs", "org"), ("pypi", "org"), ("files", "pythonhosted", "org"),
    ("static", "crates", "io"), ("proxy", "golang", "org"), ("registry-1", "docker", "io")))
_LOCAL_PATHS = "/" + "work/(?:main|shared)"
FORBIDDEN_TEXT = re.compile(f"{_UNFINISHED}|{_REGISTRY_HOSTS}|{_LOCAL_PATHS}")

SPDX = "SPDX-License-Identifier: Apache-2.0"


def files(root):
    """Every file under root that is ours."""
    for folder, subfolders, names in os.walk(root):
        skipped = GENERATED_OR_FOREIGN | ({BUILD_FOLDER} if folder == str(root) else set())
        subfolders[:] = sorted(name for name in subfolders if name not in skipped)
        for name in sorted(names):
            path = pathlib.Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def is_source(path):
    return path.suffix in SOURCE_SUFFIXES or path.name in SOURCE_NAMES


def text_of(path):
    """The file's text, or None for a binary file."""
    data = path.read_bytes()
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def strip_c(text):
    """C text with comments and the insides of literals blanked, lines kept."""
    def blank(match):
        found = match.group(0)
        return found if found[0] == "'" and len(found) == 3 else re.sub(r"[^\n]", " ", found)
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])*'", blank, text,
                  flags=re.S)


def include_violations(root):
    """Arrows between the folders of src/ that point the wrong way."""
    source = pathlib.Path(root, "src")
    for path in files(source):
        folder = path.relative_to(source).parts[0]
        if path.suffix not in C_SUFFIXES or folder == path.name:
            continue
        for number, line in enumerate((text_of(path) or "").splitlines(), 1):
            match = INCLUDE.match(line)
            if match:
                name = match.group(1) or match.group(2)
                reason = judge_include(folder, name)
                if reason:
                    yield f"{path.relative_to(root)}:{number}: {name}: {reason}"


def judge_include(folder, name):
    """Why a file of src/FOLDER may not include NAME, or None."""
    if folder not in MAY_INCLUDE:
        return f"src/{folder} has no place in the dependency table"
    if ".." in name.split("/"):
        return "paths start at src/"
    if folder in IN_SANDBOX_PROCESS and KERNEL_LIBRARIES.match(name):
        return "a library of the kernel has no place in the sandbox process"
    target = name.split("/")[0] if "/" in name else folder
    if target not in MAY_INCLUDE or target == folder or target in MAY_INCLUDE[folder]:
        return None
    if name == GUEST_ABI and folder in MAY_INCLUDE_GUEST_ABI:
        return None
    return f"src/{folder} may not depend on src/{target}"


def length_violations(root):
    for path in files(root):
        if is_source(path):
            lines = len((text_of(path) or "").splitlines())
            if lines > MAX_LINES:
                yield f"{path.relative_to(root)}: {lines} lines, more than {MAX_LINES}"


def banned_call_violations(root):
    for path in files(pathlib.Path(root, "src")):
        if path.suffix in C_SUFFIXES:
            for number, line in enumerate(strip_c(text_of(path) or "").splitlines(), 1):
                for match in BANNED_CALL.finditer(line):
                    yield f"{path.relative_to(root)}:{number}: calls {match.group(1)}"


def spdx_violations(root):
    """Sources say their licence on the first line, or on the second below a `#!` line."""
    for path in files(root):
        text = text_of(path)
        if text is None or not (path.suffix in C_SUFFIXES | {".py", ".sh"} or text.startswith("#!")):
            continue
        lines = text.splitlines()[:2]
        first = lines[1:] if lines and lines[0].startswith("#!") else lines[:1]
        if not first or SPDX not in first[0]:
            yield f"{path.relative_to(root)}: the first line is not '{SPDX}'"


def text_violations(root):
    for path in files(root):
        for number, line in enumerate((text_of(path) or "").splitlines(), 1):
            match = FORBIDDEN_TEXT.search(line)
            if match:
                yield f"{path.relative_to(root)}:{number}: {match.group(0)}"
