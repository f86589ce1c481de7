"""Built-in compressors."""

from __future__ import annotations

from routekit.plugin import CompressorPlugin, hookimpl


@hookimpl
def routekit_compressors() -> list[CompressorPlugin]:
    from routekit.builtin.compressors import json_minify, trim

    return [json_minify.PLUGIN, trim.PLUGIN]
