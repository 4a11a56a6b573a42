"""One file a format: how the network is written in it.

ONNX is made from the network, every other format from the ONNX file by an `Export`, which the
format's record in `landmint.runtime.formats` names.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

Export = Callable[[Path, Mapping[str, Path]], Mapping[str, str]]
"""Writes the float variants of one format, each with its contract inside.

From the float32 ONNX file, and the file to write for each precision: folders stand, and what else
belongs to a variant takes the file's stem. Returns notes for the manifest, about every variant.
Raises a LandmintError where the converter fails. It need not be atomic: `write_bundle` is.
"""
