# SPDX-License-Identifier: Apache-2.0
"""What NetworkPolicies let through, evaluated as the API defines it: a pod that any policy selects for a
direction is closed in that direction but for what the rules of those policies allow."""
import dataclasses
import functools
import ipaddress

from .objects import dig, selects

# Special-purpose ranges of the IANA registries, cloud metadata addresses among them: nothing that a
# handler may reach. One address at each end of each range is tried.
NOT_PUBLIC = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
    "169.254.169.254/32", "100.100.100.200/32", "192.0.0.192/32",
    "::/128", "::1/128", "::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
    "2001::/32", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7",
    "fd00:ec2::254/128", "fd20:ce::254/128", "fe80::/10", "fec0::/10", "ff00::/8",
]
# Addresses of public resolvers and next to the edges of the ranges above.
PUBLIC = ["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255",
          "172.32.0.0", "192.167.255.255", "192.169.0.0", "223.255.255.255",
          "2001:4860:4860::8888", "2606:4700:4700::1111", "2a00:1450:4001::1", "2003::1"]


@dataclasses.dataclass(frozen=True)
class Address:
    """A peer outside the cluster."""
    ip: str


@dataclasses.dataclass(frozen=True)
class Pod:
    """A peer inside it: its labels and its namespace's, as pairs."""
    namespace: str
    labels: tuple = ()

    def namespace_labels(self):
        return {"kubernetes.io/metadata.name": self.namespace}


@dataclasses.dataclass(frozen=True)
class Target:
    """The pods that are protected: namespace, labels, and names of ports."""
    namespace: str
    labels: tuple
    ports: tuple = ()


_network = functools.lru_cache(maxsize=1024)(ipaddress.ip_network)
_address = functools.lru_cache(maxsize=4096)(ipaddress.ip_address)


@functools.cache
def _covers(block, ip):
    """Whether an address is in a block; not if they are of different families."""
    network, address = _network(block), _address(ip)
    return network.version == address.version and address in network


def edges(ranges):
    for text in ranges:
        yield str(_network(text)[0])
        yield str(_network(text)[-1])


def _peer_matches(rule, peer, own_namespace):
    if isinstance(peer, Address):
        block = rule.get("ipBlock")
        return bool(block) and _covers(block["cidr"], peer.ip) and not any(
            _covers(one, peer.ip) for one in block.get("except") or [])
    if "ipBlock" in rule:
        return False
    if "namespaceSelector" in rule:
        if not selects(rule["namespaceSelector"], peer.namespace_labels()):
            return False
    elif peer.namespace != own_namespace:
        return False
    return "podSelector" not in rule or selects(rule["podSelector"], dict(peer.labels))


def _port_matches(rule, protocol, port, names):
    if rule.get("protocol", "TCP") != protocol:
        return False
    wanted = rule.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return names.get(wanted) == port
    return wanted <= port <= rule.get("endPort", wanted)


def _policies_for(policies, target, direction):
    for policy in policies:
        spec = policy.get("spec") or {}
        default = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
        if (dig(policy, "metadata", "namespace", default=target.namespace) == target.namespace and
                direction in (spec.get("policyTypes") or default) and
                selects(spec.get("podSelector"), dict(target.labels))):
            yield spec


def open_ports(policies, target, direction, peer, candidates):
    """Of the candidates (protocol, port): on which `target` may be reached by `peer` (Ingress), or may
    reach the peer (Egress)."""
    names = dict(target.ports) if direction == "Ingress" else {}
    rules, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    closed, found = False, set()
    for spec in _policies_for(policies, target, direction):
        closed = True
        for rule in spec.get(rules) or []:
            if rule.get(peers) and not any(_peer_matches(one, peer, target.namespace) for one in rule[peers]):
                continue
            found |= {(protocol, port) for protocol, port in candidates if not rule.get("ports") or any(
                _port_matches(one, protocol, port, names) for one in rule["ports"])}
    return found if closed else set(candidates)


def allows(policies, target, direction, peer, protocol, port):
    return bool(open_ports(policies, target, direction, peer, [(protocol, port)]))
