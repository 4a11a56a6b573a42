"""Trained networks in, float bundles out: ONNX, OpenVINO, TFLite and TensorRT of one network.

Every form is checked against the network it came from, on real crops. Not quantisation, and no
inference engine: the INT8 forms are made from these by `landmint.quantize`, and what is written
here is run by `landmint.runtime`.
"""
