"""Tables 5.2 to 5.5, C.5 and C.7 in small: nearest neighbours of the features of tubelet.yaml and its changes.

The thesis fine-tunes on four sets; its numbers beside ours are those of Gym (10^3), where motion tells the class, as
it does in the embedded Kinetics. The clips have 8 frames for the thesis' 16, so that velocities are twice its own, as
that of the rotation in tubelet.yaml.
"""

from benchmarks.reproduction.runs import UNTRAINED, Run
from benchmarks.reproduction.tables import Column, Figure, Order, Row, Table

NEIGHBOURS = "probe/knn_top1"
NO_TRANSFORMATION = ("--model.tubelets.transformations", "[]")
SHEAR_VELOCITY = ("--model.tubelets.shear_velocity", "0.132")


def change(name: str, *arguments: str) -> Run:
    """A run of tubelet.yaml with other arguments."""
    return Run(f"tubelet/{name}", ("fit", "--config", "tubelet.yaml", *arguments))


def transformed(*names: str) -> Run:
    """A run with other transformations."""
    arguments = ("--model.tubelets.transformations", f"[{','.join(names)}]")
    return change("_".join(names), *arguments, *(SHEAR_VELOCITY if "shear" in names else ()))


ROTATION = change("rotation")
TEMPORAL = Run("tubelet/temporal", ("fit", "--config", "temporal.yaml"))
STATIC = change("static", "--model.tubelets.motion", "static", *NO_TRANSFORMATION)
LINEAR = change("linear", "--model.tubelets.motion", "linear", *NO_TRANSFORMATION)
LINEAR_FAST = change(
    "linear_fast", "--model.tubelets.motion", "linear", *NO_TRANSFORMATION, "--model.tubelets.velocity", "10"
)
NONLINEAR = change("nonlinear", *NO_TRANSFORMATION)
RANDOM_CROPS = change("random_crops", "--model.tubelets.motion", "jittered_crops", *NO_TRANSFORMATION)
ONE = change("one_tubelet", "--model.tubelets.num_tubelets", "1")
THREE = change("three_tubelets", "--model.tubelets.num_tubelets", "3")
SCALE, SHEAR = transformed("scale"), transformed("shear")


def row(title: str, run: Run, thesis: float | None = None, metric: str = NEIGHBOURS) -> Row:
    """A row of one figure."""
    return Row(title, (Figure(run, metric),), (thesis,))


COLUMNS = (Column("nearest neighbours", "thesis: Gym (10³)"),)
UNTRAINED_ROW = row("untrained", ROTATION, metric=UNTRAINED)
TRANSFORMATIONS = (
    row("no transformation", NONLINEAR, 45.6),
    row("scale", SCALE, 46.5),
    row("shear", SHEAR, 47.5),
    row("rotation", ROTATION, 48.0),
)
OVER_NONE = tuple(Order(name, "no transformation") for name in ("rotation", "shear", "scale"))

TABLES = (
    Table(
        "5.2",
        COLUMNS,
        (
            UNTRAINED_ROW,
            row("temporal contrast", TEMPORAL, 29.5),
            row("tubelets, static", STATIC, 28.2),
            row("tubelets, moving", NONLINEAR, 45.6),
            row("tubelets, moving and rotating", ROTATION, 48.0),
        ),
        (
            Order("tubelets, moving and rotating", "temporal contrast"),
            Order("tubelets, moving", "temporal contrast"),
            Order("tubelets, moving", "tubelets, static"),
            Order("temporal contrast", "tubelets, static"),
            Order("tubelets, moving and rotating", "tubelets, moving"),
        ),
    ),
    Table(
        "5.3",
        COLUMNS,
        (
            row("no motion", STATIC, 28.2),
            row("linear", LINEAR, 34.6),
            row("linear, twice as fast", LINEAR_FAST, 34.6),
            row("non-linear", NONLINEAR, 45.6),
        ),
        (
            Order("linear", "no motion"),
            Order("linear, twice as fast", "no motion"),
            Order("non-linear", "linear"),
            Order("non-linear", "linear, twice as fast"),
        ),
        corner="motion",
    ),
    Table(
        "5.4",
        COLUMNS,
        TRANSFORMATIONS,
        (*OVER_NONE, Order("rotation", "scale"), Order("rotation", "shear")),
        corner="transformation",
    ),
    Table(
        "5.5",
        COLUMNS,
        (
            row("temporal contrast", TEMPORAL, 29.5),
            row("1 tubelet", ONE, 39.5),
            row("2 tubelets", ROTATION, 48.0),
            row("3 tubelets", THREE, 46.0),
        ),
        (
            Order("1 tubelet", "temporal contrast"),
            Order("2 tubelets", "1 tubelet"),
            Order("2 tubelets", "3 tubelets"),
        ),
        corner="tubelets",
    ),
    Table(
        "C.5",
        COLUMNS,
        (
            *TRANSFORMATIONS,
            row("scale and shear", transformed("scale", "shear"), 46.0),
            row("rotation and scale", transformed("rotation", "scale"), 46.9),
            row("rotation and shear", transformed("rotation", "shear"), 45.7),
            row("rotation, scale and shear", transformed("rotation", "scale", "shear"), 46.0),
        ),
        tuple(
            Order("rotation", name)
            for name in ("scale and shear", "rotation and scale", "rotation and shear", "rotation, scale and shear")
        ),
        corner="transformations",
    ),
    Table(
        "C.7",
        COLUMNS,
        (row("random crops", RANDOM_CROPS, 37.5), row("tubelets", ROTATION, 48.0)),
        (Order("tubelets", "random crops"),),
    ),
)
