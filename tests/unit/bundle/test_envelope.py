from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiergate.bundle import SigningKey
from tiergate.bundle.envelope import MAX_SIGNATURES, pae, read_payload, sign, verify
from tiergate.errors import RejectionReason, TrustError

OLD, NEW = SigningKey.generate(), SigningKey.generate()
KIND = "application/x+json"


def test_what_is_signed_is_the_encoding_of_dsse() -> None:
    """The example of the protocol's own text."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.binary(max_size=200))
def test_a_payload_survives_being_signed_and_verified(payload: bytes) -> None:
    """Whatever bytes it has."""
    content = sign(KIND, payload, [OLD])
    assert verify(content, KIND, [OLD.verify_key]) == payload
    assert read_payload(content, KIND) == payload


def test_the_form_is_that_of_dsse() -> None:
    """So that any other library reads it."""
    document = json.loads(sign(KIND, b"{}", [OLD]))
    assert document == {
        "payload": "e30=",
        "payloadType": KIND,
        "signatures": [{"keyid": OLD.key_id, "sig": base64.b64encode(OLD.sign(pae(KIND, b"{}"))).decode()}],
    }


def test_one_good_signature_of_several_is_enough() -> None:
    """While keys are exchanged, a store signs with both, and a sidecar trusts one or both."""
    content = sign(KIND, b"{}", [OLD, NEW])
    for trusted in ([OLD], [NEW], [OLD, NEW]):
        assert verify(content, KIND, [key.verify_key for key in trusted]) == b"{}"


def test_a_bad_signature_beside_a_good_one_does_no_harm() -> None:
    """What cannot be verified counts for nothing, either way."""
    document = json.loads(sign(KIND, b"{}", [OLD, NEW]))
    document["signatures"][0]["sig"] = "AAAA"
    assert verify(json.dumps(document).encode(), KIND, [OLD.verify_key, NEW.verify_key]) == b"{}"


def test_a_signature_is_of_one_type_alone() -> None:
    """Under another type the same payload was not signed."""
    document = json.loads(sign(KIND, b"{}", [OLD])) | {"payloadType": "application/y+json"}
    with pytest.raises(TrustError) as refused:
        verify(json.dumps(document).encode(), "application/y+json", [OLD.verify_key])
    assert refused.value.kind is RejectionReason.BAD_SIGNATURE


@pytest.mark.parametrize("count", [0, MAX_SIGNATURES + 1])
def test_signing_refuses_what_no_reader_would_take(count: int) -> None:
    """No key, and too many."""
    with pytest.raises(ValueError, match="signatures"):
        sign(KIND, b"{}", [OLD] * count)
