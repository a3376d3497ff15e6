"""Chapter 3: subkeys, XAES-256-GCM, frames, sealed objects, key files, secrets as text."""

import base64
import hmac

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from snapbase import LIMITS, Cursor, FormatError, check

KINDS = {
    "config": 1, "key": 2, "pack": 3, "index": 4, "snapshot": 5,
    "plan": 6, "lease": 7, "block": 8, "directory": 9,
}
PLAIN_LIMITS = {
    "config": LIMITS["CONFIG_PLAIN_MAX_BYTES"],
    "index": LIMITS["INDEX_PLAIN_MAX_BYTES"],
    "snapshot": LIMITS["SNAPSHOT_PLAIN_MAX_BYTES"],
    "plan": LIMITS["PLAN_PLAIN_MAX_BYTES"],
    "lease": LIMITS["LEASE_MAX_BYTES"],
    "directory": LIMITS["DIRECTORY_PLAIN_MAX_BYTES"],
}
VERSION = 1
# The largest window of a zstd frame that has one (RFC 8878, 3.1.1.1.2).
ZSTD_WINDOW_MAX_BYTES = 4 << 20
# Bits of a zstd frame's header descriptor, its fifth byte (RFC 8878, 3.1.1.1.1).
ZSTD_SINGLE_SEGMENT, ZSTD_DICTIONARY_ID = 0x20, 0x03


def magic(kind):
    return blake3(f"snap {kind} v1".encode()).digest()[:8]


def object_id(stored):
    """The name of a stored object: unkeyed BLAKE3, in hexadecimal."""
    return blake3(stored).hexdigest()


class Keys:
    """Everything that follows from the master key and the repository id (3.1)."""

    def __init__(self, repository_id, master_key):
        check(len(repository_id) == 16 and len(master_key) == 32, "value", "key sizes")
        self.repository_id = repository_id
        self.id_data = derive("snap-backup 2026 v1 chunk id data", master_key)
        self.id_tree = derive("snap-backup 2026 v1 chunk id tree", master_key)
        self.gear = derive("snap-backup 2026 v1 gear table", master_key, 2048)
        self.seal = derive("snap-backup 2026 v1 seal", master_key)

    def chunk_id(self, content, plain):
        """`content` as in a pack's head: 0 data, 1 tree."""
        return blake3(plain, key=(self.id_data, self.id_tree)[content]).digest()

    def aad(self, kind):
        return b"snap seal" + bytes([KINDS[kind]]) + VERSION.to_bytes(2, "little") + self.repository_id

    def open_sealed(self, kind, sealed):
        """`sealed` = nonce, ciphertext, tag."""
        check(len(sealed) >= 40, "short", f"sealed {kind}")
        return xaes_open(self.seal, sealed[:24], sealed[24:], self.aad(kind))


def derive(context, secret, length=32):
    return blake3(secret, derive_key_context=context).digest(length=length)


# 3.2 XAES-256-GCM


def aes_block(key, block):
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def xaes_steps(key, nonce):
    """The intermediate values of 3.2, by name."""
    ell = aes_block(key, bytes(16))
    doubled = int.from_bytes(ell, "big") << 1
    k1 = (doubled & ((1 << 128) - 1)).to_bytes(16, "big")
    if ell[0] & 0x80:
        k1 = k1[:15] + bytes([k1[15] ^ 0x87])
    m1 = b"\x00\x01\x58\x00" + nonce[:12]
    m2 = b"\x00\x02\x58\x00" + nonce[:12]
    kx = aes_block(key, xor(m1, k1)) + aes_block(key, xor(m2, k1))
    return {"L": ell, "K1": k1, "M1": m1, "M2": m2, "Kx": kx, "Nx": nonce[12:]}


def xaes_seal(key, nonce, plain, aad):
    steps = xaes_steps(key, nonce)
    return AESGCM(steps["Kx"]).encrypt(steps["Nx"], plain, aad)


def xaes_open(key, nonce, ciphertext, aad):
    check(len(ciphertext) >= 16, "short", "no room for a tag")
    steps = xaes_steps(key, nonce)
    try:
        return AESGCM(steps["Kx"]).decrypt(steps["Nx"], bytes(ciphertext), aad)
    except InvalidTag:
        raise FormatError("open", "the seal does not open") from None


# 3.3 frames


