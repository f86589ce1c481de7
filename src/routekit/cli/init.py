"""``routekit init``: a first routekit.toml for what this machine has."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import click

from routekit.cli.checks import machine as surroundings
from routekit.cli.output import note, say, working
from routekit.cli.session import Session, pass_session


@click.command(short_help="Write a routekit.toml for what this machine has.")
@click.option("--path", "target", metavar="PATH", help="Where to write; default: ./routekit.toml.")
@click.option("--force", is_flag=True, help="Replace the file that is there.")
@pass_session
def init(session: Session, target: str | None, force: bool) -> None:
    """Write a commented routekit.toml for what this machine has.

    Looks for API keys in the environment (their names are written, never the keys), for model servers
    on the loopback (Ollama, LM Studio, llama.cpp, vLLM), and for the local model.
    """
    from routekit.cli.init_template import written
    from routekit.config import Config
    from routekit.config.load import FILE_NAME

    path = Path(target or session.config or FILE_NAME)
    if path.is_dir():
        path /= FILE_NAME
    if path.exists() and not force:
        raise _taken(path)
    with working("looking for model servers"):
        found = surroundings.look_around(os.environ, surroundings.SERVERS)
    text = written(found)
    config = Config.from_dict(tomllib.loads(text), file=str(path))
    write_atomically(path, text, replace=force)
    say(str(path))
    keys = list(dict.fromkeys(table["api_key_env"] for table in found.hosted))
    servers = [f"{server.name} ({len(models)} models)" for server, models in found.servers]
    seen = ", ".join([*keys, *servers, *(["the local model"] if found.runtime and found.weights else [])])
    note(f"{len(config.deployments)} deployments written. Found: {seen or 'no key, no server, no local model'}.")
    note("Next: `routekit doctor`")


def write_atomically(path: Path, text: str, *, replace: bool) -> None:
    """Writes a file whole or not at all; without `replace` it must not exist, also not since somebody looked.

    Raises:
        click.ClickException: it cannot be written, or it is there.
    """
    path = path.resolve() if replace else path
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with open(draft, "x", encoding="utf-8", newline="\n") as opened:
                opened.write(text)
                opened.flush()
                os.fsync(opened.fileno())
            if replace:
                draft.replace(path)
            else:
                _link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None


def _link(draft: Path, path: Path) -> None:
    """Gives a draft its name; raises FileExistsError where the name is taken."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with open(path, "x", encoding="utf-8"):
            pass
        draft.replace(path)


def _taken(path: Path) -> click.ClickException:
    return click.ClickException(f"{path} exists already; --force replaces it, --path writes elsewhere")
