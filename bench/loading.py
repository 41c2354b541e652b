#!/usr/bin/env python3
"""Images from files: what loading them costs beside training, and PyTorch's DataLoader beside heft's.

  bench/loading.py --heft build/ci/bench/loading --out bench/results/loading.md

makes two folders of JPEGs (128x128 and 500x375, the spectrum of photographs, 4:2:0, quality 90), then
- trains on each with images in memory, cold and from the cache, in turn (`loading train`);
- reads each cold, without training, by heft and by PyTorch, in turn, with as many workers and the same transforms: shorter edge to
  64, the middle of it, random resized crop to 64, flip, normalise. In a second row PyTorch cuts from the original directly.
Everything is started under --before, e.g. a program that keeps other work away. Needs python3-pil and, for PyTorch,
python3-torchvision.

Exit codes: 0 success, 1 a measurement failed, 2 wrong argument, 3 a package is missing.
"""
import argparse
import datetime
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

SIZES = [(128, 128), (500, 375)]


def missing(what):
    print(f"loading.py: {what}", file=sys.stderr)
    sys.exit(3)


def picture(random, width, height):
    """Amplitudes that fall as 1/frequency, as in photographs, in colours that mostly agree."""
    import numpy as np
    falling = 1 / np.maximum(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)), 1 / max(width, height))
    field = [np.fft.irfft2(np.fft.rfft2(random.standard_normal((height, width))) * falling, (height, width)) for _ in range(3)]
    pixels = np.stack([field[0] + 0.3 * f for f in field], axis=-1)
    return np.clip(128 + 50 * (pixels - pixels.mean()) / pixels.std(), 0, 255).astype(np.uint8)


def make_images(folder, width, height, count):
    try:
        import numpy as np
        from PIL import Image
    except ImportError as error:
        missing(f"numpy or PIL is missing: {error}")
    random = np.random.default_rng(width)
    for i in range(count):
        path = pathlib.Path(folder) / "ab"[i % 2]
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(random, width, height)).save(path / f"{i}.jpg", quality=90)


def peer(folder, workers, epochs, direct):
    """Images a second of PyTorch's DataLoader, a line for each epoch after the first, whose start of processes is not counted."""
    try:
        import torch
        import torchvision
    except ImportError as error:
        missing(f"PyTorch or torchvision is missing: {error}")
    torch.set_num_threads(1)
    t = torchvision.transforms
    middle = [] if direct else [t.Resize(64), t.CenterCrop(64)]
    images = torchvision.datasets.ImageFolder(folder, t.Compose(middle + [
        t.RandomResizedCrop(64, scale=(0.25, 1)), t.RandomHorizontalFlip(), t.ToTensor(),
        t.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]))
    loader = torch.utils.data.DataLoader(images, batch_size=64, shuffle=True, drop_last=True, num_workers=workers,
                                         persistent_workers=workers > 0)
    for epoch in range(epochs + 1):
        start, count = time.perf_counter(), 0
        for x, _ in loader:
            count += len(x)
        if epoch > 0:
            print(f"{count / (time.perf_counter() - start):.1f}", flush=True)


def run(before, command):
    done = subprocess.run(before + command, stdout=subprocess.PIPE, text=True)
    if done.returncode == 3:
        return None
    if done.returncode != 0:
        print(f"loading.py: exit code {done.returncode} of {' '.join(command)}", file=sys.stderr)
        sys.exit(1)
    return done.stdout.split("\n")[:-1]


def training_table(options, folders):
    lines = ["| files | in memory, ms a step | cold | of the rate in memory | cache | of the rate in memory |",
             "|---|---|---|---|---|---|"]
    for name, folder in folders.items():
        ms = {"memory": [], "cold": [], "cache": []}
        for r in range(options.rounds):
            kinds = sorted(ms, key=lambda kind: (list(ms).index(kind) + r) % 3)  # who goes first changes
            for kind, value in zip(kinds, run(options.before, [options.heft, "train", folder, str(options.steps)] + kinds)):
                ms[kind].append(float(value))
        ratios = {kind: statistics.median(m / x for m, x in zip(ms["memory"], ms[kind])) for kind in ms}
        medians = {kind: statistics.median(ms[kind]) for kind in ms}
        lines.append(f"| {name} | {medians['memory']:.0f} | {medians['cold']:.0f} | **{ratios['cold']:.3f}** "
                     f"| {medians['cache']:.0f} | **{ratios['cache']:.3f}** |")
    return lines


def loader_table(options, folders):
    lines = ["| files | workers | heft, images/s | PyTorch | heft over PyTorch | PyTorch, cut from the original | heft over that |",
             "|---|---|---|---|---|---|---|"]
    for name, folder in folders.items():
        for workers in options.workers:
            tail = [folder, str(workers), "2"]
            this = [sys.executable, os.path.abspath(__file__), "--peer"]
            commands = [[options.heft, "loader"] + tail, this + tail, this + tail + ["direct"]]
            rates = [[], [], []]
            for r in range(options.rounds):
                for i in sorted(range(3), key=lambda i: (i + r) % 3):
                    rates[i] += [float(line) for line in run(options.before, commands[i]) or []]
            heft, same, direct = [statistics.median(x) if x else None for x in rates]
            cells = [f"{x:.0f} | **{heft / x:.2f}**" if x else "- | -" for x in (same, direct)]
            lines.append(f"| {name} | {workers} | {heft:.0f} | {cells[0]} | {cells[1]} |")
    return lines


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    versions = []
    for module in ("torch", "torchvision", "PIL"):
        try:
            versions.append(f"{module} {__import__(module).__version__}")
        except ImportError:
            pass
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
    return (f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, {', '.join(versions)}; commit {commit or '?'}, "
            f"{datetime.date.today()}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heft", default="build/ci/bench/loading", help="the program bench/loading")
    parser.add_argument("--images", type=int, default=768, help="of each size")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each measurement")
    parser.add_argument("--steps", type=int, default=3, help="timed at a time")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--before", type=str.split, default=[], help="what to put before each command")
    parser.add_argument("--folder", help="where to keep the images, for another time; default: they are removed")
    parser.add_argument("--out", help="file for the tables, beside stdout")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root, folders = pathlib.Path(options.folder or temporary), {}
        for width, height in SIZES:
            folder = root / f"{width}x{height}"
            if not folder.exists():
                make_images(folder, width, height, options.images)
            sizes = [file.stat().st_size for file in folder.glob("*/*.jpg")]
            folders[f"{width}x{height}, {statistics.mean(sizes) / 1024:.0f} KiB each"] = str(folder)
        lines = [machine(), ""] + training_table(options, folders) + [""] + loader_table(options, folders)
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.out:
        pathlib.Path(options.out).write_text(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), len(sys.argv) > 5)
    else:
        main()
