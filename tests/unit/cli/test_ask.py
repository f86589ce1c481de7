from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command_line import deployment, invoke, write
from tests.support.openai_server import OpenAIServer

SECRET = "not-to-be-shown-4711"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as started:
        yield started


@pytest.fixture
def config(server: OpenAIServer, tmp_path: Path) -> str:
    return write(
        tmp_path,
        deployment("small", server.url, "gpt-5-nano", "quality = 0.3"),
        deployment("large", server.url, "gpt-5.4", "quality = 0.9"),
    )


def test_the_answer_is_on_stdout_and_its_story_on_stderr(server: OpenAIServer, config: str) -> None:
    server.reply("Paris.")
    result = invoke("--config", config, "ask", "Capital of France?")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "Paris.\n"
    assert result.stderr.startswith("[small | cheapest: ")
    assert "$0.0" in result.stderr
    assert result.stderr.count("\n") == 1


def test_strategy_model_and_system(server: OpenAIServer, config: str) -> None:
    assert invoke("--config", config, "ask", "hi", "--strategy", "best", "--system", "Be short.").exit_code == 0
    assert invoke("--config", config, "ask", "hi", "--model", "large").exit_code == 0
    assert server.models_called == ["gpt-5.4", "gpt-5.4"]
    assert server.requests[0].body["messages"][0] == {"role": "system", "content": "Be short."}


def test_the_prompt_may_come_from_stdin(server: OpenAIServer, config: str) -> None:
    assert invoke("--config", config, "ask", "-", stdin="Grüße\n".encode()).exit_code == 0
    assert server.requests[0].body["messages"][0]["content"] == "Grüße\n"


def test_streaming_prints_the_same_text(server: OpenAIServer, config: str) -> None:
    server.reply("One two three.")
    result = invoke("--config", config, "ask", "count", "--stream")
    assert result.exit_code == 0
    assert result.stdout == "One two three.\n"
    assert server.requests[0].body["stream"] is True
    assert result.stderr.startswith("[small | ")


@pytest.mark.parametrize("more", [[], ["--stream"]])
def test_json_is_one_object(server: OpenAIServer, config: str, more: list[str]) -> None:
    server.reply("Paris ☂")
    result = invoke("--config", config, "ask", "hi", "--json", *more)
    answer = json.loads(result.stdout)
    assert answer["text"] == "Paris ☂"
    assert answer["deployment"] == "small"
    assert answer["decision"]["ranked"][0]["deployment"] == "small"
    assert answer["attempts"][0]["outcome"] == "ok"
    assert not result.stderr


def test_a_fallback_is_told(server: OpenAIServer, config: str) -> None:
    server.behave(model="gpt-5-nano", status=401)
    result = invoke("--config", config, "ask", "hi")
    assert result.exit_code == 0
    assert "[large after 1 attempt elsewhere | " in result.stderr


def test_a_failure_is_one_line_and_exit_code_1(server: OpenAIServer, config: str) -> None:
    server.behave(status=500)
    result = invoke("--config", config, "ask", "hi")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: all ")
    assert result.stderr.count("\n") == 1


def test_a_stream_that_breaks_says_so_after_its_text(server: OpenAIServer, config: str) -> None:
    server.reply("One two three four.", fault="cut", after=3)
    result = invoke("--config", config, "ask", "count", "--stream")
    assert result.exit_code == 1
    assert result.stdout.startswith("One")
    assert result.stdout.endswith("\n")
    assert result.stderr.startswith("error: the stream from small broke")


@pytest.mark.parametrize(
    ("args", "message", "code"),
    [
        (["--strategy", "cheepest"], "did you mean 'cheapest'?", 2),
        (["--max-cost-usd", "lots"], "finite number of US dollars", 2),
        (["--max-cost-usd", "-1"], "finite number of US dollars", 2),
        (["--scope", "project"], "'project' is not KIND=VALUE", 2),
        (["--model", "nobody"], "names no deployment", 1),
        (["--max-cost-usd", "0"], "at most $0 is allowed", 1),
    ],
)
def test_options_that_cannot_be_used(
    server: OpenAIServer, config: str, args: list[str], message: str, code: int
) -> None:
    result = invoke("--config", config, "ask", "hi", *args)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert server.requests == []


def test_scopes_reach_the_budgets(server: OpenAIServer, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[router]\nbudget_store = "memory"',
        deployment("small", server.url, "gpt-5-nano"),
        '[[budgets]]\nscope = "project:search"\nlimit_usd = 0',
    )
    refused = invoke("--config", path, "ask", "hi", "--scope", "project=search", "--scope", "tag=a", "--scope", "tag=b")
    assert refused.exit_code == 1
    assert "project:search" in refused.stderr
    assert invoke("--config", path, "ask", "hi", "--scope", "project=other").exit_code == 0


def test_a_deadline_that_passes(server: OpenAIServer, config: str) -> None:
    server.behave(fault="hang")
    result = invoke("--config", config, "ask", "hi", "--deadline-s", "0.1")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_a_missing_key_is_named_and_a_key_never_shown(tmp_path: Path) -> None:
    with OpenAIServer(api_key="another") as server:
        path = write(tmp_path, deployment("m", server.url, extra='api_key_env = "MY_SERVICE_KEY"'))
        missing = invoke("--config", path, "ask", "hi", MY_SERVICE_KEY=None)
        refused = invoke("--debug", "--config", path, "ask", "hi", MY_SERVICE_KEY=SECRET)
    assert missing.exit_code == refused.exit_code == 1
    assert "MY_SERVICE_KEY" in missing.stderr
    assert "Traceback" in refused.stderr
    assert SECRET not in refused.output


def test_control_characters_pass_a_pipe_untouched(server: OpenAIServer, config: str) -> None:
    server.reply("a\x1b[31mb")
    assert invoke("--config", config, "ask", "hi").stdout == "a\x1b[31mb\n"
