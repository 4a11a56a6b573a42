"""Trained networks in, float bundles out: ONNX, OpenVINO, TFLite and TensorRT of one network.

Every form is compared with the network it came from, on real crops. INT8 forms are made of these by
`landmint.quantize`, and all of them are run by `landmint.runtime`.
"""
