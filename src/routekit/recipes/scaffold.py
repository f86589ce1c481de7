"""`routekit recipes new`: a recipe that runs at once, to be changed from there."""

from __future__ import annotations

from pathlib import Path

from routekit.errors import RecipeError
from routekit.plugin.registry import Registry
from routekit.recipes.loader import AGENT_NAME, FILE_NAME, NAME, folders

_RECIPE = """\
title = "{name}: one question, routed"
shows = ["a prompt through a routed chat model", "who answered, why, and at what cost"]

[requires]
capabilities = ["chat"]                # one deployment must have all of them: "tools", "json_schema", ...

[args.question]                        # routekit recipes run ./{name} -- --question "..."
help = "what to ask"
default = "What is the capital of France?"

# Deployments for machines without a routekit.toml and without API keys.
[[deployments]]
name = "smollm2"
provider = "local"
model = "smollm2"
tags = ["local"]
"""

_AGENT = '''\
"""One question, routed. Copy what you need: nothing here depends on the recipe runner but `run`."""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from routekit import Money
from routekit.langchain import RoutedChatModel


def build(model):
    """A prompt and the model; `| StrOutputParser()` behind it makes a chain that returns text."""
    return ChatPromptTemplate.from_messages([("user", "{question}")]) | model


def run(context):
    model = RoutedChatModel(router=context.router, strategy=context.strategy, max_tokens=64)
    message = build(model).invoke({"question": context.args["question"]})
    routed = message.response_metadata["routekit"]
    context.console.print(StrOutputParser().invoke(message), markup=False)
    context.console.print(
        f"answered by {routed['deployment']} for {Money(routed['cost_nanos'])}: {routed['reason']}", markup=False
    )
    return {"answer": message.text, "deployment": routed["deployment"], "cost_usd": routed["cost_usd"]}
'''

_README = """\
# {name}

    routekit recipes run ./{name} -- --question "Name three colours."

`recipe.toml` says what the recipe needs and on which deployments it runs where nothing is configured;
`agent.py` is the agent.
"""


def create(name: str, registry: Registry, *, cwd: Path | None = None) -> Path:
    """Writes the folder `name` below the current one and returns it.

    Raises:
        RecipeError: no good name, one that is taken, or a folder that exists.
    """
    if not NAME.fullmatch(name):
        raise RecipeError(f"{name!r} is no name for a recipe: use small letters, digits and dashes, such as my-agent")
    if name in folders(registry):
        raise RecipeError(f"there is a recipe called {name!r} already (`routekit recipes show {name}`); take another")
    folder = (cwd or Path.cwd()) / name
    try:
        folder.mkdir()
    except FileExistsError:
        raise RecipeError(f"{folder} exists already; take another name, or remove it") from None
    except OSError as error:
        raise RecipeError(f"{folder} cannot be made: {error.strerror}") from None
    texts = {FILE_NAME: _RECIPE.format(name=name), AGENT_NAME: _AGENT, "README.md": _README.format(name=name)}
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    return folder
