"""Wrong gradients of bf16 on a CPU are looked for, and told."""

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import nn

from callbacks import HalfPrecisionCheck, half_precision
from callbacks.half_precision import bfloat16_gradients_are_wrong


class Toy(LightningModule):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer


def said(caplog, precision, layer):
    trainer = Trainer(accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False)
    caplog.clear()
    HalfPrecisionCheck().on_fit_start(trainer, Toy(layer))
    return caplog.text


def test_the_warning_names_what_to_do(caplog, monkeypatch):
    convolution = nn.Sequential(nn.Conv3d(3, 4, 1))
    monkeypatch.setattr(half_precision, "bfloat16_gradients_are_wrong", lambda: True)
    assert "give --trainer.precision 32-true" in said(caplog, "bf16-mixed", convolution)
    assert "give --trainer.precision 32-true" in said(caplog, "bf16-true", convolution)
    assert not said(caplog, "32-true", convolution)
    assert not said(caplog, "bf16-mixed", nn.Conv2d(3, 4, 1))
    monkeypatch.setattr(half_precision, "bfloat16_gradients_are_wrong", lambda: False)
    assert not said(caplog, "bf16-mixed", convolution)


@pytest.mark.parametrize("wrong", [False, True])
def test_what_counts_as_wrong(monkeypatch, wrong):
    def convolve(clips, weight, padding):
        """Products of a gradient that is known: of each channel's mean, or of half of it."""
        share = 0.5 if wrong and clips.dtype == torch.bfloat16 else 1.0
        return weight.flatten() * clips.float().abs().mean() * share

    monkeypatch.setattr(half_precision.functional, "conv3d", convolve)
    assert bfloat16_gradients_are_wrong() == wrong


def test_this_machine_is_judged_by_its_own_gradients():
    torch.manual_seed(1)
    clips, weight = torch.randn(3, 32, 2, 7, 7), torch.randn(32, 32, 3, 1, 1)
    gradients = []
    for dtype in (torch.float64, torch.bfloat16):
        kernel = weight.to(dtype).requires_grad_()
        nn.functional.conv3d(clips.to(dtype), kernel, padding=(1, 0, 0)).sum().backward()
        gradients.append(kernel.grad.double())
    close = torch.allclose(*gradients, rtol=0.1, atol=0.1 * gradients[0].abs().max().item())
    assert bfloat16_gradients_are_wrong() == (not close)
