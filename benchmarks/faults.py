"""An outage, a total outage and a flood of hangs: routekit beside LiteLLM's Router and LangChain's fallbacks.

``python -m benchmarks.faults [--quick] [--rate PER_SECOND]``. Two upstreams in processes of their own speak real HTTP
over loopback; each subject runs in a process of its own and sends requests at a constant rate, whether or not the
earlier ones have ended (an open loop: a slow answer delays nobody else's start). Attempts are counted where they
arrive, at the upstreams: every prompt carries the name of its request.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import socket
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from benchmarks import upstream
from benchmarks.breaking import FAULTS, control, upstreams
from benchmarks.subjects import KEY, PROMPT, config

PATIENCE_S = 60.0
"""A request that has not ended by then is counted as never ended."""
GAP_S = 1.0
"""An upstream that answers nothing for so long, while requests arrive, is out of rotation."""
WHOLE = upstream._MESSAGE["content"]
STREAMED = "".join(f"word{place} " for place in range(upstream.CHUNKS))
KINDS = ("500", "reset", "hang")
SUBJECTS = {
    "routekit": "Router, strategy `cheapest`, deadline {limit:g} s, else defaults (3 attempts)",
    "litellm": "Router, both deployments in one group, num_retries=2, timeout={limit:g} s per attempt, else defaults",
    "langchain": "ChatOpenAI(max_retries=0, timeout={limit:g} s) with_fallbacks([the other])",
}


Call = Callable[..., Awaitable[str]]
"""Takes a prompt and `streamed`, returns the whole text."""


def subject(name: str, ports: list[int], limit_s: float) -> Call:
    """One call of a subject, configured as `SUBJECTS` says."""
    if name == "routekit":
        from routekit import Router

        tables = config(ports[0], deployments=2)["deployments"]
        tables[1]["base_url"] = f"http://127.0.0.1:{ports[1]}/v1"
        router = Router({"router": {"deadline_s": limit_s}, "deployments": tables}, env={"ROUTEKIT_PLUGINS": ""})

        async def ask_routekit(prompt: str, streamed: bool = False) -> str:
            if streamed:
                async with router.astream(prompt) as stream:
                    return "".join([chunk.text async for chunk in stream])
            return str((await router.acomplete(prompt)).text)

        return ask_routekit
    if name == "litellm":
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        litellm: Any = importlib.import_module("litellm")

        litellm.suppress_debug_info = True
        models = [
            {"model": "openai/bench", "api_base": f"http://127.0.0.1:{port}/v1", "api_key": KEY} for port in ports
        ]
        peer = litellm.Router(
            model_list=[{"model_name": "bench", "litellm_params": model} for model in models],
            num_retries=2,
            timeout=limit_s,
        )

        async def ask_litellm(prompt: str, streamed: bool = False) -> str:
            messages = [{"role": "user", "content": prompt}]
            if streamed:
                pieces = await peer.acompletion(model="bench", messages=messages, stream=True)
                return "".join([piece.choices[0].delta.content or "" async for piece in pieces if piece.choices])
            answer = await peer.acompletion(model="bench", messages=messages)
            return str(answer.choices[0].message.content or "")

        return ask_litellm
    ChatOpenAI: Any = importlib.import_module("langchain_openai").ChatOpenAI

    first, second = (
        ChatOpenAI(
            model="bench", base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0, timeout=limit_s
        )
        for port in ports
    )  # fmt: skip
    chain = first.with_fallbacks([second])

    async def ask_langchain(prompt: str, streamed: bool = False) -> str:
        if streamed:
            return "".join([str(piece.content) async for piece in chain.astream(prompt)])
        return str((await chain.ainvoke(prompt)).content)

    return ask_langchain


class Ended(NamedTuple):
    """One request: its phase, seconds from start to end, whether it was answered, the error's type."""

    phase: str
    seconds: float
    ok: bool
    error: str


