"""llama.cpp inside this process, through xllamacpp: loading, sharing, queueing, stopping.

One runtime per model file and settings serves every provider and thread of the process. It has several
slots that are computed as one batch (on two cores 46 tokens/s for one sequence, 110 for five at once)
and that share one pool of context, so that eight slots cost no more memory than one. llama.cpp lets the
pool overflow in the middle of an answer; here a generation waits until its worst case fits.

xllamacpp opens an HTTP listener on the loopback interface and offers no way not to: it gets a random key
that nobody is told.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routekit.errors import ProviderSetupError, ProviderUnavailableError

SLOTS = 8
"""Sequences computed at once."""

_BATCH = 256
"""Prompt tokens per step, and so the steps in which a long prompt can be stopped (0.7 s on two cores).
Reading is no faster with 512 and 8 % slower with 128."""

_STOP_S = 10.0
"""How long closing waits for the generations under way to notice."""

_MAX_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSettings:
    """What makes a runtime another one. `context_window` is in tokens; `threads` are compute threads."""

    path: Path
    context_window: int
    threads: int


class Stopped(Exception):
    """The generation was stopped before it began."""


class StopSignal:
    """Set once, from any thread: whoever waits for it is woken."""

    __slots__ = ("_set", "_wake")

    def __init__(self) -> None:
        self._set = False
        self._wake: Callable[[], None] | None = None

    def __bool__(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        wake = self._wake
        if wake is not None:
            wake()

    def watch(self, wake: Callable[[], None] | None) -> None:
        self._wake = wake


class Queue:
    """Lets generations in, first come, first served, while slots and context are left."""

    def __init__(self, slots: int, tokens: int) -> None:
        self._slots, self._tokens = slots, tokens
        self._free_slots, self._free_tokens = slots, tokens
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    def enter(self, sequences: int, tokens: int, stop: StopSignal) -> tuple[int, int]:
        """Waits for room; what it returns is given back with `leave`. More than all there is counts as all.

        Raises:
            Stopped: `stop` was set first.
        """
        need = (min(sequences, self._slots), min(tokens, self._tokens))
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            stop.watch(self._wake)
            try:
                while not stop and (
                    self._waiting[0] is not ticket or self._free_slots < need[0] or self._free_tokens < need[1]
                ):
                    self._changed.wait()
                if stop:
                    raise Stopped
                self._free_slots -= need[0]
                self._free_tokens -= need[1]
            finally:
                stop.watch(None)
                self._waiting.remove(ticket)
                self._changed.notify_all()
        return need

    def leave(self, taken: tuple[int, int]) -> None:
        with self._changed:
            self._free_slots += taken[0]
            self._free_tokens += taken[1]
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class Runtime:
    """One loaded model. Nothing is loaded before the first `generate`."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self.settings = settings
        self.users = 0
        self.closed = False
        self._server: Any = None
        self._reset()

    def _reset(self) -> None:
        self._queue = Queue(SLOTS, self.settings.context_window)
        self._loading = threading.Lock()
        self._changed = threading.Condition()
        self._active: set[StopSignal] = set()

    def generate(
        self,
        body: Mapping[str, Any],
        *,
        sequences: int,
        tokens: int,
        stop: StopSignal,
        deliver: Callable[[dict[str, Any]], None],
    ) -> None:
        """Runs a streamed chat completion to its end in this thread; every event goes to `deliver`.

        `tokens` bounds what prompt and answers may take of the context. Setting `stop` ends it at the
        next token or prompt step. llama.cpp's own errors are delivered as ``{"error": {...}}``.

        Raises:
            ProviderSetupError: the runtime or the file cannot be loaded.
            ProviderUnavailableError: the runtime was closed.
            ValueError, RuntimeError: llama.cpp refused the request.
        """
        with self._changed:
            if self.closed:
                raise ProviderUnavailableError("the local runtime was closed")
            self._active.add(stop)
        taken = None
        try:
            taken = self._queue.enter(sequences, tokens, stop)
            server = self._load()

            def received(text: str) -> bool:
                if stop:
                    return True
                deliver(json.loads(text))
                return False

            if not stop:
                server.handle_chat_completions(json.dumps(body), received)
        except Stopped:
            pass
        finally:
            if taken is not None:
                self._queue.leave(taken)
            with self._changed:
                self._active.discard(stop)
                self._changed.notify_all()

    def grammar(self, schema: Mapping[str, Any]) -> str:
        """The schema as a grammar that llama.cpp's sampler enforces."""
        text: str = xllamacpp().json_schema_to_grammar(json.dumps(schema))
        return text

    def close(self) -> None:
        """Stops what runs, waits for it, and frees the model."""
        with self._changed:
            self.closed = True
            running = list(self._active)
        for stop in running:
            stop.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._active, timeout=_STOP_S)
        with self._loading:
            self._server = None

    def forget(self) -> bool:
        """After a fork: the model's threads stayed in the parent, so its memory is left alone, not freed.

        Returns whether there was a model.
        """
        loaded = self._server is not None
        if loaded:
            import ctypes

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._server))
            self._server = None
        self._reset()
        return loaded

    def _load(self) -> Any:
        with self._loading:
            if self._server is None:
                self._server = _server(self.settings)
            return self._server


