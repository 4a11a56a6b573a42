"""One file for each format: it makes the quantised variants, with the ranges that all share.

OpenVINO has a second file, for NNCF with ranges of its own. A format's record in
`landmint.runtime.formats` names its `Quantize`, and `landmint.quantize.worker` calls it.
"""

from collections.abc import Callable

from landmint.quantize.job import Job

Quantize = Callable[[Job], dict[str, str]]
"""Writes the file `job.target`, and beside it, with the same stem, whatever else the variant
needs.

Returns notes for the manifest. Raises a LandmintError if the graph cannot be quantised.
"""
