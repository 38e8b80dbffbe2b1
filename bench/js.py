# SPDX-License-Identifier: Apache-2.0
"""The guest's JavaScript against native QuickJS of the same source: bench/js/*.js."""
import pathlib
import subprocess
import sys

from report import Figure, geometric_mean

SCRIPTS = sorted((pathlib.Path(__file__).parent / "js").glob("*.js"))
ROUNDS = 7
RUNS = 5  # of a script in one process, of which the program reports the median


def run(command):
    """(milliseconds, the script's result)"""
    out = subprocess.run([*command, str(RUNS)], check=True, capture_output=True, text=True).stdout
    milliseconds, result = out.rstrip("\n").split("\t")
    return float(milliseconds), result


def measure(guest_program, native_program):
    guest = {script: [] for script in SCRIPTS}
    native = {script: [] for script in SCRIPTS}
    for number in range(ROUNDS):
        for script in SCRIPTS:
            sides = [(guest, [guest_program, "js", script]), (native, [native_program, script])]
            results = set()
            for into, command in sides if number % 2 == 0 else reversed(sides):
                milliseconds, result = run(command)
                into[script].append(milliseconds)
                results.add(result)
            if len(results) != 1:
                sys.exit(f"bench: {script.name} gives different results in the guest and natively")
    figures, ratios = [], {}
    for script in SCRIPTS:
        figures.append(Figure("JavaScript, in the sandbox", script.stem, "ms", guest[script]))
    for script in SCRIPTS:
        figures.append(Figure("JavaScript, native QuickJS", script.stem, "ms", native[script]))
    for script in SCRIPTS:
        ratios[script] = [a / b for a, b in zip(guest[script], native[script])]
        figures.append(Figure("JavaScript, sandbox / native", script.stem, "×", ratios[script]))
    means = [geometric_mean(round_) for round_ in zip(*ratios.values())]
    figures.append(Figure("JavaScript, sandbox / native", "geometric mean", "×", means, goal=1.25))
    return figures
