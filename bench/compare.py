#!/usr/bin/env python3
"""Times heft's steps beside PyTorch's on this machine and prints a table in markdown.

Each program is a server (bench/heft_bench.cpp, bench/torch_peer.py, bench/torch/torch_peer.cpp) that is started and warmed up,
and then waits without using the CPU. In each round every server runs its steps once, about --seconds of them, one server after
the other in random order, so that whatever else changes on the machine hits all alike. The table has the median over the rounds
and its quartiles; `ratio` is the time over that of the best peer in the same round, the median over rounds: below 1 is faster
than every peer.

What a process happens on (which cores its threads are on and what those share, where its pages lie) can make its steps faster or
slower while it lives. --processes N starts every server N times in the course of the rounds, so that the medians are over that too.

--bare adds the machine's limit: the oneDNN primitives of the same step by themselves (heft-bench serve --bare), and the column
`bare`: their time over heft's in the same round. With --threads 1 2 heft and they run at both thread counts, and a line below
the tables has what the second thread brings. --hog repeats every round beside a process that keeps one core busy; the column
`core taken` is the time then over the time before.

A server that cannot be started, or fails, is named below the table with its last words; nothing is filled in for it. Only the
servers of one model at one batch size run at a time.

Examples:
  bench/compare.py --device cpu --heft build/ci/bench/heft-bench --models lenet5 --batch 128
  bench/compare.py --device cuda --heft build/cuda/bench/heft-bench --batch 128 1024 --out bench/results/gpu_train.md
  bench/compare.py --device cpu --heft old/heft-bench --heft new/heft-bench --peers none
  bench/compare.py --device cpu --heft build/ci/bench/heft-bench --bare --threads 1 2 --hog

Exit codes: 0 success, 1 a heft server failed, 2 wrong argument, 130 interrupted.
"""
import argparse
import datetime
import os
import pathlib
import random
import select
import shlex
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEER = ROOT / "bench" / "torch_peer.py"
CPP_PEER = "torch-peer"  # PyTorch's C++ front end, beside heft-bench
MODELS = ["mlp", "lenet5", "vgg_small", "resnet20", "resnet32"]
PEERS = {
    "cpu": ["eager:nchw", "eager:channels_last", "c++:nchw", "c++:channels_last", "compile:channels_last"],
    "cuda": ["eager:channels_last", "compile:channels_last", "graph:channels_last"],
}
RESERVED = "peak reserved "  # as torch_peer.py begins that line
KINDS = {"train": "Training step", "infer": "Inference"}
HEFT, BARE, OTHER = "heft", "bare primitives", "peer"  # what a server is measured as


class Failed(Exception):
    pass


class Server:
    def __init__(self, name, command, environment, role, threads=None):
        self.name, self.role, self.threads = name, role, threads
        self.steps, self.peak = 1, 0.0
        self.milliseconds, self.crowded = {}, {}  # by round; the second with a core taken
        self.failure = None
        self._command, self._environment = command, environment
        self._process, self._pending = None, b""
        self._errors = tempfile.TemporaryFile()  # a file: a pipe that nobody reads would block the server when full

    def start(self, timeout):
        try:
            self._process = subprocess.Popen(self._command, env=self._environment, stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=self._errors, bufsize=0)
        except OSError as error:
            hint = " (bench/CMakeLists.txt builds it where libtorch-dev is)" if self._command[0].endswith(CPP_PEER) else ""
            raise Failed(f"cannot be started: {self._command[0]}: {error.strerror}{hint}") from None
        line = self._line(timeout)
        if line != "ready":
            raise Failed(f"said '{line}' instead of 'ready'")

    def ask(self, steps, timeout=600):
        """Milliseconds a step and the peak in MiB."""
        try:
            self._process.stdin.write(b"%d\n" % steps)
        except OSError:
            raise Failed(self.last_words()) from None
        line = self._line(timeout)
        try:
            milliseconds, peak = map(float, line.split())
        except ValueError:
            raise Failed(f"answered '{line}'") from None
        self.peak = max(self.peak, peak)
        return milliseconds

    def stop(self):
        if self._process is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process, self._pending = None, b""

    def _line(self, timeout):
        end = time.monotonic() + timeout
        while b"\n" not in self._pending:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                self._process.kill()
                raise Failed(f"no answer in {timeout:.0f} s")
            some = os.read(self._process.stdout.fileno(), 4096)
            if not some:
                self._process.wait()
                raise Failed(self.last_words())
            self._pending += some
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode(errors="replace").strip()

    def errors(self):
        self._errors.seek(0)
        return [line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]

    def last_words(self):
        lines = self.errors()
        return lines[-1] if lines else f"ended without a word, exit code {self._process.poll()}"

    def remarks(self):
        """What it said that a reader of the table should know."""
        said = [line.removeprefix("torch_peer.py: ") for line in self.errors()
                if line.startswith("torch_peer.py:") or "skipping cudagraphs" in line]
        return [line for line in dict.fromkeys(said) if not line.startswith(RESERVED)]

    def memory(self):
        """The peak, and what the allocator took for it where the server says so as it ends."""
        reserved = [line.split(RESERVED)[1].split()[0] for line in self.errors() if RESERVED in line]
        return f"{self.peak:.0f}" + (f" (reserved {float(reserved[-1]):.0f})" if reserved else "")


