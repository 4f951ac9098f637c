"""What a worker's claims are put together from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fanout._fanout import Cluster
from fanout.dedup.keys import Keyed, identify, key_prefix
from fanout.dedup.opening import open_store
from fanout.dedup.owner import Owner

from .claims import ClaimsParts
from .decode import decoder

if TYPE_CHECKING:
    from fanout.app import Handler
    from fanout.config.dedup import DedupSettings
    from fanout.config.work import WorkSettings

__all__ = ["claims_parts", "with_namespace"]


def with_namespace(settings: WorkSettings, app_name: str) -> WorkSettings:
    """The settings with the namespace of repeats: the one that was named, else the app's name.

    Not the group: workers of a run read in a group of their own, and what they have done is done outside of it, too.
    """
    if settings.dedup is None or settings.dedup.namespace is not None:
        return settings
    return replace(settings, dedup=replace(settings.dedup, namespace=app_name))


def claims_parts(settings: WorkSettings, handler: Handler, dedup: DedupSettings) -> ClaimsParts:
    """Opens the store twice: claims must not wait behind the owner's word, nor the word behind claims."""
    source = settings.run.source if settings.run else None
    cluster = Cluster(dict(settings.clients.of("core", "work")))
    keyed = Keyed(
        key=handler.dedup_key,
        prefix=key_prefix(dedup.namespace or "", handler.topic),
        topic_id=cluster.topic_id(source or handler.topic),
        source=source,
        decode=decoder(handler.decode),
    )
    store, words = open_store(dedup.url, dedup.window_s), open_store(dedup.url, dedup.window_s)
    return ClaimsParts(store=store, owner=Owner(words), identify=identify(keyed), on_store_down=dedup.on_store_down)
