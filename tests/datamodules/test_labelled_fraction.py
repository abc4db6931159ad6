"""Training with a share of the labels: counts, determinism, nesting, and rows without sequences."""

import itertools

import pytest
import torch
from skeleton_fakes import write_prepared

from datamodules import NTUSkeletonDataModule, PKUMMDSkeletonDataModule, SyntheticNTUDataModule
from datamodules.sample_list import SampleList


def named(labels):
    return SampleList((str(number), label) for number, label in enumerate(labels))


def paths(samples):
    return [samples.path(row) for row in range(len(samples))]


def test_each_class_keeps_its_share():
    samples = named([0] * 100 + [1] * 40 + [2] * 3 + [-1] * 20)
    parts = {fraction: samples.labelled_subset(fraction, 5) for fraction in (0.01, 0.05, 0.2, 1.0)}
    counts = {fraction: part.labels.bincount().tolist() for fraction, part in parts.items()}
    assert counts == {0.01: [1, 1, 1], 0.05: [5, 2, 1], 0.2: [20, 8, 1], 1.0: [100, 40, 3]}
    chosen = [set(paths(part)) for part in parts.values()]
    assert all(one < more for one, more in itertools.pairwise(chosen))
    assert paths(parts[0.2]) == sorted(paths(parts[0.2]), key=int)
    assert paths(parts[0.2]) == paths(samples.labelled_subset(0.2, 5)) != paths(samples.labelled_subset(0.2, 6))
    assert len(named([]).labelled_subset(0.5, 0)) == 0
    with pytest.raises(ValueError, match=r"labelled_fraction=1\.5 is not a share"):
        samples.labelled_subset(1.5, 0)


@pytest.fixture
def root(tmp_path):
    return write_prepared(tmp_path / "prepared", train=60, val=12, num_frames=9)


def names(loader):
    return [name for batch in loader for name in batch["name"]]


def module(root, **changes):
    data = NTUSkeletonDataModule(root, global_batch_size=6, eval_batch_size=100, num_workers=0, **changes)
    data.setup("fit")
    return data


def test_training_and_probes_see_the_part_alone(root, caplog):
    with caplog.at_level("INFO"):
        part = module(root, labelled_fraction=0.2)
    assert "12 of 60 training sequences are used, 20 % of each class, seed 0" in caplog.text
    assert part.train_samples.labels.bincount().tolist() == [4, 4, 4]
    training = set(names(part.train_dataloader()))
    assert len(training) == 12
    bank, queries = map(names, part.probe_dataloaders())
    assert set(bank) == training
    assert queries == names(module(root).val_dataloader()) and len(queries) == 12


def test_seeds(root):
    def chosen(**changes):
        return paths(module(root, labelled_fraction=0.2, **changes).train_samples)

    assert chosen(seed=3) == chosen(labelled_seed=3) == chosen(labelled_seed=3, seed=8)
    assert chosen(seed=3) != chosen(seed=4)


@pytest.mark.parametrize("fraction", [0, 1.01, -0.1])
@pytest.mark.parametrize("kind", [NTUSkeletonDataModule, PKUMMDSkeletonDataModule, SyntheticNTUDataModule])
def test_a_fraction_out_of_range(kind, fraction, tmp_path):
    where = {} if kind is SyntheticNTUDataModule else {"root": tmp_path}
    with pytest.raises(ValueError, match=f"labelled_fraction={fraction} must be above 0 and at most 1"):
        kind(**where, labelled_fraction=fraction)


def test_rows_are_the_same_batches_without_sequences(root):
    data = module(root)
    read = {"train": list(data.train_dataloader()), "val": list(data.val_dataloader())}
    data.rows_only = True
    rows = {"train": list(data.train_dataloader()), "val": list(data.val_dataloader())}
    for split, batches in read.items():
        assert len(batches) == len(rows[split]) > 0
        for one, other in zip(batches, rows[split], strict=True):
            assert set(other) == {"label", "sample", "name"}
            assert other["name"] == one["name"]
            assert torch.equal(other["label"], one["label"]) and torch.equal(other["sample"], one["sample"])
    # what is not training still reads
    for loader in (*data.whole_dataloaders(), *data.probe_dataloaders(), data.test_dataloader()):
        assert "skeleton" in next(iter(loader))
