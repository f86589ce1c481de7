"""What a routed model can do: what at least one of its deployments can."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.language_models import ModelProfile

from routekit.types import Deployment


def profile_of(deployments: Sequence[Deployment]) -> ModelProfile:
    """LangChain's profile of a set of deployments.

    The planner only considers deployments that can serve a request, so an ability that one of them has
    is the router's, and the window is that of the largest. Where a window is unknown, none is given.
    """
    able = frozenset[str]().union(*(deployment.model.capabilities for deployment in deployments))
    # LangChain asks whether a schema may stand beside tools, which one deployment must then serve at once.
    schema = any(
        "json_schema" in d.model.capabilities and able & {"tools"} <= d.model.capabilities for d in deployments
    )
    profile = ModelProfile(
        text_inputs=True,
        text_outputs=True,
        image_inputs="vision" in able,
        image_url_inputs="vision" in able,
        pdf_inputs="pdf" in able,
        audio_inputs="audio" in able,
        tool_calling="tools" in able,
        tool_choice="tools" in able,
        structured_output=schema,
        reasoning_output="reasoning" in able,
    )
    windows = [deployment.model.context_window for deployment in deployments]
    if windows and None not in windows:
        profile["max_input_tokens"] = max(window for window in windows if window is not None)
    outputs = [deployment.model.max_output for deployment in deployments]
    if outputs and None not in outputs:
        profile["max_output_tokens"] = max(limit for limit in outputs if limit is not None)
    return profile
