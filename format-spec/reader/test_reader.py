#!/usr/bin/env python3
"""Tests of the reader against a small writer that lives only here. Run: python3 test_reader.py"""

import contextlib
import hashlib
import io
import os
import random
import struct
import sys
import tempfile
import unittest

import zstandard

import snapcrypto as crypto
import snapformat as fmt
import snapread
from snapbase import LIMITS, Cursor, FormatError
from snapblocks import accumulate, decode_block, xor_base
from snapcodec import Chunker
from snaprecords import LAYOUTS, unpack_record
from snaprepo import Repository

R, MK = bytes(range(16)), bytes(range(100, 132))
KEYS = crypto.Keys(R, MK)
PARAMETERS = {0: (1, 16384, 65536, 262144), 1: (1, 4096, 16384, 65536),
              2: (1, 32768, 131072, 524288), 3: (1, 65536, 262144, 1048576)}
TIME = struct.pack("<qI", 1_700_000_000, 5)


def b16(raw):
    return struct.pack("<H", len(raw)) + raw


def listing(items, count="<H"):
    return struct.pack(count, len(items)) + b"".join(items)


def seal(kind, plain):
    nonce = os.urandom(24)
    return nonce + crypto.xaes_seal(KEYS.seal, nonce, plain, KEYS.aad(kind))


def frame(plain):
    coded = zstandard.compress(plain)
    coder, coded = (1, coded) if len(coded) < len(plain) else (0, plain)
    return struct.pack("<BI", coder, len(plain)) + coded


def sealed_object(kind, body):
    return crypto.magic(kind) + struct.pack("<HBB", 1, 0, 0) + seal(kind, frame(body))


def planes(raw, width, rotate, lead):
    n = (len(raw) - lead) // width
    bits, rotated = 8 * width, b""
    for i in range(n):
        e = int.from_bytes(raw[lead + width * i : lead + width * (i + 1)], "little")
        e = (e << rotate | e >> (bits - rotate)) & ((1 << bits) - 1)
        rotated += e.to_bytes(width, "little")
    return [rotated[k::width] for k in range(width)] + [raw[:lead] + raw[lead + n * width :]]


def code_part(part, coder, prefix=None):
    if not part:
        return 0, b""
    if coder == 2:
        return 2, part[:1]
    if coder == 0:
        return 0, part
    dictionary = None
    if prefix is not None:
        dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return 1, zstandard.ZstdCompressor(dict_data=dictionary, write_dict_id=False).compress(part)


def code_block(raw, transform=0, width=1, rotate=0, lead=0, use=0, base=b"", coder=1):
    x = xor_base(raw, base) if use == 2 else raw
    parts = [x] if transform == 0 else planes(x, width, rotate, lead)
    coded = [code_part(part, coder, base if use == 1 else None) for part in parts]
    table = b"".join(struct.pack("<BI", number, len(bytes_)) for number, bytes_ in coded)
    head = struct.pack("<5B3xI", transform, width, rotate, lead, use, len(raw))
    return head + table + b"".join(bytes_ for _, bytes_ in coded)


def pack(content, blocks):
    """`blocks`: (coded, depth, base ids, [plain chunks])"""
    sealed = [seal("block", coded) for coded, *_ in blocks]
    chunks = [plain for *_, plains in blocks for plain in plains]
    body = struct.pack("<I", len(blocks))
    body += b"".join(struct.pack("<I", len(s)) for s in sealed)
    body += b"".join(struct.pack("<I", len(plains)) for *_, plains in blocks)
    body += b"".join(struct.pack("<H", len(bases)) for _, _, bases, _ in blocks)
    body += bytes(depth for _, depth, _, _ in blocks)
    body += b"".join(base[:8] for _, _, bases, _ in blocks for base in bases)
    body += b"".join(struct.pack("<I", len(plain)) for plain in chunks)
    body += b"".join(KEYS.chunk_id(content, plain) for plain in chunks)
    directory = seal("directory", frame(body))
    head = crypto.magic("pack") + struct.pack("<HBB4x", 1, content, 0)
    tail = directory + struct.pack("<I", len(directory)) + crypto.magic("packend")
    return head + b"".join(sealed) + tail, len(directory), body


