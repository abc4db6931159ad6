"""UCF101-24: its real annotations, each of their forms, odd boxes, and clips with the boxes of their last frames."""

import logging
import pickle
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
import torch
from pytorch_lightning import Trainer

from datamodules import UCF10124DataModule
from datamodules.readers.tubes import Tube, VideoTubes, check_tubes, join_boxes, read_tubes
from datamodules.readers.video import VideoReader
from datamodules.tube_dataset import AnnotatedVideo, TubeTable, crop_boxes
from datamodules.ucf101_24 import CLASSES, read_video_list, split_videos
from tests.fakes import moving_texture, write_video

REAL = Path(__file__).parents[3] / "shared" / "data" / "ucf101_24"
NAMES = ("Basketball/v_Basketball_g08_c01", "Biking/v_Biking_g09_c01", "Biking/v_Biking_g01_c01")
LABELS = (0, 2, 2)
FRAMES = 20


def tube(label, first, count, x=32):
    """A tube that moves right by four pixels a frame: first frame from 0, [x, y, width, height]."""
    boxes = np.array([[x + 4 * frame, 48, 64, 96] for frame in range(count)], np.uint8)
    return {"class": label + 1, "sf": first + 1, "ef": first + count, "boxes": boxes}


def annotations():
    """Names and tubes of three videos; the second has two tubes."""
    tubes = [[tube(0, 0, FRAMES)], [tube(2, 2, 10), tube(2, 5, 8, x=120)], [tube(2, 4, 9)]]
    return list(zip(NAMES, tubes, strict=True))


def struct_array(rows):
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for number, row in enumerate(rows):
        array[0, number] = tuple(row.values())
    return array


def write_mat(path, videos=None, num_frames=FRAMES):
    rows = [
        {"name": name, "num_imgs": num_frames, "tubes": struct_array(tubes)} for name, tubes in videos or annotations()
    ]
    scipy.io.savemat(path, {"annot": struct_array(rows)})


def write_root(root, fps=25):
    """Videos of 320x240 stored at half the size, boxes and a list."""
    for number, name in enumerate(NAMES):
        write_video(root / "UCF-101" / f"{name}.avi", moving_texture(FRAMES, 120, 160, seed=number), fps)
    write_mat(root / "finalAnnots.mat")
    (root / "testlist01.txt").write_text(f"{NAMES[2]}\n")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ucf101_24")
    write_root(folder)
    return folder


def data(root, **changes):
    arguments = {"num_frames": 4, "strides": (1,), "size": 32, "jitter": 0.0, "global_batch_size": 4, "num_workers": 0}
    return UCF10124DataModule(root, **{**arguments, **changes})


def ready(root, **changes):
    module = data(root, **changes)
    module.setup("fit")
    return module


def fails(message, root, **changes):
    with pytest.raises(ValueError, match=message) as error:
        ready(root, **changes)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real annotations are not here")
def test_the_real_annotations():
    videos = read_tubes(REAL / "finalAnnots.mat")
    train, test = split_videos(videos, None, read_video_list(REAL / "testlist01.txt"))
    assert (len(videos), len(train), len(test)) == (3194, 2284, 910)
    odd = {}
    tables = []
    for part in (train, test):
        checked = [check_tubes(video, video.num_frames, 240, 320, CLASSES, odd) for video in part]
        for video, (rows, _) in zip(part, checked, strict=True):
            assert set(np.unique(rows[:, 1])) == {CLASSES.index(video.name.split("/")[0])}
        tables.append(
            TubeTable([AnnotatedVideo(v.name, v.name, v.num_frames, *c) for v, c in zip(part, checked, strict=True)])
        )
    assert odd == {}
    assert [len(table.boxes) for table in tables] == [403_282, 170_580]
    assert [len(table.tube.unique()) for table in tables] == [3143, 1315]
    assert [len(table.annotated_frames()[0]) for table in tables] == [340_336, 138_527]
    # v_Basketball_g01_c01 is a test video: frames 9 to 52 of 141.
    first = tables[1]
    assert first.names.path(0) == "Basketball/v_Basketball_g01_c01"
    rows = [first.rows_of(0, frame) for frame in (7, 8, 51, 52)]
    assert [part.stop - part.start for part in rows] == [0, 1, 1, 0]
    expected = [189 / 320, 102 / 240, 236 / 320, 180 / 240]
    np.testing.assert_allclose(first.boxes[rows[1]].numpy(), [expected], atol=1e-6)


