# SPDX-License-Identifier: Apache-2.0
"""CACHE_DIR: what one server compiles, the next one does not; and nothing in there can do harm."""
import hashlib
import os
import secrets
import struct
import threading
import time

import pytest
import requests

import prometheus
from cli import nexus
from conftest import COUNTER, wait_until

TOOLS = COUNTER.count("<Tool ")
HEAD_BYTES, TAG_BYTES = 88, 32
SECRET = secrets.token_hex(32)


@pytest.fixture(name="folder")
def make_folder(tmp_path):
    """A directory that only its owner may write to."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    return folder


def figures(server):
    """(reads by outcome, writes by outcome, hits, misses)"""
    families = prometheus.read(server.get("/metrics").text)

    def by_outcome(name):
        return {dict(labels)["outcome"]: int(value) for (_, labels), value in families[name].samples.items()}
    return (by_outcome("nexus_disk_cache_reads_total"), by_outcome("nexus_disk_cache_writes_total"),
            int(families["nexus_cache_hits_total"].value()), int(families["nexus_cache_misses_total"].value()))


def wait_for_writes(server, count):
    wait_until(lambda: sum(figures(server)[1].values()) >= count)
    assert sum(figures(server)[1].values()) == count


def only_line(server, message):
    server.wait_for_log(message)
    line, = server.logs(message)
    return line


def entries(folder):
    return sorted(folder.glob("*.nxc"))


def filled(start, folder, **env):
    """A server that has compiled the counter and kept it; it is still running."""
    server = start(env={"CACHE_DIR": str(folder), **env})
    assert server.create().status_code == 201
    wait_for_writes(server, TOOLS)
    assert len(entries(folder)) == TOOLS
    return server


def works(server):
    assert server.create().status_code == 201
    assert server.trigger("counter", "increment", {"by": 2}).json()["returnValue"] == 2
    assert server.trigger("counter", "fail").json()["error"]["location"] == {"line": 31, "column": 31}


# ---- Across servers ----------------------------------------------------------------------------------

def test_a_restart_compiles_nothing(start, folder):
    first = filled(start, folder)
    assert figures(first) == ({"hit": 0, "miss": TOOLS, "refused": 0, "failed": 0},
                              {"stored": TOOLS, "skipped": 0, "failed": 0}, 0, TOOLS)
    first.stop_cleanly()
    second = start(env={"CACHE_DIR": str(folder)})
    works(second)
    reads, writes, hits, misses = figures(second)
    assert reads == {"hit": TOOLS, "miss": 0, "refused": 0, "failed": 0}
    assert (sum(writes.values()), misses) == (0, 0) and hits >= TOOLS
    assert prometheus.read(second.get("/metrics").text)["nexus_compile_duration_seconds"].value("_count") == 0
    assert not [line for line in second.logs() if line["component"] == "cache" or "cache" in line["msg"]]
    second.stop_cleanly()


def test_the_last_writes_are_not_lost(start, folder):
    server = start(env={"CACHE_DIR": str(folder)})
    server.create()
    server.stop_cleanly()  # at once
    assert len(entries(folder)) == TOOLS and not list(folder.glob("tmp-*"))


def test_without_it_nothing_is_kept(start):
    server = start()
    works(server)
    reads, writes, _, misses = figures(server)
    assert (sum(reads.values()), sum(writes.values()), misses) == (0, 0, TOOLS)
    server.stop_cleanly()


def test_other_sources_and_positions_are_other_entries(start, folder):
    filled(start, folder).stop_cleanly()
    server = start(env={"CACHE_DIR": str(folder)})
    server.create("\n" + COUNTER)  # every line number is another one
    assert figures(server)[0] == {"hit": 0, "miss": TOOLS, "refused": 0, "failed": 0}
    server.stop_cleanly()


def test_two_servers_at_once(start, folder):
    pair = [start(env={"CACHE_DIR": str(folder)}) for _ in range(2)]

    def fill(server):
        for i in range(30):
            source = {"id": f"p{i}", "kind": "k", "tools": [{"name": "t", "handler": f"return {i % 20};"}]}
            assert server.post("/panels", json=source).status_code == 201
            assert server.trigger(f"p{i}", "t").json()["returnValue"] == i % 20
    threads = [threading.Thread(target=fill, args=(server,)) for server in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entries(folder)) <= 20
    for server in pair:
        reads, writes, _, _ = figures(server)
        assert (reads["refused"], reads["failed"], writes["failed"]) == (0, 0, 0)
        server.stop_cleanly()
    assert len(entries(folder)) == 20 and not list(folder.glob("tmp-*"))


def test_killed_while_it_writes(start, folder):
    server = start(env={"CACHE_DIR": str(folder)})
    tools = [{"name": f"t{i}", "handler": f"return [{i}, " + "'x', " * 2000 + "];"} for i in range(50)]
    with pytest.raises(requests.ConnectionError):
        threading.Thread(target=lambda: (wait_for_any(folder), server.process.kill()), daemon=True).start()
        while True:
            assert server.post("/panels", json={"kind": "k", "tools": tools}).status_code == 201
            tools = [{**tool, "handler": "\n" + tool["handler"]} for tool in tools]
    server.wait()
    assert entries(folder)
    for stale in folder.glob("tmp-*"):
        os.utime(stale, (0, 0))
    (folder / "tmp-0123456789abcdef").write_bytes(b"left behind")
    os.utime(folder / "tmp-0123456789abcdef", (0, 0))
    second = start(env={"CACHE_DIR": str(folder)})
    assert second.post("/panels", json={"id": "p", "kind": "k", "tools": tools[:20]}).status_code == 201
    assert second.trigger("p", "t7").json()["returnValue"][0] == 7
    assert figures(second)[0]["refused"] == 0
    second.stop_cleanly()
    assert not list(folder.glob("tmp-*"))


def wait_for_any(folder):
    deadline = time.monotonic() + 20
    while not entries(folder) and time.monotonic() < deadline:
        time.sleep(0.001)


# ---- What is not to be trusted -----------------------------------------------------------------------

def test_damage_is_refused_and_mended(start, folder):
    filled(start, folder).stop_cleanly()
    for i, path in enumerate(entries(folder)):
        data = bytearray(path.read_bytes())
        if i % 2:
            del data[-1]
        else:
            data[len(data) // 2] ^= 1
        path.write_bytes(data)
    server = start(env={"CACHE_DIR": str(folder)})
    works(server)
    assert figures(server)[0] == {"hit": 0, "miss": 0, "refused": TOOLS, "failed": 0}
    refusal = only_line(server, "an entry of the bytecode cache on disk was refused")
    assert refusal["level"] == "warn" and refusal["audit"] is True and "wrong" in refusal["error"]
    wait_for_writes(server, TOOLS)
    server.stop_cleanly()
    mended = start(env={"CACHE_DIR": str(folder)})
    works(mended)
    assert figures(mended)[0]["hit"] == TOOLS
    mended.stop_cleanly()


def test_links_and_fifos(start, folder, tmp_path):
    filled(start, folder).stop_cleanly()
    link, fifo, foreign, huge = entries(folder)[:4]
    link.rename(tmp_path / "moved")
    link.symlink_to(tmp_path / "moved")  # the right bytes, by way of a link
    fifo.unlink()
    os.mkfifo(fifo)
    os.chmod(foreign, 0o666)
    os.truncate(huge, 1 << 40)
    server = start(env={"CACHE_DIR": str(folder)})
    works(server)
    reads = figures(server)[0]
    # The huge one is met by the read, or removed by the sweep before.
    assert reads["hit"] == TOOLS - 4 and reads["refused"] in (3, 4) and reads["refused"] + reads["miss"] == 4
    wait_for_writes(server, 4)
    assert all(path.is_file() and not path.is_symlink() for path in entries(folder))
    server.stop_cleanly()


def forge(path, bytecode):
    """Puts bytecode into an entry, with the tag that a server without a key makes."""
    head = bytearray(path.read_bytes()[:HEAD_BYTES])
    head[12:20] = struct.pack("<II", 0, len(bytecode))
    path.write_bytes(bytes(head) + bytecode + hashlib.sha256(bytes(head) + bytecode).digest())


def bearer(env):
    minted = nexus("token", "--sub", "t", "--permission", "*", env={**os.environ, **env})
    return {"Authorization": "Bearer " + minted.out.strip()}


def test_with_a_secret_forgeries_are_refused(start, folder, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    env = {"CACHE_DIR": str(folder), "AUTH_ENABLED": "true", "JWT_SECRET_FILE": str(secret)}
    with requests.Session() as session:
        session.headers.update(bearer(env))

        def create(server):
            assert session.post(server.url + "/panels", data=COUNTER,
                                headers={"Content-Type": "application/xml"}, timeout=20).status_code == 201
            result = session.post(server.url + "/panels/counter/trigger/increment", json={"by": 2}, timeout=20)
            assert result.json()["returnValue"] == 2
            families = prometheus.read(session.get(server.url + "/metrics", timeout=20).text)
            return {dict(labels)["outcome"]: value for (_, labels), value
                    in families["nexus_disk_cache_reads_total"].samples.items()}
        first = start(env=env)
        assert create(first)["miss"] == TOOLS
        first.stop_cleanly()
        control = start(env=env)
        assert create(control)["hit"] == TOOLS
        control.stop_cleanly()
        for path in entries(folder):
            forge(path, path.read_bytes()[HEAD_BYTES:-TAG_BYTES])  # its own code: only the key is missing
        forged = start(env=env)
        assert create(forged) == {"hit": 0, "miss": 0, "refused": TOOLS, "failed": 0}
        forged.stop_cleanly()
        # Another secret: nothing of the old one's is taken.
        secret.write_text(secrets.token_hex(32))
        session.headers.update(bearer(env))
        rotated = start(env=env)
        assert create(rotated)["refused"] == TOOLS
        rotated.stop_cleanly()


@pytest.mark.parametrize("bytecode", [b"\x00", b"\xff" * 64, os.urandom(4096), b"\x05" + b"\x00" * 100_000],
                         ids=["zero", "ones", "noise", "long"])
def test_without_a_secret_a_forgery_ends_in_the_sandbox(start, folder, bytecode):
    """Whoever may write there decides what handlers do, and no more: the sandbox and the grants hold."""
    filled(start, folder).stop_cleanly()
    for path in entries(folder):
        forge(path, bytecode)
    server = start(env={"CACHE_DIR": str(folder)})
    assert server.create().status_code == 201
    assert figures(server)[0]["hit"] == TOOLS
    for tool in ("increment", "echo"):
        result = server.trigger("counter", tool).json()
        assert result["status"] == "error" and result["error"]["code"] in (
            "EXECUTION_ERROR", "INTERNAL_ERROR", "MEMORY_LIMIT", "TIMEOUT", "INVALID_HANDLER"), result
    # A neighbour notices nothing.
    assert server.create(COUNTER.replace('id="counter"', 'id="other"').replace(
        "<Handler>", "<Handler> ")).status_code == 201
    assert server.trigger("other", "increment").json()["returnValue"] == 1
    assert server.get("/ready").status_code == 200
    server.stop_cleanly()


def test_forged_code_has_the_grants_of_the_handler_it_replaces(start, folder):
    """Real bytecode of one handler in the place of another's, tag and all."""
    panel = """<NexusPanel id="p"><Data><State name="a" type="number" default="0"/></Data><Logic>
      <Tool name="idle"><Handler>return 'idle'.length + 1;</Handler></Tool>
      <Tool name="write"><Capabilities><Capability type="state:write" scope="a"/></Capabilities>
      <Handler>$state.a = 7; return 'written';</Handler></Tool></Logic></NexusPanel>"""
    server = start(env={"CACHE_DIR": str(folder)})
    server.create(panel)
    wait_for_writes(server, 2)
    assert server.trigger("p", "write").json()["returnValue"] == "written"
    server.stop_cleanly()
    idle, write = sorted(entries(folder), key=lambda path: b"written" in path.read_bytes())
    forge(idle, write.read_bytes()[HEAD_BYTES:-TAG_BYTES])
    server = start(env={"CACHE_DIR": str(folder)})
    server.create(panel)
    assert figures(server)[0]["hit"] == 2
    assert server.trigger("p", "write").json()["returnValue"] == "written"
    assert server.trigger("p", "idle").json()["error"]["capability"] == "state:write:a"
    server.stop_cleanly()


