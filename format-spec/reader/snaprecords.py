"""Chapter 6.4: records of quantised weights from their fields."""

from snapbase import check


class Layout:
    """`runs`: bytes of each field; `bits`: of each unpacked byte, 8 unless `limits` names the field;
    `places`: for every bit of a record, which field, byte and bit it comes from; `lows`: the fields `lo`."""

    def __init__(self, length, runs, limits=(), places=None, lows=()):
        self.length, self.runs, self.limits, self.lows = length, runs, dict(limits), lows
        self.places = places if places is not None else in_order(runs)
        every_bit = list(range(8 * length)) if self.places else []
        assert sorted(to for to, _ in self.places) == every_bit, "every bit once"


def in_order(runs, to=0, field=0):
    """Fields whose bytes stand in the record one after the other, from byte `to` on."""
    places = []
    for number, run in enumerate(runs):
        places += byte_run(to, field + number, run)
        to += run
    return places


def byte_run(to, field, run):
    return [(8 * (to + at) + bit, (field, at, bit)) for at in range(run) for bit in range(8)]


def value(field, at, *pieces):
    """Bits of one unpacked byte, lowest piece first; piece: (byte of the record, bit, number of bits)."""
    places, from_bit = [], 0
    for to, bit, count in pieces:
        places += [(8 * to + bit + k, (field, at, from_bit + k)) for k in range(count)]
        from_bit += count
    return places


def scales_12(start, s, m):
    places = []
    for j in range(4):
        places += value(s, j, (start + j, 0, 6)) + value(m, j, (start + 4 + j, 0, 6))
        places += value(s, 4 + j, (start + 8 + j, 0, 4), (start + j, 6, 2))
        places += value(m, 4 + j, (start + 8 + j, 4, 4), (start + 4 + j, 6, 2))
    return places


def q5_simple(head):
    places = in_order([1] * head)
    for j in range(16):
        for upper in (0, 1):
            high = 16 * upper + j
            places += value(head, high, (head + 4 + j, 4 * upper, 4), (head + high // 8, high % 8, 1))
    return places


def q3_k():
    places = byte_run(108, 2, 1) + byte_run(109, 3, 1)
    for j in range(128):
        pieces = []
        for quant in (2 * j, 2 * j + 1):
            t, at = quant // 32, quant % 32
            pieces += [(32 + 32 * (t // 4) + at, 2 * (t % 4), 2), (at, t, 1)]
        places += value(0, j, *pieces)
    for j in range(16):
        places += value(1, j, (96 + j % 8, 4 * (j // 8), 4), (104 + j % 4, 2 * (j // 4), 2))
    return places


def q5_k():
    places = in_order([1] * 4) + scales_12(4, 4, 5)
    for t in range(8):
        for at in range(32):
            places += value(6, 32 * t + at, (48 + 32 * (t // 2) + at, 4 * (t % 2), 4), (16 + at, t, 1))
    return places


def q6_k():
    places = in_order([16, 1, 1], to=192, field=1)
    for t in range(8):
        h, u = t // 4, t % 4
        for at in range(32):
            low = (64 * h + 32 * (u % 2) + at, 4 * (u // 2), 4)
            places += value(0, 32 * t + at, low, (128 + 32 * h + at, 2 * u, 2))
    return places


def iq4_xs():
    places = in_order([1, 1]) + byte_run(8, 3, 128)
    for j in range(8):
        places += value(2, j, (4 + j // 2, 4 * (j % 2), 4), (2 + j // 4, 2 * (j % 4), 2))
    return places


APART = 136
LAYOUTS = {
    2: Layout(18, [1, 1, 16], lows=(0,)),
    3: Layout(20, [1, 1, 1, 1, 16], lows=(0, 2)),
    6: Layout(22, [1, 1, 32], {2: 5}, q5_simple(2), (0,)),
    7: Layout(24, [1, 1, 1, 1, 32], {4: 5}, q5_simple(4), (0, 2)),
    8: Layout(34, [1, 1, 32], lows=(0,)),
    10: Layout(84, [16, 64, 1, 1, 1, 1], lows=(2, 4)),
    11: Layout(110, [128, 16, 1, 1], {0: 6, 1: 6}, q3_k(), (2,)),
    12: Layout(144, [1, 1, 1, 1, 8, 8, 128], {4: 6, 5: 6},
               in_order([1] * 4) + scales_12(4, 4, 5) + byte_run(16, 6, 128), (0, 2)),
    13: Layout(176, [1, 1, 1, 1, 8, 8, 256], {4: 6, 5: 6, 6: 5}, q5_k(), (0, 2)),
    14: Layout(210, [256, 16, 1, 1], {0: 6}, q6_k(), (2,)),
    20: Layout(18, [1, 1, 16], lows=(0,)),
    23: Layout(136, [1, 1, 8, 128], {2: 6}, iq4_xs(), (0,)),
    39: Layout(17, [1, 16]),
    APART: Layout(34, [1, 1, 1, 1, 31], {2: 5}, [], (0,)),
}


def pack_record(layout, runs):
    """The record whose fields are `runs`."""
    for field, bits in layout.limits.items():
        check(all(byte >> bits == 0 for byte in runs[field]), "value", "bits beyond a field")
    if layout is LAYOUTS[APART]:
        return pack_apart(*runs)
    record = bytearray(layout.length)
    for to, (field, at, bit) in layout.places:
        record[to // 8] |= (runs[field][at] >> bit & 1) << to % 8
    return bytes(record)


def pack_apart(low, high, place, greatest, others):
    quants = [code >> 1 if code % 2 == 0 else 255 - (code >> 1) for code in others] + list(greatest)
    at = place[0]
    quants[at], quants[31] = quants[31], quants[at]
    return low + high + bytes(quants)


def unpack_record(layout, record):
    """The fields of a record."""
    if layout is LAYOUTS[APART]:
        return unpack_apart(record)
    runs = [bytearray(run) for run in layout.runs]
    for to, (field, at, bit) in layout.places:
        runs[field][at] |= (record[to // 8] >> to % 8 & 1) << bit
    return [bytes(run) for run in runs]


def unpack_apart(record):
    quants = bytearray(record[2:])
    place = max(range(32), key=lambda at: (abs((quants[at] ^ 128) - 128), -at))
    greatest = quants[place]
    quants[place] = quants[31]
    others = bytes(2 * quant if quant < 128 else 511 - 2 * quant for quant in quants[:31])
    return [record[:1], record[1:2], bytes([place]), bytes([greatest]), others]
