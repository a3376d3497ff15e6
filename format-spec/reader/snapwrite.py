"""The two rules that only writers need: where list and tree chunks end (5.1, chapter 9)."""

from blake3 import blake3

LIST_LEAST, LIST_MOST, LIST_MODULUS = 128, 4096, 512
TREE_LEAST_BYTES, TREE_MOST_BYTES, TREE_MODULUS = 16 << 10, 256 << 10, 32
TREE_HEAD_BYTES = 6


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


def tree_ends(names, node_bytes):
    """The index after the last node of each leaf; `node_bytes`: encoded sizes of the nodes. The
    length of a leaf counts its head."""
    ends, length = [], TREE_HEAD_BYTES
    for i, (name, size) in enumerate(zip(names, node_bytes), 1):
        length += size
        due = length >= TREE_LEAST_BYTES and blake3(name).digest()[0] % TREE_MODULUS == 0
        full = i < len(names) and length + node_bytes[i] > TREE_MOST_BYTES
        if due or full or i == len(names):
            ends.append(i)
            length = TREE_HEAD_BYTES
    return ends
