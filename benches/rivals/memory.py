"""Memory that stays at hand between runs.

A machine that gives free memory back to its host pays for it when a program touches fresh pages of tmpfs: a
program that runs after another was cleaned away would pay a second for each gigabyte, and one that runs right
after would not. So what a run leaves behind is not deleted but kept aside, and given up while the next run
needs memory, as much as it takes: every program finds pages that the machine already holds.
"""
import contextlib, os, shutil, threading

SLICE_BYTES = 64 << 20
AHEAD_BYTES = 896 << 20
LEFT_MIN_BYTES = 256 << 20
AVAILABLE_MIN_BYTES = 2 << 30
KEPT_FILE_MIN_BYTES = 1 << 20
LOOK_SECONDS = 0.02


def meminfo(name):
    """One figure of /proc/meminfo, in bytes."""
    with open("/proc/meminfo") as lines:
        for line in lines:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise KeyError(name)


class Pool:
    """Files that nobody needs any more, in a folder of a tmpfs."""

    def __init__(self, folder, limit_bytes):
        self.folder, self.limit_bytes = folder, limit_bytes
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.files, self.count = [], 0

    def size_bytes(self):
        return sum(os.path.getsize(path) for path in self.files)

    def _new(self):
        self.count += 1
        return self.folder / str(self.count)

    def discard(self, tree):
        """Takes the large files of a tree and deletes the rest."""
        paths = [tree] if tree.is_file() else [path for path in tree.rglob("*") if path.is_file()]
        room = self.limit_bytes - self.size_bytes()
        for path in paths:
            size = path.lstat().st_size
            if path.is_symlink() or not KEPT_FILE_MIN_BYTES <= size <= room:
                continue
            self.files.append(path.rename(self._new()))
            room -= size
        shutil.rmtree(tree, ignore_errors=True)

    def fill(self, wanted_bytes):
        """Adds files of zeros up to `wanted_bytes` in all, as far as the machine has memory."""
        left = min(wanted_bytes, self.limit_bytes) - self.size_bytes()
        while left > 0 and meminfo("MemAvailable") > AVAILABLE_MIN_BYTES:
            path = self._new()
            path.write_bytes(bytes(SLICE_BYTES))
            self.files.append(path)
            left -= SLICE_BYTES

    def release(self, wanted_bytes):
        """Gives up files, or their ends, of `wanted_bytes`."""
        while wanted_bytes > 0 and self.files:
            path = self.files[-1]
            size = os.path.getsize(path)
            if size <= SLICE_BYTES:
                os.unlink(self.files.pop())
            else:
                os.truncate(path, size - SLICE_BYTES)
            wanted_bytes -= min(size, SLICE_BYTES)

    @contextlib.contextmanager
    def feeding(self):
        """Gives up memory ahead of the block, and while it runs as fast as the machine's free memory shrinks.

        What is ahead stays below the gigabyte from which on machines were seen to give memory back.
        """
        self.release(AHEAD_BYTES)
        level, done = meminfo("MemFree") - AHEAD_BYTES + LEFT_MIN_BYTES, threading.Event()

        def feed():
            while not done.wait(LOOK_SECONDS):
                self.release(level - meminfo("MemFree"))

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        try:
            yield
        finally:
            done.set()
            feeder.join()