# ---- The directory -----------------------------------------------------------------------------------

def refused(folder, why):
    outcome = nexus("serve", env={"PATH": os.environ["PATH"], "HTTP_PORT": "0", "CACHE_DIR": str(folder),
                                  "MAX_QUEUE": "0"})
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    assert len(lines) == 2 and any("MAX_QUEUE=0" in line for line in lines)  # listed among the others
    assert any(line.startswith("nexus serve: bad setting: CACHE_DIR=") and why in line for line in lines), lines


def test_directories_that_are_refused(start, folder, tmp_path):
    for mode in (0o770, 0o702, 0o1777):
        folder.chmod(mode)
        refused(folder, "others may write")
    folder.chmod(0o755)
    (tmp_path / "link").symlink_to(folder)
    refused(tmp_path / "link", "link")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "not a directory")
    refused(tmp_path / "no/such", "No such file")
    if os.geteuid() == 0:
        os.chown(folder, 12345, 12345)
        refused(folder, "another user")
        os.chown(folder, 0, 0)
    filled(start, folder).stop_cleanly()  # others may look
    made = tmp_path / "made"
    filled(start, made).stop_cleanly()
    assert made.stat().st_mode & 0o7777 == 0o700


MOUNT = 'mount -t tmpfs -o size=$0,mode=0700 none "$CACHE_DIR" && exec "$@"'
READ_ONLY = 'mount --bind "$CACHE_DIR" "$CACHE_DIR" && mount -o remount,bind,ro "$CACHE_DIR" && exec "$@"'


