"""The change feed on the wire: its lines, the hash chain over them, and records that this version cannot read."""
