"""What runs on the device: contract, crop, decode, engines, measurement. numpy and one engine.

It is not a training library and never imports torch, tensorflow or onnx: a copy of this room
beside numpy and one engine wheel works on a board.
"""

import sys

# OpenVINO and NNCF tell their makers of each use, from a process that `import openvino` forks
# beside a running thread. In a measurement that is noise; and a fork beside threads may hang for
# ever, and whoever waits for it. With None here the import fails, and both do without.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
