"""Milliseconds of the layers that rule a training step, in several forms that compute the same.

``convolutions``: those of R(2+1)D-18 for clips of 16 x 112 x 112, as 3D convolutions and as 2D ones of the same memory
(frames as samples, or rows and columns as one axis), with the channels between them as published or padded with zeros.
``recurrent``: the BiGRU, cell after cell, on two streams, and as a captured graph. All in bf16, channels-last, forward
and backward. ``check``: that networks compute on a GPU what they compute in float64 on the CPU.

    python -m benchmarks.layers convolutions --batch_size 128
    python -m benchmarks.layers recurrent --batch_size 64
"""

import argparse
import copy
import functools
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.record import record
from lightning_modules.cuda_graph import CudaGraph
from lightning_modules.networks import AGCN, BiGRU, R2Plus1D

# spatial or temporal, channels in and out, frames and side of the input, stride, how many there are
CONVOLUTIONS = (
    ("stem", 3, 45, 16, 112, 2, 1),
    ("temporal", 45, 64, 16, 56, 1, 1),
    ("spatial", 64, 144, 16, 56, 1, 4),
    ("temporal", 144, 64, 16, 56, 1, 4),
    ("spatial", 64, 230, 16, 56, 2, 1),
    ("temporal", 230, 128, 16, 28, 2, 1),
    ("spatial", 128, 230, 8, 28, 1, 1),
    ("temporal", 230, 128, 8, 28, 1, 1),
    ("spatial", 128, 288, 8, 28, 1, 2),
    ("temporal", 288, 128, 8, 28, 1, 2),
    ("spatial", 128, 460, 8, 28, 2, 1),
    ("temporal", 460, 256, 8, 14, 2, 1),
    ("spatial", 256, 460, 4, 14, 1, 1),
    ("temporal", 460, 256, 4, 14, 1, 1),
    ("spatial", 256, 576, 4, 14, 1, 2),
    ("temporal", 576, 256, 4, 14, 1, 2),
    ("spatial", 256, 921, 4, 14, 2, 1),
    ("temporal", 921, 512, 4, 7, 2, 1),
    ("spatial", 512, 921, 2, 7, 1, 1),
    ("temporal", 921, 512, 2, 7, 1, 1),
    ("spatial", 512, 1152, 2, 7, 1, 2),
    ("temporal", 1152, 512, 2, 7, 1, 2),
)
Rows = list[dict[str, object]]
FORMS = (("3D", 1), ("3D", 8), ("2D", 1), ("2D", 8), ("2D", 64))


def milliseconds(run: Callable[[], object], device: str, repeats: int = 5) -> float:
    """Median of a few runs after two that do not count."""
    times = []
    for repeat in range(repeats + 2):
        if device == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            end.record()
            end.synchronize()
            taken = start.elapsed_time(end)
        else:
            began = time.perf_counter()
            run()
            taken = 1000 * (time.perf_counter() - began)
        if repeat >= 2:
            times.append(taken)
    return statistics.median(times)


