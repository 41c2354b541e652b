#!/usr/bin/env python3
"""Where a step's time goes on a GPU, kernel by kernel, from what a profiler wrote of `heft-bench serve MODEL train BATCH`.

  ncu --csv --print-kernel-base demangled --log-file ncu.csv --metrics gpu__time_duration.sum heft-bench serve ... --graph off
  nsys profile -o run ... && nsys stats --report cuda_gpu_trace --format csv run.nsys-rep > nsys.csv
  bench/kernels.py --title "resnet20, batch 128, TF32" ncu.csv

prints a Markdown table of the last step, or of the mean of the last --steps. Steps are told apart by the kernel of the batch's
weights (step_kernel), which runs once in each.

Exit codes: 0 success, 1 no steps are found in the file, 2 wrong argument.
"""
import argparse
import collections
import csv
import re
import sys

ANCHOR = re.compile(r"\bstep_kernel\b")
MICROSECONDS = {"s": 1e6, "second": 1e6, "ms": 1e3, "msecond": 1e3, "us": 1, "usecond": 1, "ns": 1e-3, "nsecond": 1e-3}


def rows_of(path):
    """The table in a CSV file that may have other lines before it, as dictionaries."""
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        lines = [line for line in file if not line.startswith("==")]
    for start, line in enumerate(lines):
        if re.match(r'"?(ID"?,"?Process ID|Start \(ns\))', line):
            return list(csv.DictReader(lines[start:]))
    return []


def launches(path):
    """(kernel, microseconds) in the order in which they ran."""
    result = []
    unit = None
    for row in rows_of(path):
        try:
            if "Duration (ns)" in row:  # nsys: copies and fills too
                result.append((row["Name"], float(row["Duration (ns)"]) / 1e3))
            elif "Metric Value" in row:  # ncu, a line a metric
                if row["Metric Name"] == "gpu__time_duration.sum":
                    value = float(row["Metric Value"].replace(",", ""))
                    result.append((row["Kernel Name"], value * MICROSECONDS[row["Metric Unit"]]))
            elif not row.get("Kernel Name"):  # ncu --page raw: units come first
                unit = MICROSECONDS[row["gpu__time_duration.sum"]]
            else:
                result.append((row["Kernel Name"], float(row["gpu__time_duration.sum"].replace(",", "")) * (unit or 1e-3)))
        except (KeyError, TypeError, ValueError):
            continue  # the profiler's remarks below the table
    return result


def template_arguments(text):
    """Those of a template, whose `<` is at the beginning of the text."""
    depth, begin, arguments = 0, 1, []
    for at, letter in enumerate(text):
        if letter in "<([{":
            depth += 1
        elif letter in ">)]}":
            depth -= 1
        if depth == 0 or (depth == 1 and letter == ","):
            arguments.append(text[begin:at].strip())
            begin = at + 1
            if depth == 0:
                break
    return arguments


def short(name):
    """conv_tile_kernel<4, 1, 32> where template arguments are numbers; map_kernel (fn::Add) where they are a function."""
    if name.startswith("["):
        return name
    product = re.match(r"sm\d+_xmma_gemm_(\w+?)_([nt]{2})_n_tilesize(\w+?)_", name)
    if product:
        return f"cuBLAS {product[1]} {product[2]} {product[3]}"
    name = re.sub(r"\((?:int|bool|unsigned int|long|unsigned long)\)", "", name)
    name = name.replace("(anonymous namespace)::", "").replace("<unnamed>::", "").replace("unnamed>::", "")
    head = re.match(r"(?:void\s+|static\s+)*((?:\w+::)*)(\w+)", name)
    if not head:
        return name[:60]
    base = head[2] if head[1].startswith("heft::") or not head[1] else head[1] + head[2]
    rest = name[head.end():]
    if not rest.startswith("<"):
        return base[:60]
    arguments = template_arguments(rest)
    if arguments and all(re.fullmatch(r"-?\d+|true|false", a) for a in arguments):
        return f"{base}<{', '.join(arguments)}>"
    inner = ", ".join(arguments)
    function = re.search(r"\bfn::\w+", inner)
    if function:
        return f"{base} ({function[0]})"
    before_lambda = re.search(r"(\w+)(?:<[^<>]*>)?\((?:[^()]|\([^()]*\))*\)(?: const)?::(?:\[lambda|\{lambda|'lambda)", inner)
    return f"{base} ({before_lambda[1]})" if before_lambda else base[:60]


def last_steps(run, steps):
    """The launches of the last so many steps, and how many steps that is."""
    anchors = [i for i, (name, _) in enumerate(run) if ANCHOR.search(name)]
    if len(anchors) < 2:
        return [], 0
    length = anchors[-1] - anchors[-2]
    steps = min(steps, sum(1 for a, b in zip(anchors, anchors[1:]) if b - a == length))
    return run[-length * steps:], steps


def table(title, run, steps):
    count, total = collections.Counter(), collections.Counter()
    for name, microseconds in run:
        count[short(name)] += 1
        total[short(name)] += microseconds
    everything = sum(total.values())
    lines = [f"## {title}", "", "| kernel | launches | us in all | us each | % |", "|---|---|---|---|---|"]
    for name, microseconds in sorted(total.items(), key=lambda item: -item[1]):
        lines.append(f"| `{name}` | {count[name] / steps:g} | {microseconds / steps:.1f} | {microseconds / count[name]:.2f} "
                     f"| {100 * microseconds / everything:.1f} |")
    lines.append(f"| all | {len(run) / steps:g} | {everything / steps:.1f} | | |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", help="what the profiler wrote")
    parser.add_argument("--title", default="A training step", help="heading of the table")
    parser.add_argument("--steps", type=int, default=1, help="the mean of so many of the last steps [1]")
    args = parser.parse_args()
    run, steps = last_steps(launches(args.csv), max(args.steps, 1))
    if steps == 0:
        print(f"kernels.py: expected kernels of at least two training steps in {args.csv}; found none", file=sys.stderr)
        sys.exit(1)
    sys.stdout.write(table(args.title, run, steps))


if __name__ == "__main__":
    main()
