"""Half precision that a processor computes wrongly."""

import logging

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.nn import functional

_log = logging.getLogger(__name__)


class HalfPrecisionCheck(Callback):
    """Warns where training in bf16 would go by wrong gradients.

    On an AMD EPYC torch 2.11 (oneDNN's kernels for AVX-512) leaves parts of the weights' gradient unwritten where a
    temporal kernel of 3 meets two frames, as in the last stage of 3D networks on clips of 16: what memory held is taken
    for it. Which CPUs do so is not known, so each run tries.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare a small convolution with its like in fp32."""
        half = str(trainer.precision).startswith("bf16") and trainer.strategy.root_device.type == "cpu"
        if not half or not any(isinstance(module, nn.Conv3d) for module in pl_module.modules()):
            return
        if trainer.is_global_zero and bfloat16_gradients_are_wrong():
            _log.warning(
                f"bf16 on this CPU: torch {torch.__version__} gives wrong gradients of 3D convolutions over two "
                "frames; enough to try things out, not to train: give --trainer.precision 32-true"
            )


def bfloat16_gradients_are_wrong() -> bool:
    """Whether the gradient of a temporal kernel over two frames on the CPU is wrong in bf16."""
    generator = torch.Generator().manual_seed(0)
    clips = torch.randn(2, 64, 2, 4, 4, generator=generator)
    weight = torch.randn(64, 64, 3, 1, 1, generator=generator)
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        with torch.enable_grad(), torch.autocast("cpu", enabled=False):
            kernel = weight.to(dtype, copy=True).requires_grad_()
            functional.conv3d(clips.to(dtype), kernel, padding=(1, 0, 0)).sum().backward()  # type: ignore[no-untyped-call]
        assert kernel.grad is not None
        gradients.append(kernel.grad.float())
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    return not bool(error < 0.1)  # nor is NaN
