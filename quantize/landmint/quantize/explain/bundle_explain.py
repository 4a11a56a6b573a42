"""Explains a bundle's INT8: how much each layer costs, and at which operator engines differ.

Everything is computed on labelled faces that serve neither calibration nor the verdict. What to do
about a costly layer is proposed in `fallback.py`.
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import onnx

from landmint.export.graphs import ending_at
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.decision import RANGES, read_decision
from landmint.quantize.decide.equalise import equalise
from landmint.quantize.decide.ranges import Optimise, run_all
from landmint.quantize.decide.strategies import choose
from landmint.quantize.explain.divergence import Probe, Values, first_divergence
from landmint.quantize.explain.explanation import Divergence, Explanation
from landmint.quantize.explain.probes import MakeProbe, OnnxRuntimeProbe
from landmint.quantize.explain.sensitivity import Examination, layer_sensitivities
from landmint.quantize.explain.simulation import Simulation
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import FORMATS, SOURCE, load
from landmint.runtime.progress import SILENT, Progress
from landmint.train.faces.face import FaceSet

MOST_FACES = 64
"""Number of faces that are looked at, or all when there are fewer."""
# From which relative difference on two engines differ. In float32 another order of sums moves a
# tensor by some 1e-6. Two INT8 graphs with the same levels differ where a sum falls between two
# levels; with levels of their own they differ as much as each does from the float graph, by 0.1 to
# 0.2.
_FLOAT, _SAME_LEVELS, _OWN_LEVELS = 1e-3, 0.1, 0.3


def explain(
    bundle: Bundle,
    faces: FaceSet,
    progress: Progress = SILENT,
) -> Explanation:
    """Explain a bundle's INT8 variants.

    Args:
        bundle: has the variants onnx/float32 and onnx/int8; its others are compared with these.
        faces: labelled, of the bundle's markup; `MOST_FACES` of them are taken, evenly over poses.
        progress: called at every step.

    Raises:
        LandmintError: the bundle lacks one of the two variants, an artefact was made for another
            contract, or there are no faces.
    """
    compared = {SOURCE, *(name for name, record in FORMATS.items() if record.probe)}
    for variant in bundle.manifest.variants:
        if variant.files and variant.format in compared:
            bundle.check_artefact(variant)
    contract = bundle.manifest.contract
    model, twin = (_graph(bundle, name) for name in ("onnx/float32", "onnx/int8"))
    ranges = bundle.path / RANGES
    if ranges.is_file():  # if the INT8 graph was equalised, so must be the float one
        equalise(model, read_decision(ranges, model.graph).equalised)
    simulation = Simulation(model, twin)
    some = choose(faces, QuantizeConfig(strategy="pose", size=min(MOST_FACES, len(faces.faces))))
    exam = Examination(dataclasses.replace(faces, faces=some), contract)
    reference = exam.points(model)
    layers = layer_sensitivities(simulation, twin, exam, progress)
    progress.at(len(layers), len(layers), "compare engines")
    return Explanation(
        model=bundle.manifest.name,
        faces=len(some),
        split=Path(faces.source).name,
        float_nme=exam.nme(reference),
        built=exam.cost(exam.points(twin), reference),
        simulated=exam.simulated_cost(simulation.whole(), reference),
        layers=layers,
        divergences=tuple(_divergences(_Engines(bundle, simulation, twin, exam.tensors[:1]))),
    )


def _graph(bundle: Bundle, name: str) -> onnx.ModelProto:
    return onnx.load(bundle.entry(bundle.variant(name)))


class _Engines:
    """Makes the probes that ask a bundle's engines for tensors, all on one face."""

    def __init__(
        self, bundle: Bundle, simulation: Simulation, twin: onnx.ModelProto, face: Values
    ) -> None:
        self._bundle, self._face = bundle, face
        self.graph = simulation.plain.graph
        names = [name for node in self.graph.node for name in node.output]
        self._models = {
            "float32": (simulation.plain, {name: name for name in names}),
            "int8": (twin, {name: simulation.dequantised(name) for name in names}),
        }
        everything = run_all(ending_at(simulation.plain, names), face)
        self._reference = {name: everything[name] for name in names}

    def onnxruntime(self, precision: str, optimise: Optimise = "all") -> Probe:
        model, places = self._models[precision]
        return OnnxRuntimeProbe(f"onnx/{precision}", model, self._face, places, optimise)

    def others(self, precision: str) -> Iterator[tuple[str, Callable[[], Probe]]]:
        """Name of each variant in a format that has a probe, and a function that makes it."""
        for name, record in FORMATS.items():
            if record.probe:
                make: MakeProbe = load(record.probe)
                variant = f"{name}/{precision}"
                yield variant, partial(make, self._bundle, variant, self._face, self._reference)


def _divergences(engines: _Engines) -> Iterator[Divergence]:
    """Compare ONNX Runtime with each other engine, in float and in INT8."""
    for precision, near, far in (("float32", _FLOAT, _FLOAT), ("int8", _SAME_LEVELS, _OWN_LEVELS)):
        left = engines.onnxruntime(precision)
        plain = partial(engines.onnxruntime, precision, optimise="none")
        others: list[tuple[str, Callable[[], Probe], float]] = [
            (f"{SOURCE}/{precision}", plain, near),
            *((label, right, far) for label, right in engines.others(precision)),
        ]
        for label, right, tolerance in others:
            try:
                yield first_divergence(engines.graph, left, right(), tolerance)
            except LandmintError as error:
                yield Divergence(left.label, label, tolerance, 0, 0, 0.0, reason=error.fact)
