"""A sidecar as an object: `check`, `checks`, `entitlements`, `explain`, and `allows`, which answers in any case."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode

import msgspec

from tiergate.client.answers import Answer, Explanation, read_answer, read_explanation, read_json
from tiergate.client.connections import Connections
from tiergate.errors import CheckError, RequestError, SettingsError, SidecarUnreachableError, UnknownFeatureError
from tiergate.model import Check, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from tiergate.client.connections import Response
    from tiergate.errors import CallerError
    from tiergate.model import Number

__all__ = ["DEFAULT_URL", "Sidecar", "check_json"]

DEFAULT_URL = "http://127.0.0.1:8437"
"""Where a sidecar listens unless told otherwise."""

_OK = 200
_SERVER_ERROR = 500


class Sidecar:
    """Asks one sidecar. Safe to use from several threads; connections are kept alive."""

    def __init__(self, url: str = DEFAULT_URL, *, token: str | None = None, timeout: float = 1.0) -> None:
        """Prepare to ask; nothing is sent yet.

        `url`: `http://host:port` or `unix:/path`. `token`: what the sidecar's token file holds, if it has one.
        `timeout`: seconds for each step of a request.

        Raises:
            SettingsError: `url` is neither of these, or `token` is none.
        """
        self._connections = Connections(url, timeout)
        if token is not None and not (token and token.isascii() and token.isprintable()):
            raise SettingsError("token", "must be printable ASCII characters, on one line")
        self._headers = {"accept": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"

    def check(
        self,
        subject: str | Subject,
        feature: str,
        *,
        amount: Number | None = None,
        used: Number | None = None,
        user_used: Number | None = None,
        value: Number | None = None,
        level: str | None = None,
    ) -> Answer:
        """Ask whether a subject may use a feature. A customer's id will do for the subject.

        Raises:
            SidecarUnreachableError: nobody answers in time, or the sidecar cannot decide yet.
            UnknownFeatureError: the catalog has no such feature.
            CheckError: a field of the check is wrong.
            RequestError: the request is refused as a whole.
        """
        body = self.ask(Check(_subject(subject), feature, amount, used, user_used, value, level))
        with self._reading():
            return read_answer(read_json(body))

    def ask(self, check: Check) -> bytes:
        """Ask as `check` does; give the answer's JSON as the sidecar wrote it.

        Raises:
            SidecarUnreachableError, UnknownFeatureError, CheckError, RequestError: as `check`.
        """
        with self._reading():
            return self._post("/v1/check", check_json(check), check.feature)

    def allows(
        self,
        subject: str | Subject,
        feature: str,
        *,
        otherwise: bool,
        amount: Number | None = None,
        used: Number | None = None,
        user_used: Number | None = None,
        value: Number | None = None,
        level: str | None = None,
    ) -> bool:
        """Ask as `check` does; answer `otherwise` where the sidecar cannot be reached or cannot decide.

        `otherwise` has no default: whether a feature fails open or closed is the service's decision.

        Raises:
            UnknownFeatureError, CheckError, RequestError: as `check`; they are mistakes, which no default mends.
        """
        try:
            answer = self.check(
                subject, feature, amount=amount, used=used, user_used=user_used, value=value, level=level
            )
        except SidecarUnreachableError:
            return otherwise
        return answer.allowed

    def checks(self, checks: Sequence[Check]) -> list[Answer | CallerError]:
        """Ask up to 1,000 checks at once. Answers come in the same order; a wrong check's place holds its error.

        Raises:
            SidecarUnreachableError, RequestError: as `check`.
        """
        body = {"checks": [check_json(check) for check in checks]}
        with self._reading():
            results = _listed(read_json(self._post("/v1/checks", body)), "results")
            return [
                read_answer(result) if "allowed" in _members(result) else _caller_error(_members(result), check.feature)
                for check, result in zip(checks, results, strict=True)
            ]

    def explain(
        self,
        subject: str | Subject,
        feature: str,
        *,
        amount: Number | None = None,
        used: Number | None = None,
        user_used: Number | None = None,
        value: Number | None = None,
        level: str | None = None,
        at: datetime | None = None,
    ) -> Explanation:
        """Ask why `check` answers as it does, or would `at` another moment, which has its offset. Takes milliseconds.

        Raises:
            SidecarUnreachableError, UnknownFeatureError, CheckError, RequestError: as `check`.
        """
        if at is not None and at.tzinfo is None:
            raise CheckError("/at", "must have its offset: a local time would be a guess")
        check = Check(_subject(subject), feature, amount, used, user_used, value, level)
        body = check_json(check) | ({} if at is None else {"at": at.isoformat()})
        with self._reading():
            return read_explanation(read_json(self._post("/v1/explain", body, feature)))

    def entitlements(self, subject: str | Subject) -> list[Answer]:
        """Everything that a subject holds: one answer for each feature of the catalog, in the order of their ids.

        Raises:
            SidecarUnreachableError, RequestError: as `check`.
        """
        whom = _subject(subject)
        query = {"subject": whom.id, "type": whom.type.value} | ({"user": whom.user} if whom.user else {})
        with self._reading():
            target = f"/v1/entitlements?{urlencode(query)}"
            response = self._connections.request("GET", target, None, self._headers)
            return [read_answer(answer) for answer in _listed(read_json(self._read(response, "")), "entitlements")]

    def close(self) -> None:
        """Close the connections that are kept."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError:
            raise RequestError(400, "malformed text", "the check holds half of a surrogate pair") from None
        except ValueError as error:
            raise SidecarUnreachableError(self._connections.url, f"what answers is no sidecar, {error}") from None

    def _post(self, path: str, body: Mapping[str, object], feature: str = "") -> bytes:
        headers = self._headers | {"content-type": "application/json"}
        return self._read(self._connections.request("POST", path, _encode(body), headers), feature)

    def _read(self, response: Response, feature: str) -> bytes:
        if response.status == _OK:
            return response.body
        problem = _members(read_json(response.body))
        if response.status >= _SERVER_ERROR:
            raise SidecarUnreachableError(self._connections.url, str(problem.get("detail", "it cannot decide")))
        raise _caller_error(problem, feature)


