"""Chapter 1: limits, the error, and the cursor that every decoder reads with."""

LIMITS = {
    "CHUNK_SIZE_MAX_BYTES": 1 << 20,
    "BLOCK_RAW_MAX_BYTES": 1 << 20,
    "BLOCK_BASED_RAW_MAX_BYTES": 1 << 20,
    "BASE_MAX_BYTES": 2 << 20,
    "BASE_COUNT_MAX": 1024,
    "BASE_DEPTH_MAX": 32,
    "BLOCK_CHUNK_COUNT_MAX": 65536,
    "BLOCK_STORED_MAX_BYTES": 1049600,
    "PACK_SIZE_MAX_BYTES": 128 << 20,
    "PACK_BLOCK_COUNT_MAX": 65536,
    "DIRECTORY_PLAIN_MAX_BYTES": 64 << 20,
    "INDEX_PLAIN_MAX_BYTES": 64 << 20,
    "INDEX_PACK_COUNT_MAX": 65536,
    "SNAPSHOT_PLAIN_MAX_BYTES": 1 << 20,
    "PLAN_PLAIN_MAX_BYTES": 64 << 20,
    "PLAN_PACK_COUNT_MAX": 1 << 20,
    "CONFIG_PLAIN_MAX_BYTES": 65536,
    "KEY_FILE_MAX_BYTES": 4096,
    "KEY_FILE_COUNT_MAX": 32,
    "LEASE_MAX_BYTES": 4096,
    "LIST_ENTRY_COUNT_MAX": 8192,
    "LIST_LEVEL_MAX": 8,
    "TREE_NODE_COUNT_MAX": 65536,
    "TREE_LEVEL_MAX": 8,
    "TREE_DEPTH_MAX": 1024,
    "NAME_MAX_BYTES": 4096,
    "LINK_TARGET_MAX_BYTES": 4096,
    "XATTR_TOTAL_MAX_BYTES": 65536,
    "INLINE_CHUNK_COUNT_MAX": 16,
    "TAG_COUNT_MAX": 256,
    "SOURCE_COUNT_MAX": 4096,
    "FEATURE_COUNT_MAX": 64,
}

# What a decoder may answer; vectors/README.md explains each.
CODES = (
    "short trailing magic version recipient reserved number limit count order text name value "
    "mismatch open hash zstd coder base duplicate feature kdf wrong-key sheet missing repository"
).split()


class FormatError(Exception):
    """Bytes that the specification refuses. `code` is one of CODES."""

    def __init__(self, code, detail=""):
        assert code in CODES, code
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code


def check(condition, code, detail=""):
    """Refuse unless `condition` holds."""
    if not condition:
        raise FormatError(code, detail)


class Cursor:
    """Reads little-endian, fixed-width values off the front of some bytes; never past their end."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def left(self):
        return len(self.data) - self.at

    def take(self, n):
        check(n <= self.left(), "short", f"{n} bytes wanted, {self.left()} left")
        self.at += n
        return bytes(self.data[self.at - n : self.at])

    def end(self):
        check(self.left() == 0, "trailing", f"{self.left()} bytes")

    def uint(self, size):
        return int.from_bytes(self.take(size), "little")

    def u8(self):
        return self.uint(1)

    def u16(self):
        return self.uint(2)

    def u32(self):
        return self.uint(4)

    def u64(self):
        return self.uint(8)

    def i32(self):
        return int.from_bytes(self.take(4), "little", signed=True)

    def u32s(self, n):
        raw = self.take(4 * n)
        return [int.from_bytes(raw[4 * i : 4 * i + 4], "little") for i in range(n)]

    def byteses(self, n, size):
        raw = self.take(size * n)
        return [raw[size * i : size * (i + 1)] for i in range(n)]

    def number(self, allowed, what):
        """A u8 that must be one of `allowed`."""
        value = self.u8()
        check(value in allowed, "number", f"{what} {value}")
        return value

    def bytes16(self):
        return self.take(self.u16())

    def bytes32(self, limit):
        size = self.u32()
        check(size <= limit, "limit", f"{size} bytes")
        return self.take(size)

    def text(self):
        raw = self.bytes16()
        try:
            value = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError("text", "not UTF-8") from None
        check("\0" not in value, "text", "NUL")
        return value

    def time(self):
        """(seconds since 1970, nanoseconds)"""
        seconds = int.from_bytes(self.take(8), "little", signed=True)
        nanoseconds = self.u32()
        check(nanoseconds < 1_000_000_000, "value", "nanoseconds")
        return seconds, nanoseconds

    def option(self, read):
        return read() if self.number((0, 1), "option") else None

    def list16(self, read, limit=65535, key=None):
        """A counted sequence; with `key`, strictly ascending by it."""
        return self._sequence(self.u16(), read, limit, key)

    def list32(self, read, limit, key=None):
        return self._sequence(self.u32(), read, limit, key)

    def _sequence(self, count, read, limit, key):
        check(count <= limit, "limit", f"{count} entries")
        # Every entry takes a byte at least, so a count that lies is refused before it costs memory.
        check(count <= self.left(), "short", f"{count} entries")
        values = [read() for _ in range(count)]
        if key is not None:
            ascending([key(value) for value in values])
        return values


def ascending(keys):
    """Refuse a sequence that is not strictly ascending by its bytes."""
    for a, b in zip(keys, keys[1:]):
        check(a < b, "order", "not strictly ascending")
