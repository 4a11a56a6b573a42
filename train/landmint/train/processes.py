"""Which process of a run this is. Importing this loads no torch."""

import os


def launcher_rank() -> int:
    """Which of the processes that torchrun or Slurm started this is; 0 without a launcher.

    Files and messages that follow a training are the work of process 0.
    """
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)
