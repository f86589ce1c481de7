"""The built-in providers. Their modules are light: what is heavy is imported by the first call."""

from __future__ import annotations

from routekit.plugin import ProviderPlugin, hookimpl


@hookimpl
def routekit_providers() -> list[ProviderPlugin]:
    from routekit.builtin.providers.litellm import provider as litellm
    from routekit.builtin.providers.local import provider as local
    from routekit.builtin.providers.openai_compatible import provider as openai_compatible

    return [openai_compatible.PLUGIN, litellm.PLUGIN, local.PLUGIN]
