"""Tables 2.1 to 2.6 in small: students of depth and skeletons with few labels, and detection.

Teachers and transfers are trained once (seed 0), fine-tuning and detection for each seed, which draws other labels,
crops and first weights of what is new. With more labels there are fewer epochs, so that all take about the same number
of steps.
"""

from benchmarks.reproduction.runs import FEW_STEPS, Run
from benchmarks.reproduction.tables import Column, Figure, Order, Row, Table

EPOCHS_BY_LABELS = {5: 100, 20: 30, 50: 14}  # labels of each class
EPOCHS_BY_FRACTION = {0.25: 32, 0.5: 16, 1.0: 8}  # share of the labelled videos


def once(name: str, config: str, *arguments: str, teacher: Run | None = None) -> Run:
    """A teacher, or a transfer from one."""
    words = ("fit", "--config", config, *arguments)
    return Run(f"transfer/{name}", words, teacher, "--model.teacher_weights", once=True)


TEACHER_FLOW = once("teacher_flow", "transfer_teacher.yaml")
TEACHER_RGB = once("teacher_rgb", "transfer_teacher_rgb.yaml")
FLOW = once("flow", "transfer.yaml", teacher=TEACHER_FLOW)
CLIP_TO_CLIP = once("flow_clip_to_clip", "transfer.yaml", "--model.granularity", "clip_to_clip", teacher=TEACHER_FLOW)
VIDEO_TO_CLIP = once(
    "flow_video_to_clip", "transfer.yaml", "--model.granularity", "video_to_clip", teacher=TEACHER_FLOW
)
MSE = once("flow_mse", "transfer.yaml", "--model.loss", "mse", teacher=TEACHER_FLOW)
RGB = once("rgb", "transfer_rgb.yaml", teacher=TEACHER_RGB)
SKELETON_FLOW = once("skeleton_flow", "transfer_skeleton.yaml", teacher=TEACHER_FLOW)

ALL_TRAINS = ("--model.train_only", "null")
ADAPTED = ("--model.adapt_input", "true")
DEPTH, SKELETON, DETECTION = "transfer_finetune.yaml", "transfer_skeleton_finetune.yaml", "detection.yaml"


def tuned(name: str, start: Run | None, config: str, epochs: int, *arguments: str, seed_key: str) -> Run:
    """Fine-tuning of a row: its rate falls after three quarters of the epochs."""
    schedule = ("--trainer.max_epochs", str(epochs), "--trainer.check_val_every_n_epoch", str(epochs))
    schedule += ("--model.milestones", f"[{round(0.75 * epochs)}]")
    weights = ("--model.weights", "null") if start is None else ()
    words = ("fit", "--config", config, *weights, *arguments, *schedule)
    return Run(f"transfer/{name}", words, start, seed_keys=(seed_key,), quick=FEW_STEPS)


def recognition(title: str, folder: str, start: Run | None, thesis: tuple[float, ...], *arguments: str) -> Row:
    """A row of accuracies by the number of labels of each class."""
    figures = []
    for labels, epochs in EPOCHS_BY_LABELS.items():
        words = (*arguments, "--data.labels_per_class", str(labels))
        config = SKELETON if folder.startswith("skeleton") else DEPTH
        run = tuned(f"{folder}/{labels}", start, config, epochs, *words, seed_key="--data.labels_seed")
        figures.append(Figure(run, "val/top1"))
    return Row(title, tuple(figures), thesis)


def detection(title: str, folder: str, start: Run | None, thesis: tuple[float, ...], *arguments: str) -> Row:
    """A row of mAP by the share of the labelled videos."""
    figures = []
    for fraction, epochs in EPOCHS_BY_FRACTION.items():
        words = (*arguments, "--data.train_fraction", f"{fraction:g}")
        run = tuned(f"{folder}/{fraction:g}", start, DETECTION, epochs, *words, seed_key="--data.fraction_seed")
        figures.append(Figure(run, "val/map_0.5"))
    return Row(title, tuple(figures), thesis)


def labels(*thesis: str) -> tuple[Column, ...]:
    """Columns by labels of each class, here and in the thesis."""
    return tuple(
        Column(f"{ours} labels", f"thesis: {theirs}") for ours, theirs in zip((5, 20, 50), thesis, strict=True)
    )


