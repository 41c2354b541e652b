#!/usr/bin/env python3
"""The steps of heft-bench in plain PyTorch, on request: what bench/compare.py times heft beside.

Protocol, as heft-bench's: after the warm-up one line `ready`; then, for each line on stdin that holds a number of steps, one line
`MILLISECONDS_PER_STEP PEAK_MIB`, until stdin ends. Time is wall clock over those steps, the device synchronised before and after.

Peak memory on a CPU is the process's resident set at its largest, libraries included. On a GPU it is what tensors held at once
(torch.cuda.max_memory_allocated): in mode eager since the warm-up, in mode graph since just before the capture, in mode compile
from the start, because a replayed graph allocates nothing that could be counted later. What the allocator took from the GPU
(max_memory_reserved) is said on stderr at the end.

Modes:
  eager    operations one by one, the optimizer fused where this PyTorch has that
  compile  torch.compile(mode="reduce-overhead"), which replays CUDA graphs, backward too; the optimizer compiled or fused,
           whichever was faster in the warm-up (stderr says which)
  graph    the eager step captured whole in one CUDA graph and replayed

Exit codes: 0 success, 1 the step failed, 2 wrong argument or request, 3 something is missing here, named on one line.
"""
import argparse
import contextlib
import os
import resource
import sys
import time

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError as error:
    print(f"torch_peer.py: PyTorch is missing: {error}", file=sys.stderr)
    sys.exit(3)


