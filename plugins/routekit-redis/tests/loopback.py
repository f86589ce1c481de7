"""A loopback proxy that counts, delays, and cuts."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

Hook = Callable[[str, bytes], bytes | None]


class Proxy:
    """`delay_s`: before each answer. `hook(way, data)`, where `way` is "ask" or "answer": None cuts the connection."""

    def __init__(self, port: int, *, delay_s: float = 0.0, hook: Hook | None = None) -> None:
        self.to, self.delay_s, self.hook = port, delay_s, hook
        self.asked = 0
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def close(self) -> None:
        self._listening.close()

    def _run(self) -> None:
        while True:
            try:
                caller, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                caller.close()
                continue
            for pair in ((caller, server, "ask"), (server, caller, "answer")):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if way == "ask":
                    self.asked += 1
                elif self.delay_s:
                    time.sleep(self.delay_s)
                passed = self.hook(way, data) if self.hook else data
                if passed is None:
                    break
                target.sendall(passed)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
