# SPDX-License-Identifier: Apache-2.0
"""deploy/systemd/nexus.service: valid, as hardened as the documents say, and the server starts under its
system call filter. Run by a real systemd it is in scripts/systemd-test.sh, which takes a container."""
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import tempfile

import pytest

from conftest import BIN_DIR, ROOT

UNIT = ROOT / "deploy/systemd/nexus.service"
# What `systemd-analyze security` of systemd 252 says of the unit, times ten; the documents give the figure.
EXPOSURE = 21
# Others weigh a few lines more or fewer.
EXPOSURE_ELSEWHERE = 30
# Lines that neither the score nor a test of their own would miss, and what they are for.
NOT_SCORED = {
    "Type": "systemctl start fails if the program cannot be executed",
    "Environment": "settings", "EnvironmentFile": "settings", "LoadCredential": "the secret",
    "ExecStart": "the server", "ExecReload": "the policy", "Restart": "after a fault", "RestartSec": "after a fault",
    "RestartPreventExitStatus": "but not of bad settings", "KillMode": "tested below", "TimeoutStopSec": "tested below",
    "OOMPolicy": "tested below", "MemoryMax": "a limit", "MemorySwapMax": "a limit", "TasksMax": "a limit",
    "LimitNOFILE": "a limit", "LimitCORE": "no memory of the server in a file",
    "DynamicUser": "the score does not tell it from User=", "CacheDirectory": "the cache",
    "CacheDirectoryMode": "the cache", "SecureBits": "for a user that is not root anyway",
    "NoExecPaths": "only a part of Debian's systemd versions scores it", "ExecPaths": "exceptions",
    "ProcSubset": "with the next", "ProtectProc": "deliberately the default",
    "SystemCallErrorNumber": "an error instead of a signal",
    # Implied by DynamicUser=yes; said all the same.
    "NoNewPrivileges": "implied", "ProtectSystem": "implied", "PrivateTmp": "implied", "RemoveIPC": "implied",
    "RestrictSUIDSGID": "implied", "ProtectHome": "implied in part",
    "AmbientCapabilities": "none is the default", "KeyringMode": "private is the default",
    "PrivateMounts": "implied by the file system settings",
}


def directives():
    """[(name, value)] of [Service], in order."""
    section = UNIT.read_text().split("[Service]")[1].split("[Install]")[0]
    return re.findall(r"^(\w+)=(.*)$", section, re.M)


def values(name):
    return [value for one, value in directives() if one == name]


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False)


def exposure(unit):
    """{item: exposure} of what is not closed, and the whole as systemd weighs it, times ten."""
    done = analyze("security", "--offline=true", "--json=short", unit)
    found = {one["json_field"]: float(one["exposure"]) for one in json.loads(done.stdout) if one.get("exposure")}
    text = analyze("security", "--offline=true", "--no-pager", unit).stdout
    return found, round(10 * float(re.search(r"exposure level for \S+: ([\d.]+)", text)[1]))


@pytest.fixture(name="copy")
def copied_unit(tmp_path):
    """Makes a copy of the unit with lines changed, and with the programs under test."""
    def make(change=lambda text: text):
        text = UNIT.read_text().replace("/usr/local/bin/nexus", str(BIN_DIR / "nexus"))
        text = text.replace("Documentation=man:nexus(1)\n", "")  # the manual is not installed here
        path = tmp_path / "nexus.service"
        path.write_text(change(text))
        return path
    return make


def test_the_unit_is_valid(copy):
    done = analyze("verify", copy())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    bad = analyze("verify", copy(lambda text: text.replace("ProtectClock=yes", "ProtectClcok=yes")))
    assert "ProtectClcok" in bad.stderr


def test_the_score_is_what_the_documents_say(copy):
    _, score = exposure(copy())
    if analyze("--version").stdout.split()[1] == "252":
        assert score == EXPOSURE
    assert score <= EXPOSURE_ELSEWHERE
    documents = (ROOT / "docs/deploy.md").read_text() + (ROOT / "docs/hardening.md").read_text()
    assert documents.count(f"{EXPOSURE / 10}") >= 2


def test_each_hardening_line_counts(copy):
    """Without a line the score rises, or the list above says why not."""
    whole, score = exposure(copy())
    unscored = set()
    for name, value in directives():
        changed, other = exposure(copy(lambda text: text.replace(f"\n{name}={value}\n", "\n")))
        if other <= score and sum(changed.values()) <= sum(whole.values()):
            unscored.add(name)
    # The line that takes system calls away from the list is one of three of its name.
    assert unscored - set(NOT_SCORED) - {"SystemCallFilter"} == set()
    assert len({name for name, _ in directives()} - unscored) >= 18


def test_stopping_gives_the_server_its_time():
    limits = (ROOT / "src/base/limits.h").read_text()
    drain_s = int(re.search(r"#define NX_DEFAULT_DRAIN_MS\s+(\d+)", limits)[1]) // 1000
    assert int(values("TimeoutStopSec")[0]) >= drain_s + 1 + 5
    # Workers are not told: they would drop what they run.
    assert values("KillMode") == ["mixed"]
    # A worker's end is not the service's.
    assert values("OOMPolicy") == ["continue"]


