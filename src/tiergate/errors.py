"""Every exception that Tiergate raises on purpose.

The branches say who must act::

    TiergateError
    ├── AuthorError              the author of a catalog, subjects, policy or rules file
    │   ├── CatalogError
    │   ├── SubjectsError
    │   ├── RulesError
    │   ├── ImportSourceError
    │   ├── CompileError
    │   ├── PublishError
    │   └── SuiteError
    ├── OperatorError            whoever runs the process
    │   ├── SettingsError
    │   ├── BundleError
    │   │   └── UnreadableBundleError   an UnreadableError too
    │   ├── ReplicaError
    │   │   ├── QuarantinedError
    │   │   └── UnreadableReplicaError  an UnreadableError too
    │   ├── UnreadableError
    │   ├── ListenError
    │   ├── StoreError
    │   │   └── ReadOnlyStoreError
    │   ├── ClusterError
    │   └── TrustError
    ├── CallerError              whoever asked
    │   ├── BodyError
    │   ├── CheckError
    │   ├── UnknownFeatureError
    │   ├── RequestError
    │   ├── NotFoundError
    │   ├── ConflictError
    │   │   └── LossError
    │   ├── OutdatedReviewError
    │   └── PreconditionError
    ├── SidecarUnreachableError  the network
    └── SyncError                the network, or the control plane behind it

Errors carry fields, so that a command line, an HTTP answer and a log line can each say the same thing
in their own way. A denial is a decision, never one of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
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
    "ListenError",
    "LossError",
    "NotFoundError",
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
]


class TiergateError(Exception):
    """The root of every error below."""


class AuthorError(TiergateError):
    """A file has problems; `problems` names all of them, sorted by position."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[AuthorError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class CatalogError(AuthorError):
    """A catalog file does not say a catalog."""


class SubjectsError(AuthorError):
    """A subjects file does not say subjects of this catalog."""


class RulesError(AuthorError):
    """A rules folder holds something that is not a valid rule."""


class ImportSourceError(AuthorError):
    """A foreign pricing file cannot be imported."""


class CompileError(AuthorError):
    """A catalog that loads cannot be compiled."""


class PublishError(AuthorError):
    """What would be published contradicts itself, what is published, or what subjects hold."""


class SuiteError(AuthorError):
    """A file of entitlement tests does not say tests, or says them of what is not there."""


class OperatorError(TiergateError):
    """The installation, not the input, is at fault."""


class SettingsError(OperatorError):
    """A setting is missing, unknown or out of range."""

    def __init__(self, setting: str, detail: str) -> None:
        self.setting = setting
        self.detail = detail
        super().__init__(f"setting `{setting}`: {detail}")

    def __reduce__(self) -> tuple[type[SettingsError], tuple[str, str]]:
        return type(self), (self.setting, self.detail)


class BundleError(OperatorError):
    """A bundle is torn, tampered with or of an unknown format."""

    def __init__(self, path: str, detail: str) -> None:
        self.path = path
        self.detail = detail
        super().__init__(f"bundle file `{path}`: {detail}")

    def __reduce__(self) -> tuple[type[BundleError], tuple[str, str]]:
        return type(self), (self.path, self.detail)


class ReplicaError(OperatorError):
    """The replica of the subjects cannot be read."""


class QuarantinedError(ReplicaError):
    """The record of a subject has problems, and there is no earlier one without."""


class UnreadableError(OperatorError):
    """What is decided by cannot be read now, and the machine is at fault: its content may be whole.

    `reason` says why in a few words. `passing`: it is for want of something that comes back by itself, such as
    descriptors or memory, so that nothing on disk need be doubted.
    """

    reason: str
    passing: bool


class UnreadableBundleError(BundleError, UnreadableError):
    """A file of a bundle cannot be read now."""

    def __init__(self, path: str, reason: str, *, passing: bool) -> None:
        self.reason = reason
        self.passing = passing
        super().__init__(path, f"cannot be read: {reason}")

    def __reduce__(self) -> tuple[Callable[..., UnreadableBundleError], tuple[str, str]]:  # type: ignore[override]
        return partial(type(self), passing=self.passing), (self.path, self.reason)


