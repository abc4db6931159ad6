"""Batches of every kind as pictures."""

import numpy as np
import pytest
import torch

from callbacks.contact_sheet import UNMEASURED, Strip, colour, draw_contact_sheet, strips_of


def test_clips_of_videos():
    clip = torch.arange(2 * 3 * 4, dtype=torch.uint8).reshape(2, 3, 4, 1, 1, 1).expand(2, 3, 4, 5, 6, 3)
    batch = {"clip": clip, "label": torch.tensor([1, -1]), "path": ["/a/one.mp4", "two.mp4"], "broken": []}
    strips = strips_of(batch, ["run", "jump"])
    assert [strip.content[:, 0, 0, 0].tolist() for strip in strips] == clip[..., 0, 0, 0].reshape(6, 4).tolist()
    assert strips[1].title == "one.mp4\njump\n4 frames, 6 x 5 px, clip 2 of 3"
    assert strips[3].title.splitlines()[1] == "no label"


def test_modalities_in_step():
    batch = {
        "flow": torch.ones(1, 2, 4, 6, 8, 2, dtype=torch.float16),
        "depth": torch.ones(1, 2, 4, 6, 8, dtype=torch.int16),
        "skeleton": torch.ones(1, 3, 9, 25, 2),
        "num_frames": torch.tensor([7]),
        "clip": torch.tensor([[0, -1]]),
        "label": torch.tensor([3]),
        "name": ["S001"],
    }
    strips = strips_of(batch, None)
    assert [strip.kind for strip in strips] == ["flow", "depth", "skeleton"]  # the second clip is padding
    assert strips[2].content.shape == (3, 7, 25, 2)
    assert strips[0].title == "S001\nclass 4\n4 frames, 8 x 6 px, flow"


def test_boxes_windows_and_cycles():
    boxes = {
        "clip": torch.zeros(2, 4, 8, 8, 3, dtype=torch.uint8),
        "size": torch.tensor([[8, 8], [4, 6]]),
        "box": torch.rand(3, 4),
        "box_row": torch.tensor([0, 1, 1]),
        "target": torch.tensor([[1.0, 0], [0, 1], [1, 0]]),
        "name": ["a,0902", "b,0903"],
    }
    names = ["sit", "stand", "turn"]
    strips = strips_of(boxes, names)
    assert [strip.content.shape[1:3] for strip in strips] == [(8, 8), (4, 6)]
    assert torch.equal(torch.from_numpy(strips[1].boxes), boxes["box"][1:])
    assert strips[1].title.splitlines()[1] == "sit, stand"
    window = {"depth": torch.ones(1, 4, 6, 8, dtype=torch.int16), "classes": [torch.tensor([2, 0, 2])], "name": ["w"]}
    assert strips_of(window, names)[0].title.splitlines()[1] == "turn, sit"
    assert strips_of({**window, "classes": [torch.tensor([])]}, names)[0].title.splitlines()[1] == "no action"
    video = {"frames": torch.zeros(1, 9, 8, 8, 3, dtype=torch.uint8), "bounds": [torch.tensor([0, 3, 6])]}
    strip = strips_of({**video, "num_frames": torch.tensor([6]), "name": ["v.avi"]}, None)[0]
    assert len(strip.content) == 6 and "2 cycles" in strip.title


def test_several_labels_and_tubes():
    clip = torch.zeros(2, 1, 4, 8, 8, 3, dtype=torch.uint8)
    present = torch.tensor([[[True, False, True]], [[False, False, False]]])
    batch = {"clip": clip, "label": torch.tensor([-1, -1]), "present": present, "path": ["a.mp4", "b.mp4"]}
    names = ["opening a door somewhere", "sitting", "washing something in a sink"]
    titles = [strip.title.splitlines()[1:-1] for strip in strips_of(batch, names)]
    assert titles == [["opening a door somewhere, washing", "something in a sink"], ["no action"]]
    tubes = {
        "clip": torch.zeros(2, 5, 8, 8, 3, dtype=torch.uint8),
        "frame": torch.tensor([[7, 8], [9, -1]]),
        "boxes": torch.rand(4, 4),
        "owner": torch.tensor([0, 1, 1, 2]),
        "box_label": torch.tensor([0, 1, 2, 0]),
        "name": ["A/a", "A/b"],
    }
    first, second = strips_of(tubes, ["run", "sit", "jump"])
    assert first.title.splitlines()[:2] == ["a", "sit, jump"] and second.title.splitlines()[:2] == ["b", "run"]
    assert np.array_equal(first.boxes, tubes["boxes"][1:3]) and np.array_equal(second.boxes, tubes["boxes"][3:])
    assert (first.box_frame, second.box_frame) == (4, 3)  # the last frame is the last key frame, if it is there
    empty = strips_of({**tubes, "owner": torch.tensor([0, 0, 0, 0])}, None)
    assert empty[0].title.splitlines()[1] == "no box" and not len(empty[0].boxes)


def test_colours():
    depth = np.array([[[0, 1000, 2000]]], dtype=np.int16)
    unmeasured, near, far = colour("depth", depth)[0, 0].astype(int)
    assert tuple(unmeasured) == UNMEASURED
    assert near.sum() > far.sum() + 200
    assert (colour("depth", np.zeros((2, 1, 1), np.int16)) == UNMEASURED).all()
    flow = np.zeros((1, 1, 3, 2), np.float16)
    flow[0, 0, :, 0] = (0, 2, -2)
    still, right, left = colour("flow", flow)[0, 0].astype(int)
    assert still.min() > 250
    assert abs(right - left).sum() > 200


@pytest.mark.parametrize("kind", ["rgb", "flow", "depth", "skeleton"])
def test_sheet(kind):
    rng = np.random.default_rng(0)
    shape = {"rgb": (20, 6, 8, 3), "flow": (20, 6, 8, 2), "depth": (20, 6, 8), "skeleton": (3, 20, 25, 2)}[kind]
    content = rng.uniform(0.1, 1, shape) if kind in ("flow", "skeleton") else rng.integers(0, 255, shape)
    content = content.astype(np.uint8) if kind == "rgb" else content
    one = draw_contact_sheet([Strip(kind, content, "a")], "title")
    two = draw_contact_sheet([Strip(kind, content, "a"), Strip(kind, content[..., ::-1], "b")], "title")
    assert two.shape[1] == one.shape[1] and two.shape[0] > one.shape[0]
    assert one[:, one.shape[1] // 2 :].std() > 10
    boxed = draw_contact_sheet([Strip(kind, content, "a", np.array([[0.1, 0.1, 0.6, 0.9]]))], "title")
    assert (boxed != one).any() == (kind != "skeleton")
