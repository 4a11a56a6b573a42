"""Decided once for all formats: calibration faces, and from them the range of every tensor.

<<<<<<< HEAD
It writes no model: `landmint.quantize.forms` writes each format by what is decided here.
=======
Not a quantiser: what becomes of the ranges is each format's own affair, in `forms`.
>>>>>>> 8b89276 (Say what the rooms of quantize are, and what they are not)
"""
