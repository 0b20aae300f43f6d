"""Whole numbers in few bytes: single ones, and rows of counts in which most are small or nothing.

What the numbers mean is the business of whoever packs them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

# A run of counts ends where more zeros follow than beginning the next run costs.
_HOLE = 6
# The largest count of each width in bytes; 0 packs two counts into one byte.
_LARGEST = {0: 0xF, 1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF, 8: 0xFFFF_FFFF_FFFF_FFFF}
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def write_varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow. Raises ValueError below zero."""
    if value < 0:
        raise ValueError("wanted a number that is not below zero")
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def read_varint(content: bytes, place: int) -> tuple[int, int]:
    """The number at that place and the place after it; raises ValueError where the content ends too early."""
    value = shift = 0
    while place < len(content):
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise ValueError("a number was cut short")


def pack_counts(zeros: int, counts: Sequence[int]) -> bytes:
    """So many zeros and then the counts, as: the width of a count, then runs.

    A run is: how many zeros come first, how many counts follow, and these.

    Python's own loops are slow and reading is frequent, so the counts of a run are laid out for C to read.
    """
    most = max(counts, default=0)
    width = next(width for width, largest in _LARGEST.items() if most <= largest)
    parts = [bytes((width,))]
    end = -zeros
    for start, stop in _runs(counts):
        parts += [write_varint(start - end), write_varint(stop - start), _pack(counts[start:stop], width)]
        end = stop
    return b"".join(parts)


def unpack_counts(content: bytes, *, most: int) -> tuple[int, list[int]]:
    """What `pack_counts` was given, without zeros at the end.

    Raises ValueError for what it never writes, and for more than `most` counts.
    """
    width, place = content[0] if content else -1, 1
    if width not in _LARGEST:
        raise ValueError("counts have an unknown width")
    first, counts = 0, list[int]()
    while place < len(content):
        zeros, place = read_varint(content, place)
        length, place = read_varint(content, place)
        if not 0 < length <= most - first - len(counts) - zeros:
            raise ValueError("there are too many counts")
        size = length * width or (length + 1) // 2
        if len(content) < place + size:
            raise ValueError("counts were cut short")
        if counts:
            counts += [0] * zeros
        else:
            first = zeros
        counts += _unpack(content[place : place + size], length, width)
        place += size
    return first, counts


def _runs(counts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where counts begin and end, holes of a few zeros included."""
    start = end = 0
    for place, count in enumerate(counts):
        if count:
            if end and place - end > _HOLE:
                yield start, end
                end = 0
            if not end:
                start = place
            end = place + 1
    if end:
        yield start, end


def _pack(counts: Sequence[int], width: int) -> bytes:
    if width:
        return struct.pack(f"<{len(counts)}{_CODES[width]}", *counts)
    digits = bytes(counts).hex()[1::2]
    return bytes.fromhex(digits + "0" * (len(digits) % 2))


def _unpack(content: bytes, length: int, width: int) -> Sequence[int]:
    if width:
        return struct.unpack(f"<{length}{_CODES[width]}", content)
    return bytes.fromhex("0" + "0".join(content.hex()[:length]))
