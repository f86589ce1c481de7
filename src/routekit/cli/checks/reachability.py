"""Whether somebody listens where the deployments point to."""

from __future__ import annotations

import ipaddress
import socket
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from urllib.parse import urlsplit

from routekit.cli.checks.configuration import base_url_of
from routekit.cli.checks.finding import Finding
from routekit.config import Config

LOOPBACK_TIMEOUT_S, ONLINE_TIMEOUT_S = 0.5, 2.0


def endpoints_reachable(config: Config, *, online: bool) -> Iterator[Finding]:
    """Looks at this machine, and with `online` at the network: opens a TCP connection to each address and closes it.

    Nothing is sent, and no key is used.
    """
    places: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    for table in config.deployments:
        place = _place(base_url_of(table))
        if place is not None:
            places[place].append(table.name)
    for (scheme, host, port), deployments in places.items():
        who = ", ".join(deployments[:5]) + (" and more" if len(deployments) > 5 else "")
        if is_loopback(host):
            why = _refusal(host, port, LOOPBACK_TIMEOUT_S)
            if why is not None:
                yield Finding(
                    level="error",
                    subject="endpoints",
                    problem=f"nobody answers at {host}:{port} ({why}); needed by {who}",
                    fix="Start that server, or correct base_url.",
                )
                continue
        elif not online:
            continue
        else:
            through = _proxy(scheme, host)
            why = _refusal(*(through or (host, port)), ONLINE_TIMEOUT_S)
            if why is not None:
                where = f"the proxy {through[0]}:{through[1]} for {host}" if through else f"{host}:{port}"
                yield Finding(
                    level="error",
                    subject="endpoints",
                    problem=f"{where} cannot be reached ({why}); needed by {who}",
                    fix="Check the network, the proxy settings and base_url.",
                )
                continue
        yield Finding(level="ok", subject="endpoints", problem=f"{host}:{port} takes connections; used by {who}")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _place(url: str | None) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url or "")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def _refusal(host: str, port: int, timeout_s: float) -> str | None:
    """Why no connection could be opened, or None."""
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except OSError as error:
        return error.strerror or type(error).__name__
    except UnicodeError:
        return "that is no host name"
    return None


def _proxy(scheme: str, host: str) -> tuple[str, int] | None:
    proxies = urllib.request.getproxies()
    address = proxies.get(scheme) or proxies.get("all")
    if not address or urllib.request.proxy_bypass(host):
        return None
    place = _place(address if "://" in address else f"http://{address}")
    return (place[1], urlsplit(address).port or 8080) if place else None
