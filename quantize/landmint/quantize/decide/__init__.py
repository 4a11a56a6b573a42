"""Decided once for all formats: calibration faces, and from them the range of every tensor."""
