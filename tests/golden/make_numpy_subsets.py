#!/usr/bin/python3
"""Writes numpy_subsets.json beside this file: what NumPy's legacy random numbers (numpy.random.seed, numpy.random.shuffle)
give, and which images the published imbalanced CIFAR keeps.

NumPy promises that this stream never changes (NEP 19). The labels are made up with the real sizes: label i of n images in
C classes is (7 i + i // C) mod C. Long lists appear as their length, their first entries and an FNV-1a hash of all as
four bytes each, low byte first. tests/data/numpy_random_test.cpp reproduces them.
Run: /usr/bin/python3 tests/golden/make_numpy_subsets.py
"""
import json
import pathlib

import numpy as np


def digest(values):
    result = 0xCBF29CE484222325
    for byte in np.asarray(values).astype("<u4").tobytes():
        result = ((result ^ byte) * 0x100000001B3) % 2**64
    return {"size": len(values), "first": [int(v) for v in values[:12]], "fnv1a": f"{result:016x}"}


def words(seed):
    return {"seed": seed, "words": digest(np.random.RandomState(seed).randint(0, 2**32, 2000, dtype=np.uint32))}


def shuffle(seed, n):
    np.random.seed(seed)
    order = np.arange(n)
    np.random.shuffle(order)
    after = np.random.randint(0, 2**32, 1, dtype=np.uint32)  # a shuffle that uses more or fewer numbers shows here
    return {"seed": seed, "n": n, "order": digest(order), "after": int(after[0])}


def subset(seed, classes, profile, ratio):
    i = np.arange(50000)
    labels = (7 * i + i // classes) % classes
    largest = 50000 / classes
    np.random.seed(seed)
    kept = []
    for c in range(classes):
        share = ratio ** (c / (classes - 1)) if profile == "exponential" else 1 if c < classes // 2 else ratio
        members = np.flatnonzero(labels == c)
        np.random.shuffle(members)
        kept.append(members[: int(largest * share)])
    first_of_last = [int(v) for v in kept[-1][:5]]
    return {"seed": seed, "classes": classes, "profile": profile, "ratio": ratio, "kept": digest(np.concatenate(kept)),
            "first_of_last_class": first_of_last}


golden = {
    "words": [words(seed) for seed in (0, 1, 7, 2**31, 2**32 - 1)],
    "shuffles": [shuffle(seed, n) for seed, n in ((0, 0), (0, 1), (0, 2), (3, 12), (7, 1000), (2**32 - 1, 70000))],
    "subsets": [subset(0, 10, "exponential", 0.01), subset(7, 10, "exponential", 0.01), subset(0, 10, "exponential", 0.1),
                subset(0, 10, "step", 0.01), subset(0, 100, "exponential", 0.01)],
}
target = pathlib.Path(__file__).with_name("numpy_subsets.json")
target.write_text(json.dumps(golden, indent=1) + "\n")