COLUMNS = labels("20", "50", "100")
FLOW_FOLDER, VIDEO_FOLDER = "depth.from_flow.combined", "depth.from_flow.video-to-clip"
FROM_SCRATCH = recognition("from scratch", "depth.from_scratch", None, (11.0, 33.51, 54.1), *ALL_TRAINS)
RGB_SUPERVISED = recognition("feature-supervised by RGB", "depth.from_RGB.combined", RGB, (63.05, 66.71, 68.64))
FLOW_SUPERVISED = recognition("feature-supervised by flow", FLOW_FOLDER, FLOW, (68.43, 71.53, 73.43))

TABLES = (
    Table(
        "2.1",
        COLUMNS,
        (
            recognition("RGB teacher", "depth.from_RGB.combined", RGB, (62.85, 66.01, 68.64)),
            recognition("flow teacher", FLOW_FOLDER, FLOW, (68.43, 71.53, 73.43)),
        ),
        (Order("flow teacher", "RGB teacher"),),
        corner="depth student",
        quick_columns=1,
    ),
    Table(
        "2.2",
        COLUMNS,
        (
            recognition("MSE", "depth.from_flow.combined.MSE", MSE, (65.69, 69.27, 71.65)),
            recognition("cosine", FLOW_FOLDER, FLOW, (68.43, 71.53, 73.43)),
        ),
        (Order("cosine", "MSE"),),
        corner="loss",
        quick_columns=1,
    ),
    Table(
        "2.3",
        COLUMNS,
        (
            recognition("clip-to-clip", "depth.from_flow.clip-to-clip", CLIP_TO_CLIP, (64.8, 70.3, 72.92)),
            recognition("video-to-clip", VIDEO_FOLDER, VIDEO_TO_CLIP, (68.43, 71.53, 73.43)),
            recognition("combined", FLOW_FOLDER, FLOW, (69.16, 73.6, 76.24)),
        ),
        (
            Order("video-to-clip", "clip-to-clip"),
            Order("combined", "video-to-clip"),
            Order("combined", "clip-to-clip"),
        ),
        corner="granularity",
        quick_columns=1,
    ),
    Table(
        "2.4",
        COLUMNS,
        (
            FROM_SCRATCH,
            recognition(
                "flow pretraining",
                "depth.flow_pretraining",
                TEACHER_FLOW,
                (24.34, 53.72, 64.88),
                *ADAPTED,
                *ALL_TRAINS,
            ),
            recognition(
                "RGB pretraining", "depth.RGB_pretraining", TEACHER_RGB, (41.55, 57.2, 66.41), *ADAPTED, *ALL_TRAINS
            ),
            RGB_SUPERVISED,
            recognition("feature-supervised by RGB, all layers", "depth.from_RGB.all_trained", RGB, (), *ALL_TRAINS),
            FLOW_SUPERVISED,
        ),
        (
            Order("feature-supervised by flow", "from scratch"),
            Order("feature-supervised by RGB", "from scratch"),
            Order("feature-supervised by flow", "flow pretraining"),
            Order("feature-supervised by RGB", "RGB pretraining"),
            Order("feature-supervised by flow", "feature-supervised by RGB"),
        ),
        corner="depth student",
        quick_columns=1,
    ),
    Table(
        "2.5",
        COLUMNS,
        (
            recognition("from scratch", "skeleton.from_scratch", None, (33.0, 50.11, 67.5)),
            recognition("feature-supervised by flow", "skeleton.from_flow", SKELETON_FLOW, (58.57, 71.11, 78.59)),
        ),
        (Order("feature-supervised by flow", "from scratch"),),
        corner="skeleton student",
        quick_columns=1,
    ),
    Table(
        "2.6",
        (Column("1/4 of the videos"), Column("1/2"), Column("all")),
        (
            detection("from scratch", "detection.from_scratch", None, (52.85, 66.45, 73.39)),
            detection("flow pretraining", "detection.flow_pretraining", TEACHER_FLOW, (73.68, 81.21, 81.72), *ADAPTED),
            detection("feature-supervised by flow", "detection.from_flow", FLOW, (79.87, 84.85, 86.81)),
        ),
        (
            Order("feature-supervised by flow", "from scratch"),
            Order("flow pretraining", "from scratch"),
            Order("feature-supervised by flow", "flow pretraining"),
        ),
        corner="backbone, mAP at 0.5",
        quick_columns=1,
    ),
)
