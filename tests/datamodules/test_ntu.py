"""NTU RGB+D: names, splits, official lists, and batches of prepared sequences."""

import pickle

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from skeleton_fakes import names, write_cache, write_index, write_skeleton

from datamodules import NTUSkeletonDataModule
from datamodules.ntu_protocol import (
    OFFICIAL_COUNTS,
    TRAIN_SUBJECTS,
    SampleName,
    is_training,
    missing_skeletons,
    parse_name,
)
from datamodules.skeleton_datamodule import read_class_names
from datamodules.skeleton_dataset import read_index


def test_names():
    assert parse_name("S017C003P020R002A056") == SampleName(17, 3, 20, 2, 56)
    assert str(SampleName(17, 3, 20, 2, 56)) == "S017C003P020R002A056"


@pytest.mark.parametrize(
    "name", ["S17C003P020R002A056", "S017C003P020R002A056_rgb", "S017C003P020R002A000", "", "s017c003p020r002a056"]
)
def test_what_is_no_name(name):
    with pytest.raises(ValueError, match="is not a name such as S001C002P003R002A013; give the file its official name"):
        parse_name(name)


def test_the_splits_keep_the_official_numbers():
    """From the papers' counts and the lists of samples without skeletons alone."""
    raw = {
        ("ntu60", "xsub"): (40_320, 16_560),
        ("ntu60", "xview"): (37_920, 18_960),
        ("ntu120", "xsub"): (63_360, 51_120),
        ("ntu120", "xsetup"): (54_720, 59_760),
    }
    assert len(missing_skeletons("ntu60")) == 302
    assert len(missing_skeletons("ntu120")) == 535
    assert missing_skeletons("ntu60") < missing_skeletons("ntu120")
    for (benchmark, protocol), counts in raw.items():
        parsed = [parse_name(name) for name in missing_skeletons(benchmark)]
        train = sum(is_training(of.subject, of.camera, of.setup, benchmark, protocol) for of in parsed)
        kept = (counts[0] - train, counts[1] - len(parsed) + train)
        assert OFFICIAL_COUNTS[benchmark, protocol] == kept
    assert [len(TRAIN_SUBJECTS[name]) for name in ("ntu60", "ntu120")] == [20, 53]


def test_the_real_lists(shared_data):
    folder = shared_data / "ntu_rgbd"
    for benchmark, file in (("ntu60", "NTU_RGBD_samples"), ("ntu120", "NTU_RGBD120_samples")):
        text = (folder / f"{file}_with_missing_skeletons.txt").read_text()
        assert missing_skeletons(benchmark) == set(text.split("\n\n", 1)[1].split())
    for file, training, count in (("trainlist01", True, 40_091), ("testlist01", False, 16_487)):
        lines = (folder / "ntu_60_cross_subject_TrainTestlist" / f"{file}.txt").read_text().split()
        listed = {line.rpartition("/")[2][:20] for line in lines}
        assert all(
            is_training(*parse_name(n)[2:0:-1], parse_name(n).setup, "ntu60", "xsub") == training for n in listed
        )
        assert len(listed - missing_skeletons("ntu60")) == count


@pytest.mark.parametrize(
    ("protocol", "training"),
    [
        ("xsub", lambda of: of.subject in (1, 2, 4, 5, 8)),
        ("xview", lambda of: of.camera in (2, 3)),
        ("xsetup", lambda of: of.setup == 2),
    ],
)
def test_protocols(tmp_path, protocol, training, caplog):
    data = NTUSkeletonDataModule(write_cache(tmp_path / "c", names(), 8), protocol=protocol, num_workers=0)
    data.prepare_data()
    data.setup("fit")
    for samples, expected in ((data.train_samples, True), (data.val_samples, False)):
        assert len(samples)
        for row in range(len(samples)):
            of = parse_name(samples.path(row))
            assert training(of) == expected
            assert samples.label(row) == of.action - 1
            assert names()[int(samples.rows[row])] == samples.path(row)
    assert len(data.train_samples) + len(data.val_samples) == 24
    assert data.num_classes == 60
    assert data.class_names[7:9] == ("sitting down", "standing up (from sitting position)")


