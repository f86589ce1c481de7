"""The command line. `main` is the entry point; each command lives in a file of its own.

Nothing heavy is imported here: what a command needs is loaded when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from routekit.cli.lazy_group import Lazy, LazyGroup
from routekit.cli.session import Session

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

COMMANDS = {
    "init": Lazy("routekit.cli.init:init", "Write a routekit.toml for what this machine has."),
    "doctor": Lazy("routekit.cli.doctor:doctor", "Check configuration, keys, plugins and local models."),
    "ask": Lazy("routekit.cli.ask:ask", "Route a prompt and print the answer."),
    "explain": Lazy("routekit.cli.explain:explain", "Show who would answer, who would not, and why. Calls nobody."),
    "models": Lazy("routekit.cli.models:models", "List the deployments; fetch a local model."),
    "plugins": Lazy("routekit.cli.plugins:plugins", "List every plugin; start a new one."),
    "recipes": Lazy("routekit.cli.recipes:recipes", "List, show, run and start example agents."),
    "config": Lazy("routekit.cli.config:config", "Check the configuration."),
    "simulate": Lazy(
        "routekit.cli.simulate:simulate", "Try strategies on scripted deployments and traffic. Calls nobody."
    ),
    "quality": Lazy("routekit.cli.quality:quality", "Learn which model is good enough for a prompt, and check it."),
    "spend": Lazy("routekit.cli.spend:spend", "Show what was spent and saved, and by whom."),
    "report": Lazy("routekit.cli.report:report", "Write one page about what was spent, saved and decided."),
    "cache": Lazy("routekit.cli.cache:cache", "Show what is cached, look into a tenant's answers, erase them."),
    "ledger": Lazy("routekit.cli.ledger:ledger", "Show budgets and holds; verify, export and correct the ledger."),
    "health": Lazy("routekit.cli.health:health", "Show the state of each deployment, in running programs or afresh."),
}


class Main(LazyGroup):
    """The outermost group: turns every way to end into an exit code and at most one line on stderr."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        inner: Callable[..., Any] = super().main
        if not standalone_mode:
            return inner(args, prog_name, complete_var, False, windows_expand_args, **extra)
        session: Session = extra.setdefault("obj", Session())
        code = _ended(session, lambda: inner(args, prog_name, complete_var, False, windows_expand_args, **extra))
        try:
            sys.stdout.flush()
        except OSError:  # the reader of the pipe went away
            sys.stdout = None  # nothing is flushed at exit either
            code = code or FAILED
        sys.exit(code)


def _ended(session: Session, inner: Callable[[], Any]) -> int:
    """Runs a command and reports how it ended; the exit code."""
    from routekit.cli.output import one_line, tolerant
    from routekit.errors import InvalidInputError, RoutekitError

    tolerant(sys.stdout, sys.stderr)
    try:
        code = inner()
    except click.UsageError as error:
        if _is_help(error):
            error.show()
        else:
            command = error.ctx.command_path if error.ctx else "routekit"
            message = one_line(error.format_message()).rstrip(".")
            click.echo(f"error: {message}. See `{command} --help`.", err=True)
        return WRONG_USAGE
    except click.ClickException as error:
        click.echo(f"error: {one_line(error.format_message())}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except Exception as error:
        if session.debug:
            import traceback

            traceback.print_exc()
        if isinstance(error, RoutekitError):
            click.echo(f"error: {one_line(error)}", err=True)
            return WRONG_USAGE if isinstance(error, InvalidInputError) else FAILED
        hint = "" if session.debug else "; --debug shows where"
        click.echo(f"error: unexpected {type(error).__name__}: {one_line(error)}{hint}", err=True)
        return FAILED
    return code if isinstance(code, int) else DONE


def _is_help(error: click.UsageError) -> bool:
    """Whether it is a group called without a command, which newer releases of click answer by raising its help."""
    kind = getattr(click.exceptions, "NoArgsIsHelpError", None)
    return kind is not None and isinstance(error, kind)


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from routekit import __version__

        click.echo(f"routekit {__version__}")
        ctx.exit()


@click.group(cls=Main, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", metavar="PATH", help="The configuration file. Default: ROUTEKIT_CONFIG, else the nearest.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show it.")
@click.pass_context
def main(ctx: click.Context, config: str | None, debug: bool) -> None:
    """Route LLM requests: the right model per request, and the reason for every choice."""
    import logging

    session = ctx.ensure_object(Session)
    session.config, session.debug = config, debug
    # What a library logs goes to stderr where nobody listens; here the commands themselves report it.
    logging.getLogger("routekit").addHandler(logging.StreamHandler() if debug else logging.NullHandler())
