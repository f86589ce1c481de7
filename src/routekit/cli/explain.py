"""``routekit explain``: the decision without the call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Unpack

import click

from routekit.cli.ask_options import Asked, call_options, messages_of, request_options
from routekit.cli.output import Column, json_option, print_json, say, seconds, table, usd
from routekit.cli.session import Session, pass_session

if TYPE_CHECKING:
    from routekit.types import Rejection, RouteDecision

_RANKED = (
    Column("place", "right"),
    Column("deployment"),
    Column("model"),
    Column("score", "right"),
    Column("quality", "right"),
    Column("expected cost", "right"),
    Column("latency", "right"),
)
_REJECTED = (Column("rejected"), Column("because"), Column("reason", wrap=True))


@click.command(short_help="Show who would answer, who would not, and why.")
@request_options
@json_option
@pass_session
def explain(session: Session, prompt: str, as_json: bool, **asked: Unpack[Asked]) -> None:
    """Show who would answer PROMPT, who was rejected and why, and what it would cost. Calls nobody.

    A quality marked ~ is inferred from the price rank, not measured.
    """
    from routekit.errors import NoCandidateError

    messages = messages_of(prompt, asked["system"])
    with closing(session.router()) as router:
        options = call_options(router, asked)
        try:
            decision = router.explain(messages, **options)
        except NoCandidateError as error:
            if as_json:
                print_json({"ranked": [], "rejections": [_plain(r) for r in error.rejections]})
            elif error.rejections:
                _show_rejections(error.rejections)
            raise
    if as_json:
        print_json(decision.to_dict())
    else:
        _show(decision)


def _show(decision: RouteDecision) -> None:
    rows = []
    for place, ranked in enumerate(decision.ranked, start=1):
        candidate = ranked.candidate
        rows.append(
            [
                str(place),
                ranked.deployment.name,
                ranked.deployment.model.id,
                f"{ranked.score:.4g}",
                f"{'~' if candidate.quality_inferred else ''}{candidate.quality:.2f}",
                usd(candidate.cost_nanos),
                seconds(candidate.latency.total_p50_s if candidate.latency else None),
            ]
        )
    table(_RANKED, rows)
    path = " > ".join(decision.path) if len(decision.path) > 1 else decision.strategy
    say(f"\n{path}: {decision.reason}")
    for remark in decision.notes:
        say(f"note: {remark}")
    if decision.rejections:
        say()
        _show_rejections(decision.rejections)


def _show_rejections(rejections: Sequence[Rejection]) -> None:
    table(_REJECTED, [[r.deployment.name, r.code, r.reason] for r in rejections])


def _plain(rejection: Rejection) -> dict[str, str]:
    return {"deployment": rejection.deployment.name, "code": rejection.code, "reason": rejection.reason}
