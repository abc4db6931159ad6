"""Where the time of a training step goes on a GPU: kernels by kind and by part of the step, and gaps between them.

Whole steps of a Trainer on data in memory: tubelet contrast (16 frames), fine-tuning (32 frames), both R(2+1)D-18 on
112 x 112, or inter-skeleton contrast (BiGRU and A-GCN). Prints the mean step without a profiler, then, from two steps
under torch.profiler, milliseconds a step for each kind of kernel and part of the step, and the longest kernels. On the
CPU it prints the longest operators.

    python benchmarks/profile_step.py tubelet --device cuda --batch_size 128 --channels_last --compile
    python benchmarks/profile_step.py skeleton --batch_size 4 --steps 1
"""

import argparse
import logging
import os
import re
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from finetuning import CLASSES
from pytorch_lightning import Callback, LightningModule, Trainer
from skeleton_training import Kept, method
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.data import DataLoader
from training import InMemory, Stopwatch

from lightning_modules import ActionRecognition, SkeletonContrast, TubeletContrast
from lightning_modules.networks import R2Plus1D
from lightning_modules.networks.momentum_encoder import MomentumEncoder

PROFILED = 2  # steps
# The first that fits a kernel's name, in lower case, says its kind.
KINDS = (
    ("compiled: reductions", r"triton_(red|per)"),
    ("compiled: elementwise", r"triton_"),
    ("copies and layout", r"nchwtonhwc|nhwctonchw|transpose|memcpy|memset|copy|catarray|tonhwc|tensortransform"),
    ("batch norm", r"batch_?norm|bn_fw|bn_bw|bnfw|bnbw"),
    ("optimizer and momentum", r"multi_tensor|fusedadam|fusedsgd|lpnorm"),
    ("recurrent", r"rnncell|rnn_|gru_"),
    ("convolution", r"conv|cudnn|implicit|wgrad|dgrad|fprop"),
    ("matrix products", r"gemm|nvjet|cutlass|xmma|gemv|cublas"),
    ("reductions", r"reduce|softmax|scan|sort"),
    ("elementwise", r"elementwise|vectorized|unrolled|index|gather|scatter|fill|where|grid_sampler|embedding|dropout"),
)


class Profile(Callback):
    """Profiles the last steps."""

    def __init__(self, first: int, wait: Callable[[], None], activities: list[ProfilerActivity]) -> None:
        self.first, self.wait = first, wait
        self.profiler = profile(activities=activities)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:  # noqa: ANN401
        """Begin behind the steps that are timed."""
        if batch_idx == self.first:
            self.wait()
            self.start = time.perf_counter()
            self.profiler.start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ANN401
        """End with the last."""
        if args[-1] == self.first + PROFILED - 1:
            self.wait()
            self.profiler.stop()
            self.seconds = (time.perf_counter() - self.start) / PROFILED


