"""Providers: the plugins that call a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from routekit.errors import ProviderSetupError
from routekit.plugin.offload import offload, pump
from routekit.plugin.registration import Plugin
from routekit.types import Answer, Chunk, Deployment, Message
from routekit.types.headers import NO_HEADERS, CallHeaders


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCall:
    """One upstream call. `timeout_s` (None: no limit) bounds it whole: connecting, waiting, reading.

    `first_token_timeout_s` bounds, for streams, the wait for the first chunk that has content,
    `idle_timeout_s` each wait for a further chunk, from when it is asked for.

    `params` are Chat Completions parameters; those that an endpoint does not know are for the
    provider to pass on or to leave out. `headers` are the caller's; a provider that speaks HTTP sends them beside
    its own, which they never replace where they say who asks. `omit` are parameters that this deployment does not
    take, `rename` those that it has another name for: `params` keep to both already, and what a provider adds by
    itself must, too.
    """

    deployment: Deployment
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float | None = None
    first_token_timeout_s: float | None = None
    idle_timeout_s: float | None = None
    request_id: str = ""
    headers: CallHeaders = NO_HEADERS
    omit: frozenset[str] = frozenset()
    rename: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """Vectors in the order of the texts, and the tokens read for them (None where not reported)."""

    vectors: tuple[tuple[float, ...], ...]
    input_tokens: int | None = None
    model: str | None = None


class Provider(ABC):
    """Calls one endpoint or runtime. One instance serves many deployments, threads and event loops.

    Only `complete` must be written. Failures are raised as the matching `ProviderError`; anything
    else that escapes counts as a bug of the plugin and is wrapped as `ProviderUnavailableError`.
    A stream yields `Chunk`s, the finish reason on one of them and the usage on one of the last; a
    stream that ends without a finish reason must raise, not end. Closing a stream early frees its
    connection. Providers never retry: the engine does. What an endpoint said may be handed over as it came: the
    engine makes content in parts, tool calls, finish reasons and the like one shape. Where a call asks for several
    answers (``n``), those after the first are the answer's `others`; streams of several are refused before.

    >>> class Echo(Provider):
    ...     def complete(self, call):
    ...         return Answer(message={"role": "assistant", "content": "hi"}, finish_reason="stop")
    """

    @abstractmethod
    def complete(self, call: ProviderCall) -> Answer:
        """The whole answer.

        Raises:
            ProviderError: the subclass that fits.
        """

    def stream(self, call: ProviderCall) -> Iterator[Chunk]:
        """The answer in pieces. By default `complete`'s answer as a single piece."""
        answer = self.complete(call)
        delta = {key: value for key, value in answer.message.items() if value is not None}
        yield Chunk(delta, answer.finish_reason, answer.usage, answer.model, answer.logprobs)

    def embed(self, deployment: Deployment, texts: Sequence[str], *, timeout_s: float | None = None) -> Embeddings:
        """Vectors for texts. Optional: only for deployments with the capability "embeddings"."""
        raise ProviderSetupError(f"provider {deployment.provider!r} has no embeddings", deployment=deployment.name)

    @property
    def is_ready(self) -> bool:
        """Whether a call can begin at once. Asked before every call, so it must cost nothing."""
        return True

    def prepare(self) -> None:
        """What a first call needs and should not be counted as its time, such as importing a large library.

        Called where `is_ready` is false, in a worker thread where an event loop waits for it; the clock of the
        request's deadline stands still meanwhile. May be called by several threads at once.

        Raises:
            ProviderSetupError: this installation cannot.
        """

    def missing_setup(self, deployment: Deployment) -> str | None:
        """What keeps this machine from calling the deployment, such as a variable that is not set; None: nothing known.

        Then it is rejected (code "setup") and not asked. Looked at before decisions until nothing is missing, so
        it must be quick, and ask nobody.
        """
        return None

    def default_params(self, deployment: Deployment) -> Mapping[str, Any]:
        """Parameters that every call of the deployment is sent with, unless the call gives its own.

        What is held for a call is reckoned from them, too, so whoever adds some names them here, and merges
        them with `routekit.types.sending.sent_params`. Always the same for one deployment.
        """
        return {}

    def embedding_limits(self, deployment: Deployment) -> tuple[int, int]:
        """How many texts, and how many tokens of them together, one call of `embed` takes. OpenAI's by default."""
        return 2048, 300_000

    async def acomplete(self, call: ProviderCall) -> Answer:
        return await offload(self.complete, call)

    def astream(self, call: ProviderCall) -> AsyncIterator[Chunk]:
        return pump(lambda: iter(self.stream(call)))

    async def aembed(
        self, deployment: Deployment, texts: Sequence[str], *, timeout_s: float | None = None
    ) -> Embeddings:
        return await offload(self.embed, deployment, texts, timeout_s=timeout_s)

    def close(self) -> None:
        """Frees what is held. Called once; calls under way may fail."""

    async def aclose(self) -> None:
        """Like `close`, from an event loop: frees what belongs to it, too."""
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPlugin(Plugin[Provider]):
    """Registers a provider."""

    kind: ClassVar[str] = "provider"
