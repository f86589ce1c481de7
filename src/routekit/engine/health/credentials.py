"""What a deployment is to others: its slot among programs, and its credential among deployments."""

from __future__ import annotations

from collections.abc import Mapping

from routekit.types import Deployment


def slot_of(deployment: Deployment) -> str:
    """The deployment as all programs know it, without a secret."""
    return f"{deployment.name} {deployment.provider} {deployment.model.id} {_address(deployment)}"


def credential_of(deployment: Deployment) -> object | None:
    """What stands for the credential of a deployment: where it is read from and where it is sent.

    None where its options name no variable: then nobody else is judged by it. Never the key itself.
    """
    options = deployment.options
    headers = options.get("headers")
    secret = tuple(
        sorted(value for value in headers.values() if isinstance(value, str) and value.startswith("$"))
        if isinstance(headers, Mapping)
        else ()
    )
    variable = options.get("api_key_env")
    if not variable and not secret:
        return None
    return (deployment.provider, variable, secret, _address(deployment), options.get("organization"))


def vendor_of(deployment: Deployment) -> object:
    """What two deployments have in common that would refuse the same requests: one model of one vendor."""
    return (deployment.provider, deployment.model.id, _address(deployment))


def _address(deployment: Deployment) -> object:
    return deployment.options.get("base_url") or deployment.options.get("api_base")
