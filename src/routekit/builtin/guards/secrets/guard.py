"""The guard of secrets: keys, tokens, passwords."""

from __future__ import annotations

from typing import Any

from routekit.builtin.guards.acting import ActingGuard, ActingOptions, Action
from routekit.builtin.guards.secrets.detect import secrets_in
from routekit.plugin import GuardPlugin, PluginContext


class SecretsOptions(ActingOptions):
    """``block`` unless said otherwise: a key in a prompt is a mistake that its writer should hear of."""

    action: Action = "block"


class SecretsGuard(ActingGuard):
    """Finds keys by the formats of their vendors, and what names and looks say is a secret.

    >>> from routekit.types import RouteRequest
    >>> text = "my key is " + "ghp_" + "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA3"
    >>> SecretsGuard().check_request(RouteRequest(messages=({"role": "user", "content": text},))).rule
    'GITHUB_TOKEN'
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(SecretsOptions.checked(options, where="secrets"), secrets_in)


def _make(options: SecretsOptions, context: PluginContext) -> SecretsGuard:
    return SecretsGuard(**options.model_dump())


PLUGIN = GuardPlugin(
    name="secrets",
    factory=_make,
    options=SecretsOptions,
    summary="Blocks, redacts, routes or flags keys, tokens, passwords and private keys.",
)
