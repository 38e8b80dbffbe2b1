# SPDX-License-Identifier: Apache-2.0
"""Where a secret is once the server runs: every page of every process is looked at, as only root can."""
import pathlib
import re
import secrets

import pytest
from owned import needs_root, users
from served import Installation, blackbox

pytestmark = needs_root


@pytest.fixture(name="user", scope="module", params=users())
def each_user(request):
    return request.param


def places(pid, wanted):
    """The names of the mappings that hold `wanted`, once for each time."""
    found = []
    with open(f"/proc/{pid}/mem", "rb") as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
            span, rights, _, _, _, *name = line.split(maxsplit=5)
            start, end = (int(part, 16) for part in span.split("-"))
            if "r" not in rights or "vvar" in line or "vsyscall" in line or end - start > 1 << 30:
                continue
            memory.seek(start)
            try:
                content = memory.read(end - start)
            except OSError:  # nothing there after all
                continue
            found += [name[0] if name else ""] * content.count(wanted)
    return found


def relatives(pid):
    """The processes that the server started, and those they did."""
    children = [int(one) for one in
                pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    return children + [one for child in children for one in relatives(child)]


@pytest.mark.parametrize("by_file", [True, False], ids=["file", "environment"])
def test_a_secret_is_in_one_place(user, by_file):
    secret, address = secrets.token_hex(32), secrets.token_hex(16)
    with Installation() as installation:
        key = installation.folder / "key"
        key.write_text(secret, encoding="ascii")
        setting = {"JWT_SECRET_FILE": str(key)} if by_file else {"JWT_SECRET": secret}
        server = installation.serve(user, env={
            "AUTH_ENABLED": "true", "PUBLIC_URL": f"http://{address}", **setting})
        pid = server.process.pid
        # The key itself, which tokens are verified with: never where the environment is, nor a copy.
        kept = places(pid, secret.encode())
        assert kept.count("[stack]") == 0 and 1 <= len(kept) <= 2, kept
        # The control: what is no secret is still where it was.
        assert "[stack]" in places(pid, address.encode())
        names = set()
        blackbox.wait_until(lambda: len(relatives(pid)) >= 3)  # what listens may still be starting its worker
        others = relatives(pid)
        for other in others:
            names.add(re.search(r"^Name:\t(.*)$", pathlib.Path(f"/proc/{other}/status").read_text(
                encoding="utf-8"), re.M)[1])
            assert places(other, secret.encode()) == places(other, address.encode()) == [], names
        assert names == {"nexus-launcher", "nexus-sandbox"} and len(others) >= 3
        server.stop_cleanly()
