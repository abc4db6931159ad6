"""Ranks of one run, each a fork of this process that finds what torchrun or srun would tell it in its environment."""

import logging
import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


def torchrun(nodes: int, devices: int) -> list[dict[str, str]]:
    """Environment of each rank under torchrun."""
    return [
        {
            "TORCHELASTIC_RUN_ID": "none",
            "WORLD_SIZE": str(nodes * devices),
            "RANK": str(rank),
            "GROUP_RANK": str(rank // devices),
            "LOCAL_RANK": str(rank % devices),
            "LOCAL_WORLD_SIZE": str(devices),
        }
        for rank in range(nodes * devices)
    ]


def srun(nodes: int, devices: int) -> list[dict[str, str]]:
    """Environment of each rank under srun."""
    return [
        {
            "SLURM_JOB_ID": "7",
            "SLURM_JOB_NAME": "toy",
            "SLURM_NTASKS": str(nodes * devices),
            "SLURM_NTASKS_PER_NODE": str(devices),
            "SLURM_NNODES": str(nodes),
            "SLURM_PROCID": str(rank),
            "SLURM_NODEID": str(rank // devices),
            "SLURM_LOCALID": str(rank % devices),
        }
        for rank in range(nodes * devices)
    ]


def run(environments: list[dict[str, str]], function: Callable[[], int], errors: Path) -> list[int | None]:
    """Run the ranks to their end.

    Args:
        environments: what each finds.
        function: what each does; returns its exit code.
        errors: file for what they say and complain of.

    Returns:
        The exit codes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}

    def rank(environment: dict[str, str]) -> None:
        os.environ.update(environment | meeting)
        sys.stderr = errors.open("a", buffering=1)
        logging.getLogger().addHandler(logging.StreamHandler())
        code = 99
        try:
            code = function()
        except BaseException:
            traceback.print_exc()
        os._exit(code)

    processes = [multiprocessing.get_context("fork").Process(target=rank, args=(given,)) for given in environments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        process.kill()
        process.join()
    return [process.exitcode for process in processes]
