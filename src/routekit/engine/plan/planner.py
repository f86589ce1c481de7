"""Pure: deployments in, candidates and rejections out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from routekit.engine.plan.estimate import infer_quality
from routekit.types import (
    Candidate,
    Deployment,
    Money,
    Rejection,
    RejectionCode,
    Requirements,
    RouteRequest,
    Signals,
    Work,
)
from routekit.types.empty import EMPTY
from routekit.types.price import TOKENS_PER_PRICE
from routekit.types.retention import retention_fits

PANIC_SHARE = 0.5
"""Of the deployments that could serve a request: when more than this share is ejected, ejection has stopped
to help (Envoy's max_ejection_percent and panic threshold)."""


class Plan(NamedTuple):
    """Who may serve a request, and who may not and why. Candidates stand in configured order."""

    candidates: list[Candidate]
    rejections: tuple[Rejection, ...]


class Row(NamedTuple):
    """A feasible deployment, and its quality, measured or inferred."""

    deployment: Deployment
    quality: float
    inferred: bool


_NO_WORK = Work(0, 0, 0, 0)


class Pool:
    """The deployments that one group (or one pinned model) means, with what never changes about them.

    What depends only on a request's hard filters is remembered, so that a thousand deployments are
    not looked at anew for every request. `fallbacks` are asked behind them, in order.
    """

    def __init__(
        self,
        deployments: Sequence[Deployment],
        everyone: Sequence[Deployment] | None = None,
        fallbacks: Sequence[Pool] = (),
    ) -> None:
        self.deployments = tuple(deployments)
        self.fallbacks = tuple(fallbacks)
        inferred: dict[str, float] = {}
        by_group: dict[str, list[Deployment]] = {}
        for deployment in everyone or deployments:
            by_group.setdefault(deployment.group, []).append(deployment)
        for members in by_group.values():
            inferred.update(infer_quality(members))
        self.qualities = {
            d.name: (inferred[d.name], True) if d.quality is None else (d.quality, False) for d in self.deployments
        }
        self.defaults: Mapping[str, Mapping[str, Any]] | None = None  # by name, of those that add parameters
        self._filtered: dict[Any, tuple[tuple[Row, ...], tuple[Rejection, ...], int]] = {}

    def everyone(self) -> list[Candidate]:
        """All of them as candidates for no work: what a request is compared with that nobody was ranked for."""
        return [Candidate(d, self.qualities[d.name][0], True, _NO_WORK) for d in self.deployments]

    def filtered(
        self, needed: frozenset[str], wanted: Requirements
    ) -> tuple[tuple[Row, ...], tuple[Rejection, ...], int]:
        """Those that pass the hard filters, the others' rejections, and the smallest context window."""
        key = (needed, wanted)
        found = self._filtered.get(key)
        if found is None:
            feasible: list[Deployment] = []
            rejections: list[Rejection] = []
            for deployment in self.deployments:
                reason = _misfit(deployment, needed, wanted)
                if reason is None:
                    feasible.append(deployment)
                else:
                    rejections.append(Rejection(deployment=deployment, code=reason[0], reason=reason[1]))
            smallest = min((d.model.context_window or 10**12 for d in feasible), default=10**12)
            rows = tuple(Row(deployment, *self.qualities[deployment.name]) for deployment in feasible)
            found = (rows, tuple(rejections), smallest)
            if len(self._filtered) > 256:
                self._filtered.clear()
            self._filtered[key] = found
        return found


def plan(
    pool: Pool,
    request: RouteRequest,
    work: Work,
    signals: Signals,
    unavailable: Mapping[str, tuple[RejectionCode, str]],
    *,
    ceiling: Money | None = None,
    price_required: bool = False,
    works: Mapping[str, Work] = EMPTY,
) -> Plan:
    """The feasible deployments with what the request would cost there.

    `unavailable` maps a deployment's name to why it cannot be asked now. `ceiling` is the most that
    one attempt may cost; `price_required` rejects unknown prices (a hard budget applies). `works` has the sizes
    of what single deployments are sent instead.
    """
    feasible, rejections, smallest = pool.filtered(needed_capabilities(request), request.requirements)
    tokens = work.input_tokens + (work.output_bound or 0)
    dynamic: list[Rejection] = []
    candidates: list[Candidate] = []
    latency, cached = signals.latency, signals.cached_prefix
    loss = _loss(feasible, signals) if signals.holder in cached else 0
    if tokens <= smallest and not works and not unavailable and ceiling is None and not price_required:
        if latency or cached:
            for d, quality, inferred in feasible:
                name = d.name
                lost = switching_nanos(d, signals, loss) if loss else 0
                candidates.append(Candidate(d, quality, inferred, work, cached.get(name, 0), latency.get(name), lost))
        else:
            candidates = [Candidate(d, quality, inferred, work) for d, quality, inferred in feasible]
        return Plan(candidates, rejections)
    for d, quality, inferred in feasible:
        lost = switching_nanos(d, signals, loss) if loss else 0
        own = works.get(d.name, work) if works else work
        candidate = Candidate(d, quality, inferred, own, cached.get(d.name, 0), latency.get(d.name), lost)
        misfit = _dynamic_misfit(
            candidate, own.input_tokens + (own.output_bound or 0), unavailable, ceiling, price_required
        )
        if misfit is None:
            candidates.append(candidate)
        else:
            dynamic.append(Rejection(deployment=d, code=misfit[0], reason=misfit[1]))
    return Plan(candidates, (*rejections, *dynamic))


def switching_nanos(deployment: Deployment, signals: Signals, loss: int) -> int:
    """What a conversation loses that leaves its holder for this deployment: the discount there (`loss`), and the
    premium for writing the prefix into another cache. Nothing where the prefix is held, too."""
    if deployment.name in signals.cached_prefix:
        return 0
    price = deployment.model.price
    if price is None or price.cache_write is None or price.cache_write <= price.input:
        return loss
    held = signals.cached_prefix[signals.holder or ""]
    return loss - (-held * (price.cache_write - price.input) // TOKENS_PER_PRICE)


def _loss(feasible: Sequence[Row], signals: Signals) -> int:
    """What the holder's prompt cache saves at the next turn; 0 where it cannot serve, or charges the same."""
    price = next((row.deployment.model.price for row in feasible if row.deployment.name == signals.holder), None)
    if price is None or price.cached_input is None or price.cached_input >= price.input:
        return 0
    held = signals.cached_prefix[signals.holder or ""]
    return -(-held * (price.input - price.cached_input) // TOKENS_PER_PRICE)


def panics(avoided: int, able: int) -> bool:
    """Whether too many of the deployments `able` to serve a request are `avoided` for their health.

    >>> [panics(avoided, able) for avoided, able in ((1, 2), (2, 3), (1, 1), (0, 0))]
    [False, True, True, False]
    """
    return avoided > PANIC_SHARE * able


def needed_capabilities(request: RouteRequest) -> frozenset[str]:
    """What the request itself shows that a model must be able to do, plus what was required."""
    needed: set[str] = set()
    if request.tools:
        needed.add("tools")
    form = request.params.get("response_format")
    if form:
        kind = form.get("type") if isinstance(form, Mapping) else None
        if kind in ("json_schema", "json_object"):
            needed.add(kind)
    if request.params.get("logprobs"):
        needed.add("logprobs")
    for message in request.messages:
        content = message.get("content")
        if content.__class__ is not str and content:
            needed.update(_media(content))
    if not needed:
        return request.requirements.capabilities
    return request.requirements.capabilities | needed


_PART_CAPABILITY = {"image_url": "vision", "image": "vision", "input_audio": "audio", "audio": "audio", "file": "pdf"}


def _media(parts: Sequence[Any]) -> set[str]:
    kinds = {part.get("type") for part in parts if isinstance(part, Mapping)}
    return {_PART_CAPABILITY[kind] for kind in kinds if kind in _PART_CAPABILITY}


_SHOWN_BY_ASKING = frozenset({"vision", "audio", "pdf", "logprobs"})
"""Abilities that an endpoint which nobody described may well have, and refuses at once where it has not."""


def is_doubtful(deployment: Deployment, missing: frozenset[str]) -> bool:
    """Whether nobody knows if a deployment can do what it is not known to do: neither configuration nor a catalogue."""
    return deployment.model.sources.get("capabilities") == "assumed" and missing <= _SHOWN_BY_ASKING


def doubtful_last(candidates: Sequence[Candidate], needed: frozenset[str]) -> tuple[list[Candidate], list[Candidate]]:
    """Those that are known to be able, and those of which nobody knows."""
    known: list[Candidate] = []
    doubtful: list[Candidate] = []
    for candidate in candidates:
        (known if needed <= candidate.deployment.model.capabilities else doubtful).append(candidate)
    return known, doubtful


def _misfit(deployment: Deployment, needed: frozenset[str], wanted: Requirements) -> tuple[RejectionCode, str] | None:
    capabilities = deployment.model.capabilities
    if "embeddings" in capabilities and "chat" not in capabilities and "embeddings" not in needed:
        return "capability", "makes embeddings, no answers"
    missing = needed - capabilities
    if missing and not is_doubtful(deployment, missing):
        return "capability", f"cannot do {', '.join(sorted(missing))}"
    if wanted.regions and deployment.region not in wanted.regions:
        return "region", f"region is {deployment.region or 'unknown'}, wanted {' or '.join(sorted(wanted.regions))}"
    if wanted.retention is not None and not retention_fits(deployment.retention, wanted.retention):
        return "retention", f"retention is {deployment.retention or 'unknown'}, at most {wanted.retention!r} is allowed"
    if wanted.tags - deployment.tags:
        return "tag", f"lacks the tag {', '.join(sorted(wanted.tags - deployment.tags))}"
    if deployment.provider in wanted.denied_providers:
        return "provider", f"provider {deployment.provider} is denied"
    if wanted.allowed_providers and deployment.provider not in wanted.allowed_providers:
        return "provider", f"provider {deployment.provider} is not among those allowed"
    if deployment.weight == 0:
        return "drained", "its weight is 0"
    return None


def _dynamic_misfit(
    candidate: Candidate,
    tokens: int,
    unavailable: Mapping[str, tuple[RejectionCode, str]],
    ceiling: Money | None,
    price_required: bool,
) -> tuple[RejectionCode, str] | None:
    deployment = candidate.deployment
    why = unavailable.get(deployment.name)
    if why is not None:
        return why
    window = deployment.model.context_window
    if window is not None and tokens > window:
        return "context_window", f"about {tokens} tokens do not fit into its {window}"
    if (ceiling is not None or price_required) and deployment.model.price is None:
        return "price", "its price is unknown and spending is limited; set `price` for it"
    if ceiling is not None or price_required:
        worst = candidate.worst_nanos
        if worst is None:
            return (
                "price",
                "what it can cost at most is unknown; set `max_tokens` or the model's `max_output`, and its "
                "`context_window` for documents and searches",
            )
        if ceiling is not None and worst > ceiling.nanos:
            return "max_cost", f"could cost {Money(worst)}, at most {ceiling} is allowed"
    return None
