"""Learned quality: which model is good enough for this prompt. numpy is imported when it is first needed."""

from routekit.quality.model import Estimate, QualityModel

__all__ = ["Estimate", "QualityModel"]
