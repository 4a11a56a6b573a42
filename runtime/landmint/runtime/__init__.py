"""What runs on the device: contract, crop, decode, engines, measurement. numpy and one engine.

It is not a training library and never imports torch, tensorflow or onnx: a copy of this room
beside numpy and one engine wheel works on a board.
"""
