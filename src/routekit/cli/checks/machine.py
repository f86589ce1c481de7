"""What this machine offers to a router: keys in the environment, model servers on the loopback, local models."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import util
from typing import Any

from routekit.catalog.endpoints import deployments_from_env

PROBE_TIMEOUT_S = 0.5
MOST_BYTES = 2**20
MOST_MODELS = 8
"""How many of a server's models are offered; a folder full of downloads is no configuration."""


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A model server and the port it listens to unless told otherwise."""

    name: str
    port: int


SERVERS = (
    LocalServer("ollama", 11434),
    LocalServer("lm-studio", 1234),
    LocalServer("llama-cpp", 8080),
    LocalServer("vllm", 8000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """`hosted` are deployment tables for keys that are set; `servers` what answers on the loopback, with its models.

    `runtime` and `weights` say whether the local models could run now.
    """

    hosted: tuple[Mapping[str, Any], ...] = ()
    servers: tuple[tuple[LocalServer, tuple[str, ...]], ...] = ()
    runtime: bool = False
    weights: bool = False


def look_around(env: Mapping[str, str], servers: Iterable[LocalServer] = SERVERS) -> Surroundings:
    """Looks at this machine. Nothing leaves it: the servers are asked on 127.0.0.1."""
    from routekit.builtin.local_models.weights import find_weights

    candidates = tuple(servers)
    with ThreadPoolExecutor(max(1, len(candidates))) as pool:
        answers = list(pool.map(models_of, candidates))
    return Surroundings(
        hosted=tuple(table for table in deployments_from_env(env) if table["provider"] != "local"),
        servers=tuple((server, models) for server, models in zip(candidates, answers, strict=True) if models),
        runtime=util.find_spec("xllamacpp") is not None,
        weights=find_weights("smollm2") is not None,
    )


def models_of(server: LocalServer) -> tuple[str, ...]:
    """The chat models that a server lists under ``/v1/models``; none where nobody answers in time."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/v1/models", headers={"Accept": "application/json", "Connection": "close"})
        response = connection.getresponse()
        return listed_models(_body(response)) if response.status == 200 else ()
    except (OSError, http.client.HTTPException):
        return ()
    finally:
        connection.close()


def listed_models(body: bytes) -> tuple[str, ...]:
    """The ids in a list of models; none where it is no such list. What a server says is not trusted to be well-formed.

    >>> listed_models(b'{"data": [{"id": "qwen3:4b"}, {"id": "nomic-embed-text"}, {"id": 7}]}')
    ('qwen3:4b',)
    """
    try:
        entries = json.loads(body)["data"]
        found = [entry["id"] for entry in entries if isinstance(entry, dict) and "id" in entry]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()
    usable = (name for name in found if isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable())
    return tuple(dict.fromkeys(name for name in usable if "embed" not in name.lower()))[:MOST_MODELS]


def _body(response: http.client.HTTPResponse) -> bytes:
    """The body, as far as it arrives in time: a timeout of a socket is one per piece."""
    end, pieces, size = time.monotonic() + PROBE_TIMEOUT_S, [], 0
    while time.monotonic() < end and size <= MOST_BYTES and (piece := response.read1(65536)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
