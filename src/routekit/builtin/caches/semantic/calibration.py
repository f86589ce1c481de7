"""How similar is similar enough for an embedder, as found from labelled pairs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from routekit.errors import ConfigError

LOCAL = "all-minilm-l6-v2"

LOCAL_BOUND = 0.8
"""For the local sentence model; from the calibration pairs in benchmarks/pairs, not from those that are reported."""

FLOOR = 0.5
"""Below it nothing is looked at, even to learn."""


CALIBRATION = "semantic.json"
"""Bounds by embedder, in the cache's folder."""


def calibrated_bound(folder: Path | None, embedder: str) -> float:
    """What calibration found for an embedder.

    Raises:
        ConfigError: it was never calibrated, and nothing is known of it.
    """
    try:
        found = json.loads((folder / CALIBRATION).read_text())[embedder]["bound"] if folder is not None else None
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if isinstance(found, (int, float)) and FLOOR <= found <= 1:
        return float(found)
    if embedder == LOCAL:
        return LOCAL_BOUND
    raise ConfigError(
        f"nobody knows how similar is similar enough for the vectors of {embedder!r}", key="cache.semantic.bound",
        fix="Run `routekit cache calibrate pairs.jsonl`, or set `bound`; `shadow = true` collects pairs.",
    )  # fmt: skip


def write_calibration(folder: Path, embedder: str, found: Mapping[str, Any]) -> Path:
    """Notes a bound for an embedder; those of others stay. Returns the file."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / CALIBRATION
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        known = {}
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps({**(known if isinstance(known, dict) else {}), embedder: dict(found)}, indent=2) + "\n")
    fresh.chmod(0o600)
    fresh.replace(path)
    return path
