#!/usr/bin/python3
"""Writes trajectories.json beside this file: 20 training steps of a small network by each optimizer, in double.

Independent of heft: NumPy only, the formulas as the papers and PyTorch state them, the average u and exp(z) as plain
numbers. tests/optim/trajectory_test.cpp reproduces them. Run: /usr/bin/python3 tests/golden/make_trajectories.py
"""
import json
import math
import pathlib

import numpy as np

INPUTS, HIDDEN, CLASSES, BATCH, STEPS = 3, 4, 3, 8, 20
RAGGED = {6: 3, 13: 5, 19: 1}  # step: samples, where the batch is not full


def batch(step):
    n = RAGGED.get(step, BATCH)
    x = np.array([[math.sin(1 + 0.7 * step + 1.3 * i + 2.1 * j) for j in range(INPUTS)] for i in range(n)])
    return x, np.array([(i * i + step) % CLASSES for i in range(n)])


def initial():
    shapes = [(HIDDEN, INPUTS), (HIDDEN,), (CLASSES, HIDDEN), (CLASSES,)]
    result, k = [], 0
    for shape in shapes:
        count = int(np.prod(shape))
        result.append(np.array([0.8 * math.sin(k + i + 1) for i in range(count)]).reshape(shape))
        k += count
    return result


def losses_and_gradients(p, x, y):
    """Per-sample cross entropy, and a function from the weights of the samples to the gradients of sum w_i loss_i."""
    w1, b1, w2, b2 = p
    h = np.tanh(x @ w1.T + b1)
    z = h @ w2.T + b2
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(y))

    def gradients(w):
        dz = np.exp(log_p)
        dz[rows, y] -= 1
        dz = dz * w[:, None]
        da = (dz @ w2) * (1 - h * h)
        return [da.T @ x, da.sum(axis=0), dz.T @ h, dz.sum(axis=0)]

    return -log_p[rows, y], gradients


def sgd(lr, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0):
    velocity = {}

    def step(p, g, t):
        for i in range(len(p)):
            d = g[i] + weight_decay * p[i]
            if momentum:
                velocity[i] = d.copy() if t == 1 else momentum * velocity[i] + (1 - dampening) * d
                d = d + momentum * velocity[i] if nesterov else velocity[i]
            p[i] = p[i] - lr * d

    return step


def adam(lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, decoupled=False):
    m, v = {}, {}

    def step(p, g, t):
        for i in range(len(p)):
            d = g[i] if decoupled else g[i] + weight_decay * p[i]
            if decoupled:
                p[i] = p[i] * (1 - lr * weight_decay)
            m[i] = beta1 * m.get(i, 0) + (1 - beta1) * d
            v[i] = beta2 * v.get(i, 0) + (1 - beta2) * d * d
            p[i] = p[i] - lr * (m[i] / (1 - beta1**t)) / (np.sqrt(v[i] / (1 - beta2**t)) + eps)

    return step


def mean():
    return lambda losses: (np.ones(len(losses)), None, 0)


def official(lam, gamma, alpha):
    """The authors' code: u_0 = 0, the same gamma for every batch."""
    u = 0.0

    def weigh(losses):
        nonlocal u
        e = np.exp(losses / lam)
        u = (1 - gamma) * u + gamma * alpha * e.mean()
        return e / u, u, 0

    return weigh


def corrected(lam, gamma, alpha, clip=5.0):
    """Bias-corrected u, gamma by batch size, z bounded by level + log N + clip."""
    u, left = 0.0, 1.0  # u before the correction; left = product of (1 - gamma_t)

    def weigh(losses):
        nonlocal u, left
        n = len(losses)
        z = losses / lam
        level = math.log(u / (1 - left) / alpha) if left < 1 else sorted(z)[(n - 1) // 2]
        top = level + math.log(n) + clip
        clipped = int((z > top).sum())
        e = np.exp(np.minimum(z, top))
        gamma_n = 1 - (1 - gamma) ** (n / BATCH)
        u = (1 - gamma_n) * u + gamma_n * alpha * e.mean()
        left *= 1 - gamma_n
        return e / (u / (1 - left)), u / (1 - left), clipped

    return weigh


RUNS = {
    "sgd": (sgd(0.1), mean()),
    "sgd_momentum": (sgd(0.05, momentum=0.9, weight_decay=0.01), mean()),
    "sgd_dampening": (sgd(0.1, momentum=0.5, dampening=0.25), mean()),
    "sgd_nesterov": (sgd(0.05, momentum=0.9, nesterov=True, weight_decay=0.01), mean()),
    "adam": (adam(0.01, weight_decay=0.01), mean()),
    "adamw": (adam(0.01, weight_decay=0.1, decoupled=True), mean()),
    "absgd_5": (sgd(0.05, momentum=0.9, weight_decay=5e-4), corrected(5, 0.9, 1)),
    "absgd_-2": (sgd(0.05, momentum=0.9, weight_decay=5e-4), corrected(-2, 0.9, 1)),
    "absgd_0.5": (sgd(0.05, momentum=0.9, weight_decay=5e-4), corrected(0.5, 0.4, 0.8)),
    "absgd_0.05_clipped": (sgd(0.005, momentum=0.9, weight_decay=5e-4), corrected(0.05, 0.5, 1, clip=1)),
    "absgd_5_official": (sgd(0.05, momentum=0.9, weight_decay=5e-4), official(5, 0.9, 1)),
    "absgd_-2_official": (sgd(0.05, momentum=0.9, weight_decay=5e-4), official(-2, 0.5, 0.5)),
    "absgd_0.5_official": (sgd(0.05, momentum=0.9, weight_decay=5e-4), official(0.5, 0.7, 0.5)),
    "abadam_0.5": (adam(0.01), corrected(0.5, 0.9, 1)),
}


def run(step, weigh):
    p, trajectory = initial(), []
    for t in range(1, STEPS + 1):
        losses, gradients = losses_and_gradients(p, *batch(t - 1))
        w, u, clipped = weigh(losses)
        step(p, gradients(w / len(w)), t)
        one = {"parameters": np.concatenate([v.ravel() for v in p]).tolist()}
        if u is not None:
            one |= {"u": float(u), "w": w.tolist(), "clipped": clipped}
        trajectory.append(one)
    return trajectory


def main():
    lines = ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(one, separators=(",", ":")) for one in run(*parts)) + "]"
        for name, parts in RUNS.items())
    path = pathlib.Path(__file__).with_name("trajectories.json")
    path.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
