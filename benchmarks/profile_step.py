"""Where the time of a training step goes on a GPU: kernels by kind and by part of the step, and gaps between them.

Whole steps of a Trainer on data in memory: tubelet contrast or fine-tuning, both of R(2+1)D-18 on 112 x 112, or
inter-skeleton contrast (BiGRU and A-GCN). Measures the mean step without a profiler, then, from two steps under
torch.profiler, milliseconds a step for each kind of kernel and part of the step, and the longest kernels. On the CPU
it names the longest operators.

    python -m benchmarks.profile_step tubelet --device cuda --batch_size 128 --channels_last --compile
    python -m benchmarks.profile_step skeleton --batch_size 4 --steps 1
"""

import argparse
import logging
import re
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.data import DataLoader

from benchmarks.finetuning import CLASSES
from benchmarks.record import record
from benchmarks.skeleton_training import Kept, method
from benchmarks.training import InMemory, Stopwatch, setting
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
        ("on_after_backward", "finite?"),
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
        data = InMemory(options.batch_size, steps, options.frames)
    else:
        model = ActionRecognition(
            R2Plus1D(), num_classes=CLASSES, channels_last=options.channels_last, compile=options.compile
        )
        data = InMemory(options.batch_size, steps, options.frames)
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


Rows = list[dict[str, object]]


def tables(profiler: profile, longest: int) -> dict[str, Rows]:
    """What the device was busy with, the kernels by kind and by part, and the longest; operators on a CPU."""
    on_device = [event for event in profiler.events() if event.device_type == DeviceType.CUDA]
    spans = [event for event in on_device if getattr(event, "is_user_annotation", False)]
    kernels = [event for event in on_device if not getattr(event, "is_user_annotation", False)]
    kernels.sort(key=lambda event: event.time_range.start)
    if not kernels:
        operators = sorted(profiler.key_averages(), key=lambda operator: -operator.self_cpu_time_total)[:longest]
        rows: Rows = [
            {
                "operator": operator.key[:150],
                "calls a step": operator.count / PROFILED,
                "ms a step": operator.self_cpu_time_total / 1000 / PROFILED,
            }
            for operator in operators
        ]
        return {"operators": rows}
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
    return {
        "device": [{"kernels": number, "their ms a step": total, "busy ms a step": busy, "of ms": whole}],
        "kinds": [
            {"kind": kind, "ms a step": milliseconds, "%": 100 * milliseconds / total}
            for kind, milliseconds in kinds.most_common()
        ],
        "parts": [
            {"part": part, "kind": kind, "ms a step": milliseconds}
            for (part, kind), milliseconds in sorted(places.items(), key=lambda entry: (entry[0][0], -entry[1]))
            if milliseconds > 0.005 * total
        ],
        "kernels": [
            {"kernel": f"`{name[:150]}`", "calls a step": calls[name] / PROFILED, "ms a step": milliseconds}
            for name, milliseconds in names.most_common(longest)
        ],
    }


def main() -> None:
    """Train a few steps, time them, profile two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("method", choices=("tubelet", "finetune", "skeleton"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch_size", type=int, default=4, help="pairs, clips or sequences a step")
    parser.add_argument("--frames", type=int, default=16, help="of a clip")
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
    row = {
        "method": options.method,
        "batch": options.batch_size,
        **({} if options.method == "skeleton" else {"frames": options.frames}),
        **setting(options.precision, options.channels_last, options.compile),
        "step ms": 1000 * step,
        "a second": options.batch_size / step,
        "first step after s": stopwatch.times[1] - started,
        "step ms under the profiler": 1000 * profiling.seconds,
        **({"largest memory GB": torch.cuda.max_memory_allocated() / 1e9} if cuda else {}),
    }
    name = f"profile_step_{options.method}_{options.device}{'_compiled' * options.compile}"
    record(name, {"step": [row], **tables(profiling.profiler, options.longest)}, seed=0)
    if options.trace:
        options.trace.mkdir(parents=True, exist_ok=True)
        file = f"{options.method}{'_last' * options.channels_last}{'_compiled' * options.compile}"
        profiling.profiler.export_chrome_trace(str(options.trace / f"{file}.json.gz"))


if __name__ == "__main__":
    main()
