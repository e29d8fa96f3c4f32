"""Checkpoints in an object store, for clusters whose nodes share no folder."""

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from trainables.errors import UserError
from trainables.records.atomic_files import write_atomic


@dataclass(frozen=True)
class Mirror:
    """What a folder of checkpoints holds, under ``key`` in the object store at ``uri``. The URI is any of Arrow's:
    ``s3://bucket/path?region=eu-central-1``, ``gs://bucket/path``. Credentials come from where the store's own tools
    look for them, on each node. Every method raises OSError where the store does not do as asked."""

    uri: str
    key: str

    def pull(self, folder: Path, pattern: str = "*") -> None:
        """Fetch what is there by names that match."""
        files, path = self.place()
        for name in self._names(files, path, pattern):
            with files.open_input_stream(f"{path}/{name}") as source:
                write_atomic(folder / name, source.read())

    def push(self, folder: Path, names: Iterable[str]) -> None:
        """Put files of ``folder`` there, in their order."""
        files, path = self.place()
        files.create_dir(path)  # of use in file:// alone
        for name in names:
            with files.open_output_stream(f"{path}/{name}") as target:
                target.write((folder / name).read_bytes())

    def remove(self, pattern: str, kept: Path | None = None) -> None:
        """Delete what has a name that matches, but for the names that are in the folder ``kept``."""
        files, path = self.place()
        for name in self._names(files, path, pattern):
            if kept is None or not (kept / name).exists():
                files.delete_file(f"{path}/{name}")

    def sizes(self, pattern: str) -> list[int]:
        """Bytes of what has a name that matches."""
        files, path = self.place()
        names = self._names(files, path, pattern)
        return [info.size for info in files.get_file_info([f"{path}/{name}" for name in names])] if names else []

    def clear(self) -> None:
        """Delete all that is there, folders too."""
        files, path = self.place()
        files.delete_dir_contents(path, missing_dir_ok=True)

    def check(self) -> None:
        """Raises: UserError where it cannot be written and read from here."""
        try:
            files, path = Mirror(self.uri, f"probe-{uuid.uuid4().hex}").place()
            files.create_dir(path)
            with files.open_output_stream(f"{path}/probe") as target:
                target.write(b"probe")
            with files.open_input_stream(f"{path}/probe") as source:
                source.read()
            files.delete_file(f"{path}/probe")
            files.delete_dir(path)  # of use in file:// alone
        except (OSError, pa.ArrowException) as error:
            reason = re.sub(r"^\[Errno \d+\] |\. Detail: .*", "", str(error).strip().splitlines()[-1])
            if "NETWORK_CONNECTION" in reason:
                reason = "its host is not found, or does not answer"
            raise UserError(
                f"--storage must be an object store that can be written, got {self.uri}: {reason}\n"
                "check its name and region; credentials come from the environment, or the node's role"
            ) from error

    def place(self) -> tuple[fs.FileSystem, str]:
        """The file system, and the path in it. Raises: ArrowInvalid for what is no URI of one."""
        files, path = fs.FileSystem.from_uri(self.uri)
        return files, f"{path.rstrip('/')}/{self.key}"

    @staticmethod
    def _names(files: fs.FileSystem, path: str, pattern: str) -> list[str]:
        found = files.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return sorted(info.base_name for info in found if info.is_file and fnmatch(info.base_name, pattern))
