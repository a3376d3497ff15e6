#!/usr/bin/env python3
"""Checks every vector of format-spec/vectors against this reader; one line per set, exit 1 on any
mismatch. `vectors/README.md` says what the fields mean."""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import traceback

from blake3 import blake3

import snapcrypto as crypto
import snapformat as fmt
import snapread
from snapbase import CODES, FormatError
from snapblocks import decode_block
from snapcodec import Chunker
from snaprepo import DATA, Repository
from snapwrite import leaf_ends, list_ends

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "..", "vectors")


class Mismatch(Exception):
    """A vector and this reader disagree."""


def same(found, expected, what):
    if found != expected:
        raise Mismatch(f"{what}: found {str(found)[:300]}, expected {str(expected)[:300]}")


def data(value):
    """Bytes of a field: hexadecimal text, or a generator (vectors/README.md)."""
    if isinstance(value, str):
        return bytes.fromhex(value)
    length = value["length"]
    if "xof" in value:
        return blake3(value["xof"].encode()).digest(length=length)
    unit = bytes.fromhex(value["repeat"])
    return (unit * (length // len(unit) + 1))[:length]


def plain_json(value):
    """Decoded values in the words of JSON: bytes as hexadecimal text, tuples as lists."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, fmt.Block):
        return plain_json(vars(value))
    if isinstance(value, dict):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(item) for item in value]
    return value


def key_steps(file, secret):
    """The intermediate values of 3.5, by name."""
    costs = [int.from_bytes(file[at : at + 4], "little") for at in (12, 16, 20)]
    stretched = crypto.stretch(secret, file[24:40], *costs) if file[10] else secret
    kek, commitment = crypto.key_file_secrets(stretched, file[24:40])
    return plain_json({"stretched": stretched, "kek": kek, "commitment": commitment})


class Sets:
    """How to run one case of each set; an answer is compared with the case's fields."""

    def __init__(self, manifest):
        self.ring = crypto.Keys(data(manifest["repository_id"]), data(manifest["master_key"]))

    def keys(self, case):
        if case["op"] == "subkeys":
            keys = crypto.Keys(data(case["repository_id"]), data(case["master_key"]))
            gear = [keys.gear[i : i + 8][::-1].hex() for i in range(0, 2048, 8)]
            same(keys.id_data.hex(), case["id_data"], "id_data")
            same(keys.id_tree.hex(), case["id_tree"], "id_tree")
            same(keys.seal.hex(), case["seal"], "seal")
            same([gear[0], gear[1], gear[254], gear[255]], case["gear"], "gear")
            same(blake3(keys.gear).hexdigest(), case["gear_blake3"], "gear_blake3")
        elif case["op"] == "chunk-id":
            found = self.ring.chunk_id(case["content"], data(case["plain"]))
            same(found.hex(), case["id"], "id")
        elif case["op"] == "key-file":
            secret = (case["form"], data(case["secret"]))
            opened = crypto.open_key_file(data(case["file"]), secret, case["id"])
            same(key_steps(data(case["file"]), secret[1]), case["steps"], "steps")
            return dict(zip(("repository_id", "master_key", "created", "label"), opened))
        else:
            kind, secret = crypto.parse_secret(case["text"])
            if case["canonical"]:
                same(crypto.format_secret(kind, secret), case["text"], "text")
            return {"kind": kind, "secret": secret}

    def xaes(self, case):
        key, nonce, aad = (data(case[name]) for name in ("key", "nonce", "aad"))
        same(plain_json(crypto.xaes_steps(key, nonce)), case["steps"], "steps")
        sealed = crypto.xaes_seal(key, nonce, data(case["plain"]), aad)
        same(sealed.hex(), case["ciphertext"], "ciphertext")
        same(crypto.xaes_open(key, nonce, sealed, aad).hex(), case["plain"], "plain")

    def sealed(self, case):
        if case["op"] == "frame":
            plain = crypto.decode_frame(data(case["frame"]), crypto.PLAIN_LIMITS[case["kind"]])
        else:
            plain = crypto.open_object(self.ring, case["kind"], data(case["object"]), case.get("id"))
        return {"plain": plain}

    def chunks(self, case):
        chunker = Chunker(self.ring.gear, *case["parameters"])
        if case["op"] == "accumulated":
            hasher = blake3()
            for i in range(case["count"]):
                source = {"xof": f"{case['seed']} {i}", "length": i * case["step"] % case["modulus"]}
                for length in chunker.lengths(data(source)):
                    hasher.update(length.to_bytes(4, "little"))
            same(hasher.hexdigest(), case["digest"], "digest")
            return
        stream, at, ids = data(case["input"]), 0, []
        lengths = chunker.lengths(stream)
        for length in lengths:
            ids.append(self.ring.chunk_id(DATA, stream[at : at + length]))
            at += length
        same(lengths, case["lengths"], "lengths")
        same([chunk.hex() for chunk in ids[:1]], case["first_id"], "first_id")
        same(blake3(b"".join(ids)).hexdigest(), case["ids_blake3"], "ids_blake3")

    def lists(self, case):
        if case["op"] == "ends":
            raw = data({"xof": case["seed"], "length": 32 * case["count"]})
            ids = [raw[i : i + 32] for i in range(0, len(raw), 32)]
            same(list_ends(ids), case["ends"], "ends")
            return
        level, entries = fmt.decode_list(data(case["chunk"]))
        if case.get("root"):
            fmt.check_root(level, entries)
        return {"level": level, "entries": entries}

    def blocks(self, case):
        raw = decode_block(data(case["coded"]), case["raw_length"], data(case["base"]))
        if "raw_blake3" in case:
            return {"raw_blake3": blake3(raw).hexdigest()}
        same(raw.hex(), data(case["raw"]).hex(), "raw")
        return None

    def transforms(self, case):
        return self.blocks(case)

    def rans(self, case):
        return self.blocks(case)

    def packs(self, case):
        if case["op"] == "directory":
            return {"blocks": fmt.decode_directory(data(case["body"]))}
        stored = data(case["stored"])
        content, blocks = fmt.decode_pack(self.ring, stored, case["id"])
        for block, raw in zip(blocks, case.get("raw", [])):
            sealed = stored[block.offset : block.offset + block.stored]
            coded = self.ring.open_sealed("block", sealed)
            same(decode_block(coded, block.raw_length()).hex(), raw, "raw")
        return {"content": content, "blocks": blocks}

    def chains(self, case):
        return self.packs(case)

    def trees(self, case):
        if case["op"] == "ends":
            words = case["nodes"].split()
            nodes = [(name.encode(), int(size)) for name, size in zip(words[::2], words[1::2])]
            same(leaf_ends(nodes), case["ends"], "ends")
            return None
        level, entries = fmt.decode_tree(data(case["chunk"]))
        if case.get("root"):
            fmt.check_root(level, entries)
        return {"level": level, "entries": entries}

    def config(self, case):
        config = fmt.decode_config(data(case["body"]), self.ring.repository_id)
        fmt.check_features(config)
        return {"value": config}

    def index(self, case):
        return {"value": fmt.decode_index(data(case["body"]))}

    def snapshots(self, case):
        snapshot = fmt.decode_snapshot(data(case["body"]), self.ring.repository_id)
        fmt.check_snapshot_features(snapshot)
        return {"value": snapshot}

    def plans(self, case):
        return {"value": fmt.decode_plan(data(case["body"]))}

    def leases(self, case):
        return {"value": fmt.decode_lease(data(case["body"]))}


def run_case(sets, name, case):
    """Runs one case; raises Mismatch."""
    run = getattr(sets, name)
    if case["expect"] != "ok" and case["expect"] not in CODES:
        raise Mismatch(f"unknown code {case['expect']}")
    try:
        answer = run(case) or {}
        code = "ok"
    except FormatError as error:
        code = error.code
    same(code, case["expect"], "answer")
    if code == "ok":
        for field, value in answer.items():
            same(plain_json(value), case[field], field)


def superseded():
    """Set and name of the cases that later ones replace."""
    with open(os.path.join(VECTORS, "superseded.json"), encoding="utf-8") as file:
        return {(case["set"], case["name"]) for case in json.load(file)["cases"]}


def run_set(sets, name):
    with open(os.path.join(VECTORS, name + ".json"), encoding="utf-8") as file:
        cases = [case for case in json.load(file)["cases"] if (name, case["name"]) not in superseded()]
    return run_all(name, [(case["name"], lambda c=case: run_case(sets, name, c)) for case in cases])


def run_all(name, cases):
    """Runs named calls, prints one line, tells how many failed."""
    failed = 0
    for title, call in cases:
        try:
            call()
        except Exception as error:  # every surprise is a mismatch too
            failed += 1
            print(f"  {name}/{title}: {error or type(error).__name__}")
            if not isinstance(error, (Mismatch, FormatError)):
                traceback.print_exc()
    print(f"{name}: {len(cases) - failed} of {len(cases)} agree")
    return failed


# Whole repositories


def quiet_verify(repository):
    with contextlib.redirect_stdout(io.StringIO()):
        snapread.command_verify(repository, None)


def check_listing(root, expected):
    """Opens with every secret; compares all nodes and contents with the listing."""
    for secret in expected["secrets"]:
        password = data(secret["password"]) if "password" in secret else None
        repository = Repository(root, password, secret.get("text"))
        repository.load_index()
        found = repository.snapshots()
        same(sorted(found), sorted(expected["snapshots"]), "snapshots")
        for name, snapshot in found.items():
            same(list_nodes(repository, snapshot), expected["snapshots"][name], "listing")
        quiet_verify(repository)


def list_nodes(repository, snapshot):
    lines = []
    for path, node in repository.walk(snapshot):
        line = {"path": path.hex(), "type": node["type"], "mode": node["mode"]}
        line["mtime"] = list(node["mtime"])
        line["xattrs"] = plain_json(node["xattrs"])
        line["link"] = [node["link_device"], node["inode"]] if node["link_device"] is not None else None
        if node["type"] == "file":
            line["size"] = node["size"]
            line["blake3"] = blake3(b"".join(repository.content(node))).hexdigest()
        if node["type"] == "symlink":
            line["target"] = node["target"].hex()
        lines.append(line)
    return lines


def check_damage(root, expected, damage):
    """A damaged twin is refused with the expected code."""
    with tempfile.TemporaryDirectory() as folder:
        twin = os.path.join(folder, "twin")
        shutil.copytree(root, twin)
        path = os.path.join(twin, damage["object"])
        if damage["op"] == "remove":
            os.remove(path)
        else:
            with open(path, "rb") as file:
                stored = bytearray(file.read())
            if damage["op"] == "cut":
                del stored[damage["length"] :]
            else:
                stored[damage["offset"]] ^= damage["xor"]
            with open(path, "wb") as file:
                file.write(stored)
        try:
            quiet_verify(Repository(twin, None, expected["secrets"][0]["text"]))
            code = "ok"
        except FormatError as error:
            code = error.code
        same(code, damage["expect"], "answer")


def run_repository(name):
    root = os.path.join(VECTORS, "repos", name)
    with open(os.path.join(root, "expected.json"), encoding="utf-8") as file:
        expected = json.load(file)
    objects = os.path.join(root, "repository")
    cases = [("listing", lambda: check_listing(objects, expected))]
    for damage in expected["damage"]:
        cases.append((damage["comment"], lambda d=damage: check_damage(objects, expected, d)))
    return run_all(f"repos/{name}", cases)


def main():
    with open(os.path.join(VECTORS, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    sets = Sets(manifest)
    failed = sum(run_set(sets, name) for name in manifest["sets"])
    failed += sum(run_repository(name) for name in manifest["repositories"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
