"""The provider that runs small models in this process."""

from routekit.builtin.providers.local.provider import PLUGIN, LocalOptions, LocalProvider

__all__ = ["PLUGIN", "LocalOptions", "LocalProvider"]