def node(name, kind, content, link=None):
    head = b16(name) + struct.pack("<BBIII", kind, 0, 0o644, 1, 2) + b16(b"me") + b16(b"us")
    link = b"\0" if link is None else b"\1" + struct.pack("<Q", link)
    xattrs = listing([b16(b"user.a") + struct.pack("<I", 1) + b"x"])
    return head + TIME + TIME + struct.pack("<Q", 7) + link + xattrs + content


def file_node(name, chunks, link=None):
    inline = b"".join(KEYS.chunk_id(0, c) + struct.pack("<I", len(c)) for c in chunks)
    size = sum(map(len, chunks))
    return node(name, 0, struct.pack("<QBBB", size, 0, 0, len(chunks)) + inline, link)


def tree(nodes):
    return struct.pack("<BBI", 0x54, 0, len(nodes)) + b"".join(nodes)


def config_body():
    sets = [struct.pack("<BBBIII", c, 1, *p) for c, p in PARAMETERS.items()]
    return R + TIME + struct.pack("<BI", 1, 64 << 20) + listing(sets) + 3 * listing([])


def key_file(secret, kdf=(0, 0, 0)):
    salt, nonce = os.urandom(16), os.urandom(24)
    kek, commitment = crypto.key_file_secrets(secret, salt)
    head = crypto.magic("key") + struct.pack("<HBBIII", 1, int(kdf != (0, 0, 0)), 0, *kdf)
    head += salt + commitment
    return head + nonce + crypto.xaes_seal(kek, nonce, R + MK + TIME + b16(b"test"), head)


class Example:
    """A repository with one snapshot, in a temporary directory."""

    def __init__(self, root):
        self.root = root
        rng = random.Random(1)
        self.a = [b"alpha " * 300, b"beta " * 200]
        self.b = [b"alpha " * 250 + b"gamma"]
        self.weights = rng.randbytes(4001)
        self.many = [bytes([i]) * 100 for i in range(20)]
        self.files = {b"/d/a": self.a, b"/d/a2": self.a, b"/d/b": self.b,
                      b"/many": self.many, b"/w": [self.weights]}
        base = b"".join(self.a)
        base_ids = [KEYS.chunk_id(0, c) for c in self.a]
        data = [
            (code_block(base), 0, [], self.a),
            (code_block(self.b[0], use=1, base=base), 1, base_ids, self.b),
            (code_block(self.weights, 1, 2, 9, 1, 2, self.b[0]), 2, [KEYS.chunk_id(0, self.b[0])],
             [self.weights]),
            (code_block(b"".join(self.many), coder=0), 0, [], self.many),
        ]
        entries = [KEYS.chunk_id(0, c) for c in self.many]
        leaves = [struct.pack("<BBI", 0x4C, 0, len(part)) + b"".join(part) + struct.pack("<I", 100) * len(part)
                  for part in (entries[:12], entries[12:])]
        inner = struct.pack("<BBI", 0x4C, 1, 2) + b"".join(KEYS.chunk_id(1, leaf) for leaf in leaves)
        inner += struct.pack("<QQ", 1200, 800)
        d = tree([file_node(b"a", self.a, 3), file_node(b"a2", self.a, 3), file_node(b"b", self.b)])
        listed = struct.pack("<QBB", 2000, 0, 1) + KEYS.chunk_id(1, inner) + struct.pack("<BQ", 1, 20)
        root_tree = tree([
            node(b"d", 1, KEYS.chunk_id(1, d)),
            node(b"l", 2, b16(b"d/a")),
            node(b"many", 0, listed),
            file_node(b"w", [self.weights]),
        ])
        trees = [*leaves, inner, d, root_tree]
        packs = [(0, data), (1, [(code_block(b"".join(trees)), 0, [], trees)])]
        index = []
        for content, blocks in packs:
            stored, directory, body = pack(content, blocks)
            name = self.put("packs", stored)
            copy = b"\0" if content else b"\1" + struct.pack("<I", len(body)) + body
            index.append(bytes.fromhex(name) + struct.pack("<IIB", len(stored), directory, content) + copy)
        self.put("index", sealed_object("index", listing(sorted(index), "<I")))
        self.put("snapshots", sealed_object("snapshot", self.snapshot(KEYS.chunk_id(1, root_tree))))
        self.write("config/00000001", sealed_object("config", config_body()))
        self.secret = os.urandom(32)
        self.put("keys", key_file(self.secret))
        self.put("keys", key_file(crypto.Argon2id(
            salt=b"\0" * 16, length=32, iterations=1, lanes=1, memory_cost=8192).derive(b"no")))

    def snapshot(self, root):
        source = struct.pack("<B", 0) + b16(b"/") + b"\xff" + listing([]) + struct.pack("<iQB", 0, 1, 0)
        return (R + TIME * 3 + b16(b"host") + b16(b"me") + b16(b"") + b16(b"test 1")
                + listing([b16(b"t1"), b16(b"t2")]) + listing([b16(b"k") + b16(b"v")])
                + listing([b16(b"/")]) + listing([source]) + root + b"\0\0" + bytes(72)
                + listing([]) + bytes(32))

    def put(self, folder, stored):
        name = crypto.object_id(stored)
        self.write(f"{folder}/{name[:2]}/{name}" if folder == "packs" else f"{folder}/{name}", stored)
        return name

    def write(self, name, stored):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(stored)

    def open(self):
        return Repository(self.root, key_file_text=crypto.format_secret("raw", self.secret))


