"""Chooses the calibration faces, and from them the range of every tensor, once for all formats.

It writes no model: `landmint.quantize.forms` makes each format with these ranges.
"""
