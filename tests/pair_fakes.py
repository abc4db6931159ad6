"""A data module of paired clips in tiny files of arrays."""

import json

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

CLIP_LENGTH = 4
SHAPES = {"rgb": (20, 24, 3), "flow": (20, 24, 2), "depth": (16, 22)}


def write_pairs(root, count=12):
    """A bright bar that moves; its place, speed and direction are alike in all modalities of a sample."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        random = np.random.default_rng(number)
        frames = 4 + 3 * (number % 4)  # 1, 1, 2 and 3 clips
        start, speed = random.uniform(0, 1), random.uniform(-0.1, 0.1)
        places = (start + speed * np.arange(frames)) % 1
        for modality, (height, width, *_) in SHAPES.items():
            columns = (np.arange(width) + 0.5) / width
            bar = (np.abs(columns - places[:, None]) < 0.15)[:, None, :] & np.ones((1, height, 1), bool)
            if modality == "rgb":
                array = random.integers(0, 60, (frames, height, width, 3)) + 190 * bar[..., None]
                array = array.astype(np.uint8)
            elif modality == "flow":
                array = np.stack([bar * speed * width, 0 * bar], axis=-1).astype(np.float16)
            else:
                array = np.where(bar, 1500, random.choice([0, 3000], bar.shape)).astype(np.int16)
            np.save(root / f"S{number:03d}_{modality}.npy", array)
        skeleton = random.normal(size=(3, 12, 25, 2)).astype(np.float32)
        np.save(root / f"S{number:03d}_skeleton.npy", skeleton)


class Pairs(Dataset):
    def __init__(self, data, names, training):
        self.data, self.names, self.training = data, names, training

    def __len__(self):
        return len(self.names)

    def __getitem__(self, draw):
        index, seed = draw if isinstance(draw, tuple) else (draw, 0)
        name = self.names[index]
        sample = {"name": name, "sample": torch.tensor(index), "label": torch.tensor(int(name[1:]) % 3)}
        frames = len(np.load(self.data.root / f"{name}_depth.npy", mmap_mode="r"))
        clips = torch.arange(max(frames // CLIP_LENGTH, 1))
        if self.training:
            clips = clips[torch.randint(len(clips), (1,), generator=torch.Generator().manual_seed(seed))]
        sample["clip"] = clips
        for modality in self.data.read:
            array = torch.from_numpy(np.load(self.data.root / f"{name}_{modality}.npy"))
            if modality == "skeleton":
                sample |= {"skeleton": array, "num_frames": torch.tensor(array.shape[1])}
            else:
                rows = (clips[:, None] * CLIP_LENGTH + torch.arange(CLIP_LENGTH)).clamp(max=frames - 1)
                sample[modality] = array[rows]
        return sample


def collate(samples):
    most = max(len(sample["clip"]) for sample in samples)
    batch = {"name": [sample["name"] for sample in samples], "broken": []}
    for key in samples[0].keys() - {"name"}:
        values = [sample[key] for sample in samples]
        if key in ("rgb", "flow", "depth", "clip"):
            filled = values[0].new_full((len(samples), most, *values[0].shape[1:]), -1 if key == "clip" else 0)
            for row, value in enumerate(values):
                filled[row, : len(value)] = value
            batch[key] = filled
        else:
            batch[key] = torch.stack(values)
    return batch


class Order:
    """Batches of this rank and a seed for each sample, by the number of batches done."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data.train_names) // self.data.batch_size

    def __iter__(self):
        trainer = self.data.trainer
        done = trainer.fit_loop.epoch_loop.batch_progress.total.processed
        share = self.data.batch_size // trainer.world_size
        for batch in range(done, done - done % len(self) + len(self)):
            epoch, place = divmod(batch, len(self))
            rows = torch.randperm(len(self.data.train_names), generator=torch.Generator().manual_seed(epoch))
            rows = rows[place * self.data.batch_size + trainer.global_rank * share :][:share].tolist()
            yield [(row, 1000 * batch + row) for row in rows]


class PairData(LightningDataModule):
    """Reads ``*_rgb.npy`` and so on; the last four samples are held out."""

    def __init__(self, root, modalities=("rgb", "flow", "depth"), batch_size=4, count=None, actions=()):
        super().__init__()
        self.root, self.batch_size, self.actions = root, batch_size, actions
        names = sorted({path.name.split("_")[0] for path in root.glob("*.npy")})[:count]
        self.train_names, self.val_names = names[:-4], names[-4:]
        self.modalities = self.read = tuple(modalities)
        self.computed = []

    def sample_names(self):
        return [*self.train_names, *self.val_names]

    def describe_modality(self, modality):
        files = [self.root / f"{name}_{modality}.npy" for name in self.sample_names()]
        stamps = [(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files if path.exists()]
        return json.dumps([str(self.root), SHAPES[modality], CLIP_LENGTH, self.sample_names(), stamps])

    def modality_dataloader(self, modality, names):
        readable = [name for name in names if (self.root / f"{name}_{modality}.npy").exists()]
        self.computed += readable
        # of a sample that cannot be read the next one takes the place
        names = [name if name in readable else readable[0] for name in names]
        view = PairData(self.root)
        view.read = (modality,)
        return DataLoader(Pairs(view, names, False), batch_size=3, collate_fn=collate)

    def read_only(self, modalities):
        self.read = tuple(modalities)

    def train_dataloader(self):
        return DataLoader(Pairs(self, self.train_names, True), batch_sampler=Order(self), collate_fn=collate)

    def val_dataloader(self):
        return DataLoader(Pairs(self, self.val_names, False), batch_size=2, collate_fn=collate)

    test_dataloader = predict_dataloader = val_dataloader
