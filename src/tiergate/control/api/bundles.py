"""The endpoints of bundles for people: of a published revision, and the one that publishing would make.

Callers who may see the rules can compare them, as `tiergate diff` does. Sidecars use `feed_api` instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin.publications import compile_pending
from tiergate.bundle import manifest_of, write_archive
from tiergate.control.api.request import Response
from tiergate.control.api.router import Endpoint
from tiergate.permissions import Action, Resource

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.control.feed_api.bundle_archives import BundleArchives
    from tiergate.publish.publisher import Publisher

_ZIP: Final = {"content-type": "application/zip"}


def endpoints(publisher: Publisher, archives: BundleArchives) -> list[Endpoint]:
    """Return the routes."""

    def bundle(request: AdminRequest) -> Response:
        """Get the bundle of a revision as a zip."""
        revision = request.params["revision"]
        return Response(200, archives.get(revision), {**_ZIP, "etag": f'"{revision}"'})

    def pending(request: AdminRequest) -> Response:  # noqa: ARG001
        """Get the bundle that publishing everything would make, as a zip; its revision is the `ETag`."""
        files = compile_pending(publisher)
        manifest = manifest_of(files)
        return Response(200, write_archive(manifest, files), {**_ZIP, "etag": f'"{manifest.revision}"'})

    store = Resource.store()
    return [
        Endpoint("GET", "/v1/bundles/{revision}", Action.VIEW, bundle, store),
        Endpoint("GET", "/v1/pending/bundle", Action.VIEW, pending, store),
    ]