class Hog:
    """While one lives, a process that never waits has the last CPU that this one may use."""

    LOOP = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"

    def __enter__(self):
        cpu = max(os.sched_getaffinity(0))
        self._process = subprocess.Popen([sys.executable, "-S", "-c", self.LOOP, str(cpu)])
        time.sleep(0.2)
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()


def output_of(*command, environment=None, timeout=120):
    """Its standard output; empty where it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, check=True, cwd=ROOT)
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def pairs_of(text):
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def cpu_name():
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return "unknown"


def busy_cpus(seconds):
    """How many CPUs' worth of work this machine does at present; the servers wait meanwhile."""

    def read():
        with open("/proc/stat") as file:
            numbers = [int(text) for text in file.readline().split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]

    try:
        total, idle = read()
        time.sleep(seconds)
        total_after, idle_after = read()
    except OSError:
        return 0.0
    share = 1 - (idle_after - idle) / max(1, total_after - total)
    return share * (os.cpu_count() or 1)


def commit():
    if os.environ.get("HEFT_COMMIT"):
        return os.environ["HEFT_COMMIT"]
    name = output_of("git", "rev-parse", "--short", "HEAD")
    if not name:
        return "unknown"
    return name + (", with changes" if output_of("git", "status", "--porcelain", "--untracked-files=no") else "")


def find_python(wanted):
    """The interpreter that has PyTorch: the one asked for, this one, or the system's."""
    if wanted:
        return wanted
    for candidate in (sys.executable, "/usr/bin/python3"):
        if output_of(candidate, "-c", "import torch; print(1)"):
            return candidate
    return sys.executable


def environment_of(options, threads=None):
    environment = dict(os.environ)
    # Threads that spin while they wait would take the CPU from whoever runs; the default spins for moments only.
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        environment.pop(name, None)
    if options.device == "cpu":
        environment["OMP_NUM_THREADS"] = str(threads or max(options.threads))
    return environment


def make_heft_servers(options, model, batch, kind, threads):
    environment = environment_of(options, threads)
    suffix = f", {threads} threads".replace(" 1 threads", " 1 thread") if len(options.threads) > 1 else ""

    def serve(program, *arguments):
        return [program, "serve", model, kind, str(batch), "--device", options.device, "--warmup", str(options.warmup), *arguments]

    servers = []
    for spec in options.heft:
        program, *arguments = shlex.split(spec)
        precision = [] if options.device == "cpu" or "--precision" in arguments else ["--precision", options.precision]
        name = " ".join(["heft", *(precision[1:] if options.precision == "bf16" else []), *arguments]) + suffix
        if name in [server.name for server in servers]:
            name += f" ({program})"
        servers.append(Server(name, serve(program, *precision, *arguments), environment, HEFT, threads))
    if options.bare:
        program = shlex.split(options.heft[0])[0]
        servers.append(Server(BARE + suffix, serve(program, "--bare"), environment, BARE, threads))
    return servers


def make_servers(options, model, batch, kind):
    servers = [server for threads in options.threads for server in make_heft_servers(options, model, batch, kind, threads)]
    environment = environment_of(options)
    seen = set()
    for spec in options.peers:
        given = spec.split(":")
        mode, layout, precision = given + ["", "nchw", options.precision][len(given):]
        if model == "mlp":
            layout = "nchw"  # no images between its layers
        if (mode, layout, precision) in seen:
            continue
        seen.add((mode, layout, precision))
        command = ["serve", model, kind, str(batch), "--layout", layout, "--warmup", str(options.warmup)]
        if mode == "c++":
            command.insert(0, str(pathlib.Path(shlex.split(options.heft[0])[0]).with_name(CPP_PEER)))
        else:
            command = [options.python, str(PEER), *command, "--device", options.device, "--mode", mode, "--precision", precision]
        words = ["PyTorch", mode]
        if model != "mlp":
            words.append(layout)
        if options.device == "cuda" or precision == "bf16":
            words.append(precision)
        servers.append(Server(" ".join(words), command, environment, OTHER))
    return servers


