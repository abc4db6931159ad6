"""Tables 3.2 to 3.6 in small: skeleton.yaml with other representations, augmentations and labels.

Networks are those of the three representations, narrow. Linear evaluation and the nearest neighbour (k = 1) are of
frozen features, of each network by itself.
"""

import json
from collections.abc import Callable
from typing import Any

from benchmarks.reproduction.runs import FEW_STEPS, FEW_TESTS, Run
from benchmarks.reproduction.tables import Column, Figure, Order, Row, Table

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "image": ("HCN", {"channels": 16, "window": 16, "num_frames": 16, "dropout": 0.1}),
    "graph": ("AGCN", {"width": 8, "blocks": [1, 1, 1]}),
    "sequence": ("BiGRU", {"hidden_dim": 64, "num_layers": 1}),
}
AUGMENTATIONS = {  # temporal crop-resize, and the spatial ones
    "none": ("false", "[]"),
    "crop": ("true", "[]"),
    "pose": ("false", "[pose]"),
    "jitter": ("false", "[jitter]"),
    "crop_pose": ("true", "[pose]"),
    "crop_jitter": ("true", "[jitter]"),
}

Kind = Callable[[str, Run | None], Figure]


def networks(*names: str) -> str:
    """Networks as an argument."""
    found = ((f"lightning_modules.networks.{name}", arguments) for name, arguments in map(NETWORKS.__getitem__, names))
    return json.dumps([{"class_path": path, "init_args": arguments} for path, arguments in found])


def contrast(*names: str, augmentation: str | None = None) -> Run:
    """Contrast of one representation or several, with all augmentations or some."""
    arguments: tuple[str, ...] = ("--model.representations", networks(*names))
    if augmentation is not None:
        temporal, spatial = AUGMENTATIONS[augmentation]
        arguments += ("--model.augmentation.temporal", temporal, "--model.augmentation.spatial", spatial)
    name = "-".join(names) + (f".{augmentation}" if augmentation else "")
    return Run(f"skeletons/{name}", ("fit", "--config", "skeleton.yaml", *arguments))


def linear(network: str, start: Run | None) -> Figure:
    """Linear evaluation of a network of a run, or of an untrained one."""
    words = ("fit", "--config", "skeleton_linear.yaml", "--model.networks", networks(network))
    name = f"{start.name if start else 'skeletons/untrained'}.linear/{network}"
    return Figure(Run(name, words, start, seed_keys=("--model.seed",), quick=FEW_STEPS), "val/top1")


def nearest(network: str, start: Run | None) -> Figure:
    """Nearest neighbour of a network of a run, or of an untrained one."""
    words = ("test", "--config", "skeleton_retrieval.yaml", "--model.networks", networks(network))
    name = f"{start.name if start else 'skeletons/untrained'}.nearest/{network}"
    return Figure(Run(name, words, start, quick=FEW_TESTS), "test/top1")


def contrasts(title: str, *names: str, thesis: tuple[float | None, ...] = (), of: Kind = linear) -> Row:
    """A row of a contrast: a figure for each network that takes part; of none: untrained networks."""
    start = contrast(*names) if names else None
    return Row(title, tuple(of(name, start) if not names or name in names else None for name in NETWORKS), thesis)


def augmented(title: str, augmentation: str | None, thesis: tuple[float, ...]) -> Row:
    """A row of table 3.5: each network alone."""
    return Row(title, tuple(linear(name, contrast(name, augmentation=augmentation)) for name in NETWORKS), thesis)


def tuned(name: str, start: Run | None, fraction: str, *arguments: str) -> Figure:
    """Fine-tuning with a share of the labels."""
    words = ("fit", "--config", "skeleton_semi_supervised.yaml", *arguments, "--data.labelled_fraction", fraction)
    return Figure(Run(f"skeletons/{name}/{fraction}", words, start, seed_keys=(), quick=FEW_STEPS), "val/top1")


COLUMNS = tuple(Column(name) for name in NETWORKS)
PAIRS = (("image", "graph"), ("image", "sequence"), ("sequence", "graph"))
ALL = ("image", "sequence", "graph")
FULL = "all three"


