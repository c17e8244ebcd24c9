"""Holds what an API answers to its OpenAPI document: statuses, JSON bodies, and the bodies that it accepted."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from tiergate.control.api.openapi import description
from tiergate.control.api.route_schemas import SHAPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from tiergate.control.api.router import Endpoint


_MADE: dict[tuple[str, ...], tuple[dict[str, Any], dict[str, Draft202012Validator]]] = {}
"""The documents of the routes that tests serve, with the validators of their parts: most serve the same routes."""


class Contract:
    """The document of some routes, and what it says of answers; routes that a test made up are left alone."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        key = tuple(f"{one.method} {one.path} {one.handler}".partition(" at 0x")[0] for one in endpoints)
        if key not in _MADE:
            _MADE[key] = description(endpoints), {}
        self.document, self._validators = _MADE[key]
        self._held = {
            (one.method.lower(), one.path)
            for one in endpoints
            if f"{one.method} {one.path}" in SHAPES
            and getattr(one.handler, "func", one.handler).__module__.startswith("tiergate.")
        }
        # What is written out comes before what takes any name.
        paths = sorted(self.document["paths"], key=lambda path: [("{" in part, part) for part in path.split("/")])
        self._paths = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in paths]

    def check(self, response: httpx.Response) -> None:
        """Fail if an answer is not as the document says. An answer that comes as a stream is left alone."""
        request = response.request
        operation = self._operation(request.method, request.url.path)
        if operation is None:
            return  # no such route, or one that the document says nothing of
        status = str(response.status_code)
        said = operation["responses"].get(status) or operation["responses"]["default"]
        said = self._component(said["$ref"]) if "$ref" in said else said
        media = response.headers.get("content-type", "").partition(";")[0]
        where = f"{request.method} {request.url.path}: {status}"
        assert response.is_error or status in operation["responses"], f"{where} is not in the document"
        content = said.get("content", {})
        if response.status_code not in {204, 304} and request.method != "HEAD":
            assert media in content, f"{where}: the document says {sorted(content)}, not {media}"
        if media in {"application/json", "application/problem+json"}:
            response.read()
            if response.content:
                self._validate(content[media].get("schema", {}), response.content, where)
        taken = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if response.is_success and taken and request.content:
            self._validate(taken["schema"], request.content, f"{where}, its body")

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        method = "get" if method == "HEAD" else method.lower()
        for pattern, template in self._paths:
            if (method, template) in self._held and pattern.fullmatch(path):
                operation: dict[str, Any] = self.document["paths"][template][method]
                return operation
        return None

    def _component(self, reference: str) -> dict[str, Any]:
        place: Any = self.document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        found: dict[str, Any] = place
        return found

    def _validate(self, schema: dict[str, Any], content: bytes, where: str) -> None:
        key = json.dumps(schema)
        if key not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[key] = Draft202012Validator(whole)
        errors = [
            f"{error.json_path}: {error.message}" for error in self._validators[key].iter_errors(json.loads(content))
        ]
        assert not errors, f"{where} is not as the document says: {errors[:5]}\n{content[:1000]!r}"
