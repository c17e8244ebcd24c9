"""FastAPI and Starlette: a dependency that asks before an endpoint runs.

401 tells that nobody is signed in, 402 tells the customer to upgrade, 503 that nobody could decide. `otherwise` is said
for each feature.
"""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from tiergate_client import AsyncSidecar, SidecarUnreachableError

sidecar = AsyncSidecar(os.environ.get("TIERGATE_URL", "http://127.0.0.1:8437"), timeout=0.25)
app = FastAPI()


def customer_of(x_customer: Annotated[str, Header()] = "") -> str:
    """Who asks: in a real service, from the session or the token."""
    if not x_customer:
        raise HTTPException(401, "sign in first")
    return x_customer


def requires(feature: str, *, otherwise: bool) -> object:
    """A dependency on a feature."""

    async def ask(customer: Annotated[str, Depends(customer_of)]) -> None:
        if not await sidecar.allows(customer, feature, otherwise=otherwise):
            raise HTTPException(402, f"your plan does not include {feature}")

    return Depends(ask)


@app.get("/analytics", dependencies=[requires("analytics", otherwise=False)])
async def analytics() -> dict[str, str]:
    """What some plans include."""
    return {"chart": "up"}


@app.post("/messages")
async def send(customer: Annotated[str, Depends(customer_of)]) -> dict[str, object]:
    """What is counted: the message is sent only if it was."""
    try:
        consumption = await sidecar.consume(customer, "messages")
    except SidecarUnreachableError:
        raise HTTPException(503, "try again in a moment") from None
    if not consumption:
        raise HTTPException(402, "no messages are left")
    return {"left": consumption.answer.entitlement.remaining}
