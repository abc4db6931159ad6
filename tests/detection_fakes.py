"""Long videos of dark noise in which a bright pattern marks each action: where it is bright tells the class."""

from collections.abc import Iterator

import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Subset

SIDE = 16


class Windows(Dataset):
    """Windows of videos, in order; each item is one window, see ``datamodules.batch.WindowBatch``."""

    def __init__(self, videos: int, length: int, window: int, hop: int, seed: int, modality: str, step: int = 1):
        draw = torch.Generator().manual_seed(seed)
        self.length, self.window, self.modality, self.step = length, window, modality, step
        self.clips, self.actions = [], []
        for _ in range(videos):
            clip = torch.randint(0, 60, (length, SIDE, SIDE), generator=draw, dtype=torch.int16)
            segments, classes, place = [], [], int(torch.randint(4, 12, (), generator=draw))
            while place + 24 < length:
                size = int(torch.randint(10, 24, (), generator=draw))
                label = int(torch.randint(2, (), generator=draw))
                half = slice(0, SIDE // 2) if label == 0 else slice(SIDE // 2, SIDE)
                clip[place : place + size, half] += 180
                segments.append([place, place + size])
                classes.append(label)
                place += size + int(torch.randint(8, 24, (), generator=draw))
            self.clips.append(clip)
            self.actions.append((torch.tensor(segments).view(-1, 2).float(), torch.tensor(classes, dtype=torch.long)))
        reach = max(length - window * step, 0)
        starts = sorted({*range(0, reach + 1, hop), reach})
        self.windows = [(video, start) for video in range(videos) for start in starts]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict:
        video, start = self.windows[index]
        frames = torch.arange(start, start + self.window * self.step, self.step)
        num_frames = int((frames < self.length).sum())
        grey = self.clips[video][frames.clamp(max=self.length - 1)]
        segments, classes = self.actions[video]
        local = (segments - start) / self.step
        seen = (local[:, 1] > 0) & (local[:, 0] < num_frames)
        rgb = grey[..., None].expand(-1, -1, -1, 3).to(torch.uint8)
        return {
            **({"rgb": rgb} if self.modality == "rgb" else {"depth": 1000 + 10 * grey}),
            "segments": local[seen],
            "classes": classes[seen],
            "start": start,
            "step": self.step,
            "num_frames": num_frames,
            "sample": video,
            "name": f"{video:04d}-L",
        }


def collate(items: list[dict]) -> dict:
    """A ``WindowBatch``."""
    batch = {name: [item[name] for item in items] for name in items[0]}
    for name in ("start", "step", "num_frames", "sample"):
        batch[name] = torch.tensor(batch[name])
    for name in {"rgb", "depth"} & set(batch):
        batch[name] = torch.stack(batch[name])
    return {**batch, "broken": []}


class Order:
    """Batches of an epoch, drawn from its number; after a resume, those that are left."""

    def __init__(self, data: "DetectionData", windows: Windows):
        self.data, self.windows = data, windows

    def __len__(self) -> int:
        return len(self.windows) // self.data.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        done = self.data.trainer.fit_loop.epoch_loop.batch_progress.total.processed
        order = torch.randperm(len(self.windows), generator=torch.Generator().manual_seed(done // len(self)))
        for batch in range(done % len(self), len(self)):
            share = order[batch * self.data.batch_size : (batch + 1) * self.data.batch_size]
            yield share.chunk(self.data.trainer.world_size)[self.data.trainer.global_rank].tolist()


class DetectionData(LightningDataModule):
    """Windows of 64 frames; ``batch_size`` is the global one."""

    def __init__(self, batch_size: int = 4, train_videos: int = 16, val_videos: int = 4, modality: str = "rgb"):
        super().__init__()
        self.batch_size = batch_size
        self.train = Windows(train_videos, 160, 64, 32, 0, modality)
        self.val = Windows(val_videos, 160, 64, 32, 1, modality)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, batch_sampler=Order(self, self.train), collate_fn=collate)

    def val_dataloader(self) -> DataLoader:
        # Shares that repeat a window, as a distributed sampler makes them.
        rank, size = self.trainer.global_rank, self.trainer.world_size
        share = [*range(rank, len(self.val), size), *([0] if rank else [])]
        return DataLoader(Subset(self.val, share), batch_size=4, collate_fn=collate)

    test_dataloader = predict_dataloader = val_dataloader
