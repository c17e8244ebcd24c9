"""Which connections beyond the limit are closed first."""

from __future__ import annotations

from tiergate.http.connection_protocol import ConnectionProtocol, ExcessConnections


class Connection(ConnectionProtocol):
    """A connection that can be given up."""

    def __init__(self) -> None:
        self.given_up = False

    def give_up(self) -> None:
        """Remember it."""
        self.given_up = True


def test_of_the_connections_beyond_the_limit_the_oldest_go_first() -> None:
    """Whoever came last, and so has had the least time to ask, stays."""
    surplus, connections = ExcessConnections(2), [Connection() for _ in range(4)]
    for connection in connections:
        surplus.add(connection)
    assert [it.given_up for it in connections] == [True, True, False, False]


def test_a_connection_that_was_answered_is_not_closed_for_others() -> None:
    """What is discarded counts no more."""
    surplus, connections = ExcessConnections(1), [Connection() for _ in range(2)]
    surplus.add(connections[0])
    surplus.discard(connections[0])
    surplus.add(connections[1])
    assert not any(it.given_up for it in connections)
