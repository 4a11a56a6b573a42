"""Core ML's packages: a folder whose files are the graph, its weights, and a list of both."""

from pathlib import Path

PACKAGE = ".mlpackage"
"""Suffix of the folder."""
GRAPH = f"{PACKAGE}/Data/com.apple.CoreML/model.mlmodel"
"""Suffix of the file with the graph and the metadata, a protobuf message of Apple's `Model`."""
WEIGHTS = f"{PACKAGE}/Data/com.apple.CoreML/weights/weight.bin"
"""Suffix of the file with the weights."""
LIST = f"{PACKAGE}/Manifest.json"
"""Suffix of the file that tells Core ML which files there are."""
METADATA = (2, 100, 100)
"""Numbers of the protobuf fields that lead to the entries of the user-defined metadata: in `Model`
the description, in that the metadata, in that the map."""
CONTRACT_KEY = "landmint.contract"
"""Key of the contract in the user-defined metadata; Core ML shows it as
`MLModelDescription.metadata[.creatorDefinedKey]`."""


def package_of(graph: Path) -> Path:
    """The package that a graph belongs to."""
    return graph.parents[2]
