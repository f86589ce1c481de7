"""The guard of private data: what has a form, in the request and in the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import field_validator

from routekit.builtin.guards.acting import ActingGuard, ActingOptions, known_only
from routekit.builtin.guards.pii.detect import ENTITIES, private_in
from routekit.builtin.guards.pii.phones import LANGUAGES, Plans
from routekit.builtin.guards.spans import Span
from routekit.plugin import GuardPlugin, PluginContext


class PiiOptions(ActingOptions):
    """`entities` are the kinds that count, empty: all of them; `languages` whose telephone plans are known."""

    entities: tuple[str, ...] = ()
    languages: tuple[str, ...] = LANGUAGES

    _known_entities = field_validator("entities")(known_only("entity", ENTITIES))
    _known_languages = field_validator("languages")(known_only("language", LANGUAGES))


class PiiGuard(ActingGuard):
    """Finds mail addresses, telephone numbers, cards, ids of states, ... and does with them what `action` says.

    >>> from routekit.types import RouteRequest
    >>> guard = PiiGuard()
    >>> guard.check_request(RouteRequest(messages=({"role": "user", "content": "I am a@b.io"},))).messages
    ({'role': 'user', 'content': 'I am [EMAIL_1]'},)
    """

    def __init__(self, **options: Any) -> None:
        checked = PiiOptions.checked(options, where="pii")
        entities = frozenset(checked.entities or ENTITIES)
        plans = Plans(checked.languages)

        def detect(text: str, label: str) -> Sequence[Span]:
            return [span for span in private_in(text, label, plans=plans) if span.kind in entities]

        super().__init__(checked, detect)


def _make(options: PiiOptions, context: PluginContext) -> PiiGuard:
    return PiiGuard(**options.model_dump())


PLUGIN = GuardPlugin(
    name="pii",
    factory=_make,
    options=PiiOptions,
    summary="Redacts (and puts back), blocks, routes or flags private data that has a form: mail, phones, cards, ids.",
)