def attempt(server, action):
    if server.failure is None:
        try:
            return action()
        except Failed as failure:
            server.failure = str(failure)
            print(f"  {server.name}: skipped: {failure}", file=sys.stderr, flush=True)
    return None


def measure(options, servers, order, loads):
    """Fills in the servers' milliseconds, by round; the rounds are dealt out to --processes starts of every server."""
    for first in range(options.processes):
        try:
            for server in order.sample(servers, len(servers)):
                attempt(server, lambda: server.start(options.start_timeout))
            run_rounds(options, servers, order, loads, range(first, options.rounds, options.processes))
        finally:
            for server in servers:
                server.stop()


def run_rounds(options, servers, order, loads, numbers):
    def calibrate(server):
        # Twice: the first answer is of few steps.
        for steps in (2, None):
            steps = steps or max(1, min(round(0.1e3 * options.seconds / milliseconds), 10**6))
            milliseconds = max(server.ask(steps), 1e-6)
        server.steps = max(1, min(round(1e3 * options.seconds / milliseconds), 10**7))

    def one_round(server, number):
        server.milliseconds[number] = server.ask(server.steps)

    def crowded_round(server, number):
        server.ask(server.steps)  # threads and scheduler come to terms with it first
        server.crowded[number] = server.ask(server.steps)

    for server in servers:
        attempt(server, lambda: calibrate(server))
    if all(server.failure is not None for server in servers):
        return
    for number in numbers:
        if options.device == "cpu":
            time.sleep(0.02)
            end = time.monotonic() + options.wait_idle
            load = busy_cpus(0.2)
            while load > options.max_load and time.monotonic() < end:
                time.sleep(1)
                load = busy_cpus(0.2)
            loads.append(load)
        for server in order.sample(servers, len(servers)):
            attempt(server, lambda: one_round(server, number))
        if options.hog:
            with Hog():
                for server in order.sample(servers, len(servers)):
                    attempt(server, lambda: crowded_round(server, number))


def plain(milliseconds):
    return f"{milliseconds:.4f}" if milliseconds < 10 else f"{milliseconds:.2f}"


def ratio_of(times, others):
    """Time over time in the same round, the median over rounds."""
    return statistics.median(ms / others[number] for number, ms in times.items())


def columns(options):
    """The table's columns after model and batch."""
    return ["program", "ms", "quartiles", "ratio", *(["bare"] if options.bare else []), *(["core taken"] if options.hog else []),
            "peak MiB"]


def rows_of(options, model, batch, servers):
    done = [server for server in servers if server.failure is None]
    peers = [server for server in done if server.role == OTHER]
    bare = {server.threads: server for server in done if server.role == BARE}
    best = min(peers, key=lambda server: statistics.median(server.milliseconds.values()), default=None)
    rows = []
    for server in done:
        times = list(server.milliseconds.values())
        low, _, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else (times[0], 0, times[0])
        cells = {"program": f"**{server.name}**" if server.role == HEFT else server.name,
                 "ms": plain(statistics.median(times)), "quartiles": f"{plain(low)} .. {plain(high)}", "peak MiB": server.memory()}
        if best is not None:
            cells["ratio"] = f"{ratio_of(server.milliseconds, best.milliseconds):.3f}"
        if server.role == HEFT and server.threads in bare:
            cells["bare"] = f"{ratio_of(bare[server.threads].milliseconds, server.milliseconds):.2f}"
        if server.crowded:
            cells["core taken"] = f"{ratio_of(server.crowded, server.milliseconds):.2f}"
        rows.append(f"| {model} | {batch} | " + " | ".join(cells.get(column, "–") for column in columns(options)) + " |")
    return rows


def scaling_of(options, servers):
    """How much faster the most threads are than the fewest, of heft and of the bare primitives."""
    few, many = min(options.threads), max(options.threads)
    gains = []
    for role in (HEFT, BARE):
        by_threads = {server.threads: server for server in reversed(servers) if server.role == role and server.failure is None}
        if few != many and few in by_threads and many in by_threads:
            gains.append((role, ratio_of(by_threads[few].milliseconds, by_threads[many].milliseconds)))
    text = ", ".join(f"{role} {gain:.2f}" for role, gain in gains)
    return [f"from {few} to {many} threads: {text} times as fast"] if gains else []


