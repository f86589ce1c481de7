"""routekit's state on Redis or Valkey: budgets and their ledger, limits and ejections, answers.

`reinitialise` makes a ledger usable again whose data was lost.
"""

from routekit_redis.connection import reinitialise

__all__ = ["reinitialise"]
