from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tiergate.bundle import SigningKey, VerifyKey

if TYPE_CHECKING:
    from pathlib import Path


def test_a_signature_verifies_with_the_public_half() -> None:
    """And with no other key, nor for another message."""
    key, other = SigningKey.generate(), SigningKey.generate()
    signature = key.sign(b"hello")
    assert key.verify_key.verifies(b"hello", signature)
    assert not key.verify_key.verifies(b"hallo", signature)
    assert not other.verify_key.verifies(b"hello", signature)


def test_keys_survive_being_written_and_read() -> None:
    """Both halves, as PEM."""
    key = SigningKey.generate()
    assert SigningKey.from_pem(key.to_pem()).verify_key == key.verify_key
    assert VerifyKey.from_pem(key.verify_key.to_pem().encode()) == key.verify_key


def test_the_key_id_is_of_the_raw_public_key() -> None:
    """So that anybody can compute it."""
    key = SigningKey.generate()
    assert key.key_id == hashlib.sha256(key.verify_key.raw).hexdigest()[:16]


def test_openssl_reads_and_makes_the_keys(tmp_path: Path) -> None:
    """The forms are the usual ones."""
    made = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(made)], check=True)
    public = subprocess.run(["openssl", "pkey", "-in", str(made), "-pubout"], check=True, capture_output=True).stdout
    assert VerifyKey.from_pem(public) == SigningKey.from_pem(made.read_bytes()).verify_key


def test_a_private_key_does_not_show_itself() -> None:
    """A log that prints it has only its name."""
    key = SigningKey.generate()
    assert repr(key) == f"SigningKey({key.key_id})"


def test_keys_of_another_kind_are_refused() -> None:
    """A P-256 key is in the same form, but of no use."""
    curve = generate_private_key(SECP256R1())
    with pytest.raises(ValueError, match="not of Ed25519"):
        SigningKey.from_pem(curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match="not of Ed25519"):
        VerifyKey.from_pem(curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.mark.parametrize("text", ["", "hello", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_refused(text: str) -> None:
    """With words that hold nothing of it."""
    with pytest.raises(ValueError, match="is no public key in PEM"):
        VerifyKey.from_pem(text)
    with pytest.raises(ValueError, match="is no private key in PEM"):
        SigningKey.from_pem(text)