def padded(channels: int, multiple: int) -> int:
    """The next multiple."""
    return -(-channels // multiple) * multiple


def convolution(layer: tuple, form: str, multiple: int, batch_size: int, device: str) -> tuple[float, float]:
    """Time a layer forward, and backward to its weight and its input."""
    kind, channels, out_channels, frames, side, stride, _ = layer
    channels, out_channels = padded(channels, multiple), padded(out_channels, multiple)
    kernel = {"stem": (1, 7, 7), "spatial": (1, 3, 3), "temporal": (3, 1, 1)}[kind]
    padding = tuple(size // 2 for size in kernel)
    strides = (stride, 1, 1) if kind == "temporal" else (1, stride, stride)
    options = {"dtype": torch.bfloat16, "device": device}
    clip = torch.randn((batch_size, frames, side, side, channels), **options).permute(0, 4, 1, 2, 3)
    weight = torch.randn((out_channels, channels, *kernel), **options).contiguous(memory_format=torch.channels_last_3d)
    if form == "3D":
        apply = functools.partial(functional.conv3d, stride=strides, padding=padding)
    elif kind == "temporal":
        clip, weight = clip.flatten(3), weight[..., 0]
        apply = functools.partial(functional.conv2d, stride=(stride, 1), padding=(1, 0))
    else:
        clip, weight = clip.transpose(1, 2).flatten(0, 1), weight[:, :, 0]
        apply = functools.partial(functional.conv2d, stride=stride, padding=padding[1:])
    assert clip.is_contiguous(memory_format=torch.channels_last_3d if form == "3D" else torch.channels_last)
    wanted = [weight.requires_grad_()] + ([] if kind == "stem" else [clip.requires_grad_()])
    output = apply(clip, weight)
    gradient = torch.randn_like(output)
    return (
        milliseconds(lambda: apply(clip, weight), device),
        milliseconds(lambda: torch.autograd.grad(output, wanted, gradient, retain_graph=True), device),
    )


def convolutions(batch_size: int, device: str, shrink: int) -> Rows:
    """All layers in all forms, and the sums over a network."""
    names = [f"{form}{'' if multiple == 1 else f' to {multiple}'}" for form, multiple in FORMS]
    columns = [f"{name}, {direction} ms" for name in names for direction in ("forward", "backward")]
    rows: Rows = []
    sums = [0.0] * (2 * len(FORMS))
    for layer in CONVOLUTIONS:
        kind, channels, out_channels, frames, side, stride, count = layer
        layer = (kind, channels, out_channels, frames, max(side // shrink, 1), stride, count)
        times: list[float] = []
        for form, multiple in FORMS:
            same = multiple == 64 and kind != "stem" and channels % 8 == 0 and out_channels % 8 == 0
            skip = multiple == 8 and channels % 8 == 0 and out_channels % 8 == 0
            times += times[-2:] if skip or same else convolution(layer, form, multiple, batch_size, device)
        sums = [total + count * taken for total, taken in zip(sums, times, strict=True)]
        label = f"{kind} {channels}-{out_channels}, {frames} x {side}, stride {stride}, x {count}"
        rows.append({"layer": label, **dict(zip(columns, times, strict=True))})
        print(rows[-1], flush=True)
    return [*rows, {"layer": "network", **dict(zip(columns, sums, strict=True))}]


class OnTwoStreams(nn.Module):
    """Both cells of each layer at the same time."""

    def __init__(self, gru: nn.GRU, streams: list[torch.cuda.Stream]) -> None:
        super().__init__()
        self.gru, self.streams = gru, streams

    def forward(self, frames: Tensor) -> Tensor:
        """Float (B, T, D) to the last layer's outputs."""
        gru, current = self.gru, torch.cuda.current_stream()
        start = frames.new_zeros(1, len(frames), gru.hidden_size)
        for layer in range(gru.num_layers):
            outputs = []
            for cell, stream in zip(gru.all_weights[2 * layer : 2 * layer + 2], self.streams, strict=True):
                stream.wait_stream(current)
                with torch.cuda.stream(stream):
                    output, _ = torch.gru(frames, start.to(frames.dtype), list(cell), True, 1, 0.0, True, False, True)
                    outputs.append(output)
            for stream in self.streams:
                current.wait_stream(stream)
            frames = torch.cat(outputs, dim=2)
        return frames


class Features(nn.Module):
    """The last layer's outputs of a GRU."""

    def __init__(self, gru: nn.Module) -> None:
        super().__init__()
        self.gru = gru

    def forward(self, frames: Tensor) -> Tensor:
        """Float (B, T, D) to float (B, T, 2 H)."""
        outputs: Tensor = self.gru(frames)[0]
        return outputs


def recurrent(batch_size: int, device: str) -> Rows:
    """The forms of the BiGRU."""
    torch.manual_seed(0)
    frames = torch.randn((batch_size, 64, 150), device=device)
    published = Features(BiGRU().encoder["gru"].to(device))
    in_bf16 = copy.deepcopy(published).bfloat16()
    forms: dict[str, tuple[bool, Callable[[], Callable[[Tensor], Tensor]]]] = {
        "published, autocast": (True, lambda: published),
        "published, bf16": (False, lambda: in_bf16),
        "bidirectional, one call": (True, lambda: Features(BiGRU(reading="bidirectional").encoder["gru"].to(device))),
    }
    if device == "cuda":
        streams = [torch.cuda.Stream(), torch.cuda.Stream()]
        on_two = OnTwoStreams(in_bf16.gru, streams)
        forms["graph, autocast"] = True, lambda: CudaGraph(published, frames)
        forms["graph, bf16"] = False, lambda: CudaGraph(in_bf16, frames.bfloat16())
        forms["graph, two streams, bf16"] = False, lambda: CudaGraph(on_two, frames.bfloat16())
    rows: Rows = []
    for name, (autocast, form) in forms.items():
        try:
            with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast, cache_enabled=False):
                module = form()
                input = frames if autocast else frames.bfloat16()

                def forward(module: Callable[[Tensor], Tensor] = module, input: Tensor = input) -> Tensor:
                    return module(input)

                def both(module: Callable[[Tensor], Tensor] = module, input: Tensor = input) -> None:
                    module(input)[:, -1].float().sum().backward()

                kind = str(forward().dtype)
                with torch.no_grad():
                    ahead = milliseconds(forward, device)
                whole = milliseconds(both, device)
                if device == "cuda":
                    torch.cuda.synchronize()
                began = time.perf_counter()
                both()
                launching = 1000 * (time.perf_counter() - began)
        except Exception as error:
            rows.append({"form": name, "output": f"failed: {str(error).splitlines()[0][:150]}"})
            continue
        times = {"forward ms": ahead, "forward and backward ms": whole, "its launching ms": launching}
        rows.append({"form": name, "sequences": batch_size, "output": kind, **times})
    return rows


def difference(one: Tensor, other: Tensor) -> float:
    """Norm of the difference, of the other's norm."""
    one, other = one.detach().double().cpu(), other.detach().double().cpu()
    return float((one - other).norm() / other.norm())


def check(device: str) -> Rows:
    """How far networks on the device are from themselves in float64 on the CPU: features and gradients."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    clip = torch.randn(4, 3, 8, 32, 32)
    skeleton = torch.randn(4, 3, 16, 25, 2)
    networks: dict[str, tuple[nn.Module, Tensor]] = {
        "R(2+1)D": (R2Plus1D((64, 128), (1, 1)), clip.contiguous(memory_format=torch.channels_last_3d)),
        "R(2+1)D, contiguous": (R2Plus1D((64, 128), (1, 1)), clip),
        "A-GCN": (AGCN(64, (2, 1, 1)), skeleton),
        "BiGRU": (BiGRU(256), skeleton),
        "BiGRU, graph": (BiGRU(256), skeleton),
    }
    rows: Rows = []
    for name, (network, input) in networks.items():
        exact = copy.deepcopy(network).double()
        weights = torch.randn(network.feature_dim)
        expected = exact(input.double())
        (expected * weights).sum().backward()
        for precision in (torch.float32, torch.bfloat16):
            module, on_device = copy.deepcopy(network).to(device), input.to(device)
            if name == "R(2+1)D":
                module.to(memory_format=torch.channels_last_3d)
            with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
                output = (CudaGraph(module, on_device) if "graph" in name else module)(on_device)
            (output.float() * weights.to(device)).sum().backward()
            gradients = [
                difference(parameter.grad, other.grad)
                for parameter, other in zip(module.parameters(), exact.parameters(), strict=True)
                if other.grad.norm() > 1e-6 * sum(value.grad.norm() for value in exact.parameters())
            ]
            buffers = [
                float((buffer.cpu() - other).abs().max())
                for buffer, other in zip(module.buffers(), exact.buffers(), strict=True)
                if buffer.is_floating_point()
            ]
            rows.append(
                {
                    "network": name,
                    "type": str(precision),
                    "features": difference(output, expected),
                    "gradients, largest": max(gradients),
                    "statistics, absolute": max(buffers, default=0.0),
                }
            )
    return rows


def main() -> None:
    """Make the table asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layers", choices=("convolutions", "recurrent", "check"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--shrink", type=int, default=1, help="frames by so much, to try the script")
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    if options.layers == "convolutions":
        rows = convolutions(options.batch_size, options.device, options.shrink)
    elif options.layers == "check":
        rows = check(options.device)
    else:
        rows = recurrent(options.batch_size, options.device)
    record(
        f"layers_{options.layers}_{options.device}",
        {options.layers: rows},
        seed=None if options.layers == "convolutions" else 0,
    )


if __name__ == "__main__":
    main()