def test_what_is_left_out_is_told(tmp_path, caplog):
    listed = ["S001C002P005R002A008", *names(6), "S001C001P001R001A061", "S018C001P001R001A001"]
    folder = write_cache(tmp_path / "c", listed, 8)
    write_index(folder, listed, [3, 0, *[4] * 7])
    data = NTUSkeletonDataModule(folder, num_workers=0)
    with caplog.at_level("INFO"):
        data.setup("fit")
    assert len(data.train_samples) == 3
    assert (
        "ntu60 xsub, 3 training sequences, 2 to test, of the official 40,091 and 16,487; 1 broken files are left out;"
        " 1 without usable skeletons are left out"
    ) in caplog.text
    larger = NTUSkeletonDataModule(folder, "ntu120", num_workers=0)
    larger.setup("fit")
    assert len(larger.train_samples) == 5
    assert larger.num_classes == len(set(larger.class_names)) == 120
    assert larger.class_names[:60] == data.class_names
    assert larger.class_names[-1].startswith("finger-guessing game")


def test_a_complete_copy_is_told(tmp_path, caplog, monkeypatch):
    monkeypatch.setitem(OFFICIAL_COUNTS, ("ntu60", "xsub"), (15, 9))
    with caplog.at_level("INFO"):
        NTUSkeletonDataModule(write_cache(tmp_path / "c", names(), 8)).setup("fit")
    assert "15 training sequences, 9 to test, as many as the official lists have" in caplog.text


def test_batches(tmp_path):
    folder = write_cache(tmp_path / "c", names(), 8)
    data = NTUSkeletonDataModule(folder, global_batch_size=6, eval_batch_size=4, num_workers=2)
    data.setup("fit")
    first, second = iter(data.train_dataloader()), iter(data.train_dataloader())
    batch = next(first)
    assert batch["skeleton"].shape == (6, 3, 8, 25, 2)
    assert batch["skeleton"].dtype == torch.float32
    assert batch["num_frames"].dtype == batch["label"].dtype == batch["sample"].dtype == torch.int64
    rows = batch["skeleton"][:, 0, 0, 0, 0].long()
    assert torch.equal(rows, data.train_samples.rows[batch["sample"]])
    assert batch["name"] == [names()[row] for row in rows]
    assert torch.equal(batch["num_frames"], 1 + rows % 8)
    assert batch["label"].tolist() == [parse_name(name).action - 1 for name in batch["name"]]
    assert next(second)["name"] == batch["name"]
    seen = [name for batch in data.val_dataloader() for name in batch["name"]]
    assert seen == [data.val_samples.path(row) for row in range(len(data.val_samples))]
    probe = data.probe_dataloaders()
    assert probe is not None
    assert [sum(len(batch["name"]) for batch in loader) for loader in probe] == [15, 9]


def test_probe_of_some(tmp_path):
    data = NTUSkeletonDataModule(write_cache(tmp_path / "c", names(), 8), probe_samples=4, num_workers=0)
    data.setup("fit")
    bank, queries = data.probe_dataloaders()
    assert [sum(len(batch["name"]) for batch in loader) for loader in (bank, queries)] == [4, 9]
    batch = next(iter(bank))
    assert torch.equal(batch["skeleton"][:, 0, 0, 0, 0].long(), bank.dataset.samples.rows[batch["sample"]])


def test_a_worker_gets_no_copy_of_the_data(tmp_path):
    data = NTUSkeletonDataModule(write_cache(tmp_path / "c", names(), 300), num_workers=0)
    data.setup("fit")
    dataset = data.dataset(data.train_samples, training=True)
    dataset[next(iter(data.val_dataloader().sampler))]
    assert len(pickle.dumps(dataset)) < 10_000


def test_nothing_held_out(tmp_path, caplog):
    data = NTUSkeletonDataModule(write_cache(tmp_path / "c", ["S001C001P001R001A001"], 8), num_workers=0)
    with caplog.at_level("INFO"):
        data.setup("fit")
    assert data.val_samples is data.train_samples
    assert data.probe_dataloaders() is None
    assert "nothing is held out" in caplog.text


