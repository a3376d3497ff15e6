"""The engines: how each is told to make a repository, to back up, to restore and to check, and what that took.

SNAP, RESTIC, RUSTIC, BORG and BARE name the programs; without, they are looked for in target/release (snap and
bare), in .tools/rivals/bin, where benches/rivals/fetch puts them, and in PATH.
"""
import os, shutil, subprocess, time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {f"{name}_PASSWORD": "x" for name in ("SNAP", "RESTIC", "RUSTIC")}
SECRETS |= {"BORG_PASSPHRASE": "x", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
BUILT = {"snap": "target/release/snap", "bare": "target/release/examples/bare_line"}


class ToolFailed(RuntimeError):
    """A program ended with an error."""


@dataclass
class Spent:
    """What one run of a program took, its children included."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def find_program(name):
    """The path of a program, or None."""
    named = os.environ.get(name.upper())
    built = ROOT / BUILT.get(name, f".tools/rivals/bin/{name}")
    return shutil.which(named or (built if built.exists() else name))


class Tool:
    """One program with a repository and a home of its own below `work`; commands are lists of arguments."""

    name = ""
    version_command = "--version"

    def __init__(self, work, bucket=None, threads=None):
        self.work, self.bucket, self.threads = work, bucket, threads
        self.program = find_program(self.name)
        self.repo, self.home = work / f"r-{self.name}", work / f"h-{self.name}"
        names = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME", "BORG_BASE_DIR")
        self.environment = {**os.environ, **SECRETS, **dict.fromkeys(names, str(self.home)),
                            **(bucket.credentials() if bucket else {})}

    def place(self):
        """Where the repository is, as the program wants to be told."""
        return self.bucket.url() if self.bucket else self.repo

    def stored(self):
        """The folder in which everything stored lies."""
        return self.bucket.folder if self.bucket else self.repo

    def size_bytes(self):
        return sum(path.stat().st_size for path in self.stored().rglob("*") if path.is_file())

    def spend(self, command, cwd=None):
        """Runs the program to its end; its output is kept only for the message of a failure."""
        arguments = [str(part) for part in (self.program, *command)]
        log_path = self.work / "log"
        with open(log_path, "wb") as log:
            begun = time.monotonic()
            process = subprocess.Popen(arguments, cwd=cwd or self.work, env=self.environment, stdout=log,
                                       stderr=log, stdin=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            wall_seconds = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            end = log_path.read_text(errors="replace").strip()[-500:]
            raise ToolFailed(f"{' '.join(arguments)}: exit code {process.returncode}: {end}")
        return Spent(wall_seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)

    def version(self):
        command = [self.program, self.version_command]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        return done.stdout.strip()

    def clear(self):
        for folder in (self.repo, self.home):
            shutil.rmtree(folder, ignore_errors=True)

    def start(self):
        """Makes an empty repository."""
        self.clear()
        self.home.mkdir(parents=True)
        self.spend(self.init())

    def init(self):
        return [*self.open(), "init"]

    def again(self, source):
        """Backs up what changed nothing but its time."""
        return self.backup(source)

    def unchanged(self, source):
        """Backs up what did not change at all."""
        return self.backup(source)


class Snap(Tool):
    name = "snap"

    def open(self):
        threads = ["--threads", self.threads] if self.threads else []
        return ["-q", "--repo", self.place(), *threads]

    def add_key_file(self, path):
        return [*self.open(), "key", "add", "--new-key-file", path]

    def backup(self, source, label="state", key_file=None):
        key = ["--key-file", key_file] if key_file else []
        return [*self.open(), *key, "backup", "--tag", label, source]

    def restore(self, out, label="state", back=0):
        return [*self.open(), "restore", "latest", "--tag", label, "--target", out]

    def check(self):
        return [*self.open(), "check", "--read-data"]


class Restic(Tool):
    name = "restic"

    version_command = "version"

    def open(self):
        return ["-q", "-r", self.place()]

    backup, restore, check = Snap.backup, Snap.restore, Snap.check


class Rustic(Tool):
    name = "rustic"

    def open(self):
        if self.bucket:
            # Options of a store can be given in a profile only.
            profile = self.home / "minio.toml"
            profile.write_text(self.bucket.rustic_profile())
            return ["--no-progress", "-P", profile.with_suffix("")]
        return ["--no-progress", "-r", self.repo]

    def backup(self, source, label="state"):
        return [*self.open(), "backup", "--tag", label, source]

    def restore(self, out, label="state", back=0):
        return [*self.open(), "restore", f"latest~{back}" if back else "latest", out]

    def check(self):
        return [*self.open(), "check", "--read-data"]


class Borg(Tool):
    name = "borg"
    count = 0

    def init(self):
        return ["init", "-e", "repokey-blake2", self.repo]

    def backup(self, source, label="state"):
        self.count += 1
        return ["create", "-C", "zstd,3", f"{self.repo}::{self.count}", source]

    def restore(self, out, label="state", back=0):
        """Is to be run in `out`."""
        return ["extract", f"{self.repo}::{self.count - back}"]

    def check(self):
        return ["check", "--verify-data", self.repo]


class Bare(Tool):
    """The stages alone (examples/bare_line.rs): no repository around them, one file, nothing deduplicated."""

    name = "bare"
    coding = "raw"

    def version(self):
        return "bare line"

    def start(self):
        self.clear()
        self.home.mkdir(parents=True)

    def line(self, step, path):
        return [step, self.threads or os.cpu_count(), self.coding, path, self.repo]

    def backup(self, source, label="state"):
        self.source = Path(source)
        return self.line("backup", source)

    def again(self, source):
        return self.line("read", source)

    def unchanged(self, source):
        return None

    def restore(self, out, label="state", back=0):
        return self.line("restore", Path(out) / self.source.name)

    def check(self):
        return self.line("check", "-")


ENGINES = ("snap", "restic", "rustic", "borg")
TOOLS = {tool.name: tool for tool in (Snap, Restic, Rustic, Borg, Bare)}
