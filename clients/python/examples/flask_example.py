"""Flask: a decorator for views, and the whole list of entitlements for a page that shows or hides things."""

from __future__ import annotations

import os
from functools import wraps
from typing import TYPE_CHECKING, Any

from flask import Flask, g, jsonify, request
from tiergate_client import Sidecar, SidecarUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

sidecar = Sidecar(os.environ.get("TIERGATE_URL", "http://127.0.0.1:8437"), timeout=0.25)
app = Flask(__name__)


@app.before_request
def find_customer() -> Any:  # noqa: ANN401 - a response, if nobody is signed in
    """Who asks: in a real service, from the session or the token."""
    g.customer = request.headers.get("X-Customer", "")
    return None if g.customer else (jsonify(detail="sign in first"), 401)


@app.errorhandler(SidecarUnreachableError)
def not_decided(_: SidecarUnreachableError) -> Any:  # noqa: ANN401 - a response
    """Where nobody could decide, and nothing says what to do otherwise."""
    return jsonify(detail="try again in a moment"), 503


def requires(feature: str, *, otherwise: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator of a view that needs a feature."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def asking(*args: object, **options: object) -> Any:  # noqa: ANN401 - what the view returns
            if not sidecar.allows(g.customer, feature, otherwise=otherwise):
                return jsonify(detail=f"your plan does not include {feature}"), 402
            return view(*args, **options)

        return asking

    return decorate


@app.get("/analytics")
@requires("analytics", otherwise=False)
def analytics() -> Any:  # noqa: ANN401 - a response
    """What some plans include."""
    return jsonify(chart="up")


@app.get("/menu")
def menu() -> Any:  # noqa: ANN401 - a response
    """What the customer's menu shows."""
    return jsonify([answer.feature for answer in sidecar.entitlements(g.customer) if answer])
