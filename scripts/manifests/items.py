# SPDX-License-Identifier: Apache-2.0
"""The list of items. Each is a function from Manifests to what is wrong, one text for each finding."""
import dataclasses
from typing import Callable


@dataclasses.dataclass(frozen=True)
class Item:
    name: str
    source: str    # the rule it is from: Pod Security Standards, CIS Kubernetes, or how the server works
    says: str      # what holds when it is ok
    find: Callable


ITEMS = []


def item(name, source, says):
    def register(find):
        ITEMS.append(Item(name, source, says, find))
        return find
    return register


def _findings(one, manifests):
    try:
        return list(one.find(manifests))
    # An object that lacks what the API demands. What cannot be read is not ok.
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return [f"cannot be judged: {type(error).__name__}: {error}"]


def check(manifests):
    """[(item, findings)], in order."""
    return [(one, _findings(one, manifests)) for one in ITEMS]
