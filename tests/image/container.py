# SPDX-License-Identifier: Apache-2.0
"""Runs the image as production does, and looks at it from outside and from inside."""
import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import secrets
import signal
import subprocess
import time

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "build/image"
ENGINE = os.environ.get("NX_CONTAINER_ENGINE", "podman")
IMAGE = os.environ.get("NX_IMAGE", "localhost/nexus-runtime")
PATIENCE = 60  # seconds for anything that has to happen: machines are busy
CACHE = "/tmp/nexus-cache"
CACHE_BYTES = 128 << 20
MEMORY, PIDS = 256 << 20, 64

# How it is meant to be run; deploy/README.md has the same.
PRODUCTION = {
    "read-only": True, "cap-drop": "ALL", "security-opt": "no-new-privileges", "user": "1000:1000",
    "ipc": "none", "memory": f"{MEMORY}b", "memory-swap": f"{MEMORY}b", "pids-limit": str(PIDS),
    "tmpfs": f"{CACHE}:size={CACHE_BYTES >> 20}m,noexec,nosuid,nodev",
}
if ENGINE == "podman":
    PRODUCTION["read-only-tmpfs"] = "false"

COUNTER = """<NexusPanel id="counter">
  <Data><State name="count" type="number" default="0"/></Data>
  <Logic>
    <Tool name="increment">
      <Capabilities>
        <Capability type="state:read" scope="count"/>
        <Capability type="state:write" scope="count"/>
      </Capabilities>
      <Handler>return $state.count += 1;</Handler>
    </Tool>
    <Tool name="hoard">
      <Handler>
        const kept = [];
        for (let i = 0; i &lt; $args.mb; i++) kept.push(new Uint8Array(1048576).fill(i + 1));
        return kept.length;
      </Handler>
    </Tool>
    <Tool name="nap">
      <Capabilities><Capability type="ext" scope="time"/></Capabilities>
      <Handler>await $ext.time.sleep($args.ms); return 'rested';</Handler>
    </Tool>
    <Tool name="echo"><Handler>return $args;</Handler></Tool>
  </Logic>
</NexusPanel>
""".replace("<Logic>", "<Logic><Extension name=\"time\"/>").replace("&lt;", "<")


def engine(*arguments, check=True, **options):
    # Where memory runs out, podman's monitor leaves a file "oom" in the folder it was started in.
    result = subprocess.run([ENGINE, *map(str, arguments)], capture_output=True, text=True, cwd=OUT, **options)
    if check and result.returncode:
        raise AssertionError(f"{ENGINE} {' '.join(map(str, arguments))}: {result.stderr}")
    return result


