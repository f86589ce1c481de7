"""An operator's decision: the ledger goes on with what the server has."""

from __future__ import annotations

import secrets
import time
from typing import Any

from routekit_redis.link import Link, texts
from routekit_redis.mark import Mark, note, noted


def adopt(link: Link) -> list[str]:
    """Gives the ledger a new term, after which every client takes its numbers as they are.

    Balances that are missing are added up from the entries that there are. Returns what was done, a sentence each.
    To be called while little happens; what was taken meanwhile is not lost, but may have to be adopted again.
    """
    client, meta = link.plain(), f"{link.prefix}:meta"
    told: list[str] = []
    with link.border():
        epoch, seq, term, behind = texts(client.hmget(meta, "epoch", "seq", "term", "behind"))
        if epoch is None:
            seen = link.mark or noted(link.home, link.prefix)
            epoch = secrets.token_hex(8)
            client.hset(meta, mapping={"epoch": epoch, "was": seen.epoch if seen else ""})
            told.append("the server had lost the ledger: it has a new mark, and begins with nothing")
        if behind:
            told.append(f"entries up to number {behind} were seen, and the server is at {seq or 0}: they are lost")
        highest = max(int(seq or 0), _last(client, f"{link.prefix}:entries"))
        told += _rebuilt(link, client)
        fresh: dict[str, Any] = {
            "seq": highest, "term": max(int(term or 0) + 1, int(time.time())),
            "folded": highest - client.xlen(f"{link.prefix}:entries"), "b": client.scard(f"{link.prefix}:keys"),
        }  # fmt: skip
        client.hset(meta, mapping=fresh)
        client.hdel(meta, "behind")
        mark = Mark(epoch, fresh["term"], highest)
        note(link.home, link.prefix, mark)
        link.mark = mark
    return told or ["nothing was missing"]


def _last(client: Any, stream: str) -> int:
    found = client.xrevrange(stream, count=1)
    return int(found[0][0].partition(b"-")[0]) if found else 0


def _rebuilt(link: Link, client: Any) -> list[str]:
    """Balances that are missing though there are entries of them; and names that are missing of balances."""
    sums: dict[str, tuple[str, int, int]] = {}
    after = 0
    while rows := client.xrange(f"{link.prefix}:entries", min=f"({after}-1", count=1000):
        after = int(rows[-1][0].partition(b"-")[0])
        for _, raw in rows:
            key = texts(raw[b"key"])
            _, spent, reserved = sums.get(key, ("", 0, 0))
            sums[key] = texts(raw[b"scope"]), spent + int(raw[b"spent"]), reserved + int(raw[b"reserved"])
    told = []
    names = f"{link.prefix}:keys"
    listed = {texts(raw) for raw in client.sscan_iter(names, count=500)}
    for key, (scope, spent, reserved) in sums.items():
        place = f"{link.prefix}:b:{key}"
        if not client.exists(place):
            client.hset(place, mapping={"scope": scope, "s": max(0, spent), "r": max(0, reserved)})
            told.append(f"{key} was missing and is added up from its entries: {spent} spent, {reserved} held")
        if key not in listed:
            client.sadd(names, key)
    for key in listed - sums.keys():
        if not client.exists(f"{link.prefix}:b:{key}"):
            client.srem(names, key)
            told.append(f"{key} was missing and has no entries: it begins with nothing")
    begins = f"{link.prefix}:b:".encode()
    for raw in client.scan_iter(match=_pattern(f"{link.prefix}:b:"), count=500):
        if raw.startswith(begins):
            client.sadd(names, raw[len(begins) :])
    return told


def _pattern(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "[]*?\\" else letter for letter in text) + "*"
