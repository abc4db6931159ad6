"""What ``lightning predict`` leaves behind, on videos of which one is broken."""

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer

from callbacks import PredictionWriter
from datamodules import VideoFolderDataModule
from lightning_modules import TubeletContrast
from lightning_modules.networks import R2Plus1D
from tests.fakes import write_video


@pytest.fixture
def root(tmp_path):
    for number in range(7):
        write_video(tmp_path / f"videos/{number}.mp4", 6)
    (tmp_path / "videos/3.mp4").write_bytes(b"not a video")
    return tmp_path / "videos"


@pytest.mark.parametrize("processes", [1, 2])
def test_one_row_a_readable_video(root, tmp_path, processes):
    torch.manual_seed(0)
    model = TubeletContrast(R2Plus1D(widths=(4, 8), blocks=(1, 1), stem_width=4), queue_size=8)
    data = VideoFolderDataModule(
        root, num_frames=4, crop_size=16, short_sides=(16,), eval_clips=2, eval_batch_size=2, num_workers=0
    )
    trainer = Trainer(
        default_root_dir=tmp_path,
        callbacks=[PredictionWriter(tmp_path / "run")],
        accelerator="cpu",
        devices=processes,
        strategy="ddp_fork" if processes > 1 else "auto",
        use_distributed_sampler=False,
        logger=False,
        enable_progress_bar=False,
    )
    trainer.predict(model, data)
    with np.load(tmp_path / "run/predictions.npz") as file:
        written = dict(file)
    readable = [0, 1, 2, 4, 5, 6]
    assert written["video"].tolist() == readable
    assert written["path"].tolist() == [str(root / f"{number}.mp4") for number in readable]
    assert written["label"].tolist() == [-1] * 6
    data.setup("predict")
    rows = {
        int(video): clip
        for batch in data.val_dataloader()
        for video, clip in zip(batch["video"], batch["clip"], strict=True)
    }
    with torch.no_grad():
        expected = model.eval()(torch.stack([rows[video] for video in readable]))
    torch.testing.assert_close(torch.from_numpy(written["feature"]), expected)
