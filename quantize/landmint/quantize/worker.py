"""The process that `quantize_bundle` starts: it decides the ranges, or makes one variant.

It is a process of its own because quantisers and engines print a lot, and a broken artefact may
crash it. Run as `python -m landmint.quantize.worker`, with the request as JSON on its standard
input. Nothing imports it.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from landmint.export.embed import write_contract
from landmint.export.graphs import chosen_layers
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.decision import decide, read_decision, write_decision
from landmint.quantize.displacement import describe, landmarks
from landmint.quantize.forms import Quantize
from landmint.quantize.job import Job
from landmint.runtime.contract import Contract
from landmint.runtime.crop import normalise
from landmint.runtime.engines import load_engine
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.files import write_json
from landmint.runtime.formats import load

_TRIED_FACES = 8


def main(request: Mapping[str, Any]) -> None:
    """Do what request["task"] says.

    Args:
        request: for both tasks "graph", the float32 ONNX file; "crops", an .npy file of
            (N, S, S, 3) uint8; "contract" in the layout of the artefacts; "config"; "ranges", the
            file of the decision. The task "decide" writes that file, and takes "faces", the names
            of the crops. The task "quantise" reads it, and takes "function", the name of a
            `Quantize`; the files "source" and "target"; the engines that run these,
            "source_engine" and "engine"; and "notes", the file for notes.
    """
    graph = onnx.load(request["graph"])
    contract = Contract.from_json(request["contract"])
    tensors = normalise(np.load(request["crops"]), contract)
    config = QuantizeConfig(**request["config"])
    ranges = Path(request["ranges"])
    if request["task"] == "decide":
        chosen_layers(graph.graph, config.float_layers)  # refuse here what no format can do
        if config.ranges:
            decision = read_decision(config.ranges, graph.graph)
        else:
            decision = decide(graph, tensors, config, request["faces"])
        write_decision(ranges, decision)
        return
    source, target = Path(request["source"]), Path(request["target"])
    decision = read_decision(ranges, graph.graph)
    job = Job(source, target, graph, decision, tensors, contract, config)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    quantize: Quantize = load(request["function"])
    notes = quantize(job)
    write_contract(target, contract)
    notes["displacement"] = _displacement(job, request["source_engine"], request["engine"])
    if decision.dead:
        notes["dead on every calibration face"] = ", ".join(decision.dead)
    write_json(Path(request["notes"]), notes)


def _displacement(job: Job, source_engine: str, engine: str) -> str:
    """How far the landmarks of the two artefacts lie apart.

    Raises:
        LandmintError: an artefact does not load, breaks the contract, or returns a number that is
            not finite.
    """
    ends = (job.source, source_engine), (job.target, engine)
    try:
        sessions = [load_engine(name).load(path, job.contract, threads=1) for path, name in ends]
    except NotMeasuredError as error:
        return f"not measured: {error.fact}"
    faces = job.tensors[:_TRIED_FACES]
    reference, points = (landmarks(session, job.contract, faces) for session in sessions)
    return f"{describe(reference, points)} ({engine}, {sessions[1].executed_precision})"


if __name__ == "__main__":
    try:
        main(json.load(sys.stdin))
    except LandmintError as error:
        sys.exit(str(error))
