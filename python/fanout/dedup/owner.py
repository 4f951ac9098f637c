"""The word that one handler of a worker lives, given by a thread that no handler can hold up."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import TYPE_CHECKING

from .store import OWNER_LIFE_S, StoreError

if TYPE_CHECKING:
    from .store import DedupStore

__all__ = ["Owner"]

logger = logging.getLogger("fanout.dedup")

BEATS = 4
"""So many words a life: three may be lost."""

AGAIN_S = 0.5
LEAVE_S = 0.5


class Owner:
    """Renews its key through `store`, which serves nobody else. `id` stands in the token of each of its claims."""

    def __init__(self, store: DedupStore, life_s: float = OWNER_LIFE_S) -> None:
        self.id = uuid.uuid4().hex
        self.good_until = 0.0
        """When, by `time.monotonic()`, others may begin to take its claims. Counted from before the word was sent."""
        self._store = store
        self._life_s = life_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dedup-owner", daemon=True)

    def start(self) -> None:
        """Starts the thread; its first word goes out at once."""
        self._thread.start()

    def renew(self, store: DedupStore) -> None:
        """Gives the word now, through the caller's own store. Raises StoreError."""
        began = time.monotonic()
        store.renew(self.id, self._life_s)
        self.good_until = max(self.good_until, began + self._life_s)

    def is_good(self) -> bool:
        """Whether nobody may have taken its claims yet."""
        return time.monotonic() < self.good_until

    def stop(self, *, retire: bool) -> None:
        """Gives no word any more. `retire`: its claims are free at once, else when its key has ended."""
        self._stopping.set()
        self._thread.join(LEAVE_S)
        if self._thread.is_alive():
            return  # its store does not answer, and it ends with the process
        try:
            if retire:
                self._store.retire(self.id)
        except StoreError as error:
            logger.warning("an owner could not retire, its claims wait up to %g s: %s", self._life_s, error)
        finally:
            self._store.close()

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            try:
                self.renew(self._store)
                wait_s = self._life_s / BEATS
            except StoreError as error:
                logger.debug("an owner could not be renewed: %s", error)  # whoever claims says it aloud
                wait_s = AGAIN_S