async def one(call: Call, phase: str, number: int, streamed: bool = False) -> Ended:
    began, error, text = time.monotonic(), "", ""
    try:
        text = await asyncio.wait_for(call(f"{PROMPT} [{phase}-{number}]", streamed), PATIENCE_S)
    except TimeoutError:
        error = "TimeoutError"
    except Exception as failure:
        error = type(failure).__name__
    return Ended(phase, time.monotonic() - began, text == (STREAMED if streamed else WHOLE), error)


async def open_loop(call: Call, phase: str, rate: float, seconds: float) -> list[Any]:
    """Starts `rate` requests per second for `seconds`; returns their tasks, which may still run."""
    tasks, began = [], time.monotonic()
    for number in range(max(1, int(rate * seconds))):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        tasks.append(asyncio.create_task(one(call, phase, number)))
    return tasks


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, by nearest rank; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def back_after_s(answered: list[float], restored: float, until: float) -> float | None:
    """Seconds from the restoring to the first answer after the last gap of `GAP_S`; None: out of rotation at the end.

    An upstream that answers at first and is ejected late (by timeouts that were still under way) is not back yet.
    """
    moments = sorted(moment for moment in answered if restored <= moment <= until)
    if not moments or until - moments[-1] > GAP_S:
        return None
    back, previous = moments[0], moments[0]
    for moment in moments:
        if moment - previous > GAP_S:
            back = moment
        previous = moment
    return back - restored


def attempts_of(ports: list[int], phase: str) -> list[int]:
    """Calls that reached the upstreams, per request of this phase that made any."""
    total: Counter[str] = Counter()
    for port in ports:
        total.update(control(port, "seen")["seen"])
    return [count for name, count in total.items() if name.rsplit("-", 1)[0] == phase]


def figures(ended: list[Ended], attempts: list[int]) -> dict[str, Any]:
    took = [end.seconds for end in ended]
    return {
        "requests": len(ended), "ok": sum(end.ok for end in ended), "attempts": sum(attempts),
        "most_attempts": max(attempts, default=0), "p50": percentile(took, 0.5), "p95": percentile(took, 0.95),
        "p99": percentile(took, 0.99), "max": max(took), "errors": Counter(end.error for end in ended if not end.ok),
    }  # fmt: skip


