"""What is backed up, made from seeds: each function makes the states of a source below a folder.

A state is a file or a folder; all states of a source have the same name, in folders that are numbered. Inputs
that are there are left alone, so that several runs share them.
"""
import random, shutil, subprocess
from pathlib import Path

BENCHES = Path(__file__).resolve().parents[1]
MODEL_MIB = 1953
OPAQUE_MB = 2000
FILES = 100_000


def once(path, *command):
    """Runs a program that writes `path`, unless that is there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        subprocess.run([str(word) for word in (*command[:1], part, *command[1:])], check=True)
        part.rename(path)
    return path


def model(folder, scale, dtype):
    path = folder / "0" / f"model-{dtype}.safetensors"
    mib = max(1, round(MODEL_MIB * scale))
    return [once(path, BENCHES / "make-model", "--mib", mib, "--dtype", dtype)]


def dumps(folder, scale, given=None):
    """Three days of one database, as plain SQL."""
    states = [folder / str(day) / "dump.sql" for day in range(3)]
    if not all(path.exists() for path in states):
        options = ["--days", 2, "--scale", scale, "--forms", "sql"]
        days = given or once(folder / "days", BENCHES / "make-dumps", *options)
        for day, path in enumerate(states):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(days / f"day{day}.sql", path)
    return states


def files(folder, scale):
    """Small files, 1 to 30 KB each."""
    return [once(folder / "0" / "files", BENCHES / "make-files", "--files", max(1, round(FILES * scale)))]


def opaque(folder, scale):
    """One file of noise."""
    path = folder / "0" / "opaque.bin"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = random.Random(1)
        with open(path, "wb") as out:
            for _ in range(max(1, round(OPAQUE_MB * scale))):
                out.write(noise.randbytes(1_000_000))
    return [path]
