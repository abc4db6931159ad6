"""A tiny PKU-MMD for the tests, with what is wrong in the real one and more."""

import numpy as np
from skeleton_fakes import standing_body


def write_video(folder, name, labels, num_frames=40, seed=0):
    """A video of two bodies, the second from half of it on, and its labels."""
    first, second = standing_body(num_frames, seed), standing_body(num_frames, seed + 1, 1.0)
    second[: num_frames // 2] = 0
    rows = np.stack([first, second], 1).reshape(num_frames, 150)
    for kind in ("skeletons", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    text = "\n ".join(" ".join(f"{value:.6f}" for value in row) for row in rows)
    (folder / "skeletons" / f"{name}.txt").write_text(f"{text}\n")
    if labels is not None:
        (folder / "labels" / f"{name}.txt").write_text(labels)


def write_split(file, train, val):
    """A split list, spelt as the real ones."""
    file.write_text(f"Training videos: \n{', '.join(train)}\nValidataion videos: \n{', '.join(val)}\n")
    return file


def dataset(root):
    """Six videos: sound, of confidence 0, past the end, without labels, with wrong ones, in no list."""
    write_video(root, "0002-L", "3,2,10,2\n51,30,12,1\n", seed=0)
    write_video(root, "0003-M", "7,0,40,0\n", seed=2)
    write_video(root, "0004-R", "8,5,60,2\n1,40,50,2\n2,7,7,2\n", seed=4)
    write_video(root, "0005-L", None, seed=6)
    write_video(root, "0006-L", "52,1,2,2\n", seed=8)
    write_video(root, "0007-L", "9,1,9,2\n", seed=10)
    write_split(root / "cross-subject.txt", ["0002-L", "0003-M", "0005-L"], ["0004-R", "0006-L"])
    return root
