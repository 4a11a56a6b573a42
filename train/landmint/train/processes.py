"""On which processes work runs, and which of them this is. Importing this loads no torch."""

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ProcessConfig(BaseModel):
    """Where and on how many processes a network is trained or labels images."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    precision: Literal["auto", "32", "bf16", "fp16"] = "auto"
    """Arithmetic of convolutions and products: float32, or mixed with bfloat16 or float16. auto
    takes bf16 where the processor has it, else fp16 on a GPU and 32 on a CPU."""
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train. auto takes the GPUs if there are any."""
    devices: int = Field(default=1, ge=1)
    """Processes per node: one for each GPU."""
    nodes: int = Field(default=1, ge=1)
    """Machines; start the same command on each with torchrun or under Slurm."""
    strategy: str = "auto"
    """How processes share the work: a Lightning Fabric strategy that keeps the whole network in
    each, such as ddp. auto starts ddp processes by itself on one node."""
    threads: int = Field(default=0, ge=0)
    """Threads of one CPU process; 0 leaves torch's choice, all cores."""
    workers: int | None = Field(default=None, ge=0)
    """Processes that prepare crops for each training process; 0 prepares them between steps.
    Left out: one for each core but one, at most 8."""


def launcher_rank() -> int:
    """Which of the processes that torchrun or Slurm started this is; 0 without a launcher.

    Files and messages that follow a training are the work of process 0.
    """
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)
