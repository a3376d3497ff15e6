"""Chapter 6.5: the coder rans, and the contexts that its tables go by."""

from bisect import bisect_right

from snapbase import Cursor, check

PLACES, STATES, STATE_MIN = 4096, 8, 1 << 16


def decode_rans(coded, length, contexts):
    """The part of `length` bytes. `contexts`: one for each byte, or None where it is the mean of four before."""
    cursor = Cursor(coded)
    tables = cursor.u8()
    check(1 <= tables <= 16, "number", f"{tables} tables")
    bounds = list(cursor.take(tables - 1))
    check(all(a < b for a, b in zip(bounds, bounds[1:])), "order", "bounds")
    starts = [decode_table(cursor) for _ in range(tables)]
    states = cursor.u32s(STATES)
    check(all(state >= STATE_MIN for state in states), "value", "a small state")
    part = bytearray()
    for at in range(length):
        context = contexts[at] if contexts is not None else sum(part[-4:]) // 4
        start = starts[bisect_right(bounds, context)]
        state = states[at % STATES]
        slot = state % PLACES
        byte = bisect_right(start, slot) - 1
        state = (start[byte + 1] - start[byte]) * (state // PLACES) + slot - start[byte]
        if state < STATE_MIN:
            state = state << 16 | cursor.u16()
        states[at % STATES] = state
        part.append(byte)
    cursor.end()
    check(all(state == STATE_MIN for state in states), "value", "states at the end")
    return bytes(part)


def decode_table(cursor):
    """Where the places of each value start, and their end."""
    weights = []
    while len(weights) < 256:
        head = cursor.u8()
        weight = 0
        if not head & 128:
            code = cursor.u8()
            weight = (16 + code % 16) << code // 16
        weights += [weight] * (head % 128 + 1)
    check(len(weights) == 256, "value", "runs of more than 256 values")
    present, total = sum(weight > 0 for weight in weights), sum(weights)
    check(present > 0, "value", "a table of no value")
    starts, seen, below = [0], 0, 0
    for weight in weights:
        seen += weight > 0
        below += weight
        starts.append(seen + below * (PLACES - present) // total)
    return starts


def contexts_of_low(high):
    return bytes(byte & 3 for byte in high)


def contexts_of_others(low, high, run):
    scales = [a | b << 8 for a, b in zip(low, high)]
    padded = scales[:1] * 4 + scales + scales[-1:] * 4
    contexts = bytearray()
    for at, scale in enumerate(scales):
        around = padded[at : at + 4] + padded[at + 5 : at + 9]
        context = 128 + (8 * scale - sum(around)) // 128
        contexts += bytes([min(max(context, 0), 255)]) * run
    return bytes(contexts)
