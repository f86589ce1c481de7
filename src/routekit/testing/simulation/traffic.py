"""Who asks when: requests drawn from a seed, or read from a recording."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from routekit.errors import ConfigError
from routekit.testing.simulation.scenario import Scenario, TrafficTable

CHARACTERS_PER_TOKEN = 3.8
PIECE_TOKENS = 20
"""So many tokens of an answer come at once, in at most `MOST_PIECES` pieces."""

MOST_PIECES = 12


class Ask(BaseModel):
    """One request. `at` is in seconds from the start; equal `prompt`s ask the same thing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: float = Field(ge=0, allow_inf_nan=False)
    input_tokens: int = Field(ge=1, le=10_000_000)
    output_tokens: int = Field(ge=1, le=10_000_000)
    prompt: str = ""
    stream: bool = False
    tags: tuple[str, ...] = ()
    leaves_after_s: float | None = None

    @property
    def text(self) -> str:
        """The prompt as it is sent: of about the right length, and telling which one it is."""
        head = f"prompt <{self.prompt}> of {self.output_tokens} tokens: "
        return head + "x" * max(0, int((self.input_tokens - 4) * CHARACTERS_PER_TOKEN) - len(head))

    @property
    def pieces(self) -> tuple[str, ...]:
        """The answer: the same at every deployment, so that it shows what is missing or stands there twice."""
        count = min(MOST_PIECES, max(1, self.output_tokens // PIECE_TOKENS))
        return (*(f"{place} of {count} <{self.prompt}>; " for place in range(1, count)), f"end <{self.prompt}>")


def asks_of(scenario: Scenario, seed: int) -> list[Ask]:
    """All requests of a scenario in order of time.

    Raises:
        ConfigError: the recording cannot be read.
    """
    if scenario.traffic.recording is not None:
        return _recorded(Path(scenario.folder) / scenario.traffic.recording)
    return _generated(scenario.traffic, random.Random(f"traffic {seed}"))


def _generated(traffic: TrafficTable, rng: random.Random) -> list[Ask]:
    asks: list[Ask] = []
    at = 0.0
    while traffic.requests is None or len(asks) < traffic.requests:
        at += rng.expovariate(traffic.rate_per_s)
        if traffic.duration_s is not None and at >= traffic.duration_s:
            break
        values: dict[str, Any] = {
            "input_tokens": max(1, round(traffic.input_tokens.draw(rng))),
            "output_tokens": max(1, round(traffic.output_tokens.draw(rng))),
            "prompt": str(len(asks)),
        }
        if asks and rng.random() < traffic.repeated:
            earlier = rng.choice(asks)
            values = {name: getattr(earlier, name) for name in values}
        streamed, abandoned = rng.random() < traffic.streamed, rng.random() < traffic.abandoned
        leaves_after_s = rng.expovariate(0.7) if abandoned else None
        tags = (rng.choice(traffic.tags),) if traffic.tags else ()
        asks.append(Ask(at=at, stream=streamed, tags=tags, leaves_after_s=leaves_after_s, **values))
    return asks


def _recorded(file: Path) -> list[Ask]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(file)) from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8", file=str(file)) from None
    asks = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            asks.append(Ask.model_validate({"prompt": f"line {number}", **values}))
        except ValidationError as error:
            finding = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(str(part) for part in finding["loc"])
            raise ConfigError(f"line {number}: {finding['msg']}", key=key, file=str(file)) from None
        except (ValueError, TypeError):
            raise ConfigError(f"line {number} is no JSON object", file=str(file)) from None
    if not asks:
        raise ConfigError("has no requests", file=str(file))
    # Prompts get numbers: two lines ask the same thing where name and sizes are the same.
    numbers: dict[tuple[str, int, int], str] = {}
    asks = [
        ask.model_copy(
            update={"prompt": numbers.setdefault((ask.prompt, ask.input_tokens, ask.output_tokens), str(len(numbers)))}
        )
        for ask in asks
    ]
    return sorted(asks, key=lambda ask: ask.at)
