"""One file a format: how the network is written in it.

ONNX is made from the network, every other format from the ONNX file.
"""
