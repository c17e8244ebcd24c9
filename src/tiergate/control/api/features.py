"""The endpoints of features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin import features
from tiergate.control.api.request_values import MERGE_PATCH, enum_list_parameter, flag_parameter, text_parameter
from tiergate.control.api.responses import changing, page_response, reading, written_response
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_requests import tags_parameter
from tiergate.model import FeatureStatus, FeatureType
from tiergate.permissions import Action, Resource
from tiergate.store.features import FeatureFilter

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest, Response

_ALL: Final = "/v1/features"
_PATH: Final = f"{_ALL}/{{id}}"


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    edit = Action.EDIT_FEATURE
    searched = ("tag", "text", "type", "status", "suspended")
    return [
        Endpoint("GET", _ALL, Action.VIEW, list_features, Resource.catalog(), query=searched, paged=True),
        Endpoint("POST", _ALL, Action.CREATE_FEATURE, create_feature, Resource.feature()),
        Endpoint("GET", _PATH, Action.VIEW, reading(features.get_feature), the_feature),
        Endpoint("PATCH", _PATH, edit, changing(features.patch_feature), the_feature, media_types=MERGE_PATCH),
        Endpoint("DELETE", _PATH, edit, changing(features.delete_feature), the_feature),
        Endpoint("DELETE", f"{_PATH}/draft", edit, changing(features.discard_feature), the_feature),
        Endpoint("POST", f"{_PATH}/activate", edit, changing(features.activate_feature), the_feature),
        Endpoint("POST", f"{_PATH}/archive", edit, changing(features.archive_feature), the_feature),
        Endpoint("POST", f"{_PATH}/reactivate", edit, changing(features.reactivate_feature), the_feature),
    ]


def the_feature(request: AdminRequest) -> Resource:
    """Return the feature of the path."""
    return Resource.feature(request.params["id"])


def list_features(request: AdminRequest) -> Response:
    """List features, by id."""
    wanted = FeatureFilter(
        tags_parameter(request),
        text_parameter(request),
        enum_list_parameter(request, "type", FeatureType),
        enum_list_parameter(request, "status", FeatureStatus),
        flag_parameter(request, "suspended"),
    )
    return page_response(request.read(lambda unit: features.list_features(unit, wanted, request.cursor, request.limit)))


def create_feature(request: AdminRequest) -> Response:
    """Create a feature."""
    return request.change(lambda unit: written_response(features.create_feature(unit, request.body), _ALL))