# ---- The filter, in force ---------------------------------------------------------------------------

def calls_of(group):
    lines = analyze("syscall-filter", group).stdout.splitlines()[1:]
    names = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return set().union(*[calls_of(name) if name.startswith("@") else {name} for name in names])


def allowed_calls():
    """As systemd reads the lines: the first makes the list, the others add to it or (~) take away."""
    allowed = calls_of("@default")
    for value in values("SystemCallFilter"):
        named = set().union(*[calls_of(name) if name.startswith("@") else {name}
                              for name in value.lstrip("~").split()])
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


def namespaces_denied():
    flags = {"user": 0x10000000, "net": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000, "cgroup": 0x02000000,
             "mnt": 0x00020000, "pid": 0x20000000, "time": 0x00000080}
    return [flag for name, flag in flags.items() if name not in values("RestrictNamespaces")[0].split()]


def confine(calls):
    """Of the calling process, for good: no privileges, and systemd's filter with these calls."""
    import seccomp
    numbers = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
    families = {numbers[name] for name in values("RestrictAddressFamilies")[0].split()}
    rules = seccomp.SyscallFilter(seccomp.ERRNO(1))
    for name in sorted(calls - {"clone3", "socket", "mmap", "mprotect", "unshare", "clone"}):
        try:
            rules.add_rule(seccomp.ALLOW, name)
        except (RuntimeError, OSError):
            pass  # of another architecture, or newer than the library
    rules.add_rule(seccomp.ERRNO(38), "clone3")  # its flags are in memory: systemd, too, says it is not there
    for family in families & set(numbers.values()):
        rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, family))
    # MemoryDenyWriteExecute
    rules.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, 6, 0))
    rules.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, 6, 2))
    rules.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, 6, 4))
    rules.add_rule(seccomp.ALLOW, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, 4, 0))
    denied = sum(namespaces_denied())
    for name in calls & {"unshare", "clone"}:
        rules.add_rule(seccomp.ALLOW, name, seccomp.Arg(0, seccomp.MASKED_EQ, denied, 0))
    rules.load()


@pytest.fixture(name="open_folder")
def make_open_folder():
    """One that other users reach. pytest closes its own to them whenever somebody else begins to run tests."""
    with tempfile.TemporaryDirectory(prefix="nexus-unit-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        yield folder


def start_confined(folder, calls, **options):
    spec = importlib.util.spec_from_file_location("blackbox_conftest", ROOT / "tests/blackbox/conftest.py")
    harness = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(harness)
    # A program that confines itself, then becomes the server; as nobody if root runs the test.
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set", "-all",
              "--inh-caps", "-all", "--no-new-privs"] if os.getuid() == 0 else []
    launcher = folder / "launcher.py"
    launcher.write_text(
        f"import os, sys\nsys.path[:0] = [{str(ROOT / 'tests/deploy')!r}]\nimport test_systemd\n"
        f"test_systemd.confine(set({sorted(calls)!r}))\nos.execv({str(harness.NEXUS)!r}, "
        "['nexus', *sys.argv[1:]])\n")
    program = folder / "nexus"
    program.write_text("#!/bin/sh\nexec " + " ".join([*nobody, "/usr/bin/python3", "-B", str(launcher)]) + ' "$@"\n')
    program.chmod(0o755)
    return harness.Server(program=program, **options)


def test_the_server_runs_under_the_filter_with_its_workers_locked_in(open_folder):
    server = start_confined(open_folder, allowed_calls())
    status = {line.split(":")[0]: line.split()[1] for line in
              open(f"/proc/{server.process.pid}/status", encoding="utf-8") if len(line.split()) > 1}
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    health = server.get("/health").json()["sandbox"]
    assert health["seccomp"] == "filter" and health["noNewPrivs"] and health["noCapabilities"], health
    # As without the unit's filter: what the host gives, the unit does not take away.
    assert health["namespaces"] == plain_health()["namespaces"]
    assert health["landlock"] == plain_health()["landlock"]
    server.create()
    assert server.trigger("counter", "increment").json()["returnValue"] == 1
    server.stop_cleanly()


def plain_health():
    spec = importlib.util.spec_from_file_location("blackbox_conftest", ROOT / "tests/blackbox/conftest.py")
    harness = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(harness)
    server = harness.Server()
    health = server.get("/health").json()["sandbox"]
    server.stop_cleanly()
    return health


@pytest.mark.parametrize("call", ["capset", "seccomp"])
def test_the_calls_that_the_unit_adds_are_needed(open_folder, call):
    server = start_confined(open_folder, allowed_calls() - {call}, wait=False)
    assert server.process.wait(60) == 1
    server.process.stdout.close()


def test_the_filter_lets_through_less_than_usual():
    allowed = allowed_calls()
    assert {"read", "execve", "unshare", "landlock_restrict_self"} <= allowed
    for call in ("mount", "ptrace", "bpf", "keyctl", "userfaultfd", "init_module", "reboot", "setuid", "chown",
                 "io_setup", "personality", "kexec_load", "perf_event_open", "process_vm_readv", "io_uring_setup"):
        assert call not in allowed, call
