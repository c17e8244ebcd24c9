"""A service that asks once, forks, and asks from all of its processes at once: run with a sidecar's address."""

from __future__ import annotations

import multiprocessing
import os
import sys

from tiergate.client import Sidecar

WANTED = {
    "acme": {"analytics": True, "movies": True, "support": True},
    "bob": {"analytics": False, "movies": True, "support": True},
    "nobody": {"analytics": False, "movies": False, "support": False},
}
ROUNDS = 100


sidecar = Sidecar(sys.argv[1], timeout=10)


def wrong(customer: str) -> int:
    """How many answers about a customer are not its own."""
    count = 0
    for _ in range(ROUNDS):
        for feature, wanted in WANTED[customer].items():
            answer = sidecar.check(customer, feature)
            count += (answer.feature, answer.allowed) != (feature, wanted)
    return count


def main() -> None:
    """Fork in both of the ways that servers do, and end with how many answers were wrong."""
    sidecar.check("acme", "analytics")
    children = []
    for customer in WANTED:
        child = os.fork()
        if not child:
            os._exit(min(wrong(customer), 100))
        children.append(child)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = sum(pool.map(wrong, WANTED))
    found += wrong("acme")
    found += sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    sys.exit(min(found, 100))


if __name__ == "__main__":
    main()
