"""Define every exception that Tiergate raises on purpose.

The branches show who must act::

    TiergateError
    ├── AuthorError              the author of a catalog, subjects, policy or rules file
    │   ├── CatalogError
    │   ├── SubjectsError
    │   ├── RulesError
    │   ├── ImportSourceError
    │   ├── CompileError
    │   ├── PublishError
    │   └── SuiteError
    ├── OperatorError            the operator of the process
    │   ├── SettingsError
    │   ├── BundleError
    │   │   └── UnreadableBundleError   also an UnreadableError
    │   ├── ReplicaError
    │   │   ├── QuarantinedError
    │   │   └── UnreadableReplicaError  also an UnreadableError
    │   ├── UnreadableError
    │   ├── ListenError
    │   ├── JournalError
    │   ├── StoreError
    │   │   └── ReadOnlyStoreError
    │   ├── ClusterError
    │   └── TrustError
    ├── CallerError              the caller
    │   ├── BodyError
    │   ├── CheckError
    │   ├── UnknownFeatureError
    │   ├── RequestError
    │   ├── ForbiddenError
    │   ├── ParameterError
    │   ├── NotFoundError
    │   ├── NotKeptError
    │   ├── ConflictError
    │   │   └── LossError
    │   ├── OutdatedReviewError
    │   └── PreconditionError
    ├── SidecarUnreachableError  the network
    └── SyncError                the network, or the control plane behind it

Errors carry fields, so that a command line, an HTTP response and a log line can each format them in their own way.
A denial is a decision, never one of these errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tiergate.model.problems import Problem

__all__ = [
    "AuthorError",
    "BodyError",
    "BodyProblem",
    "BundleError",
    "CallerError",
    "CatalogError",
    "CheckError",
    "ClusterError",
    "CompileError",
    "ConflictError",
    "ForbiddenError",
    "ImportSourceError",
    "JournalError",
    "ListenError",
    "LossError",
    "NotFoundError",
    "NotKeptError",
    "OperatorError",
    "OutdatedReviewError",
    "ParameterError",
    "PreconditionError",
    "PublishError",
    "QuarantinedError",
    "ReadOnlyStoreError",
    "RejectionReason",
    "ReplicaError",
    "RequestError",
    "RulesError",
    "SettingsError",
    "SidecarUnreachableError",
    "StoreError",
    "SubjectsError",
    "SuiteError",
    "SyncError",
    "TiergateError",
    "TrustError",
    "UnknownFeatureError",
    "UnreadableBundleError",
    "UnreadableError",
    "UnreadableReplicaError",
    "did_you_mean",
]


def did_you_mean(suggestion: str | None) -> str:
    """Return the end of a message that proposes what was probably meant; empty without a suggestion."""
    return f", did you mean `{suggestion}`?" if suggestion else ""


class TiergateError(Exception):
    """The root of all errors below. They can be copied and pickled."""

    def __reduce__(self) -> tuple[Callable[..., TiergateError], tuple[type[TiergateError], object, dict[str, object]]]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[TiergateError], args: tuple[object, ...], fields: dict[str, object]) -> TiergateError:
    """Make an error again without calling its constructor, which takes other arguments than `args`."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class AuthorError(TiergateError):
    """A file has problems; `problems` holds all of them, sorted by position."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class CatalogError(AuthorError):
    """A catalog file is invalid."""


class SubjectsError(AuthorError):
    """A subjects file is invalid, or does not match the catalog."""


class RulesError(AuthorError):
    """A rules folder contains an invalid rule."""


class ImportSourceError(AuthorError):
    """A pricing file in another format cannot be imported."""


class CompileError(AuthorError):
    """A catalog that loads cannot be compiled."""


class PublishError(AuthorError):
    """A change to publish contradicts itself, the published state, or the items of subjects."""


class SuiteError(AuthorError):
    """A file of entitlement tests is invalid, or names something that does not exist."""


class OperatorError(TiergateError):
    """The installation, not the input, is at fault."""


class SettingsError(OperatorError):
    """A setting is missing, unknown or out of range; `suggestion`: the known setting that was probably meant."""

    def __init__(self, setting: str, detail: str, suggestion: str | None = None) -> None:
        self.setting = setting
        self.detail = detail
        self.suggestion = suggestion
        super().__init__(f"setting `{setting}`: {detail}{did_you_mean(suggestion)}")


class BundleError(OperatorError):
    """A bundle is incomplete, modified or of an unknown format."""

    def __init__(self, path: str, detail: str) -> None:
        self.path = path
        self.detail = detail
        super().__init__(f"bundle file `{path}`: {detail}")


class ReplicaError(OperatorError):
    """The replica of the subjects cannot be read."""


class QuarantinedError(ReplicaError):
    """The record of a subject has problems, and there is no earlier valid one."""


class UnreadableError(OperatorError):
    """Data on disk cannot be read now because of the machine; the data itself may be intact.

    `reason`: the cause in a few words. `transient`: a resource that recovers by itself is missing, such as descriptors
    or memory, so the data on disk is not suspect.
    """

    reason: str
    transient: bool


class UnreadableBundleError(BundleError, UnreadableError):
    """A file of a bundle cannot be read now."""

    def __init__(self, path: str, reason: str, *, transient: bool) -> None:
        self.reason = reason
        self.transient = transient
        super().__init__(path, f"cannot be read: {reason}")


class UnreadableReplicaError(ReplicaError, UnreadableError):
    """The replica cannot be read now."""

    def __init__(self, path: str, reason: str, *, transient: bool) -> None:
        self.path = path
        self.reason = reason
        self.transient = transient
        super().__init__(f"replica `{path}` cannot be read: {reason}")


class ListenError(OperatorError):
    """A socket cannot be bound as configured."""


class JournalError(OperatorError):
    """A journal cannot be read or written. `full`: the disk, or what may be used of it, is full."""

    def __init__(self, path: str, detail: str, *, full: bool = False) -> None:
        self.path = path
        self.detail = detail
        self.full = full
        super().__init__(f"journal `{path}`: {detail}")


class StoreError(OperatorError):
    """The store's database cannot be used: unreachable, of another schema, or damaged."""


