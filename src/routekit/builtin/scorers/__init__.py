"""Built-in scorers."""

from __future__ import annotations

from routekit.plugin import ScorerPlugin, hookimpl


@hookimpl
def routekit_scorers() -> list[ScorerPlugin]:
    from routekit.builtin.scorers import learned, static

    return [learned.PLUGIN, static.PLUGIN]
