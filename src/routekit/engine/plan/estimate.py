"""Tokens before the call, and quality where nobody measured it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from routekit.types import Deployment, RouteRequest, Work
from routekit.types.empty import EMPTY
from routekit.types.sending import answers_of, output_limit_of, sent_params
from routekit.types.tokens import size_of

TYPICAL_OUTPUT_TOKENS = 256
"""What a chat answer takes when nobody said otherwise (the median of public chat traces is 200 to 300)."""

INFERRED_FLOOR, INFERRED_CEILING = 0.3, 0.8
"""Inferred qualities stay between these, so that a measured extreme is always more extreme."""


def work_of(request: RouteRequest, output_bound: int | None = None, defaults: Mapping[str, Any] = EMPTY) -> Work:
    """How much a request is, made from what is sent. `output_bound` is the limit to be sent where nobody gave one;
    `defaults` are the parameters that a deployment adds to every call."""
    params = request.params
    if params or defaults:
        params = sent_params(defaults, params)
    likely, bound, predicted = size_of(request.messages, request.tools, params)
    if not params:
        expected = TYPICAL_OUTPUT_TOKENS if output_bound is None else min(output_bound, TYPICAL_OUTPUT_TOKENS)
        return Work(likely, bound, expected, output_bound, 1, None, 0, output_bound)
    wanted, service = output_limit_of(params), params.get("service_tier")
    limit = output_bound if wanted is None else wanted
    expected = TYPICAL_OUTPUT_TOKENS if limit is None or limit > TYPICAL_OUTPUT_TOKENS else limit
    return Work(
        likely, bound, expected, limit, answers_of(params), service if isinstance(service, str) else None, predicted,
        output_bound if wanted is None else None,
    )  # fmt: skip


def infer_quality(deployments: Sequence[Deployment]) -> dict[str, float]:
    """Quality by price rank inside one group, for those without a measured one.

    Vendors price by capability, so the rank of the price is the best free predictor of quality
    there is. Equal prices get equal quality; an unknown price gets the middle.

    >>> from routekit.types import Model, Price
    >>> cheap = Deployment(name="a", provider="p", model=Model(id="a", price=Price(input=1, output=1)))
    >>> dear = Deployment(name="b", provider="p", model=Model(id="b", price=Price(input=9, output=9)))
    >>> infer_quality([cheap, dear])
    {'a': 0.3, 'b': 0.8}
    """
    prices = sorted({d.price.input + 3 * d.price.output for d in deployments if d.price is not None})
    middle = (INFERRED_FLOOR + INFERRED_CEILING) / 2
    inferred: dict[str, float] = {}
    for deployment in deployments:
        if deployment.quality is not None:
            continue
        if deployment.price is None or len(prices) < 2:
            inferred[deployment.name] = middle
            continue
        rank = prices.index(deployment.price.input + 3 * deployment.price.output) / (len(prices) - 1)
        inferred[deployment.name] = round(INFERRED_FLOOR + rank * (INFERRED_CEILING - INFERRED_FLOOR), 4)
    return inferred
