"""The shipped chain through the command line, a step each: teacher, transfer, few labels, detection."""

import pytest
import torch

import cli

SMALL = ["--data.height=16", "--data.width=20", "--data.fps=5", "--data.num_workers=0"]
SHORT = ["--trainer.max_steps=1", "--trainer.limit_val_batches=1", "--trainer.enable_progress_bar=false"]


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Fit a shipped config into the folder that the next one looks in; returns its checkpoint."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        folder = f"runs/{name}"
        cache = f"--data.cache={tmp_path / ('videos' if name == 'detection' else 'samples')}"
        options = [*SMALL, *SHORT, cache, "--trainer.accelerator=cpu", f"--run_dir={folder}", *arguments]
        assert cli.main(["fit", "--config", f"{name}.yaml", *options]) == 0
        return torch.load(tmp_path / folder / "checkpoints" / "last.ckpt", weights_only=True)

    return run


@pytest.mark.slow
def test_the_chain(fit, tmp_path):
    pairs = ["--data.performers=1", "--data.repetitions=1", "--data.global_batch_size=4"]
    teacher = fit("transfer_teacher", *pairs)
    assert teacher["zoo"]["preprocessing"]["flow_bound"] == 4.0
    assert teacher["actions"] == [f"A{number:03d}" for number in range(61, 75)]
    student = fit("transfer", *pairs, f"--model.cache={tmp_path / 'features'}")
    assert student["zoo"]["preprocessing"]["depth_range"] == [1500.0, 4500.0]
    tuned = fit("transfer_finetune", *pairs, "--data.labels_per_class=1")
    own = {name.removeprefix("networks.0."): value for name, value in tuned["state_dict"].items()}
    for name, value in student["state_dict"].items():
        if name.startswith("student.layer2."):  # frozen
            assert torch.equal(own[name.removeprefix("student.")], value)
    detector = fit("detection", "--data.performers=2", "--data.global_batch_size=2", "--model.proposals=20")
    assert detector["zoo"]["architecture"] == "ResNet3D"