def test_lists_of_all_kinds(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("Biking/v_Biking_g09_c01.avi 3\nv_Biking_g01_c01\r\nlabels/Diving/v_Diving_g01_c01/00012.txt\n")
    assert read_video_list(file) == {"v_biking_g09_c01", "v_biking_g01_c01", "v_diving_g01_c01"}
    file.write_text("v_Biking_g01_c01\nBiking\n")
    with pytest.raises(ValueError, match=r"list.txt:2: `Biking` is not `class/v_class_gXX_cYY`; correct the line"):
        read_video_list(file)
    file.write_text("\n")
    with pytest.raises(ValueError, match=r"list.txt: is empty; give a list"):
        read_video_list(file)


def check_boxes(module):
    """The boxes of the fake annotations, frame by frame."""
    table = module.train_samples.table
    names = [table.names.path(row) for row in range(2)]
    assert names == list(NAMES[:2])
    row = names.index(NAMES[1])
    counts = [table.rows_of(row, frame) for frame in range(FRAMES)]
    assert [part.stop - part.start for part in counts] == [0, 0, 1, 1, 1, *[2] * 7, 1, *[0] * 7]
    for frame in (5, 11):
        part = counts[frame]
        order = table.boxes[part, 0].argsort()
        left = [(32 + 4 * (frame - 2)) / 320, (120 + 4 * (frame - 5)) / 320]
        assert table.boxes[part][order, 0].tolist() == pytest.approx(left)
        assert table.boxes[part][order, 1:].tolist() == [pytest.approx([0.2, x + 0.2, 0.6]) for x in left]
        assert table.label[part].tolist() == [2, 2]
    assert len(table.tube.unique()) == 3


def test_mat(root):
    module = ready(root)
    check_boxes(module)
    assert (len(module.train_samples), len(module.val_samples)) == (20 + 11, 2)
    assert module.num_classes == 24


def test_pickle_is_read_without_running_it(root, tmp_path):
    content = {
        name: {
            "label": tubes[0]["class"] - 1,
            "numf": np.int32(FRAMES),
            "annotations": [
                {"label": t["class"] - 1, "sf": np.int32(t["sf"] - 1), "ef": t["ef"], "boxes": t["boxes"]}
                for t in tubes
            ],
        }
        for name, tubes in annotations()
    }
    file = tmp_path / "pyannot.pkl"
    file.write_bytes(pickle.dumps(content, protocol=2))
    check_boxes(ready(root, annotations=file))

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "owned",))

    file.write_bytes(pickle.dumps({NAMES[0]: Evil()}, protocol=2))
    fails(r"pyannot.pkl: cannot be read as pkl \(it names .*getattr, and only arrays", root, annotations=file)
    assert not (tmp_path / "owned").exists()


def write_labels(folder):
    for name, tubes in annotations():
        (folder / name).mkdir(parents=True)
        for frame in range(FRAMES):
            lines = []
            for t in tubes:
                if t["sf"] <= frame + 1 <= t["ef"]:
                    x, y, width, height = t["boxes"][frame + 1 - t["sf"]].astype(int)
                    lines.append(f"{t['class']} {x} {y} {x + width} {y + height}\n")
            if lines:
                (folder / name / f"{frame + 1:05d}.txt").write_text("".join(reversed(lines)))


