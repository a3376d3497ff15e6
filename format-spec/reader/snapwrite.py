"""The rule that only writers need: where list chunks end (5.1)."""

LIST_LEAST, LIST_MOST, LIST_MODULUS = 128, 4096, 512


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
