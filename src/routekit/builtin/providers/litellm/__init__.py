"""The provider that calls litellm as a library."""

from routekit.builtin.providers.litellm.provider import PLUGIN, LitellmOptions, LitellmProvider

__all__ = ["PLUGIN", "LitellmOptions", "LitellmProvider"]
