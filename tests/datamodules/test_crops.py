import math
from pathlib import Path

import numpy as np
import torch
from torchvision.transforms import RandomResizedCrop

from datamodules.sample_list import SampleList
from datamodules.sampling.clips import ClipSampler
from datamodules.sampling.crops import AREA, ASPECT, random_size
from datamodules.sampling.resumable_sampler import Draw
from datamodules.video_dataset import VideoDataset
from tests.fakes import write_video

HEIGHT, WIDTH = 96, 128


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramps(num_frames: int = 8) -> np.ndarray:
    """Red rises from left to right, green from top to bottom: a colour tells a place."""
    red = np.broadcast_to(np.linspace(20, 230, WIDTH), (HEIGHT, WIDTH))
    green = np.broadcast_to(np.linspace(20, 230, HEIGHT)[:, None], (HEIGHT, WIDTH))
    picture = np.stack([red, green, np.full((HEIGHT, WIDTH), 120)], -1).round().astype(np.uint8)
    return np.broadcast_to(picture, (num_frames, HEIGHT, WIDTH, 3))


def dataset(path: Path, num_clips: int = 1, training: bool = True) -> VideoDataset:
    clips = ClipSampler(4, num_clips, (1,), False)
    return VideoDataset(SampleList([(str(path), 0)]), clips, (72,), 64, training, random_resized_crop=True)


def box(frame: torch.Tensor) -> tuple[float, float, float, float]:
    """Top, left, height and width of a crop of the ramps, as shares of the picture."""
    red, green = frame[..., 0].float().mean(0), frame[..., 1].float().mean(1)
    inner = slice(8, -8)  # the borders of a picture are smoothed
    sizes, starts = [], []
    for ramp in (green, red):
        slope = float(ramp[inner].diff().mean()) / 210
        starts.append(float((ramp[inner].mean() - 20) / 210 - slope * 32))
        sizes.append(slope * 64)
    return starts[0], starts[1], sizes[0], sizes[1]


def test_sizes_are_drawn_as_torchvision_draws_them() -> None:
    for height, width, largest in ((240, 320, 1.0), (320, 180, 0.75)):
        torch.manual_seed(0)
        picture = torch.empty(1, height, width)
        draws = generator(0)
        ours = torch.tensor([random_size(height, width, draws) for _ in range(2000)]).double()
        theirs = [RandomResizedCrop.get_params(picture, AREA, ASPECT)[2:] for _ in range(2000)]
        for of in (torch.prod, lambda sizes, axis: (sizes[:, 1] / sizes[:, 0]).log()):
            mine, other = of(ours, 1), of(torch.tensor(theirs).double(), 1)
            assert abs(float(mine.mean() - other.mean())) < 5 * float(other.std()) * math.sqrt(2 / 2000)
            assert abs(float(mine.std() / other.std()) - 1) < 0.1
        area = ours.prod(1) / (height * width)
        assert AREA[0] * 0.97 < float(area.min()) < 0.1
        assert largest * 0.9 < float(area.max()) <= largest


def test_pictures_too_long_for_any_draw() -> None:
    assert random_size(10, 400, generator(0)) == (10, 13)
    assert random_size(400, 10, generator(0)) == (13, 10)
    assert random_size(1, 1, generator(0)) == (1, 1)


def test_a_clip_is_one_part_of_the_picture_resized(tmp_path: Path) -> None:
    data = dataset(write_video(tmp_path / "ramps.mp4", ramps()))
    boxes = []
    for seed in range(40):
        (clip,) = data[Draw(0, seed)]["clip"]
        assert clip.shape == (4, 64, 64, 3)
        assert (clip.int() - clip[:1].int()).abs().max() <= 2  # all frames alike
        boxes.append(box(clip[0]))
    top, left, height, width = np.array(boxes).T
    assert min(top.min(), left.min()) > -0.03
    assert max((top + height).max(), (left + width).max()) < 1.03
    assert 0.07 < (height * width).min() < 0.25
    assert 0.75 < (height * width).max() < 1.03
    aspect = width * WIDTH / (height * HEIGHT)
    assert 0.72 < aspect.min() < 0.9
    assert 1.1 < aspect.max() < 1.4
    assert np.ptp(top / (1 - height).clip(0.05)) > 0.7  # anywhere in the picture
    assert np.ptp(left / (1 - width).clip(0.05)) > 0.7


def test_each_clip_of_a_video_has_its_own_crop_and_the_draw_decides_it(tmp_path: Path) -> None:
    data = dataset(write_video(tmp_path / "ramps.mp4", ramps()), num_clips=2)
    before = torch.random.get_rng_state()
    clips = data[Draw(0, 5)]["clip"]
    assert torch.random.get_rng_state().equal(before)
    assert clips.shape == (2, 4, 64, 64, 3)
    assert np.abs(np.subtract(box(clips[0, 0]), box(clips[1, 0]))).max() > 0.05
    assert data[Draw(0, 5)]["clip"].equal(clips)
    assert not data[Draw(0, 6)]["clip"].equal(clips)


def test_a_picture_that_is_turned_is_cropped_upright(tmp_path: Path) -> None:
    data = dataset(write_video(tmp_path / "turned.mp4", ramps(), rotation=90))
    for seed in range(5):
        frame = data[Draw(0, seed)]["clip"][0, 0].float()
        assert frame.shape == (64, 64, 3)
        across, down = frame[..., 0].mean(0), frame[..., 0].mean(1)
        assert float(across.max() - across.min()) < 5 < float(down.max() - down.min())


def test_evaluation_is_the_centre_crop(tmp_path: Path) -> None:
    path = write_video(tmp_path / "ramps.mp4", ramps())
    cropped = dataset(path, 10, training=False)[Draw(0, 0)]["clip"]
    assert cropped.shape == (10, 4, 64, 64, 3)
    top, left, height, width = box(cropped[0, 0])
    assert np.allclose((height, width), (64 / 72, 64 / 96), atol=0.03)
    assert np.allclose((top, left), (4 / 72, 16 / 96), atol=0.03)
