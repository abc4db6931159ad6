"""UCFRep: videos paired with their cycles, the real clip, and what is missing or does not fit."""

import shutil
import zipfile

import numpy as np
import pytest
import torch

from datamodules import UCFRepDataModule
from datamodules.sampling.resumable_sampler import Draw
from datamodules.writers.cycles import write_cycles
from tests.fakes import write_video
from tests.listed_fakes import fails, report

CYCLES = {"v_Row_g01_c01": [3, 9, 15, 20], "v_Row_g02_c01": [1, 8, 15], "v_Jump_g21_c01": [2, 6, 10, 14, 18]}


@pytest.fixture
def root(tmp_path):
    """Two videos to train with and one to test with, 20 frames of 48 x 64 each."""
    for name, bounds in CYCLES.items():
        folder = tmp_path / "annotations" / ("val" if "_g21_" in name else "train")
        folder.mkdir(parents=True, exist_ok=True)
        write_cycles(folder / f"{name}.mat", np.array(bounds))
        write_video(tmp_path / "UCF-101" / name.split("_")[1] / f"{name}.mp4")
    return tmp_path


def data(root, **changes):
    arguments = {"crop_size": 16, "num_workers": 0, "global_batch_size": 2}
    return UCFRepDataModule(root, **{**arguments, **changes})


def test_the_real_clip_has_twelve_cycles(shared_data, tmp_path):
    name = "v_SoccerJuggling_g23_c01.mat"
    with zipfile.ZipFile(shared_data / "ucfrep/ucf526_annotations.zip") as archive:
        archive.extractall(tmp_path)
    shutil.copy(tmp_path / "annotations/val" / name, tmp_path / "annotations/train" / name)
    module = UCFRepDataModule(shared_data / "ucf101/videos", lists=tmp_path / "annotations", num_workers=0)
    module.setup("fit")
    assert len(module.train_samples) == len(module.val_samples) == 1
    assert module.val_samples.counts.tolist() == [12] and module.mean_count == 12
    (batch,) = module.test_dataloader()
    assert batch["frames"].shape == (1, 226, 112, 112, 3) and batch["frames"].dtype == torch.uint8
    assert (
        not batch["frames"][:, :, :14].any() and not batch["frames"][:, :, 98:].any()
    )  # 84 rows of 4:3, in the middle
    assert batch["frames"][:, :, 14:98].float().mean() > 50
    assert batch["bounds"][0].tolist() == [0, 19, 41, 60, 84, 98, 120, 138, 152, 172, 192, 210, 225]
    assert batch["next_length"][0, :4].tolist() == [19, 19, 19, 19]
    assert batch["previous_length"][0, [0, 18, 19, 22]].tolist() == [0, 0, 19, 19]
    assert batch["name"][0].endswith("v_SoccerJuggling_g23_c01.avi") and batch["num_frames"].tolist() == [226]


@pytest.mark.parametrize("layout", ["classes", "flat", "cased"])
def test_videos_are_found_in_class_folders_or_flat(root, layout):
    videos = root / "UCF-101"
    if layout != "classes":
        for path in list(videos.rglob("*.mp4")):
            path.rename(videos / (path.name if layout == "flat" else path.name.replace("Row", "ROW")))
    module = data(videos)
    module.setup("fit")
    assert module.train_samples.counts.tolist() == [3, 2] and module.val_samples.counts.tolist() == [4]
    assert module.mean_count == 2.5


