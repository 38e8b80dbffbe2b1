# SPDX-License-Identifier: Apache-2.0
"""A strict reader of Prometheus' text format 0.0.4: what it does not expect is an error."""
import math
import re

TYPES = {"counter", "gauge", "histogram"}
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN")


class Malformed(Exception):
    pass


class Family:
    def __init__(self, name, kind, text):
        self.name, self.kind, self.help = name, kind, text
        self.samples = {}  # (name, labels as sorted pairs) -> value

    def value(self, suffix="", **labels):
        return self.samples[(self.name + suffix, tuple(sorted(labels.items())))]


def read_labels(text):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        if not match or match[1] in labels or (match[3] == "," and match.end() == len(text)):
            raise Malformed(f"labels: {text}")
        labels[match[1]] = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], match[2])
        at = match.end()
    return labels


def read_value(text):
    if not NUMBER.fullmatch(text):
        raise Malformed(f"value: {text}")
    return float(text)


def read_sample(line, family):
    match = SAMPLE.fullmatch(line)
    if not match or match[2] == "":
        raise Malformed(f"sample: {line}")
    suffixes = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
    if match[1] not in [family.name + suffix for suffix in suffixes]:
        raise Malformed(f"{match[1]} stands under {family.name}")
    key = (match[1], tuple(sorted(read_labels(match[2] or "").items())))
    if key in family.samples:
        raise Malformed(f"series twice: {line}")
    value = read_value(match[3])
    if value < 0 or (family.kind != "gauge" and not math.isfinite(value)):
        raise Malformed(f"a value no {family.kind} has: {line}")
    family.samples[key] = value


def check_histogram(family):
    """The one series of a histogram without labels: buckets rise, the last one is the count."""
    buckets = [(dict(labels), value) for (name, labels), value in family.samples.items()
               if name.endswith("_bucket")]
    bounds = [read_value(labels.pop("le")) for labels, _ in buckets]
    counts = [value for _, value in buckets]
    if any(labels for labels, _ in buckets):
        raise Malformed(f"{family.name}: labels beside le")
    if bounds != sorted(set(bounds)) or bounds[-1:] != [math.inf]:
        raise Malformed(f"{family.name}: bounds {bounds}")
    if counts != sorted(counts) or counts[-1] != family.value("_count"):
        raise Malformed(f"{family.name}: counts {counts}")
    least = sum((n - below) * bound for n, below, bound in zip(counts, [0] + counts, [0.0] + bounds))
    if family.value("_sum") < least * 0.999999:
        raise Malformed(f"{family.name}: a sum of {family.value('_sum')}, at least {least} by its buckets")


def read(text):
    """name -> Family. Every family has HELP, TYPE and, together, its samples."""
    if not text.endswith("\n"):
        raise Malformed("the last line has no end")
    families, family, about = {}, None, None
    for line in text[:-1].split("\n"):
        helps = re.fullmatch(rf"# HELP ({NAME}) (.+)", line)
        kind = re.fullmatch(rf"# TYPE ({NAME}) (\w+)", line)
        if helps:
            about, family = helps, None
        elif kind:
            if not about or about[1] != kind[1] or kind[1] in families or kind[2] not in TYPES:
                raise Malformed(line)
            if (kind[2] == "counter") != kind[1].endswith("_total"):
                raise Malformed(f"{kind[1]} is a {kind[2]}")
            family = families[kind[1]] = Family(kind[1], kind[2], about[2])
        elif family:
            read_sample(line, family)
        else:
            raise Malformed(line)
    for one in families.values():
        if one.kind == "histogram":
            check_histogram(one)
    return families


def check_no_counter_fell(before, after):
    """Series stay, and what counts only rises."""
    for name, family in before.items():
        for key, value in family.samples.items():
            now = after[name].samples.get(key)
            if family.kind != "gauge" and (now is None or now < value):
                raise Malformed(f"{key}: {value}, then {now}")
