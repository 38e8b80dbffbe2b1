# SPDX-License-Identifier: Apache-2.0
"""Figures, and how they are shown."""
import dataclasses
import datetime
import json
import math
import os
import pathlib
import platform
import statistics


@dataclasses.dataclass
class Figure:
    """One measured quantity: all its samples, in `unit`."""
    section: str
    name: str
    unit: str
    samples: list
    goal: float | None = None  # in the same unit
    at_least: bool = False     # the goal is a floor, not a ceiling
    note: str = ""

    @property
    def median(self):
        return statistics.median(self.samples)

    def verdict(self):
        if self.goal is None:
            return ""
        met = self.median >= self.goal if self.at_least else self.median <= self.goal
        return f"{'≥' if self.at_least else '≤'} {number(self.goal)}: {'met' if met else 'missed'}"


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values))


def number(value):
    """Three significant digits, or all of a whole number."""
    if value >= 1000:
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(digits, 0)}f}"


def table(figures):
    """Text for a terminal."""
    rows, section = [], None
    for figure in figures:
        if figure.section != section:
            section = figure.section
            rows += [None, (section, "median", "min", "max", "unit", "goal")]
        rows.append((f"  {figure.name}", number(figure.median), number(min(figure.samples)),
                     number(max(figure.samples)), figure.unit,
                     figure.verdict() or figure.note))
    width = max(len(row[0]) for row in rows if row)
    lines = []
    for row in rows:
        lines.append("" if row is None else
                     f"{row[0]:<{width}} {row[1]:>10} {row[2]:>10} {row[3]:>10}  {row[4]:<6} {row[5]}".rstrip())
    return "\n".join(lines)


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    models = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.machine(), "cpus": os.cpu_count(),
            "kernel": platform.release()}


def write(path, figures):
    """The same as JSON, with every sample."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({
        "taken": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": [{"section": f.section, "name": f.name, "unit": f.unit, "median": f.median,
                     "min": min(f.samples), "max": max(f.samples), "goal": f.goal,
                     "samples": f.samples} for f in figures]}, indent=1) + "\n", encoding="utf-8")
