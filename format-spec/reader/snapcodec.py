"""Chapters 4 and 6: where chunks end, and how blocks are decoded."""

from snapbase import LIMITS, Cursor, check
from snapcrypto import unzstd

# 4.2: masks for 2^6 to 2^24
MASKS = [0] * 6 + [int(word, 16) for word in (
    "0000000001803110 0000000018035100 0000001800035300 0000019000353000 0000590003530000 "
    "0000d90003530000 0000d90103530000 0000d90303530000 0000d90313530000 0000d90f03530000 "
    "0000d90303537000 0000d90703537000 0000d90707537000 0000d91707537000 0000d91747537000 "
    "0000d91767537000 0000d93767537000 0000d93777537000 0000d93777577000"
).split()]
WORD = (1 << 64) - 1


def check_parameters(normalization, minimum, average, maximum):
    """Parameters that 4.2 is defined for."""
    sizes = (minimum, average, maximum)
    check(all(size & (size - 1) == 0 for size in sizes), "value", "not a power of two")
    check(64 <= minimum < average < maximum <= LIMITS["CHUNK_SIZE_MAX_BYTES"], "value", "chunk sizes")
    bits = average.bit_length() - 1
    check(0 <= normalization <= 3 and bits - normalization >= 6, "value", "normalization")


class Chunker:
    """Cut points of one parameter set under one gear table."""

    def __init__(self, gear_bytes, normalization, minimum, average, maximum):
        check_parameters(normalization, minimum, average, maximum)
        self.gear = [int.from_bytes(gear_bytes[i : i + 8], "little") for i in range(0, 2048, 8)]
        self.gear_ls = [(word << 1) & WORD for word in self.gear]
        bits = average.bit_length() - 1
        self.mask_s, self.mask_l = MASKS[bits + normalization], MASKS[bits - normalization]
        self.min, self.avg, self.max = minimum, average, maximum

    def next_length(self, s):
        """The length of the first chunk of `s`, the whole rest of the stream."""
        if len(s) <= self.min:
            return len(s)
        end = min(len(s), self.max)
        center = min(self.avg, end)
        h = 0
        i = self.min // 2
        for stop, mask in ((center // 2, self.mask_s), (end // 2, self.mask_l)):
            while i < stop:
                a = 2 * i
                h = ((h << 2) + self.gear_ls[s[a]]) & WORD
                if h & (mask << 1) & WORD == 0:
                    return a
                h = (h + self.gear[s[a + 1]]) & WORD
                if h & mask == 0:
                    return a + 1
                i += 1
        return end

    def lengths(self, data):
        """The lengths of all chunks of `data`."""
        lengths, at, view = [], 0, memoryview(data)
        while at < len(data):
            length = self.next_length(view[at : at + self.max])
            lengths.append(length)
            at += length
        return lengths


# Chapter 6

BASE_NONE, BASE_PREFIX, BASE_XOR = 0, 1, 2


def decode_part(coder, coded, length, prefix):
    if length == 0:
        check(coder == 0 and not coded, "coder", "an empty part is coder 0, length 0")
        return b""
    check(coder in (0, 1, 2), "number", f"coder {coder}")
    check(prefix is None or coder == 1, "coder", "prefix goes with zstd")
    if coder == 0:
        check(len(coded) == length, "mismatch", "raw part")
        return coded
    if coder == 2:
        check(len(coded) == 1, "mismatch", "constant part")
        return coded * length
    return unzstd(coded, length, prefix, sized=True)


def decode_block(coded, raw_length, base=b""):
    """The concatenated chunks of one coded block. `raw_length`: the sum of the directory's chunk
    lengths; `base`: the concatenated base chunks, empty when the directory names none."""
    check(len(base) <= LIMITS["BASE_MAX_BYTES"], "limit", "base")
    limit = LIMITS["BLOCK_BASED_RAW_MAX_BYTES" if base else "BLOCK_RAW_MAX_BYTES"]
    check(raw_length <= limit, "limit", "raw length")
    check(raw_length >= 1, "value", "an empty block")
    cursor = Cursor(coded)
    transform = cursor.number((0, 1), "transform")
    width, rotate, lead = cursor.u8(), cursor.u8(), cursor.u8()
    use = cursor.number((0, 1, 2), "base use")
    check(cursor.take(3) == bytes(3), "reserved")
    check(cursor.u32() == raw_length, "mismatch", "raw length")
    check(width in ((1,), (2, 4, 8))[transform], "number", f"width {width}")
    check(rotate < 8 * width if transform else rotate == 0, "number", f"rotate {rotate}")
    check(lead < width and lead <= raw_length, "number", f"lead {lead}")
    check((use == BASE_NONE) == (not base), "base", "base use and base list disagree")
    check(use != BASE_PREFIX or transform == 0, "base", "prefix goes with identity")

    elements = (raw_length - lead) // width
    sizes = [raw_length] if transform == 0 else [elements] * width + [raw_length - elements * width]
    table = [(cursor.u8(), cursor.u32()) for _ in sizes]
    prefix = base if use == BASE_PREFIX else None
    parts = [decode_part(coder, cursor.take(size), part_length, prefix)
             for (coder, size), part_length in zip(table, sizes)]
    cursor.end()
    raw = parts[0] if transform == 0 else join_planes(parts, width, rotate, lead)
    return xor_base(raw, base) if use == BASE_XOR else raw


def join_planes(parts, width, rotate, lead):
    """The inverse of the transform *planes*."""
    rotated = bytearray(width * len(parts[0]))
    for k in range(width):
        rotated[k::width] = parts[k]
    bits = 8 * width
    if rotate:
        for at in range(0, len(rotated), width):
            e = int.from_bytes(rotated[at : at + width], "little")
            e = (e >> rotate | e << (bits - rotate)) & ((1 << bits) - 1)
            rotated[at : at + width] = e.to_bytes(width, "little")
    return parts[width][:lead] + bytes(rotated) + parts[width][lead:]


def xor_base(raw, base):
    n = min(len(raw), len(base))
    mixed = int.from_bytes(raw[:n], "little") ^ int.from_bytes(base[:n], "little")
    return mixed.to_bytes(n, "little") + raw[n:]
