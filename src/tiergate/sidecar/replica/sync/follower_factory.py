"""Composing the follower of a store from settings."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tiergate.errors import SettingsError
from tiergate.sidecar.replica.sync.bundle_origins import BundleOrigins
from tiergate.sidecar.replica.sync.control_plane_client import ControlPlaneClient, check_url
from tiergate.sidecar.replica.sync.feed_follower import FeedFollower, FollowOptions, OnDemandOptions
from tiergate.sidecar.replica.sync.object_store import ObjectStoreOrigin
from tiergate.sidecar.replica.sync.sync_report import SyncReport
from tiergate.sidecar.replica.sync.trust_config import read_trust_config

if TYPE_CHECKING:
    from tiergate.engine import EngineOptions
    from tiergate.sidecar.replica.data_directory import DataDirectory
    from tiergate.sidecar.replica.sync.trust_config import TrustConfig
    from tiergate.sidecar.settings import Settings
    from tiergate.sidecar.state import State


def create_client(settings: Settings) -> ControlPlaneClient:
    """Create a client of the configured control plane. Raises as `create_follower`."""
    return _client(settings, _trusted(settings))


def create_follower(settings: Settings, directory: DataDirectory, state: State, engine: EngineOptions) -> FeedFollower:
    """Create the follower of the configured control plane, with its data in a data directory.

    Raises `SettingsError` if a setting or the key file is not usable, or there is no public key.
    """
    trusted = _trusted(settings)
    control = _client(settings, trusted)
    objects = None
    if settings.object_store is not None:
        objects = ObjectStoreOrigin(settings.object_store, insecure=settings.insecure)
    on_demand = OnDemandOptions(settings.on_demand_timeout, settings.on_demand_keep) if settings.on_demand else None
    options = FollowOptions(settings.max_staleness, engine, on_demand, data_limit=settings.data_limit)
    report = SyncReport(control.url, settings.object_store, max_staleness=settings.max_staleness)
    try:
        return FeedFollower(trusted, control, BundleOrigins(control, objects), directory, state, options, report)
    except OSError as error:
        raise SettingsError("data", f"folder `{directory.root}` cannot be used: {error.strerror}") from error


def _trusted(settings: Settings) -> TrustConfig:
    return read_trust_config(
        settings.control_plane, settings.store_id, settings.public_key, settings.key_file, settings.public_key_pem
    )


def _client(settings: Settings, trusted: TrustConfig) -> ControlPlaneClient:
    if trusted.control_plane is None:
        raise SettingsError("control-plane", "is required: the `key-file` does not name one")
    check_url(trusted.control_plane, insecure=settings.insecure)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every request
    return ControlPlaneClient(trusted.control_plane, settings.key_file, authorities=settings.control_plane_ca_pem)
