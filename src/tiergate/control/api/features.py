"""The endpoints of features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin import discards, features
from tiergate.control.api.bodies import MERGE_PATCH
from tiergate.control.api.parameters import enum_parameter
from tiergate.control.api.request import Response
from tiergate.control.api.responses import (
    change_response,
    expected_version,
    page_response,
    view_response,
    written_response,
)
from tiergate.control.api.router import Endpoint
from tiergate.model import FeatureStatus, FeatureType
from tiergate.permissions import Action, Resource
from tiergate.store.features import FeatureFilter

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest

_ALL: Final = "/v1/features"
_PATH: Final = f"{_ALL}/{{id}}"


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    edit = Action.EDIT_FEATURE
    searched = ("tag", "text", "type", "status")
    return [
        Endpoint("GET", _ALL, Action.VIEW, list_features, Resource.catalog(), query=searched, paged=True),
        Endpoint("POST", _ALL, Action.CREATE_FEATURE, create_feature, Resource.feature()),
        Endpoint("GET", _PATH, Action.VIEW, get_feature, the_feature),
        Endpoint("PATCH", _PATH, edit, patch_feature, the_feature, media_types=MERGE_PATCH),
        Endpoint("DELETE", _PATH, edit, delete_feature, the_feature),
        Endpoint("DELETE", f"{_PATH}/draft", edit, discard_feature, the_feature),
        Endpoint("POST", f"{_PATH}/activate", edit, activate_feature, the_feature),
        Endpoint("POST", f"{_PATH}/archive", edit, archive_feature, the_feature),
        Endpoint("POST", f"{_PATH}/reactivate", edit, reactivate_feature, the_feature),
    ]


def the_feature(request: AdminRequest) -> Resource:
    """Return the feature of the path."""
    return Resource.feature(request.params["id"])


def list_features(request: AdminRequest) -> Response:
    """List features, by id."""
    wanted = FeatureFilter(
        request.query.get("tag"),
        request.query.get("text"),
        enum_parameter(request, "type", FeatureType),
        enum_parameter(request, "status", FeatureStatus),
    )
    return page_response(request.read(lambda unit: features.list_features(unit, wanted, request.cursor, request.limit)))


def get_feature(request: AdminRequest) -> Response:
    """Show a feature."""
    return view_response(request, request.read(lambda unit: features.get_feature(unit, request.params["id"])))


def create_feature(request: AdminRequest) -> Response:
    """Create a feature."""
    return request.change(lambda unit: written_response(features.create_feature(unit, request.body), _ALL))


def patch_feature(request: AdminRequest) -> Response:
    """Edit a feature by a JSON merge patch."""
    return change_response(
        request, features.patch_feature, request.params["id"], request.body, expected_version(request)
    )


def delete_feature(request: AdminRequest) -> Response:
    """Delete a feature that is not active and not in use."""
    return change_response(request, features.delete_feature, request.params["id"], expected_version(request))


def discard_feature(request: AdminRequest) -> Response:
    """Discard the unpublished edits of a feature; restore it if it was deleted."""
    id_, expected = request.params["id"], expected_version(request)
    return request.change(lambda unit: Response.empty(etag=discards.discard_feature(unit, id_, expected)))


def activate_feature(request: AdminRequest) -> Response:
    """Activate a draft feature; takes effect when it is published."""
    return change_response(request, features.activate_feature, request.params["id"], expected_version(request))


def archive_feature(request: AdminRequest) -> Response:
    """Archive an active feature: it gets no new entitlements and keeps those it has."""
    return change_response(request, features.archive_feature, request.params["id"], expected_version(request))


def reactivate_feature(request: AdminRequest) -> Response:
    """Make an archived feature active again."""
    return change_response(request, features.reactivate_feature, request.params["id"], expected_version(request))
