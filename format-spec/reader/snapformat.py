"""Chapters 3.7, 5 and 7 to 12: the bodies of objects and chunks, decoded and nothing else."""

from dataclasses import dataclass, field

from snapbase import LIMITS, Cursor, FormatError, ascending, check
from snapcodec import check_parameters
from snapcrypto import VERSION, check_version, decode_frame, magic, object_id

CLASSES = (0, 1, 2, 3)
CLASS_UNDECIDED = 255
KNOWN_FEATURES = ()


# 3.7 config


def decode_config(body, repository_id):
    cursor = Cursor(body)
    check_repository(cursor, repository_id)
    created = cursor.time()
    lease_mode = cursor.number((1, 2), "lease mode")
    pack_size = cursor.u32()
    check(4 << 20 <= pack_size <= 100 << 20, "value", "pack target size")
    chunkers = cursor.list16(lambda: decode_chunker(cursor), 256, key=lambda chunker: chunker[0])
    check(chunkers, "count", "no parameter sets")
    check(chunkers[0][0] == 0, "value", "no parameter set of class 0")
    features = [
        cursor.list16(
            lambda: (cursor.text(), cursor.text(), cursor.text()),
            LIMITS["FEATURE_COUNT_MAX"],
            key=lambda feature: feature[0].encode(),
        )
        for _ in range(3)
    ]
    cursor.end()
    return {
        "created": created,
        "lease_mode": lease_mode,
        "pack_size": pack_size,
        "chunkers": {c[0]: c[1:] for c in chunkers},
        "incompat": features[0],
        "ro_compat": features[1],
        "compat": features[2],
    }


def decode_chunker(cursor):
    """(class, normalization, min, avg, max)"""
    class_number = cursor.u8()
    cursor.number((1,), "algorithm")
    parameters = cursor.u8(), cursor.u32(), cursor.u32(), cursor.u32()
    check_parameters(*parameters)
    return class_number, *parameters


def check_features(config):
    """Refuse a repository that this reader does not know how to read (chapter 13)."""
    for name, message, program in config["incompat"]:
        if name not in KNOWN_FEATURES:
            raise FormatError("feature", f"{name}: {message} (needs {program})")


def check_repository(cursor, repository_id):
    check(cursor.take(16) == repository_id, "repository", "another repository's id")


# 5 chunk lists


def chunk_entries(cursor, count):
    """`count` ids and then `count` lengths; all lengths within bounds."""
    ids = cursor.byteses(count, 32)
    lengths = cursor.u32s(count)
    check_lengths(lengths)
    return list(zip(ids, lengths))


def check_lengths(lengths):
    limit = LIMITS["CHUNK_SIZE_MAX_BYTES"]
    check(all(1 <= length <= limit for length in lengths), "value", "chunk length")


def chunk_head(chunk, tag, level_max, leaf_max):
    """The head that list and tree chunks share: (cursor, level, n)."""
    cursor = Cursor(chunk)
    check(cursor.u8() == tag, "magic", "tag of a tree chunk")
    level, n = cursor.u8(), cursor.u32()
    check(level <= level_max, "limit", f"level {level}")
    check(n <= (LIMITS["LIST_ENTRY_COUNT_MAX"] if level else leaf_max), "limit", f"{n} entries")
    return cursor, level, n


def check_root(level, entries):
    """The root of a list or of a directory's tree is a leaf or has two entries at least."""
    check(level == 0 or len(entries) >= 2, "count", "an inner root of one entry")


def decode_list(chunk):
    """(level, [(id, content bytes)])"""
    cursor, level, n = chunk_head(
        chunk, 0x4C, LIMITS["LIST_LEVEL_MAX"], LIMITS["LIST_ENTRY_COUNT_MAX"]
    )
    check(n >= 1, "count", "an empty list chunk")
    if level == 0:
        entries = chunk_entries(cursor, n)
    else:
        ids = cursor.byteses(n, 32)
        entries = [(child, cursor.u64()) for child in ids]
        check(all(size > 0 for _, size in entries), "value", "a child without content")
    cursor.end()
    return level, entries


# 7 packs

# A seal around the head and one entry of a part table; around the head of a frame.
BLOCK_STORED_MIN_BYTES, DIRECTORY_STORED_MIN_BYTES = 57, 45


