#!/usr/bin/python3
"""Writes losses.json beside this file: losses of five samples of three classes and their gradients, by the definitions.

Independent of heft and of NumPy: 60 decimal digits, probabilities as plain numbers, logarithms of them, and gradients by
central differences. tests/layers/losses_golden_test.cpp compares. Run: /usr/bin/python3 tests/golden/make_losses.py
"""
import json
import pathlib
from decimal import Decimal, getcontext

getcontext().prec = 60
D = Decimal

LOGITS = [["0.3", "-1.2", "2.5"], ["0.9", "0.8", "-0.7"], ["4", "0", "-4"], ["-9", "3", "1"], ["12", "-12", "-11.5"]]
LABELS = [2, 1, 1, 0, 0]
COUNTS = [5000, 387, 50]
STEP = D("1e-20")


def probabilities(z):
    e = [v.exp() for v in z]
    return [v / sum(e) for v in e]


def cross_entropy(z, y):
    return -probabilities(z)[y].ln()


def smoothed(z, y, e=D("0.1")):
    targets = [e / 3 + (1 - e if c == y else 0) for c in range(3)]
    return -sum(t * p.ln() for t, p in zip(targets, probabilities(z)))


def effective_number(z, y, b=D("0.9999")):
    w = [(1 - b) / (1 - b**n) for n in COUNTS]
    return 3 * w[y] / sum(w) * cross_entropy(z, y)


def ldam(z, y, largest=D("0.5"), scale=30):
    margins = [1 / D(n) ** D("0.25") for n in COUNTS]
    margin = margins[y] * largest / max(margins)
    return cross_entropy([scale * (v - margin if c == y else v) for c, v in enumerate(z)], y)


def focal(z, y, gamma):
    p = probabilities(z)[y]
    return -((1 - p) ** gamma) * p.ln()


def adjusted(z, y, tau):
    return cross_entropy([v + tau * (D(n) / sum(COUNTS)).ln() for v, n in zip(z, COUNTS)], y)


def symmetric(z, y, alpha=D("0.1"), beta=D(1)):
    reverse = -sum(p * max(D(c == y), D("1e-4")).ln() for c, p in enumerate(probabilities(z)))
    return alpha * cross_entropy(z, y) + beta * reverse


def generalized(z, y, q=D("0.7")):
    return (1 - probabilities(z)[y] ** q) / q


def truncated(z, y, q=D("0.7"), k=D("0.5")):
    return (1 - probabilities(z)[y] ** q) / q - (1 - k**q) / q


def on_the_sphere(z, y):
    length = sum(v * v for v in z).sqrt()
    return cross_entropy([v / length for v in z], y)


LOSSES = {
    "cross_entropy": cross_entropy,
    "label_smoothing": smoothed,
    "effective_number": effective_number,
    "ldam": ldam,
    "focal_1": lambda z, y: focal(z, y, D(1)),
    "focal_2.5": lambda z, y: focal(z, y, D("2.5")),
    "logit_adjustment": lambda z, y: adjusted(z, y, D(1)),
    "logit_adjustment_0.5": lambda z, y: adjusted(z, y, D("0.5")),
    "symmetric": symmetric,
    "generalized": generalized,
    "truncated": truncated,
    "normalized_logits": on_the_sphere,
}


def gradient(loss, z, y):
    result = []
    for c in range(3):
        up, down = list(z), list(z)
        up[c] += STEP
        down[c] -= STEP
        result.append(float((loss(up, y) - loss(down, y)) / (2 * STEP)))
    return result


def main():
    rows = [[D(v) for v in row] for row in LOGITS]
    lines = [f'"logits": {json.dumps([[float(v) for v in row] for row in rows])}', f'"labels": {LABELS}', f'"counts": {COUNTS}']
    for name, loss in LOSSES.items():
        values = [float(loss(z, y)) for z, y in zip(rows, LABELS)]
        gradients = [gradient(loss, z, y) for z, y in zip(rows, LABELS)]
        lines.append(f'"{name}": {{"values": {json.dumps(values)},\n  "gradients": {json.dumps(gradients)}}}')
    path = pathlib.Path(__file__).with_name("losses.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


main()
