"""What counts outcomes in a sidecar, and what delivers them, by its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from tiergate.errors import JournalError
from tiergate.process.import_guard import block_imports
from tiergate.sidecar.outcomes.outcome_service import OutcomesAbsence
from tiergate.sidecar.outcomes.recorder import OutcomeRecorder, RecorderOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.model import Instant
    from tiergate.sidecar.outcomes.delivery import OutcomeDelivery
    from tiergate.sidecar.replica.data_directory import DataDirectory
    from tiergate.sidecar.settings import Settings

_log = structlog.get_logger(__name__)


def open_recorder(
    settings: Settings, directory: DataDirectory, clock: Callable[[], Instant]
) -> OutcomeRecorder | OutcomesAbsence:
    """Open what counts outcomes in a sidecar with one process, or return why nothing is counted.

    Outcomes that cannot be read are logged, and nothing is counted until somebody has looked after them: checks go on.
    """
    if settings.data is None:
        return OutcomesAbsence.NO_DATA_FOLDER
    if directory.root != directory.named:
        return OutcomesAbsence.READ_ONLY_FOLDER
    keep_ms = int(settings.outcomes_keep * 1000)
    options = RecorderOptions(settings.outcomes_disk, settings.outcomes_ids, keep_ms)
    try:
        return OutcomeRecorder.open(directory.named / "outcomes", clock, options)
    except JournalError as error:
        _log.error(
            "the outcomes in the data folder cannot be read; no outcomes are counted: restore the folder, or remove it",
            error=str(error),
        )
        return OutcomesAbsence.UNREADABLE


def open_delivery(
    settings: Settings, recorder: OutcomeRecorder | OutcomesAbsence, clock: Callable[[], Instant]
) -> OutcomeDelivery | None:
    """Return what delivers outcomes to the control plane; `None` if there is none, or nothing is counted.

    Raises:
        SettingsError: if the settings of the control plane cannot be used.
    """
    if settings.key_file is None or isinstance(recorder, OutcomesAbsence):
        return None
    # File mode does not need the HTTP client, which takes long to import.
    from tiergate.sidecar.outcomes.delivery import OutcomeDelivery  # noqa: PLC0415

    with block_imports("pygments", "rich"):  # httpx has a command line, for colours
        from tiergate.sidecar.replica.sync.follower_factory import create_client  # noqa: PLC0415

    return OutcomeDelivery(recorder, create_client(settings), clock)
