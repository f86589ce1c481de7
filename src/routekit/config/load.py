"""Where a configuration, and the state of a program, are found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FILE_NAME = "routekit.toml"


def home_of(env: Mapping[str, str]) -> Path:
    """The state directory: ``ROUTEKIT_HOME``, or the platform's own place for state."""
    given = env.get("ROUTEKIT_HOME")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_state_path

    return user_state_path("routekit", appauthor=False)
