"""What a client keeps of its calls: the token, how many had no answer, and whom to tell."""

from __future__ import annotations

import itertools
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tiergate.client.calls import MisledError, UndecidedError
from tiergate.client.tokens import FileToken, FixedToken
from tiergate.errors import CallerError, SettingsError, SidecarUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.client.calls import Call
    from tiergate.client.http_response import Response

_LOGGED_EVERY = 60.0

_logger = logging.getLogger("tiergate.client")

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


class Account:
    """The token and the failures of a client. `no_answers`: the number of failures so far."""

    def __init__(
        self,
        url: str,
        token: str | None,
        token_file: str | Path | None,
        on_no_answer: Callable[[SidecarUnreachableError], object] | None,
        on_mistake: Callable[[CallerError], object] | None,
    ) -> None:
        """Prepare. Raises `SettingsError` if the token is unusable, or both are given."""
        if token is not None and token_file is not None:
            raise SettingsError("token_file", "stands in place of `token`: give one of them")
        self._url = url
        self._token: FixedToken | FileToken | None = FixedToken(token) if token is not None else None
        if token_file is not None:
            self._token = FileToken(Path(token_file))
        self._on_no_answer = on_no_answer
        self._on_mistake = on_mistake
        self._counter = itertools.count(1)
        self._logged_at = -_LOGGED_EVERY
        self.no_answers = 0

    def headers(self, call: Call[T]) -> dict[str, str]:
        """Return the headers of a request."""
        found = {"accept": "application/json", **call.headers}
        if self._token is not None:
            found["authorization"] = f"Bearer {self._token.current()}"
        return found

    def result(self, call: Call[T], response: Response) -> T:
        """Read the response to a request.

        Raises:
            CallerError: the sidecar refuses the request.
            SidecarUnreachableError: it cannot decide now.
            MisreadError: the response is not as documented, or belongs to another request: close all connections.
        """
        try:
            return call.result(response)
        except UndecidedError as error:
            raise SidecarUnreachableError(self._url, str(error)) from None
        except MisledError as error:
            raise MisreadError(self._url, str(error)) from None
        except ValueError as error:
            raise MisreadError(self._url, f"unexpected response: not a Tiergate sidecar: {error}") from None

    def missed(self, error: SidecarUnreachableError) -> None:
        """Count a call that got no answer, log it once a minute, and tell it."""
        self.no_answers = next(self._counter)
        now = time.monotonic()
        if now - self._logged_at >= _LOGGED_EVERY:
            self._logged_at = now
            _logger.warning("%s (%d so far; logged once a minute)", error, self.no_answers)
        if self._on_no_answer is not None:
            _call(self._on_no_answer, error)

    def mistaken(self, error: CallerError) -> bool:
        """Tell a mistake in a question, if somebody wants to be told of these; return whether somebody does."""
        if self._on_mistake is None:
            return False
        _call(self._on_mistake, error)
        return True


class MisreadError(SidecarUnreachableError):
    """The response cannot be the one to the request: what comes next on the connections cannot be trusted either."""


def _call(hook: Callable[[E], object], error: E) -> None:
    """Call a hook of the service; its errors must not change the answer."""
    try:
        hook(error)
    except Exception:
        _logger.exception("a hook of the client raised an error")
