"""A MinIO server of one's own on 127.0.0.1, for rows whose repository is in a bucket."""
import os, secrets, shutil, socket, subprocess, time
import urllib.error, urllib.request
from pathlib import Path

START_SECONDS = 60


def find_program(root):
    """The server that the tests use too: SNAP_TEST_MINIO, .tools/bin/minio, or from PATH."""
    built = root / ".tools/bin/minio"
    return shutil.which(os.environ.get("SNAP_TEST_MINIO") or (built if built.exists() else "minio"))


class Minio:
    """A running server with its data in a folder; a context manager, stopped at its end."""

    def __init__(self, program, folder):
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "data").mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.user, self.password = "bench", secrets.token_hex(16)
        environment = {**os.environ, "MINIO_ROOT_USER": self.user, "MINIO_ROOT_PASSWORD": self.password,
                       "MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "HOME": str(folder)}
        command = [program, "server", folder / "data", "--quiet", "--address", f"127.0.0.1:{port}"]
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def __enter__(self):
        for _ in range(START_SECONDS * 10):
            try:
                with urllib.request.urlopen(self.url + "/minio/health/live"):
                    return self
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        self.__exit__()
        raise RuntimeError("minio did not start: " + (self.folder / "log").read_text()[-500:])

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cpu_seconds(self):
        """CPU time that the server has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bucket:
    """A bucket of a server: a folder of its own in the server's data."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.folder = server.folder / "data" / name
        self.folder.mkdir()

    def url(self):
        return f"s3:{self.server.url}/{self.name}/repository"

    def credentials(self):
        return {"AWS_ACCESS_KEY_ID": self.server.user, "AWS_SECRET_ACCESS_KEY": self.server.password,
                "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}

    def rustic_profile(self):
        options = {"bucket": self.name, "root": "/repository", "endpoint": self.server.url,
                   "region": "us-east-1", "access_key_id": self.server.user,
                   "secret_access_key": self.server.password}
        lines = ["[repository]", 'repository = "opendal:s3"', "[repository.options]"]
        return "\n".join(lines + [f'{key} = "{value}"' for key, value in options.items()]) + "\n"
