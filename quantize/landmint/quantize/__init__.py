"""Float bundles in, INT8 variants out: ONNX Runtime, OpenVINO, TFLite and TensorRT of one network.

Scales come from calibration faces, whose hashes go into the manifest. In `qat/` a network can be
trained to lose less by it. This room does not judge: what INT8 cost is measured and gated
downstream.
"""
