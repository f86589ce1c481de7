"""Secrets of this machine's own: random bytes in a file that only its owner can read."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

SECRET_BYTES = 32


def secret_at(path: Path) -> bytes:
    """The secret in this file, made where there is none. One that is not ours alone is replaced.

    Processes that make it at the same moment end up with the same one.

    Raises:
        OSError: it can be neither read nor made.
    """
    for _ in range(3):
        found = _read(path)
        if found is not None:
            return found
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, secrets.token_bytes(SECRET_BYTES))
        finally:
            os.close(handle)
        try:
            with contextlib.suppress(FileExistsError):  # somebody was faster: theirs is read
                os.link(fresh, path)
        finally:
            fresh.unlink()
    raise OSError(f"the secret in {path} is replaced by others again and again")


def _read(path: Path) -> bytes | None:
    """The secret, or None where there is none. One that others may know is removed."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if _is_ours_alone(found):
        with contextlib.suppress(FileNotFoundError):
            secret = path.read_bytes()
            if len(secret) == SECRET_BYTES:
                return secret
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return None


def _is_ours_alone(found: os.stat_result) -> bool:
    if not stat.S_ISREG(found.st_mode):
        return False
    return os.name != "posix" or (found.st_uid == os.geteuid() and not found.st_mode & 0o077)
