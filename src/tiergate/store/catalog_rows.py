"""Rows of the working catalog, published versions, publications and bundles. See `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, Text
from sqlmodel import Field, SQLModel


class FeatureRow(SQLModel, table=True):
    """An edited feature; `document` is the model's `Feature`."""

    __tablename__ = "feature"

    id: str = Field(primary_key=True)
    etag: int = Field(default=1, sa_type=BigInteger)
    type: str = Field(index=True)
    status: str = Field(index=True)
    name: str
    document: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class FeatureTagRow(SQLModel, table=True):
    """A tag of a feature."""

    __tablename__ = "feature_tag"

    tag: str = Field(primary_key=True)
    feature: str = Field(primary_key=True, index=True)


class ItemRow(SQLModel, table=True):
    """An edited item; `document` is the model's `Item` without versions and rollouts.

    `rollouts` is the JSON list of the active ones; `draft` the JSON of the next version's entitlements, if any.
    `private_to`: the only customer who may have it. `newest`: the highest version ever published, 0 for none.
    """

    __tablename__ = "item"

    id: str = Field(primary_key=True)
    etag: int = Field(default=1, sa_type=BigInteger)
    kind: str = Field(index=True)
    name: str
    document: str = Field(sa_type=Text)
    rollouts: str = Field(default="[]", sa_type=Text)
    draft: str | None = Field(default=None, sa_type=Text)
    newest: int = Field(default=0, sa_type=BigInteger)
    private_to: str | None = Field(default=None, index=True)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
    status: str = "active"


class ItemTagRow(SQLModel, table=True):
    """A tag of an item."""

    __tablename__ = "item_tag"

    tag: str = Field(primary_key=True)
    item: str = Field(primary_key=True, index=True)


class VersionRow(SQLModel, table=True):
    """A published version of an item, immutable: `entitlements` is JSON, feature id → value."""

    __tablename__ = "item_version"

    item: str = Field(primary_key=True)
    version: int = Field(primary_key=True, sa_type=BigInteger)
    entitlements: str = Field(sa_type=Text)
    publication: int = Field(sa_type=BigInteger)
    published_at: int = Field(sa_type=BigInteger)


class PublishedFeatureRow(SQLModel, table=True):
    """A feature that was ever published, with its type, which never changes."""

    __tablename__ = "published_feature"

    id: str = Field(primary_key=True)
    type: str


class PolicyFileRow(SQLModel, table=True):
    """An edited file of users' rules (`kind` as in the model's `Rules`), or the `roles`."""

    __tablename__ = "policy_file"

    kind: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    etag: int = Field(default=1, sa_type=BigInteger)
    text: str = Field(sa_type=Text)
    updated_at: int = Field(sa_type=BigInteger)


class PublicationRow(SQLModel, table=True):
    """A publication: `envelope` is the signed statement; `catalog`, `rules` and `roles` are hashes of blobs."""

    __tablename__ = "publication"

    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    revision: str = Field(index=True)
    position: int = Field(sa_type=BigInteger)
    issued_at: int = Field(sa_type=BigInteger, index=True)
    envelope: bytes = Field(sa_type=LargeBinary)
    catalog: str
    rules: str
    roles: str
    rolled_back_to: int | None = Field(default=None, sa_type=BigInteger)
    author: str
    note: str = Field(default="", sa_type=Text)


class BundleRow(SQLModel, table=True):
    """The manifest of a bundle, whose files are blobs."""

    __tablename__ = "bundle"

    revision: str = Field(primary_key=True)
    manifest: bytes = Field(sa_type=LargeBinary)
    created_at: int = Field(sa_type=BigInteger)
