"""A forked child that does something and says what came of it."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections.abc import Callable
from types import FrameType


def _told(_: int, frame: FrameType | None) -> None:
    raise TimeoutError("".join(traceback.format_stack(frame)[-12:]))


def in_child(work: Callable[[], object], limit_s: int = 20) -> str:
    """The text of what `work` returned, or raised, in a fork of this process; it is ended after `limit_s` seconds."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads, which is what is tested
        pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, _told)  # else another's handler, the test runner's, is inherited
        signal.alarm(limit_s)
        try:
            said = str(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode(errors="replace")[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(pid, 0)
    return said or f"nothing within {limit_s} s"
