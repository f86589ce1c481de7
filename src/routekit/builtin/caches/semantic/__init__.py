"""Answers to questions that mean the same."""

from routekit.builtin.caches.semantic.cache import PLUGIN, MeaningCache, SemanticCacheOptions

__all__ = ["PLUGIN", "MeaningCache", "SemanticCacheOptions"]
