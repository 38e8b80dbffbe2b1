# SPDX-License-Identifier: Apache-2.0
"""Who reaches the pods, and what they reach: the NetworkPolicies evaluated, address by address."""
import ipaddress
import re

import pytest

from conftest import K8S, ROOT, objects_of, parse
from manifests import network
from manifests.network import Address, Pod, Target

SERVER = Target("nexus", (("app.kubernetes.io/name", "nexus"),), (("http", 3000), ("metrics", 9090)))
CONTROLLER = Pod("ingress-nginx", (("app.kubernetes.io/name", "ingress-nginx"),))
PROMETHEUS = Pod("monitoring", (("app.kubernetes.io/name", "prometheus"),))
DNS = Pod("kube-system", (("k8s-app", "kube-dns"),))
WAYS_IN = [
    (CONTROLLER, "TCP", 3000, True),
    (CONTROLLER, "TCP", 9090, False),
    (CONTROLLER, "UDP", 3000, False),
    (PROMETHEUS, "TCP", 9090, True),
    (PROMETHEUS, "TCP", 3000, False),
    (Pod("ingress-nginx"), "TCP", 3000, False),
    (Pod("default", CONTROLLER.labels), "TCP", 3000, False),
    (Pod("monitoring", CONTROLLER.labels), "TCP", 3000, False),
    (Pod("nexus", SERVER.labels), "TCP", 3000, False),
    (Address("1.1.1.1"), "TCP", 3000, False),
    (Address("10.0.0.1"), "TCP", 9090, False),
]
WAYS_OUT = [
    (DNS, "UDP", 53, True),
    (DNS, "TCP", 53, True),
    (DNS, "TCP", 443, False),
    (Pod("kube-system"), "UDP", 53, False),
    (Pod("default", DNS.labels), "UDP", 53, False),
    (Pod("default"), "TCP", 80, False),
    (Pod("nexus", SERVER.labels), "TCP", 3000, False),
    (Address("93.184.215.14"), "TCP", 443, True),
    (Address("93.184.215.14"), "TCP", 80, True),
    (Address("93.184.215.14"), "TCP", 8080, False),
    (Address("93.184.215.14"), "UDP", 443, False),
    (Address("8.8.8.8"), "UDP", 53, False),
    (Address("2606:4700::1111"), "TCP", 443, True),
    (Address("2606:4700::1111"), "TCP", 22, False),
    (Address("10.96.0.1"), "TCP", 443, False),          # the cluster's API
    (Address("169.254.169.254"), "TCP", 80, False),     # metadata
    (Address("168.63.129.16"), "TCP", 80, False),
    (Address("100.64.0.1"), "TCP", 443, False),
    (Address("127.0.0.1"), "TCP", 80, False),
    (Address("192.168.1.1"), "TCP", 80, False),
    (Address("172.31.255.255"), "TCP", 443, False),
    (Address("172.32.0.0"), "TCP", 443, True),
    (Address("::1"), "TCP", 80, False),
    (Address("fd00:ec2::254"), "TCP", 80, False),       # metadata
    (Address("fe80::1"), "TCP", 80, False),
    (Address("::ffff:10.0.0.1"), "TCP", 80, False),
    (Address("64:ff9b::a00:1"), "TCP", 443, False),
    (Address("2002:a00:1::1"), "TCP", 443, False),
    (Address("2001::1"), "TCP", 443, False),
]


def policies_of(overlay):
    return [one for one in objects_of(overlay) if one["kind"] == "NetworkPolicy"]


def ids(rows):
    return [f"{getattr(peer, 'ip', None) or peer.namespace}-{protocol}-{port}-{'open' if here else 'shut'}"
            for peer, protocol, port, here in rows]


@pytest.mark.parametrize("peer, protocol, port, expected", WAYS_IN, ids=ids(WAYS_IN))
def test_ways_in(peer, protocol, port, expected):
    assert network.allows(policies_of("production"), SERVER, "Ingress", peer, protocol, port) is expected


@pytest.mark.parametrize("peer, protocol, port, expected", WAYS_OUT, ids=ids(WAYS_OUT))
def test_ways_out(peer, protocol, port, expected):
    assert network.allows(policies_of("production"), SERVER, "Egress", peer, protocol, port) is expected


@pytest.mark.parametrize("peer, protocol, port, expected", [row for row in WAYS_OUT if row[3]],
                         ids=ids([row for row in WAYS_OUT if row[3]]))
def test_without_the_http_extension_there_is_no_way_out(peer, protocol, port, expected):
    server = Target("nexus-dev", *(getattr(SERVER, name) for name in ("labels", "ports")))
    assert network.allows(policies_of("dev"), server, "Egress", peer, protocol, port) is not expected


def egress_tables():
    """The prefixes that the server itself refuses, from src/ext/egress.c: {4: [...], 6: [...]}"""
    source = (ROOT / "src/ext/egress.c").read_text()
    found = {}
    for version, name in ((4, "refused_v4"), (6, "refused_v6")):
        table = re.search(rf"{name}\[\] = \{{(.*?)\n\}};", source, re.S)[1]
        found[version] = []
        for row, bits in re.findall(r"\{\{([^}]*)\}, (\d+),", table):
            octets, place = bytearray(16), 0
            for number in row.split(","):
                jump = re.match(r"\s*\[(\d+)\] = (.*)", number)
                place, number = (int(jump[1]), jump[2]) if jump else (place, number)
                octets[place] = int(number.strip(), 0)
                place += 1
            text = str(ipaddress.ip_address(bytes(octets[:4] if version == 4 else octets)))
            found[version].append(ipaddress.ip_network(f"{text}/{bits}"))
    return found