class Whole(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.example = Example(folder.name)

    def test_every_file_comes_back(self):
        repository = self.example.open()
        repository.load_index()
        (snapshot,) = repository.snapshots().values()
        found = {path: b"".join(repository.content(node))
                 for path, node in repository.walk(snapshot) if node["type"] == "file"}
        self.assertEqual(found, {path: b"".join(c) for path, c in self.example.files.items()})
        self.assertEqual(repository.find(snapshot, b"/d/b")["size"], len(self.example.b[0]))

    def test_every_changed_byte_is_noticed(self):
        rng = random.Random(2)
        for folder, _, files in os.walk(self.example.root):
            for file in files:
                path = os.path.join(folder, file)
                with open(path, "rb") as source:
                    stored = source.read()
                places = [0, 8, 11, len(stored) - 1, *(rng.randrange(len(stored)) for _ in range(12))]
                for at in places:
                    with open(path, "wb") as out:
                        out.write(stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :])
                    with self.assertRaises(FormatError, msg=f"{path} {at}"):
                        self.verify()
                with open(path, "wb") as out:
                    out.write(stored)
        self.verify()

    def verify(self):
        with contextlib.redirect_stdout(io.StringIO()):
            snapread.command_verify(self.example.open(), None)

    def test_master_secret_opens(self):
        text = crypto.format_secret("master", R + MK).upper().replace(" ", "\t")
        self.assertEqual(Repository(self.example.root, key_file_text=text).keys.seal, KEYS.seal)

    def test_command_line(self):
        with tempfile.NamedTemporaryFile("w") as key, tempfile.NamedTemporaryFile("rb") as out:
            key.write("# a comment\n" + crypto.format_secret("raw", self.example.secret))
            key.flush()
            for words in (["snapshots"], ["ls", "latest"], ["verify"],
                          ["extract", "latest", "d/a", "-o", out.name]):
                sys.argv = ["snapread", "--repo", self.example.root, "--key-file", key.name, *words]
                with contextlib.redirect_stdout(io.StringIO()) as printed:
                    self.assertEqual(snapread.main(), 0)
                self.assertEqual(bool(printed.getvalue()), words[0] != "extract")
            self.assertEqual(out.read(), b"".join(self.example.a))