def name_parts(model: LightningModule) -> None:
    """Give the parts of a step names that the profiler shows."""

    def wrap(owner: Any, attribute: str, part: str) -> None:  # noqa: ANN401
        function = getattr(owner, attribute)

        def named(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with record_function(part):
                return function(*args, **kwargs)

        object.__setattr__(owner, attribute, named)

    for attribute, part in (
        ("views", "views"),
        ("prepare", "views"),
        ("cut", "views"),
        ("encode", "query forward"),
        ("encode_keys", "key forward"),
        ("encode_shuffled", "key forward"),
        ("stop_unless_finite", "finite?"),
        ("log_training", "log"),
    ):
        if hasattr(model, attribute) and not (attribute == "encode" and isinstance(model, SkeletonContrast)):
            wrap(model, attribute, part)
    encoders = [model.query_encoder] if isinstance(model, TubeletContrast) else []
    encoders += list(model.query_encoders) if isinstance(model, SkeletonContrast) else []
    for encoder in encoders:
        wrap(encoder, "forward", "query forward")
    for module in model.modules():
        if isinstance(module, MomentumEncoder):
            wrap(module, "update", "momentum update")


def build(options: argparse.Namespace) -> tuple[LightningModule, Any]:
    """Return the method and its data."""
    torch.manual_seed(0)
    steps = options.warmup + options.steps + PROFILED
    if options.method == "skeleton":
        model: LightningModule = method(options.compile)
        if options.no_graphs:
            object.__setattr__(model, "encode", lambda encoder, view: encoder(view))
        return model, Kept(options.batch_size, steps, options.device)
    if options.method == "tubelet":
        model = TubeletContrast(R2Plus1D(), channels_last=options.channels_last, compile=options.compile)
        data = InMemory(options.batch_size, steps)
    else:
        model = ActionRecognition(
            R2Plus1D(), num_classes=CLASSES, channels_last=options.channels_last, compile=options.compile
        )
        data = InMemory(options.batch_size, steps, 32)
    if options.device == "cuda":
        data.clip = data.clip.pin_memory()
    return model, data


def overlap(kernel: Any, spans: list[Any]) -> str:  # noqa: ANN401
    """Return the part of the step, the innermost, that a kernel lies in."""
    inside = [
        span
        for span in spans
        if span.time_range.start <= kernel.time_range.start and kernel.time_range.end <= span.time_range.end
    ]
    return min(inside, key=lambda span: span.time_range.elapsed_us()).name if inside else "backward and the rest"


def kind_of(name: str) -> str:
    """Return the kind of a kernel."""
    return next((kind for kind, pattern in KINDS if re.search(pattern, name.lower())), "other")


def report(profiler: profile, longest: int) -> None:
    """Print the kernels by kind, by part, and the longest."""
    on_device = [event for event in profiler.events() if event.device_type == DeviceType.CUDA]
    spans = [event for event in on_device if getattr(event, "is_user_annotation", False)]
    kernels = [event for event in on_device if not getattr(event, "is_user_annotation", False)]
    kernels.sort(key=lambda event: event.time_range.start)
    if not kernels:
        print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=longest, max_name_column_width=60))
        return
    parts = [span for span in spans if not re.match(r"ProfilerStep|Optimizer\.|Torch-Compiled|\[pl\]|## ", span.name)]
    busy, until = 0.0, kernels[0].time_range.start
    kinds: Counter[str] = Counter()
    places: Counter[tuple[str, str]] = Counter()
    names: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for kernel in kernels:
        milliseconds = kernel.time_range.elapsed_us() / 1000 / PROFILED
        start, end = kernel.time_range.start, kernel.time_range.end
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
        kind = kind_of(kernel.name)
        kinds[kind] += milliseconds
        places[overlap(kernel, parts), kind] += milliseconds
        names[kernel.name] += milliseconds
        calls[kernel.name] += 1
    whole = (until - kernels[0].time_range.start) / 1000 / PROFILED
    busy = busy / 1000 / PROFILED
    total = sum(kinds.values())
    number = len(kernels) // PROFILED
    print(f"kernels {total:.2f} ms a step, the device busy {busy:.2f} of {whole:.2f} ms, {number} kernels\n")
    print("| kind | ms | share |\n|---|---|---|")
    for kind, milliseconds in kinds.most_common():
        print(f"| {kind} | {milliseconds:.2f} | {100 * milliseconds / total:.1f} % |")
    print("\n| part | kind | ms |\n|---|---|---|")
    for (part, kind), milliseconds in sorted(places.items(), key=lambda entry: (entry[0][0], -entry[1])):
        if milliseconds > 0.005 * total:
            print(f"| {part} | {kind} | {milliseconds:.2f} |")
    print("\n| kernel | calls | ms |\n|---|---|---|")
    for name, milliseconds in names.most_common(longest):
        print(f"| `{name[:150]}` | {calls[name] / PROFILED:g} | {milliseconds:.3f} |")


def main() -> None:
    """Train a few steps, time them, profile two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("method", choices=("tubelet", "finetune", "skeleton"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch_size", type=int, default=4, help="pairs, clips or sequences a step")
    parser.add_argument("--warmup", type=int, default=3, help="steps that do not count")
    parser.add_argument("--steps", type=int, default=3, help="that are timed")
    parser.add_argument("--precision", default="bf16-mixed", help="of the Trainer")
    parser.add_argument("--channels_last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--no_graphs", action="store_true", help="with --compile: recurrent networks as they are")
    parser.add_argument("--longest", type=int, default=30, help="kernels that are listed")
    parser.add_argument("--trace", type=Path, help="folder for the trace that chrome://tracing shows")
    options = parser.parse_args()
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    cuda = options.device == "cuda"
    wait = torch.cuda.synchronize if cuda else lambda: None
    model, data = build(options)
    name_parts(model)
    stopwatch = Stopwatch(wait, options.warmup, options.steps)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    profiling = Profile(options.warmup + options.steps, wait, activities)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="gpu" if cuda else "cpu",
            devices=1,
            precision=options.precision,
            max_steps=options.warmup + options.steps + PROFILED,
            log_every_n_steps=1000,
            gradient_clip_val=40 if options.method == "tubelet" else None,
            default_root_dir=folder,
            callbacks=[stopwatch, profiling],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            use_distributed_sampler=False,
            benchmark=cuda,
        )
        started = time.perf_counter()
        trainer.fit(model, DataLoader(data, batch_size=None))
    step = stopwatch.seconds()
    name = torch.cuda.get_device_name() if cuda else f"{os.cpu_count()} CPU cores"
    print(
        f"\n## {options.method}: {options.batch_size} a step, {options.precision}, channels-last "
        f"{'on' if options.channels_last else 'off'}, compile {'on' if options.compile else 'off'}; {name}, torch "
        f"{torch.__version__}\n\n{1000 * step:.1f} ms a step, {options.batch_size / step:,.1f} a second; "
        f"first step after {stopwatch.times[1] - started:.1f} s, "
        f"{1000 * profiling.seconds:.1f} ms a step under the profiler"
    )
    if cuda:
        print(f"largest memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")
    report(profiling.profiler, options.longest)
    if options.trace:
        options.trace.mkdir(parents=True, exist_ok=True)
        setting = f"{options.method}{'_last' * options.channels_last}{'_compiled' * options.compile}"
        profiling.profiler.export_chrome_trace(str(options.trace / f"{setting}.json.gz"))


if __name__ == "__main__":
    main()
