"""Addresses in configuration: files are shared, copied and committed, so that no secret stands in one."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

_SECRET_NAME = re.compile(r"(?i)auth|key|token|secret|cookie|password|passwd|pwd|credential|signature|^sig$")


def refuse_secrets_in_url(value: str, fix: str) -> str:
    """The address itself, for use in an option's validator.

    Args:
        value: the address.
        fix: what to write instead, such as "put the URL into a variable and name it in url_env".

    Raises:
        ValueError: it holds a user or password, or a query parameter named like a secret. Its text names the
            parameter, never the value.
    """
    parts = urlsplit(value)
    if parts.username or parts.password:
        raise ValueError(f"must not hold a user or password; {fix}")
    secret = next((name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if _SECRET_NAME.search(name)), "")
    if secret:
        raise ValueError(f"must not hold {secret!r}, a secret; {fix}")
    return value
