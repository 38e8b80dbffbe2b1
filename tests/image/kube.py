# SPDX-License-Identifier: Apache-2.0
"""The pod of an overlay's Deployment, run by `podman kube play`, and reachable as other containers are."""
import base64
import itertools
import os
import secrets
import socket
import subprocess
import sys

import yaml

from container import IMAGE, ROOT, Container, engine

sys.path[:0] = [str(ROOT / "scripts")]
from manifests.objects import parse, render  # noqa: E402

JWT = "nexus-jwt"


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Pod(Container):
    """What kube play makes of the Deployment. Names are made our own: podman has one space for all volumes
    and secrets. Nothing else is changed but the image's name, and ports of the host that lead in."""
    pods = itertools.count()

    def __init__(self, folder, overlay, change=lambda deployment: None):
        subprocess.run([ROOT / "scripts/deploy-tools.sh"], check=True)
        self.own = f"nexus-kube-test-{os.getpid()}-{next(self.pods)}"
        self.file = folder / f"{self.own}.yaml"
        self.published = dict(zip((3000, 9090), free_ports(2)))
        objects = [one for one in parse(render(ROOT / "deploy/k8s/overlays" / overlay))
                   if one["kind"] in ("ConfigMap", "Deployment")]
        self.deployment = next(one for one in objects if one["kind"] == "Deployment")
        self.adapt(objects)
        change(self.deployment)
        self.file.write_text(yaml.safe_dump_all(objects))
        self.token = None
        with self.removed_on_failure():
            self.make_secret(folder)
            engine("kube", "play", self.file)
            self.name = f"{self.own}-pod-0-nexus"
            if not engine("ps", "-aq", "--filter", f"name=^{self.name}$").stdout:
                self.name = f"{self.own}-pod-nexus"  # by other versions of podman
            self.wait_until_listening()

    def adapt(self, objects):
        pod = self.deployment["spec"]["template"]["spec"]
        box = pod["containers"][0]
        self.deployment["metadata"]["name"] = self.own
        box["image"] = engine("image", "inspect", "--format", "{{index .RepoTags 0}}", IMAGE).stdout.strip()
        for port in box["ports"]:
            port["hostPort"] = self.published[port["containerPort"]]
        names = {one["metadata"]["name"] for one in objects if one["kind"] == "ConfigMap"}
        for volume in pod["volumes"]:
            volume["name"] = f"{self.own}-{volume['name']}"
            if "secret" in volume:
                volume["secret"]["secretName"] = f"{self.own}-{JWT}"
            if volume.get("configMap", {}).get("name") in names:
                volume["configMap"]["name"] = f"{self.own}-{volume['configMap']['name']}"
        for mount in box["volumeMounts"]:
            mount["name"] = f"{self.own}-{mount['name']}"
        for source in box["envFrom"]:
            source["configMapRef"]["name"] = f"{self.own}-{source['configMapRef']['name']}"
        for one in objects:
            if one["kind"] == "ConfigMap":
                one["metadata"]["name"] = f"{self.own}-{one['metadata']['name']}"

    def make_secret(self, folder):
        """podman keeps the whole Secret as one of its own."""
        text = yaml.safe_dump({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{self.own}-{JWT}"},
            "data": {"jwt-secret": base64.b64encode(secrets.token_urlsafe(48).encode()).decode()}})
        path = folder / f"{self.own}.secret"
        path.write_text(text)
        engine("secret", "create", f"{self.own}-{JWT}", path)
        path.unlink()

    def url(self, port=3000):
        return f"http://127.0.0.1:{self.published[port]}"

    def remove(self):
        engine("kube", "down", self.file, check=False)
        engine("secret", "rm", f"{self.own}-{JWT}", check=False)
        volumes = [name for name in engine("volume", "ls", "-q").stdout.split() if name.startswith(self.own)]
        if volumes:
            engine("volume", "rm", "-f", *volumes, check=False)
