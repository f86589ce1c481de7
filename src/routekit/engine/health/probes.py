"""Who may probe an ejected deployment: one caller at a time, in all threads and processes of one home."""

from __future__ import annotations

from pathlib import Path

from routekit.engine.locks import Slots


class Probes(Slots):
    """Slots for probes, one per deployment. `home` None: threads of this object only."""

    def __init__(self, home: Path | None = None) -> None:
        super().__init__(None if home is None else home / "probes")
