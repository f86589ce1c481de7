"""The provider for endpoints that speak OpenAI's Chat Completions."""

from routekit.builtin.providers.openai_compatible.provider import PLUGIN, OpenAICompatible

__all__ = ["PLUGIN", "OpenAICompatible"]
