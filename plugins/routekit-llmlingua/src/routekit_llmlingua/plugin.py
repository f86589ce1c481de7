"""What routekit finds when this package is installed. Nothing heavy is imported before it is used."""

from __future__ import annotations

from routekit.plugin import CompressorPlugin, hookimpl
from routekit_llmlingua.compressor import LLMLingua, LLMLinguaOptions


@hookimpl
def routekit_compressors() -> list[CompressorPlugin]:
    return [
        CompressorPlugin(
            name="llmlingua",
            factory=lambda options, context: LLMLingua(**options.model_dump()),
            options=LLMLinguaOptions,
            summary="Drops the words of long tool results and older messages that a small model finds dispensable.",
        )
    ]
