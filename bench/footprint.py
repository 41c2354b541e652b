#!/usr/bin/env python3
"""How long heft takes to begin and how much room it takes, beside PyTorch, as a table in markdown.

Start: from the start of the process to the beginning of its first training step (heft-bench serve --warmup 0 says `ready` there:
libraries loaded, network and images made), beside what `import torch` takes. The median of --runs, in turn.
Size: files without symbols (strip makes a copy; nothing is changed), links counted once, beside PyTorch's CPU libraries.

Example: bench/footprint.py --heft build/ci/bench/heft-bench --files build/package/libheft.so build/package/heft

Exit codes: 0 success, 1 a program failed, 2 wrong argument.
"""
import argparse
import datetime
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

from compare import MODELS, commit, cpu_name, find_python, output_of, write


def until_ready(command):
    """Seconds until it has said `ready`."""
    begin = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        line = process.stdout.readline()
        seconds = time.perf_counter() - begin
        process.stdin.close()
    if line.strip() != b"ready" or process.returncode != 0:
        sys.exit(f"footprint.py: expected '{shlex.join(command)}' to say 'ready'; got {line} and exit code {process.returncode}")
    return seconds


def whole_run(command):
    begin = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - begin


def stripped_size(path):
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy")
        subprocess.run(["strip", "-o", copy, path], check=True)
        return os.path.getsize(copy)


def torch_libraries(python):
    """What importing torch loads of its own."""
    code = ("import os, torch; print(*{os.path.realpath(line.split()[-1]) for line in open('/proc/self/maps') "
            "if 'torch' in line or 'libc10' in line}, sep='\\n')")
    return [path for path in output_of(python, "-c", code).splitlines() if ".so" in path]


def start_rows(options, python):
    commands = {f"heft, {model}": (until_ready, [options.heft, "serve", model, "train", str(options.batch), "--warmup", "0"])
                for model in options.models}
    if python:
        commands["import torch"] = (whole_run, [python, "-c", "import torch"])
    seconds = {name: [] for name in commands}
    for number in range(options.runs + 1):
        for name, (measure, command) in commands.items():
            took = measure(command)
            if number > 0:  # the first one reads the files
                seconds[name].append(took)
    return [f"| {name} | {1e3 * statistics.median(times):.1f} | {1e3 * min(times):.1f} .. {1e3 * max(times):.1f} |"
            for name, times in seconds.items()]


def size_rows(options, python):
    sizes = [(os.path.basename(path), stripped_size(path)) for path in options.files]
    rows = [f"| {name} | {size / 1e6:.2f} |" for name, size in sizes]
    if len(sizes) > 1:
        rows.append(f"| together | {sum(size for _, size in sizes) / 1e6:.2f} |")
    libraries = torch_libraries(python) if python else []
    if libraries:
        rows.append(f"| PyTorch's {len(libraries)} libraries | {sum(map(os.path.getsize, libraries)) / 1e6:.0f} |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heft", required=True, help="heft-bench")
    parser.add_argument("--files", nargs="+", default=[], help="what is installed: the library and the program")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["lenet5", "resnet20"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--python", help="interpreter that has PyTorch [this one, or /usr/bin/python3]")
    parser.add_argument("--out", type=pathlib.Path, help="write the table there too")
    options = parser.parse_args()
    if options.batch < 1 or options.runs < 1:
        parser.error("expected --batch and --runs of at least 1")
    for path in [options.heft, *options.files]:
        if not os.path.isfile(path):
            parser.error(f"expected a file; got '{path}'")
    python = find_python(options.python)
    torch = output_of(python, "-c", "import torch; print(torch.__version__)")
    lines = ["# Start and size", "", f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}, commit {commit()}, {cpu_name()}, "
             f"PyTorch {torch or 'not here'}; `bench/footprint.py {shlex.join(sys.argv[1:])}`", "",
             f"To the beginning of the first training step, batch {options.batch}, synthetic images:", "",
             "| start | ms, median | smallest .. largest |", "|---|---|---|", *start_rows(options, torch and python)]
    sizes = size_rows(options, torch and python)
    if sizes:
        lines += ["", "| size without symbols | MB |", "|---|---|", *sizes]
    text = "\n".join(lines) + "\n"
    if options.out:
        write(options.out, text)
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
