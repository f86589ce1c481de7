"""Every error that routekit raises.

    RoutekitError
    ├─ InvalidInputError               what the caller passed (also a ValueError)
    ├─ ConfigError                     names the file, the key and the fix (also a ValueError)
    ├─ PluginError
    │  ├─ PluginNotFoundError          nobody registered that name
    │  ├─ PluginConflictError          two distributions registered one name
    │  ├─ PluginVersionError           written for another plugin API
    │  └─ PluginLoadError              its import or its factory failed
    ├─ RecipeError                     a recipe cannot be read, or this machine cannot run it
    ├─ RoutingError
    │  ├─ NoCandidateError             every deployment was rejected: `.rejections`
    │  │  └─ AllUnavailableError       all of them are ejected for their failures: `.retry_at`
    │  ├─ BudgetExceededError          `.scope .limit .spent .reserved .resets_at`
    │  ├─ BudgetUnavailableError       the budget's store failed, so the call was refused
    │  ├─ CostCeilingError             the next attempt could pass `max_cost_usd`
    │  ├─ DeadlineExceededError        `.attempts`
    │  ├─ AllAttemptsFailedError       `.attempts`
    │  ├─ StreamInterruptedError       `.partial`, a RouteResult with the text handed over
    │  ├─ CacheMissError               the caller wanted a cached answer or none
    │  ├─ GuardBlockedError            `.guard .rule`, never the value
    │  └─ GuardUnavailableError        a guard itself failed, so the call was refused
    └─ ProviderError                   one upstream call failed
       ├─ RateLimitError               `.retry_after_s`
       ├─ AuthenticationError
       ├─ InvalidRequestError
       │  ├─ ContextLengthExceededError
       │  ├─ ContentFilterError
       │  ├─ UnsupportedParameterError `.parameter .instead`
       │  └─ ModelNotFoundError
       ├─ InvalidResponseError         an answer that is no answer: empty, cut off, malformed
       ├─ ProviderTimeoutError
       ├─ ProviderUnavailableError
       └─ ProviderSetupError           this machine cannot call it: a missing package, key or file

Attributes decide behaviour, never text. A message says what happened and what to do about it, and
never carries a secret.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from routekit.types import Attempt, Message, Money, Rejection, RouteDecision, RouteResult, Usage

Blame = Literal["deployment", "credential", "request", "local"]
"""Who an upstream failure speaks against. Only ``deployment`` and ``credential`` touch health."""


class RoutekitError(Exception):
    """The root: ``except RoutekitError`` catches all that this library raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would call the class with the text alone, which constructors that take more than that refuse.
        return _revived, (type(self), self.args, self.__dict__)


def _revived(kind: type[RoutekitError], args: tuple[Any, ...], attributes: dict[str, Any]) -> RoutekitError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class InvalidInputError(RoutekitError, ValueError):
    """An argument that cannot be used. Names the argument, its value and the fix."""


class ConfigError(RoutekitError, ValueError):
    """Configuration that cannot be used.

    `file` is where it was read (None for a dictionary), `key` the dotted path inside it, `fix` what
    to do. A value that may be a secret is never repeated.
    """

    def __init__(
        self, problem: str, *, key: str | None = None, file: str | None = None, fix: str | None = None
    ) -> None:
        self.problem, self.key, self.file, self.fix = problem, key, file, fix
        where = ": ".join(part for part in (file, key) if part)
        text = f"{where}: {problem}" if where else problem
        super().__init__(f"{text}. {fix}" if fix else text)


class PluginError(RoutekitError):
    """A plugin cannot be used. `kind` is "strategy", "provider", ...; `name` is what was asked for."""

    def __init__(self, message: str, *, kind: str = "", name: str = "") -> None:
        super().__init__(message)
        self.kind, self.name = kind, name


class PluginNotFoundError(PluginError):
    """No plugin of that kind has that name. The message lists the nearest and all known names."""


class PluginConflictError(PluginError):
    """Two distributions registered the same kind and name. The message names both."""


class PluginVersionError(PluginError):
    """The plugin was written for a version of the plugin API that this routekit does not speak."""


class PluginLoadError(PluginError):
    """The plugin's import, hook or factory raised; the cause is chained."""


class RecipeError(RoutekitError):
    """A recipe cannot be read, or nothing on this machine meets what it requires."""


class RoutingError(RoutekitError):
    """A request could not be answered."""


class NoCandidateError(RoutingError):
    """No deployment may serve the request; `rejections` says why for each one."""

    def __init__(self, message: str, *, rejections: Sequence[Rejection] = ()) -> None:
        super().__init__(message)
        self.rejections = tuple(rejections)


class AllUnavailableError(NoCandidateError):
    """Every deployment that could serve the request is ejected, and may not be asked even as a last resort.

    `retry_at` is when the first of them may be asked again, in seconds since 1970. Nothing was sent.
    """

    def __init__(self, message: str, *, rejections: Sequence[Rejection] = (), retry_at: float = 0.0) -> None:
        super().__init__(message, rejections=rejections)
        self.retry_at = retry_at