async def outage(name: str, kind: str, ports: list[int], rate: float, phases_s: list[float]) -> dict[str, Any]:
    """Healthy, then the first one broken (or both: `kind` "total"), then healthy again; `phases_s` in seconds."""
    call = subject(name, ports, 10.0)
    broken, fault = (ports, "500") if kind == "total" else (ports[:1], kind)
    await asyncio.gather(*[one(call, "warm", number) for number in range(5)])
    tasks = await open_loop(call, "before", rate, phases_s[0])
    for port in broken:
        control(port, f"set/{fault}")
    tasks += await open_loop(call, "fault", rate, phases_s[1])
    for port in broken:
        control(port, "set/ok")
    restored = time.monotonic()
    tasks += await open_loop(call, "after", rate, phases_s[2])
    until = time.monotonic()
    ended = await asyncio.gather(*tasks)
    row = {
        phase: figures([end for end in ended if end.phase == phase], attempts_of(ports, phase))
        for phase in ("before", "fault", "after")
    }
    backs = [back_after_s(control(port, "seen")["answered"], restored, until) for port in broken]
    late = [end.seconds for end in ended if end.phase == "fault"][int(rate * phases_s[1]) // 2 :]
    found = [back for back in backs if back is not None]
    # After a total outage one is enough: whoever is back first may well serve everything.
    return {**row, "back": min(found, default=None), "late": figures_of_late(late)}


def figures_of_late(late: list[float]) -> dict[str, float]:
    """The second half of a fault, when a breaker has long been open."""
    return {"p50": percentile(late, 0.5), "max": max(late)}


BEGUN = ("cut", "stall", "drip", "malformed", "no-finish")
"""Faults that a stream meets when its text has begun: an error that says so is as good as the whole text."""


def verdict(kind: str, streamed: bool, ended: list[Ended], limit_s: float) -> str:
    """Empty where all kept the promise, else what did not.

    The promise: the whole text, within the time, though one of two upstreams is broken. A content filter is surfaced
    as an error and not routed around. Where the text of a stream had begun, or where only slowness is to blame for a
    whole answer, an error will do. A text that is cut or empty is never passed as an answer.
    """
    error_will_do = kind == "content-filter" or (streamed and kind in BEGUN) or kind == "drip"
    bad: Counter[str] = Counter()
    for end in ended:
        if end.seconds > limit_s + 0.05:
            bad[f"after {end.seconds:.0f} s"] += 1
        elif not end.ok and not end.error:
            bad["wrong text"] += 1
        elif end.ok and kind == "content-filter":
            bad["routed around"] += 1
        elif end.error and not error_will_do:
            bad[end.error] += 1
    return _why(bad) if bad else ""


async def each_fault(name: str, ports: list[int]) -> dict[str, str]:
    """Every kind at the first upstream, whole and streamed, 6 requests each at once, 2 s each; kind to verdict."""
    found = {}
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and never listening: connections are refused
        for kind in FAULTS:
            used = [nobody.getsockname()[1], ports[1]] if kind == "refused" else ports
            for port in used[kind == "refused" : 1]:
                control(port, f"set/{kind}")
            for streamed in (False, True):
                call = subject(name, used, 2.0)  # a fresh one: no breaker has opened yet
                ended = await asyncio.gather(*[one(call, "each", number, streamed) for number in range(6)])
                found[f"{kind}, {'streamed' if streamed else 'whole'}"] = verdict(kind, streamed, list(ended), 2.0)
    return found


async def deadlines(name: str, ports: list[int], count: int, concurrency: int) -> dict[str, Any]:
    """`count` requests with 2 s each, half of the calls hanging at both upstreams."""
    call = subject(name, ports, 2.0)
    await asyncio.gather(*[one(call, "warm", number) for number in range(5)])
    for port in ports:
        control(port, "set/hangs")
    numbers, ended = iter(range(count)), []

    async def worker() -> None:
        for number in numbers:
            ended.append(await one(call, "mix", number))

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    late = sum(end.seconds > 2.05 for end in ended)
    return {**figures(ended, attempts_of(ports, "mix")), "late": late}


def measured(name: str, kind: str, quick: bool, rate: float) -> dict[str, Any]:
    """Runs one subject in one scenario, in a process of its own, against upstreams of its own."""
    with upstreams(2, 3600.0) as ports:
        command = [sys.executable, "-m", "benchmarks.faults", "--subject", name, "--kind", kind, "--rate", str(rate)]
        command += ["--ports", ",".join(map(str, ports)), *(["--quick"] if quick else [])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def say(line: str = "") -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _why(errors: dict[str, int]) -> str:
    return ", ".join(f"{count} {error or 'wrong text'}" for error, count in sorted(errors.items())) or "none"


def phases(quick: bool) -> list[float]:
    """Seconds: healthy, broken, healthy again. The last one leaves room for an ejection that came late."""
    return [3.0, 4.0, 14.0] if quick else [30.0, 30.0, 40.0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look, not a measurement")
    parser.add_argument("--rate", type=float, default=40.0, help="requests per second")
    parser.add_argument("--json", action="store_true", help="the raw figures, instead of tables")
    for inner in ("--subject", "--kind", "--ports"):
        parser.add_argument(inner, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.subject:
        from benchmarks.faults_report import report

        report(given.quick, given.rate, given.json)
        return
    warnings.simplefilter("ignore")
    ports = [int(port) for port in given.ports.split(",")]
    work: Coroutine[Any, Any, dict[str, Any]]
    if given.kind == "each":
        work = each_fault(given.subject, ports)
    elif given.kind == "deadlines":
        work = deadlines(given.subject, ports, *((1000, 50) if given.quick else (10_000, 100)))
    else:
        work = outage(given.subject, given.kind, ports, given.rate, phases(given.quick))
    sys.stdout.write(json.dumps(asyncio.run(work)) + "\n")
    sys.stdout.flush()
    os._exit(0)  # peers leave threads and loops behind that are not what is measured


if __name__ == "__main__":
    main()
