"""Float bundles in, INT8 variants out: ONNX Runtime, OpenVINO, TFLite and TensorRT of one network.

Scales come from calibration faces whose hashes go into the manifest. Not training: no weight is
learnt anew here. Not a judge either: what INT8 cost is measured and gated downstream.
"""
