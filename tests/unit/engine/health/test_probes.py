"""Slots for probes, in threads and in processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from routekit.engine.health.probes import Probes

needs_flock = pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
HOLD = """
import sys
from pathlib import Path
from routekit.engine.health.probes import Probes
probes = Probes(Path(sys.argv[1]))
print(probes.take("a"), flush=True)
for line in sys.stdin:
    probes.release("a") if line.strip() == "release" else None
    print("done", flush=True)
"""


def other_process(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_slot_is_held_once_and_given_back() -> None:
    probes = Probes()
    assert probes.take("a")
    assert not probes.take("a")
    assert probes.take("b")
    probes.release("a")
    probes.release("a")
    assert probes.take("a")


@pytest.mark.parametrize("home", [False, True])
def test_one_of_many_threads_gets_it(home: bool, tmp_path: Path) -> None:
    probes = Probes(tmp_path if home else None)
    got, barrier = [], threading.Barrier(16)

    def knock() -> None:
        barrier.wait()
        if probes.take("a"):
            got.append(1)

    threads = [threading.Thread(target=knock) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


@needs_flock
def test_two_routers_of_one_process_share_a_home(tmp_path: Path) -> None:
    one, two = Probes(tmp_path), Probes(tmp_path)
    assert one.take("a/../b")
    assert not two.take("a/../b")
    assert two.take("other")
    one.release("a/../b")
    assert two.take("a/../b")
    assert all(path.parent == tmp_path / "probes" for path in tmp_path.rglob("*") if path.is_file())


@needs_flock
def test_another_process_keeps_it_until_it_gives_it_back(tmp_path: Path) -> None:
    here = Probes(tmp_path)
    with other_process(tmp_path) as other:
        assert other.stdout.readline() == "True\n"
        assert not here.take("a")
        assert here.take("b")
        other.stdin.write("release\n")
        other.stdin.flush()
        assert other.stdout.readline() == "done\n"
        assert here.take("a")
        other.stdin.close()


@needs_flock
def test_the_death_of_a_process_frees_its_slot(tmp_path: Path) -> None:
    here = Probes(tmp_path)
    with other_process(tmp_path) as other:
        assert other.stdout.readline() == "True\n"
        assert not here.take("a")
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert here.take("a")


@needs_flock
def test_a_forked_child_neither_holds_nor_frees_the_slot_of_its_parent(tmp_path: Path) -> None:
    here = Probes(tmp_path)
    assert here.take("a")
    to_child, from_parent = os.pipe()
    to_parent, from_child = os.pipe()
    child = os.fork()
    if child == 0:
        found = b"free" if here.take("a") else b"held"
        os.write(from_child, found)
        os.read(to_child, 1)
        os._exit(0)
    assert os.read(to_parent, 10) == b"held"
    here.release("a")
    assert here.take("a"), "the child does not hold it either"
    os.write(from_parent, b"x")
    os.waitpid(child, 0)
    for descriptor in (to_child, from_parent, to_parent, from_child):
        os.close(descriptor)


def test_a_home_that_cannot_be_used_leaves_the_slots_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    probes = Probes(tmp_path / "file")
    assert probes.take("a")
    assert not probes.take("a")
    probes.release("a")
    assert probes.take("a")


ROUTERS = """
import random, sys
from pathlib import Path
from routekit.engine.health.health import Health, Refusal
from routekit.engine.health.probes import Probes
from routekit.errors import ProviderUnavailableError
from routekit.testing import VirtualClock
from routekit.types import Deployment, Model
clock = VirtualClock(start=1000)
a = Deployment(name="a", provider="p", model=Model(id="m"))
health = Health([a], clock, random.Random(1), probes=Probes(Path(sys.argv[1])))
for _ in range(5):
    health.failed(health.enter("a"), ProviderUnavailableError("x"), total_s=1)
clock.advance(7)
call = None
for line in sys.stdin:
    if line.strip() == "enter":
        call = health.enter("a")
        print(call.reason if isinstance(call, Refusal) else f"probe {call.probe}", flush=True)
    else:
        health.succeeded(call, total_s=1, ttft_s=None, output_tokens=1)
        print(health.rows()[0].state, flush=True)
"""


@needs_flock
def test_breakers_of_two_processes_probe_one_at_a_time(tmp_path: Path) -> None:
    def told(process: subprocess.Popen[str], order: str) -> str:
        process.stdin.write(f"{order}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    command = [sys.executable, "-c", ROUTERS, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as two:
        assert told(one, "enter") == "probe True"
        for _ in range(3):
            assert "another process probes it" in told(two, "enter")
        assert told(one, "succeed") == "closed"
        assert told(two, "enter") == "probe True", "what the other one learnt is the other one's"
        assert told(one, "enter") == "probe False"
        assert told(two, "succeed") == "closed"
        one.stdin.close()
        two.stdin.close()
