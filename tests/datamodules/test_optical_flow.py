"""Optical flow: how it is computed, stored, and prepared for a folder of videos."""

import re

import cv2
import numpy as np
import pytest
import torch
from fakes import write_video
from torchvision.models.optical_flow import raft_large, raft_small

import cli
from datamodules import optical_flow
from datamodules.optical_flow import encode, estimator, video_flow
from datamodules.prepare_flow import prepare_flow
from datamodules.readers.flow import FlowError, FlowReader


def texture(height=64, width=80, seed=0):
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2.5)


def sliding(num_frames, down, right, height=64, width=80):
    return np.stack([np.roll(texture(height, width), (t * down, t * right), (0, 1)) for t in range(num_frames)])


@pytest.mark.parametrize(("height", "width"), [(64, 80), (24, 32), (140, 160)])
def test_dis_finds_the_motion_of_a_picture(height, width):
    flow = estimator("dis")(*sliding(2, 1, 2, height, width))
    assert flow.shape == (height, width, 2)
    np.testing.assert_allclose(np.median(flow, (0, 1)), [2, 1], atol=0.1)


def test_a_pair_s_flow_does_not_depend_on_the_pair_before():
    estimate = estimator("dis")
    first = estimate(*sliding(2, 0, 3))
    estimate(*sliding(2, 3, -3))
    np.testing.assert_array_equal(estimate(*sliding(2, 0, 3)), first)


@pytest.mark.parametrize("build", [raft_small, raft_large])
def test_raft_takes_its_weights_from_a_file(build, tmp_path):
    torch.manual_seed(0)
    network = build(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "raft.pth")
    frames = sliding(2, 1, 2, 128, 132)
    flow = estimator("raft", tmp_path / "raft.pth")(*frames)
    assert flow.shape == (128, 132, 2)
    padded = np.pad(frames, ((0, 0), (0, 0), (0, 4), (0, 0)), mode="edge")
    pair = torch.from_numpy(padded).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        expected = network(pair[:1], pair[1:])[-1][0].permute(1, 2, 0)[:, :132]
    np.testing.assert_allclose(flow, expected, atol=1e-3)


def test_methods_that_cannot_be_had(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="name their file"):
        estimator("raft")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other.pth: holds no state of torchvision's RAFT"):
        estimator("raft", tmp_path / "other.pth")
    monkeypatch.delattr(optical_flow.cv2, "optflow", raising=False)
    with pytest.raises(ValueError, match="install opencv-contrib-python-headless"):
        estimator("tvl1")


def test_stored_flow_errs_by_half_a_level(tmp_path):
    flow = np.random.default_rng(0).normal(0, 3, (5, 6, 8, 2)).astype(np.float32)
    flow[3] = 0
    np.save(tmp_path / "a.npy", encode(flow))
    reader = FlowReader(tmp_path / "a.npy")
    assert (reader.num_frames, reader.size) == (5, (6, 8))
    read = reader.read(np.array([4, 3, 3, 0]))
    assert read.dtype == np.float16
    bound = np.abs(flow).max((1, 2), keepdims=True) / 254
    assert (np.abs(read - flow[[4, 3, 3, 0]]) <= (bound[[4, 3, 3, 0]] + 4e-3)).all()


def test_resized_flow_stays_in_stored_pixels(tmp_path):
    flow = np.tile(np.array([4.0, -2.0], np.float32), (1, 8, 12, 1))
    np.save(tmp_path / "a.npy", encode(flow))
    read = FlowReader(tmp_path / "a.npy").read(np.array([0]), size=(4, 5))
    assert read.shape == (1, 4, 5, 2)
    np.testing.assert_allclose(read[0, 1, 1], [4, -2], atol=0.01)


def test_files_that_hold_no_flow(tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, encode(np.ones((4, 6, 8, 2), np.float32)))
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(FlowError, match=r"a.npy: cannot be read as flow"):
        FlowReader(file)
    np.save(file, np.zeros((3, 4)))
    with pytest.raises(FlowError, match=r"a.npy: holds float64 \(3, 4\), not flow"):
        FlowReader(file)
    with pytest.raises(FlowError, match="No such file"):
        FlowReader(tmp_path / "none.npy")


@pytest.fixture
def videos(tmp_path):
    write_video(tmp_path / "videos" / "in" / "a.mp4", sliding(5, 1, 2))
    write_video(tmp_path / "videos" / "b.avi", sliding(4, 0, -3))
    return tmp_path / "videos"


