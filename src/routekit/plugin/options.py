"""The options of a plugin: a pydantic model that validates configuration and generates the reference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from routekit.errors import ConfigError
from routekit.types.suggest import closest

_USERINFO = re.compile(r"//[^/\s]*@")
_QUERY_SECRET = re.compile(
    r"(?i)([?&][^=&\s]*(?:auth|key|token|secret|password|passwd|pwd|credential|sig)[^=&\s]*)=[^&\s'\"]+"
)


class Options(BaseModel):
    """Base of every plugin's options: unknown keys are errors, values are frozen.

    >>> class MyOptions(Options):
    ...     floor: float = 0.5
    >>> MyOptions.checked({"flor": 1}, where="strategies.mine")
    Traceback (most recent call last):
    routekit.errors.ConfigError: strategies.mine.flor: unknown key. Did you mean 'floor'?
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, allow_inf_nan=False)

    @classmethod
    def checked(cls, values: dict[str, Any], *, where: str, file: str | None = None) -> Self:
        """The validated options.

        Raises:
            ConfigError: the first thing that is wrong, with the key `where` prefixed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise config_error(error, cls, where=where, file=file) from None


class NoOptions(Options):
    """For plugins that take none."""


def config_error(
    error: ValidationError, model: type[BaseModel], *, where: str = "", file: str | None = None
) -> ConfigError:
    """The first finding of a pydantic error as a `ConfigError` that names the key and the fix."""
    finding = error.errors(include_url=False, include_context=True)[0]
    path = [str(part) for part in finding["loc"]]
    key = ".".join(part for part in (where, *path) if part)
    if finding["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        near = closest(path[-1], known)
        fix = f"Did you mean {near!r}?" if near else f"Known keys: {', '.join(sorted(known))}"
        return ConfigError("unknown key", key=key, file=file, fix=fix)
    if finding["type"] == "missing":
        given = finding["input"] if isinstance(finding["input"], Mapping) else {}
        near = closest(path[-1], [str(name) for name in given if name not in _fields_at(model, path[:-1])], cutoff=0.75)
        fix = f"Did you mean it by {near!r}?" if near else f"Add {path[-1]!r}."
        return ConfigError("this key is required", key=key, file=file, fix=fix)
    message = finding["msg"].removeprefix("Value error, ")
    shown = repr(finding["input"])
    secret = any(word in key.lower() for word in ("key", "secret", "token", "password", "authorization", "header"))
    shown = _QUERY_SECRET.sub(r"\1=[redacted]", _USERINFO.sub("//[redacted]@", shown))
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return ConfigError(message if secret else f"{message} (got {shown})", key=key, file=file)


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """The keys a pydantic model knows at a path of the input; the best that its annotations tell."""
    current: Any = model
    for part in path:
        if part.isdigit():
            continue
        field = current.model_fields.get(part) or next(
            (f for f in current.model_fields.values() if f.alias == part), None
        )
        if field is None:
            return []
        found = _model_in(field.annotation)
        if found is None:
            return []
        current = found
    return [field.alias or name for name, field in current.model_fields.items() if not field.exclude]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if found := _model_in(inner):
            return found
    return None
