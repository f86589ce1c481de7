"""For the tests of plugin authors and users: doubles, a simulator, and a contract suite per plugin kind in `contracts`.

The simulator is imported when it is first asked for: doubles need none of it.
"""

from typing import TYPE_CHECKING, Any

from routekit.testing.clock import VirtualClock
from routekit.testing.scripted import Reply, ScriptedProvider, plugin_module

if TYPE_CHECKING:
    from routekit.testing.simulation import (
        PromiseBrokenError,
        Report,
        Scenario,
        compare,
        random_scenario,
        simulate,
        simulate_seed,
    )

_SIMULATION = (
    "PromiseBrokenError", "Report", "Scenario", "compare", "random_scenario", "simulate", "simulate_seed",
)  # fmt: skip

__all__ = [
    "PromiseBrokenError",
    "Reply",
    "Report",
    "Scenario",
    "ScriptedProvider",
    "VirtualClock",
    "compare",
    "plugin_module",
    "random_scenario",
    "simulate",
    "simulate_seed",
]


def __getattr__(name: str) -> Any:
    if name in _SIMULATION:
        from routekit.testing import simulation

        return getattr(simulation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
