"""The engines that run a variant, one file each, behind one protocol.

An engine opens what `export` and `quantize` made, and never changes it. Importing this package
imports no engine library.
"""

from landmint.runtime.engines.engine import Engine, Session
from landmint.runtime.registry import Registry

__all__ = ["ENGINES", "ON_GPU", "SATURATING", "Engine", "Session", "load_engine"]

ENGINES = Registry(
    {
        "onnxruntime": "landmint.runtime.engines.onnxruntime_engine:OnnxRuntimeEngine",
        "openvino": "landmint.runtime.engines.openvino_engine:OpenVinoEngine",
        "litert": "landmint.runtime.engines.litert_engine:LiteRtEngine",
        "tensorrt": "landmint.runtime.engines.tensorrt_engine:tensorrt_engine",
        "ncnn": "landmint.runtime.engines.ncnn_engine:NcnnEngine",
        "coreml": "landmint.runtime.engines.coreml_engine:CoreMlEngine",
        "null": "landmint.runtime.engines.null_engine:NullEngine",
    },
    kind="engine",
    group="landmint.engines",
)

ON_GPU = frozenset({"tensorrt"})
"""Engines that compute on a GPU while the process waits."""

SATURATING = frozenset({"onnxruntime", "openvino"})
"""Engines whose INT8 kernels may saturate where `Machine.int8_saturates`."""


def load_engine(name: str) -> Engine:
    """The engine called `name`, with its library imported.

    Raises:
        LandmintError: there is no such engine, or the package that adds it is broken.
        NotMeasuredError: its library is not installed on this machine.
    """
    engine: Engine = ENGINES.load(name)()
    return engine
