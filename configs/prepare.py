"""``lightning prepare``: its arguments, and what they ask for."""

import argparse
from pathlib import Path

from configs import ConfigError
from configs.arguments import parse


def prepare(arguments: list[str]) -> object:
    """Preprocess a dataset.

    Args:
        arguments: those after the subcommand.

    Returns:
        What was done, to be printed.

    Raises:
        ConfigError: an argument is wrong or missing.
        ValueError: the files are not those of the dataset.
        KeyboardInterrupt: it was stopped; the same arguments go on.
    """
    if arguments[:1] == ["clips"]:
        from configs.prepare_clips import clips

        return clips(arguments[1:])
    parser = argparse.ArgumentParser(
        "lightning prepare",
        description="preprocess a dataset once, into files that its data module reads",
        exit_on_error=False,
    )
    parser.add_argument(
        "dataset",
        nargs="?",
        choices=["ntu", "flow", "videos", "clips", "finegym", "epic"],
        help="ntu: skeletons of NTU RGB+D 60 and 120; flow: optical flow of any videos; videos: a small copy of any"
        " videos that decodes fast; clips: clips of any videos, decoded (see `prepare clips --help`); finegym, epic: a"
        " small file for each element of FineGym or action of EPIC-Kitchens-100, cut out of the long videos",
    )
    parser.add_argument(
        "--root",
        type=Path,
        nargs="+",
        help="folder of the .skeleton files or videos, nested or flat; or the files of another format",
    )
    parser.add_argument(
        "--format",
        choices=["skeleton", "pyskl", "agcn", "ctrgcn"],
        default="skeleton",
        help="pyskl: ntu60_3d.pkl; agcn: train_data_joint.npy val_data_joint.npy, beside their _label.pkl;"
        " ctrgcn: NTU60_CS.npz and the like, which have a split of their own",
    )
    parser.add_argument("--out", type=Path, help="folder to make; data.root of the data module")
    parser.add_argument("--workers", type=int, help="processes; by default as many as there are cores")
    parser.add_argument(
        "--bodies",
        choices=["listed", "tracked"],
        default="listed",
        help="listed: a body is known by its place in the frame, as published; tracked: by the sensor's ID",
    )
    parser.add_argument(
        "--method",
        choices=["dis", "tvl1", "raft"],
        default="dis",
        help="of flow: OpenCV's dis or tvl1, torchvision's raft",
    )
    parser.add_argument(
        "--short_side",
        type=int,
        help="of flow, videos, finegym and epic: pixels of a frame's shorter side, by default 128, 128, 256 and 256; of"
        " the last two 0 keeps it",
    )
    parser.add_argument("--weights", type=Path, help="of raft: file of torchvision's weights")
    parser.add_argument(
        "--annotations",
        type=Path,
        help="of finegym: times of events and elements, finegym_annotation_info_v1.0.json; of epic: folder of"
        " EPIC_100_train.csv and EPIC_100_validation.csv, the root by default",
    )
    parser.add_argument(
        "--lists", type=Path, nargs="+", default=[], help="of finegym: element lists, to cut out no other elements"
    )
    options = parse(parser, arguments, "--help tells which there are")
    if options.dataset is None or options.root is None or options.out is None:
        raise ConfigError(
            "prepare needs a dataset, --root FOLDER and --out FOLDER, as in: prepare ntu --root A --out B"
        )
    if options.dataset == "clips":
        raise ConfigError("prepare: clips comes first, as in: prepare clips --root A --out B")
    if options.format == "skeleton" and len(options.root) > 1:
        raise ConfigError("prepare: --root takes one folder of files; put them into one")
    if options.dataset == "finegym" and options.annotations is None:
        raise ConfigError("prepare finegym needs --annotations FILE, such as finegym_annotation_info_v1.0.json")
    from datamodules.prepare_arrays import prepare_arrays
    from datamodules.prepare_epic import prepare_epic
    from datamodules.prepare_finegym import prepare_finegym
    from datamodules.prepare_flow import prepare_flow
    from datamodules.prepare_ntu import prepare as prepare_files
    from datamodules.prepare_videos import prepare_videos

    root, side = options.root[0], options.short_side
    if options.dataset == "flow":
        return prepare_flow(
            root, options.out, options.method, 128 if side is None else side, options.weights, options.workers
        )
    if options.dataset == "videos":
        return prepare_videos(root, options.out, 128 if side is None else side, workers=options.workers)
    if options.dataset in ("finegym", "epic"):
        side = 256 if side is None else side or None
        if options.dataset == "epic":
            return prepare_epic(root, options.out, options.annotations, side, options.workers)
        return prepare_finegym(root, options.annotations, options.out, options.lists, side, options.workers)
    if options.format == "skeleton":
        return prepare_files(root, options.out, options.workers, options.bodies)
    return prepare_arrays(options.root, options.out, options.format)