def xllamacpp() -> Any:
    """The module, imported at the first call.

    Raises:
        ProviderSetupError: it is not installed.
    """
    # Threads that spin while they wait halve the speed of a machine that has something else to do:
    # 2 tokens/s instead of 29 on two busy cores. libgomp reads these when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    try:
        import xllamacpp
    except ImportError as error:
        raise ProviderSetupError("local models need xllamacpp; run pip install 'routekit-llm[local]'") from error
    return xllamacpp


def default_threads() -> int:
    """The cores this process may use, eight at most: beyond that small models get slower."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _MAX_THREADS))


def check_gguf(path: Path) -> None:
    """Looks at the file's first four bytes.

    Raises:
        ProviderSetupError: it cannot be read, or is no GGUF file.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ProviderSetupError(f"the model file {str(path)!r} cannot be read: {error.strerror}") from error
    if magic != b"GGUF":
        raise ProviderSetupError(f"{str(path)!r} is no GGUF file; give `path` a model in llama.cpp's format")


def _server(settings: RuntimeSettings) -> Any:
    check_gguf(settings.path)
    if _forked:
        raise ProviderSetupError(
            "this process was forked off one that had loaded a local model, and llama.cpp does not survive that; "
            "make the first local call after the fork, or start processes with multiprocessing's 'spawn'"
        )
    module = xllamacpp()
    params = module.CommonParams()
    params.model.path = str(settings.path)
    params.n_ctx = settings.context_window
    params.n_parallel, params.kv_unified = SLOTS, True
    params.n_batch = params.n_ubatch = _BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads
    params.cache_ram_mib = 0  # its prompt cache would take up to 8 GB of memory
    params.warmup = params.fit_params = params.endpoint_slots = params.ui = False
    params.n_threads_http = 1
    params.prefill_assistant = False  # a conversation that ends with an answer gets a new one, as elsewhere
    params.api_keys = [secrets.token_urlsafe(32)]
    params.verbosity = -1
    try:
        return module.Server(params)
    except (RuntimeError, ValueError) as error:
        raise ProviderSetupError(f"llama.cpp cannot load {str(settings.path)!r}: {error}") from error


_RUNTIMES: dict[RuntimeSettings, Runtime] = {}
_LOCK = threading.Lock()

_forked = False
"""Whether this process was forked off one that had loaded a model. llama.cpp could load another one here, but its
threads for logging and clean-up stayed in the parent: ending the process waits for them, or crashes."""


def acquire(settings: RuntimeSettings) -> Runtime:
    """The process's runtime for these settings. Each `acquire` is ended by one `release`."""
    with _LOCK:
        runtime = _RUNTIMES.get(settings)
        if runtime is None:
            runtime = _RUNTIMES[settings] = Runtime(settings)
        runtime.users += 1
        return runtime


def release(runtime: Runtime) -> None:
    """Ends one use; the last one frees the model."""
    with _LOCK:
        runtime.users -= 1
        last = runtime.users == 0
        if last and _RUNTIMES.get(runtime.settings) is runtime:
            del _RUNTIMES[runtime.settings]
    if last:
        runtime.close()


@atexit.register
def _close_all() -> None:
    """llama.cpp's threads must be gone before the interpreter takes itself apart."""
    with _LOCK:
        runtimes = list(_RUNTIMES.values())
        _RUNTIMES.clear()
    for runtime in runtimes:
        runtime.close()


def _after_fork() -> None:
    global _LOCK, _forked
    _LOCK = threading.Lock()
    forgotten = [runtime.forget() for runtime in _RUNTIMES.values()]
    _forked = _forked or any(forgotten)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
