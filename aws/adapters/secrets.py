"""Providers' secrets: one secret of AWS Secrets Manager, a JSON object of the variables that candidates name.

Asked for when a candidate names one, and again every few minutes, so that a changed secret is used. Knows nothing of
providers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aws.adapters.verdicts import verdicts
from shared.errors import Permanent, Transient

_KEPT_SECONDS = 300.0


class Secrets(Mapping[str, str]):
    """The environment, and behind it the secret; `client` is made, and the secret read, once it is needed."""

    def __init__(
        self, environment: Mapping[str, str], secret: str, client: Callable[[], Any], clock: Callable[[], float]
    ) -> None:
        self._environment, self._secret, self._client, self._clock = environment, secret, client, clock
        self._found: Mapping[str, str] = {}
        self._read_at: float | None = None

    def __getitem__(self, name: str) -> str:
        """Return the value; KeyError when neither has it."""
        return self._environment[name] if name in self._environment else self._kept()[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter({**self._environment, **self._kept()})

    def __len__(self) -> int:
        """Count the names."""
        return len({**self._environment, **self._kept()})

    def __repr__(self) -> str:
        """Say where they are, not what they are."""
        return f"Secrets({self._secret!r})"

    def _kept(self) -> Mapping[str, str]:
        now = self._clock()
        if self._secret and (self._read_at is None or now - self._read_at > _KEPT_SECONDS):
            try:
                self._found = self._read()
            except Transient:
                if self._read_at is None:
                    raise
            self._read_at = now
        return self._found

    def _read(self) -> Mapping[str, str]:
        with verdicts("read the providers' secrets"):
            text = self._client().get_secret_value(SecretId=self._secret).get("SecretString", "")
        try:
            said = json.loads(text)
        except ValueError:
            said = None
        if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
            raise Permanent("the providers' secret is no JSON object of texts", code="provider-credentials") from None
        return said
