"""Chapters 2, 6.2, 6.3, 9: a repository in a directory, opened for reading."""

import itertools
import os
import re
from collections import OrderedDict

import snapformat as fmt
from snapbase import LIMITS, Cursor, FormatError, check
from snapblocks import decode_block
from snapcrypto import Keys, magic, object_id, open_key_file, open_object, parse_secret

DATA, TREE = 0, 1
NAMES = {
    "config": r"config/\d{8}",
    "key": r"keys/[0-9a-f]{64}",
    "pack": r"packs/([0-9a-f]{2})/\1[0-9a-f]{62}",
    "index": r"index/[0-9a-f]{64}",
    "snapshot": r"snapshots/[0-9a-f]{64}",
    "plan": r"plans/[0-9a-f]{64}",
}
CACHED_BLOCK_COUNT = 64
# Combinations of base chunks to try, and candidates for one name, when several chunks share a name.
BASE_TRIES_MAX = 4


class Store:
    """The objects of a directory, by kind; other names are ignored (chapter 2)."""

    def __init__(self, root):
        self.root = root
        self.names = {kind: [] for kind in NAMES}
        for folder, _, files in os.walk(root):
            for file in files:
                name = os.path.relpath(os.path.join(folder, file), root).replace(os.sep, "/")
                for kind, pattern in NAMES.items():
                    if re.fullmatch(pattern, name):
                        self.names[kind].append(name)
        for names in self.names.values():
            names.sort()

    def size(self, name):
        return os.path.getsize(os.path.join(self.root, name))

    def read(self, name, offset=0, length=-1):
        with open(os.path.join(self.root, name), "rb") as file:
            file.seek(offset)
            return file.read(length)


