"""A routekit strategy that prefers deployments inside their off-peak price window."""

from routekit_offpeak.strategy import OffPeak, OffPeakOptions, Window

__all__ = ["OffPeak", "OffPeakOptions", "Window"]