class Pieces(unittest.TestCase):
    def refused(self, code, call, *arguments, **named):
        with self.assertRaises(FormatError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.code, code)

    def test_xaes_is_the_published_one(self):
        """The accumulated vector of C2SP XAES-256-GCM, 10,000 rounds."""
        source, sink = hashlib.shake_128(), hashlib.shake_128()
        stream = io.BytesIO(source.digest(32 + 10_000 * 600))
        for _ in range(10_000):
            key, nonce = stream.read(32), stream.read(24)
            plain = stream.read(stream.read(1)[0])
            aad = stream.read(stream.read(1)[0])
            coded = crypto.xaes_seal(key, nonce, plain, aad)
            sink.update(coded)
        self.assertEqual(
            sink.hexdigest(32), "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"
        )

    def test_blocks_round_trip_in_every_shape(self):
        rng = random.Random(3)
        base = rng.randbytes(500)
        for length in (1, 2, 7, 8, 9, 255, 1000):
            raw = rng.randbytes(length)
            for coder in (0, 1):
                for use in (0, 2):
                    for width, rotate, lead in ((2, 0, 0), (2, 9, 1), (4, 31, 3), (8, 7, 7), (8, 0, 0)):
                        if lead <= length:
                            coded = code_block(raw, 1, width, rotate, lead, use, base, coder)
                            self.assertEqual(decode_block(coded, length, base if use else b""), raw)
            self.assertEqual(decode_block(code_block(raw, use=1, base=base), length, base), raw)

    def test_records_are_their_fields(self):
        rng = random.Random(5)
        for number, layout in LAYOUTS.items():
            raw = rng.randbytes(layout.length * 4 + 9)
            records = [raw[7 + layout.length * at :][: layout.length] for at in range(4)]
            fields = zip(*(unpack_record(layout, record) for record in records))
            parts = [b"".join(field) for field in fields] + [raw[:7] + raw[-2:]]
            table = b"".join(struct.pack("<BI", 0, len(part)) for part in parts)
            head = struct.pack("<5B3xI", 2, number, 0, 7, 0, len(raw))
            self.assertEqual(decode_block(head + table + b"".join(parts), len(raw)), raw)

    def test_differences_add_up(self):
        values = (3, 2, 4, 1, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF)
        marks = (6, 1, 4, 5, 3, 0xFFFFFFFD, 1)
        body = b"".join(struct.pack("<I", mark) for mark in marks)
        self.assertEqual(accumulate(body, 4), b"".join(struct.pack("<I", value) for value in values))

    def test_sparse_elements_stand_where_the_gaps_put_them(self):
        raw = bytearray(1 + 2 * 800)
        raw[0], raw[1 + 2 * 5], raw[2 + 2 * 800 - 2] = 9, 1, 7
        parts = [struct.pack("<I", 4) + raw[:1], bytes([5, 241, 240, 73]), b"\1\0", b"\0\7"]
        table = b"".join(struct.pack("<BI", 0, len(part)) for part in parts)
        head = struct.pack("<5B3xI", 3, 2, 0, 1, 0, len(raw))
        self.assertEqual(decode_block(head + table + b"".join(parts), len(raw)), bytes(raw))
        base = bytes(range(256))
        head = struct.pack("<5B3BI", 3, 2, 0, 1, 2, 100, 0, 0, len(raw))
        mixed = xor_base(bytes(raw), base[100:])
        self.assertEqual(decode_block(head + table + b"".join(parts), len(raw), base), mixed)

    def test_frames_refuse_what_is_not_canonical(self):
        plain = b"frame " * 50
        coded = zstandard.compress(plain)
        head = struct.pack("<BI", 1, len(plain))
        self.assertEqual(crypto.decode_frame(head + coded, 300), plain)
        self.refused("limit", crypto.decode_frame, head + coded, 299)
        self.refused("zstd", crypto.decode_frame, head + coded + b"x", 300)
        self.refused("zstd", crypto.decode_frame, head + coded[:-1], 300)
        self.refused("zstd", crypto.decode_frame, struct.pack("<BI", 1, 299) + coded, 300)
        self.refused("trailing", crypto.decode_frame, struct.pack("<BI", 0, 1) + b"xy", 300)
        self.refused("short", crypto.decode_frame, struct.pack("<BI", 0, 3) + b"xy", 300)
        self.refused("number", crypto.decode_frame, struct.pack("<BI", 2, 2) + b"xy", 300)
        skippable = b"\x50\x2a\x4d\x18" + struct.pack("<I", 0)
        self.refused("zstd", crypto.decode_frame, head + skippable + coded, 300)
        self.refused("zstd", crypto.decode_frame, head + coded + skippable, 300)

    def test_zstd_frames_are_one_and_plain(self):
        plain = b"frame " * 50
        for size, checksum in ((True, True), (True, False), (False, True)):
            writer = zstandard.ZstdCompressor(write_content_size=size, write_checksum=checksum)
            coded = writer.compress(plain)
            self.assertEqual(crypto.unzstd(coded, 300), plain)
            if not size:
                self.refused("zstd", crypto.unzstd, coded, 300, sized=True)
        # A head with a window, and one stored block.
        for window, refused in ((0x60, False), (0x61, True), (0x5F, False), (0x68, True)):
            coded = b"\x28\xb5\x2f\xfd\0" + bytes([window]) + b"\x19\0\0abc"
            if refused:
                self.refused("zstd", crypto.unzstd, coded, 3)
            else:
                self.assertEqual(crypto.unzstd(coded, 3), b"abc")
        for identity in (0, 1):
            coded = b"\x28\xb5\x2f\xfd\x21" + bytes([identity, 3]) + b"\x19\0\0abc"
            self.refused("zstd", crypto.unzstd, coded, 3)

    def test_a_password_loses_one_line_end(self):
        for stored, password in ((b"p", b"p"), (b"p\n", b"p"), (b"p\r\n", b"p"), (b"p\n\n", b"p\n"),
                                 (b"p\r", b"p\r"), (b" p \n", b" p "), (b"a\nb\n", b"a\nb"), (b"\n", b"")):
            self.assertEqual(snapread.without_line_end(stored), password)

    def test_inner_roots_have_two_entries(self):
        fmt.check_root(0, [])
        fmt.check_root(1, [1, 2])
        self.refused("count", fmt.check_root, 1, [1])

    def test_sheets_name_the_line(self):
        text = crypto.format_secret("raw", bytes(range(32)))
        self.assertEqual(crypto.parse_secret(text), ("raw", bytes(range(32))))
        lines = text.split("\n")
        lines[2] = lines[2].replace("a", "b", 1) if "a" in lines[2] else "2: aaaa aa"
        with self.assertRaisesRegex(FormatError, "line 2"):
            crypto.parse_secret("\n".join(lines))

    def test_counts_that_lie_cost_nothing(self):
        self.refused("short", fmt.decode_index, struct.pack("<I", 65536))
        self.refused("limit", fmt.decode_index, struct.pack("<I", 65537))
        self.refused("short", fmt.decode_tree, struct.pack("<BBI", 0x54, 0, 65536))
        self.refused("short", fmt.decode_directory, struct.pack("<I", 65536))
        self.refused("short", fmt.decode_list, struct.pack("<BBI", 0x4C, 0, 8192))
        self.refused("limit", fmt.decode_tree, struct.pack("<BBI", 0x54, 1, 8193))

    def test_names_that_escape_are_refused(self):
        for name in (b"", b".", b"..", b"a/b", b"/", b"a\0", b"x" * 4097):
            self.refused("name", fmt.decode_tree, tree([file_node(name, [])]))
        self.refused("order", fmt.decode_tree, tree([file_node(b"b", []), file_node(b"a", [])]))
        self.refused("order", fmt.decode_tree, tree([file_node(b"a", []), file_node(b"a", [])]))

    def test_chunks_are_the_input_and_within_bounds(self):
        data = random.Random(4).randbytes(300_000)
        for normalization, minimum, average, maximum in ((1, 64, 256, 1024), *PARAMETERS.values()):
            lengths = Chunker(KEYS.gear, normalization, minimum, average, maximum).lengths(data)
            self.assertEqual(sum(lengths), len(data))
            self.assertTrue(all(minimum <= n <= maximum for n in lengths[:-1]))

    def test_limits_are_those_of_the_table(self):
        path = os.path.join(os.path.dirname(__file__), "..", "01-conventions.md")
        with open(path, encoding="utf-8") as chapter:
            rows = [line.split("|") for line in chapter if line.count("|") == 4]
        table = {row[1].strip(): row[2].strip() for row in rows}
        self.assertEqual({name: str(value) for name, value in LIMITS.items()},
                         {name: table.get(name) for name in LIMITS})

    def test_a_cursor_never_reads_past_the_end(self):
        self.refused("short", Cursor(b"\1").u16)
        self.refused("number", Cursor(b"\2").option, None)
        self.refused("text", Cursor(b"\1\0\xff").text)
        self.refused("text", Cursor(b"\1\0\0").text)


if __name__ == "__main__":
    unittest.main()
