"""Contract suites: a plugin author subclasses one, gives a fixture, and pytest runs the rest.

They need pytest and nothing else. The built-in plugins pass the same suites.
"""

from routekit.testing.contracts.budget import BudgetContract
from routekit.testing.contracts.cache import CacheContract
from routekit.testing.contracts.compressor import CompressorContract
from routekit.testing.contracts.guard import GuardContract
from routekit.testing.contracts.ledger import LedgerContract
from routekit.testing.contracts.observer import ObserverContract
from routekit.testing.contracts.provider import ProviderContract
from routekit.testing.contracts.scorer import ScorerContract
from routekit.testing.contracts.shared import SharedContract
from routekit.testing.contracts.strategy import StrategyContract
from routekit.testing.contracts.suite import ContractSuite

__all__ = [
    "BudgetContract",
    "CacheContract",
    "CompressorContract",
    "ContractSuite",
    "GuardContract",
    "LedgerContract",
    "ObserverContract",
    "ProviderContract",
    "ScorerContract",
    "SharedContract",
    "StrategyContract",
]
