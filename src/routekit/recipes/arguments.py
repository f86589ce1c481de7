"""The options that a recipe declares under ``[args]``, read from a command line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from routekit.errors import InvalidInputError
from routekit.recipes.loader import Recipe
from routekit.types.suggest import closest


def parsed(recipe: Recipe, args: Sequence[str]) -> Mapping[str, Any]:
    """Option name to value, every declared one.

    Raises:
        InvalidInputError: an unknown option, or a value of the wrong type; names the known ones.
    """
    parser = _Parser(recipe)
    for name, argument in recipe.args.items():
        if isinstance(argument.default, bool):
            parser.add_argument(f"--{name}", dest=name, action="store_true", help=argument.help)
        else:
            kind = type(argument.default)
            parser.add_argument(f"--{name}", dest=name, type=kind, default=argument.default, help=argument.help)
    known, rest = parser.parse_known_args(list(args))
    if rest:
        options = [f"--{name}" for name in recipe.args]
        near = closest(rest[0], options)
        hint = f"did you mean {near!r}? " if near else ""
        parser.error(f"unknown argument {rest[0]!r}; {hint}known: {', '.join(options) or 'none'}")
    return vars(known)


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would end the process."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(prog=recipe.name, add_help=False, allow_abbrev=False)
        self._recipe = recipe

    def error(self, message: str) -> NoReturn:
        raise InvalidInputError(f"recipe {self._recipe.name!r}: {message}")