@dataclass
class Block:
    """One block of a pack, as its directory tells."""

    offset: int
    stored: int
    depth: int
    bases: list  # names of 8 bytes
    chunks: list = field(default_factory=list)  # (id, length)

    def raw_length(self):
        return sum(length for _, length in self.chunks)


def decode_directory(body):
    cursor = Cursor(body)
    n = cursor.u32()
    check(n >= 1, "count", "no blocks")
    check(n <= LIMITS["PACK_BLOCK_COUNT_MAX"], "limit", f"{n} blocks")
    stored, chunk_counts = cursor.u32s(n), cursor.u32s(n)
    base_counts = [cursor.u16() for _ in range(n)]
    depths = [cursor.u8() for _ in range(n)]
    blocks, offset = [], 16
    for i in range(n):
        check(stored[i] <= LIMITS["BLOCK_STORED_MAX_BYTES"], "limit", "stored length")
        check(stored[i] >= BLOCK_STORED_MIN_BYTES, "value", "stored length below the least block")
        check(1 <= chunk_counts[i], "count", "a block without chunks")
        check(chunk_counts[i] <= LIMITS["BLOCK_CHUNK_COUNT_MAX"], "limit", "chunks of a block")
        check(base_counts[i] <= LIMITS["BASE_COUNT_MAX"], "limit", "bases of a block")
        check(depths[i] <= LIMITS["BASE_DEPTH_MAX"], "limit", "depth")
        check((depths[i] == 0) == (base_counts[i] == 0), "base", "depth and base list disagree")
        blocks.append(Block(offset, stored[i], depths[i], []))
        offset += stored[i]
    for block, count in zip(blocks, base_counts):
        block.bases = cursor.byteses(count, 8)
    chunks = chunk_columns(cursor, chunk_counts)
    cursor.end()
    for block, count in zip(blocks, chunk_counts):
        block.chunks, chunks = chunks[:count], chunks[count:]
        limit = LIMITS["BLOCK_BASED_RAW_MAX_BYTES" if block.bases else "BLOCK_RAW_MAX_BYTES"]
        check(block.raw_length() <= limit, "limit", "raw length of a block")
    return blocks


def chunk_columns(cursor, chunk_counts):
    """All chunks of a directory: a column of lengths, then one of ids."""
    total = sum(chunk_counts)
    lengths = cursor.u32s(total)
    check_lengths(lengths)
    ids = cursor.byteses(total, 32)
    check(len(set(ids)) == total, "duplicate", "a chunk occurs twice in a pack")
    return list(zip(ids, lengths))


def check_directory_place(blocks, directory_offset):
    end = blocks[-1].offset + blocks[-1].stored
    check(end == directory_offset, "mismatch", "blocks do not end where the directory starts")


def decode_pack(keys, stored, name=None):
    """(content, blocks) of a whole pack; its blocks are not opened."""
    check(len(stored) <= LIMITS["PACK_SIZE_MAX_BYTES"], "limit", "pack")
    check(len(stored) >= 16 + 57 + 45 + 12, "short", "pack")
    cursor = Cursor(stored)
    check(cursor.take(8) == magic("pack"), "magic", "pack")
    check_version(cursor)
    content = cursor.number((0, 1), "content")
    check(cursor.u8() == 0, "recipient")
    check(cursor.take(4) == bytes(4), "reserved")
    check(stored[-8:] == magic("packend"), "magic", "pack end")
    if name is not None:
        check(object_id(stored) == name, "hash", name)
    length = int.from_bytes(stored[-12:-8], "little")
    check(length <= len(stored) - 28, "short", "directory")
    check(length >= DIRECTORY_STORED_MIN_BYTES, "value", "directory length")
    directory_offset = len(stored) - 12 - length
    return content, open_directory(keys, stored[directory_offset:-12], directory_offset)


def open_directory(keys, sealed, offset):
    """The blocks of a sealed directory that starts at `offset` of its pack."""
    frame = keys.open_sealed("directory", sealed)
    blocks = decode_directory(decode_frame(frame, LIMITS["DIRECTORY_PLAIN_MAX_BYTES"]))
    check_directory_place(blocks, offset)
    return blocks


# 8 index