def namespace(script, argument="-"):
    """A wrapper that mounts something before the server starts, seen by the server only."""
    return ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, argument)


def many(server, count, offset=0):
    tools = [{"name": f"t{i}", "handler": f"return {i};" + "/* */" * 10 + f"const x{i} = 'y'.repeat({i});"}
             for i in range(offset, offset + count)]
    created = server.post("/panels", json={"id": f"p{offset}", "kind": "k", "tools": tools})
    assert created.status_code == 201
    assert server.trigger(f"p{offset}", f"t{offset}").json()["returnValue"] == offset


def test_a_full_disk(start, folder):
    """The file system is full of something else: everything works, one line says so, and it is counted."""
    fill = 'mount -t tmpfs -o size=256k,mode=0700 none "$CACHE_DIR" && head -c 240k /dev/zero > "$CACHE_DIR/big" && exec "$@"'
    server = start(env={"CACHE_DIR": str(folder)}, wrapper=namespace(fill))
    many(server, 20)
    wait_for_writes(server, 20)
    many(server, 20, offset=20)
    wait_for_writes(server, 40)
    _, writes, _, _ = figures(server)
    assert writes["failed"] == 1 and writes["stored"] < 10 and sum(writes.values()) == 40
    line = only_line(server, "the bytecode cache on disk does not work; going on without it")
    assert line["level"] == "warn" and "No space left" in line["error"]
    server.stop_cleanly()


