"""Whole numbers in few bytes: single ones, and rows of counts in which most are small or nothing.

What the numbers mean is the business of whoever packs them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

# A run of counts ends where more zeros follow than beginning the next run costs.
_HOLE = 6
# How counts can stand in a run: the largest one, the code of `struct` and its bytes. The first packs two into one
# byte, the second is as Python has bytes.
_WIDTHS = ((0xF, "", 0), (0xFF, "B", 1), (0xFFFF, "H", 2), (0xFFFF_FFFF, "I", 4), (0xFFFF_FFFF_FFFF_FFFF, "Q", 8))
_BITS_OF_WIDTH = 3


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
    if place < len(content) and content[place] < 0x80:  # nearly all of them
        return content[place], place + 1
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
    """So many zeros and then the counts: how many runs there are and how wide a count is, then the runs.

    A run is: how many zeros come first, how many counts follow, and these. Python's own loops are slow and reading
    is frequent, so the counts of a run are laid out for C to read.
    """
    most = max(counts, default=0)
    width = next(number for number, (largest, _, _) in enumerate(_WIDTHS) if most <= largest)
    runs = list(_runs(counts))
    parts = [write_varint(len(runs) << _BITS_OF_WIDTH | width)]
    end = -zeros
    for start, stop in runs:
        parts += [write_varint(start - end), write_varint(stop - start), _pack(counts[start:stop], width)]
        end = stop
    return b"".join(parts)


def unpack_counts(content: bytes, place: int, *, most: int) -> tuple[int, list[int], int]:
    """What `pack_counts` was given, without zeros at the end, and the place in the content after it.

    Raises ValueError for what it never writes, and for more than `most` counts.
    """
    header, place = read_varint(content, place)
    width = header & (1 << _BITS_OF_WIDTH) - 1
    if width >= len(_WIDTHS):
        raise ValueError("counts have an unknown width")
    _, code, size = _WIDTHS[width]
    first, counts = 0, list[int]()
    for _ in range(header >> _BITS_OF_WIDTH):
        zeros, place = read_varint(content, place)
        length, place = read_varint(content, place)
        if not 0 < length <= most - first - len(counts) - zeros:
            raise ValueError("there are too many counts")
        if counts:
            counts += [0] * zeros
        else:
            first = zeros
        stop = place + (length * size or (length + 1) // 2)
        if stop > len(content):
            raise ValueError("counts were cut short")
        run = content[place:stop]
        if size == 0:
            counts += _nibbles(run, length)
        elif size == 1:
            counts += run
        else:
            counts += struct.unpack(f"<{length}{code}", run)
        place = stop
    return first, counts, place


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
    code = _WIDTHS[width][1]
    if code:
        return struct.pack(f"<{len(counts)}{code}", *counts)
    digits = bytes(counts).hex()[1::2]
    return bytes.fromhex(digits + "0" * (len(digits) % 2))


def _nibbles(content: bytes, length: int) -> bytes:
    """So many counts of half a byte, each in a byte of its own."""
    return bytes.fromhex("0" + "0".join(content.hex()[:length]))
