"""For the tests of plugin authors and users: doubles, and a contract suite per plugin kind in `contracts`."""

from routekit.testing.clock import VirtualClock
from routekit.testing.scripted import Reply, ScriptedProvider, plugin_module

__all__ = ["Reply", "ScriptedProvider", "VirtualClock", "plugin_module"]
