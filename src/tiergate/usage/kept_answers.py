"""Answers that are kept with idempotency keys, compactly: many together, compressed.

Answers that follow each other have nearly the same text, so a block of them takes about a tenth of their bytes. An
answer is read rarely: only if somebody repeats a request. A block lives as long as an answer of it is referred to.
Others may read a block in another thread.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple

import msgspec

BLOCK_ANSWERS: Final = 64
"""How many answers a block has."""

_LEVEL: Final = 1

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[bytes]).decode


class _Block:
    """Answers, which are compressed once there are enough."""

    __slots__ = ("answers", "packed")

    def __init__(self) -> None:
        self.answers: list[bytes] | None = []
        self.packed = b""

    def read(self) -> list[bytes]:
        """Return the answers."""
        answers = self.answers
        return _decode(zlib.decompress(self.packed)) if answers is None else answers


class KeptAnswer(NamedTuple):
    """One answer in its block."""

    block: _Block
    place: int

    def read(self) -> bytes:
        """Return the answer; 0.1 ms, if it is compressed."""
        return self.block.read()[self.place]


class AnswerPacker:
    """Puts answers into blocks, in their order."""

    __slots__ = ("_block",)

    def __init__(self) -> None:
        self._block = _Block()

    def keep(self, answer: bytes) -> KeptAnswer:
        """Keep an answer. The last one of a block compresses it, in 0.3 ms."""
        block = self._block
        answers = block.answers
        if answers is None:
            raise RuntimeError("the block is complete")
        answers.append(answer)
        kept = KeptAnswer(block, len(answers) - 1)
        if len(answers) == BLOCK_ANSWERS:
            block.packed = zlib.compress(_encode(answers), _LEVEL)
            block.answers = None  # after the other, for readers in another thread
            self._block = _Block()
        return kept