class UnreadableReplicaError(ReplicaError, UnreadableError):
    """The replica cannot be read now."""

    def __init__(self, path: str, reason: str, *, passing: bool) -> None:
        self.path = path
        self.reason = reason
        self.passing = passing
        super().__init__(f"replica `{path}` cannot be read: {reason}")

    def __reduce__(self) -> tuple[Callable[..., UnreadableReplicaError], tuple[str, str]]:
        return partial(type(self), passing=self.passing), (self.path, self.reason)


class ListenError(OperatorError):
    """A socket cannot be bound as asked."""


class StoreError(OperatorError):
    """The store's database cannot be used: unreachable, of another schema, or damaged."""


class ReadOnlyStoreError(StoreError):
    """The store's database can be read, and does not take changes now."""


class ClusterError(OperatorError):
    """A cluster's API server did not give or take what it was asked for; `status` is HTTP's, where there was one."""

    def __init__(self, url: str, detail: str, status: int | None = None) -> None:
        self.url = url
        self.detail = detail
        self.status = status
        super().__init__(f"`{url}`: {detail}")

    def __reduce__(self) -> tuple[type[ClusterError], tuple[str, str, int | None]]:
        return type(self), (self.url, self.detail, self.status)


class RejectionReason(StrEnum):
    """Why something that should have been signed is not accepted: a closed set, counted and shown by these words."""

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
    """Something that came from a store is not what that store signed, or is older than what is known of it."""

    def __init__(self, kind: RejectionReason, detail: str) -> None:
        self.kind = kind
        self.detail = detail
        super().__init__(f"refused ({kind}): {detail}")

    def __reduce__(self) -> tuple[type[TrustError], tuple[RejectionReason, str]]:
        return type(self), (self.kind, self.detail)


class CallerError(TiergateError):
    """A question is malformed."""


@dataclass(frozen=True, slots=True)
class BodyProblem:
    """One thing that is wrong in a JSON body.

    `pointer` is the JSON Pointer (RFC 6901) of the value or key at fault, empty for the body as a whole; `code` a short
    stable word as of a file's problem; `suggestion` what was probably meant, where the detail proposes something.
    """

    pointer: str
    code: str
    detail: str
    suggestion: str | None = None


class BodyError(CallerError):
    """A JSON body does not say what it must; `problems` names all that is wrong, in the order of the text."""

    def __init__(self, problems: Sequence[BodyProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"`{one.pointer}`: {one.detail}" for one in self.problems))

    def __reduce__(self) -> tuple[type[BodyError], tuple[tuple[BodyProblem, ...]]]:
        return type(self), (self.problems,)


class CheckError(CallerError):
    """One field of a check is wrong."""

    def __init__(self, field: str, detail: str) -> None:
        self.field = field
        self.detail = detail
        super().__init__(f"field `{field}`: {detail}")

    def __reduce__(self) -> tuple[type[CheckError], tuple[str, str]]:
        return type(self), (self.field, self.detail)


class UnknownFeatureError(CallerError):
    """A check names a feature that the catalog does not have."""

    def __init__(self, feature: str, suggestion: str | None = None) -> None:
        self.feature = feature
        self.suggestion = suggestion
        hint = f", did you mean `{suggestion}`?" if suggestion else ""
        super().__init__(f"no feature `{feature}` in the catalog{hint}")

    def __reduce__(self) -> tuple[type[UnknownFeatureError], tuple[str, str | None]]:
        return type(self), (self.feature, self.suggestion)


