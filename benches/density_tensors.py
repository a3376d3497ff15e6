"""Files of tensors for benches/density: safetensors, PyTorch, GGUF, npz and FAISS."""
import io, json, pickle, struct, sys, types, zlib
from collections import OrderedDict

import numpy as np


def read_safetensors(path):
    """The tensors of a safetensors file in the order in which they lie: name to (dtype, shape, raw array)."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    header.pop("__metadata__", None)
    kinds = {"BF16": "<u2", "F16": "<f2", "F32": "<f4", "I64": "<i8"}
    found = OrderedDict()
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
        found[name] = (entry["dtype"], entry["shape"], array)
    return found


def write_safetensors(path, tensors):
    header, offset = OrderedDict(), 0
    for name, (dtype, shape, array) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, array in tensors.values():
            file.write(array.tobytes())


def to_floats(dtype, array):
    return (array.astype("<u4") << 16).view("<f4") if dtype == "BF16" else array.astype("<f4")


def to_bf16(floats):
    bits = np.ascontiguousarray(floats, "<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def change_elements(tensors, share, fresh, seed):
    """`share` of the elements of each bf16 tensor changed at random places: a little, or to fresh values."""
    random = np.random.default_rng(seed)
    changed = OrderedDict()
    for name, (dtype, shape, array) in tensors.items():
        flat = array.reshape(-1).copy()
        places = random.choice(flat.size, max(1, int(flat.size * share)), replace=False)
        old = to_floats(dtype, flat[places])
        if fresh:
            new = to_floats(dtype, random.choice(array.reshape(-1), places.size))
        else:
            new = old * (1 + random.normal(0, 0.01, places.size).astype("<f4"))
        flat[places] = to_bf16(new)
        changed[name] = (dtype, shape, flat.reshape(shape))
    return changed


def state_pickle(tensors, storage_name):
    """The `data.pkl` of a state dict as torch.save writes it: protocol 2, storages by persistent id."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    storage_class = type(storage_name, (), {"__module__": "torch"})

    def _rebuild_tensor_v2(*parts):
        raise NotImplementedError

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    setattr(torch, storage_name, storage_class)
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2

    class Storage:
        def __init__(self, key, count):
            self.key, self.count = key, count

    class Tensor:
        def __init__(self, key, shape):
            self.key, self.shape = key, tuple(shape)

        def __reduce_ex__(self, _):
            strides = [1]
            for extent in self.shape[:0:-1]:
                strides.insert(0, strides[0] * extent)
            count = int(np.prod(self.shape))
            return (_rebuild_tensor_v2,
                    (Storage(self.key, count), 0, self.shape, tuple(strides), False, OrderedDict()))

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if isinstance(item, Storage):
                return ("storage", storage_class, item.key, "cpu", item.count)
            return None

    out, before = io.BytesIO(), {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        state = OrderedDict((name, Tensor(str(number), shape))
                            for number, (name, (_, shape, _)) in enumerate(tensors.items()))
        Pickler(out, 2).dump(state)
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
    return out.getvalue()


def write_torch_zip(path, tensors):
    """A file as torch.save writes it: a zip of stored members, each beginning at a multiple of 64 bytes.

    As miniz does, sizes and CRC stand behind each member and in the directory; the zip64 end is always there.
    """
    (dtype,) = {dtype for dtype, _, _ in tensors.values()}
    storage = {"BF16": "BFloat16Storage", "F16": "HalfStorage", "F32": "FloatStorage"}[dtype]
    members = [("data.pkl", state_pickle(tensors, storage)), (".format_version", b"1"),
               (".storage_alignment", b"64"), ("byteorder", b"little")]
    data = {str(number): array.tobytes() for number, (_, _, array) in enumerate(tensors.values())}
    members += [(f"data/{key}", data[key]) for key in sorted(data)]
    members += [("version", b"3\n"), (".data/serialization_id", b"0" * 40)]
    out, directory = bytearray(), bytearray()
    for name, content in members:
        name, offset, crc = f"model/{name}".encode(), len(out), zlib.crc32(content)
        padding = -(offset + 30 + len(name) + 4) % 64
        extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
        out += struct.pack("<IHHHHHIIIHH", 0x04034B50, 0, 0x0808, 0, 0, 0, 0, 0, 0, len(name), len(extra))
        out += name + extra + content
        sizes = struct.pack("<III", crc, len(content), len(content))
        out += struct.pack("<I", 0x08074B50) + sizes
        directory += struct.pack("<IHHHHHH", 0x02014B50, 0, 0, 0x0808, 0, 0, 0) + sizes
        directory += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, offset) + name
    count, start = len(members), len(out)
    end = start + len(directory)
    out += directory
    out += struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 0x031E, 45, 0, 0, count, count, len(directory), start)
    out += struct.pack("<IIQI", 0x07064B50, 0, end, 1)
    out += struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), start, 0)
    with open(path, "wb") as file:
        file.write(out)


