"""The rules that only writers need: where list chunks (5.1) and leaves of trees (9) end."""

from blake3 import blake3

LIST_LEAST, LIST_MOST, LIST_MODULUS = 128, 4096, 512
LEAF_HEAD, LEAF_LEAST, LEAF_MOST, LEAF_MODULUS = 6, 16 << 10, 256 << 10, 32


def list_ends(ids):
    """The index after the last entry of each list chunk of one level."""
    ends, start = [], 0
    for i, chunk in enumerate(ids, 1):
        count = i - start
        due = count >= LIST_LEAST and int.from_bytes(chunk[:2], "little") % LIST_MODULUS == 0
        if due or count == LIST_MOST or i == len(ids):
            ends.append(i)
            start = i
    return ends


def leaf_ends(nodes):
    """The index after the last node of each leaf of one directory; `nodes`: (name, encoded length)."""
    ends, length = [], LEAF_HEAD
    for i, (name, size) in enumerate(nodes):
        if length > LEAF_HEAD and length + size > LEAF_MOST:
            ends.append(i)
            length = LEAF_HEAD
        length += size
        if length >= LEAF_LEAST and blake3(name).digest()[0] % LEAF_MODULUS == 0:
            ends.append(i + 1)
            length = LEAF_HEAD
    if length > LEAF_HEAD or not nodes:
        ends.append(len(nodes))
    return ends
