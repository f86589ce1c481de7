"""What all contract suites share: a guard against tests that vanish unseen."""

from __future__ import annotations

from typing import Any

_PACKAGE = "routekit.testing.contracts."


class ContractSuite:
    """Base of the suites. A subclass gives fixtures and may add tests, but not replace any in silence.

    A plugin that deliberately breaks one promise overrides that test and says so, with
    ``@pytest.mark.xfail(reason="...")``.
    """

    def test_no_contract_test_is_overridden(self) -> None:
        """Every test of the suite runs, or is marked as an expected failure with a reason."""
        silenced = [name for name, promised in _promises(type(self)).items() if _replaced(type(self), name, promised)]
        assert not silenced, (
            f"{type(self).__name__} replaces tests of the contract: {', '.join(sorted(silenced))}. Rename yours, or "
            'mark them with @pytest.mark.xfail(reason="...") to say which promise is broken and why.'
        )


def _promises(suite: type) -> dict[str, Any]:
    """Each test that the suites in this package define, by name; the most derived definition counts."""
    found: dict[str, Any] = {}
    for base in suite.__mro__:
        if base.__module__.startswith(_PACKAGE):
            for name, value in vars(base).items():
                if name.startswith("test_"):
                    found.setdefault(name, value)
    return found


def _replaced(suite: type, name: str, promised: Any) -> bool:
    actual = getattr(suite, name, None)
    if actual is promised:
        return False
    marks = getattr(actual, "pytestmark", ())
    return not any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)
