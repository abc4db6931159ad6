"""Retrieval on prepared sequences: figures and files by hand, several networks, two processes, bad input."""

import csv

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

import cli
from callbacks import PredictionWriter
from datamodules import NTUSkeletonDataModule
from lightning_modules import Retrieval, SkeletonContrast
from lightning_modules.features import Features
from lightning_modules.networks import AGCN, BiGRU
from lightning_modules.views.skeleton import SequenceCrop, SkeletonAugmentation
from tests.skeleton_fakes import write_actions


@pytest.fixture
def root(tmp_path):
    return write_actions(tmp_path / "ntu", noise=1.5)


def data(root, **changes):
    return NTUSkeletonDataModule(root, **{"eval_batch_size": 4, "num_workers": 0, **changes})


def retrieval(*networks, **changes):
    torch.manual_seed(0)
    networks = [network() for network in networks or (gru,)]
    return Retrieval(networks, **{"crop": SequenceCrop(num_frames=8), **changes})


def gru():
    return BiGRU(6, 1)


def gcn():
    return AGCN(8, (1, 1, 1))


def trainer(folder, *callbacks, **changes):
    return Trainer(
        default_root_dir=folder,
        callbacks=list(callbacks),
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **changes,
    )


def features(module, samples, folder):
    """Names, labels and features of listed samples, one by one."""
    sequences = torch.from_numpy(np.load(folder / "skeletons.npy"))[samples.rows]
    with torch.no_grad():
        rows = [
            module.eval()(sequences[row : row + 1], samples.num_frames[row : row + 1])[0] for row in range(len(samples))
        ]
    return [samples.path(row) for row in range(len(samples))], samples.labels.numpy(), torch.stack(rows).numpy()


def by_hand(module, module_data, folder, k):
    """Accuracies, and names of the nearest of each query."""
    bank = features(module, module_data.train_samples, folder)
    queries = features(module, module_data.val_samples, folder)
    unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (bank[2], queries[2])]
    similarity = unit[1] @ unit[0].T
    nearest = np.argsort(-similarity, axis=1)[:, :5]
    labels = bank[1][nearest]
    predicted = [np.bincount(row[:k]).argmax() for row in labels]
    top1 = np.mean(predicted == queries[1])
    recall = np.mean((labels == queries[1][:, None]).any(1))
    return top1, recall, queries[0], np.array(bank[0])[nearest], np.take_along_axis(similarity, nearest, 1)


