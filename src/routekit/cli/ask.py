"""``routekit ask``: one prompt, routed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, Unpack

import click

from routekit.cli.ask_options import Asked, call_options, messages_of, request_options
from routekit.cli.output import answer_text, json_option, note, print_json, say, seconds, usd, working
from routekit.cli.session import Session, pass_session

if TYPE_CHECKING:
    from routekit.router import Router
    from routekit.types import RouteResult


@click.command(short_help="Route a prompt and print the answer.")
@request_options
@click.option("--stream", is_flag=True, help="Print the answer while it is written.")
@json_option
@pass_session
def ask(session: Session, prompt: str, stream: bool, as_json: bool, **asked: Unpack[Asked]) -> None:
    """Route PROMPT and print the answer; "-" reads it from stdin.

    The answer goes to stdout; who gave it, why, and what it cost go to stderr. With --json the whole
    result is one JSON object, also with --stream, which then only shows how soon the first token came.
    """
    messages = messages_of(prompt, asked["system"])
    with closing(session.router()) as router:
        options = call_options(router, asked)
        with working("waiting for an answer") as answered:
            if stream:
                result = _streamed(router, messages, options, quiet=as_json, answered=answered)
            else:
                result = router.complete(messages, **options)
    if as_json:
        print_json({**result.to_dict(), "text": result.text, "decision": result.decision.to_dict()})
        return
    if not stream:
        say(answer_text(result.text or str(result.message.get("refusal") or "")))
    note(told(result))


def _streamed(
    router: Router, messages: Any, options: dict[str, Any], *, quiet: bool, answered: Callable[[], None]
) -> RouteResult:
    started = False
    try:
        with router.stream(messages, **options) as stream:
            for chunk in stream:
                if chunk.text and not quiet:
                    answered()
                    started = True
                    say(answer_text(chunk.text), end="")
    finally:
        if started:
            say()
    result = stream.result
    assert result is not None  # a stream that was read to its end has one
    return result


def told(result: RouteResult) -> str:
    """Who answered, why, at what cost and in which time, in one line."""
    who = str(result.deployment) if result.deployment else "nobody that is configured now"
    if result.cache in ("hit", "semantic-hit"):
        who, cost = f"cache ({result.cache}), first given by {who}", f"$0, saved {usd(result.saved.nanos)}"
    else:
        cost = usd(result.cost.nanos) if result.cost_known else f"{usd(result.cost.nanos)} and an unknown price"
    failed = sum(attempt.outcome != "ok" for attempt in result.attempts)
    more = f" after {failed} attempt{'s' if failed > 1 else ''} elsewhere" if failed else ""
    return (
        f"[{who}{more} | {result.decision.strategy}: {result.decision.reason} | {cost} | {seconds(result.duration_s)}]"
    )
