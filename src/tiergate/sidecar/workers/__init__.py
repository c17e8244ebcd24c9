"""Several processes that answer checks on one address (`workers`), for several processor cores.

The *leader* is the process that was started. It binds the sockets, follows the files or the control plane, writes the
data directory, serves the probes, and runs the *workers*. A worker answers the API on its own listening socket; the
system spreads connections over these. It opens the leader's bundle and replica read-only, and follows what the leader
tells it through a socket (`messages`). The leader starts another worker for one that ended, and stops with the last.

Rules:

- INVARIANT (told in order): a worker applies one `Update` after the other, each within one turn of its event loop, and
  reads of a followed replica only what is committed before the next publication. So each of its answers is that of one
  generation and one position, as in a sidecar with one process.
- Two workers may answer by neighbouring generations, for as long as one needs to open a bundle: some milliseconds.
- The data that a worker uses is not deleted, and the log of a followed replica is folded only while no worker reads.
- The sidecar is ready when the leader and every worker can decide.
"""