class RequestError(CallerError):
    """A request as a whole is wrong: its body, media type, origin, size or credentials."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        super().__init__(f"{title}: {detail}")


class ForbiddenError(CallerError):
    """The caller has no permission for an action on a kind of resource.

    `scoped`: its roles allow it, but its key is narrowed to other actions or customers. `because` replaces the
    explanation.
    """

    def __init__(self, action: str, resource: str, *, scoped: bool, because: str = "") -> None:
        self.action = action
        self.resource = resource
        self.scoped = scoped
        why = because or ("this key is narrowed to other things" if scoped else "no role of yours allows it")
        super().__init__(f"you may not `{action}` here ({resource}): {why}")


class ParameterError(CallerError):
    """A parameter of a request has an invalid value; `name` is the parameter's."""

    def __init__(self, name: str, detail: str) -> None:
        self.name = name
        self.detail = detail
        super().__init__(f"`{name}` {detail}")


class NotFoundError(CallerError):
    """The store has no such thing; `kind` such as `feature`, `subscription`."""

    def __init__(self, kind: str, id_: str, suggestion: str | None = None) -> None:
        self.kind = kind
        self.id = id_
        self.suggestion = suggestion
        hint = f", did you mean `{suggestion}`?" if suggestion else ""
        super().__init__(f"no {kind} `{id_}`{hint}")

    def __reduce__(self) -> tuple[type[NotFoundError], tuple[str, str, str | None]]:
        return type(self), (self.kind, self.id, self.suggestion)


class ConflictError(CallerError):
    """What was asked contradicts what stands; `code` is a stable word, `detail` a sentence.

    `problems`: where in the body, if several things in it or one place of it do.
    """

    def __init__(self, code: str, detail: str, problems: Sequence[BodyProblem] = ()) -> None:
        self.code = code
        self.detail = detail
        self.problems = tuple(problems)
        super().__init__(detail)

    def __reduce__(self) -> tuple[type[ConflictError], tuple[str, str, tuple[BodyProblem, ...]]]:
        return type(self), (self.code, self.detail, self.problems)


class LossError(ConflictError):
    """A change takes something from customers, and nobody accepted this loss.

    `impact` says from whom and what, as members of JSON; `token` names exactly this loss (`impact.loss_token`).
    """

    def __init__(self, detail: str, impact: Mapping[str, object], token: str = "") -> None:
        self.impact = dict(impact)
        self.token = token
        super().__init__("customers-would-lose", detail)

    def __reduce__(self) -> tuple[type[LossError], tuple[str, dict[str, object], str]]:  # type: ignore[override]
        return type(self), (self.detail, self.impact, self.token)


class PreconditionError(CallerError):
    """Somebody else has changed it since it was read: the entity tag is not the present one."""

    def __init__(self, kind: str, id_: str, etag: int) -> None:
        self.kind = kind
        self.id = id_
        self.etag = etag
        super().__init__(f"the {kind} `{id_}` has changed since it was read: its entity tag is now `{etag}`")

    def __reduce__(self) -> tuple[type[PreconditionError], tuple[str, str, int]]:
        return type(self), (self.kind, self.id, self.etag)


class OutdatedReviewError(CallerError):
    """What would be published is not what the caller has reviewed. `tag`: the entity tag of what would be."""

    def __init__(self, detail: str, tag: str) -> None:
        self.detail = detail
        self.tag = tag
        super().__init__(detail)

    def __reduce__(self) -> tuple[type[OutdatedReviewError], tuple[str, str]]:
        return type(self), (self.detail, self.tag)


class SidecarUnreachableError(TiergateError):
    """The sidecar did not answer."""

    def __init__(self, url: str, detail: str) -> None:
        self.url = url
        self.detail = detail
        super().__init__(f"no answer from `{url}`: {detail}")


class SyncError(TiergateError):
    """A control plane or an object store did not give what it was asked for; `status` is HTTP's, where there was one.

    `code` is the last part of the problem's type, such as `resync-needed`, where it said one.
    """

    def __init__(self, url: str, detail: str, status: int | None = None, code: str = "") -> None:
        self.url = url
        self.detail = detail
        self.status = status
        self.code = code
        super().__init__(f"`{url}`: {detail}")

    def __reduce__(self) -> tuple[type[SyncError], tuple[str, str, int | None, str]]:
        return type(self), (self.url, self.detail, self.status, self.code)