def describe(options, environment):
    """The lines above the tables: where, when, with what."""
    measure = ["--measure"] if options.bare else []
    heft = pairs_of(output_of(shlex.split(options.heft[0])[0], "info", *measure, environment=environment))
    peer = pairs_of(output_of(options.python, str(PEER), "info", environment=environment)) if options.peers else {}
    arguments = [argument.replace(str(ROOT) + "/", "") for argument in sys.argv[1:]]
    facts = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "commit": commit(),
        "command": f"`bench/compare.py {shlex.join(arguments)}`",
    }
    if options.device == "cuda":
        gpu = output_of("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").splitlines()
        name, driver = gpu[0].rsplit(", ", 1) if gpu else (peer.get("GPU", "unknown"), "unknown")
        facts |= {"GPU": name, "driver": driver, "CUDA toolkit of heft": heft.get("CUDA toolkit", "unknown")}
    facts["CPU"] = f"{cpu_name()}, {os.cpu_count()} logical CPUs"
    if options.device == "cpu":
        facts["threads"] = ", ".join(map(str, options.threads))
    narrowed = [f"{name}={os.environ[name]}" for name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY") if os.environ.get(name)]
    if narrowed:
        facts["environment"] = ", ".join(narrowed)
    if "sgemm" in heft:
        facts["large matrix product (oneDNN)"] = heft["sgemm"]
    facts |= {"heft": f"{heft.get('heft', 'unknown')}, {heft.get('compiler', 'compiler unknown')}",
              "oneDNN of heft": heft.get("oneDNN", "unknown")}
    gpu_only, cpu_only = ("CUDA of PyTorch", "cuDNN"), ("oneDNN of PyTorch", "OpenBLAS of PyTorch")
    for name in ("PyTorch", *(gpu_only if options.device == "cuda" else cpu_only)):
        if name in peer:
            facts[name] = peer[name]
    warnings = []
    if options.device == "cpu" and "pthread" in peer.get("OpenBLAS of PyTorch", ""):
        warnings.append("PyTorch runs on OpenBLAS's pthread build, whose threads fight with OpenMP's: install "
                        "libopenblas0-openmp for a fair comparison.")
    return facts, warnings


def explain(options):
    peak = ("what tensors held at once on the GPU (bench/torch_peer.py says when it counts)" if options.device == "cuda"
            else "the largest resident set of the process, libraries included")
    started = f", in the course of which each was started {options.processes} times" if options.processes > 1 else ""
    text = (f"Every program in turn, in random order, {options.rounds} rounds of about {options.seconds:g} s each{started}. ms: a step, "
            "median over the rounds. ratio: time over the best peer's in the same round, median; below 1 is faster than every peer. "
            + ("bare: the time of the step's oneDNN primitives by themselves over the program's. " if options.bare else "")
            + ("core taken: the time beside a process that keeps one core busy, over the time without. " if options.hog else "")
            + f"peak: {peak}. heft trains with ABSGD unless its name says otherwise, PyTorch with SGD, both with momentum. "
            "Synthetic images on the device.")
    return textwrap.fill(text, 128, break_long_words=False, break_on_hyphens=False)


def document(facts, warnings, options, tables, notes, loads):
    where = facts["GPU"] if options.device == "cuda" else "a CPU"
    lines = [f"# heft beside PyTorch on {where}", "", explain(options), "", "| | |", "|---|---|"]
    facts = dict(facts)
    if loads:
        facts["other load before a round"] = (f"median {statistics.median(loads):.2f} CPUs, largest {max(loads):.2f}; above "
                                              f"{options.max_load:g} in {sum(load > options.max_load for load in loads)} "
                                              f"of {len(loads)} rounds")
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    for warning in warnings:
        lines += ["", f"**Warning:** {warning}"]
    for kind, rows in tables.items():
        if rows:
            names = ["model", "batch", *columns(options)]
            lines += ["", f"## {KINDS[kind]}", "", f"| {' | '.join(names)} |", "|---" * len(names) + "|", *rows]
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], required=True)
    parser.add_argument("--heft", metavar="'PROGRAM [FLAGS]'", action="append", required=True,
                        help="heft-bench, with flags of its serve if any; may be given several times")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--batch", nargs="+", type=int, default=[128])
    parser.add_argument("--kind", nargs="+", choices=list(KINDS), default=["train"])
    parser.add_argument("--peers", nargs="+", metavar="MODE[:LAYOUT[:PRECISION]]",
                        help="flags of bench/torch_peer.py, c++ for the C++ front end on a CPU, or none [" +
                             "; ".join(f"{device}: {' '.join(peers)}" for device, peers in PEERS.items()) + "]")
    parser.add_argument("--precision", choices=["tf32", "f32", "bf16"], default="tf32",
                        help="on a GPU; bf16 is mixed precision, of PyTorch its autocast [tf32]")
    parser.add_argument("--python", help="interpreter that has PyTorch [this one, or /usr/bin/python3]")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--processes", type=int, default=1, help="how often every program is started in the course of the rounds [1]")
    parser.add_argument("--seconds", type=float, default=0.3, help="of one server in one round [0.3]")
    parser.add_argument("--warmup", type=int, default=20, help="steps of a server before it is measured [20]")
    parser.add_argument("--threads", nargs="+", type=int, default=[2],
                        help="OMP_NUM_THREADS on a CPU; of several, peers run with the most [2]")
    parser.add_argument("--bare", action="store_true", help="beside them the step's bare oneDNN primitives, on a CPU")
    parser.add_argument("--hog", action="store_true", help="every round also with one core taken by another process")
    parser.add_argument("--max-load", type=float, default=0.2, help="CPUs that others may use when a round begins [0.2]")
    parser.add_argument("--wait-idle", type=float, default=20,
                        help="seconds to wait for that before going on all the same, which the table says [20]")
    parser.add_argument("--start-timeout", type=float, default=300, help="seconds until a server is ready [300]")
    parser.add_argument("--time-limit", type=float, default=float("inf"),
                        help="seconds after which no further model is begun; the table names those left out")
    parser.add_argument("--out", type=pathlib.Path, help="write the table there too, after each model")
    options = parser.parse_args()
    if not 1 <= options.processes <= options.rounds:
        parser.error(f"expected --processes of 1 to --rounds {options.rounds}; got {options.processes}")
    if min(options.batch) < 1 or options.rounds < 1 or options.seconds <= 0 or options.warmup < 1 or min(options.threads) < 1:
        parser.error("expected --batch, --rounds, --warmup and --threads of at least 1 and --seconds above 0")
    if options.device == "cuda" and (options.bare or options.hog or len(options.threads) > 1):
        parser.error("expected --bare, --hog and several --threads with --device cpu alone")
    options.threads = sorted(set(options.threads))
    for spec in options.peers or []:
        if spec.count(":") > 2:
            parser.error(f"expected --peers MODE[:LAYOUT[:PRECISION]]; got '{spec}'")
        if spec.startswith("c++") and options.device != "cpu":
            parser.error(f"expected --peers {spec} with --device cpu")
    options.peers = [] if options.peers == ["none"] else options.peers or PEERS[options.device]
    options.python = find_python(options.python) if options.peers else sys.executable
    return options