def until(condition, what):
    """Waits for a condition to become true and returns its value."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"still waiting for {what}")


def statuses(pid):
    """/proc/PID/status as a dictionary."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def children():
    """The process numbers of every process' children."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended in the meantime
        found.setdefault(int(fields[1]), []).append(int(folder.name))
    return found


class Container:
    """A running container of the image. Options replace those of production: None leaves one out."""
    numbers = itertools.count()

    def __init__(self, folder, env=None, mounts=(), arguments=(), wait=True, image=IMAGE, **options):
        self.name = f"nexus-image-test-{os.getpid()}-{next(self.numbers)}"
        self.secret = folder / "secret"
        if not self.secret.exists():
            self.secret.write_text(secrets.token_urlsafe(48))
            self.secret.chmod(0o444)
        chosen = PRODUCTION | {name.replace("_", "-"): value for name, value in options.items()}
        command = ["run", "-d", "--name", self.name]
        for name, value in chosen.items():
            if value is not None:
                command.append(f"--{name}={str(value).lower() if isinstance(value, bool) else value}")
        environment = {"JWT_SECRET_FILE": "/run/secrets/nexus-jwt", **(env or {})}
        for name, value in environment.items():
            command += ["-e", f"{name}={value}"]
        for source, target in [(self.secret, "/run/secrets/nexus-jwt"), *mounts]:
            command += ["-v", f"{source}:{target}:ro"]
        for port in (3000, 3001, 9090):
            command += ["-p", f"127.0.0.1::{port}"]
        self.token = None
        self.addresses = {}
        with self.removed_on_failure():
            engine(*command, image, *arguments)
            if wait:
                self.wait_until_listening()

    @contextlib.contextmanager
    def removed_on_failure(self):
        """What does not come to be has nobody to remove it."""
        try:
            yield
        except BaseException:
            self.remove()
            raise

    # ---- What it says and is

    def logs(self, message=None):
        text = engine("logs", self.name)
        lines = [json.loads(line) for line in text.stdout.splitlines() if line.startswith("{")]
        return [line for line in lines if message is None or line["msg"] == message]

    def errors(self):
        return engine("logs", self.name).stderr

    def inspect(self):
        return json.loads(engine("inspect", self.name).stdout)[0]

    def running(self):
        return self.inspect()["State"]["Running"]

    def wait_until_listening(self):
        until(lambda: self.logs("listening") or not self.running(), "the server to listen")
        assert self.running(), (self.logs(), self.errors())

    def wait_until_ended(self):
        until(lambda: not self.running(), "the container to end")
        return self.inspect()["State"]["ExitCode"]

    # ---- Its processes, by their numbers outside

    @property
    def pid(self):
        return self.inspect()["State"]["Pid"]

    def processes(self):
        """All of them but the kernel, by name."""
        tree, found, below = children(), {}, [self.pid]
        while below:
            for pid in tree.get(below.pop(), []):
                below.append(pid)
                try:
                    found[pid] = statuses(pid)
                except OSError:
                    pass
        return found

    def workers(self):
        """Those that run handlers: children of a zygote."""
        processes = self.processes()
        return [pid for pid, status in processes.items() if status["Name"] == "nexus-sandbox"
                and processes.get(int(status["PPid"]), {}).get("Name") == "nexus-sandbox"]

    def inside(self, action, uid=None):
        """What a function returns that is run in the container's file system, as root or as `uid` without
        any privilege."""
        reading, writing = os.pipe()
        namespace = os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY)
        child = os.fork()
        if child == 0:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(namespace, 0):
                    raise OSError(ctypes.get_errno(), "setns")
                if uid is not None:
                    os.setgroups([])
                    os.setresgid(uid, uid, uid)
                    os.setresuid(uid, uid, uid)
                answer = {"value": action()}
            except BaseException as error:  # whatever it is belongs to the parent
                answer = {"error": repr(error)}
            with open(writing, "w", encoding="utf-8") as pipe:
                json.dump(answer, pipe)
            os._exit(0)
        os.close(writing)
        os.close(namespace)
        with open(reading, encoding="utf-8") as pipe:
            answer = json.load(pipe)
        os.waitpid(child, 0)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def run(self, *arguments, check=True):
        """Runs `nexus` in the container."""
        return engine("exec", self.name, "/usr/bin/nexus", *arguments, check=check)

    # ---- As its clients see it

    def url(self, port=3000):
        if port not in self.addresses:
            self.addresses[port] = engine("port", self.name, f"{port}/tcp").stdout.splitlines()[0].strip()
        return f"http://{self.addresses[port]}"

    def headers(self):
        if not self.token:
            self.token = self.run("token", "--sub", "tester", "--permission", "*").stdout.strip()
        return {"Authorization": f"Bearer {self.token}"}

    def request(self, method, path, headers=None, **options):
        return requests.request(method, self.url() + path, timeout=PATIENCE,
                                headers={**self.headers(), **(headers or {})}, **options)

    def create(self, source=COUNTER):
        return self.request("POST", "/panels", data=source.encode(),
                            headers={"Content-Type": "application/xml"})

    def trigger(self, tool, args=None, panel="counter"):
        return self.request("POST", f"/panels/{panel}/trigger/{tool}", json=args or {}).json()

    def healthy(self):
        return requests.get(self.url() + "/health", timeout=PATIENCE).status_code == 200

    def metric(self, name):
        """A sample of the metrics' port, by its name with labels."""
        text = requests.get(self.url(9090) + "/metrics", timeout=PATIENCE).text
        return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(name + " ")))

    def kill(self, pid, signum=signal.SIGKILL):
        os.kill(pid, signum)

    def remove(self):
        engine("rm", "-f", self.name, check=False)