def missing(what):
    print(f"torch_peer.py: {what}", file=sys.stderr)
    sys.exit(3)


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 512)
        self.fc2 = nn.Linear(512, 512)
        self.fc3 = nn.Linear(512, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class VggSmall(nn.Module):
    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for out in [64, 64, "pool", 128, 128, "pool", 256, 256, "pool"]:
            if out == "pool":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
                channels = out
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(256 * 4 * 4, 10)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Block(nn.Module):
    """The shortcut has no parameters: every second row and column, zeros for a quarter of the new channels on each side."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.new_channels = out - channels

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        if self.new_channels:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.new_channels // 2, self.new_channels - self.new_channels // 2))
        return F.relu(y + x, inplace=True)


class CifarResNet(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        stages, channels = [], 16
        for out in (16, 32, 64):
            for i in range(blocks):
                stages.append(Block(channels, out, 2 if out != 16 and i == 0 else 1))
                channels = out
        self.stages = nn.Sequential(*stages)
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.stages(F.relu(self.bn1(self.conv1(x)), inplace=True))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


# Network, shape of an image, number of parameters: heft's has as many.
MODELS = {
    "mlp": (Mlp, (1, 28, 28), 669706),
    "lenet5": (LeNet5, (1, 28, 28), 61706),
    "vgg_small": (VggSmall, (3, 32, 32), 1187274),
    "resnet20": (lambda: CifarResNet(3), (3, 32, 32), 269722),
    "resnet32": (lambda: CifarResNet(5), (3, 32, 32), 464154),
}


class Job:
    def __init__(self, options):
        self.cuda = options.device == "cuda"
        self.mode = options.mode
        self.bf16 = options.precision == "bf16"
        torch.manual_seed(1)
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = options.precision != "f32"
        torch.backends.cudnn.allow_tf32 = options.precision != "f32"
        make, image, count = MODELS[options.model]
        device = torch.device(options.device)
        layout = torch.channels_last if options.layout == "channels_last" else torch.contiguous_format
        self.net = make().to(device=device, memory_format=layout)
        parameters = sum(p.numel() for p in self.net.parameters())
        assert parameters == count, f"{options.model} has {parameters} parameters; heft's has {count}"
        self.images = torch.randn(options.batch, *image, device=device).contiguous(memory_format=layout)
        self.labels = torch.randint(0, 10, (options.batch,), device=device)
        self.trains = options.kind == "train"
        self.forward = self.loss if self.trains else self.logits
        self.step = self.train_step if self.trains else self.infer_step
        if self.trains:
            self.optimizer, self.update = self.fused_sgd()
        else:
            self.net.eval()
        self.prepare(options.warmup)

    def autocast(self):
        if not self.bf16:
            return contextlib.nullcontext()
        return torch.autocast("cuda" if self.cuda else "cpu", dtype=torch.bfloat16)

    def loss(self):
        with self.autocast():
            return F.cross_entropy(self.net(self.images), self.labels)

    def logits(self):
        with self.autocast():
            return self.net(self.images)

    def sgd(self, **kind):
        return torch.optim.SGD(self.net.parameters(), lr=1e-3, momentum=0.9, **kind)

    def fused_sgd(self):
        """PyTorch's best eager SGD: fused (from 2.3 on), else whatever it takes by itself."""
        try:
            optimizer = self.sgd(fused=True)
        except (TypeError, RuntimeError):  # no such argument, or not on this device
            optimizer = self.sgd()
        return optimizer, optimizer.step

    def train_step(self):
        self.optimizer.zero_grad(set_to_none=True)
        self.forward().backward()
        self.update()

    def infer_step(self):
        # Inference mode is the cheapest; tensors made in it cannot pass between compiled and captured code.
        with torch.inference_mode() if self.mode == "eager" else torch.no_grad():
            self.forward()

    def synchronize(self):
        if self.cuda:
            torch.cuda.synchronize()

    def run(self, steps):
        for _ in range(steps):
            self.step()
        self.synchronize()

    def timed(self, steps):
        self.synchronize()
        start = time.perf_counter()
        self.run(steps)
        return (time.perf_counter() - start) * 1e3 / steps

    def peak_mib(self):
        if self.cuda:
            return torch.cuda.max_memory_allocated() / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def reserved_mib(self):
        return torch.cuda.max_memory_reserved() / 2**20 if self.cuda else None

    def prepare(self, warmup):
        if self.mode == "compile":
            self.compile(warmup)
        elif self.mode == "graph":
            self.capture(warmup)
        else:
            self.run(warmup)
            if self.cuda:
                torch.cuda.reset_peak_memory_stats()

    def compile(self, warmup):
        # The images stay where they are, and need not be copied into the graph each time.
        with contextlib.suppress(AttributeError, ImportError):
            torch._dynamo.mark_static_address(self.images)
            torch._dynamo.mark_static_address(self.labels)
        # On a CPU the mode means the default one: there are no graphs to replay.
        compiled = torch.compile(self.forward, mode="reduce-overhead")
        if self.cuda and hasattr(torch, "compiler") and hasattr(torch.compiler, "cudagraph_mark_step_begin"):

            def forward():
                torch.compiler.cudagraph_mark_step_begin()
                return compiled()

            self.forward = forward
        else:
            self.forward = compiled
        self.run(warmup)
        if not self.trains:
            return
        eager = (self.optimizer, self.update)
        eager_ms = self.timed(warmup)
        try:
            # Not the fused one: the compiler fuses the plain update itself. One plain step first makes the momentum.
            optimizer = self.sgd()
            self.optimizer, self.update = optimizer, optimizer.step
            self.run(1)
            self.update = torch.compile(optimizer.step, mode="reduce-overhead")
            self.run(warmup)
            compiled_ms = self.timed(warmup)
        except Exception as error:  # whatever a compiler throws: the fused optimizer is there
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            print(f"torch_peer.py: the optimizer does not compile here: {reason}", file=sys.stderr)
            compiled_ms = float("inf")
        faster = "compiled" if compiled_ms < eager_ms else "eager"
        print(f"torch_peer.py: optimizer {faster}: {eager_ms:.4f} ms a step eager, {compiled_ms:.4f} compiled", file=sys.stderr)
        if faster == "eager":
            self.optimizer, self.update = eager
            self.run(warmup)

    def capture(self, warmup):
        # On a side stream, as torch.cuda.CUDAGraph asks: lazy set-up and the choice of algorithms must not be captured.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(warmup):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        if self.trains:
            self.optimizer.zero_grad(set_to_none=True)  # the captured backward makes its own, once, in the graph's pool
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.step()
        self.step = self.graph.replay
        self.run(warmup)


def serve(options):
    if options.device == "cuda" and not torch.cuda.is_available():
        missing(f"torch {torch.__version__} sees no GPU")
    if options.mode == "compile" and not hasattr(torch, "compile"):
        missing(f"torch.compile is missing: this is torch {torch.__version__}, it needs 2.0")
    if options.mode == "graph" and options.device == "cpu":
        missing("mode graph is missing on a CPU: there are no CUDA graphs")
    job = Job(options)
    print("ready", flush=True)
    for line in sys.stdin:
        text = line.strip()
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            print(f"torch_peer.py: expected a number of steps, at least 1; got '{text}'", file=sys.stderr)
            return 2
        milliseconds = job.timed(int(text))
        print(f"{milliseconds:.6f} {job.peak_mib():.1f}", flush=True)
    if job.reserved_mib() is not None:
        print(f"torch_peer.py: peak reserved {job.reserved_mib():.1f} MiB", file=sys.stderr)
    return 0


def openblas():
    """The OpenBLAS that this process has loaded; Debian has several builds of one library."""
    torch.mm(torch.ones(8, 8), torch.ones(8, 8))
    try:
        with open("/proc/self/maps") as maps:
            paths = {os.path.realpath(line.split()[-1]) for line in maps if "openblas" in line}
    except OSError:
        return "unknown"
    builds = {part for path in paths for part in path.split("/") if part.startswith("openblas-")}
    return ", ".join(sorted(builds)) or "none"


def info():
    print(f"PyTorch: {torch.__version__}")
    for line in torch.__config__.show().splitlines():
        if "MKL-DNN v" in line:
            print("oneDNN of PyTorch:", line.split("MKL-DNN v")[1].split()[0])
    print(f"OpenBLAS of PyTorch: {openblas()}")
    print(f"threads of PyTorch: {torch.get_num_threads()}")
    print(f"CUDA of PyTorch: {torch.version.cuda or 'none'}")
    if torch.cuda.is_available():
        print(f"cuDNN: {torch.backends.cudnn.version()}")
        print(f"GPU: {torch.cuda.get_device_name()}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("serve", help="answer requests on stdin", epilog=__doc__.split("\n\n", 1)[1],
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    server.add_argument("model", metavar="MODEL", choices=MODELS, help=", ".join(MODELS))
    server.add_argument("kind", metavar="train|infer", choices=["train", "infer"], help="what a step is")
    server.add_argument("batch", metavar="BATCH", type=int, help="images of a step")
    server.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    server.add_argument("--mode", choices=["eager", "compile", "graph"], default="eager")
    server.add_argument("--layout", choices=["nchw", "channels_last"], default="nchw")
    server.add_argument("--precision", choices=["tf32", "f32", "bf16"], default="tf32",
                        help="tf32 and f32 are the same on a CPU; bf16 is autocast [tf32]")
    server.add_argument("--warmup", type=int, default=20, help="steps before `ready` [20]")
    commands.add_parser("info", help="versions, one `name: value` a line")
    options = parser.parse_args()
    if options.command == "info":
        return info()
    if options.batch < 1 or options.warmup < 1:
        server.error("expected BATCH and --warmup of at least 1")
    return serve(options)


if __name__ == "__main__":
    sys.exit(main())
