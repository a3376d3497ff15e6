"""What benches/density backs up: each maker writes the states of one source, one folder a state.

A maker takes a folder and the settings, writes `folder/0/…`, `folder/1/…`, … with the same file names in each
(links to given files where there are any), and returns the notes that belong to each state, or None.
"""
import json, lzma, os, random, shutil, sqlite3, string, struct, subprocess, sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = 4096


def place(folder, state, name, source):
    """Makes `source` the file `name` of a state, without a copy."""
    target = folder / str(state) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(Path(source).resolve())


def new(folder, state, name):
    target = folder / str(state) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


# Databases


def make_dumps(parent, engine, days, scale, forms):
    """A folder of dumps below `parent`, made once for all rows that need the same."""
    folder = parent / f"made-{engine}-{days}-{scale:g}"
    done = folder / "done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, HERE / "make-dumps", folder, "--engine", engine, "--days", str(days),
                        "--scale", str(scale), "--forms", ",".join(forms)], check=True)
        done.touch()
    return folder


def postgres_days(folder, settings):
    forms = ["sql", "custom", "fc"]
    return settings.dumps or make_dumps(folder.parent, "postgres", 2, settings.scale, forms)


def dump_days(form, name):
    def make(folder, settings):
        days = postgres_days(folder, settings)
        for day in range(3):
            place(folder, day, name, days / f"day{day}.{form}")
    return make


def dump_month(folder, settings):
    days = make_dumps(folder.parent, "postgres", settings.days, 0.2 * settings.scale, ["sql"])
    for day in range(settings.days + 1):
        place(folder, day, "shop.sql", days / f"day{day}.sql")


def mariadb_days(folder, settings):
    days = make_dumps(folder.parent, "mariadb", 2, settings.scale, ["sql"])
    for day in range(3):
        place(folder, day, "shop.sql", days / f"day{day}.sql")


def changed_pages(old, new):
    """How many bytes the pages hold that are in `new` and not in the same place in `old`."""
    changed = 0
    with open(old, "rb") as before, open(new, "rb") as after:
        while page := after.read(PAGE):
            changed += page != before.read(PAGE)
    return changed * PAGE


