"""Signed envelopes: DSSE v1 (https://github.com/secure-systems-lab/dsse), with Ed25519.

A signature covers the payload's type and its exact bytes, so that nothing is parsed before it is verified, and a
statement of one kind is never accepted as another kind. An envelope may have several signatures, and a reader several
trusted keys: one valid signature by one trusted key is enough, which allows the exchange of keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.errors import RejectionReason, TrustError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.bundle.signing_keys import SigningKey, VerifyKey

MAX_ENVELOPE_BYTES = 4 * 1024**2
"""Most bytes of an envelope. The largest ones have a subject's record."""

SIGNATURE_BYTES = 64
"""The size of an Ed25519 signature."""

MAX_SIGNATURES = 16
"""Most signatures of an envelope: each one takes time to verify."""


class _Signature(msgspec.Struct, frozen=True):
    keyid: str
    sig: bytes


class _Envelope(msgspec.Struct, frozen=True):
    payload: bytes
    payload_type: str = msgspec.field(name="payloadType")
    signatures: list[_Signature]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, keys: Iterable[SigningKey]) -> bytes:
    """Return an envelope, as JSON without a newline, with a signature by each of `keys`.

    Raises `ValueError` if there is no key, there are too many, or the payload is too large.
    """
    message = pae(payload_type, payload)
    signatures = [_Signature(key.key_id, key.sign(message)) for key in keys]
    if not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise ValueError(f"an envelope has 1 to {MAX_SIGNATURES} signatures, not {len(signatures)}")
    content = msgspec.json.encode(_Envelope(payload=payload, payload_type=payload_type, signatures=signatures))
    if len(content) > MAX_ENVELOPE_BYTES:
        raise ValueError(f"an envelope has at most {MAX_ENVELOPE_BYTES} bytes, not {len(content)}")
    return content


def verify(content: bytes, payload_type: str, keys: Iterable[VerifyKey]) -> bytes:
    """Return the payload of an envelope of this type that one of `keys` signed.

    Raises `TrustError` if it is not one: `malformed`, `too_large`, `unknown_key` or `bad_signature`.
    """
    envelope = _read(content, payload_type)
    trusted = {key.key_id: key for key in keys}
    message = pae(payload_type, envelope.payload)
    known = False
    for signature in envelope.signatures:
        key = trusted.get(signature.keyid)
        if key is None:
            continue
        known = True
        if len(signature.sig) == SIGNATURE_BYTES and key.verifies(message, signature.sig):
            return envelope.payload
    if known:
        raise TrustError(RejectionReason.BAD_SIGNATURE, "the signature does not match")
    named = ", ".join(f"`{signature.keyid[:16]}`" for signature in envelope.signatures[:3])
    raise TrustError(RejectionReason.UNKNOWN_KEY, f"no signature of a trusted key, but of {named or 'none'}")


def read_payload(content: bytes, payload_type: str) -> bytes:
    """Return the payload of an envelope whose bytes are verified by other means, without verifying a signature."""
    return _read(content, payload_type).payload


def _read(content: bytes, payload_type: str) -> _Envelope:
    if len(content) > MAX_ENVELOPE_BYTES:
        raise TrustError(RejectionReason.TOO_LARGE, f"an envelope has at most {MAX_ENVELOPE_BYTES} bytes")
    try:
        envelope = msgspec.json.decode(content, type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(RejectionReason.MALFORMED, f"not a signed envelope: {error}") from None
    if envelope.payload_type != payload_type:
        raise TrustError(
            RejectionReason.MALFORMED, f"it is of type `{envelope.payload_type[:80]}`, not `{payload_type}`"
        )
    if len(envelope.signatures) > MAX_SIGNATURES:
        raise TrustError(RejectionReason.TOO_LARGE, f"it has more than {MAX_SIGNATURES} signatures")
    return envelope
