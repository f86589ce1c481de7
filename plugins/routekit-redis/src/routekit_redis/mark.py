"""The ledger's own mark on the server, by which a server that has lost it is told from a new one."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from routekit.errors import ConfigError
from routekit_redis.sentences import border


@dataclass(frozen=True, slots=True)
class Mark:
    """`epoch` names the ledger, `term` is changed by an operator who adopts it, `seq` is its highest entry seen."""

    epoch: str
    term: int = 0
    seq: int = 0


def prefix_of(name: str) -> str:
    """Where all keys of a service begin: one hash tag, so that one script may touch all of them on a cluster."""
    return f"{{routekit:{name}}}"


def mark_of(client: Any, prefix: str, home: Path | None, accept_new: bool, known: Mark | None = None) -> Mark:
    """The ledger's mark, made where the ledger is new, and how far this machine has seen it.

    A machine remembers it in its home, a process in `known`.

    Raises:
        ConfigError: this machine has seen another ledger here: its data is gone.
        BudgetUnavailableError: the server does not answer.
    """
    seen = known or noted(home, prefix)
    epoch, was = _texts(client.hmget(f"{prefix}:meta", "epoch", "was"))
    if seen is not None and seen.epoch not in (epoch, was) and not (accept_new and known is None):
        raise ConfigError(
            "the server has lost the ledger that this machine knows (flushed, replaced, or another database)",
            key="url", fix="Restore it; or run `routekit ledger adopt`, or set accept_new = true once.",
        )  # fmt: skip
    if epoch is None:
        client.hsetnx(f"{prefix}:meta", "epoch", secrets.token_hex(8))
        (epoch,) = _texts(client.hmget(f"{prefix}:meta", "epoch"))
    assert epoch is not None
    found = seen if seen is not None and seen.epoch == epoch else Mark(epoch)
    note(home, prefix, found)
    return found


def noted(home: Path | None, prefix: str) -> Mark | None:
    """What this machine remembers."""
    place = None if home is None else _place(home, prefix)
    if place is None or not place.exists():
        return None
    epoch, *numbers = place.read_text().split() or [""]
    term, seq = (int(text) if text.isdecimal() else 0 for text in [*numbers, "0", "0"][:2])
    return Mark(epoch, term, seq)


def note(home: Path | None, prefix: str, mark: Mark) -> None:
    """Remembers it, unless more is remembered already."""
    if home is None:
        return
    seen = noted(home, prefix)
    if seen is not None and seen.epoch == mark.epoch and (seen.term, seen.seq) >= (mark.term, mark.seq):
        return
    place = _place(home, prefix)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = place.with_name(f"{place.name}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600)
    fresh.write_text(f"{mark.epoch} {mark.term} {mark.seq}")
    fresh.replace(place)


def reinitialise(url: str, *, name: str = "default", home: Path | str | None = None) -> None:
    """Takes an emptied server for the ledger from now on; what was lost is lost.

    To be called on one of the machines that knew the ledger: the others follow. Where the server has kept a part,
    `routekit ledger adopt` goes on with that.
    """
    import os

    from routekit.config.load import home_of

    seen = noted(home_of(os.environ) if home is None else Path(home), prefix_of(name))
    fresh: Any = {"epoch": secrets.token_hex(8), "was": "" if seen is None else seen.epoch}
    client = redis.Redis.from_url(url)
    try:
        with border():
            client.hset(f"{prefix_of(name)}:meta", mapping=fresh)
    finally:
        client.close()


def _place(home: Path, prefix: str) -> Path:
    return home / "redis" / prefix.strip("{}").replace(":", "-")


def _texts(values: Any) -> list[str | None]:
    return [value.decode() if isinstance(value, bytes) else value for value in values]
