"""A routekit.toml that was found, and not named, is only believed where it is the user's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from routekit import Config, ConfigError
from routekit.config import trust

TEXT = '[[deployments]]\nname = "a"\nprovider = "litellm"\nmodel = "m"\n'
SOMEBODY = 65534
pytestmark = pytest.mark.skipif(os.name != "posix", reason="files have no owners like these elsewhere")


def place(folder: Path, mode: int = 0o644, folder_mode: int = 0o755) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "routekit.toml"
    file.write_text(TEXT)
    file.chmod(mode)
    folder.chmod(folder_mode)
    below = folder / "work"
    below.mkdir(exist_ok=True)
    return file


def found(start: Path, env: dict[str, str] | None = None) -> str | None:
    return Config.find({"HOME": "/nowhere", **(env or {})}, start).file


def test_ones_own_is_believed_here_and_above(tmp_path: Path) -> None:
    file = place(tmp_path / "top")
    assert found(file.parent) == found(file.parent / "work") == str(file)


@pytest.mark.parametrize(
    ("mode", "folder_mode", "believed"),
    [(0o644, 0o755, True), (0o664, 0o775, True), (0o666, 0o755, False), (0o644, 0o777, False), (0o644, 0o1777, True)],
)
def test_what_others_may_write_is_not(tmp_path: Path, mode: int, folder_mode: int, believed: bool) -> None:
    file = place(tmp_path / "top", mode, folder_mode)
    if believed:
        assert found(file.parent / "work") == str(file)
        return
    with pytest.raises(ConfigError, match="other users") as caught:
        found(file.parent / "work")
    assert caught.value.file == str(file)
    assert "--config" in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("folder_mode", [0o755, 0o1777])
def test_what_somebody_else_left_above_is_not(tmp_path: Path, folder_mode: int) -> None:
    file = place(tmp_path / "top", folder_mode=folder_mode)
    os.chown(file, SOMEBODY, SOMEBODY)
    with pytest.raises(ConfigError, match="belongs to another user"):
        found(file.parent / "work")
    assert found(file.parent / "work", {"ROUTEKIT_CONFIG": str(file)}) == str(file), "whoever names it wants it"


def test_another_users_file_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: root works on a user's files, in the user's folder. Above it is somebody else's."""
    file = place(tmp_path / "top")
    monkeypatch.setattr(trust.os, "geteuid", lambda: 4242)
    if os.stat(file).st_uid == 0:
        os.chown(file, SOMEBODY, SOMEBODY)
        os.chown(file.parent, SOMEBODY, SOMEBODY)
    assert found(file.parent) == str(file)
    with pytest.raises(ConfigError, match="belongs to another user"):
        found(file.parent / "work")
    file.parent.chmod(0o1777)  # a shared folder, where anybody leaves files
    with pytest.raises(ConfigError, match="belongs to another user"):
        found(file.parent)


def test_the_way_up_ends_at_home(tmp_path: Path) -> None:
    file = place(tmp_path / "top")
    home = file.parent / "work"
    assert found(home / "x", {"HOME": str(home)}) is None
    (home / "x").mkdir()
    assert found(home / "x", {"HOME": str(home)}) is None
    assert found(home / "x") == str(file)
    own = place(home)
    assert found(home / "x", {"HOME": str(home)}) == str(own)
