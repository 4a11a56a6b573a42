"""Decided once for all formats: calibration faces, and from them the range of every tensor.

It writes no model: `landmint.quantize.forms` writes each format by what is decided here.
"""
