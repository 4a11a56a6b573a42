"""One file for each format: it converts the network to that format.

ONNX is made of the torch network, every other format of the ONNX file. A format's record in
`landmint.runtime.formats` names its `Export` function.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

Export = Callable[[Path, Mapping[str, Path]], Mapping[str, str]]
"""Writes the float variants of one format, each with its contract inside.

It takes the path of the float32 ONNX file, and the path to write for each precision. Folders exist
already; further files of a variant have the same stem. It returns notes for the manifest, and
raises a LandmintError where the converter fails. It may leave half-written files: `write_bundle`
removes them.
"""
