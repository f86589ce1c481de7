"""A model as a file: arrays without pickle, a version, and a checksum that a cut-off or edited file fails."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routekit.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"routekit quality\n"
VERSION = 1
MOST_BYTES = 256 << 20
"""More than any fit makes; a file that unpacks to more is refused."""

_AGAIN = "Fit it again with `routekit quality fit`"


def write(path: str | os.PathLike[str], meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Writes whole or not at all: a reader, or a crash, never sees half a file.

    Raises:
        ConfigError: the file cannot be written.
    """
    import numpy as np

    body = io.BytesIO()
    text = np.frombuffer(json.dumps({"version": VERSION, **meta}).encode(), dtype=np.uint8)
    np.savez_compressed(body, allow_pickle=False, meta=text, **arrays)
    payload = body.getvalue()
    target = Path(path)
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            try:
                file.write(MAGIC + hashlib.sha256(payload).digest() + payload)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, target)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise ConfigError(f"the quality model cannot be written ({error.strerror or error})", file=str(path)) from error


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What `write` wrote.

    Raises:
        ConfigError: there is no such file, it is none of these, it is damaged, or a newer routekit wrote it.
    """
    import numpy as np

    name = str(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the quality model cannot be read ({error.strerror or error})", file=name, fix=_AGAIN
        ) from error
    start = len(MAGIC) + 32
    if not data.startswith(MAGIC):
        raise ConfigError("this is no quality model of routekit", file=name, fix=_AGAIN)
    payload = data[start:]
    if hashlib.sha256(payload).digest() != data[len(MAGIC) : start]:
        raise ConfigError("the quality model is damaged: its checksum differs", file=name, fix=_AGAIN)
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as packed:
            if sum(entry.file_size for entry in packed.infolist()) > MOST_BYTES:
                raise ConfigError("the quality model is larger than any that is fitted", file=name, fix=_AGAIN)
        with np.load(io.BytesIO(payload), allow_pickle=False) as loaded:
            arrays = {key: loaded[key] for key in loaded.files}
        meta = json.loads(arrays.pop("meta").tobytes())
        version = meta["version"]
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise ConfigError("the quality model cannot be understood", file=name, fix=_AGAIN) from error
    if version != VERSION:
        raise ConfigError(
            f"the quality model has version {version}; this routekit reads version {VERSION}",
            file=name, fix=f"{_AGAIN}, or update routekit.",
        )  # fmt: skip
    return meta, arrays
