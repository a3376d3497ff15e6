"""Chapter 6: how blocks are decoded."""

from snapbase import LIMITS, Cursor, check
from snapcrypto import unzstd
from snaprans import contexts_of_low, contexts_of_others, decode_rans
from snaprecords import APART, LAYOUTS, pack_record

BASE_NONE, BASE_PREFIX, BASE_XOR = 0, 1, 2
IDENTITY, PLANES, RECORDS, SPARSE, DELTA = range(5)
WIDTHS = {IDENTITY: (1,), PLANES: (2, 4, 8), RECORDS: tuple(LAYOUTS), SPARSE: (1, 2, 4, 8), DELTA: (4, 8)}
ESCAPE = 240


def decode_part(coder, coded, length, prefix, contexts=None):
    if length == 0:
        check(coder == 0 and not coded, "coder", "an empty part is coder 0, length 0")
        return b""
    check(coder in (0, 1, 2, 3), "number", f"coder {coder}")
    check(prefix is None or coder == 1, "coder", "prefix goes with zstd")
    if coder == 0:
        check(len(coded) == length, "mismatch", "raw part")
        return coded
    if coder == 2:
        check(len(coded) == 1, "mismatch", "constant part")
        return coded * length
    if coder == 3:
        return decode_rans(coded, length, contexts)
    return unzstd(coded, length, prefix, sized=True)


def decode_block(coded, raw_length, base=b""):
    """The concatenated chunks of one coded block. `raw_length`: the sum of the directory's chunk
    lengths; `base`: the concatenated base chunks, empty when the directory names none."""
    check(len(base) <= LIMITS["BASE_MAX_BYTES"], "limit", "base")
    limit = LIMITS["BLOCK_BASED_RAW_MAX_BYTES" if base else "BLOCK_RAW_MAX_BYTES"]
    check(raw_length <= limit, "limit", "raw length")
    check(raw_length >= 1, "value", "an empty block")
    cursor = Cursor(coded)
    transform = cursor.number(tuple(WIDTHS), "transform")
    number, rotate, lead = cursor.u8(), cursor.u8(), cursor.u8()
    use = cursor.number((0, 1, 2), "base use")
    skip = cursor.uint(3)
    check(skip == 0 or use == BASE_XOR, "reserved", "base skip without xor")
    check(cursor.u32() == raw_length, "mismatch", "raw length")
    check(number in WIDTHS[transform], "number", f"width {number}")
    width = LAYOUTS[number].length if transform == RECORDS else number
    turns = transform in (PLANES, SPARSE)
    check(rotate < 8 * width if turns else rotate == 0, "number", f"rotate {rotate}")
    check(lead < width and lead <= raw_length, "number", f"lead {lead}")
    check((use == BASE_NONE) == (not base), "base", "base use and base list disagree")
    check(use != BASE_XOR or skip < len(base), "base", "base skip beyond the base")
    check(use != BASE_PREFIX or transform == IDENTITY, "base", "prefix goes with identity")

    count = (raw_length - lead) // width
    around = raw_length - count * width
    table_length = {IDENTITY: 1, SPARSE: width + 2}.get(transform, width + 1)
    if transform == RECORDS:
        table_length = len(LAYOUTS[number].runs) + 1
    parts = Parts(cursor, table_length, base if use == BASE_PREFIX else None)
    if transform == IDENTITY:
        raw = parts.next(raw_length)
    elif transform == SPARSE:
        raw = decode_sparse(parts, width, rotate, lead, count, around)
    elif transform == RECORDS:
        layout = LAYOUTS[number]
        fields = decode_fields(parts, number, count)
        raw = surround(join_records(layout, fields, count), parts.next(around), lead)
    else:
        planes = [parts.next(count) for _ in range(width)]
        body = join_planes(planes, rotate)
        raw = surround(accumulate(body, width) if transform == DELTA else body, parts.next(around), lead)
    cursor.end()
    return xor_base(raw, base[skip:]) if use == BASE_XOR else raw


class Parts:
    """The parts of a block, in order: the part table first."""

    def __init__(self, cursor, count, prefix):
        self.cursor, self.prefix = cursor, prefix
        self.table = [(cursor.u8(), cursor.u32()) for _ in range(count)]

    def next_coded(self):
        coder, size = self.table.pop(0)
        return coder, self.cursor.take(size)

    def next(self, length):
        return decode_part(*self.next_coded(), length, self.prefix)


def decode_fields(parts, number, count):
    """The fields of all records of a layout: `hi` before `lo`, both before the others of layout 136."""
    layout = LAYOUTS[number]
    others = 4 if number == APART else None
    coded = [parts.next_coded() for _ in layout.runs]
    fields = [b""] * len(coded)
    for field in sorted(range(len(coded)), key=lambda field: (field == others, field in layout.lows)):
        run, contexts = layout.runs[field], None
        if field in layout.lows:
            contexts = contexts_of_low(fields[field + 1])
        elif field == others:
            contexts = contexts_of_others(fields[0], fields[1], run)
        fields[field] = decode_part(*coded[field], run * count, None, contexts)
    return fields


def surround(body, around, lead):
    return around[:lead] + body + around[lead:]


def join_planes(planes, rotate):
    """The elements of which `planes` are the bytes after the rotation."""
    width = len(planes)
    rotated = bytearray(width * len(planes[0]))
    for k in range(width):
        rotated[k::width] = planes[k]
    bits = 8 * width
    if rotate:
        for at in range(0, len(rotated), width):
            e = int.from_bytes(rotated[at : at + width], "little")
            e = (e >> rotate | e << (bits - rotate)) & ((1 << bits) - 1)
            rotated[at : at + width] = e.to_bytes(width, "little")
    return bytes(rotated)


def accumulate(body, width):
    """Integers from their differences: 0, 1, 2, 3, 4 stand for 0, -1, 1, -2, 2."""
    out, value, mask = bytearray(), 0, (1 << 8 * width) - 1
    for at in range(0, len(body), width):
        mark = int.from_bytes(body[at : at + width], "little")
        value = value + (-(mark + 1) // 2 if mark & 1 else mark // 2) & mask
        out += value.to_bytes(width, "little")
    return bytes(out)


def decode_sparse(parts, width, rotate, lead, count, around):
    first = Cursor(parts.next(4 + around))
    code_count = first.u32()
    check(code_count <= count + count // ESCAPE, "limit", "gap codes")
    codes = parts.next(code_count)
    check(not codes or codes[-1] < ESCAPE, "value", "gap codes end with an escape")
    places, at = [], 0
    for code in codes:
        if code < ESCAPE:
            places.append(at + code)
            at += code + 1
        else:
            at += ESCAPE << (code - ESCAPE)
        check(at <= count, "value", "gap codes beyond the elements")
    coded = join_planes([parts.next(len(places)) for _ in range(width)], rotate)
    body = bytearray(width * count)
    for number, place in enumerate(places):
        body[width * place : width * (place + 1)] = coded[width * number : width * (number + 1)]
    return surround(bytes(body), first.take(first.left()), lead)


def join_records(layout, fields, count):
    records = []
    for at in range(count):
        runs = [field[run * at : run * (at + 1)] for field, run in zip(fields, layout.runs)]
        records.append(pack_record(layout, runs))
    return b"".join(records)


def xor_base(raw, base):
    n = min(len(raw), len(base))
    mixed = int.from_bytes(raw[:n], "little") ^ int.from_bytes(base[:n], "little")
    return mixed.to_bytes(n, "little") + raw[n:]
