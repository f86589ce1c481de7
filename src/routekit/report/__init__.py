"""What was spent, saved and decided, as one page that needs nothing else: `written`."""

from routekit.report.page import written

__all__ = ["written"]
