"""The plugin's counts against programs of which every instruction is known."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from landmint.targets.emulated.kit import compile_plugin
from tests.targets.emulated.programs import DOTS, FMLAS, MLALS, OTHER_SIMD, OTHERS, write_loop

MISSING = [name for name in ("qemu-aarch64", "gcc") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)}: not on this machine"),
]
ROUNDS = 1000
Run = Callable[[str, tuple[int, ...]], tuple[int, dict[str, int]]]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("plugin") / "counter.so"
    compile_plugin("qemu-aarch64", library)
    return library


@pytest.fixture
def run(plugin: Path, tmp_path: Path) -> Run:
    """Runs a loop; gives how many instructions it must execute, and what was counted."""

    def count(cpu: str, body: tuple[int, ...]) -> tuple[int, dict[str, int]]:
        program, counts = tmp_path / "program", tmp_path / "counts"
        expected = write_loop(program, body, ROUNDS)
        command = ["qemu-aarch64", "-cpu", cpu, "-plugin", f"{plugin},out={counts}", str(program)]
        subprocess.run(command, check=True)
        before, after = map(json.loads, counts.read_text(encoding="ascii").splitlines())
        assert (before["mark"], after["mark"]) == (0, 1)
        return expected, {name: after[name] - before[name] for name in after}

    return count


@pytest.mark.parametrize(
    ("body", "simd", "fmla", "mlal", "dot"),
    [
        (OTHERS, 0, 0, 0, 0),
        (OTHER_SIMD, 4, 0, 0, 0),
        (FMLAS, 2, 2, 0, 0),
        (MLALS, 2, 0, 2, 0),
        (DOTS, 2, 0, 0, 2),
        ((*OTHERS, *DOTS, *FMLAS, *MLALS, *OTHER_SIMD, *DOTS), 12, 2, 2, 4),
    ],
)
def test_counts_are_exact(
    run: Run, body: tuple[int, ...], simd: int, fmla: int, mlal: int, dot: int
) -> None:
    expected, counted = run("cortex-a76", body)
    classes = {"simd": simd, "fmla": fmla, "mlal": mlal, "dot": dot}
    assert counted["total"] == expected
    assert {name: counted[name] for name in classes} == {
        name: ROUNDS * count for name, count in classes.items()
    }


def test_older_cores_have_no_dot_products(run: Run) -> None:
    for cpu in ("cortex-a53", "cortex-a72"):
        run(cpu, MLALS)
        with pytest.raises(subprocess.CalledProcessError):
            run(cpu, DOTS)