def test_a_folder_of_videos(videos, tmp_path, capsys):
    arguments = ["prepare", "flow", "--root", str(videos), "--out", str(tmp_path / "flow"), "--workers", "1"]
    assert cli.main(arguments) == 0
    assert "flow of 2 videos" in capsys.readouterr().out
    reader = FlowReader(tmp_path / "flow" / "in" / "a.flow.npy")
    assert (reader.num_frames, reader.size) == (5, (64, 80))
    np.testing.assert_allclose(np.median(reader.read(np.arange(5)), (1, 2)), [[2, 1]] * 5, atol=0.1)
    flow = FlowReader(tmp_path / "flow" / "b.flow.npy").read(np.arange(4))
    np.testing.assert_array_equal(flow[3], flow[2])
    assert not list((tmp_path / "flow").rglob("*.part"))


def test_the_command_explains_what_it_cannot_do(videos, tmp_path, capsys):
    arguments = ["prepare", "flow", "--root", str(videos), "--out", str(tmp_path / "flow")]
    assert cli.main([*arguments, "--method", "raft"]) == 1
    assert "method raft needs the weights" in capsys.readouterr().err
    assert cli.main([*arguments, "--root", str(videos), str(videos)]) == 2
    assert "--root takes one folder" in capsys.readouterr().err


def test_frames_are_shrunk_first(videos, tmp_path):
    prepare_flow(videos, tmp_path / "flow", short_side=32, workers=1, progress=False)
    reader = FlowReader(tmp_path / "flow" / "in" / "a.flow.npy")
    assert reader.size == (32, 40)
    np.testing.assert_allclose(np.median(reader.read(np.arange(5)), (1, 2)), [[1, 0.5]] * 5, atol=0.1)


def test_long_videos_are_read_in_parts(videos, tmp_path, monkeypatch):
    prepare_flow(videos, tmp_path / "whole", workers=1, progress=False)
    monkeypatch.setattr("datamodules.prepare_flow._FRAMES_AT_ONCE", 2)
    prepare_flow(videos, tmp_path / "parts", workers=1, progress=False)
    for name in ("in/a.flow.npy", "b.flow.npy"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_a_single_frame_has_flow_too(tmp_path):
    write_video(tmp_path / "videos" / "a.mp4", sliding(1, 0, 0))
    prepare_flow(tmp_path / "videos", tmp_path / "flow", workers=1, progress=False)
    assert not FlowReader(tmp_path / "flow" / "a.flow.npy").read(np.array([0])).any()


def test_it_goes_on_where_it_was_and_mends_what_is_damaged(videos, tmp_path):
    out = tmp_path / "flow"
    out.mkdir()
    (out / "settings.7.part").write_text("{")  # of a run that was killed at its start
    assert prepare_flow(videos, out, workers=1, progress=False).computed == 2
    assert prepare_flow(videos, out, workers=1, progress=False).computed == 0
    whole = (out / "b.flow.npy").read_bytes()
    (out / "b.flow.npy").write_bytes(whole[:-9])
    write_video(videos / "c.mp4", sliding(3, 1, 1))
    done = prepare_flow(videos, out, workers=2, progress=False)
    assert (done.computed, done.videos) == (2, 3)
    assert (out / "b.flow.npy").read_bytes() == whole
    write_video(videos / "c.mp4", sliding(6, 1, 1))  # a longer one of the same name
    assert prepare_flow(videos, out, workers=1, progress=False).computed == 1


def test_broken_videos_are_listed(videos, tmp_path):
    (videos / "broken.mp4").write_bytes(b"no video")
    done = prepare_flow(videos, tmp_path / "flow", workers=2, progress=False)
    assert (done.videos, len(done.broken)) == (2, 1)
    assert done.broken[0].startswith(f"{videos / 'broken.mp4'}: ")
    assert (tmp_path / "flow" / "broken.txt").read_text() == f"{done.broken[0]}\n"
    (videos / "broken.mp4").unlink()
    prepare_flow(videos, tmp_path / "flow", workers=1, progress=False)
    assert not (tmp_path / "flow" / "broken.txt").exists()
    assert "1 broken videos, such as" in str(done)


def test_what_is_refused(videos, tmp_path):
    out = tmp_path / "flow"

    def refused(words, *arguments, **options):
        with pytest.raises(ValueError, match=re.escape(words)) as caught:
            prepare_flow(*arguments, **{"workers": 1, "progress": False, **options})
        assert "\n" not in str(caught.value)

    refused("no such folder", tmp_path / "none", out)
    (tmp_path / "empty").mkdir()
    refused("holds no videos", tmp_path / "empty", out)
    refused("is there and is no folder of flow", videos, videos)
    refused("short_side=0 must be at least 1", videos, out, short_side=0)
    prepare_flow(videos, out, workers=1, progress=False)
    refused("was made in another way", videos, out, short_side=32)
    write_video(videos / "b.mp4", sliding(3, 1, 1))
    refused("has the name of b.avi but for the suffix", videos, out)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.mp4").write_bytes(b"no video")
    refused("all 1 videos are broken", tmp_path / "broken", tmp_path / "other")


def test_video_flow_leads_from_each_frame_to_the_next():
    records = video_flow(sliding(3, 1, 2), estimator("dis"))
    assert len(records) == 2
