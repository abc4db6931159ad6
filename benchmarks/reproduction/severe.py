"""Tables 4.4, 5.6 and 5.7 in small: ``lightning severe --embedded`` from scratch and from two kinds of contrast.

And why gym99 comes out as it does in 4.4 and 5.6: what of its classes each network gets right.
"""

from benchmarks.reproduction.fine_gym import FINE_GYM_LEVELS
from benchmarks.reproduction.runs import AnyRun, Run, SevereRun
from benchmarks.reproduction.tables import Column, Figure, Order, Row, Table
from benchmarks.reproduction.tubelets import ROTATION, TEMPORAL

METRICS = {"ucfrep": ("test/error", 1.0), "charades": ("test/map", 100.0), "fx_s1": ("test/mean_class_accuracy", 100.0)}
TOP1 = ("test/top1", 100.0)
SOURCES: dict[str, Run | None] = {"none": None, "temporal": TEMPORAL, "tubelet": ROTATION}
SCRATCH, TEMPORAL_TITLE, TUBELET = "from scratch", "temporal contrast", "tubelet contrast"
TITLES = {"none": SCRATCH, "temporal": TEMPORAL_TITLE, "tubelet": TUBELET}


def row(title: str, weights: str, settings: tuple[tuple[str, str], ...], thesis: tuple[float | None, ...]) -> Row:
    """A row of settings, each with its mode."""
    runs = [(SevereRun(weights, setting, mode, SOURCES[weights]), setting) for setting, mode in settings]
    return Row(title, tuple(Figure(run, *METRICS.get(setting, TOP1)) for run, setting in runs), thesis)


def fine_tuned(*settings: str) -> tuple[tuple[str, str], ...]:
    """Settings whose networks are fine-tuned."""
    return tuple((setting, "finetune") for setting in settings)


GYM99, GYM99_LINEAR = ("--config", "severe_embedded/gym99.yaml"), ("--config", "severe_embedded_linear/gym99.yaml")
TWICE = ("--trainer.max_epochs", "48", "--trainer.check_val_every_n_epoch", "48", "--model.milestones", "[32, 42]")


def fine_tuned_longer(weights: str) -> Run:
    """Gym99 with twice the epochs, all seeds from the weights of seed 0 as in the benchmark."""
    start = SOURCES[weights]
    if start is None:
        return Run(f"severe_longer/{weights}", ("fit", *GYM99, "--model.weights", "null", *TWICE))
    start = start._replace(name=f"{start.name}/seed_0", once=True)
    return Run(f"severe_longer/{weights}", ("fit", *GYM99, *TWICE), start)


def levels(title: str, run: AnyRun, config: tuple[str, ...] = GYM99) -> Row:
    """A row of what a network of Gym99 gets right."""
    predicted = Run(f"severe_levels/{run.name}", ("predict", *config), run, "--ckpt_path")
    return Row(title, tuple(Figure(predicted, level) for level in FINE_GYM_LEVELS))


BENCHMARK = fine_tuned("ucf101", "ssv2", "gym99", "ucf101_few", "fx_s1", "ucfrep", "charades")
FOCUS = (("ucf101", "linear"), ("gym99", "linear"), ("ucf101", "finetune"), ("gym99", "finetune"))
FOCUS_COLUMNS = tuple(Column(f"{mode} {name}") for mode in ("linear", "fine-tuned") for name in ("ucf101", "gym99"))

TABLES = (
    Table(
        "4.4",
        (
            Column("ucf101"),
            Column("ssv2"),
            Column("gym99"),
            Column("ucf101_few", "UCF (10³)"),
            Column("fx_s1"),
            Column("ucfrep error", lower_is_better=True, digits=3),
            Column("charades mAP"),
        ),
        (
            row(SCRATCH, "none", BENCHMARK, (77.3, 57.1, 89.8, 38.3, 46.6, 0.217, 7.9)),
            row(TEMPORAL_TITLE, "temporal", BENCHMARK, (83.3, 57.1, 90.7, 60.4, 65.0, 0.208, 8.3)),
            row(TUBELET, "tubelet", BENCHMARK, (91.0, 60.2, 92.8, 65.7, 80.1, 0.150, 10.3)),
        ),
        (
            Order(TUBELET, SCRATCH),
            Order(TUBELET, TEMPORAL_TITLE),
            Order(
                TEMPORAL_TITLE,
                SCRATCH,
                ("ucf101", "gym99", "ucf101_few", "fx_s1", "ucfrep error", "charades mAP"),
            ),
        ),
        corner="weights",
        quick_columns=1,
    ),
    Table(
        "5.6",
        FOCUS_COLUMNS,
        (
            row(TEMPORAL_TITLE, "temporal", FOCUS, (58.9, 19.7, 87.1, 90.8)),
            row(TUBELET, "tubelet", FOCUS, (30.0, 34.1, 91.0, 92.8)),
        ),
        (
            Order(TEMPORAL_TITLE, TUBELET, ("linear ucf101",)),
            Order(TUBELET, TEMPORAL_TITLE, ("linear gym99", "fine-tuned ucf101", "fine-tuned gym99")),
        ),
        corner="weights",
        quick_columns=1,
    ),
    Table(
        "5.7",
        (Column("ucf101"),),
        (
            row(SCRATCH, "none", fine_tuned("ucf101"), (77.3,)),
            row(TEMPORAL_TITLE, "temporal", fine_tuned("ucf101"), (87.1,)),
            row(TUBELET, "tubelet", fine_tuned("ucf101"), (91.0,)),
        ),
        (Order(TUBELET, TEMPORAL_TITLE), Order(TEMPORAL_TITLE, SCRATCH)),
        corner="weights",
    ),
    Table(
        "gym99",
        (Column("class"), Column("event"), Column("kind of motion"), Column("turns")),
        (
            *(levels(TITLES[name], SevereRun(name, "gym99", "finetune", SOURCES[name])) for name in TITLES),
            *(levels(f"{TITLES[name]}, twice the epochs", fine_tuned_longer(name)) for name in TITLES),
            *(
                levels(f"{TITLES[name]}, linear", SevereRun(name, "gym99", "linear", SOURCES[name]), GYM99_LINEAR)
                for name in TITLES
            ),
        ),
        (
            *(
                Order(f"{TITLES[first]}, twice the epochs", f"{TITLES[second]}, twice the epochs", ("class",))
                for first, second in (("tubelet", "none"), ("tubelet", "temporal"), ("temporal", "none"))
            ),
            Order(f"{TEMPORAL_TITLE}, linear", f"{TUBELET}, linear", ("event",)),
            Order(f"{TUBELET}, linear", f"{TEMPORAL_TITLE}, linear", ("kind of motion",)),
        ),
        corner="weights",
    ),
)
