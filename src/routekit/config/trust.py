"""Whose a configuration file is that nobody named, but that lies in this folder or in one above it.

Such a file says which address gets the API key, so it is as good as code. Git learnt it the hard way
(CVE-2022-24765): in a folder that several people use, anybody may leave a file for whoever works below it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from routekit.errors import ConfigError

ALLOW = "Name the file with --config or ROUTEKIT_CONFIG if it is to be used, or put one of your own into your folder."


def folders_upwards(start: Path, env: Mapping[str, str]) -> Iterator[Path]:
    """`start` and the folders above it: not above the home directory, and not beyond a mount point."""
    home = Path(env.get("HOME") or Path.home())
    beginning = _status(start)
    for folder in (start, *start.parents):
        status = _status(folder)
        if status is None or beginning is None or status.st_dev != beginning.st_dev:
            return
        yield folder
        if folder == home:
            return


def check_owner(file: Path, *, found_above: bool) -> None:
    """Makes sure that a file which was found, and not named, is not somebody else's.

    In the folder where one works it may also belong to that folder's owner (as in a container, where root works on a
    user's files). Above it, nobody else may be able to change it.

    Raises:
        ConfigError: it belongs to another user, or others may write to it.
    """
    if os.name != "posix":
        return
    status, folder = file.stat(), file.parent.stat()
    trusted = {os.geteuid(), 0}
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdecimal():
        trusted.add(int(os.environ["SUDO_UID"]))
    if not found_above and not folder.st_mode & stat.S_IWOTH:
        trusted.add(folder.st_uid)
    if status.st_uid not in trusted:
        raise ConfigError(
            f"this file belongs to another user (id {status.st_uid}) and says where API keys are sent",
            file=str(file), fix=ALLOW,
        )  # fmt: skip
    if not found_above:
        return
    replaceable = folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX
    if status.st_mode & stat.S_IWOTH or replaceable or folder.st_uid not in trusted:
        raise ConfigError(
            "other users of this machine may change this file, and it says where API keys are sent",
            file=str(file), fix=ALLOW,
        )  # fmt: skip


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