def test_labels_beside_pictures(tmp_path):
    """As YOWO reads them: pictures of frames, text files of boxes, and a list of frames."""
    pixels = {}
    for number, name in enumerate(NAMES):
        folder = tmp_path / "rgb-images" / name
        folder.mkdir(parents=True)
        pixels[name] = moving_texture(FRAMES, 24, 32, seed=number)
        for frame, picture in enumerate(pixels[name], 1):
            cv2.imwrite(str(folder / f"{frame:05d}.png"), picture[..., ::-1])
    write_labels(tmp_path / "labels")
    (tmp_path / "testlist.txt").write_text("".join(f"labels/{NAMES[2]}/{frame:05d}.txt\n" for frame in range(5, 14)))
    module = ready(tmp_path, size=24)
    check_boxes(module)
    sample = next(iter(module.test_dataloader()))
    expected = np.stack([cv2.resize(picture, (24, 24), interpolation=cv2.INTER_AREA) for picture in pixels[NAMES[2]]])
    assert sample["clip"].shape == (1, 19, 24, 24, 3)
    np.testing.assert_array_equal(sample["clip"][0, 3:].numpy(), expected[:16])
    (tmp_path / "rgb-images" / NAMES[0] / "00003.png").unlink()
    fails("v_Basketball_g08_c01: picture 00003 is missing", tmp_path)
    (tmp_path / "labels" / NAMES[0] / "00002.txt").write_text("1 2 3\n")
    fails(r"00002.txt:1: `1 2 3` is not `class x1 y1 x2 y2`; correct the line", tmp_path)


def test_boxes_are_joined_by_what_they_overlap():
    a, b = np.array([0, 0.0, 0, 10, 10]), np.array([0, 8.0, 0, 18, 10])
    moved, other = np.array([0, 1, 0, 1, 0]), np.array([1.0, 0, 0, 10, 10])
    frames = {0: np.stack([a, b]), 1: np.stack([b + moved, a + moved, other]), 3: a[None]}
    tubes = join_boxes(frames)
    assert [(t.label, t.first, t.boxes[:, 0].tolist()) for t in tubes] == [
        (0, 0, [0.0, 1.0]),
        (0, 0, [8.0, 9.0]),
        (1, 1, [0.0]),
        (0, 3, [0.0]),
    ]


