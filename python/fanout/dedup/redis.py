"""Claims in Redis, or a server that speaks its language: for workers on many hosts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import hiredis

from .scripts import ASK, COMPLETE, FOREIGN, FORGET, KEYS, RELEASE
from .store import Answer, Claim, Completion, Entry, StoreError, owner_of
from .wire import Line, packed

__all__ = ["OWNERS", "RedisStore"]

logger = logging.getLogger("fanout.dedup")

OWNERS = b"fanout:w:"
"""Owner keys stand behind this."""

SCANNED = 1_000
MAX_NAMED = 100

_ANSWERS: dict[Any, Answer | bytes] = {**{int(answer): answer for answer in Answer}, FOREIGN: b"?"}
"""What is none of ours counts as held by nobody who lives, and is never taken over."""

_COMPLETIONS = {int(completion): completion for completion in Completion}


class RedisStore:
    """A `DedupStore` on one server, or on the master that Sentinels name."""

    def __init__(self, line: Line, window_s: float) -> None:
        self._line = line
        window = b"%d" % max(1, round(window_s * 1000))
        # Written once: what a call costs here is most of what a claim costs.
        self._ask = ASK.template(KEYS, window)
        self._complete = COMPLETE.template(KEYS, window)
        self._release = RELEASE.template(KEYS)
        self._forget = FORGET.template(KEYS)
        self._named: set[bytes] = set()

    def renew(self, owner: str, life_s: float) -> None:
        self._line.call("SET", OWNERS + owner.encode(), "1", "PX", round(life_s * 1000))

    def alive(self, owners: Sequence[bytes]) -> set[bytes]:
        found = self._run([packed((b"EXISTS", OWNERS + owner)) for owner in owners])
        return {owner for owner, lives in zip(owners, found, strict=True) if lives}

    def retire(self, owner: str) -> None:
        self._line.call("DEL", OWNERS + owner.encode())

    def ask(self, claims: Sequence[Claim], gone: Sequence[bytes]) -> list[Answer | bytes]:
        call, plus = self._ask, len(KEYS)
        answers = self._run(
            [
                call % (plus + len(key), key, len(token), token, len(content), content, len(dead), dead)
                for (key, token, content), dead in zip(claims, gone, strict=True)
            ]
        )
        if FOREIGN in answers:
            self._name_foreign([one.key for one, answer in zip(claims, answers, strict=True) if answer == FOREIGN])
        return [_ANSWERS.get(answer, answer) for answer in answers]

    def complete(self, claims: Sequence[Claim]) -> list[Completion]:
        call, plus = self._complete, len(KEYS)
        answers = self._run(
            [call % (plus + len(key), key, len(token), token, len(content), content) for key, token, content in claims]
        )
        return [_COMPLETIONS[answer] for answer in answers]

    def release(self, claims: Sequence[Claim]) -> None:
        call, plus = self._release, len(KEYS)
        self._run([call % (plus + len(key), key, len(token), token) for key, token, _ in claims])

    def look(self, keys: Sequence[bytes]) -> list[Entry | None]:
        values = self._run([packed((b"GET", KEYS + key)) for key in keys])
        lives = self._run([packed((b"PTTL", KEYS + key)) for key in keys])
        return [self._entry(*found) for found in zip(keys, values, lives, strict=True)]

    def forget(self, seen: Sequence[Entry]) -> list[bool]:
        call, plus = self._forget, len(KEYS)
        values = [b"D" + one.hash if one.token is None else b"L%b %b" % (one.token, one.hash) for one in seen]
        answers = self._run(
            [call % (plus + len(one.key), one.key, len(value), value) for one, value in zip(seen, values, strict=True)]
        )
        return [bool(answer) for answer in answers]

    def keys(self, prefix: bytes) -> Iterator[bytes]:
        yield from (key.removeprefix(KEYS) for key in self._scan(KEYS + prefix))

    def owners(self) -> list[str]:
        return sorted(key.removeprefix(OWNERS).decode() for key in self._scan(OWNERS))

    def close(self) -> None:
        self._line.close()

    def call(self, *command: str) -> Any:
        """Any other command, for whoever looks at the server itself."""
        return self._line.call(*command)

    def _run(self, commands: list[bytes]) -> list[Any]:
        answers = self._line.exchange(commands)
        error = next((answer for answer in answers if isinstance(answer, hiredis.ReplyError)), None)
        if error is not None and str(error).startswith("NOSCRIPT"):
            # All once more: the commands that did run are answered as they were before.
            for script in (ASK, COMPLETE, RELEASE, FORGET):
                self._line.call("SCRIPT", "LOAD", script.text)
            answers = self._line.exchange(commands)
            error = next((answer for answer in answers if isinstance(answer, hiredis.ReplyError)), None)
        if error is not None:
            # Another server may hold the address by the next call: read-only and loading ones are soon replaced.
            self._line.close()
            raise StoreError(f"Redis: {error}") from error
        return answers

    def _scan(self, prefix: bytes) -> Iterator[bytes]:
        pattern = b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\^-" else bytes([byte]) for byte in prefix) + b"*"
        cursor, seen = b"0", set[bytes]()
        while True:
            cursor, found = self._line.call("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED)
            yield from (key for key in found if key not in seen)
            seen.update(found)
            if cursor == b"0":
                return

    def _entry(self, key: bytes, value: Any, life_ms: int) -> Entry | None:
        state, told = (value or b"")[:1], (value or b"")[1:]
        token: bytes | None = None
        if state == b"L" and b" " in told:
            token, _, told = told.partition(b" ")
        elif state != b"D":
            return None
        return Entry(
            key=key,
            token=token,
            hash=told,
            is_owner_alive=token is not None and bool(self.alive([owner_of(token)])),
            expires_s=life_ms / 1000,
        )

    def _name_foreign(self, keys: list[bytes]) -> None:
        for key in keys:
            if key not in self._named and len(self._named) < MAX_NAMED:
                self._named.add(key)
                logger.error(
                    "%r in Redis holds what is none of ours; its record waits until that is deleted", KEYS + key
                )