class ReadOnlyStoreError(StoreError):
    """The store's database can be read, but does not accept changes now."""


class ClusterError(OperatorError):
    """A request to a cluster's API server failed; `status` is the HTTP status, if there is one."""

    def __init__(self, url: str, detail: str, status: int | None = None) -> None:
        self.url = url
        self.detail = detail
        self.status = status
        super().__init__(f"`{url}`: {detail}")


class RejectionReason(StrEnum):
    """Why signed content is rejected: a closed set. The words appear in metrics, logs and responses."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    FUTURE_FORMAT = "future_format"
    OTHER_STORE = "other_store"
    ROLLBACK = "rollback"
    GAP = "gap"
    TRUNCATED = "truncated"
    BROKEN_CHAIN = "broken_chain"
    WRONG_HASH = "wrong_hash"
    CONTRADICTION = "contradiction"


class TrustError(OperatorError):
    """Content from a store does not match what that store signed, or is older than the verified state."""

    def __init__(self, kind: RejectionReason, detail: str) -> None:
        self.kind = kind
        self.detail = detail
        super().__init__(f"rejected ({kind}): {detail}")


class CallerError(TiergateError):
    """A request is wrong."""


@dataclass(frozen=True, slots=True)
class BodyProblem:
    """One problem of a JSON body.

    `pointer`: the JSON Pointer (RFC 6901) of the wrong value or key, empty for the whole body. `code`: a short stable
    word, as of a file's problem. `suggestion`: the likely intended word.
    """

    pointer: str
    code: str
    detail: str
    suggestion: str | None = None

    @property
    def sentence(self) -> str:
        """The detail with the suggestion."""
        return self.detail + did_you_mean(self.suggestion)


class BodyError(CallerError):
    """A JSON body is invalid; `problems` holds all problems, in the order of the text."""

    def __init__(self, problems: Sequence[BodyProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"`{problem.pointer}`: {problem.sentence}" for problem in self.problems))


class CheckError(CallerError):
    """One field of a check is wrong; `suggestion`: what was probably meant."""

    def __init__(self, field: str, detail: str, suggestion: str | None = None) -> None:
        self.field = field
        self.detail = detail
        self.suggestion = suggestion
        super().__init__(f"field `{field}`: {detail}{did_you_mean(suggestion)}")


class UnknownFeatureError(CallerError):
    """A check names a feature that the catalog does not have."""

    def __init__(self, feature: str, suggestion: str | None = None) -> None:
        self.feature = feature
        self.suggestion = suggestion
        super().__init__(f"no feature `{feature}` in the catalog{did_you_mean(suggestion)}")


class RequestError(CallerError):
    """A request is wrong as a whole: its body, media type, origin, size or credentials. `field`: if it is about one."""

    def __init__(
        self, status: int, title: str, detail: str, suggestion: str | None = None, *, field: str | None = None
    ) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.suggestion = suggestion
        self.field = field
        super().__init__(f"{title}: {detail}{did_you_mean(suggestion)}")


class ForbiddenError(CallerError):
    """The caller has no permission for an action on a kind of resource.

    `scoped`: the caller's roles allow it, but its key is limited to other actions or customers. `explanation` replaces
    the default one. `purpose`: the action that was asked for, which needs `action` first.
    """

    def __init__(self, action: str, resource: str, *, scoped: bool, explanation: str = "", purpose: str = "") -> None:
        self.action = action
        self.resource = resource
        self.scoped = scoped
        default = "this key is limited to other actions or customers" if scoped else "none of your roles allows it"
        asked = f"`{purpose}` here ({resource}), which needs `{action}`" if purpose else f"`{action}` here ({resource})"
        super().__init__(f"you may not {asked}: {explanation or default}")


class ParameterError(CallerError):
    """The request parameter `name` has an invalid value."""

    def __init__(self, name: str, detail: str) -> None:
        self.name = name
        self.detail = detail
        super().__init__(f"`{name}` {detail}")


class NotFoundError(CallerError):
    """The store has no such object; `kind` is, for example, `feature` or `subscription`."""

    def __init__(self, kind: str, id_: str, suggestion: str | None = None) -> None:
        self.kind = kind
        self.id = id_
        self.suggestion = suggestion
        super().__init__(f"no {kind} `{id_}`{did_you_mean(suggestion)}")


class NotKeptError(CallerError):
    """The history of an object does not reach back to the requested instant or position."""


class ConflictError(CallerError):
    """A request contradicts the current state; `code` is a stable word, `detail` a sentence.

    `problems`: the places in the body, if there are some.
    """

    def __init__(self, code: str, detail: str, problems: Sequence[BodyProblem] = ()) -> None:
        self.code = code
        self.detail = detail
        self.problems = tuple(problems)
        super().__init__(detail)


class LossError(ConflictError):
    """A change reduces what customers have, and the caller did not accept this loss.

    `impact`: the customers and their losses, as members of JSON. `token` identifies exactly this loss
    (`impact.loss_token`).
    """

    def __init__(self, detail: str, impact: Mapping[str, object], token: str = "") -> None:
        self.impact = dict(impact)
        self.token = token
        super().__init__("customers-would-lose", detail)


class PreconditionError(CallerError):
    """The object changed after the caller read it: the entity tag is no longer current."""

    def __init__(self, kind: str, id_: str, etag: int) -> None:
        self.kind = kind
        self.id = id_
        self.etag = etag
        super().__init__(f"the {kind} `{id_}` has changed since it was read: its entity tag is now `{etag}`")


class OutdatedReviewError(CallerError):
    """The change to publish is not the one that the caller reviewed. `tag`: the entity tag of the change now."""

    def __init__(self, detail: str, tag: str) -> None:
        self.detail = detail
        self.tag = tag
        super().__init__(detail)


class SidecarUnreachableError(TiergateError):
    """The sidecar did not respond."""

    def __init__(self, url: str, detail: str) -> None:
        self.url = url
        self.detail = detail
        super().__init__(f"no answer from `{url}`: {detail}")


class SyncError(TiergateError):
    """A request to a control plane or an object store failed; `status` is the HTTP status, if there is one.

    `code`: the last part of the problem's type, such as `resync-needed`, if the response has one.
    """

    def __init__(self, url: str, detail: str, status: int | None = None, code: str = "") -> None:
        self.url = url
        self.detail = detail
        self.status = status
        self.code = code
        super().__init__(f"`{url}`: {detail}")
