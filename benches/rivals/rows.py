"""The rows: which input, which steps, which tools; and one turn of a tool on a row."""
import os, shutil, subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable

import inputs
from tools import ENGINES


@dataclass
class Row:
    title: str
    make: Callable
    steps: list
    tools: tuple = (*ENGINES, "bare")
    coding: str = "raw"
    on_s3: bool = False


def model(dtype):
    return lambda folder, scale, _: inputs.model(folder, scale, dtype)


WHOLE = ["cold", "touched", "unchanged", "unchanged, key file", "restore", "check every byte"]
SHORT = ["cold", "unchanged", "restore", "check every byte"]
DAYS = ["day 0", "day 1", "day 2", "restore", "check every byte"]
ROWS = {
    "model": Row("2.05 GB of bf16 weights", model("bf16"), WHOLE, coding="bf16"),
    "dumps": Row("three days of a dump, plain SQL, 220 MB each",
                 lambda folder, scale, settings: inputs.dumps(folder, scale, settings.dumps), DAYS, ENGINES),
    "files": Row("100,000 files of 1 to 30 KB", lambda folder, scale, _: inputs.files(folder, scale), SHORT,
                 ENGINES),
    "opaque": Row("2 GB of noise", lambda folder, scale, _: inputs.opaque(folder, scale), WHOLE),
    "minio": Row("2.05 GB of bf16 weights on MinIO", model("bf16"), SHORT, ("snap", "restic", "rustic"),
                 on_s3=True),
    "fp32": Row("2.05 GB of fp32 weights", model("fp32"), WHOLE, coding="fp32"),
}


class Different(RuntimeError):
    """A restore did not give back what was backed up."""


def same_trees(left, right):
    """Tells whether two files, or all files below two folders, have the same names and bytes."""
    command = ["diff", "--recursive", "--brief", "--no-dereference", left, right]
    return subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0


def restored(out, name):
    """Where a source of this name lies below a folder, whatever folders are between."""
    for folder, folders, names in os.walk(out):
        if name in folders or name in names:
            return Path(folder) / name
    raise Different(f"nothing called {name} was restored")


@dataclass
class Turn:
    """One tool on one row, from an empty repository to its removal."""

    tool: object
    row: Row
    states: list
    work: Path
    pool: object
    server: object = None

    def measure(self):
        """Runs all steps; returns a figure for each that the tool has."""
        self.out, self.key_file = self.work / "out", self.work / "key"
        self.key_file.unlink(missing_ok=True)
        self.pool.fill(2 * self.input_bytes())
        self.tool.start()
        if "unchanged, key file" in self.row.steps and self.tool.name == "snap":
            self.tool.spend(self.tool.add_key_file(self.key_file))
        self.source = self.states[0] if len(self.states) == 1 else self.work / "src" / self.states[0].name
        try:
            return [figure for figure in map(self.step, self.row.steps) if figure]
        finally:
            for tree in (self.out, self.tool.stored(), self.work / "src"):
                self.pool.discard(tree)
            self.tool.clear()

    def input_bytes(self):
        state = self.states[-1]
        files = [state] if state.is_file() else state.rglob("*")
        return sum(path.stat().st_size for path in files)

    def step(self, name):
        command, cwd = self.command(name)
        if command is None:
            return None
        server_before = self.server.cpu_seconds() if self.server else 0
        with self.pool.feeding():
            spent = self.tool.spend(command, cwd)
        figure = {"step": name, **asdict(spent), "stored_bytes": self.tool.size_bytes()}
        if self.server:
            figure["server_cpu_seconds"] = self.server.cpu_seconds() - server_before
        if name == "restore":
            if not same_trees(self.states[-1], restored(self.out, self.source.name)):
                raise Different(f"{self.tool.name} restored something else")
            self.pool.discard(self.out)
        return figure

    def command(self, name):
        """What a step runs, or None, and where; prepares the source for it."""
        tool, last = self.tool, len(self.states) - 1
        if name in ("cold", "day 0", "day 1", "day 2"):
            day = 0 if name == "cold" else int(name.split()[1])
            if last:
                self.source.parent.mkdir(exist_ok=True)
                shutil.copyfile(self.states[day], self.source)
            return tool.backup(self.source, f"state-{day}"), None
        if name == "touched":
            os.utime(self.source)
            return tool.again(self.source), None
        if name == "unchanged":
            return tool.unchanged(self.source), None
        if name == "unchanged, key file":
            return (tool.backup(self.source, "keyed", self.key_file) if tool.name == "snap" else None), None
        if name == "restore":
            self.out.mkdir(exist_ok=True)
            return tool.restore(self.out, f"state-{last}"), self.out
        return tool.check(), None
