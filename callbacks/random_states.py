"""The global random generators, as part of a checkpoint."""

import random
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class RandomStates(Callback):
    """Keeps the states of each process' global generators in a checkpoint, under ``random_states``.

    Those of torch on the CPU and on the process' CUDA device, of NumPy and of Python. Nothing in this project draws
    from them without seeding them first; a method or data module of somebody else may. They are put back only where as
    many processes go on.
    """

    def __init__(self) -> None:
        self._earlier: list[dict[str, Any]] = []

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Collect the states of all processes."""
        device = trainer.strategy.root_device
        states: list[Any] = [random_states(device)]
        if trainer.world_size > 1:
            states *= trainer.world_size
            torch.distributed.all_gather_object(states, states[trainer.global_rank])
        checkpoint["random_states"] = states

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Remember the states."""
        self._earlier = checkpoint.get("random_states", [])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the states back when all that draws while a run starts has drawn."""
        if len(self._earlier) == trainer.world_size:
            set_random_states(self._earlier[trainer.global_rank], trainer.strategy.root_device)
        self._earlier = []


def random_states(device: torch.device) -> dict[str, Any]:
    """States of this process' global generators, in types that ``torch.load(weights_only=True)`` takes.

    Args:
        device: of the process; its generator is included if it is a CUDA device.
    """
    version, words, spare = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    states = {
        "torch": torch.get_rng_state(),
        "python": (version, torch.tensor(words), spare),
        "numpy": (str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: dict[str, Any], device: torch.device) -> None:
    """Put this process' global generators into the states that ``random_states`` told."""
    torch.set_rng_state(states["torch"].cpu())
    version, words, spare = states["python"]
    random.setstate((version, tuple(words.tolist()), spare))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)
