"""LLMLingua-2 (Pan et al., 2024) as a compressor for routekit."""

from routekit_llmlingua.compressor import LLMLingua, LLMLinguaOptions

__all__ = ["LLMLingua", "LLMLinguaOptions"]
