from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException

from tiergate.errors import BundleError, CheckError, RequestError, TiergateError, UnknownFeatureError
from tiergate.sidecar.api.problems import problem_document
from tiergate.wire.problem import ProblemDocument, problem, problem_headers

URN = "urn:tiergate:problem:"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            CheckError("/amount", "must be positive"),
            ProblemDocument(
                URN + "invalid-request", "invalid request", 400, "`/amount`: must be positive", field="/amount"
            ),
        ),
        (
            CheckError("/amuont", "is not a field here", "amount"),
            ProblemDocument(
                URN + "invalid-request",
                "invalid request",
                400,
                "`/amuont`: is not a field here, did you mean `amount`?",
                field="/amuont",
                suggestion="amount",
            ),
        ),
        (
            CheckError("", "must be an object, not a list"),
            ProblemDocument(
                URN + "invalid-request", "invalid request", 400, "the body must be an object, not a list", field=""
            ),
        ),
        (
            UnknownFeatureError("moves", "movies"),
            ProblemDocument(
                URN + "unknown-feature",
                "unknown feature",
                404,
                "no feature `moves` in the catalog, did you mean `movies`?",
                field="/feature",
                suggestion="movies",
            ),
        ),
        (
            RequestError(413, "content too large", "a body may have 5 bytes at most"),
            ProblemDocument(URN + "content-too-large", "content too large", 413, "a body may have 5 bytes at most"),
        ),
        (
            HTTPException(404),
            ProblemDocument(URN + "not-found", "not found", 404, "there is nothing at this path"),
        ),
        (
            HTTPException(405),
            ProblemDocument(
                URN + "method-not-allowed", "method not allowed", 405, "this path does not have this method"
            ),
        ),
        (
            BundleError("items/secret.cedar", "is torn"),
            ProblemDocument(URN + "cannot-decide", "cannot decide", 503, "cannot read the data to decide by"),
        ),
        (
            ZeroDivisionError("secret"),
            ProblemDocument(URN + "internal-error", "internal error", 500, "see the sidecar's log"),
        ),
    ],
)
def test_each_exception_is_one_problem(error: Exception, expected: ProblemDocument) -> None:
    """The table. What is nobody's mistake outside says nothing of the inside."""
    assert problem_document(error) == expected


def test_a_problem_of_a_batch_points_into_it() -> None:
    """From the top of its body."""
    assert problem_document(UnknownFeatureError("moves"), "/checks/7").field == "/checks/7/feature"


@pytest.mark.parametrize("kind", list(TiergateError.__subclasses__()))
def test_every_branch_of_our_errors_is_some_problem(kind: type[TiergateError]) -> None:
    """None of them can slip through as something else."""
    assert problem_document(kind.__new__(kind)).status in range(400, 600)


@pytest.mark.parametrize("status", [408, 413, 431])
def test_what_was_not_read_closes_the_connection(status: int) -> None:
    """The rest of it would be taken for a request."""
    assert problem_headers(problem("t", status, "d"))["connection"] == "close"


def test_who_may_try_again_is_told_when() -> None:
    """And who needs a token, that he does."""
    assert problem_headers(problem("t", 503, "d")) == {"retry-after": "1"}
    assert problem_headers(problem("t", 401, "d")) == {"www-authenticate": 'Bearer realm="tiergate"'}
