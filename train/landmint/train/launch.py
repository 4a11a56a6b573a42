"""Where and in what arithmetic a run happens: Lightning Fabric, set up from a `ProcessConfig`.

Not the loop, and not a place for tuning: it chooses device, precision and processes.
"""

import contextlib
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.queues import SimpleQueue
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import ProcessException

from landmint.runtime.errors import LandmintError
from landmint.runtime.progress import Progress
from landmint.train.depthwise import WideDepthwise
from landmint.train.processes import ProcessConfig

# What torchrun and Slurm set in the processes that they start.
_LAUNCHERS = ("TORCHELASTIC_RUN_ID", "SLURM_PROCID")


class Autocast(MixedPrecision):
    """Mixed precision that leaves the batch as it is, and is fast for depthwise convolutions.

    Fabric would round the batch too, and a coordinate in [0, 1] rounded to bfloat16 is wrong by
    up to 1/512 of the crop.
    """

    def convert_input(self, data: Any) -> Any:
        """The batch, in the precision that it came in."""
        return data

    @contextlib.contextmanager
    def forward_context(self) -> Iterator[None]:
        """What a forward pass runs in."""
        with super().forward_context():
            if self.device == "cpu":
                with WideDepthwise():
                    yield
            else:
                yield


def fabric_for(config: ProcessConfig) -> Fabric:
    """The Fabric that a run asks for; it has started nothing yet.

    Raises:
        LandmintError: this machine lacks the device, or the precision on it.
    """
    device = device_of(config)
    precision = precision_on(device, config)
    half = {"bf16": "bf16-mixed", "fp16": "16-mixed"}.get(precision)
    available = torch.cuda.device_count() if device == "cuda" else config.devices
    if config.devices > available:
        raise LandmintError(
            f"devices = {config.devices}, but this machine has {available} GPU(s)",
            remedy="lower devices",
        )
    return Fabric(
        accelerator=device,
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=strategy_of(config),
        plugins=[Autocast(half, device)] if half else None,  # type: ignore[arg-type]
    )


def device_of(config: ProcessConfig) -> str:
    """The accelerator: cpu or cuda.

    Raises:
        LandmintError: cuda is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if config.accelerator == "cuda" and not available:
        raise LandmintError(
            "accelerator = 'cuda', but torch sees no GPU",
            remedy="set accelerator = 'auto', or run `landmint doctor` to see what is missing",
        )
    return "cuda" if available and config.accelerator != "cpu" else "cpu"


def precision_on(device: str, config: ProcessConfig) -> str:
    """32, bf16 or fp16; auto resolved by what the device has in hardware.

    Raises:
        LandmintError: float16 training on a CPU.
    """
    if config.precision == "fp16" and device == "cpu":
        raise LandmintError(
            "precision = 'fp16' needs a GPU",
            reason="torch has no float16 training on CPUs",
            choices=("auto", "32", "bf16"),
        )
    return own_precision(device) if config.precision == "auto" else config.precision


def own_precision(device: str) -> str:
    """The quickest arithmetic that cpu or cuda has in hardware: 32, bf16 or fp16."""
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # An older torch cannot tell; float32 is right everywhere.
    features: Mapping[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16" if features.get("avx512_bf16") or features.get("amx_bf16") else "32"


def workers_of(config: ProcessConfig) -> int:
    """Loader processes of each training process."""
    if config.workers is not None:
        return config.workers
    return min(8, max(1, cores_here() // config.devices - 1))


def devices_here(config: ProcessConfig) -> int:
    """How many processes this machine has a GPU for, or else a core.

    Raises:
        LandmintError: cuda is asked for and there is none.
    """
    return torch.cuda.device_count() if device_of(config) == "cuda" else cores_here()


def cores_here() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def strategy_of(config: ProcessConfig) -> str:
    """Fabric's name of the strategy.

    Started here, processes are spawned, so that they run the training alone: Fabric's plain ddp
    would start the whole command again in each.
    """
    if config.strategy != "auto" or config.devices * config.nodes == 1:
        return config.strategy
    return "ddp" if started_outside(config) else "ddp_spawn"


def started_outside(config: ProcessConfig) -> bool:
    """Whether torchrun, Slurm or the like starts the processes, and so decides their number."""
    return config.nodes > 1 or any(name in os.environ for name in _LAUNCHERS)


Work = Callable[[Fabric, Progress], None]


def launch(fabric: Fabric, config: ProcessConfig, work: Work, progress: Progress) -> None:
    """Run `work(fabric, progress)` in every process of the run, and wait.

    What a spawned process reports, and the error that it ends with, arrive in this one.

    Raises:
        LandmintError, KeyboardInterrupt: what `work` raised.
    """
    if not strategy_of(config).endswith(("spawn", "fork")):
        work_alone: Callable[..., None] = work
        fabric.launch(work_alone, progress)
        return
    queue: SimpleQueue[bytes] = get_context("spawn").SimpleQueue()
    errors: list[BaseException] = []
    child: Callable[..., None] = _in_child
    relay = threading.Thread(target=_relay, args=(queue, progress, errors))
    relay.start()
    try:
        with _children_stop_first():
            fabric.launch(child, work, queue)
    except ProcessException:
        queue.put(b"")
        relay.join()
        if errors:
            raise errors[0] from None
        raise
    finally:
        if relay.is_alive():
            queue.put(b"")
            relay.join()


class _QueuedProgress:
    """Sends what a spawned process reports to the one that started it."""

    def __init__(self, queue: "SimpleQueue[bytes]") -> None:
        self._queue = queue

    def at(self, done: int, total: int, note: str = "") -> None:
        self._queue.put(pickle.dumps(("at", (done, total, note))))

    def step(self, note: str) -> None:
        self._queue.put(pickle.dumps(("step", (note,))))


def _in_child(fabric: Fabric, work: Work, queue: "SimpleQueue[bytes]") -> None:
    try:
        work(fabric, _QueuedProgress(queue))
    except (LandmintError, KeyboardInterrupt) as error:
        queue.put(pickle.dumps(error))
        raise


def _relay(queue: "SimpleQueue[bytes]", progress: Progress, errors: list[BaseException]) -> None:
    """Pass on messages until an empty one comes; errors are kept apart."""
    while packed := queue.get():
        message = pickle.loads(packed)  # from our own children, over a pipe
        if isinstance(message, BaseException):
            errors.append(message)
        else:
            method, arguments = message
            getattr(progress, method)(*arguments)


@contextlib.contextmanager
def _children_stop_first() -> Iterator[None]:
    """Ctrl-C reaches the whole group: let the children save before this process ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
