#!/usr/bin/env python3
"""What training reaches on a device, over seeds, and beside what it reached on another.

  bench/accuracy.py --heft build/ci/heft --device cpu --out bench/results/cpu_accuracy.md
  bench/accuracy.py --heft build/cuda/heft --device cuda --beside bench/results/cpu_accuracy.md --out bench/results/gpu_accuracy.md

trains each model with each optimizer and seed on all of Fashion-MNIST by `heft train`, with its defaults. A seed fixes the first
weights and the order of the images alike on every device, so that all that differs is how sums round; what rounding alone does to
the accuracy is as much as what a seed does. `--beside` takes a table that this program wrote. Runs stay in --runs, one folder
each, and one that has ended there with the same command is not repeated.

Exit codes: 0 success, 1 a run failed, 2 wrong argument.
"""
import argparse
import datetime
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

from compare import cpu_name

ROW = re.compile(r"^\| (\S+) \| (\S+) \| (\d+) \| [^|]* \| ([0-9., ]+) \|")


def train(args, model, epochs, optimizer, seed):
    """The run's last line of metrics, and its seconds."""
    folder = pathlib.Path(args.runs) / f"{args.device}-{args.precision}-{model}-{optimizer}-{epochs}-{seed}"
    command = [args.heft, "train", "--device", args.device, "--model", model, "--optimizer", optimizer, "--epochs", str(epochs),
               "--seed", str(seed), "--no-record", "--quiet", "--json", "--overwrite", "--out", str(folder)]
    if args.device == "cuda":
        command += ["--precision", args.precision]
    if args.data_dir:
        command += ["--data-dir", args.data_dir]
    ended = folder / "ended.json"
    if ended.exists():
        earlier = json.loads(ended.read_text())
        if earlier["command"] == command:
            return earlier
    begin = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(f"accuracy.py: {' '.join(command)}\nexit code {done.returncode}: {done.stderr.strip()[-2000:]}", file=sys.stderr)
        sys.exit(1)
    result = {"command": command, "seconds": time.monotonic() - begin, "metrics": json.loads(done.stdout)}
    ended.write_text(json.dumps(result))
    return result


def spread(values):
    """mean +- standard deviation, in %"""
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def other_table(path):
    """By (model, optimizer, epochs) the accuracies in a table that this program wrote."""
    rows = {}
    for line in pathlib.Path(path).read_text().splitlines():
        if match := ROW.match(line):
            rows[match[1], match[2], int(match[3])] = [float(x) for x in match[4].split(",")]
    return rows


def difference(here, there):
    """Of two means, and how many of its standard errors that is."""
    gap = statistics.mean(here) - statistics.mean(there)
    if len(here) < 2 or len(there) < 2:
        return f"{gap:+.2f} | –"
    error = math.sqrt(statistics.variance(here) / len(here) + statistics.variance(there) / len(there))
    return f"{gap:+.2f} | {abs(gap) / error:.1f}" if error > 0 else f"{gap:+.2f} | –"


def table(args, rows, others):
    on = args.device.upper() if args.device == "cpu" else "GPU"
    lines = []
    if not args.no_head:
        lines += [f"# Accuracy over seeds, {on}", "", "| | |", "|---|---|", f"| date | {datetime.date.today()} |",
                  f"| commit | {args.commit} |", f"| processor | {cpu_name()}, {os.cpu_count()} cores |", ""]
    precision = f", {args.precision.upper()}" if args.device == "cuda" else ""
    lines += [f"`heft train` with its defaults on all 60,000 training images of Fashion-MNIST{precision}, seeds "
              f"{' '.join(map(str, args.seeds))}; test accuracy after the last epoch in %, mean ± standard deviation over the seeds.", ""]
    head = f"| model | optimizer | epochs | {on} | by seed |" + (" seconds a run |" if args.device == "cuda" else "")
    if others is not None:
        head += " beside | difference | in standard errors |"
    lines += [head, "|---" * head.count(" |") + "|"]
    for (model, optimizer, epochs), runs in rows.items():
        here = [round(100 * run["metrics"]["test_accuracy"], 2) for run in runs]
        seconds = statistics.mean(run["seconds"] for run in runs)
        line = f"| {model} | {optimizer} | {epochs} | {spread(here)} | {', '.join(f'{x:.2f}' for x in here)} |"
        if args.device == "cuda":
            line += f" {seconds:.1f} |"
        if others is not None:
            there = others.get((model, optimizer, epochs))
            line += f" {spread(there)} | {difference(here, there)} |" if there else " – | – | – |"
        lines.append(line)
    if others is not None:
        lines += ["", f"Beside: [{os.path.basename(args.beside)}]({os.path.basename(args.beside)}), the same seeds. With three seeds of "
                      "either, noise alone stays below 2.8 standard errors in 95 of 100 such comparisons."]
    return "\n".join(lines) + "\n"


def model_and_epochs(text):
    model, _, epochs = text.partition(":")
    if not epochs.isdigit() or int(epochs) < 1:
        raise argparse.ArgumentTypeError(f"expected MODEL:EPOCHS; got '{text}'")
    return model, int(epochs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heft", required=True, help="the program")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", default="tf32", help="on a GPU [tf32]")
    parser.add_argument("--data-dir", help="folder of Fashion-MNIST [where heft looks]")
    parser.add_argument("--models", nargs="+", type=model_and_epochs, default=[("lenet5", 3), ("resnet20", 2)], metavar="MODEL:EPOCHS")
    parser.add_argument("--optimizers", nargs="+", default=["sgd", "absgd"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--runs", default="runs/accuracy", help="folder of the runs [runs/accuracy]")
    parser.add_argument("--beside", help="a table of another device")
    parser.add_argument("--commit", default="unknown", help="for the head of the table")
    parser.add_argument("--no-head", action="store_true", help="the table alone, without what it was measured on")
    parser.add_argument("--out", help="file of the table [stdout]")
    args = parser.parse_args()
    if args.beside and not pathlib.Path(args.beside).exists():
        parser.error(f"no {args.beside}")
    others = other_table(args.beside) if args.beside else None
    pathlib.Path(args.runs).mkdir(parents=True, exist_ok=True)
    rows = {}
    for model, epochs in args.models:
        for optimizer in args.optimizers:
            for seed in args.seeds:
                run = train(args, model, epochs, optimizer, seed)
                rows.setdefault((model, optimizer, epochs), []).append(run)
                print(f"{model}, {optimizer}, seed {seed}: {100 * run['metrics']['test_accuracy']:.2f} % in {run['seconds']:.0f} s",
                      file=sys.stderr, flush=True)
    text = table(args, rows, others)
    if args.out:
        pathlib.Path(args.out).write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
