"""A binding that keeps what is bound, whatever is called on it next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig

from routekit.langchain.structured import structured


class RoutedBinding(RunnableBinding[LanguageModelInput, AIMessage]):
    """Keyword arguments and config bound to a `RoutedChatModel`.

    langchain-core's own binding forwards `bind_tools` and `with_structured_output` to the bare model
    and so drops what was bound before, a strategy among it. This one applies itself again.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """As `RunnableBinding`, which it is at run time."""
        return [*cls.get_lc_namespace(), "RunnableBinding"]

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> RoutedBinding:
        """Tools on top of what is bound; see `RoutedChatModel.bind_tools`."""
        return cast(RoutedBinding, self.bind(**_bound_by(self.bound, tools, kwargs)))

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[LanguageModelInput, Any]:
        """Structured output on top of what is bound; see `RoutedChatModel.with_structured_output`."""
        return structured(self, schema, **kwargs)

    def with_strategy(self, strategy: Any) -> Self:
        """The same binding, of a copy of the model with another strategy."""
        model: Any = self.bound
        rest = {key: value for key, value in self.kwargs.items() if key != "strategy"}
        return self._again(bound=model.with_strategy(strategy), kwargs=rest)

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Self:
        """Like `RunnableBinding.with_config`, but `configurable` is merged and not replaced."""
        merged: dict[str, Any] = {**self.config, **(config or {}), **kwargs}
        configurable = {
            **(self.config.get("configurable") or {}),
            **((config or {}).get("configurable") or {}),
            **(kwargs.get("configurable") or {}),
        }
        if configurable:
            merged["configurable"] = configurable
        return self._again(config=cast(RunnableConfig, merged))

    def _again(self, **changes: Any) -> Self:
        fields = ("bound", "kwargs", "config", "config_factories", "custom_input_type", "custom_output_type")
        return type(self)(**{**{name: getattr(self, name) for name in fields}, **changes})


def _bound_by(model: Any, tools: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    return dict(model.bind_tools(tools, **kwargs).kwargs)
