"""The names that users type."""

from __future__ import annotations

import importlib
import inspect

import pytest

import routekit
from routekit import errors


def test_every_public_name_can_be_had() -> None:
    for name in routekit.__all__:
        assert getattr(routekit, name) is not None


@pytest.mark.parametrize(
    "package",
    [
        "types",
        "errors",
        "plugin",
        "testing",
        "testing.contracts",
        "langchain",
        "builtin.strategies",
        "config",
        "catalog",
    ],
)
def test_every_name_that_a_package_exports_can_be_had(package: str) -> None:
    module = importlib.import_module(f"routekit.{package}")
    for name in getattr(module, "__all__", ()):
        assert getattr(module, name) is not None


def test_every_error_is_public() -> None:
    tree = {name for name, found in vars(errors).items() if inspect.isclass(found) and issubclass(found, Exception)}
    assert tree <= set(routekit.__all__)


def test_every_error_stands_in_the_drawing() -> None:
    drawing = errors.__doc__ or ""
    for name, found in vars(errors).items():
        if inspect.isclass(found) and issubclass(found, errors.RoutekitError):
            assert name in drawing