def test_a_batch_holds_the_frames_of_the_cycles_and_zeros_after_them(root):
    module = data(root)
    module.setup("fit")
    batch = next(iter(module.train_dataloader()))
    order = batch["sample"].tolist()
    long, short = order.index(0), order.index(1)
    assert batch["frames"].shape == (2, 18, 16, 16, 3)
    assert (batch["num_frames"][long], batch["num_frames"][short]) == (18, 15)
    assert not batch["frames"][short, 15:].any() and batch["frames"][short, 14].any()
    assert batch["bounds"][long].tolist() == [0, 6, 12, 17]
    assert batch["next_length"][long].tolist() == [6] * 10 + [5] * 2 + [0] * 6  # from 6 to 5 in the second cycle
    assert batch["previous_length"][short].tolist() == [0] * 7 + [7] * 8 + [0] * 3
    whole = data(root, crop_size=64)
    whole.setup("fit")
    first = whole.dataset(whole.train_samples, True)[Draw(0, 0)]["frames"]
    second = whole.dataset(whole.train_samples, True)[Draw(1, 0)]["frames"]
    assert torch.equal(first[0], second[2])  # the same video: one starts with frame 3, the other with frame 1
    assert first[:, 8:56].float().std() > 10 and not first[:, :8].any() and not first[:, 56:].any()


def test_a_part_of_the_list_keeps_its_cycles(root):
    module = data(root)
    module.setup("fit")
    part = module.train_samples.select(torch.tensor([False, True]))
    assert part.path(0).endswith("v_Row_g02_c01.mp4")
    assert part.counts.tolist() == [2] and part.cycles(0).tolist() == [1, 8, 15]


def test_missing_videos_and_unusable_annotations_are_counted(root, caplog, recwarn):
    train = root / "annotations/train"
    write_cycles(train / "v_Row_g03_c01.mat", np.array([1, 5, 9]))
    for number, bounds in ((4, [1, 12, 24]), (5, [1, 12, 23]), (6, [1, 12])):
        write_cycles(train / f"v_Row_g0{number}_c01.mat", np.array(bounds))
        write_video(root / f"UCF-101/Row/v_Row_g0{number}_c01.mp4")
    (train / "v_Row_g02_c01.mat").write_bytes(b"")
    (train / "._v_Row_g01_c01.mat").write_bytes(b"of another system")
    line = report(data(root), root / "run", caplog)
    assert "2 with 5 cycles to train, 1 with 4 cycles to test" in line and "2.50 on average" in line
    assert "annotated are 6 and 1, officially 421 and 105" in line
    assert "1 listed videos are missing, such as v_Row_g03_c01" in line
    (warning,) = [str(warning.message) for warning in recwarn if "left out" in str(warning.message)]
    assert warning.startswith("3 videos are left out, such as ") and "v_Row_g02_c01.mat: cannot be read" in warning
    left_out = (root / "run/data/left_out.txt").read_text().splitlines()
    assert "its cycles end with frame 24, " in left_out[1] and "has 20; correct it" in left_out[1]
    assert "v_Row_g06_c01.mat: has one cycle" in left_out[2]


def test_up_to_three_frames_that_are_missing_repeat_the_last(root):
    write_cycles(root / "annotations/train/v_Row_g02_c01.mat", np.array([5, 14, 23]))
    module = data(root)
    module.setup("fit")
    frames = module.dataset(module.train_samples, True)[Draw(1, 0)]["frames"]
    assert len(frames) == 19
    assert torch.equal(frames[15:], frames[15:16].expand(4, -1, -1, -1)) and not torch.equal(frames[14], frames[15])


def test_a_video_that_breaks_later_is_replaced_and_named(root):
    module = data(root)
    module.setup("fit")
    (root / "UCF-101/Row/v_Row_g02_c01.mp4").write_bytes(b"damaged")
    sample = module.dataset(module.train_samples, True)[Draw(1, 0)]
    assert sample["sample"] == 0 and sample["name"].endswith("v_Row_g01_c01.mp4")
    assert "v_Row_g02_c01.mp4: " in sample["broken"][0]


def test_without_annotations_or_videos_one_line_says_so(root):
    fails(
        r"of 2 annotated videos none can be used \(v_Row_g01_c01 is not in",
        data(root / "UCF-101/Jump", lists=root / "annotations"),
    )
    fails("no such list", data(root / "UCF-101", lists="elsewhere"))
    fails("no such folder", data(root / "nowhere"))
    shutil.rmtree(root / "annotations/val")
    fails(r"val: of 0 annotated videos none can be used \(there is no .mat\)", data(root))