def main():
    options = parse()
    environment = environment_of(options)
    begin = time.monotonic()
    order = random.Random(0)
    facts, warnings = describe(options, environment)
    for warning in warnings:
        print(f"compare.py: warning: {warning}", file=sys.stderr)
    tables, notes, loads = {kind: [] for kind in options.kind}, [], []
    heft_failed = False
    for batch, model, kind in [(b, m, k) for b in options.batch for m in options.models for k in options.kind]:
        name = f"{model}, batch {batch}, {kind}"
        if time.monotonic() - begin > options.time_limit:
            notes.append(f"{name}: not begun after {options.time_limit:g} s")
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        servers = make_servers(options, model, batch, kind)
        measure(options, servers, order, loads)
        tables[kind] += rows_of(options, model, batch, servers)
        notes += [f"{name}, {remark}" for remark in scaling_of(options, servers)]
        for server in servers:
            if server.failure is not None:
                heft_failed |= server.role != OTHER
                notes.append(f"{name}, {server.name}: not measured: {server.failure}")
            else:
                notes += [f"{name}, {server.name}: {remark}" for remark in server.remarks()]
        if options.out:
            write(options.out, document(facts, warnings, options, tables, notes, loads))
    print(document(facts, warnings, options, tables, notes, loads), end="")
    return 1 if heft_failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
