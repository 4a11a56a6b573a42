"""The little of the CUDA driver that one inference needs: memory, copies, a stream.

Not a CUDA binding. It calls the driver's own library through ctypes, so that a board needs no
toolkit and no further wheel beside TensorRT. Names and signatures: CUDA Driver API, cuda.h.
"""

import contextlib
import ctypes
import weakref
from typing import Any

from numpy.typing import NDArray

from landmint.runtime.errors import LandmintError, NotMeasuredError

_LIBRARY = "libcuda.so.1"


class CudaStream:
    """One stream on the first GPU, and buffers of device memory that live as long as it.

    All is freed by `close`, or as soon as nothing refers to the stream any more.
    """

    def __init__(self) -> None:
        """Take the first GPU's primary context.

        Raises:
            NotMeasuredError: no driver, or no GPU.
            LandmintError: the driver refuses a context or a stream.
        """
        try:
            self._driver = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise NotMeasuredError("no NVIDIA driver on this machine", reason=str(error)) from None
        device, context, stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        try:
            self._call("cuInit", 0)
            self._call("cuDeviceGet", ctypes.byref(device), 0)
        except LandmintError as error:
            raise NotMeasuredError("no NVIDIA GPU on this machine", reason=error.fact) from None
        # The statuses of what frees are not looked at: nothing can be done about them.
        with contextlib.ExitStack() as resources:
            self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
            resources.callback(self._driver.cuDevicePrimaryCtxRelease_v2, device)
            self._call("cuCtxSetCurrent", context)
            self._call("cuStreamCreate", ctypes.byref(stream), 0)
            resources.callback(self._driver.cuStreamDestroy_v2, stream)
            self._resources = resources.pop_all()
        self._stream = stream
        self._freeing = weakref.finalize(self, _free, self._driver, context, self._resources)

    def close(self) -> None:
        """Free the memory, the stream and the reference to the context; once, however often called.

        Nothing may be queued.
        """
        self._freeing()

    @property
    def handle(self) -> int:
        """The stream, as TensorRT takes it."""
        return self._stream.value or 0

    def allocate(self, size: int) -> int:
        """Address of `size` bytes of device memory."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        self._resources.callback(self._driver.cuMemFree_v2, address)
        return address.value

    def upload(self, address: int, host: NDArray[Any]) -> None:
        """Queue a copy of a contiguous array to the device."""
        source = ctypes.c_void_p(host.ctypes.data)
        size = ctypes.c_size_t(host.nbytes)
        self._call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), source, size, self._stream)

    def download(self, host: NDArray[Any], address: int) -> None:
        """Queue a copy from the device into a contiguous array."""
        target = ctypes.c_void_p(host.ctypes.data)
        size = ctypes.c_size_t(host.nbytes)
        self._call("cuMemcpyDtoHAsync_v2", target, ctypes.c_uint64(address), size, self._stream)

    def wait(self) -> None:
        """Return when all that was queued is done."""
        self._call("cuStreamSynchronize", self._stream)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._driver, name)(*arguments)
        if status != 0:
            raise LandmintError(f"the CUDA driver's {name} failed with error {status}")


def _free(driver: ctypes.CDLL, context: ctypes.c_void_p, resources: contextlib.ExitStack) -> None:
    """Free what was taken, the last first; from whatever thread drops the stream."""
    driver.cuCtxSetCurrent(context)
    resources.close()
