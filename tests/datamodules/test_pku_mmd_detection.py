"""PKU-MMD's whole videos: frames keep their numbers, actions come along, windows are cut from both."""

import pickle

import numpy as np
import pytest
import torch
from pku_fakes import dataset, write_split, write_video
from pytorch_lightning import LightningModule, Trainer

from datamodules import PKUMMDDetectionDataModule
from datamodules.pku_mmd_detection import prepare_pku_videos
from datamodules.pku_protocol import Segment
from datamodules.readers.skeleton import read_pku
from datamodules.transforms.skeleton import (
    centre,
    most_energetic,
    preprocess,
    preprocess_video,
    turn_shoulders_sideways,
    turn_spine_upright,
)
from datamodules.video_sequences import read_videos, write_videos


def module(root, cache, **arguments):
    arguments = {"num_workers": 0, "global_batch_size": 2, **arguments}
    data = PKUMMDDetectionDataModule(root, cache=cache, **arguments)
    data.prepare_data()
    data.setup("fit")
    return data


def test_steps_are_those_of_the_actions():
    """Of a body that is there from the start, whole and short enough, a video is what an action is."""
    bodies = np.float32(np.random.default_rng(0).standard_normal((2, 300, 25, 3)))
    np.testing.assert_array_equal(preprocess_video(bodies), preprocess(bodies)[0])


def test_frames_keep_their_numbers():
    bodies = np.float32(np.random.default_rng(0).standard_normal((2, 40, 25, 3)))
    bodies[0, :7] = bodies[1, 20:] = 0
    bodies[0, 12] = 0
    bodies[0] *= 3  # the first actor, then
    video = preprocess_video(bodies)
    assert video.shape == (3, 40, 25, 2)
    assert np.flatnonzero(~video[..., 0].any((0, 2))).tolist() == [*range(7), 12]
    assert np.flatnonzero(~video[..., 1].any((0, 2))).tolist() == list(range(20, 40))
    np.testing.assert_allclose(video[:, 7, 1, 0], 0, atol=1e-6)
    shoulders = video[:, 7, 8, 0] - video[:, 7, 4, 0]
    assert abs(shoulders[1:]).max() < 1e-5 * shoulders[0]
    # As from the first frame that shows the actor on.
    later = turn_shoulders_sideways(turn_spine_upright(centre(most_energetic(bodies[:, 7:]))))
    np.testing.assert_allclose(video[:, 7:], later.transpose(3, 1, 2, 0), atol=1e-6)


def test_nobody_in_a_video():
    with pytest.raises(ValueError, match="no body is seen in any frame"):
        preprocess_video(np.zeros((2, 4, 25, 3), np.float32))


def test_whole_videos_and_their_actions(tmp_path, caplog):
    root = dataset(tmp_path / "pku")
    with (
        caplog.at_level("INFO"),
        pytest.warns(UserWarning, match="1 confidence 0 .*, 2 empty .*, 1 inverted .*, 2 past the end"),
    ):
        data = module(root, tmp_path / "cache")
    assert (
        "phase 1 xsub, 2 training videos with 3 actions, 1 to test with 1 actions; 2 listed videos are not there;"
        " 1 videos in neither list are left out"
    ) in caplog.text
    assert "4 videos in" in caplog.text
    assert data.num_classes == 51
    actions = {"0002-L": [[2, 2, 10], [50, 12, 30]], "0003-M": [[6, 0, 40]], "0004-R": [[7, 5, 40]]}
    train, held_out = next(iter(data.train_dataloader())), next(iter(data.val_dataloader()))
    assert sorted(train["name"]) == ["0002-L", "0003-M"]
    assert held_out["name"] == ["0004-R"]
    for batch in (train, held_out):
        assert batch["skeleton"].dtype == torch.float32
        for row, name in enumerate(batch["name"]):
            expected = preprocess_video(read_pku(root / "skeletons" / f"{name}.txt"))
            np.testing.assert_array_equal(batch["skeleton"][row], expected)
            assert batch["segments"][row].tolist() == actions[name]
            assert batch["segments"][row].dtype == batch["num_frames"].dtype == torch.int64
            assert (batch["num_frames"][row], batch["start"][row]) == (40, 0)
    broken = (tmp_path / "cache" / "broken.txt").read_text().splitlines()
    assert broken[0].startswith(f"{root}/labels/0005-L.txt:1: is missing, so that 0005-L is left out")
    assert broken[1].startswith(f"{root}/labels/0006-L.txt:1: class 52 is not 1 to 51; correct")
    assert broken[2:] == [f"{root}/labels/0004-R.txt:{n}: the action has no frame; leave it out" for n in (2, 3)]
    assert data.probe_dataloaders() is None


