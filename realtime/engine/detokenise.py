"""Tokens to text as they come, in constant time per token, never half a character.

A byte-level tokenizer spells each token as bytes, so the text of a sequence is the text of its
joined bytes; no window is decoded again. A piece is given out when its bytes end on a whole
character; pieces joined are exactly what the tokenizer decodes of all tokens at once.
"""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CODECS = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True, slots=True)
class Fragment:
    """Tokens, and exactly the text that they add."""

    tokens: tuple[int, ...]
    text: str


class Spelling:
    """The bytes of each token; special tokens have none."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        described = json.loads(tokenizer.to_str())
        kind = (described["decoder"] or {}).get("type")
        if kind != "ByteLevel":
            raise ModelError(f"the tokenizer must decode bytes (ByteLevel), found {kind}")
        self.tokenizer = tokenizer
        self.special = {t["id"] for t in described["added_tokens"] if t["special"]}
        self.bytes = _bytes_of_letters()

    def __getitem__(self, token: int) -> bytes:
        """Give the bytes of a token; ids beyond the vocabulary have none, as in the tokenizer."""
        if token in self.special:
            return b""
        word = self.tokenizer.id_to_token(token) or ""
        try:
            return bytes([self.bytes[letter] for letter in word])
        except KeyError:
            # An added token in plain letters.
            return word.encode()


class Detokeniser:
    """The text of one answer as it grows; `prefix` tokens are taken as given out already."""

    def __init__(self, spelling: Spelling, prefix: tuple[int, ...] = ()) -> None:
        self.spelling = spelling
        self.decoder = CODECS("replace")
        self.tokens: list[int] = []
        """Tokens held back, because they end inside a character."""
        self.text = ""
        """The whole characters among them."""
        for token in prefix:
            self.decoder.decode(spelling[token])

    def push(self, token: int) -> Fragment | None:
        """Take a token; give what has become whole by it."""
        self.tokens.append(token)
        self.text += self.decoder.decode(self.spelling[token])
        unfinished, _ = self.decoder.getstate()
        return None if unfinished else self._give_out()

    def finish(self) -> Fragment:
        """Give what is held back; a character that stays unfinished becomes U+FFFD."""
        self.text += self.decoder.decode(b"", final=True)
        return self._give_out()

    def _give_out(self) -> Fragment:
        fragment = Fragment(tuple(self.tokens), self.text)
        self.tokens, self.text = [], ""
        return fragment


def _bytes_of_letters() -> dict[str, int]:
    """Map the letters of byte-level vocabularies to bytes, as GPT-2's encoder defines them.

    Printable bytes stand for themselves; the others, in order, for U+0100 onwards.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