def test_a_small_disk_holds_what_fits(start, folder):
    server = start(env={"CACHE_DIR": str(folder)}, wrapper=namespace(MOUNT, "128k"))
    many(server, 100)
    wait_for_writes(server, 100)
    _, writes, _, _ = figures(server)
    assert writes == {"stored": 100, "skipped": 0, "failed": 0}
    assert prometheus.read(server.get("/metrics").text)["nexus_disk_cache_bytes"].value() <= 128 * 1024
    assert not server.logs("the bytecode cache on disk does not work; going on without it")
    server.stop_cleanly()


def test_a_read_only_disk_is_read(start, folder):
    filled(start, folder).stop_cleanly()
    server = start(env={"CACHE_DIR": str(folder)}, wrapper=namespace(READ_ONLY))
    works(server)
    assert figures(server)[0]["hit"] == TOOLS
    assert not server.logs("the bytecode cache on disk does not work; going on without it")
    many(server, 20)
    wait_for_writes(server, 20)
    assert figures(server)[1] == {"stored": 0, "skipped": 19, "failed": 1}
    line = only_line(server, "the bytecode cache on disk does not work; going on without it")
    assert "Read-only file system" in line["error"]
    server.stop_cleanly()


def test_a_directory_that_cannot_be_made(start, tmp_path):
    read_only = 'mount --bind "${CACHE_DIR%/*}" "${CACHE_DIR%/*}" && mount -o remount,bind,ro "${CACHE_DIR%/*}" && exec "$@"'
    (tmp_path / "parent").mkdir()
    server = start(env={"CACHE_DIR": str(tmp_path / "parent/cache")}, wrapper=namespace(read_only))
    works(server)
    line = only_line(server, "the bytecode cache on disk does not work; going on without it")
    assert "Read-only file system" in line["error"]
    assert figures(server)[1] == {"stored": 0, "skipped": TOOLS, "failed": 0}
    server.stop_cleanly()


def test_size(start, folder):
    server = start(env={"CACHE_DIR": str(folder), "MAX_CACHE_MB": "1"})
    for batch in range(3):
        many(server, 150, offset=150 * batch)
        wait_for_writes(server, 150 * (batch + 1))
    assert figures(server)[1]["stored"] == 450
    assert 200 <= len(entries(folder)) <= 256  # of 4 KiB each
    server.stop_cleanly()