def test_odd_boxes_are_counted_and_told_in_one_line_each(root, tmp_path):
    boxes = np.array([[0, 0, 100, 100]] * 12, np.int32)
    boxes[1, 2] = 0  # no width
    boxes[2, 0], boxes[3, 1] = 400, -120  # outside
    boxes[4, 0] = 300  # reaches out
    videos = annotations()
    videos[0] = (NAMES[0], [{"class": 1, "sf": 11, "ef": 22, "boxes": boxes}])
    write_mat(tmp_path / "finalAnnots.mat", videos)
    with pytest.warns(UserWarning) as caught:
        module = ready(root, annotations=tmp_path / "finalAnnots.mat")
    place = f"{tmp_path}/finalAnnots.mat: {NAMES[0]}, tube 1, frame"
    lines = [str(warning.message) for warning in caught if "boxes are" in str(warning.message)]
    assert lines == [
        f"1 boxes are no area, left out, such as {place} 12",
        f"2 boxes are outside the picture, left out, such as {place} 13",
        f"2 boxes are past the end of the video, left out, such as {place} 21",
        f"1 boxes are partly outside the picture, cut, such as {place} 15",
    ]
    table = module.train_samples.table
    part = [table.rows_of(0, frame) for frame in range(FRAMES)]
    assert [p.stop - p.start for p in part] == [0] * 10 + [1, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(table.boxes[part[14]].numpy(), [[300 / 320, 0, 1, 100 / 240]], atol=1e-6)


def test_what_cannot_be_used_is_an_error(root, tmp_path):
    file = tmp_path / "finalAnnots.mat"
    videos = annotations()
    videos[0] = (NAMES[0], [{**tube(0, 0, 5), "ef": 7}])
    write_mat(file, videos)
    fails(r"finalAnnots.mat: Basketball/v_B.*, tube 1: 5 boxes for frames 1 to 7; give one", root, annotations=file)
    videos[0] = (NAMES[0], [tube(24, 0, 5)])
    write_mat(file, videos)
    fails(r"v_Basketball_g08_c01, tube 1: class 25 is not 1 to 24; correct it", root, annotations=file)
    write_mat(file)
    file.write_bytes(file.read_bytes()[:300])
    fails(r"finalAnnots.mat: cannot be read as mat \(.*\); copy the file again", root, annotations=file)
    file.write_bytes(zlib.compress(b"nothing"))
    fails(r"finalAnnots.mat: cannot be read as mat", root, annotations=file)
    scipy.io.savemat(file, {"annotation": 1})
    fails(r"finalAnnots.mat: cannot be read as mat \('annot'\)", root, annotations=file)
    fails(
        r"boxes.mat: no such file or folder; give finalAnnots.mat, pyannot.pkl, labels", root, annotations="boxes.mat"
    )
    fails(r"testlist01.txt or testlist.txt: no such list", root, lists=tmp_path)
    (tmp_path / "testlist01.txt").write_text("v_Other_g01_c01\n")
    fails(r"holds 3 of the 3 videos to train with and 0 of the 0 to test with", root, lists=tmp_path)
    (tmp_path / "empty").mkdir()
    fails("empty: holds no videos", tmp_path / "empty", annotations=root / "finalAnnots.mat", lists=root)
    with pytest.raises(ValueError, match=r"strides=\(0,\) must be numbers of at least 1"):
        data(root, strides=(0,))
    with pytest.raises(ValueError, match=r"jitter=0.5 a share below 0.5"):
        data(root, jitter=0.5)
    with pytest.raises(ValueError, match="train_step=0 must be at least 1"):
        data(root, train_step=0)


def test_missing_videos_and_counts_are_told(root, tmp_path, caplog):
    write_mat(tmp_path / "finalAnnots.mat", [*annotations(), ("Surfing/v_Surfing_g08_c01", [tube(19, 0, 3)])])
    module = data(root, annotations=tmp_path / "finalAnnots.mat", train_step=3, train_unannotated=True)
    module.trainer = Trainer(accelerator="cpu", default_root_dir=tmp_path, logger=False)
    with caplog.at_level(logging.INFO):
        module.setup("fit")
    assert (
        "UCF10124DataModule: 2 training videos with 14 key frames, 1 for evaluation with 20, 24 classes; 1 annotated"
        " videos are missing, such as Surfing/v_Surfing_g08_c01" in caplog.messages
    )


def frames_of(root, name, indices, size=32):
    with VideoReader(str(root / "UCF-101" / f"{name}.avi")) as video:
        return video.read(np.array(indices), size=(size, size))


def test_a_training_clip_ends_in_its_key_frame(root):
    module = ready(root, strides=(2,))
    dataset = module.dataset(module.train_samples, training=True)
    video, start = module.train_samples.row.tolist(), module.train_samples.start.tolist()
    row = next(row for row in range(len(dataset)) if (video[row], start[row]) == (1, 3))
    sample = dataset[next(iter(module.train_dataloader().batch_sampler))[0]._replace(row=row)]
    np.testing.assert_array_equal(sample["clip"].numpy(), frames_of(root, NAMES[1], [0, 0, 1, 3]))
    assert (sample["frame"].tolist(), sample["name"], sample["video"]) == ([3], NAMES[1], 1)
    np.testing.assert_allclose(sample["boxes"].numpy(), [[36 / 320, 0.2, 100 / 320, 0.6]], atol=1e-6)
    assert (sample["box_label"].tolist(), sample["owner"].tolist()) == ([2], [0])


def test_a_crop_moves_pixels_and_boxes_alike(tmp_path):
    """A bright rectangle, and the box around it, through crops that reach out of the picture."""
    frames = np.zeros((6, 120, 160, 3), np.uint8)
    frames[:, 30:90, 40:100] = 255
    for name in NAMES:
        write_video(tmp_path / "UCF-101" / f"{name}.avi", frames)
    boxes = np.array([[80, 60, 120, 120]] * 6)
    rows = [{"class": label + 1, "sf": 1, "ef": 6, "boxes": boxes} for label in LABELS]
    write_mat(tmp_path / "finalAnnots.mat", [(name, [row]) for name, row in zip(NAMES, rows, strict=True)], 6)
    (tmp_path / "testlist01.txt").write_text(f"{NAMES[2]}\n")
    module = ready(tmp_path, jitter=0.3, size=96, global_batch_size=12)
    batch = next(iter(module.train_dataloader()))
    assert batch["boxes"].std(0).min() > 0.03
    assert batch["owner"].tolist() == [*range(12)]
    for clip, box in zip(batch["clip"], batch["boxes"], strict=True):
        bright = clip[-1].float().mean(-1) > 127
        rows, columns = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
        seen = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / 96
        torch.testing.assert_close(seen, box, atol=0.02, rtol=0)


def test_boxes_outside_a_crop_have_no_area():
    boxes = torch.tensor([[0.1, 0.1, 0.3, 0.5], [0.6, 0.6, 0.9, 0.9]])
    found = crop_boxes(boxes, torch.tensor([0.2, -0.1, 0.6, 0.7]))
    torch.testing.assert_close(found[0], torch.tensor([0.0, 0.25, 0.25, 0.75]))
    assert found[1, 2] == found[1, 0] == 1


def test_evaluation_shows_each_frame_once_in_runs(root):
    module = ready(root, eval_batch_size=2, eval_frames=12)
    (batch,) = module.test_dataloader()
    assert batch["frame"].tolist() == [[*range(12)], [*range(12, 20), *[-1] * 4]]
    assert batch["clip"].shape == (2, 15, 32, 32, 3)
    np.testing.assert_array_equal(batch["clip"][0].numpy(), frames_of(root, NAMES[2], [0, 0, 0, *range(12)]))
    np.testing.assert_array_equal(batch["clip"][1].numpy(), frames_of(root, NAMES[2], [*range(9, 20), *[19] * 4]))
    assert batch["owner"].tolist() == [*range(4, 13)]
    assert len(batch["tube"].unique()) == 1
    assert batch["video"].tolist() == [0, 0]


def test_a_video_that_ends_too_early_is_replaced_and_named(root, tmp_path):
    late = [(name, [tube(label, 20, 12)]) for name, label in zip(NAMES, LABELS, strict=True)]
    write_mat(tmp_path / "finalAnnots.mat", late, 40)
    module = ready(root, annotations=tmp_path / "finalAnnots.mat", train_unannotated=True)
    dataset = module.dataset(module.train_samples, training=True)
    draw = next(iter(module.train_dataloader().batch_sampler))[0]
    sample = dataset[draw._replace(row=30)]
    assert sample["video"] == 1 and sample["frame"].tolist() == [0]
    (line,) = sample["broken"]
    assert line.endswith("v_Basketball_g08_c01.avi: has 20 frames, the annotations tell of frame 31")


def test_loading_is_the_same_with_workers(root):
    loaders = [ready(root, jitter=0.2, num_workers=workers).train_dataloader() for workers in (0, 2)]
    for one, two in zip(*loaders, strict=True):
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one if isinstance(one[key], torch.Tensor))


def test_videos_of_labels_tell_no_length():
    video = VideoTubes("a", None, [Tube(0, 3, np.array([[0.0, 0, 10, 10]]))], "file")
    rows, boxes = check_tubes(video, 5, 20, 40, ["x"], {})
    assert rows.tolist() == [[3, 0, 0]]
    assert boxes.tolist() == [[0.0, 0.0, 0.25, 0.5]]
