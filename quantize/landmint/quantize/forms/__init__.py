"""One file a format: how its INT8 variant is made by the one decision of ranges.

OpenVINO has a second way, by NNCF's own ranges. A format's record in `landmint.runtime.formats`
names its `Quantize`; the process in `landmint.quantize.worker` calls it.
"""

from collections.abc import Callable

from landmint.quantize.job import Job

Quantize = Callable[[Job], dict[str, str]]
"""Writes `job.target`; what else belongs to the variant takes that file's stem.

Returns notes for the manifest. Raises a LandmintError where the graph cannot be quantised.
"""
