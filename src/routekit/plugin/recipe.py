"""Recipes that come with a plugin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipePlugin:
    """Registers a recipe: a folder with `recipe.toml` and `agent.py`."""

    kind: ClassVar[str] = "recipe"

    name: str
    path: Path
    summary: str = ""
    api_version: int = 1