def test_the_cluster_lets_through_what_the_server_does():
    """Both lists, the manifest's and the server's, at every edge of every range of either."""
    tables, policies = egress_tables(), policies_of("production")
    assert len(tables[4]) >= 16 and len(tables[6]) >= 15
    block = [one["ipBlock"] for policy in policies for rule in policy["spec"].get("egress", [])
             for one in rule["to"] if "ipBlock" in one]
    ranges = [*tables[4], *tables[6], *(ipaddress.ip_network(text) for one in block
                                        for text in (one["cidr"], *one["except"]))]
    tried = 0
    for where in ranges:
        for address in {int(where[0]) - 1, int(where[0]), int(where[-1]), int(where[-1]) + 1}:
            if not 0 <= address < 2 ** where.max_prefixlen:
                continue
            ip = ipaddress.IPv4Address(address) if where.version == 4 else ipaddress.IPv6Address(address)
            refused = any(ip in one for one in tables[where.version])
            if where.version == 6 and ip not in ipaddress.ip_network("2000::/3"):
                refused = True
            here = network.allows(policies, SERVER, "Egress", Address(str(ip)), "TCP", 443)
            assert here is not refused, ip
            tried += 1
    assert tried > 100


def test_no_address_that_is_reached_is_special():
    """Python's own idea of what is global, at both ends of each range that is special."""
    policies = policies_of("production")
    for ip in network.edges(network.NOT_PUBLIC):
        assert not network.allows(policies, SERVER, "Egress", Address(ip), "TCP", 443), ip
    for ip in network.PUBLIC:
        assert ipaddress.ip_address(ip).is_global, ip
        assert network.allows(policies, SERVER, "Egress", Address(ip), "TCP", 443), ip


# ---- The evaluation itself --------------------------------------------------------------------------

def policy(text):
    return parse(f"kind: NetworkPolicy\nmetadata: {{name: x, namespace: nexus}}\nspec:\n{text}")[0]


def test_without_policies_everything_is_open():
    assert network.allows([], SERVER, "Ingress", Pod("any"), "TCP", 1)
    assert network.allows([], SERVER, "Egress", Address("10.0.0.1"), "UDP", 1)


def test_a_policy_closes_the_direction_it_names_for_the_pods_it_selects():
    closed = policy("  podSelector: {matchLabels: {app.kubernetes.io/name: nexus}}\n  policyTypes: [Egress]")
    assert network.allows([closed], SERVER, "Ingress", Pod("any"), "TCP", 1)
    assert not network.allows([closed], SERVER, "Egress", Pod("any"), "TCP", 1)
    assert network.allows([closed], Target("nexus", (("a", "b"),)), "Egress", Pod("any"), "TCP", 1)
    assert network.allows([closed], Target("other", SERVER.labels), "Egress", Pod("any"), "TCP", 1)


def test_two_items_of_a_list_mean_either_two_fields_of_one_mean_both():
    both = policy("  podSelector: {}\n  ingress:\n    - from:\n"
                  "        - {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: a}}, podSelector: "
                  "{matchLabels: {x: y}}}")
    either = policy("  podSelector: {}\n  ingress:\n    - from:\n"
                    "        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: a}}\n"
                    "        - podSelector: {matchLabels: {x: y}}")
    assert not network.allows([both], SERVER, "Ingress", Pod("a"), "TCP", 1)
    assert network.allows([both], SERVER, "Ingress", Pod("a", (("x", "y"),)), "TCP", 1)
    assert network.allows([either], SERVER, "Ingress", Pod("a"), "TCP", 1)
    assert network.allows([either], SERVER, "Ingress", Pod("nexus", (("x", "y"),)), "TCP", 1)
    assert not network.allows([either], SERVER, "Ingress", Pod("b", (("x", "y"),)), "TCP", 1)


def test_ports_by_number_name_and_range():
    ports = policy("  podSelector: {}\n  ingress:\n    - ports: [{port: http}, {port: 10, endPort: 12}, "
                   "{protocol: UDP, port: 53}]")
    reached = [(protocol, port) for protocol in ("TCP", "UDP") for port in (9, 10, 12, 13, 53, 3000)
               if network.allows([ports], SERVER, "Ingress", Pod("any"), protocol, port)]
    assert reached == [("TCP", 10), ("TCP", 12), ("TCP", 3000), ("UDP", 53)]


def test_every_exception_is_inside_its_block():
    """The API refuses a policy with one that is not."""
    text = (K8S / "components/http-extension/networkpolicies.yaml").read_text()
    for item in parse(text):
        for rule in item["spec"]["egress"]:
            for block in (one["ipBlock"] for one in rule["to"] if "ipBlock" in one):
                for one in block["except"]:
                    assert ipaddress.ip_network(one).subnet_of(ipaddress.ip_network(block["cidr"])), one
