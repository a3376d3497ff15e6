"""Chapter 4: where chunks end."""

from snapbase import LIMITS, check

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
