# SPDX-License-Identifier: Apache-2.0
"""Tokens against the real server: who may do what, on every route, and every way to forge one."""
import base64
import hashlib
import hmac
import json
import os
import pathlib
import subprocess
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from conftest import COUNTER, NEXUS, Server, Wire, wait_until

SECRET = "Xq3vT9kLm2Rw8YpZ5sUd7GhJ4bNc6Aef"
OTHER_SECRET = "fA6cNb4JhG7dUs5ZpY8wR2mLk9Tv3qX!"
PERMISSIONS = ["panel:create", "panel:read", "panel:execute", "panel:delete", "metrics:read"]


def claims(*permissions, **more):
    return {"sub": "ada", "exp": int(time.time()) + 600, "permissions": list(permissions), **more}


def token(*permissions, secret=SECRET, **more):
    return jwt.encode(claims(*permissions, **more), secret, algorithm="HS256")


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


def b64(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(header, payload, secret=SECRET):
    """A token of any header and payload whatsoever, rightly signed."""
    signed = f"{b64(header)}.{b64(payload)}"
    mac = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{b64(mac)}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that asks for tokens, with the counter panel."""
    secret = tmp_path_factory.mktemp("auth") / "secret"
    secret.write_text(SECRET + "\n")
    server = Server(env={"AUTH_ENABLED": "true", "JWT_SECRET_FILE": str(secret), "LOG_LEVEL": "debug"})
    answer = server.post("/panels", data=COUNTER.encode(), headers={
        "Content-Type": "application/xml", **bearer(token("*"))})
    assert answer.status_code == 201
    yield server
    server.stop_cleanly()


# ---- Every route -------------------------------------------------------------------------------------

ROUTES = [
    ("GET", "/panels", "panel:read", 200),
    ("HEAD", "/panels", "panel:read", 200),
    ("POST", "/panels", "panel:create", 201),
    ("GET", "/panels/counter", "panel:read", 200),
    ("HEAD", "/panels/counter", "panel:read", 200),
    ("GET", "/panels/counter/state", "panel:read", 200),
    ("HEAD", "/panels/counter/state", "panel:read", 200),
    ("POST", "/panels/counter/trigger/increment", "panel:execute", 200),
    ("POST", "/panels/counter/ws-ticket", "panel:read", 201),
    ("GET", "/panels/counter/ws", "panel:read", 426),
    ("DELETE", "/panels/victim", "panel:delete", 204),
    ("GET", "/panels/missing", "panel:read", 404),
    ("GET", "/panels/missing/state", "panel:read", 404),
    ("POST", "/panels/missing/trigger/t", "panel:execute", 404),
    ("DELETE", "/panels/missing", "panel:delete", 404),
    ("POST", "/panels/missing/ws-ticket", "panel:read", 404),
]


def ask(server, method, path, headers=None):
    body = {"json": {"id": "made", "kind": "k", "tools": []}} if path == "/panels" else {"json": {}}
    return server.request(method, path, headers=headers, **(body if method == "POST" else {}))


def assert_refused(answer, status):
    assert answer.status_code == status
    assert (answer.headers.get("WWW-Authenticate") == "Bearer") == (status == 401)
    if answer.request.method != "HEAD":
        error = answer.json()["error"]
        assert error["code"] == {401: "UNAUTHORIZED", 403: "FORBIDDEN"}[status]
        assert error["requestId"] == answer.headers["X-Request-Id"]


def test_with_tokens_the_server_goes_by_any_name(guarded):
    """No page has one because its own name means this machine."""
    evil = {"Host": "evil.example"}
    assert_refused(guarded.get("/panels", headers=evil), 401)
    assert guarded.get("/panels", headers=evil | bearer(token("*"))).status_code == 200


@pytest.mark.parametrize("method, path, permission, status", ROUTES)
def test_every_route(guarded, method, path, permission, status):
    admin = bearer(token("*"))
    guarded.post("/panels", json={"id": "victim", "kind": "k", "tools": []}, headers=admin)
    guarded.request("DELETE", "/panels/made", headers=admin)
    others = [name for name in PERMISSIONS if name != permission]
    assert_refused(ask(guarded, method, path), 401)
    for bad in (token("*", secret=OTHER_SECRET), token("*", exp=int(time.time()) - 60),
                token("*", nbf=int(time.time()) + 60), "x", token("*")[:-4]):
        assert_refused(ask(guarded, method, path, bearer(bad)), 401)
    for few in (token(*others), token(), token("panel:*", permission.upper(), permission + " ")):
        refused = ask(guarded, method, path, bearer(few))
        assert_refused(refused, 403)
        assert method == "HEAD" or permission in refused.json()["error"]["message"]
    # Nothing of the above has had an effect.
    assert guarded.get("/panels/victim", headers=admin).status_code == 200
    assert guarded.get("/panels/made", headers=admin).status_code == 404
    assert ask(guarded, method, path, bearer(token(permission))).status_code == status


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_probes_need_no_token(guarded, path):
    assert guarded.get(path).status_code == 200
    assert guarded.get(path, headers=bearer("nonsense")).status_code == 200


def test_strangers_learn_nothing_about_panels(guarded):
    for method, path in (("GET", "/panels/{}"), ("GET", "/panels/{}/state"), ("DELETE", "/panels/{}"),
                         ("POST", "/panels/{}/ws-ticket"), ("GET", "/panels/{}/ws"), ("POST", "/panels/{}/trigger/increment")):
        for headers in (None, bearer("x"), bearer(token())):
            there, gone = (ask(guarded, method, path.format(name), headers) for name in
                           ("counter", "missing"))
            assert there.status_code == gone.status_code
            texts = [a.text.replace(a.headers["X-Request-Id"], "") for a in (there, gone)]
            assert texts[0] == texts[1]


def test_tokens_are_judged_before_the_body(guarded):
    with Wire(guarded) as wire:
        answer = wire.send("POST /panels HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                           "Content-Length: 1000000\r\n\r\n").read()
        assert answer.status == 401
        assert answer.headers["connection"] == "close"
    with Wire(guarded) as wire:
        answer = wire.send("POST /panels HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                           "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n").read()
        assert answer.status == 401


def test_a_connection_does_not_remember(guarded):
    right, nothing = token("*"), "GET /panels HTTP/1.1\r\nHost: h\r\n\r\n"
    with Wire(guarded) as wire:
        for _ in range(2):
            assert wire.send(f"GET /panels HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {right}\r\n\r\n"
                             ).read().status == 200
            assert wire.send(nothing).read().status == 401


@pytest.mark.parametrize("header, status", [
    ("Bearer {}", 200), ("bearer {}", 200), ("BEARER   {}", 200), ("Bearer {} ", 200),
    ("Basic {}", 401), ("Bearer", 401), ("Bearer ", 401), ("Bearer\t{}", 401), ("{}", 401),
    ("Bearer {},x", 401), ("Bearer {} x", 401), ("Bearer \"{}\"", 401), ("Token {}", 401),
])
def test_header_forms(guarded, header, status):
    with Wire(guarded) as wire:
        assert wire.send("GET /panels HTTP/1.1\r\nHost: h\r\nAuthorization: "
                         + header.format(token("*")) + "\r\n\r\n").read().status == status


def test_two_tokens_are_ambiguous(guarded):
    with Wire(guarded) as wire:
        line = f"Authorization: Bearer {token('*')}\r\n"
        assert wire.send(f"GET /panels HTTP/1.1\r\nHost: h\r\n{line}{line}\r\n").read().status == 400


def test_tokens_elsewhere_do_not_count(guarded):
    right = token("*")
    assert guarded.get(f"/panels?token={right}").status_code == 401
    assert guarded.get(f"/panels?access_token={right}").status_code == 401
    assert guarded.get("/panels", headers={"Cookie": f"token={right}"}).status_code == 401
    assert guarded.get("/panels", headers={"X-Authorization": f"Bearer {right}"}).status_code == 401


# ---- Forged ------------------------------------------------------------------------------------------

HS256 = {"alg": "HS256", "typ": "JWT"}
NOW = int(time.time())
GOOD = {"sub": "ada", "exp": NOW + 3600, "permissions": ["*"]}
FORGED = {
    "none": f"{b64({'alg': 'none'})}.{b64(GOOD)}.",
    "None": f"{b64({'alg': 'None', 'typ': 'JWT'})}.{b64(GOOD)}.",
    "none, signed": forge({"alg": "none"}, GOOD),
    "no algorithm": forge({"typ": "JWT"}, GOOD),
    "RS256 named": forge({"alg": "RS256"}, GOOD),
    "HS512": jwt.encode(GOOD, SECRET, algorithm="HS512"),
    "empty key": forge(HS256, GOOD, ""),
    "crit": forge({**HS256, "crit": ["exp"]}, GOOD),
    "jwk": forge({**HS256, "jwk": {"kty": "oct", "k": b64(b"x" * 32)}}, GOOD, "x" * 32),
    "jwk, rightly signed": forge({**HS256, "jwk": {"kty": "oct", "k": b64(b"x" * 32)}}, GOOD),
    "jku": forge({**HS256, "jku": "http://127.0.0.1:1/keys"}, GOOD),
    "x5u": forge({**HS256, "x5u": "http://127.0.0.1:1/cert"}, GOOD),
    "kid is a path": forge({**HS256, "kid": "../../../../dev/null"}, GOOD),
    "kid is a path, empty key": forge({**HS256, "kid": "/dev/null"}, GOOD, ""),
    "kid is SQL": forge({**HS256, "kid": "x' UNION SELECT 'y"}, GOOD),
    "kid is a command": forge({**HS256, "kid": "key|/bin/id"}, GOOD),
    "alg twice": forge(b'{"alg":"none","alg":"HS256"}', GOOD),
    "exp twice": forge(HS256, b'{"exp":1,"exp":%d,"permissions":["*"]}' % (NOW + 600)),
    "permissions twice": forge(HS256, b'{"exp":%d,"permissions":[],"permissions":["*"]}' % (NOW + 600)),
    "no exp": forge(HS256, {"permissions": ["*"]}),
    "exp in milliseconds": forge(HS256, {**GOOD, "exp": NOW * 1000}),
    "exp is text": forge(HS256, {**GOOD, "exp": str(NOW + 600)}),
    "exp is huge": forge(HS256, b'{"exp":1e999,"permissions":["*"]}'),
    "exp is negative": forge(HS256, {**GOOD, "exp": -1}),
    "nbf ahead": forge(HS256, {**GOOD, "nbf": NOW + 3000}),
    "iat ahead": forge(HS256, {**GOOD, "iat": NOW + 3000}),
    "permissions is text": forge(HS256, {**GOOD, "permissions": "*"}),
    "capabilities unknown": forge(HS256, {**GOOD, "capabilities": ["fs:read:*"]}),
    "sub is a number": forge(HS256, {**GOOD, "sub": 7}),
    "payload is an array": forge(HS256, [GOOD]),
    "payload is not UTF-8": forge(HS256, b'{"exp":%d,"sub":"\xff"}' % (NOW + 600)),
    "two parts": ".".join(forge(HS256, GOOD).split(".")[:2]),
    "five parts": "a.b.c.d.e",
    "padded": forge(HS256, GOOD) + "=",
    "standard base64": forge(HS256, GOOD).replace("-", "+").replace("_", "/") + "+",
    "over 8 KiB": forge(HS256, {**GOOD, "pad": "x" * 7000}),
    "deep": forge(HS256, b'{"exp":%d,"x":' % (NOW + 600) + b"[" * 3000 + b"]" * 3000 + b"}"),
    "dots": "...", "dot": ".", "percent": "%00", "unicode": "\u00e9.\u00e9.\u00e9".encode().decode("latin-1"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged(guarded, name):
    assert guarded.get("/panels", headers=bearer(forge(HS256, GOOD))).status_code == 200
    assert_refused(guarded.get("/panels", headers=bearer(FORGED[name])), 401)


def test_leeway(guarded):
    now = int(time.time())
    for more, status in (({"exp": now - 20}, 200), ({"exp": now - 45}, 401),
                         ({"nbf": now + 20}, 200), ({"nbf": now + 45}, 401),
                         ({"iat": now + 20}, 200), ({"iat": now + 45}, 401)):
        assert guarded.get("/panels", headers=bearer(token("*", **more))).status_code == status


def test_a_token_that_worked_still_expires(guarded):
    short = bearer(token("*", exp=int(time.time()) - 25))  # five more by the leeway
    assert guarded.get("/panels", headers=short).status_code == 200
    wait_until(lambda: guarded.get("/panels", headers=short).status_code != 200)
    assert_refused(guarded.get("/panels", headers=short), 401)


def test_no_token_in_any_log(guarded):
    mark = "find-this-subject"
    right, wrong = token("panel:read", sub=mark), token("*", secret=OTHER_SECRET)
    guarded.get("/panels", headers={**bearer(right), "X-Request-Id": "marked"})
    guarded.get("/panels", headers=bearer(wrong))
    assert_refused(guarded.request("DELETE", "/panels/counter", headers=bearer(right)), 403)
    wait_until(lambda: any(line["subject"] == mark for line in guarded.logs("request refused")))
    last = guarded.logs("request refused")[-1]
    assert (last["subject"], last["status"], last["route"], last["audit"]) == (
        mark, 403, "/panels/{id}", True)
    assert any(line["requestId"] == "marked" and line["subject"] == mark
               for line in guarded.logs("request"))
    for one in (right, wrong, *FORGED.values()):
        for part in one.split("."):
            if len(part) > 20:
                assert not any(part in line for line in guarded.lines + guarded.errors)
    assert not any(SECRET in line for line in guarded.lines + guarded.errors)


def test_refusals_do_not_flood_the_log(start):
    server = start(env={"AUTH_ENABLED": "true", "JWT_SECRET": SECRET})
    began = time.monotonic()
    with Wire(server) as wire:
        for _ in range(300):
            assert wire.send("GET /panels HTTP/1.1\r\nHost: h\r\n\r\n").read().status == 401
    seconds = int(time.monotonic() - began) + 2  # that may have begun; each has its own
    server.stop_cleanly()
    assert 1 <= len(server.logs("request refused")) <= 20 * seconds


# ---- For whom ----------------------------------------------------------------------------------------

def test_issuer_audience_workspace(start):
    server = start(env={"AUTH_ENABLED": "true", "JWT_SECRET": SECRET, "JWT_ISSUER": "https://id.example",
                        "JWT_AUDIENCE": "nexus", "WORKSPACE_ID": "w1"})
    right = {"iss": "https://id.example", "aud": "nexus", "workspace_id": "w1"}
    cases = [({}, 200), ({"aud": ["other", "nexus"]}, 200), ({"aud": ["other"]}, 401), ({"aud": "x"}, 401),
             ({"iss": "https://id.example/"}, 401), ({"iss": ["https://id.example"]}, 401),
             ({"workspace_id": "w2"}, 401), ({"workspace_id": ["w1"]}, 401)]
    for change, status in cases:
        answer = server.get("/panels", headers=bearer(forge(HS256, {**GOOD, **right, **change})))
        assert answer.status_code == status
    for missing in right:
        rest = {name: value for name, value in right.items() if name != missing}
        assert server.get("/panels", headers=bearer(forge(HS256, {**GOOD, **rest}))).status_code == 401
    server.stop_cleanly()


# ---- Public keys -------------------------------------------------------------------------------------

def make_pair(alg):
    return {"RS256": lambda: rsa.generate_private_key(65537, 2048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate}[alg]()


def public_pem(pair):
    return pair.public_key().public_bytes(serialization.Encoding.PEM,
                                          serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_public_keys(start, tmp_path, alg):
    pair, stranger, path = make_pair(alg), make_pair(alg), tmp_path / "public.pem"
    path.write_bytes(public_pem(pair))
    server = start(env={"AUTH_ENABLED": "true", "JWT_ALG": alg, "JWT_PUBLIC_KEY_FILE": str(path)})

    def status(text):
        return server.get("/panels", headers=bearer(text)).status_code
    right = jwt.encode(claims("panel:read"), pair, algorithm=alg, headers={"kid": "2026-11"})
    assert status(right) == status(right) == 200
    assert status(jwt.encode(claims("*"), stranger, algorithm=alg)) == 401
    head, payload, signature = right.split(".")
    more = b64(claims("*"))
    assert status(f"{head}.{more}.{signature}") == 401
    # The public key is public: as a secret it opens nothing, whatever the header says.
    for name in ("HS256", "HS384", alg, "none"):
        assert status(forge({"alg": name, "typ": "JWT"}, GOOD, public_pem(pair).decode())) == 401
        assert status(forge({"alg": name}, GOOD, public_pem(pair).decode().strip())) == 401
    assert status(f"{b64({'alg': 'none'})}.{payload}.") == 401
    for other in {"RS256", "ES256", "EdDSA"} - {alg}:
        assert status(jwt.encode(claims("*"), make_pair(other), algorithm=other)) == 401
    assert server.get("/health").status_code == 200
    server.stop_cleanly()


# ---- Secrets in memory -------------------------------------------------------------------------------

def test_the_secret_leaves_the_environment(start):
    server = start(env={"AUTH_ENABLED": "true", "JWT_SECRET": SECRET})
    assert server.get("/panels", headers=bearer(token("*"))).status_code == 200
    pids = [server.process.pid, server.only_worker()]
    for pid in pids:
        try:
            environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        except PermissionError:
            continue  # nobody but root may even look
        assert SECRET.encode() not in environment
        assert (b"PATH=" in environment) == (pid == server.process.pid)
    server.stop_cleanly()


def test_without_authentication_tokens_are_ignored(start):
    server = start()
    assert server.get("/panels").status_code == 200
    assert server.get("/panels", headers=bearer("nonsense")).status_code == 200
    server.stop_cleanly()


# ---- nexus token -------------------------------------------------------------------------------------

def make(*arguments, **env):
    return subprocess.run([str(NEXUS), "token", *arguments], capture_output=True, text=True, timeout=30,
                          env={"PATH": os.environ["PATH"], **env}, check=False)


def test_made_tokens_are_taken(guarded):
    made = make("--sub", "ada", "--permission", "panel:read", JWT_SECRET=SECRET)
    assert (made.returncode, made.stderr) == (0, "")
    text = made.stdout.strip()
    assert guarded.get("/panels", headers=bearer(text)).status_code == 200
    assert_refused(guarded.request("DELETE", "/panels/counter", headers=bearer(text)), 403)
    decoded = jwt.decode(text, SECRET, algorithms=["HS256"])
    assert decoded["sub"] == "ada" and decoded["permissions"] == ["panel:read"]
    assert abs(decoded["exp"] - time.time() - 3600) < 60
    assert "capabilities" not in decoded
    bare = make("--sub", "ada", JWT_SECRET=SECRET).stdout.strip()
    assert_refused(guarded.get("/panels", headers=bearer(bare)), 403)


def test_made_tokens_hold_what_was_asked(start, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\r\n")
    settings = {"JWT_SECRET_FILE": str(secret), "JWT_ISSUER": "i", "JWT_AUDIENCE": "a", "WORKSPACE_ID": "w"}
    text = make("--sub=zo\u00eb", "--permission", "panel:create", "--permission", "*", "--capability",
                "state:read:*", "--capability", "ext:time", "--ttl", "2d", **settings).stdout.strip()
    decoded = jwt.decode(text, SECRET, algorithms=["HS256"], audience="a", issuer="i")
    assert decoded["sub"] == "zo\u00eb" and decoded["workspace_id"] == "w"
    assert decoded["permissions"] == ["panel:create", "*"]
    assert decoded["capabilities"] == ["state:read:*", "ext:time"]
    assert decoded["exp"] - decoded["iat"] == 2 * 86400
    server = start(env={"AUTH_ENABLED": "true", **settings})
    assert server.get("/panels", headers=bearer(text)).status_code == 200
    other = make("--sub", "x", "--permission", "*", "--workspace", "w2", **settings).stdout.strip()
    assert server.get("/panels", headers=bearer(other)).status_code == 401
    server.stop_cleanly()


@pytest.mark.parametrize("arguments, settings, reason", [
    ([], {"JWT_SECRET": SECRET}, "--sub"),
    (["--sub", ""], {"JWT_SECRET": SECRET}, "--sub"),
    (["--sub", "a"], {}, "JWT_SECRET"),
    (["--sub", "a"], {"JWT_SECRET": "short"}, "32"),
    (["--sub", "a"], {"JWT_SECRET_FILE": "/does/not/exist"}, "JWT_SECRET_FILE"),
    (["--sub", "a"], {"JWT_SECRET": SECRET, "JWT_SECRET_FILE": "/x"}, "beside"),
    (["--sub", "a"], {"JWT_SECRET": SECRET, "JWT_ALG": "RS256"}, "private key"),
    (["--sub", "a", "--permission", "panel:fly"], {"JWT_SECRET": SECRET}, "panel:fly"),
    (["--sub", "a", "--capability", "fs:read"], {"JWT_SECRET": SECRET}, "fs:read"),
    (["--sub", "a", "--ttl", "0"], {"JWT_SECRET": SECRET}, "--ttl"),
    (["--sub", "a", "--ttl", "1w"], {"JWT_SECRET": SECRET}, "--ttl"),
    (["--sub", "a", "--ttl", "367d"], {"JWT_SECRET": SECRET}, "--ttl"),
    (["--sub", "a", "--ttl", "99999999999999999999d"], {"JWT_SECRET": SECRET}, "--ttl"),
    (["--sub", "a", "more"], {"JWT_SECRET": SECRET}, "more"),
    (["--sub", "a", "--bogus"], {"JWT_SECRET": SECRET}, "bogus"),
    (["--sub", b"\xff"], {"JWT_SECRET": SECRET}, "UTF-8"),
])
def test_token_usage(arguments, settings, reason):
    made = make(*arguments, **settings)
    assert (made.returncode, made.stdout) == (2, "")
    assert reason in made.stderr and SECRET not in made.stderr


def test_token_help():
    assert make("--help").returncode == 0
    assert "--permission" in make("--help").stdout