def decode_index(body):
    """[(pack id, size, directory length, content, blocks or None)]"""
    cursor = Cursor(body)

    def entry():
        pack, size, directory = cursor.take(32), cursor.u32(), cursor.u32()
        check(size <= LIMITS["PACK_SIZE_MAX_BYTES"], "limit", "pack size")
        check(directory >= DIRECTORY_STORED_MIN_BYTES, "value", "directory length")
        check(directory + 28 <= size, "mismatch", "a directory longer than its pack")
        content = cursor.number((0, 1), "content")
        blocks = None
        if cursor.number((0, 1), "directory copy"):
            blocks = decode_directory(cursor.bytes32(LIMITS["DIRECTORY_PLAIN_MAX_BYTES"]))
            check_directory_place(blocks, size - 12 - directory)
        return pack, size, directory, content, blocks

    packs = cursor.list32(entry, LIMITS["INDEX_PACK_COUNT_MAX"], key=lambda pack: pack[0])
    check(packs, "count", "an index of no packs")
    cursor.end()
    return packs


# 9 trees


def check_node_name(name):
    check(1 <= len(name) <= LIMITS["NAME_MAX_BYTES"], "name", "length")
    check(b"/" not in name and b"\0" not in name, "name", "separator or NUL")
    check(name not in (b".", b".."), "name", "dots")


NODE_TYPES = ("file", "directory", "symlink", "fifo", "chardev", "blockdev", "socket")


def decode_tree(chunk):
    """(level, nodes as dictionaries) of a leaf, or (level, child ids)."""
    cursor, level, n = chunk_head(
        chunk, 0x54, LIMITS["TREE_LEVEL_MAX"], LIMITS["TREE_NODE_COUNT_MAX"]
    )
    if level > 0:
        check(n >= 1, "count", "an empty inner tree chunk")
        entries = cursor.byteses(n, 32)
    else:
        check(n <= cursor.left(), "short", f"{n} nodes")
        entries = [decode_node(cursor) for _ in range(n)]
        ascending([node["name"] for node in entries])
    cursor.end()
    return level, entries


def decode_node(cursor):
    node = {"name": cursor.bytes16()}
    check_node_name(node["name"])
    node["type"] = NODE_TYPES[cursor.number(range(7), "node type")]
    flags = cursor.u8()
    check(flags < 4, "reserved", "node flags")
    check(flags == 0 or node["type"] == "file", "value", "flags of what is no file")
    node["changed"], node["sparse"] = bool(flags & 1), bool(flags & 2)
    node["mode"] = cursor.u32()
    check(node["mode"] < 1 << 12, "value", "mode")
    node["uid"], node["gid"] = cursor.u32(), cursor.u32()
    node["user"], node["group"] = cursor.text(), cursor.text()
    node["mtime"], node["ctime"] = cursor.time(), cursor.time()
    node["inode"] = cursor.u64()
    node["link_device"] = cursor.option(cursor.u64)
    check(node["link_device"] is None or node["type"] != "directory", "value", "linked directory")
    node["xattrs"] = decode_xattrs(cursor)
    decode_node_content(cursor, node)
    return node


def decode_xattrs(cursor):
    limit = LIMITS["XATTR_TOTAL_MAX_BYTES"]

    def xattr():
        return cursor.bytes16(), cursor.bytes32(limit)

    xattrs = cursor.list16(xattr, key=lambda pair: pair[0])
    check(all(name and b"\0" not in name for name, _ in xattrs), "value", "name of an attribute")
    check(sum(len(name) + len(value) for name, value in xattrs) <= limit, "limit", "xattrs")
    return xattrs


