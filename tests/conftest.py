"""What all tests share."""

import logging
from pathlib import Path

import pytest
import torch

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """Folder of real sample files; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real sample data at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small tensors: more threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def heard_messages() -> None:
    """Let ``caplog`` hear our packages: a command line run earlier in this process sends them to stderr alone."""
    for name in ("lightning_modules", "datamodules", "callbacks"):
        logging.getLogger(name).propagate = True