def nearest(values):
    return np.rint(values).astype(np.int32)


def quotients(values, scales):
    return np.divide(values, scales, out=np.zeros(np.broadcast_shapes(values.shape, scales.shape)),
                     where=scales != 0)


def halves(values):
    return values.astype("<f2").reshape(-1, 1).view(np.uint8)


def quantize_q6_k(rows):
    parts = rows.reshape(-1, 16, 16).astype(np.float64)
    scales = np.abs(parts).max(axis=2) / 32
    d = (scales.max(axis=1) / 127).astype("<f2")
    steps = nearest(quotients(scales, d[:, None].astype(np.float64))).clip(0, 127)
    quants = nearest(quotients(parts, (d[:, None] * steps)[..., None])).clip(-32, 31) + 32
    quants = quants.reshape(-1, 2, 4, 32).astype(np.uint8)
    a, b, c, e = (quants[:, :, part] for part in range(4))
    low = np.concatenate([(a & 15) | (c & 15) << 4, (b & 15) | (e & 15) << 4], axis=2).reshape(-1, 128)
    high = (a >> 4 | (b >> 4) << 2 | (c >> 4) << 4 | (e >> 4) << 6).reshape(-1, 64)
    return np.concatenate([low, high, steps.astype(np.int8).view(np.uint8), halves(d)], axis=1)


def quantize_q45_k(rows, bits):
    parts = rows.reshape(-1, 8, 32).astype(np.float64)
    least = np.minimum(parts.min(axis=2), 0)
    scales = (parts.max(axis=2) - least) / (2**bits - 1)
    d, dmin = (scales.max(axis=1) / 63).astype("<f2"), (-least.min(axis=1) / 63).astype("<f2")
    ls = nearest(quotients(scales, d[:, None].astype(np.float64))).clip(0, 63).astype(np.uint8)
    lm = nearest(quotients(-least, dmin[:, None].astype(np.float64))).clip(0, 63).astype(np.uint8)
    shifted = parts + (dmin[:, None].astype(np.float64) * lm)[..., None]
    quants = nearest(quotients(shifted, (d[:, None].astype(np.float64) * ls)[..., None])).clip(0, 2**bits - 1)
    quants = quants.astype(np.uint8).reshape(-1, 4, 2, 32)
    packed = np.concatenate([ls[:, :4] | (ls[:, 4:] >> 4) << 6, lm[:, :4] | (lm[:, 4:] >> 4) << 6,
                             (ls[:, 4:] & 15) | (lm[:, 4:] & 15) << 4], axis=1)
    low = ((quants[:, :, 0] & 15) | (quants[:, :, 1] & 15) << 4).reshape(-1, 128)
    high = []
    if bits == 5:
        places = np.arange(4, dtype=np.uint8)[None, :, None]
        both = (quants[:, :, 0] >> 4) << (2 * places) | (quants[:, :, 1] >> 4) << (2 * places + 1)
        high = [np.bitwise_or.reduce(both, axis=1).astype(np.uint8)]
    return np.concatenate([halves(d), halves(dmin), packed, *high, low], axis=1)


