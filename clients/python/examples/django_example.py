"""Django: a middleware that asks for views that a decorator marks, before they run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from tiergate_client import Sidecar

if TYPE_CHECKING:
    from collections.abc import Callable

    View = Callable[..., HttpResponse]

sidecar = Sidecar(os.environ.get("TIERGATE_URL", "http://127.0.0.1:8437"), timeout=0.25)


def requires(feature: str, *, otherwise: bool) -> Callable[[View], View]:
    """Mark a view that needs a feature."""

    def mark(view: View) -> View:
        view.requires = (feature, otherwise)  # type: ignore[attr-defined] # the middleware reads it
        return view

    return mark


class EntitlementMiddleware:
    """Asks before a marked view runs. A customer is who is signed in: here, a header."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Go on."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: View, *_: Any) -> HttpResponse | None:  # noqa: ANN401
        """Answer in place of the view if nobody is signed in, or the plan does not include what the view needs."""
        feature, otherwise = getattr(view, "requires", ("", True))
        customer = request.headers.get("X-Customer", "")
        if feature and not customer:
            return JsonResponse({"detail": "sign in first"}, status=401)
        if feature and not sidecar.allows(customer, feature, otherwise=otherwise):
            return JsonResponse({"detail": f"your plan does not include {feature}"}, status=402)
        return None


@requires("analytics", otherwise=False)
def analytics(request: HttpRequest) -> HttpResponse:
    """What some plans include."""
    return JsonResponse({"chart": "up", "method": request.method})


urlpatterns = [path("analytics", analytics)]

if not settings.configured:
    settings.configure(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[f"{__name__}.EntitlementMiddleware"],
        ALLOWED_HOSTS=["*"],
        SECRET_KEY=os.environ.get("SECRET_KEY", "only for this example"),
    )
