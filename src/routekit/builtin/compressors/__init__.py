"""Built-in compressors."""

from __future__ import annotations

from routekit.plugin import CompressorPlugin, hookimpl


@hookimpl
def routekit_compressors() -> list[CompressorPlugin]:
    from routekit.builtin.compressors import (
        dedupe,
        json_minify,
        json_table,
        middle_out,
        schema_minify,
        summarize,
        tool_output,
        trim,
    )

    return [
        module.PLUGIN
        for module in (json_minify, schema_minify, json_table, dedupe, tool_output, middle_out, trim, summarize)
    ]
