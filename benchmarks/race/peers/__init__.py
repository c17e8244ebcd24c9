"""The systems in the race: one module each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.race.peers.cedar_agent import CedarAgent
from benchmarks.race.peers.cerbos import Cerbos
from benchmarks.race.peers.flagd import Flagd, FlagdStatic
from benchmarks.race.peers.opa import Opa
from benchmarks.race.peers.openfga import OpenFga
from benchmarks.race.peers.tiergate import Tiergate
from benchmarks.race.peers.unleash_edge import UnleashEdge, UnleashEdgePlain

if TYPE_CHECKING:
    from benchmarks.race.peer import Peer

PEERS: tuple[type[Peer], ...] = (
    Tiergate,
    Opa,
    Cerbos,
    Flagd,
    FlagdStatic,
    UnleashEdge,
    UnleashEdgePlain,
    OpenFga,
    CedarAgent,
)
