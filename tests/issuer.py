"""An issuer of tokens for tests: its keys, its JWKS in a file or over HTTP, and tokens good and bad."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ISSUER = "https://id.example.com"
AUDIENCE = "tiergate"


class Issuer:
    """Signs tokens. `kid` names the key that it signs with."""

    def __init__(self, kid: str = "k1", name: str = ISSUER, kind: str = "RS256") -> None:
        self.kid = kid
        self.name = name
        self.kind = kind
        self.key: Any = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
            if kind == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )

    def jwk(self, **changes: object) -> dict[str, object]:
        """The public key, as a JWKS has it."""
        algorithm = RSAAlgorithm if self.kind == "RS256" else ECAlgorithm
        found = json.loads(algorithm.to_jwk(self.key.public_key()))
        return {**found, "kid": self.kid, "use": "sig", "alg": self.kind} | changes

    def pem(self) -> bytes:
        """The public key, as people publish it."""
        public: bytes = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return public

    def claims(self, **changes: object) -> dict[str, object]:
        """The claims of a good token; a change to `None` leaves one out."""
        now = int(time.time())
        found: dict[str, object] = {
            "iss": self.name,
            "aud": AUDIENCE,
            "sub": "ann",
            "iat": now,
            "exp": now + 300,
            "roles": ["tiergate-admins"],
            "name": "Ann",
        }
        return {name: value for name, value in (found | changes).items() if value is not None}

    def token(self, headers: dict[str, object] | None = None, **changes: object) -> str:
        """A good token, but for some claims and headers."""
        return jwt.encode(self.claims(**changes), self.key, self.kind, {"kid": self.kid} | (headers or {}))

    def forged(self, header: dict[str, object], secret: bytes = b"", **changes: object) -> str:
        """A token with any header, signed by HMAC-SHA256 with a secret, or not at all."""
        signed = f"{_part(header)}.{_part(self.claims(**changes))}"
        signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest() if secret else b""
        return f"{signed}.{_encoded(signature)}"


def _part(value: object) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def write_jwks(path: Path, *issuers: Issuer) -> str:
    """Write the keys of issuers to a file, and give its path."""
    path.write_text(json.dumps({"keys": [issuer.jwk() for issuer in issuers]}))
    return str(path)


class JwksServer:
    """Serves a JWKS over HTTP; `content` and `status` may be changed, `asked` counts, `token` is what was sent."""

    def __init__(self) -> None:
        self.content = b""
        self.status = 200
        self.asked = 0
        self.token: str | None = None
        self.url = ""

    def serve_keys(self, *issuers: Issuer) -> None:
        """Serve these keys from now on."""
        self.content = json.dumps({"keys": [issuer.jwk() for issuer in issuers]}).encode()

    @contextlib.contextmanager
    def running(self) -> Iterator[JwksServer]:
        """Serve, on loopback."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                outer.token = self.headers.get("authorization")
                accepted = "application/jwk-set+json" in self.headers.get("accept", "")
                self.send_response(outer.status if accepted else 406)  # as a Kubernetes API server does it
                if outer.status == 302:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", str(len(outer.content)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(outer.content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/jwks"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