def lengths(root):
    for name, frames in (("0002-L", 30), ("0003-L", 50), ("0004-L", 20), ("0005-L", 40)):
        write_video(root, name, f"1,2,10,2\n5,15,{frames},2\n", frames, frames)
    write_split(root / "cross-subject.txt", ["0002-L", "0003-L", "0004-L"], ["0005-L"])
    return root


def test_shorter_ones_are_filled_with_zeros(tmp_path):
    data = module(lengths(tmp_path / "pku"), tmp_path / "cache", global_batch_size=3)
    batch = next(iter(data.train_dataloader()))
    assert batch["skeleton"].shape == (3, 3, 50, 25, 2)
    assert batch["skeleton"].is_contiguous()
    frames = dict(zip(batch["name"], batch["num_frames"].tolist(), strict=True))
    assert frames == {"0002-L": 30, "0003-L": 50, "0004-L": 20}
    for skeleton, count in zip(batch["skeleton"], batch["num_frames"], strict=True):
        assert skeleton[:, :count].any(0).any(-1).any(-1).all()
        assert not skeleton[:, count:].any()


def test_windows_are_cut_from_frames_and_actions(tmp_path):
    root = lengths(tmp_path / "pku")
    whole, cut = module(root, tmp_path / "cache"), module(root, tmp_path / "cache", window=24, global_batch_size=3)
    videos = {name: preprocess_video(read_pku(root / "skeletons" / f"{name}.txt")) for name in ("0002-L", "0003-L")}
    starts = {name: set() for name in videos}
    dataset, sampler = cut.dataset(cut.train_samples, True), cut.train_dataloader().batch_sampler
    for batch_number in range(30):
        sampler.position = lambda number=batch_number: number
        for draw in next(iter(sampler)):
            sample, again = dataset[draw], dataset[draw]
            assert sample["start"] == again["start"]
            if sample["name"] not in videos:
                assert (sample["start"], sample["skeleton"].shape[1]) == (0, 20)
                continue
            start, video = sample["start"], videos[sample["name"]]
            starts[sample["name"]].add(start)
            np.testing.assert_array_equal(sample["skeleton"], video[:, start : start + 24])
            expected = [
                [label, max(a - start, 0), min(b - start, 24)]
                for label, a, b in ((0, 2, 10), (4, 15, video.shape[1]))
                if b > start and a < start + 24
            ]
            assert sample["segments"].tolist() == expected
    assert len(starts["0002-L"]) == 7  # 0 to 6, all
    assert max(starts["0003-L"]) > 20
    (batch,) = iter(cut.val_dataloader())
    assert batch["num_frames"].tolist() == [40]
    with pytest.raises(ValueError, match="window=0 must be at least 1"):
        PKUMMDDetectionDataModule(root, window=0)
    assert len(whole.train_samples) == 3


def test_a_part_of_the_list_keeps_its_actions(tmp_path):
    samples = module(lengths(tmp_path / "pku"), tmp_path / "cache").train_samples
    part = samples.select(torch.tensor([False, True, True]))
    assert [part.path(row) for row in range(2)] == ["0003-L", "0004-L"]
    assert [part.segments_of(row)[1].tolist() for row in range(2)] == [[4, 15, 50], [4, 15, 20]]
    assert part.num_frames.tolist() == [50, 20]