def test_raw_files_are_prepared_on_first_use(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for number, name in enumerate(names(6)):
        write_skeleton(tmp_path / "raw" / f"{name}.skeleton", 4 + number, 1, number)
    by_default = NTUSkeletonDataModule(tmp_path / "raw", num_workers=0)
    given = NTUSkeletonDataModule(tmp_path / "raw", cache=tmp_path / "cache", num_workers=0)
    for data in (by_default, given):
        data.prepare_data()
        data.prepare_data()
        data.setup("fit")
        assert sorted(data.train_samples.num_frames.tolist() + data.val_samples.num_frames.tolist()) == [*range(4, 10)]
    assert by_default.folder.is_relative_to(tmp_path / "home" / ".cache")
    assert given.folder == tmp_path / "cache"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: (c / "index.csv").write_text("name\n"), r"index\.csv:1: is not the line name,subject,"),
        (lambda c: (c / "index.csv").open("a").write("S1,2\n"), r"index\.csv:26: 'S1,2' is no sample; remove"),
        (lambda c: np.save(c / "skeletons.npy", np.zeros((24, 3, 8, 17, 2), np.float32)), r"not float32 \(N, 3, T, 25"),
        (lambda c: np.save(c / "num_frames.npy", np.zeros(3, np.int64)), "the index lists 24 samples, the arrays"),
        (lambda c: (c / "num_frames.npy").unlink(), r"No such file .* prepare it again"),
        (
            lambda c: (c / "skeletons.npy").write_bytes((c / "skeletons.npy").read_bytes()[:-9]),
            r"mmap length .* prepare",
        ),
        (lambda c: write_index(c, names(), [9] * 24), r"index\.csv:2: 9 frames of 8"),
    ],
)
def test_a_damaged_cache_is_refused(tmp_path, damage, message):
    folder = write_cache(tmp_path / "c", names(), 8)
    damage(folder)
    with pytest.raises(ValueError, match=message):
        read_index(folder)


def test_nothing_of_the_benchmark(tmp_path):
    data = NTUSkeletonDataModule(write_cache(tmp_path / "c", ["S018C001P001R001A061"], 8))
    with pytest.raises(ValueError, match="none of its 1 samples is a usable one of ntu60; set benchmark"):
        data.setup("fit")
    with pytest.raises(ValueError, match="global_batch_size=0 must be at least 1"):
        NTUSkeletonDataModule(tmp_path, global_batch_size=0)


class Witness(LightningModule):
    """Writes down which samples it is shown."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.shown = []

    def training_step(self, batch, batch_index):
        self.shown.append(batch["name"])
        return self.weight.sum() * batch["skeleton"].mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_stop_and_resume_is_not_to_stop(tmp_path):
    folder = write_cache(tmp_path / "c", names(), 8)

    def run(steps, checkpoint=None):
        witness = Witness()
        data = NTUSkeletonDataModule(folder, global_batch_size=4, num_workers=0)
        trainer = Trainer(
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(witness, data, ckpt_path=checkpoint, weights_only=False)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        return witness.shown

    whole = run(8)
    part = run(5)
    assert part + run(8, tmp_path / "last.ckpt") == whole
    assert len(whole) == 8


def test_names_of_classes_are_those_of_others(shared_data):
    listed = (shared_data / "ntu_rgbd" / "label_map_ntu60.txt").read_text().splitlines()
    assert list(read_class_names("ntu")[:60]) == listed


def test_real_files(shared_data, tmp_path):
    data = NTUSkeletonDataModule(shared_data / "ntu_rgbd", cache=tmp_path / "c", global_batch_size=2, num_workers=0)
    data.prepare_data()
    data.setup("fit")
    assert {data.train_samples.path(row) for row in range(len(data.train_samples))} == {
        "S001C001P001R001A001",
        "S001C001P001R001A005",
        "S001C001P001R001A050",
        "S001C003P008R002A058",
    }
    (batch,) = iter(data.val_dataloader())
    assert batch["name"] == ["S002C001P003R001A003", "S017C003P020R002A056"]
    assert batch["num_frames"].tolist() == [100, 80]
