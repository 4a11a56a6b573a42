"""How benchmark_model is called, and what it prints beside its times, as its builds print it."""

import shlex

import pytest

from landmint.runtime.engines.engine import Operator
from landmint.targets.adb.tool import Tool, delegation, peak_memory_mib, read_profile, times

HEADER = "node type, first, avg_ms, %, cdf%, mem KB, times called, name"
ORDER = f"{'=' * 30} Run Order {'=' * 30}\n{HEADER}\n"
OTHERS = (
    f"\n{'=' * 30} Top by Computation Time {'=' * 30}\n{HEADER}\nX, 9, 9, 9%, 9%, 0, 1, [x]:0\n"
)
START = (
    f"Profiling Info for Benchmark Initialization:\n{ORDER}"
    "ModifyGraphWithDelegate, 9.37, 9.37, 95.4%, 95.4%, 1788, 1, ModifyGraphWithDelegate/0\n"
    f"{OTHERS}Operator-wise Profiling Info for Regular Benchmark Runs:\n"
)
WRITTEN = (Operator("QUANTIZE", "f32"), Operator("CONV_2D", "i8"), Operator("SOFTMAX", "i8"))


def test_built_in_kernels_get_their_precision_from_the_file() -> None:
    rows = "QUANTIZE, 0.1, 0.2, 1%, 1%, 0, 1, [a]:0\nCONV_2D, 2, 1.5, 9%, 9%, 0, 1, [b:0\tc]:1\n"
    assert read_profile(f"{START}{ORDER}{rows}{OTHERS}", WRITTEN) == (
        Operator("QUANTIZE", "f32", 0.2, name="[a]:0", kernel="built-in"),
        Operator("CONV_2D", "i8", 1.5, name="[b:0\tc]:1", kernel="built-in"),
    )


def test_operators_of_xnnpack_as_newer_builds_list_them() -> None:
    """Among those of the graph; their kinds hold a comma."""
    rows = (
        "Convolution (NHWC, QC8) IGEMM, 1, 0.5, 9%, 9%, 0, 1, "
        "Delegate/Convolution (NHWC\t QC8) IGEMM:0\n"
        "SOFTMAX, 0.1, 0.1, 1%, 1%, 0, 1, [p]:2\n"
    )
    assert read_profile(f"{START}{ORDER}{rows}{OTHERS}", WRITTEN) == (
        Operator("SOFTMAX", "i8", 0.1, "outside XNNPACK", "[p]:2", "built-in"),
        Operator("Convolution (NHWC, QC8) IGEMM", "i8", 0.5, kernel="XNNPACK"),
    )


def test_operators_of_xnnpack_as_older_builds_list_them() -> None:
    """Apart, beside their sum as one node of the graph."""
    node = "TfLiteXNNPackDelegate, 1, 0.9, 99%, 99%, 0, 1, [out]:3\n"
    inside = "DelegateOpInvoke, 1, 0.8, 9%, 9%, 0, 1, Delegate/Add (ND\t F32):7\n"
    text = f"{START}{ORDER}{node}{OTHERS}\nDelegate internal: \n{ORDER}{inside}{OTHERS}"
    assert read_profile(text, WRITTEN) == (Operator("Add (ND, F32)", "f32", 0.8, kernel="XNNPACK"),)
    alone = f"{START}{ORDER}{node}{OTHERS}"
    assert read_profile(alone, WRITTEN) == (Operator("DELEGATE", "", 0.9, kernel="XNNPACK"),)


def test_no_profile_is_none() -> None:
    for text in ("", "nothing", START, f"{ORDER}A, b, c, d, e, f, g, h\n", ORDER.replace("ms", "")):
        assert read_profile(text, WRITTEN) == ()


def test_what_became_of_the_delegate() -> None:
    begin = "INFO: Explicitly applied XNNPACK delegate, and the model graph will be "
    assert delegation(f"{begin}completely executed by the delegate.") == "XNNPACK, 1 partition"
    part = delegation(f"{begin}partially executed by the delegate w/ 3 delegate kernels.")
    assert part == "XNNPACK, 3 partitions; the rest fell back to built-in kernels"
    none = "Though XNNPACK delegate is explicitly applied, the model graph will not be executed by "
    assert delegation(f"{none}the delegate.").startswith("without XNNPACK: it fell back")
    assert "does not tell" in delegation("")


def test_memory() -> None:
    line = "INFO: Overall peak memory footprint (MB) via periodic monitoring: 13.1797\n"
    assert peak_memory_mib(line) == pytest.approx(13.1797)
    assert peak_memory_mib("INFO: no such line") is None


def test_a_call_is_quoted_and_pinned() -> None:
    tool = Tool("/a b/$(tool)", "/it's; a/model", 2, "f0", (1, 8, 8, 3))
    words = shlex.split(tool.call(times(3, 0.5, 2, 8.0), "/fed in"))
    assert words[:3] == ["taskset", "f0", "/a b/$(tool)"]
    given = dict(word.removeprefix("--").split("=", 1) for word in words[3:])
    assert given["graph"] == "/it's; a/model"
    assert given["input_layer_value_files"] == "input:/fed in"
    assert given["input_layer_shape"] == "1,8,8,3"
    assert (given["num_threads"], given["num_runs"], given["warmup_runs"]) == ("2", "2", "3")
    free = Tool("/tool", "/model", 1, "", (1, 8, 8, 3)).call(times(1, 0, 1, 8.0))
    assert free.startswith("/tool ") and "input_layer" not in free