def check_json(check: Check) -> dict[str, object]:
    """A check as the members of the sidecar's request; what is not asked is left out."""
    subject = check.subject
    whom: object = subject.id
    if subject != Subject(subject.id):
        whom = {"type": subject.type.value, "id": subject.id} | ({"user": subject.user} if subject.user else {})
    asked = {name: getattr(check, name) for name in ("amount", "used", "user_used", "value", "level")}
    members: dict[str, object] = {"subject": whom, "feature": check.feature}
    return members | {name: value for name, value in asked.items() if value is not None}


_encode = msgspec.json.Encoder(decimal_format="number").encode


def _subject(subject: str | Subject) -> Subject:
    return Subject(subject) if isinstance(subject, str) else subject


def _members(content: object) -> Mapping[str, object]:
    if isinstance(content, dict):
        return content
    raise ValueError("what it says is no object")


def _listed(content: object, name: str) -> list[object]:
    found = _members(content).get(name)
    if isinstance(found, list):
        return found
    raise ValueError(f"it has no list of {name}")


def _caller_error(problem: Mapping[str, object], feature: str) -> CallerError:
    """Say a problem document (RFC 9457) as the error that it was in the sidecar."""
    detail, field, suggestion = (str(problem.get(name, "")) for name in ("detail", "field", "suggestion"))
    if problem.get("type") == "urn:tiergate:problem:unknown-feature":
        return UnknownFeatureError(feature, suggestion or None)
    if problem.get("type") == "urn:tiergate:problem:invalid-request":
        return CheckError(field, detail.removeprefix(f"`{field}`").lstrip(": "))
    status = problem.get("status")
    return RequestError(status if isinstance(status, int) else 500, str(problem.get("title", "refused")), detail)