@pytest.mark.parametrize("processes", [1, 2])
def test_equals_a_plain_search(root, tmp_path, processes):
    """17 of the 18 queries and of the bank's samples, so that two processes have unequal shares."""
    module, module_data = retrieval(), data(root)
    module_data.setup("test")
    keep = torch.arange(18) != 4
    module_data.train_samples = module_data.train_samples.select(keep)
    module_data.val_samples = module_data.val_samples.select(keep)
    changes = {"devices": processes, "strategy": "ddp_fork"} if processes > 1 else {}
    (logged,) = trainer(tmp_path / "run", **changes).test(module, module_data, verbose=False)
    top1, recall, queries, nearest, similarity = by_hand(module, module_data, root, 1)
    assert set(logged) == {"test/top1", "test/recall5"}
    assert logged["test/top1"] == pytest.approx(top1)
    assert logged["test/recall5"] == pytest.approx(recall)
    assert 0.2 < top1 < recall
    with np.load(tmp_path / "run/retrieval.npz") as file:
        written = dict(file)
    assert written["query"].tolist() == queries
    assert written["nearest"].tolist() == nearest.tolist()
    np.testing.assert_allclose(written["similarity"], similarity, atol=1e-5)
    assert np.mean(written["predicted"] == written["label"]) == pytest.approx(top1)
    with (tmp_path / "run/retrieval.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["query"] for row in rows] == queries
    assert [row["nearest_2"] for row in rows] == nearest[:, 1].tolist()
    assert [int(row["label_2"]) for row in rows] == [int(name[-3:]) - 1 for name in nearest[:, 1]]
    assert float(rows[3]["similarity_5"]) == pytest.approx(similarity[3, 4], abs=1e-5)


def test_fewer_samples_than_processes_are_refused(root, tmp_path):
    module_data = data(root)
    module_data.setup("test")
    module_data.val_samples = module_data.val_samples.select(torch.arange(18) == 4)
    with pytest.raises(Exception, match="1 test samples for 2 processes"):
        trainer(tmp_path, devices=2, strategy="ddp_fork").test(retrieval(), module_data)


def test_features_of_processes_without_batches(tmp_path):
    """Both get all samples, once each and in order, whoever had them."""

    class Gather(LightningModule):
        def test_step(self, batch, batch_index):
            rank = self.trainer.global_rank
            parts = [Features(torch.ones(2, 3), torch.tensor([7, 8]), torch.tensor([4, 1]), ["e", "b"])] * 2
            gathered = Features.gather(parts if rank else [], self.device)
            torch.save(tuple(gathered), tmp_path / f"{rank}.pt")

    loader = DataLoader(torch.zeros(2, 1))
    trainer(tmp_path, devices=2, strategy="ddp_fork").test(Gather(), loader, verbose=False)
    for rank in range(2):
        feature, label, row, name = torch.load(tmp_path / f"{rank}.pt")
        assert feature.tolist() == [[1, 1, 1]] * 2
        assert (label.tolist(), row.tolist(), name) == ([8, 7], [1, 4], ["b", "e"])


def test_several_neighbours_vote(root, tmp_path):
    module_data = data(root)
    (logged,) = trainer(tmp_path).test(retrieval(k=18), module_data, verbose=False)
    with np.load(tmp_path / "retrieval.npz") as file:
        votes = np.zeros((18, 3))
        for row in range(18):
            np.add.at(votes[row], file["nearest_label"][row], np.exp(file["similarity"][row] / 0.07))
        assert file["predicted"].tolist() == votes.argmax(1).tolist()
        assert logged["test/top1"] == pytest.approx(np.mean(votes.argmax(1) == file["label"]))
        assert file["nearest"].shape == (18, 18)


def test_test_again_gives_the_same(root, tmp_path):
    run, module = trainer(tmp_path), retrieval()
    first = run.test(module, data(root), verbose=False)
    assert run.test(module, data(root), verbose=False) == first


def test_cosine_of_several_networks_is_the_mean_of_theirs(root):
    module_data = data(root)
    module_data.setup("test")
    both = retrieval(gru, gcn)
    cosines = []
    for networks in ([both.networks[0]], [both.networks[1]], list(both.networks)):
        rows = features(Retrieval(networks, crop=both.crop), module_data.val_samples, root)[2]
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        cosines.append(rows @ rows.T)
    np.testing.assert_allclose(cosines[2], (cosines[0] + cosines[1]) / 2, atol=1e-5)
    assert np.abs(cosines[0] - cosines[1]).max() > 0.01


def test_networks_find_their_weights_in_a_checkpoint(root, tmp_path):
    augmentation = SkeletonAugmentation(num_frames=8)
    pretrained = SkeletonContrast([gru(), gcn()], queue_size=8, augmentation=augmentation)
    run = trainer(tmp_path / "fit", max_steps=1, limit_val_batches=0, num_sanity_val_steps=0)
    run.fit(pretrained, data(root, global_batch_size=4))
    file = str(tmp_path / "fit" / "last.ckpt")
    run.save_checkpoint(file)
    for weights in (file, [None, file]):
        module = retrieval(gru, gcn, weights=weights)
        same = [
            all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
            for ours, theirs in zip(module.networks, pretrained.networks, strict=True)
        ]
        assert same == [isinstance(weights, str), True]


def test_features_and_predictions_are_those_of_contrast(root, tmp_path):
    network = gru()
    contrast = SkeletonContrast([network], queue_size=8, augmentation=SkeletonAugmentation(num_frames=8))
    written = []
    for number, module in enumerate((contrast, Retrieval([network], crop=SequenceCrop(num_frames=8)))):
        folder = tmp_path / str(number)
        trainer(folder, PredictionWriter(folder)).predict(module, data(root), return_predictions=False)
        with np.load(folder / "predictions.npz") as file:
            written.append(dict(file))
    assert set(written[0]) == set(written[1]) == {"feature", "label", "sample", "name"}
    for name in written[0]:
        np.testing.assert_array_equal(written[0][name], written[1][name])
    assert written[1]["feature"].shape == (18, network.feature_dim)


def test_unlabelled_queries_are_listed_and_do_not_count(root, tmp_path):
    module_data = data(root)
    module_data.setup("test")
    (whole,) = trainer(tmp_path).test(retrieval(), module_data, verbose=False)
    with np.load(tmp_path / "retrieval.npz") as file:
        right = file["predicted"] == file["label"]
    module_data.val_samples.labels[5] = -1
    (logged,) = trainer(tmp_path).test(retrieval(), module_data, verbose=False)
    assert logged["test/top1"] == pytest.approx(np.delete(right, 5).mean())
    assert whole["test/top1"] == pytest.approx(right.mean())
    with np.load(tmp_path / "retrieval.npz") as file:
        assert file["label"][5] == -1
        assert len(file["query"]) == 18


def test_nothing_held_out_is_refused(root, tmp_path):
    module_data = data(root)
    module_data.setup("test")
    module_data.val_samples = module_data.train_samples
    with pytest.raises(ValueError, match="labelled training samples and test samples apart"):
        trainer(tmp_path).test(retrieval(), module_data)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="got 0 networks"):
        Retrieval([])
    with pytest.raises(ValueError, match="k=0"):
        retrieval(k=0)
    with pytest.raises(ValueError, match="1 files for 2 networks"):
        retrieval(gru, gcn, weights=["a.ckpt"])


def test_shipped_config(root, tmp_path, capfd):
    """On its own but for the data: accuracy, files and both pictures."""
    arguments = ["--data", "NTUSkeletonDataModule", "--data.root", str(root), "--data.num_workers", "0"]
    arguments += ["--trainer.accelerator", "cpu", "--run_dir", str(tmp_path / "run")]
    assert cli.main(["test", "--config", "skeleton_retrieval.yaml", *arguments]) == 0
    assert "test/top1" in capfd.readouterr().out
    files = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*.*")}
    assert {"retrieval.csv", "retrieval.npz", "pictures/retrieval.png", "pictures/features.png"} <= files
    assert cli.main(["test", "--config", "skeleton_retrieval.yaml", *arguments, "--model.weights", "none.ckpt"]) == 2
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("lightning: error: ")
    assert "none.ckpt" in error