def write_gguf(path, tensors, kind):
    """A GGUF of the weights: matrices quantized by rounding to the nearest, vectors as F32.

    llama.cpp searches for better scales; layout and spread of the values are the same. Matrices are
    taken as rows of 256 values, since K-quants need such rows.
    """
    import gguf
    from gguf import quants

    kinds = gguf.GGMLQuantizationType
    k_quants = {"Q4_K": lambda rows: quantize_q45_k(rows, 4), "Q5_K": lambda rows: quantize_q45_k(rows, 5),
                "Q6_K": quantize_q6_k}
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("density")
    for name, (dtype, shape, array) in tensors.items():
        floats = to_floats(dtype, array)
        if len(shape) < 2 or floats.size % 256:
            writer.add_tensor(name, floats)
            continue
        rows = np.ascontiguousarray(floats.reshape(-1, 256))
        packed = k_quants[kind](rows) if kind in k_quants else quants.quantize(rows, kinds[kind])
        back = quants.dequantize(packed, kinds[kind])
        error = float(np.abs(back - rows).mean() / np.abs(rows).mean())
        assert error < 0.12, f"{kind} of {name} is off by {error}"
        writer.add_tensor(name, np.ascontiguousarray(packed), raw_dtype=kinds[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_npz(path, tensors):
    np.savez(path, **{name: to_floats(dtype, array) for name, (dtype, _, array) in tensors.items()})


def faiss_steps(scale, seed, ivf):
    """Serialized FAISS indexes of one collection of 256 numbers each: 2 % added a day, 0.5 % removed."""
    import faiss

    faiss.omp_set_num_threads(1)
    random, width, count = np.random.default_rng(seed), 256, int(100_000 * scale)
    centres = random.standard_normal((200, width), dtype=np.float32)

    def vectors(number):
        near = centres[random.integers(0, len(centres), number)]
        found = near + 0.7 * random.standard_normal((number, width), dtype=np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    start = vectors(count)
    if ivf:
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, 128)
        index.train(start[: min(count, 20_000)])
    else:
        index = faiss.IndexFlatL2(width)
    index.add(start)
    yield faiss.serialize_index(index).tobytes()
    for _ in range(2):
        index.remove_ids(random.choice(index.ntotal, index.ntotal // 200, replace=False).astype(np.int64))
        index.add(vectors(count // 50))
        yield faiss.serialize_index(index).tobytes()


def row_steps(scale, seed, dtype, width, dropped, added):
    """Arrays of rows, of which a share is dropped at random each time, and a share added at the end."""
    random, count = np.random.default_rng(seed), int(51e6 * scale / width / (2 if dtype == "BF16" else 4))

    def fresh(number):
        rows = 0.02 * random.standard_normal((number, width), dtype=np.float32)
        return to_bf16(rows) if dtype == "BF16" else rows

    rows = fresh(count)
    yield rows
    for _ in range(2):
        rows = np.delete(rows, random.choice(len(rows), int(count * dropped), replace=False), axis=0)
        rows = np.concatenate([rows, fresh(int(count * added))])
        yield rows


def write_npy(path, rows):
    np.save(path, rows)


def write_vocabulary(path, rows):
    """A model whose input and output tables have these rows, and other tensors between them."""
    random = np.random.default_rng(5)
    between = to_bf16(0.02 * random.standard_normal((8, 1024, 1024), dtype=np.float32))
    tensors = OrderedDict(embed=("BF16", rows.shape, rows), between=("BF16", between.shape, between))
    tensors["head"] = ("BF16", rows.shape, np.ascontiguousarray(rows[:, ::-1]))
    write_safetensors(path, tensors)
