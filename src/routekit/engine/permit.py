"""An attempt that was admitted, and the answer it may end with."""

from __future__ import annotations

from routekit.types import (
    Answer,
    Candidate,
    Reservation,
    Usage,
)


class Permit:
    """One attempt under way: a place, its admission, what is held for it, and since when.

    `hedge_nanos` is what it took of the budget of hedges, None for what is none; `retries` says that it
    asks the same deployment again; `gap_s` is the longest silence between two of its pieces; `shared` names
    it where limits are counted together with other machines; at `renew_at_s` a stream renews what is held for it.
    `held_nanos` is what it could cost at most, as the request itself counts it; `sent` says that the provider was
    called, `streamed` that it answers in pieces; `callers_limit_s` is how long it may be silent where the request's
    deadline says so, None where a limit of the deployment's own does; `doubt` is why what it used is uncertain, ""
    where it is not.
    """

    __slots__ = (
        "admission", "callers_limit_s", "candidate", "doubt", "gap_s", "hedge_nanos", "held_nanos", "hold", "place",
        "renew_at_s", "retries", "role", "sent", "shared", "started_s", "streamed", "ttft_s",
    )  # fmt: skip

    def __init__(self, candidate: Candidate, admission: Admission, place: int, role: str, started_s: float) -> None:
        self.candidate = candidate
        self.admission = admission
        self.place = place
        self.role = role
        self.hold: Reservation | None = None
        self.renew_at_s: float | None = None
        self.started_s = started_s
        self.ttft_s: float | None = None
        self.gap_s: float | None = None
        self.hedge_nanos: int | None = None
        self.retries = False
        self.shared: str | None = None
        self.held_nanos = 0
        self.callers_limit_s: float | None = None
        self.sent = self.streamed = False
        self.doubt = ""


class Answered:
    """A complete answer and where it came from."""

    __slots__ = ("answer", "permit", "usage")

    def __init__(self, answer: Answer, permit: Permit, usage: Usage) -> None:
        self.answer = answer
        self.permit = permit
        self.usage = usage


class Admission:
    """A call that was let in. It ends once, however often it is told to. `started` is monotonic, in seconds."""

    __slots__ = ("ended", "epoch", "era", "name", "probe", "started")

    def __init__(self, name: str, started: float, era: int, probe: bool, epoch: int = 0) -> None:
        self.epoch = epoch
        self.name = name
        self.started = started
        self.era = era
        self.probe = probe
        self.ended = False
