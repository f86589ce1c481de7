"""Headers of one call: checked where they enter, and shown to nobody, for what is in them may be a secret."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from routekit.errors import InvalidInputError

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
"""RFC 9110, section 5.1: a token."""

RESERVED = frozenset(
    {"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "x-amz-security-token", "cookie",
     "host", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect",
     "accept", "accept-encoding", "content-type", "content-length", "content-encoding"}
)  # fmt: skip
"""Those that say who is asking, whom, and how the body is framed: the deployment's, never a call's."""

MOST = 64
_MOST_BYTES = 16_384


def can_be_sent(name: str, value: str) -> bool:
    """Whether HTTP carries a header: no line breaks, no control characters, nothing outside of Latin-1."""
    return bool(HEADER_NAME.match(name)) and not any(
        (ord(letter) < 32 and letter != "\t") or ord(letter) == 127 or ord(letter) > 255 for letter in value
    )


class CallHeaders(Mapping[str, str]):
    """Read-only headers whose values are only where they are asked for one by one: not in a `repr`, nor in a log.

    The `repr` tells other values apart all the same, for keys of caches are made from it.

    >>> CallHeaders.checked({"X-Title": "a"})
    CallHeaders(x-title; 1ffede6c55151081)
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    @classmethod
    def checked(cls, given: Any) -> CallHeaders:
        """What a caller passed as `extra_headers`.

        Raises:
            InvalidInputError: no dictionary of texts, nothing that HTTP carries, or a header of the deployment's.
        """
        if isinstance(given, CallHeaders):
            return given
        if not isinstance(given, Mapping):
            raise InvalidInputError(f"extra_headers must be a dictionary of texts; got {type(given).__name__}")
        if len(given) > MOST:
            raise InvalidInputError(f"extra_headers has {len(given)} headers; a call takes {MOST} at most")
        found: dict[str, str] = {}
        for name, value in given.items():
            if not isinstance(name, str) or not HEADER_NAME.match(name):
                raise InvalidInputError("extra_headers: a name has characters that HTTP forbids, or is no text")
            if value is None:
                continue
            if not isinstance(value, str):
                raise InvalidInputError(f"extra_headers[{name!r}] must be a text; got {type(value).__name__}")
            if name.lower() in RESERVED:
                raise InvalidInputError(
                    f"extra_headers must not set {name!r}, which is the deployment's; write it there "
                    "(`api_key_env`, `headers`)"
                )
            if not can_be_sent(name, value):
                raise InvalidInputError(f"extra_headers[{name!r}] has characters that HTTP forbids in a value")
            if any(name.lower() == other.lower() for other in found):
                raise InvalidInputError(f"extra_headers has {name!r} twice, in other letters; pass it once")
            found[name] = value.strip(" \t")
        if sum(len(name) + len(value) for name, value in found.items()) > _MOST_BYTES:
            raise InvalidInputError(f"extra_headers is larger than {_MOST_BYTES} bytes, which servers refuse")
        return cls(found)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def digest(self) -> str:
        """The same for the same headers in any order and any letters of their names."""
        lines = sorted(f"{name.lower()}\0{value}" for name, value in self._values.items())
        return hashlib.sha256("\n".join(lines).encode("latin-1")).hexdigest()

    def __repr__(self) -> str:
        names = ", ".join(sorted(name.lower() for name in self._values))
        return f"CallHeaders({names}; {self.digest[:16]})"


NO_HEADERS = CallHeaders({})
