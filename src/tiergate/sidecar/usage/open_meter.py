"""Which meter a sidecar has, by its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.sidecar.usage.local_meter import LocalMeter
from tiergate.sidecar.usage.meter import MeterAbsence

if TYPE_CHECKING:
    from tiergate.sidecar.replica.data_directory import DataDirectory
    from tiergate.sidecar.settings import Settings
    from tiergate.sidecar.state import State


def open_meter(settings: Settings, directory: DataDirectory, state: State) -> LocalMeter | MeterAbsence:
    """Open the meter of a sidecar with one process, or return why nothing is counted.

    Usage is never counted in a temporary folder: it would be forgotten.

    Raises:
        JournalError: if the journal in the data folder cannot be read.
    """
    if settings.key_file is not None:
        return MeterAbsence.FOLLOWS_CONTROL_PLANE
    if settings.data is None:
        return MeterAbsence.NO_DATA_FOLDER
    if directory.root != directory.named:
        return MeterAbsence.READ_ONLY_FOLDER
    return LocalMeter.open(state, directory.named / "usage", budget=settings.usage_disk, most_keys=settings.usage_keys)
