"""Programs for Arm of a few known instructions, as files that a kernel starts; no compiler."""

import struct
from pathlib import Path

from landmint.runtime.instructions import MARK

_BASE = 0x400000
_HEADERS = 64 + 56

DOTS = (0x4E829420, 0x6F82E020)
"""sdot v0.4s, v1.16b, v2.16b; udot v0.4s, v1.16b, v2.4b[0]"""
MLALS = (0x0E228023, 0x6F422023)
"""smlal v3.8h, v1.8b, v2.8b; umlal2 v3.4s, v1.8h, v2.h[0]"""
FMLAS = (0x4E22CC24, 0x4FA21024)
"""fmla v4.4s, v1.4s, v2.4s; fmla v4.4s, v1.4s, v2.s[1]"""
OTHER_SIMD = (0x4EA28425, 0x1E2628C6, 0x0E22C023, 0x4EA2CC24)
"""add v5.4s, v1.4s, v2.4s; fadd s6, s6, s6; smull v3.8h, v1.8b, v2.8b; fmls v4.4s, v1.4s, v2.4s"""
OTHERS = (0x3DC003E6, 0xD503201F)
"""ldr q6, [sp]; nop"""


def write_loop(path: Path, body: tuple[int, ...], rounds: int) -> int:
    """Write a program that runs a body so often between two marks.

    Returns:
        how many instructions it executes from one mark to the next.
    """
    loop = [*body, 0xF1000529]  # subs x9, x9, #1
    loop.append(0x54000001 | (-len(loop) & 0x7FFFF) << 5)  # b.ne to the loop's begin
    words = [*_mark(0), _move(9, rounds), *loop, *_mark(1), _move(0, 0), _move(8, 93), _SVC]
    code = struct.pack(f"<{len(words)}I", *words)
    size, entry = _HEADERS + len(code), _BASE + _HEADERS
    header = b"\x7fELF\2\1\1" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, entry, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    path.write_bytes(header + segment + code)
    path.chmod(0o755)
    return 1 + rounds * len(loop) + len(_mark(1))


_SVC = 0xD4000001


def _move(register: int, value: int) -> int:
    return 0xD2800000 | value << 5 | register


def _mark(number: int) -> list[int]:
    """prctl(MARK, number)."""
    high = 0xF2A00000 | (MARK >> 16) << 5  # movk x0, #.., lsl #16
    return [_move(0, MARK & 0xFFFF), high, _move(1, number), _move(8, 167), _SVC]
