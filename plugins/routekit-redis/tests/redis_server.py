"""A real server for tests: on a free loopback port, in a directory of its own, ended by its process id."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import time
from pathlib import Path

import redis

BINARIES = ("redis-server", "valkey-server")


class Server:
    """`start` and `stop` may be called again and again; the data stays in the directory."""

    def __init__(self, folder: Path, *options: str) -> None:
        binary = next((found for name in BINARIES if (found := shutil.which(name))), None)
        assert binary is not None, "these tests need redis-server: apt-get install redis-server"
        self._binary, self._folder, self._options = binary, folder, options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=10)

    def start(self) -> None:
        command = [
            self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", "",
            "--appendonly", "yes", "--appendfsync", "everysec", "--enable-debug-command", "yes", *self._options,
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError:
                time.sleep(0.02)
        self.kill()
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        """As a machine does that loses its power, but for what the kernel has."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    stop = kill


def _free_port() -> int:
    """A port that is free, as is the one for the bus of a cluster, which is 10,000 higher."""
    while True:
        port = random.randrange(20_000, 50_000)
        try:
            for place in (port, port + 10_000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", place))
        except OSError:
            continue
        return port