def unzstd(coded, length, prefix=None, sized=False):
    """One zstd frame, nothing before or after it, that decodes to exactly `length` bytes.
    `sized`: its header must say so."""
    check(coded[:4] == b"\x28\xb5\x2f\xfd", "zstd", "not a zstd frame")
    try:
        head = zstandard.get_frame_parameters(coded)
    except zstandard.ZstdError as error:
        raise FormatError("zstd", str(error)) from None
    unknown = head.content_size == zstandard.CONTENTSIZE_UNKNOWN
    check(head.content_size == length or (unknown and not sized), "zstd", "content size")
    descriptor = coded[4]
    check(descriptor & ZSTD_DICTIONARY_ID == 0, "zstd", "dictionary id")
    small = descriptor & ZSTD_SINGLE_SEGMENT or head.window_size <= ZSTD_WINDOW_MAX_BYTES
    check(small, "zstd", f"window of {head.window_size} bytes")
    dictionary = None
    if prefix is not None:
        dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    try:
        # Never makes more than `length` bytes, whatever the frame's blocks hold.
        plain = zstandard.ZstdDecompressor(dict_data=dictionary).decompress(
            coded, max_output_size=length, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise FormatError("zstd", str(error)) from None
    check(len(plain) == length, "zstd", "decoded length")
    return plain


def decode_frame(frame, limit):
    cursor = Cursor(frame)
    coder = cursor.number((0, 1), "coder")
    length = cursor.u32()
    check(length <= limit, "limit", f"plain length {length}")
    coded = cursor.take(cursor.left())
    if coder == 0:
        check(len(coded) >= length, "short", "stored frame")
        check(len(coded) == length, "trailing", "stored frame")
        return coded
    check(len(coded) < length, "coder", "zstd did not make it shorter")
    return unzstd(coded, length)


# 3.4 sealed objects


def open_object(keys, kind, stored, name=None):
    """The body of a config, index, snapshot, plan or lease. `name`: the object's id in
    hexadecimal, compared when given; configs and leases have names that are no ids."""
    check(len(stored) >= 57, "short", kind)
    cursor = Cursor(stored)
    check(cursor.take(8) == magic(kind), "magic", kind)
    check_version(cursor)
    check(cursor.u8() == 0, "recipient")
    check(cursor.u8() == 0, "reserved")
    if name is not None:
        check(object_id(stored) == name, "hash", name)
    frame = keys.open_sealed(kind, stored[12:])
    return decode_frame(frame, PLAIN_LIMITS[kind])


def check_version(cursor):
    version = cursor.u16()
    check(version == VERSION, "version", f"version {version}, this reader knows {VERSION}")


# 3.5 key files


def key_file_secrets(secret, salt):
    """(KEK, commitment)"""
    both = derive("snap-backup 2026 v1 key file", secret + salt, 64)
    return both[:32], both[32:]


def stretch(password, salt, memory, passes, lanes):
    argon = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
    return argon.derive(password)


def open_key_file(stored, secret, name=None):
    """`secret`: ("password" or "raw", bytes). Returns (R, MK, created, label)."""
    check(len(stored) <= LIMITS["KEY_FILE_MAX_BYTES"], "limit", "key file")
    if name is not None:
        check(object_id(stored) == name, "hash", name)
    check(len(stored) >= 96 + 16, "short", "key file")
    cursor = Cursor(stored)
    check(cursor.take(8) == magic("key"), "magic", "key file")
    check_version(cursor)
    kdf = cursor.number((0, 1), "kdf")
    check(cursor.u8() == 0, "recipient")
    memory, passes, lanes = cursor.u32(), cursor.u32(), cursor.u32()
    if kdf == 1:
        bounds = 8192 <= memory <= 4194304 and 1 <= passes <= 64 and 1 <= lanes <= 64
    else:
        bounds = memory == passes == lanes == 0
    check(bounds, "kdf", "parameters out of bounds")
    salt, commitment, nonce = cursor.take(16), cursor.take(32), cursor.take(24)
    form, value = secret
    if form != ("raw", "password")[kdf]:
        raise FormatError("wrong-key", f"this key file wants a {('raw key', 'password')[kdf]}")
    if kdf == 1:
        value = stretch(value, salt, memory, passes, lanes)
    check(len(value) == 32, "value", "raw key size")
    kek, expected = key_file_secrets(value, salt)
    check(hmac.compare_digest(commitment, expected), "wrong-key", "the commitment does not match")
    body = Cursor(xaes_open(kek, nonce, stored[96:], stored[:72]))
    repository_id, master_key = body.take(16), body.take(32)
    created, label = body.time(), body.text()
    body.end()
    return repository_id, master_key, created, label


# 3.6 secrets as text

SECRET_BYTES = {"raw": 32, "master": 48}
# White_Space of Unicode, but line feed.
BLANKS = dict.fromkeys(
    map(ord, "\t\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
             "\u2028\u2029\u202f\u205f\u3000")
)
LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def sheet_check(kind, number, piece):
    digest = blake3(b"snap sheet" + kind.encode() + bytes([number]) + piece).digest()
    return base32(digest[:2])[:2]


def base32(data):
    return base64.b32encode(data).decode().rstrip("=").lower()


def parse_secret(text):
    """(kind, secret) of a raw key file or a printed sheet."""
    lines = [line.translate(BLANKS).translate(LOWER) for line in text.split("\n")]
    lines = [line for line in lines if line and not line.startswith("#")]
    kinds = {f"snapsecretv1{kind}": kind for kind in SECRET_BYTES}
    check(lines and lines[0] in kinds, "sheet", "first line")
    check(len(lines) >= 2 and lines[-1] == "end", "sheet", "no end")
    kind = kinds[lines[0]]
    secret = b""
    for number, line in enumerate(lines[1:-1], 1):
        head, colon, rest = line.partition(":")
        where = f"line {number}"
        check(colon and head == str(number) and len(rest) > 2 and number < 256, "sheet", where)
        groups, code = rest[:-2], rest[-2:]
        try:
            piece = base64.b32decode(groups.upper() + "=" * (-len(groups) % 8))
        except ValueError:
            raise FormatError("sheet", where) from None
        expected = min(10, SECRET_BYTES[kind] - len(secret))
        check(len(piece) == expected and base32(piece) == groups, "sheet", where)
        check(sheet_check(kind, number, piece) == code, "sheet", where)
        secret += piece
    check(len(secret) == SECRET_BYTES[kind], "sheet", "too short")
    return kind, secret


def format_secret(kind, secret):
    """The text form of a secret, as a writer prints it."""
    lines = [f"snap secret v1 {kind}"]
    for number in range(1, (len(secret) + 9) // 10 + 1):
        piece = secret[10 * (number - 1) : 10 * number]
        letters = base32(piece)
        groups = [letters[i : i + 4] for i in range(0, len(letters), 4)]
        lines.append(f"{number}: {' '.join(groups)} {sheet_check(kind, number, piece)}")
    return "\n".join([*lines, "end", ""])
