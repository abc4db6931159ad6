"""The author's skeleton checkpoints and our own, made from random networks."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn

from lightning_modules import SkeletonContrast
from lightning_modules.networks import AGCN, HCN, STGCN, BiGRU, SkeletonNetwork
from lightning_modules.weights import WeightsError, load_pretrained, load_weights
from lightning_modules.weights.export import export
from lightning_modules.weights.header import describe


def gru(**changes) -> BiGRU:
    return BiGRU(**{"hidden_dim": 6, "num_layers": 2, **changes})


def hcn(**changes) -> HCN:
    return HCN(**{"channels": 4, "window": 16, "num_frames": 16, **changes})


def gcn(**changes) -> AGCN:
    return AGCN(**{"width": 8, "blocks": (1, 1, 1), **changes})


def features(network: SkeletonNetwork) -> torch.Tensor:
    with torch.no_grad():
        return network.eval()(torch.randn(2, 3, 16, 25, 2, generator=torch.Generator().manual_seed(0)))


def published(path: Path, *networks: SkeletonNetwork) -> Path:
    """As main_moco_intra_skeleton.py and main_moco_inter_skeleton.py save it, from data-parallel training."""
    state = {}
    for network, query, key in zip(networks, ("encoder_q", "encoder_r"), ("encoder_k", "encoder_l"), strict=False):
        dim = network.feature_dim
        head = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 128))
        for name, value in {**network.state_dict(), **head.state_dict(prefix="fc.")}.items():
            state[f"module.{query}.{name}"] = value
            state[f"module.{key}.{name}"] = value + 1
    if len(networks) == 1:
        state |= {"module.queue": torch.zeros(128, 4), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    for number in range(1, len(networks) + 1) if len(networks) > 1 else ():
        state[f"module.Queue_S{number}"] = torch.zeros(128, 4)
        state[f"module.queue_ptr_S{number}"] = torch.zeros(1, dtype=torch.long)
    torch.save({"epoch": 451, "state_dict": state, "optimizer": {}}, path)
    return path


def checkpoint(path: Path, *networks: SkeletonNetwork, evaluated: int = 0) -> Path:
    """What a run of skeleton contrast saves, as far as weights go."""
    model = SkeletonContrast(list(networks), queue_size=4, projection_dim=8)
    zoo = describe(networks[evaluated], "SkeletonContrast", "NTUSkeletonDataModule", {})
    torch.save({"state_dict": model.state_dict(), "zoo": zoo, "global_step": 3}, path)
    return path


@pytest.mark.parametrize("build", [gru, hcn, gcn])
def test_authors_intra_checkpoint(tmp_path, build) -> None:
    source = build()
    report = load_weights(network := build(), published(tmp_path / "intra.pth.tar", source))
    assert report.format == "skeleton_contrast"
    assert report.loaded == len(source.state_dict()) and report.fresh == ()
    assert {"encoder_q.fc.0.weight", "encoder_q.fc.2.bias", "queue", "queue_ptr"} <= set(report.dropped)
    torch.testing.assert_close(features(network), features(source), rtol=0, atol=0)


@pytest.mark.parametrize("builds", [(gru, gcn), (gru, hcn), (gcn, hcn)])
def test_authors_inter_checkpoint_fills_each_network_with_its_own(tmp_path, builds) -> None:
    sources = [build() for build in builds]
    path = published(tmp_path / "inter.pth.tar", *sources)
    for build, source in zip(builds, sources, strict=True):
        report = load_weights(network := build(), path)
        torch.testing.assert_close(features(network), features(source), rtol=0, atol=0)
        assert {"Queue_S1", "queue_ptr_S2", "encoder_q.fc.0.weight", "encoder_r.fc.2.weight"} <= set(report.dropped)
    model = SkeletonContrast([build() for build in builds], weights=str(path), queue_size=4)
    for network, source in zip(model.networks, sources, strict=True):
        torch.testing.assert_close(features(network), features(source), rtol=0, atol=0)
    key = model.key_encoders[1].get_submodule("network")
    torch.testing.assert_close(features(key), features(sources[1]), rtol=0, atol=0)


def test_what_does_not_fit_is_named(tmp_path) -> None:
    path = published(tmp_path / "inter.pth.tar", gru(), gcn())
    with pytest.raises(WeightsError, match=r"does not fit HCN: .* missing .*looks like a BiGRU"):
        load_weights(hcn(), path)
    with pytest.raises(WeightsError, match="of another shape"):
        load_weights(gru(hidden_dim=5), path)
    with pytest.raises(WeightsError, match="missing"):
        load_weights(gru(num_layers=3), path)
    with pytest.raises(WeightsError, match=r"set otherwise \(reading \(published in the file, bidirectional"):
        load_weights(gru(reading="bidirectional"), path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("module.encoder_q.l2.gcn1.PA"), r"1 missing \(l2.gcn1.PA\)"),
        (lambda state: state.update({"module.encoder_q.l9.gcn1.PA": torch.zeros(1)}), r"1 unexpected \(l9.gcn1.PA\)"),
        (lambda state: state.update({"module.teacher.weight": torch.zeros(1)}), r"1 unexpected \(teacher.weight\)"),
    ],
)
def test_every_key_is_accounted_for(tmp_path, change, message) -> None:
    path = published(tmp_path / "intra.pth.tar", gcn())
    content = torch.load(path, weights_only=True)
    change(content["state_dict"])
    torch.save(content, path)
    with pytest.raises(WeightsError, match=message):
        load_weights(gcn(), path)


def test_a_clip_networks_moco_checkpoint_is_not_taken_for_one(tmp_path) -> None:
    state = {f"module.encoder_{which}.stem.0.weight": torch.zeros(1) for which in "qk"}
    torch.save({"state_dict": state}, tmp_path / "moco.pth")
    with pytest.raises(WeightsError, match=r"\(moco\) does not fit AGCN: .*looks like a R3D"):
        load_weights(gcn(), tmp_path / "moco.pth")


def test_own_checkpoint_fills_each_network_and_is_exported(tmp_path) -> None:
    sources = [gru(), hcn(), gcn()]
    path = checkpoint(tmp_path / "last.ckpt", *sources, evaluated=2)
    for build, source in zip((gru, hcn, gcn), sources, strict=True):
        report = load_weights(network := build(), path)
        assert report.format == "checkpoint" and "queues.0.keys" in report.dropped
        torch.testing.assert_close(features(network), features(source), rtol=0, atol=0)
    header = export(path, tmp_path / "gcn.safetensors").header
    assert header["architecture"] == "AGCN"
    load_weights(network := gcn(), tmp_path / "gcn.safetensors")
    torch.testing.assert_close(features(network), features(sources[2]), rtol=0, atol=0)
    with pytest.raises(WeightsError, match="does not fit STGCN"):
        load_weights(STGCN(8, (1, 1, 1)), path)
    with pytest.raises(WeightsError, match="how clips are prepared"):
        load_pretrained(tmp_path / "gcn.safetensors")
    with pytest.raises(WeightsError, match="how clips are prepared"):
        load_pretrained(published(tmp_path / "intra.pth.tar", gru()))


def test_own_bidirectional_network_keeps_its_reading(tmp_path) -> None:
    path = checkpoint(tmp_path / "last.ckpt", gru(reading="bidirectional"), gcn())
    load_weights(gru(reading="bidirectional"), path)
    with pytest.raises(WeightsError, match=r"reading \(bidirectional in the file, published in the network"):
        load_weights(gru(), path)


def test_checkpoint_of_a_run_says_what_it_holds(tmp_path) -> None:
    model = SkeletonContrast([gru(), gcn()], evaluated=1, queue_size=4)
    run = Trainer(logger=False, accelerator="cpu", default_root_dir=tmp_path, enable_checkpointing=False)
    run.strategy.connect(model)
    model.trainer = run
    content: dict = {}
    model.on_save_checkpoint(content)
    assert content["zoo"]["architecture"] == "AGCN" and content["zoo"]["method"] == "SkeletonContrast"
