"""Long, tool-heavy conversations from a seed, with planted facts that a good compressor keeps."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any


def words(text: str) -> list[str]:
    return text.split()


FIRST = words("Ada Bo Cleo Dan Eve Finn Gus Hal Ivy Jon Kim Lea Max Nia Oli Pia Quin Ray Sam Tess")
LAST = words("Abel Brandt Cole Dahl Egger Frost Gruber Hahn Ilves Jansen Koch Lund Moser Noll Ortiz Pohl Reyes Stern")
CITIES = words("Lisbon Oslo Graz Turin Leeds Porto Ghent Basel Malmo Cork Lyon Nice Bonn Bern Riga")
ITEMS = words("lamp desk chair shelf kettle carpet mirror clock sofa stool bench curtain blanket towel basket")
STATES = ["shipped", "delivered", "packed", "returned", "on its way"]
SERVICES = words("checkout billing search mailer ledger gateway catalog")
WORDS = words(
    "the a new old shared remote local cache queue table index worker cluster request answer client server "
    "region policy version module layer record stream handles stores reads writes moves checks keeps drops "
    "sends routes "
)


@dataclass
class Transcript:
    """Messages, and the facts in them: what must still be there, by kind."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)


class Writer:
    """Writes one transcript. Each fact is a text that occurs once."""

    def __init__(self, seed: int, json_share: float) -> None:
        self.rng = random.Random(seed)
        self.json_share = json_share
        self.made = Transcript()
        self._needles = 0
        self._asks_later: list[tuple[str, str]] = []

    def needle(self, prefix: str) -> str:
        self._needles += 1
        return f"{prefix}-{self.rng.randrange(10**5, 10**6)}{self._needles:02}"

    def fact(self, kind: str, prefix: str) -> str:
        found = self.needle(prefix)
        self.made.facts.append((kind, found))
        return found

    def write(self, rounds: int) -> Transcript:
        messages = self.made.messages
        messages.append({"role": "system", "content": "You answer questions about orders and services. Use the tools."})
        earlier: list[str] = []
        for turn in range(rounds):
            question, name, result = self._task()
            messages.append({"role": "user", "content": question})
            for step in range(self.rng.choice([1, 1, 2])):
                if step and self.rng.random() < 0.5:  # asked again, as agents do; or else something new
                    question, name, result = self._task()
                call_id = f"call_{turn}_{step}"
                function = {"name": name, "arguments": json.dumps({"query": question[:60]})}
                call = {"id": call_id, "type": "function", "function": function}
                messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
                messages.append({"role": "tool", "tool_call_id": call_id, "content": result})
                earlier.append(result)
            messages.append({"role": "assistant", "content": self._prose(25)})
        asked, _ = self.rng.choice(self._asks_later) if self._asks_later else ("anything new", "")
        for name, needle in self._asks_later:
            if name == asked:
                self.made.facts.append(("asked later", needle))
        messages.append({"role": "user", "content": f"Back to {asked}: what was the reference again?"})
        return self.made

    def _task(self) -> tuple[str, str, str]:
        if self.rng.random() < self.json_share:
            return self.rng.choice([self._orders, self._orders, self._hits, self._metrics])()
        return self.rng.choice([self._log, self._page])()

    def _orders(self) -> tuple[str, str, str]:
        rng = self.rng
        count = rng.randrange(30, 110)
        rows = [
            {
                "order_id": self.needle("A"), "customer": f"{rng.choice(FIRST)} {rng.choice(LAST)}",
                "city": rng.choice(CITIES), "item": rng.choice(ITEMS), "quantity": rng.randrange(1, 9),
                "total_cents": rng.randrange(500, 90_000), "status": rng.choice(STATES),
                "reference": "", "express": rng.random() < 0.3,
            }
            for _ in range(count)
        ]  # fmt: skip
        for row in rows:
            row["reference"] = self.needle("R")
        asked, random_one, failed, later = rng.sample(rows, 4)
        self.made.facts.append(("record asked for", asked["reference"]))
        self.made.facts.append(("record nobody asked for", random_one["reference"]))
        failed["status"] = "payment failed"
        self.made.facts.append(("record with an error", failed["reference"]))
        self._asks_later.append((f"order {later['order_id']}", later["reference"]))
        value = {"page": 1, "count": count, "cursor": self.fact("figure beside a list", "CUR"), "orders": rows}
        return f"What is the reference of order {asked['order_id']}?", "list_orders", self._json(value)

    def _metrics(self) -> tuple[str, str, str]:
        rng = self.rng
        service = rng.choice(SERVICES)
        rows = [
            {"minute": f"12:{m:02}", "service": service, "p50_ms": rng.randrange(5, 40),
             "p99_ms": rng.randrange(60, 300), "errors": 0, "host": f"host-{rng.randrange(40)}"}
            for m in range(60)
        ]  # fmt: skip
        bad = rng.randrange(60)
        rows[bad]["host"] = self.fact("record with an error", "HOST")
        rows[bad]["note"] = "error rate 14 %"
        return f"Did {service} fail at any time?", "metrics", self._json({"series": rows})

    def _hits(self) -> tuple[str, str, str]:
        rng = self.rng
        hits = [
            {"title": self._prose(6), "url": f"https://docs.example.com/{rng.randrange(10**6)}",
             "score": round(rng.random(), 3), "text": " ".join(self._prose(14) + "." for _ in range(6))}
            for _ in range(12)
        ]  # fmt: skip
        topic = f"{rng.choice(ITEMS)} warranty in {rng.choice(CITIES)}"
        place = rng.randrange(12)
        hits[place]["title"] = f"About the {topic}"
        answer = self.fact("record asked for", "W")
        hits[place]["text"] = f"{self._prose(20)}. The {topic} is registered under {answer}. {self._prose(20)}."
        return f"Under which number is the {topic} registered?", "search", self._json({"hits": hits})

    def _log(self) -> tuple[str, str, str]:
        rng = self.rng
        service = rng.choice(SERVICES)
        lines = [
            f"2026-03-01T12:{n // 60 % 60:02}:{n % 60:02}Z INFO {rng.choice(SERVICES)} {self._prose(7)}"
            for n in range(rng.randrange(150, 400))
        ]
        place = rng.randrange(20, len(lines) - 20)
        lines[place] = f"2026-03-01T12:09:09Z ERROR {service} request {self.fact('line with an error', 'REQ')} failed"
        trace = ["Traceback (most recent call last):", f'  File "{service}.py", line 12, in serve']
        lines[place + 1 : place + 1] = [*trace, f"TimeoutError: {self.fact('line with an error', 'T')}"]
        lines[-1] = f"done, checksum {self.fact('last line', 'SUM')}"
        return f"Why did {service} stop?", "read_log", "\n".join(lines)

    def _page(self) -> tuple[str, str, str]:
        topic = f"{self.rng.choice(ITEMS)} returns from {self.rng.choice(CITIES)}"
        sentences = [self._prose(16).capitalize() + "." for _ in range(120)]
        sentences[self.rng.randrange(10, 110)] = f"For {topic} the form is {self.fact('sentence asked for', 'F')}."
        return f"Which form is it for {topic}?", "read_page", " ".join(sentences)

    def _json(self, value: Any) -> str:
        return json.dumps(value, indent=2 if self.rng.random() < 0.5 else None)

    def _prose(self, words: int) -> str:
        return " ".join(self.rng.choice(WORDS) for _ in range(words))


def transcript(seed: int, rounds: int = 8, json_share: float = 0.8) -> Transcript:
    """One conversation; the same seed gives the same one."""
    return Writer(seed, json_share).write(rounds)