class Witness(LightningModule):
    """Writes down what it is shown."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.shown = []

    def training_step(self, batch, batch_index):
        self.shown.append((batch["name"], batch["start"].tolist(), [s.tolist() for s in batch["segments"]]))
        return self.weight.sum() * batch["skeleton"].mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_stop_and_resume_is_not_to_stop(tmp_path):
    root = lengths(tmp_path / "pku")

    def run(steps, checkpoint=None, workers=0):
        witness = Witness()
        trainer = Trainer(
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            default_root_dir=tmp_path,
        )
        data = module(root, tmp_path / "cache", window=12, num_workers=workers)
        trainer.fit(witness, data, ckpt_path=checkpoint, weights_only=False)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        return witness.shown

    whole = run(6, workers=1)
    assert run(4) + run(6, tmp_path / "last.ckpt") == whole
    assert len(whole) == 6


def test_a_worker_gets_no_copy_of_the_data(tmp_path):
    data = module(lengths(tmp_path / "pku"), tmp_path / "cache")
    dataset = data.dataset(data.train_samples, training=True)
    next(iter(data.train_dataloader()))
    dataset[next(iter(data.val_dataloader().sampler))]
    assert len(pickle.dumps(dataset)) < 10_000


def test_prepared_once(tmp_path, monkeypatch):
    root = lengths(tmp_path / "pku")
    assert prepare_pku_videos(root, tmp_path / "cache", 1, progress=False).read == 4
    monkeypatch.setattr("datamodules.pku_mmd_detection.read_pku", None)
    again = prepare_pku_videos(root, tmp_path / "cache", 1, progress=False)
    assert (again.samples, again.broken, again.read) == (4, [], 0)
    write_video(root, "0009-L", "1,2,10,2\n")
    with pytest.raises(ValueError, match="was prepared from other files or in another way"):
        prepare_pku_videos(root, tmp_path / "cache", 1, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "pku"]


def test_what_is_refused(tmp_path):
    root = tmp_path / "pku"
    write_video(root, "0002-L", "1,2,10,2\n", 12)
    (root / "skeletons" / "0002-L.txt").write_text(" ".join(["0"] * 150) + "\n")
    with pytest.raises(ValueError, match=r"all 1 videos are broken, such as .*0002-L\.txt:1: no body is seen"):
        prepare_pku_videos(root, tmp_path / "cache", 1, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["pku"]
    (root / "skeletons" / "0002-L.txt").write_text(" ".join(["0"] * 149) + "\n")
    with pytest.raises(ValueError, match=r"skeletons/0002-L\.txt:1: a frame has 149 values, not 150; copy"):
        prepare_pku_videos(root, tmp_path / "cache", 1, progress=False)
    lengths(root)
    with pytest.raises(ValueError, match="pku: is there and is no folder of prepared skeletons"):
        prepare_pku_videos(root, root, 1, progress=False)
    with pytest.raises(ValueError, match="cannot be written"):
        prepare_pku_videos(root, tmp_path / "pku" / "cross-subject.txt" / "cache", 1, progress=False)
    with pytest.raises(ValueError, match=r"none of the videos in .* is in this list; set split_list"):
        module(root, tmp_path / "cache", split_list=write_split(tmp_path / "s.txt", ["0010-L"], ["0011-L"]))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("videos.csv", "name\n", r"videos\.csv:1: is not the line name,frames; remove"),
        ("videos.csv", "name,frames\na,x\n", r"videos\.csv:2: 'a,x' is no row; remove"),
        ("videos.csv", "name,frames\na,5\na,5\n", r"videos\.csv:3: a, 5 frames, cannot be"),
        ("videos.csv", "name,frames\na,6\n", r"frames\.npy: is float32 \(5, 3, 25, 2\), not float32 \(6, 3, 25, 2\)"),
        ("segments.csv", "video,action,start,end\na,1,3,6\n", r"segments\.csv:2: no action of a video of videos\.csv"),
        ("segments.csv", "video,action,start,end\nb,1,3,4\n", r"segments\.csv:2: no action of a video of videos\.csv"),
        ("frames.npy", "no array", r"frames\.npy: .* prepare it again"),
    ],
)
def test_a_damaged_cache_is_refused(tmp_path, file, text, message):
    write_videos(tmp_path, [("a", np.ones((3, 5, 25, 2), np.float32), [Segment(1, 0, 5, 1)])])
    assert [video[:3] for video in read_videos(tmp_path)] == [("a", 0, 5)]
    (tmp_path / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_videos(tmp_path)


def test_a_real_video(shared_data, tmp_path):
    """Phase II, with labels of our own: its official ones are not among the samples."""
    root = tmp_path / "pku"
    for folder in ("Skeleton_v2", "Label_v2"):
        (root / folder).mkdir(parents=True)
    (root / "Skeleton_v2" / "A10N08-L.txt").symlink_to(shared_data / "pku_mmd" / "skeletons" / "A10N08-L.txt")
    (root / "Label_v2" / "A10N08-L.txt").write_text("5,100,180,2\n12,300,1040,1\n")
    write_split(root / "cross_subject_v2.txt", ["A10N08-L"], ["A11N01-L"])
    data = module(root, tmp_path / "cache", phase=2, global_batch_size=1)
    (batch,) = iter(data.train_dataloader())
    assert batch["skeleton"].shape == (1, 3, 1040, 25, 2)
    assert batch["segments"][0].tolist() == [[4, 100, 180], [11, 300, 1040]]
    assert batch["skeleton"][0, ..., 1].any(0).any(-1).sum() == 728
    np.testing.assert_allclose(batch["skeleton"][0, :, :, 1, 0], 0, atol=1e-6)
    assert data.val_samples is data.train_samples
