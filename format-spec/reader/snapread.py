#!/usr/bin/env python3
"""Reads a snap repository in a directory: a second implementation, made from format-spec/ alone.

    snapread.py --repo DIR (--password-file F | --key-file F) snapshots
    snapread.py --repo DIR (--password-file F | --key-file F) ls SNAP
    snapread.py --repo DIR (--password-file F | --key-file F) extract SNAP PATH [-o FILE]
    snapread.py --repo DIR (--password-file F | --key-file F) verify

SNAP is the start of an id, or `latest`.
"""

import argparse
import os
import sys
import time

from blake3 import blake3

from snapbase import FormatError, check
from snapformat import check_snapshot_features
from snaprepo import Repository, verify_objects


def printable(raw):
    """Bytes for a terminal: what is not printable is escaped."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def without_line_end(password):
    """A password as read from a file: one line feed, or CR LF, at its end is not part of it (3.5)."""
    for end in (b"\r\n", b"\n"):
        if password.endswith(end):
            return password[: -len(end)]
    return password


def pick(repository, word):
    """(id, snapshot)"""
    snapshots = repository.snapshots()
    check(snapshots, "missing", "no snapshots")
    if word == "latest":
        found = [max(snapshots, key=lambda name: (snapshots[name]["time"], name))]
    else:
        found = [name for name in snapshots if name.startswith(word)]
    check(len(found) == 1, "missing", f"{len(found)} snapshots are named {word!r}")
    check_snapshot_features(snapshots[found[0]])
    return found[0], snapshots[found[0]]


def command_snapshots(repository, _):
    snapshots = repository.snapshots()
    for name in sorted(snapshots, key=lambda name: (snapshots[name]["time"], name)):
        snapshot = snapshots[name]
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(snapshot["time"][0]))
        size = snapshot["totals"]["content_bytes"]
        paths = " ".join(printable(path) for path in snapshot["paths"])
        print(f"{name[:16]}  {when}  {snapshot['host']}  {size}  {paths}")


def command_ls(repository, options):
    repository.load_index()
    for path, node in repository.walk(pick(repository, options.snapshot)[1]):
        line = f"{node['type']:9} {node['mode']:04o} {node.get('size', '-'):>12}  {printable(path)}"
        if node["type"] == "symlink":
            line += f" -> {printable(node['target'])}"
        print(line)


def command_extract(repository, options):
    repository.load_index()
    snapshot = pick(repository, options.snapshot)[1]
    node = repository.find(snapshot, os.fsencode(options.path))
    out = open(options.output, "wb") if options.output else sys.stdout.buffer
    with out:
        for plain in repository.content(node):
            out.write(plain)


def verify_snapshot(repository, snapshot):
    """Reads all files of a snapshot; checks hard-link groups and digests of streams."""
    digests, groups, files = {}, {}, 0
    for path, node in repository.walk(snapshot):
        entries = []
        if node["type"] == "file":
            files += 1
            digest = blake3()
            for plain in repository.content(node):
                digest.update(plain)
            digests[path] = digest.digest()
            entries = list(repository.entries(node))
        if node["link_device"] is not None:
            same = (node["type"], node.get("size"), entries, node.get("target"), node.get("device"))
            known = groups.setdefault((node["link_device"], node["inode"]), same)
            check(known == same, "mismatch", f"hard links of {path!r}")
    for source in snapshot["sources"]:
        if source["digest"] is not None:
            path = b"/" + source["name"].strip(b"/")
            check(digests.get(path) == source["digest"], "mismatch", f"digest of {path!r}")
    return files


def command_verify(repository, _):
    repository.load_index()
    packs, blocks = verify_objects(repository)
    print(f"{packs} packs, {blocks} blocks")
    for name, snapshot in repository.snapshots().items():
        check_snapshot_features(snapshot)
        print(f"snapshot {name[:16]}: {verify_snapshot(repository, snapshot)} files")


def main():
    parser = argparse.ArgumentParser(description="Reads a snap repository in a directory.")
    parser.add_argument("--repo", required=True)
    secret = parser.add_mutually_exclusive_group(required=True)
    secret.add_argument("--password-file")
    secret.add_argument("--key-file")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("snapshots")
    commands.add_parser("ls").add_argument("snapshot")
    extract = commands.add_parser("extract")
    extract.add_argument("snapshot")
    extract.add_argument("path")
    extract.add_argument("-o", "--output")
    commands.add_parser("verify")
    options = parser.parse_args()
    try:
        password = text = None
        if options.password_file:
            with open(options.password_file, "rb") as file:
                password = without_line_end(file.read())
        else:
            with open(options.key_file, encoding="utf-8") as file:
                text = file.read()
        repository = Repository(options.repo, password, text)
        globals()[f"command_{options.command}"](repository, options)
    except (FormatError, OSError) as error:
        print(f"snapread: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
