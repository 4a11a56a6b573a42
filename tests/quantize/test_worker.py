"""The worker decides ranges, or takes those that it is given."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from landmint.quantize.worker import main
from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError

Request = dict[str, object]


@pytest.fixture
def request_of(
    graph_of: Callable[[str], onnx.ModelProto],
    contract_of: Callable[[str], Contract],
    tensors: NDArray[np.float32],
    tmp_path: Path,
) -> Callable[..., Request]:
    onnx.save(graph_of("pip"), tmp_path / "float32.onnx")
    crops = (tensors.transpose(0, 2, 3, 1) * 50 + 120).clip(0, 255).astype(np.uint8)
    np.save(tmp_path / "crops.npy", crops)

    def make(target: str, **config: object) -> Request:
        return {
            "task": "decide",
            "graph": str(tmp_path / "float32.onnx"),
            "crops": str(tmp_path / "crops.npy"),
            "contract": contract_of("pip").to_json(),
            "config": config,
            "ranges": str(tmp_path / target),
            "faces": [str(i) for i in range(len(crops))],
        }

    return make


def test_given_ranges_replace_the_observation(
    request_of: Callable[..., Request], tmp_path: Path
) -> None:
    main(request_of("decided.json"))
    decided = json.loads((tmp_path / "decided.json").read_text())
    decided["activations"]["stem"]["max"] = 42.0
    (tmp_path / "mine.json").write_text(json.dumps(decided))
    main(request_of("taken.json", ranges=str(tmp_path / "mine.json")))
    taken = json.loads((tmp_path / "taken.json").read_text())
    assert taken["activations"]["stem"]["max"] == 42.0
    assert taken["activations"]["deep"] == decided["activations"]["deep"]
    assert taken["weights"] == decided["weights"]


def test_a_layer_that_there_is_not_is_refused_before_any_format(
    request_of: Callable[..., Request], tmp_path: Path
) -> None:
    with pytest.raises(LandmintError, match="the graph has no weighted layer 'nowhere'"):
        main(request_of("decided.json", float_layers=["nowhere"]))
    assert not (tmp_path / "decided.json").exists()


def test_ranges_that_do_not_exist_are_one_error(
    request_of: Callable[..., Request], tmp_path: Path
) -> None:
    with pytest.raises(LandmintError, match=r"mine\.json"):
        main(request_of("taken.json", ranges=str(tmp_path / "mine.json")))
    assert not (tmp_path / "taken.json").exists()
