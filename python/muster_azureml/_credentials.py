"""Credentials in addresses are used, and not shown or kept (the rules of base/credentials.h)."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "****"
_SECRET = re.compile(r"([?&;#](?:sig|token|access_token|password|secret|x-amz-signature)=)[^&;#]*",
                     re.IGNORECASE)
_URL = re.compile(r"(?<=://)[^\s\"'<>|`]+")


def without_credentials(value: Any) -> Any:
    """user:password@ and secret parameters of every URL in a document's texts are ****."""
    if isinstance(value, dict):
        return {name: without_credentials(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_credentials(each) for each in value]
    return _URL.sub(_shown, value) if isinstance(value, str) else value


def _shown(url) -> str:
    authority, rest = re.match(r"([^/?#]*)(.*)", url.group(), re.DOTALL).groups()
    if "@" in authority:
        authority = HIDDEN + authority[authority.rindex("@"):]
    return authority + _SECRET.sub(rf"\g<1>{HIDDEN}", rest)
