"""The text of a first routekit.toml."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from routekit.catalog.endpoints import local_deployments
from routekit.cli.checks.machine import LocalServer, Surroundings

_HEAD = """\
# routekit.toml: who may answer, who is preferred, and what it may cost.
# `routekit config check` reads it, `routekit doctor` checks this machine against it,
# `routekit explain "..."` shows who would answer and why.

[router]
strategy = "cheapest"    # or "best", "balanced", "fastest", "cascade", ...: `routekit plugins` lists them
deadline_s = 60          # seconds for a request with all of its attempts; 0 means no limit
"""

_TAIL = """\
# More about a deployment:
#   quality = 0.62                                                  # 0..1; inferred from the price rank where absent
#   price = { input = 0.25, cached_input = 0.025, output = 2.0 }    # US dollars per million tokens
#   limits = { rpm = 500, tpm = 200000, concurrency = 20 }
#   region = "eu"
#   retention = "zero"

# A strategy of your own name: a plugin and its options.
# [strategies.frugal]
# use = "cheapest"
# min_quality = 0.5

# Which strategy serves which step of an agent.
# [[steps]]
# when = { kind = "plan" }
# strategy = "best"

# What may be spent. A scope is "global", or project, tag, user, run, provider, deployment or key with a value.
# [[budgets]]
# scope = "global"
# limit_usd = 5
# window = "day"                 # hour, day, week, month, total
# timezone = "Europe/Berlin"
# on_exceeded = "block"          # or "downgrade", "warn"

# Answers that are kept, nearest first.
# [cache]
# use = ["memory", "disk"]
# ttl_s = 3600
"""

_HOSTED = "# Found by their keys in the environment. The file names the variables and never holds a key."
_OWN = "# Nobody bills for it."
_LOCAL = "# The model that runs inside the program: small, free, and nothing leaves this machine."
_ABSENT = "# It is not installed yet: {}"
_APART = (
    '# Models on this machine are a group of their own, so that "cheapest" does not send everything to them.\n'
    '# Ask them with model = "local".\n'
    "[groups.local]\n"
    'strategy = "best"'
)


def written(found: Surroundings) -> str:
    """A commented configuration for what was found; always one that can be loaded."""
    names: set[str] = set()
    group = "local" if found.hosted else "default"
    parts = [_HEAD]
    if found.hosted:
        parts.append(_section(_HOSTED, [_named(table, names) for table in found.hosted]))
    for server, models in found.servers:
        tables = [_named(_of_server(server, model, group), names) for model in models]
        parts.append(_section(f"# {server.name}, found on port {server.port}.\n{_OWN}", tables))
    own = [_named({**table, **({"group": group} if found.hosted else {})}, names) for table in local_deployments()]
    usable = found.runtime and found.weights
    if not found.hosted and not found.servers:
        parts.append(_section(_LOCAL if usable else f"{_LOCAL}\n{_ABSENT.format(_missing(found))}", own))
    elif usable and not found.servers:
        parts.append(_section(_LOCAL, own))
    else:
        why = "" if usable else f"\n{_ABSENT.format(_missing(found))}"
        parts.append(_commented(_section(f"{_LOCAL}{why}", own[:1])))
    if found.hosted and (found.servers or usable):
        parts.append(f"{_APART}\n")
    return "\n".join([*parts, _TAIL])


def _section(comment: str, tables: Iterable[Mapping[str, Any]]) -> str:
    return "\n".join([comment, *("\n".join(["[[deployments]]", *_pairs(table), ""]) for table in tables)])


def _commented(text: str) -> str:
    return "".join(line if line.startswith("#") or not line.strip() else f"# {line}" for line in text.splitlines(True))


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {toml_value(value)}" for key, value in table.items()]


def _of_server(server: LocalServer, model: str, group: str) -> dict[str, Any]:
    slug = re.sub(r"[^a-z0-9.]+", "-", model.lower()).strip("-.") or "model"
    return {
        "name": f"{server.name}-{slug}",
        "provider": "openai-compatible",
        "model": model,
        "base_url": f"http://127.0.0.1:{server.port}/v1",
        "price": {"input": 0, "output": 0},
        "tags": ["local"],
        **({"group": group} if group != "default" else {}),
    }


def _named(table: Mapping[str, Any], taken: set[str]) -> dict[str, Any]:
    """The table with a name that no other has."""
    name, number = table["name"], 1
    while name in taken:
        number += 1
        name = f"{table['name']}-{number}"
    taken.add(name)
    return {**table, "name": name}


def _missing(found: Surroundings) -> str:
    steps = [] if found.runtime else ["pip install 'routekit-llm[local]'"]
    steps += [] if found.weights else ["routekit models pull smollm2"]
    return ", then ".join(steps)


def toml_value(value: str | bool | int | float | Sequence[Any] | Mapping[str, Any]) -> str:
    """A value as TOML writes it, tables inline.

    >>> toml_value({"a": ["x", 1], "b": 'say "hi"'})
    '{ a = ["x", 1], b = "say \\\\"hi\\\\"" }'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return f'"{"".join(map(_escaped, value))}"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml_value(inner)}" for key, inner in value.items()) + " }"
    return "[" + ", ".join(toml_value(inner) for inner in value) + "]"


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    code = ord(letter)
    if code < 0x20 or code == 0x7F:
        return f"\\u{code:04x}"
    return "\N{REPLACEMENT CHARACTER}" if 0xD800 <= code <= 0xDFFF else letter
