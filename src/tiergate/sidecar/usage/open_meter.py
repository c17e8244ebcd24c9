"""Which meter a sidecar has, by its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.process.import_guard import block_imports
from tiergate.sidecar.usage.local_meter import LocalMeter
from tiergate.sidecar.usage.meter import MeterAbsence

if TYPE_CHECKING:
    from tiergate.sidecar.replica.data_directory import DataDirectory
    from tiergate.sidecar.settings import Settings
    from tiergate.sidecar.state import State
    from tiergate.sidecar.usage.lease_meter import LeaseMeter


def open_meter(settings: Settings, directory: DataDirectory, state: State) -> LocalMeter | LeaseMeter | MeterAbsence:
    """Open the meter of a sidecar with one process, or return why nothing is counted.

    One that follows a control plane leases from its ledger; one that reads files counts alone. Usage is never counted
    in a temporary folder: it would be forgotten.

    Raises:
        JournalError: if the journal in the data folder cannot be read.
        SettingsError: if the settings of the control plane cannot be used.
    """
    if settings.data is None:
        return MeterAbsence.NO_DATA_FOLDER
    if directory.root != directory.named:
        return MeterAbsence.READ_ONLY_FOLDER
    if settings.key_file is None:
        folder = directory.named / "usage"
        return LocalMeter.open(state, folder, budget=settings.usage_disk, most_keys=settings.usage_keys)
    # File mode needs neither leases nor the HTTP client, which takes long to import.
    from tiergate.sidecar.usage.lease_meter import LeaseMeter  # noqa: PLC0415
    from tiergate.sidecar.usage.ledger_link import LedgerLink, LinkOptions  # noqa: PLC0415

    with block_imports("pygments", "rich"):  # httpx has a command line, for colours
        from tiergate.sidecar.replica.sync.follower_factory import create_client  # noqa: PLC0415

    options = LinkOptions(settings.usage_disk, settings.usage_keys)
    link = LedgerLink.open(directory.named / "usage-leases", create_client(settings), state.clock, options)
    return LeaseMeter(state, link)