def compared(of: Kind) -> tuple[Row, ...]:
    """The rows of table 3.6, with the thesis' numbers where they are of linear evaluation."""
    numbers: dict[tuple[str, ...], tuple[float | None, ...]] = {
        ("image",): (79.6, None, None),
        ("graph",): (None, 72.5, None),
        ("sequence",): (None, None, 82.5),
        ("image", "graph"): (80.0, 78.0, None),
        ("image", "sequence"): (81.7, None, 83.0),
        ("sequence", "graph"): (None, 78.9, 85.2),
        ALL: (81.2, 81.6, 85.4),
    }
    rows = [contrasts("untrained", of=of)]
    for names, thesis in numbers.items():
        title = f"{'intra' if len(names) == 1 else 'inter'}: {', '.join(names)}"
        rows.append(contrasts(title, *names, thesis=thesis if of is linear else (), of=of))
    return tuple(rows)


BEYOND_ALONE = tuple(
    Order(f"inter: {', '.join(pair)}", f"intra: {name}", (name,)) for pair in (*PAIRS, ALL) for name in pair
)
# The networks of skeleton.yaml; the checkpoint is that of seed 0 for all subsets of the labels.
PRETRAINED = contrast("sequence", "graph")._replace(name="skeletons/sequence-graph/seed_0", once=True)
PKU = ("--data", "SyntheticPKUMMDDataModule")
PRETRAINED_PKU = Run("skeletons/pretrained_pku", ("fit", "--config", "skeleton.yaml", *PKU), once=True)
SECOND_PKU = (*PKU, "--data.content_seed", "1")

TABLES = (
    Table(
        "3.2",
        COLUMNS,
        compared(nearest),
        tuple(
            Order(title, "untrained")
            for title in ("inter: sequence, graph", "inter: image, sequence", "inter: image, graph")
        ),
        corner="contrast",
    ),
    Table(
        "3.3",
        (Column("5 %"), Column("10 %"), Column("20 %")),
        (
            Row(
                "from scratch",
                tuple(tuned("semi_scratch", None, fraction) for fraction in ("0.05", "0.1", "0.2")),
                (42.8, 51.6, 59.5),
            ),
            Row(
                "pretrained",
                tuple(tuned("semi", PRETRAINED, fraction) for fraction in ("0.05", "0.1", "0.2")),
                (59.6, 65.9, 70.8),
            ),
        ),
        (Order("pretrained", "from scratch"),),
        seeds=5,
        corner="labels",
        quick_columns=1,
    ),
    Table(
        "3.4",
        (Column("top-1"),),
        (
            Row("from scratch", (tuned("pku_scratch", None, "0.1", *SECOND_PKU),)),
            Row("pretrained on embedded NTU", (tuned("pku_from_ntu", PRETRAINED, "0.1", *SECOND_PKU),), (45.9,)),
            Row(
                "pretrained on embedded PKU-MMD", (tuned("pku_from_pku", PRETRAINED_PKU, "0.1", *SECOND_PKU),), (45.1,)
            ),
        ),
        (
            Order("pretrained on embedded NTU", "from scratch"),
            Order("pretrained on embedded PKU-MMD", "from scratch"),
        ),
        corner="fine-tuned on another PKU-MMD",
    ),
    Table(
        "3.5",
        COLUMNS,
        (
            augmented("none", "none", (51.0, 51.4, 50.0)),
            augmented("crop-resize", "crop", (62.5, 53.5, 64.1)),
            augmented("pose", "pose", (69.8, 63.8, 71.7)),
            augmented("jitter", "jitter", (74.6, 66.1, 75.2)),
            augmented("crop-resize, pose", "crop_pose", (73.2, 69.3, 73.8)),
            augmented("crop-resize, jitter", "crop_jitter", (77.0, 68.3, 80.0)),
            augmented(FULL, None, (79.6, 72.5, 82.5)),
        ),
        (
            *(Order(title, "none") for title in ("crop-resize", "pose", "jitter")),
            Order("jitter", "pose"),
            Order("crop-resize, pose", "pose"),
            Order("crop-resize, jitter", "jitter"),
            Order(FULL, "crop-resize, pose"),
            Order(FULL, "crop-resize, jitter"),
        ),
        corner="augmentation",
    ),
    Table("3.6", COLUMNS, compared(linear), BEYOND_ALONE, corner="contrast"),
)
