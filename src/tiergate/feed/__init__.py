"""The change feed on the wire: its lines, and the hash chain over them. The one implementation, used by all."""
