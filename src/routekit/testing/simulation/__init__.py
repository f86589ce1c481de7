"""A deterministic simulator: the real router on a virtual clock, with scripted deployments and traffic.

`scenario` is the shape of the file, `traffic` who asks when, `provider` who answers how, `run` plays
it, `watch` checks at each step that promises are kept, `report` sums up, `seeds` invents scenarios.
"""

from routekit.testing.simulation.report import Report
from routekit.testing.simulation.run import compare, simulate
from routekit.testing.simulation.scenario import Scenario
from routekit.testing.simulation.seeds import random_scenario, simulate_seed
from routekit.testing.simulation.watch import PromiseBrokenError

__all__ = ["PromiseBrokenError", "Report", "Scenario", "compare", "random_scenario", "simulate", "simulate_seed"]