class BudgetExceededError(RoutingError):
    """The call's worst case does not fit into what is left of a budget; nothing was sent for it.

    `partial` is what the refused turn had done so far: the assistant's and the tools' messages behind its
    newest user message (Chat Completions dictionaries), empty at the start of one.
    """

    partial: tuple[Message, ...] = ()

    def __init__(
        self,
        *,
        scope: str,
        limit: Money,
        spent: Money,
        reserved: Money,
        asked: Money,
        resets_at: dt.datetime | None = None,
        attempts: Sequence[Attempt] = (),
    ) -> None:
        resets = f"; resets at {resets_at.isoformat()}" if resets_at else ""
        super().__init__(
            f"budget {scope!r} would be exceeded: limit {limit}, spent {spent}, reserved {reserved}, "
            f"this call could cost {asked}{resets}"
        )
        self.scope, self.limit, self.spent, self.reserved = scope, limit, spent, reserved
        self.asked, self.resets_at, self.attempts = asked, resets_at, tuple(attempts)

    @property
    def partial_text(self) -> str:
        """The last thing that the assistant said in `partial`, or ""."""
        said = (message.get("content") for message in reversed(self.partial) if message.get("role") == "assistant")
        return next((text for text in said if isinstance(text, str) and text), "")


class BudgetUnavailableError(RoutingError):
    """The store behind a budget failed. Budgets fail closed: nothing was sent."""


class CostCeilingError(RoutingError):
    """The next attempt's worst case would pass the request's `max_cost_usd`."""

    def __init__(self, message: str, *, attempts: Sequence[Attempt] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)


class DeadlineExceededError(RoutingError, TimeoutError):
    """The request's time was used up; `attempts` holds every upstream call made until then."""

    def __init__(self, message: str, *, attempts: Sequence[Attempt] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)


class AllAttemptsFailedError(RoutingError):
    """Every permitted attempt failed. The last failure is chained as the cause."""

    def __init__(
        self, message: str, *, attempts: Sequence[Attempt] = (), decision: RouteDecision | None = None
    ) -> None:
        super().__init__(message)
        self.attempts, self.decision = tuple(attempts), decision


class StreamInterruptedError(RoutingError):
    """A stream failed after its first delta was handed over, so nobody else may take it over unseen.

    ``partial.text`` equals the text handed over; `usage` is what was used for it.
    """

    def __init__(self, message: str, *, partial: RouteResult) -> None:
        super().__init__(message)
        self.partial = partial

    @property
    def usage(self) -> Usage:
        return self.partial.usage

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        return self.partial.attempts


class CacheMissError(RoutingError):
    """``cache="only"`` was asked for and no cache has the answer."""


class GuardBlockedError(RoutingError):
    """A guard refused the request or the response; says which rule, never the value it saw."""

    def __init__(self, *, guard: str, rule: str, where: Literal["request", "response"]) -> None:
        super().__init__(f"guard {guard!r} blocked the {where} (rule {rule!r})")
        self.guard, self.rule, self.where = guard, rule, where


class GuardUnavailableError(RoutingError):
    """A guard raised instead of deciding. Guards fail closed; what it raised may quote the text and is not chained."""


class ProviderError(RoutekitError):
    """One upstream call failed. The class attributes decide what the engine does about it.

    `retry_here`: the same deployment may be asked again. `fall_back`: another one may. `blame`:
    whose health it counts against. `status` is the HTTP status where there was one; `usage` what
    the provider reports to have billed all the same. `unsent`: the request certainly did not reach anybody who
    could work on it (refused connection, no address, no TLS), so that it is not billed. `received` is the text
    that came instead of an answer, for counting it; it is never shown. `code` is what the provider calls the
    failure where that is one of the known codes, else "".
    """

    retry_here: ClassVar[bool] = False
    fall_back: bool = True
    blame: Blame = "deployment"
    unsent: bool = False
    received: str = ""
    code: str = ""

    def __init__(
        self,
        message: str,
        *,
        deployment: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
        usage: Usage | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(message)
        self.deployment, self.status, self.retry_after_s = deployment, status, retry_after_s
        self.usage, self.body = usage, body
        self.attempts: tuple[Attempt, ...] = ()  # filled in by the engine when it surfaces the error


class RateLimitError(ProviderError):
    """429. `retry_after_s` is the provider's own wish, in seconds from now, or None."""

    retry_here = True


class AuthenticationError(ProviderError):
    """401, 402, 403: the credential is wrong, unpaid or not allowed. Nothing is wrong with the model."""

    blame: Blame = "credential"


class InvalidRequestError(ProviderError):
    """400, 413, 422: the request itself was refused; another deployment would refuse it too.

    `uncertain`: nobody can tell from what the provider said whether it is the request's fault, so that one
    deployment of another model or vendor is asked before this is surfaced.
    """

    fall_back = False
    uncertain: bool = False
    blame: Blame = "request"


class ContextLengthExceededError(InvalidRequestError):
    """Too many tokens for this model; only a deployment with a larger window may be tried next."""

    fall_back = True


class ContentFilterError(InvalidRequestError):
    """The provider's content filter refused. Surfaced, never routed around unasked."""


class UnsupportedParameterError(InvalidRequestError):
    """A parameter, or a feature such as "vision" or "tools", that this deployment does not take. Others may.

    `parameter` is its name, `instead` the parameter that the provider wants in its place, or "". `by_value`: only
    the value that was sent is refused.
    """

    fall_back = True
    parameter: str = ""
    instead: str = ""
    by_value: bool = False


class ModelNotFoundError(InvalidRequestError):
    """404: this endpoint does not serve that model. Others may."""

    fall_back = True
    blame: Blame = "deployment"


class InvalidResponseError(ProviderError):
    """A 2xx that is no answer: empty, cut off without a finish reason, an error in disguise, bad JSON."""

    retry_here = False


class ProviderTimeoutError(ProviderError):
    """Connecting, the first token or the whole answer took too long. A silent place is left, not retried."""


class ProviderUnavailableError(ProviderError):
    """408, 409, 5xx, 529, refused, reset, cut: the place is not serving now."""

    retry_here = True


class ProviderSetupError(ProviderError):
    """This machine cannot make the call: a missing package, variable or file. The message says how to get it."""

    blame: Blame = "local"
