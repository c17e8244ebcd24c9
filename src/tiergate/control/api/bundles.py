"""Bundles over HTTP, for people: of any revision that the store keeps, and the one that publishing would make.

So that whoever may see the rules can compare what was, is and would be in force, as `tiergate diff` does. What sidecars
follow is `sync`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.bundle import manifest_of, write_archive
from tiergate.compiler import compile_catalog
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.errors import AuthorError, PublishError
from tiergate.permissions import Action, Resource
from tiergate.publish.changeset import ALL_EDITS
from tiergate.publish.publish_plans import plan_pending_edits

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.control.feed_api.bundle_archives import BundleArchives
    from tiergate.publish.publication_plan import PublicationPlan
    from tiergate.publish.publisher import Publisher
    from tiergate.store import ReadUnit

_ZIP: Final = {"content-type": "application/zip"}


def endpoints(publisher: Publisher, packs: BundleArchives) -> list[Endpoint]:
    """What there is about bundles."""

    def bundle(request: AdminRequest) -> Answer:
        """Get the bundle of a revision as a zip."""
        revision = request.params["revision"]
        return Answer(200, packs.get(revision), {**_ZIP, "etag": f'"{revision}"'})

    def pending(request: AdminRequest) -> Answer:
        """Get the bundle that publishing everything would make, as a zip; its revision is the `ETag`."""

        def work(unit: ReadUnit) -> PublicationPlan:
            return planner(unit, publisher.published_state(unit))

        planner = plan_pending_edits(ALL_EDITS)
        plan = request.read(work)
        changeset = plan.changeset
        if changeset.problems:
            raise PublishError(sorted(changeset.problems))
        try:
            files = compile_catalog(changeset.catalog, changeset.rules, positions=plan.positions)
        except AuthorError as error:
            raise PublishError(error.problems) from None
        manifest = manifest_of(files)
        return Answer(200, write_archive(manifest, files), {**_ZIP, "etag": f'"{manifest.revision}"'})

    store = Resource.store()
    return [
        Endpoint("GET", "/v1/bundles/{revision}", Action.VIEW, bundle, store),
        Endpoint("GET", "/v1/pending/bundle", Action.VIEW, pending, store),
    ]
