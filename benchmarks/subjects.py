"""Who is measured. Each subject makes one call; one process measures one subject and prints microseconds of CPU.

``python -m benchmarks.subjects NAME PORT CALLS CONCURRENCY``
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.upstream import CHUNKS

PROMPT = "Why is the sky blue?"
MESSAGES = [{"role": "user", "content": PROMPT}]
KEY = "not-a-key"


def config(port: int, deployments: int = 1, **more: Any) -> dict[str, Any]:
    """Deployments on the loopback endpoint; none needs a key."""
    table = {"provider": "openai-compatible", "base_url": f"http://127.0.0.1:{port}/v1", "model": "bench"}
    return {
        "deployments": [
            {**table, "name": f"d{i}", "quality": 0.5, "price": {"input": 1 + i, "output": 2 + i}}
            for i in range(deployments)
        ],
        **more,
    }


def routed(port: int, **more: Any) -> Any:
    from routekit import Router

    return Router(config(port, **more), env={"ROUTEKIT_PLUGINS": ""})


def routed_model(port: int) -> Any:
    from routekit.langchain import RoutedChatModel

    return RoutedChatModel(router=routed(port))


def chat_openai(port: int) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="bench", base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0)


def litellm_router(port: int) -> Any:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True
    params = {"model": "openai/bench", "api_base": f"http://127.0.0.1:{port}/v1", "api_key": KEY}
    return litellm.Router(model_list=[{"model_name": "bench", "litellm_params": params}], num_retries=0)


def chat_litellm_router(port: int) -> Any:
    router = litellm_router(port)
    from langchain_litellm import ChatLiteLLMRouter

    return ChatLiteLLMRouter(router=router, model_name="bench")


def fallback_config(port: int) -> dict[str, Any]:
    """The cheapest one is down, so that every call fails once."""
    tables = config(port, deployments=2)["deployments"]
    tables[0]["base_url"] = f"http://127.0.0.1:{port}/down/v1"
    return {"deployments": tables}


async def tensorzero_gateway(port: int, folder: str) -> Any:
    from tensorzero import AsyncTensorZeroGateway

    file = Path(folder) / "tensorzero.toml"
    file.write_text(
        "[gateway]\nobservability.enabled = false\n"
        '[models.bench]\nrouting = ["up"]\n'
        f'[models.bench.providers.up]\ntype = "openai"\nmodel_name = "bench"\n'
        f'api_base = "http://127.0.0.1:{port}/v1/"\napi_key_location = "none"\n'
    )
    return await AsyncTensorZeroGateway.build_embedded(config_file=str(file), async_setup=True)


def sync_call(name: str, port: int) -> Callable[[], Any]:
    """One synchronous call of the subject."""
    if name == "Router.complete":
        router = routed(port)
        return lambda: router.complete(PROMPT)
    if name == "Router.complete (litellm provider)":
        from routekit import Router

        table = {"name": "l", "provider": "litellm", "model": "openai/bench", "api_base": f"http://127.0.0.1:{port}/v1"}
        os.environ["BENCH_KEY"] = KEY
        router = Router({"deployments": [{**table, "api_key_env": "BENCH_KEY"}]})
        return lambda: router.complete(PROMPT)
    if name == "litellm.Router.completion":
        peer = litellm_router(port)
        return lambda: peer.completion(model="bench", messages=MESSAGES)
    if name == "openai SDK":
        from openai import OpenAI

        client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0)
        return lambda: client.chat.completions.create(model="bench", messages=MESSAGES)
    models = {
        "RoutedChatModel": routed_model, "ChatOpenAI": chat_openai, "ChatLiteLLMRouter": chat_litellm_router,
    }  # fmt: skip
    subject, _, method = name.rpartition(".")
    if subject in models:
        model = models[subject](port)
        if method == "invoke":
            return lambda: model.invoke(PROMPT)
        return lambda: [0 for _ in model.stream(PROMPT)]
    if name == "Router.stream":
        router = routed(port)
        return lambda: [0 for _ in router.stream(PROMPT)]
    if name == "litellm.Router.stream":
        peer = litellm_router(port)
        return lambda: [0 for _ in peer.completion(model="bench", messages=MESSAGES, stream=True)]
    if name == "memory cache hit":
        router = routed(port, cache={"use": ["memory"]})
        return lambda: router.complete(PROMPT)
    if name == "call with fallback":
        from routekit import Router

        router = Router(fallback_config(port), env={"ROUTEKIT_PLUGINS": ""})

        def fresh() -> Any:
            # The breaker would soon leave the broken one out, and nothing would fail any more.
            router.health()
            for place in router._engine.health._places.values():
                place.breaker.failures = 0
                place.breaker.rate.clear()
            result = router.complete(PROMPT)
            assert len(result.attempts) == 2
            return result

        return fresh
    raise SystemExit(f"unknown subject {name!r}")


async def async_call(name: str, port: int, folder: str) -> Callable[[], Awaitable[Any]]:
    """One asynchronous call of the subject."""
    if name == "Router.acomplete":
        router = routed(port)
        return lambda: router.acomplete(PROMPT)
    if name == "litellm.Router.acompletion":
        peer = litellm_router(port)
        return lambda: peer.acompletion(model="bench", messages=MESSAGES)
    if name == "TensorZero embedded":
        gateway = await tensorzero_gateway(port, folder)
        ask = {"model_name": "bench", "input": {"messages": MESSAGES}}
        return lambda: gateway.inference(**ask)
    if name == "Router.astream":
        router = routed(port)

        async def read_router() -> None:
            async for _ in router.astream(PROMPT):
                pass

        return read_router
    models = {"RoutedChatModel": routed_model, "ChatOpenAI": chat_openai, "ChatLiteLLMRouter": chat_litellm_router}
    subject, _, method = name.rpartition(".")
    model = models[subject](port)
    if method == "ainvoke":
        return lambda: model.ainvoke(PROMPT)

    async def read() -> None:
        async for _ in model.astream(PROMPT):
            pass

    return read


def measure_sync(name: str, port: int, calls: int) -> float:
    call = sync_call(name, port)
    for _ in range(max(5, calls // 10)):
        call()
    gc.collect()
    began = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - began) / calls * 1e6


async def measure_async(name: str, port: int, calls: int, concurrency: int) -> float:
    with TemporaryDirectory() as folder:
        call = await async_call(name, port, folder)

        async def worker(count: int) -> None:
            for _ in range(count):
                await call()

        await asyncio.gather(*(worker(max(1, calls // 10 // concurrency)) for _ in range(concurrency)))
        gc.collect()
        each = max(1, calls // concurrency)
        began = time.process_time()
        await asyncio.gather(*(worker(each) for _ in range(concurrency)))
        return (time.process_time() - began) / (each * concurrency) * 1e6


def is_stream(name: str) -> bool:
    return name.endswith("stream")


def main() -> None:
    warnings.simplefilter("ignore")
    name, port, calls, concurrency = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    micros = (
        asyncio.run(measure_async(name, port, calls, concurrency)) if concurrency else measure_sync(name, port, calls)
    )
    sys.stdout.write(json.dumps({"us": micros / CHUNKS if is_stream(name) else micros}) + "\n")
    sys.stdout.flush()
    os._exit(0)  # peers leave threads and loops behind that are not what is measured


if __name__ == "__main__":
    main()