class Repository:
    """An opened repository. `blocks` and `chunks` are the index in memory."""

    def __init__(self, root, password=None, key_file_text=None):
        self.store = Store(root)
        check(self.store.names["config"], "missing", "config")
        body = self._open_config(self.store.read(max(self.store.names["config"])), password, key_file_text)
        self.config = fmt.decode_config(body, self.keys.repository_id)
        fmt.check_features(self.config)
        self.packs = {}  # pack name -> (size, directory length, content, blocks or None)
        self.chunks = {}  # (content, id) -> (pack name, block number)
        self.by_name = {}  # (content, first 8 bytes) -> ids
        self.decoded = OrderedDict()

    def _open_config(self, stored, password, key_file_text):
        """Sets `keys`. A key file of an init that was broken off opens too, but not the config."""
        refused = None
        for master in self._masters(password, key_file_text):
            self.keys = Keys(*master)
            try:
                return open_object(self.keys, "config", stored)
            except FormatError as error:
                refused = refused or error
        raise refused

    def _masters(self, password, key_file_text):
        secret = ("password", password)
        if key_file_text is not None:
            kind, value = parse_secret(key_file_text)
            if kind == "master":
                yield value[:16], value[16:]
                return
            secret = ("raw", value)
        found, refused = False, None
        for name in self.store.names["key"][: LIMITS["KEY_FILE_COUNT_MAX"]]:
            try:
                master = open_key_file(self.store.read(name), secret, name[5:])[:2]
            except FormatError as error:
                # Damage is told only when no other key file opens.
                if error.code != "wrong-key":
                    refused = refused or error
                continue
            found = True
            yield master
        if not found:
            raise refused or FormatError("wrong-key", "no key file opens")

    # the index

    def load_index(self):
        """Reads all index objects; packs that are not pending deletion are preferred."""
        for name in self.store.names["index"]:
            body = open_object(self.keys, "index", self.store.read(name), name[6:])
            for pack, size, length, content, blocks in fmt.decode_index(body):
                self._add_pack(pack.hex(), (size, length, content, blocks))
        pending = self.pending_packs()
        for pack in sorted(self.packs, key=lambda p: (p in pending, p)):
            size, length, content, blocks = self.packs[pack]
            if blocks is None:
                blocks = self._directory(pack, size, length, content)
                self.packs[pack] = size, length, content, blocks
            for number, block in enumerate(blocks):
                for chunk, _ in block.chunks:
                    if (content, chunk) not in self.chunks:
                        self.by_name.setdefault((content, chunk[:8]), []).append(chunk)
                        self.chunks[content, chunk] = pack, number

    def _add_pack(self, pack, entry):
        known = self.packs.get(pack)
        if known is None:
            self.packs[pack] = entry
            return
        check(known[:3] == entry[:3], "mismatch", "index objects disagree about a pack")
        check(None in (known[3], entry[3]) or known[3] == entry[3], "mismatch", "directory copies")
        self.packs[pack] = (*entry[:3], entry[3] or known[3])

    def pending_packs(self):
        pending = set()
        for name in self.store.names["plan"]:
            plan = fmt.decode_plan(open_object(self.keys, "plan", self.store.read(name), name[6:]))
            pending.update(pack.hex() for pack, _ in plan["packs"])
        return pending

    def _directory(self, pack, size, length, content):
        name = pack_name(pack)
        check(os.path.exists(os.path.join(self.store.root, name)), "missing", f"pack {pack}")
        check(self.store.size(name) == size, "mismatch", f"size of pack {pack}")
        head = Cursor(self.store.read(name, 0, 16))
        check(head.take(8) == magic("pack"), "magic", "pack")
        fmt.check_version(head)
        check(head.u8() == content, "mismatch", f"content of pack {pack}")
        check(head.u8() == 0, "recipient")
        check(head.take(4) == bytes(4), "reserved")
        offset = size - 12 - length
        check(offset >= 16, "mismatch", f"directory length of pack {pack}")
        tail = self.store.read(name, offset)
        check(tail[-8:] == magic("packend"), "magic", "pack end")
        check(int.from_bytes(tail[-12:-8], "little") == length, "mismatch", "directory length")
        return fmt.open_directory(self.keys, tail[:-12], offset)

    # blocks and chunks

    def chunk(self, content, chunk):
        """The plaintext of a chunk, compared with its id."""
        check((content, chunk) in self.chunks, "missing", f"chunk {chunk.hex()}")
        place = self.chunks[content, chunk]
        return self._cut(place, self.block(*place))[chunk]

    def _cut(self, place, raw):
        cut, at = {}, 0
        for chunk, length in self.packs[place[0]][3][place[1]].chunks:
            cut[chunk] = raw[at : at + length]
            at += length
        return cut

    def block(self, pack, number):
        """The plaintext of a block. Its bases are read first, with a stack of our own: each entry
        is a block, the base chunks still to read, and the candidates found for each base."""
        stack, raw = [self._start((pack, number))], None
        while stack:
            place, todo, found = stack[-1]
            if raw is not None:
                position, chunk = todo.pop()
                found[position].append(self._cut(self.chunks[self._content(place), chunk], raw)[chunk])
                raw = None
            if place in self.decoded:
                raw = self.decoded[place]
                self.decoded.move_to_end(place)
                stack.pop()
            elif todo:
                base = self.chunks[self._content(place), todo[-1][1]]
                check(all(base != entry[0] for entry in stack), "base", "a cycle of bases")
                check(len(stack) <= LIMITS["BASE_DEPTH_MAX"], "base", "a chain of bases too long")
                stack.append(self._start(base))
            else:
                raw = self.decoded[place] = self._decode(place, found)
                stack.pop()
                if len(self.decoded) > CACHED_BLOCK_COUNT:
                    self.decoded.popitem(last=False)
        return raw

    def _content(self, place):
        return self.packs[place[0]][2]

    def _start(self, place):
        names = self.packs[place[0]][3][place[1]].bases
        todo = []
        for position, name in enumerate(names):
            candidates = sorted(self.by_name.get((self._content(place), name), []))[:BASE_TRIES_MAX]
            check(candidates, "missing", f"base {name.hex()}")
            todo.extend((position, chunk) for chunk in candidates)
        return place, todo, [[] for _ in names]

    def _decode(self, place, found):
        pack, number = place
        block, content = self.packs[pack][3][number], self._content(place)
        stored = self.store.read(pack_name(pack), block.offset, block.stored)
        check(len(stored) == block.stored, "short", f"block {number} of pack {pack}")
        coded = self.keys.open_sealed("block", stored)
        error = FormatError("base", "too many chunks share base names")
        for bases in itertools.islice(itertools.product(*found), BASE_TRIES_MAX):
            try:
                raw = decode_block(coded, block.raw_length(), b"".join(bases))
                for chunk, plain in self._cut(place, raw).items():
                    check(self.keys.chunk_id(content, plain) == chunk, "hash", f"chunk {chunk.hex()}")
                return raw
            except FormatError as refused:
                error = refused
        raise error

    # snapshots, trees, files

    def snapshots(self):
        """{id: snapshot}"""
        found = {}
        for name in self.store.names["snapshot"]:
            body = open_object(self.keys, "snapshot", self.store.read(name), name[10:])
            found[name[10:]] = fmt.decode_snapshot(body, self.keys.repository_id)
        return found

    def nodes(self, root):
        """The nodes of one directory, in order."""
        stack, last = [(root, None)], b""
        while stack:
            chunk, expected = stack.pop()
            level, entries = fmt.decode_tree(self.chunk(TREE, chunk))
            check(expected in (None, level), "mismatch", "level of a tree chunk")
            if expected is None:
                fmt.check_root(level, entries)
            if level > 0:
                stack.extend((child, level - 1) for child in reversed(entries))
                continue
            check(entries or expected is None, "count", "an empty leaf below an inner tree chunk")
            for node in entries:
                check(node["name"] > last, "order", "names of a directory")
                last = node["name"]
                yield node

    def walk(self, snapshot):
        """(path, node) of everything in a snapshot, parents first."""
        stack = [(b"", self.nodes(snapshot["root"]))]
        while stack:
            path, nodes = stack[-1]
            node = next(nodes, None)
            if node is None:
                stack.pop()
                continue
            here = path + b"/" + node["name"]
            yield here, node
            if node["type"] == "directory":
                check(len(stack) <= LIMITS["TREE_DEPTH_MAX"], "limit", "depth of directories")
                stack.append((here, self.nodes(node["tree"])))

    def find(self, snapshot, path):
        """The node at a path (bytes, `/` between names)."""
        tree, node = snapshot["root"], None
        for name in [part for part in path.split(b"/") if part]:
            check(tree is not None, "missing", "not a directory")
            node = next((n for n in self.nodes(tree) if n["name"] == name), None)
            check(node is not None, "missing", repr(path))
            tree = node.get("tree")
        check(node is not None, "missing", "the root is no file")
        return node

    def entries(self, node):
        """(chunk id, length) of a file's content, in order; sums are checked (5.1)."""
        if "chunks" in node:
            yield from node["chunks"]
            return
        stack, count, is_root = [(node["list"], node["list_level"], node["size"])], 0, True
        while stack:
            chunk, expected, total = stack.pop()
            level, entries = fmt.decode_list(self.chunk(TREE, chunk))
            if is_root:
                fmt.check_root(level, entries)
                is_root = False
            check(level == expected, "mismatch", "level of a list chunk")
            check(sum(size for _, size in entries) == total, "mismatch", "sum of a list chunk")
            if level > 0:
                stack.extend((child, level - 1, size) for child, size in reversed(entries))
                continue
            count += len(entries)
            check(count <= node["chunk_count"], "mismatch", "number of chunks")
            yield from entries
        check(count == node["chunk_count"], "mismatch", "number of chunks")

    def content(self, node):
        """The bytes of a file, chunk by chunk."""
        check(node["type"] == "file", "missing", "not a file")
        for chunk, length in self.entries(node):
            plain = self.chunk(DATA, chunk)
            check(len(plain) == length, "mismatch", "length of a chunk")
            yield plain


def pack_name(pack):
    return f"packs/{pack[:2]}/{pack}"


def verify_objects(repository):
    """Re-hashes and decodes every stored object and every block; (packs, blocks) seen."""
    store, keys = repository.store, repository.keys
    for name in store.names["key"]:
        check(object_id(store.read(name)) == name[5:], "hash", name)
    on_disk = {name[9:]: name for name in store.names["pack"]}
    blocks = 0
    for pack, name in on_disk.items():
        stored = store.read(name)
        content, directory = fmt.decode_pack(keys, stored, pack)
        if pack in repository.packs:
            length = int.from_bytes(stored[-12:-8], "little")
            known = repository.packs[pack]
            check(known == (len(stored), length, content, directory), "mismatch", f"index of {pack}")
            for number in range(len(directory)):
                repository.block(pack, number)
            blocks += len(directory)
    missing = sorted(set(repository.packs) - set(on_disk))
    check(not missing, "missing", f"pack {missing[:1]}")
    return len(on_disk), blocks
