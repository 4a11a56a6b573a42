"""Changes one entry in a protobuf message without the classes of its schema.

Apple's classes come with coremltools, which imports PyTorch and TensorFlow where it finds them.
"""

from collections.abc import Iterator, Sequence

_DELIMITED = 2
_FIXED = {1: 8, 5: 4}  # sizes by wire type
_KEY, _VALUE = 1, 2
Field = tuple[int, bytes, bytes]
"""Number, content if it is length-delimited, and all its bytes."""


def with_entry(message: bytes, steps: Sequence[int], key: str, text: str) -> bytes:
    """A message with an entry in one of its maps, in place of an older one with this key.

    Args:
        message: whole.
        steps: numbers of the fields that lead to the map's entries.
        key: of the entry.
        text: its value.

    Raises:
        ValueError: the message is broken.
        EOFError: it ends too early.
    """
    number, *inner = steps
    fields = list(_fields(message))
    if inner:
        own = b"".join(content for which, content, _ in fields if which == number)
        kept = [field for field in fields if field[0] != number]
        fresh = with_entry(own, inner, key, text)
    else:
        kept = [field for field in fields if field[0] != number or not _has_key(field[1], key)]
        fresh = _field(_KEY, key.encode()) + _field(_VALUE, text.encode())
    whole = [*kept, (number, fresh, _field(number, fresh))]
    return b"".join(raw for _, _, raw in sorted(whole, key=lambda field: field[0]))


def _has_key(entry: bytes, key: str) -> bool:
    return any(which == _KEY and content == key.encode() for which, content, _ in _fields(entry))


def _fields(message: bytes) -> Iterator[Field]:
    place = 0
    while place < len(message):
        begin = place
        tag, place = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        content = b""
        if wire == 0:
            _, place = _varint(message, place)
        elif wire in _FIXED:
            place += _FIXED[wire]
        elif wire == _DELIMITED:
            length, place = _varint(message, place)
            content = message[place : place + length]
            place += length
        else:
            raise ValueError(f"a field has the wire type {wire}, which protobuf files do not have")
        if place > len(message):
            raise EOFError("it ends too early")
        yield number, content, message[begin:place]


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number, and the place behind it."""
    value = 0
    for shift, byte in enumerate(message[place : place + 10]):
        value |= (byte & 127) << 7 * shift
        if byte < 128:
            return value, place + shift + 1
    raise EOFError("it ends in a number, or a number has more than 64 bits")


def _field(number: int, content: bytes) -> bytes:
    return _number(number << 3 | _DELIMITED) + _number(len(content)) + content


def _number(value: int) -> bytes:
    low, high = value & 127, value >> 7
    return bytes([low | 128]) + _number(high) if high else bytes([low])
