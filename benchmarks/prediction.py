"""What the growth that was measured means for a large machine and a long list: plain arithmetic, no model of overlap.

Each part of a training step is given the time that it takes alone, beside that of the GPU's own work. One that takes
longer than the GPU's is a bottleneck whatever is overlapped; of several, the longest comes first.
"""

import dataclasses

import torch

from lightning_modules.networks import R2Plus1D
from lightning_modules.networks.heads import ProjectionHead

CLIP_BYTES = 16 * 112 * 112 * 3  # uint8
KEY_BYTES = 128 * 4
PLACE_BYTES = 8  # of a video in an epoch's permutation


@dataclasses.dataclass(frozen=True)
class Machine:
    """What is assumed of the machine; bandwidths in bytes a second and direction.

    Attributes:
        nodes: connected by a network.
        gpus: of a node.
        cores: of a node, for each of its GPUs.
        within: bandwidth of a GPU inside its node; NVLink of an H200.
        between: bandwidth of a whole node; one port of 400 Gb/s.
        disk: bandwidth of the file system that all nodes share.
        opens: files a second that it opens.
    """

    nodes: int = 8
    gpus: int = 8
    cores: int = 16
    within: float = 450e9
    between: float = 50e9
    disk: float = 20e9
    opens: float = 100e3

    @property
    def devices(self) -> int:
        """GPUs of all nodes."""
        return self.nodes * self.gpus


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured, with the command in ``docs/performance.md``.

    Attributes:
        pair_seconds: that the GPU is busy for a pair: 199.3 ms for 128 on an H200 (``profile_step``).
        clips_a_second: of a core, from prepared videos (``prepared``).
        video_bytes: of a prepared video (``prepared``).
        draw_seconds: to draw the views of a pair of the global batch (``scaling``).
        row_seconds: to set up a list, for each video (``scaling``).
        row_bytes_peak: most memory of that (``scaling``).
        row_bytes_kept: what stays of it (``scaling``).
    """

    pair_seconds: float = 0.1993 / 128
    clips_a_second: float = 120
    video_bytes: float = 0.30e6
    draw_seconds: float = 0.0
    row_seconds: float = 0.0
    row_bytes_peak: float = 0.0
    row_bytes_kept: float = 0.0


def parameter_bytes() -> int:
    """Bytes of the parameters of R(2+1)D-18 and its projection head, float32: of its gradients as well."""
    with torch.device("meta"):
        network = R2Plus1D()
        parts = network, ProjectionHead(network.feature_dim, out_dim=128)
    return sum(parameter.numel() * 4 for part in parts for parameter in part.parameters())


def per_step(machine: Machine, measured: Measured, batch: int, clips: int = 1) -> list[dict[str, object]]:
    """Seconds of a step that each part takes alone.

    Args:
        machine: see there.
        measured: see there.
        batch: pairs of all GPUs together.
        clips: decoded for a pair: each clip is in two pairs of ``derangement``, which makes 1; 2 for ``independent``.

    Returns:
        For each part what it does, milliseconds a step, and percent of the GPU's own time.
    """
    each = batch / machine.devices
    gradients = parameter_bytes()
    abroad = 1 - 1 / machine.nodes  # share of what goes to a random GPU that leaves the node
    own_clips = each * CLIP_BYTES
    all_clips = batch * CLIP_BYTES
    parts = [
        ("the GPU's own work", f"{each:g} pairs", each * measured.pair_seconds),
        (
            "decoding",
            f"{each * clips:g} clips on {machine.cores} cores a GPU",
            each * clips / measured.clips_a_second / machine.cores,
        ),
        ("views drawn for the global batch", f"{batch:,} pairs on one core", batch * measured.draw_seconds),
        (
            "gradients, ring of rings",
            f"{gradients / 1e6:.0f} MB a GPU",
            2 * gradients * ((1 - 1 / machine.gpus) / machine.within + abroad / machine.between),
        ),
        (
            "key clips, dealt out anew",
            f"{own_clips / 1e6:.1f} MB a GPU",
            own_clips * abroad * machine.gpus / machine.between,
        ),
        (
            "key clips, were they gathered",
            f"{all_clips / 1e9:.2f} GB a GPU",
            all_clips * abroad / machine.between,
        ),
        ("keys", f"{batch * KEY_BYTES / 1e6:.2f} MB a GPU", batch * KEY_BYTES * abroad / machine.between),
        (
            "reading, nothing cached",
            f"{batch * clips * measured.video_bytes / 1e9:.2f} GB from all disks",
            batch * clips * measured.video_bytes / machine.disk,
        ),
        ("opening files", f"{batch * clips:,} files", batch * clips / machine.opens),
    ]
    own = parts[0][2]
    return [
        {"part": name, "does": does, "ms a step": 1000 * took, "% of the GPU's time": 100 * took / own}
        for name, does, took in parts
    ]


def per_run(machine: Machine, measured: Measured, batch: int, videos: int, queue: int) -> list[dict[str, object]]:
    """What a list of so many videos needs: seconds, bytes, and where the time of an epoch goes to.

    Args:
        machine: see there.
        measured: see there.
        batch: pairs of all GPUs together.
        videos: of the list.
        queue: keys that are kept.
    """
    steps = max(1, videos // batch)
    epoch = steps * batch / machine.devices * measured.pair_seconds
    read = min(machine.disk, machine.opens * measured.video_bytes)
    encoder = parameter_bytes()
    gib = machine.gpus / 2**30
    return [
        {"of the run": "prepared videos, TB", "value": videos * measured.video_bytes / 1e12},
        {"of the run": "steps an epoch", "value": steps},
        {"of the run": "an epoch at the GPU's own speed, s", "value": epoch},
        {"of the run": "videos a second for that", "value": steps * batch / epoch},
        {"of the run": "an epoch at the disks' speed, s", "value": videos * measured.video_bytes / read},
        {"of the run": "list, at each start, s", "value": videos * measured.row_seconds},
        {"of the run": "list while it is read, GiB a node", "value": videos * measured.row_bytes_peak * gib},
        {"of the run": "list that stays, GiB a node", "value": videos * measured.row_bytes_kept * gib},
        {"of the run": "an epoch's permutation, GiB a node", "value": videos * PLACE_BYTES * gib},
        {
            "of the run": "checkpoint: two encoders, momentum, keys, MB",
            "value": (3 * encoder + queue * KEY_BYTES) / 1e6,
        },
    ]


def first_bottleneck(parts: list[dict[str, object]]) -> str:
    """Name of the part of a step that takes longest, what is not done left out."""
    done = [part for part in parts if "were they" not in str(part["part"])]
    return str(max(done, key=lambda part: float(str(part["ms a step"])))["part"])