def decode_node_content(cursor, node):
    if node["type"] == "file":
        node["size"] = cursor.u64()
        node["class"] = cursor.number(CLASSES, "class")
        if cursor.number((0, 1), "form") == 0:
            count = cursor.u8()
            check(count <= LIMITS["INLINE_CHUNK_COUNT_MAX"], "limit", "inline chunks")
            node["chunks"] = [(cursor.take(32), cursor.u32()) for _ in range(count)]
            lengths = [length for _, length in node["chunks"]]
            check_lengths(lengths)
            check(sum(lengths) == node["size"], "mismatch", "size of a file")
        else:
            node["list"], node["list_level"], node["chunk_count"] = cursor.take(32), cursor.u8(), cursor.u64()
            check(node["list_level"] <= LIMITS["LIST_LEVEL_MAX"], "limit", "list level")
            inline = LIMITS["INLINE_CHUNK_COUNT_MAX"]
            check(node["chunk_count"] > inline, "value", "a short list belongs into the node")
            check(node["chunk_count"] <= node["size"], "value", "more chunks than bytes")
    elif node["type"] == "directory":
        node["tree"] = cursor.take(32)
    elif node["type"] == "symlink":
        node["target"] = cursor.bytes16()
        check(len(node["target"]) <= LIMITS["LINK_TARGET_MAX_BYTES"], "limit", "link target")
        check(node["target"] and b"\0" not in node["target"], "value", "link target")
    elif node["type"] in ("chardev", "blockdev"):
        node["device"] = cursor.u32(), cursor.u32()


# 10 snapshots

TOTALS = (
    "files directories others unchanged_files unread_sources read_bytes new_chunk_bytes "
    "stored_bytes content_bytes"
).split()


def decode_snapshot(body, repository_id):
    cursor = Cursor(body)
    check_repository(cursor, repository_id)
    snapshot = {"version": VERSION}
    for name in ("time", "began", "ended"):
        snapshot[name] = cursor.time()
    for name in ("host", "user", "job", "program"):
        snapshot[name] = cursor.text()
    snapshot["tags"] = cursor.list16(cursor.text, LIMITS["TAG_COUNT_MAX"], key=str.encode)
    snapshot["metadata"] = cursor.list16(
        lambda: (cursor.text(), cursor.text()), LIMITS["TAG_COUNT_MAX"], key=lambda pair: pair[0].encode()
    )
    snapshot["paths"] = cursor.list16(cursor.bytes16, LIMITS["SOURCE_COUNT_MAX"], key=bytes)
    snapshot["sources"] = cursor.list16(lambda: decode_source(cursor), LIMITS["SOURCE_COUNT_MAX"])
    snapshot["root"] = cursor.take(32)
    snapshot["parent"] = cursor.option(lambda: cursor.take(32))
    snapshot["original"] = cursor.option(lambda: cursor.take(32))
    snapshot["totals"] = {name: cursor.u64() for name in TOTALS}
    snapshot["features"] = cursor.list16(cursor.text, LIMITS["FEATURE_COUNT_MAX"], key=str.encode)
    snapshot["seen"] = cursor.take(32)
    cursor.end()
    return snapshot


def check_snapshot_features(snapshot):
    """Refuse a snapshot that needs what this reader does not know (chapter 13)."""
    for name in snapshot["features"]:
        check(name in KNOWN_FEATURES, "feature", name)


def decode_source(cursor):
    source = {"kind": ("path", "stdin", "command")[cursor.number(range(3), "source kind")]}
    source["name"] = cursor.bytes16()
    source["class"] = cursor.number((*CLASSES, CLASS_UNDECIDED), "class")
    source["command"] = cursor.list16(cursor.bytes16, LIMITS["SOURCE_COUNT_MAX"])
    source["exit_status"], source["size"] = cursor.i32(), cursor.u64()
    source["digest"] = cursor.option(lambda: cursor.take(32))
    check((source["digest"] is None) == (source["kind"] == "path"), "value", "digest of a source")
    return source


# 11 plans


def decode_plan(body):
    cursor = Cursor(body)
    plan = {"created": cursor.time(), "grace_seconds": cursor.u64(), "host": cursor.text()}
    plan["packs"] = cursor.list32(
        lambda: (cursor.take(32), cursor.u32()), LIMITS["PLAN_PACK_COUNT_MAX"], key=lambda pack: pack[0]
    )
    check(plan["packs"], "count", "a plan of no packs")
    cursor.end()
    return plan


# 12 leases


def decode_lease(body):
    cursor = Cursor(body)
    lease = {"owner": cursor.take(16), "host": cursor.text(), "pid": cursor.u32()}
    lease["command"], lease["started"] = cursor.text(), cursor.time()
    lease["ttl_seconds"], lease["sequence"] = cursor.u32(), cursor.u64()
    cursor.end()
    return lease