def sqlite_pages(folder, settings):
    """One table; a day writes to rows on 1 % of the pages, at random places; the rows keep their lengths."""
    pick = random.Random(3)
    path = new(folder, "work", "app.sqlite")
    base = sqlite3.connect(path)
    base.executescript(f"pragma page_size={PAGE}; pragma journal_mode=off; pragma synchronous=off;")
    base.execute("create table item(id integer primary key, state int, changed int, title text, body text)")
    words = ["".join(pick.choices(string.ascii_lowercase, k=pick.randrange(2, 10))) for _ in range(5000)]
    count = int(250_000 * settings.scale)
    rows = ((key, 1000 + pick.randrange(9000), 10**9 + key * 60, " ".join(pick.choices(words, k=4)),
             " ".join(pick.choices(words, k=pick.randrange(10, 60)))) for key in range(count))
    base.executemany("insert into item values(?, ?, ?, ?, ?)", rows)
    base.commit()
    notes = []
    for state in range(3):
        if state:
            pages = os.path.getsize(path) // PAGE
            for key in pick.sample(range(count), pages // 100):
                row = (1000 + pick.randrange(9000), 1_700_000_000 + pick.randrange(10**6), key)
                base.execute("update item set state = ?, changed = ? where id = ?", row)
            base.commit()
        target = new(folder, state, "app.sqlite")
        shutil.copyfile(path, target)
        before = folder / str(state - 1) / "app.sqlite"
        notes.append({"changed": changed_pages(before, target)} if state else {})
    base.close()
    shutil.rmtree(path.parent)
    return notes


def mongo_states(settings):
    """Two collections in natural order, as documents in BSON: a day edits 2 % in place, drops 1 %, adds 2 %."""
    import bson

    pick = random.Random(5)
    words = ["".join(pick.choices(string.ascii_lowercase, k=pick.randrange(2, 10))) for _ in range(8000)]
    stamp = 0x65000000

    def identity(number):
        seconds, counter = struct.pack(">I", stamp + number // 50), struct.pack(">I", number)[1:]
        return bson.ObjectId(seconds + b"\x07snap" + counter)

    def message(number):
        return {"_id": identity(number), "thread": pick.randrange(5000), "author": pick.choice(words),
                "body": " ".join(pick.choices(words, k=pick.randrange(5, 90))), "likes": pick.randrange(100),
                "tokens": {"in": pick.randrange(2000), "out": pick.randrange(2000)},
                "labels": pick.choices(words, k=pick.randrange(4))}

    def account(number):
        return {"_id": identity(number), "balance": pick.randrange(-5000, 5000), "name": pick.choice(words),
                "seen": stamp + pick.randrange(10**7), "flags": [True, pick.random() < 0.5]}

    makers, sizes = {"messages": message, "accounts": account}, {"messages": 80_000, "accounts": 150_000}
    live = {name: [make(number) for number in range(int(sizes[name] * settings.scale))]
            for name, make in makers.items()}
    following = {name: len(documents) for name, documents in live.items()}
    for state in range(3):
        for name, documents in live.items() if state else ():
            for place_ in pick.sample(range(len(documents)), len(documents) // 50):
                field = "likes" if name == "messages" else "balance"
                documents[place_][field] += 1
            gone = set(pick.sample(range(len(documents)), len(documents) // 100))
            fresh = len(documents) // 50
            kept = [document for number, document in enumerate(documents) if number not in gone]
            live[name] = kept + [makers[name](following[name] + number) for number in range(fresh)]
            following[name] += fresh
        yield {name: [bson.encode(document) for document in documents] for name, documents in live.items()}


def crc64(data):
    """CRC-64 as Go's crc64.ECMA: the check of an xz stream, read from its last block."""
    packed = lzma.compress(data, lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, preset=0)
    index = (struct.unpack("<I", packed[-8:-4])[0] + 1) * 4
    return struct.unpack("<q", packed[-12 - index - 8:-12 - index])[0]


def mongo_archive(folder, settings):
    """What `mongodump --archive` writes: a prelude, then pieces of up to 16 MiB, the collections in turn."""
    import bson

    def header(name, ended, check):
        return bson.encode({"db": "app", "collection": name, "EOF": ended, "CRC": bson.Int64(check)})

    end = b"\xff\xff\xff\xff"
    for state, collections in enumerate(mongo_states(settings)):
        with open(new(folder, state, "app.archive"), "wb") as out:
            out.write(struct.pack("<I", 0x8199E26D))
            out.write(bson.encode({"concurrent_collections": 4, "version": "0.1", "server_version": "7.0.14",
                                   "tool_version": "100.10.0"}))
            for name in collections:
                indexes = {"indexes": [{"v": {"$numberInt": "2"}, "key": {"_id": {"$numberInt": "1"}},
                                        "name": "_id_"}], "uuid": "5f" * 16, "collectionName": name}
                out.write(bson.encode({"db": "app", "collection": name, "metadata": json.dumps(indexes),
                                       "size": len(b"".join(collections[name])), "type": "collection"}))
            out.write(end)
            left = {name: list(reversed(documents)) for name, documents in collections.items()}
            while any(left.values()):
                for name, documents in left.items():
                    piece, size = [], 0
                    while documents and size + len(documents[-1]) <= 16 << 20:
                        piece.append(documents.pop())
                        size += len(piece[-1])
                    if piece:
                        out.write(header(name, False, 0) + b"".join(piece) + end)
            for name, documents in collections.items():
                out.write(header(name, True, crc64(b"".join(documents))) + end)


def mongo_bson(folder, settings):
    """What `mongodump --out` writes: a file of documents for each collection."""
    for state, collections in enumerate(mongo_states(settings)):
        for name, documents in collections.items():
            new(folder, state, f"{name}.bson").write_bytes(b"".join(documents))


# Tensors


def checkpoints(*names):
    def make(folder, settings):
        for state, name in enumerate(names):
            place(folder, state, "model.safetensors", given(settings, name))
    return make


def given(settings, name):
    path = settings.checkpoints and settings.checkpoints / f"{name}.safetensors"
    if not path or not path.exists():
        raise FileNotFoundError(f"{name}.safetensors (--checkpoints)")
    return path


def from_tensors(write, name, kind=None, states=("fp32-00300", "fp32-00400")):
    """States written by `density_tensors` from given checkpoints."""
    def make(folder, settings):
        import density_tensors as tensors

        for state, source in enumerate(states):
            found = tensors.read_safetensors(given(settings, source))
            more = [kind] if kind else []
            getattr(tensors, write)(new(folder, state, name), found, *more)
    return make


def trained_weights(kind, from_bf16=False):
    """Published weights, quantized; `from_bf16`: rounded to bf16 first, as language models are published."""
    def make(folder, settings):
        import density_tensors as tensors

        if not settings.weights:
            raise FileNotFoundError("a safetensors file of trained weights (--weights)")
        found = tensors.read_safetensors(settings.weights)
        floats = {name: tensor for name, tensor in found.items() if tensor[0] != "I64"}
        if from_bf16:
            floats = {name: ("BF16", shape, tensors.to_bf16(tensors.to_floats(dtype, array)))
                      for name, (dtype, shape, array) in floats.items()}
        tensors.write_gguf(new(folder, 0, "model.gguf"), floats, kind)
    return make


def other_container(folder, settings):
    """A checkpoint, then the same weights again in PyTorch's container."""
    import density_tensors as tensors

    source = given(settings, "bf16-00400")
    place(folder, 0, "model.safetensors", source)
    tensors.write_torch_zip(new(folder, 1, "model.pt"), tensors.read_safetensors(source))


def some_elements(fresh):
    def make(folder, settings):
        import density_tensors as tensors

        source = given(settings, "bf16-00400")
        place(folder, 0, "model.safetensors", source)
        changed = tensors.change_elements(tensors.read_safetensors(source), 0.01, fresh, 11)
        tensors.write_safetensors(new(folder, 1, "model.safetensors"), changed)
    return make


def faiss_index(ivf):
    def make(folder, settings):
        import density_tensors as tensors

        for state, content in enumerate(tensors.faiss_steps(settings.scale, 13, ivf)):
            new(folder, state, "items.faiss").write_bytes(content)
    return make


def moving_rows(write, name, dtype, width, dropped, added):
    """An array of which rows go, so that all that follow move."""
    def make(folder, settings):
        import density_tensors as tensors

        for state, rows in enumerate(tensors.row_steps(settings.scale, 19, dtype, width, dropped, added)):
            getattr(tensors, write)(new(folder, state, name), rows)
    return make


def disk_image(folder, settings):
    """An image of a disk, of whose blocks 1 % are written anew at random places."""
    source = random.Random(23)
    blocks = int(16_000 * settings.scale)
    coarse = bytes(number & 63 for number in range(256))
    image = bytearray(source.randbytes(4096 * blocks).translate(coarse))
    for state in range(3):
        new(folder, state, "disk.img").write_bytes(image)
        for block in source.sample(range(blocks), blocks // 100):
            image[4096 * block:4096 * (block + 1)] = source.randbytes(4096).translate(coarse)


def raw_weights(folder, settings):
    """A training run as bytes that no header tells of."""
    for state, name in enumerate(("bf16-00200", "bf16-00300")):
        content = given(settings, name).read_bytes()
        (size,) = struct.unpack("<Q", content[:8])
        new(folder, state, "weights.bin").write_bytes(b"own" + content[8 + size:])


# Opaque data


def opaque_random(folder, settings):
    new(folder, 0, "random.bin").write_bytes(random.Random(17).randbytes(int(64e6 * settings.scale)))


def opaque_gzip(folder, settings):
    days = postgres_days(folder, settings)
    with open(new(folder, 0, "shop.sql.gz"), "wb") as out:
        subprocess.run(["gzip", "-n", "-c", days / "day0.sql"], stdout=out, check=True)


ROWS = {
    "pg-sql": ("`pg_dump`, plain SQL", dump_days("sql", "shop.sql")),
    "pg-custom": ("`pg_dump -Fc -Z0`", dump_days("custom", "shop.dump")),
    "pg-fc": ("`pg_dump -Fc`, compressed", dump_days("fc", "shop.dump")),
    "pg-month": ("`pg_dump`, plain SQL, day by day", dump_month),
    "mariadb": ("`mariadb-dump --order-by-primary --skip-dump-date`", mariadb_days),
    "sqlite": ("SQLite, 1 % of the pages written", sqlite_pages),
    "mongo-archive": ("`mongodump --archive`", mongo_archive),
    "mongo-bson": ("`mongodump --out`", mongo_bson),
    "bf16": ("bf16 safetensors, every 100 steps", checkpoints("bf16-00200", "bf16-00300", "bf16-00400")),
    "fp32": ("fp32 safetensors, every 100 steps", checkpoints("fp32-00300", "fp32-00400")),
    "torch-after": ("bf16 safetensors, then as PyTorch zip", other_container),
    "torch": ("PyTorch zip, fp32, every 100 steps", from_tensors("write_torch_zip", "model.pt")),
    "bf16-near": ("bf16, 1 % of the elements changed a little", some_elements(False)),
    "bf16-fresh": ("bf16, 1 % of the elements new", some_elements(True)),
    "gguf-q8_0": ("GGUF Q8_0, every 100 steps", from_tensors("write_gguf", "model.gguf", "Q8_0")),
    "gguf-q6_k": ("GGUF Q6_K, every 100 steps", from_tensors("write_gguf", "model.gguf", "Q6_K")),
    "gguf-q5_k": ("GGUF Q5_K, every 100 steps", from_tensors("write_gguf", "model.gguf", "Q5_K")),
    "gguf-q4_k": ("GGUF Q4_K, every 100 steps", from_tensors("write_gguf", "model.gguf", "Q4_K")),
    "trained-q8_0": ("GGUF Q8_0 of published weights", trained_weights("Q8_0")),
    "trained-bf16-q8_0": ("GGUF Q8_0 of published weights that were bf16", trained_weights("Q8_0", True)),
    "trained-q6_k": ("GGUF Q6_K of published weights", trained_weights("Q6_K")),
    "trained-f16": ("GGUF F16 of published weights", trained_weights("F16")),
    "npz": ("numpy npz, fp32, every 100 steps", from_tensors("write_npz", "model.npz")),
    "faiss-flat": ("FAISS flat", faiss_index(False)),
    "faiss-ivf": ("FAISS IVF", faiss_index(True)),
    "npy-rows": ("numpy, rows of 3 KB, 1 % dropped", moving_rows("write_npy", "rows.npy", "F32", 768, 0.01, 0)),
    "npy-dense": ("numpy, rows of 256 B, 5 % dropped, 2 % added",
                  moving_rows("write_npy", "rows.npy", "F32", 64, 0.05, 0.02)),
    "vocabulary": ("bf16 safetensors, tables of rows of 1 KB, 0.5 % dropped, 0.2 % added",
                   moving_rows("write_vocabulary", "model.safetensors", "BF16", 512, 0.005, 0.002)),
    "raw-bf16": ("bf16 without a container, every 100 steps", raw_weights),
    "image": ("a disk image, 1 % of its blocks of 4 KiB written", disk_image),
    "gzip": ("gzip'd SQL", opaque_gzip),
    "random": ("random bytes", opaque_random),
}
