from __future__ import annotations

from pathlib import Path

import pytest

from routekit.builtin.budgets.ledger.filesystem import network_filesystem

MOUNTS = r"""/dev/vda / ext4 rw 0 0
server:/export /mnt/share nfs4 rw 0 0
tmpfs /mnt/share/local tmpfs rw 0 0
//nas/a /mnt/with\040space cifs rw 0 0
/dev/vdb /mnt/shared ext4 rw 0 0
server:/x /mnt/twice nfs rw 0 0
/dev/vdc /mnt/twice ext4 rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/ledger", None),
        ("/mnt/share/a/ledger", "nfs4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/local/ledger", None),
        ("/mnt/with space/ledger", "cifs"),
        ("/mnt/shared/ledger", None),
        ("/mnt/twice/ledger", None),
    ],
)
def test_the_innermost_mount_decides(tmp_path: Path, path: str, kind: str | None) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert network_filesystem(Path(path), tmp_path / "mounts") == kind


def test_unknown_is_no_refusal(tmp_path: Path) -> None:
    assert network_filesystem(Path("/mnt/share/ledger"), tmp_path / "absent") is None
