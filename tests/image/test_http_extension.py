# SPDX-License-Identifier: Apache-2.0
"""Outgoing requests from the container: whether everything is in the image that a name and a certificate take."""
import http.server
import pathlib
import ssl
import subprocess
import threading

import pytest

from container import ENGINE

pytestmark = pytest.mark.root
HOST = "host.containers.internal"  # what podman calls the host
NAMED = {} if ENGINE == "podman" else {"add_host": f"{HOST}:host-gateway"}
PANEL = """<NexusPanel id="counter"><Logic><Extension name="http"/><Tool name="get">
  <Capabilities><Capability type="ext" scope="http"/></Capabilities>
  <Handler>
    try { return (await $ext.http.get($args.url)).data; } catch (e) { return { code: e.code, message: e.message }; }
  </Handler>
</Tool></Logic></NexusPanel>"""


class Greeter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module", name="certificate")
def make_certificate(folder):
    pem, key = folder / "site.pem", folder / "site.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", pem, "-subj", "/CN=test", "-days", "2",
                    "-addext", f"subjectAltName=DNS:{HOST}"], check=True, capture_output=True)
    pem.chmod(0o644)
    return pem, key


@pytest.fixture(scope="module", name="port")
def https_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with http.server.ThreadingHTTPServer(("", 0), Greeter) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(name="client")
def make_client(start, certificate, port):
    """Starts a container that may call the server; its certificate is trusted, or the system's are."""
    def client(trusted):
        hosts = pathlib.Path(f"/proc/{start(**NAMED).pid}/root/etc/hosts").read_text()
        address = next(line.split()[0] for line in hosts.splitlines() if HOST in line)
        container = start(mounts=[(certificate[0], "/ca.pem")], **NAMED, env={
            "HTTP_ALLOWED_DOMAINS": "*", "HTTP_EXT_ALLOW_ADDRESSES": f"{address}:{port}",
            **({"HTTP_CA_FILE": "/ca.pem"} if trusted else {})})
        assert container.create(PANEL).status_code == 201
        return container
    return client


def test_names_and_certificates(client, port):
    container = client(trusted=True)

    def get(url):
        return container.trigger("get", {"url": url})["returnValue"]
    assert get(f"https://{HOST}:{port}/") == "hello"
    assert "resolve" in get("https://nowhere.invalid/")["message"]


def test_who_is_trusted(client, port):
    """The control: with the system's authorities, which are there, this server is a stranger."""
    answer = client(trusted=False).trigger("get", {"url": f"https://{HOST}:{port}/"})["returnValue"]
    assert "certificate" in answer["message"]
