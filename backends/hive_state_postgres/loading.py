"""`load`: an import into an open store, as arguments of `hive.load`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from hive_state_core.control import require_loadable
from hive_state_core.errors import Unsupported
from hive_state_core.features import Facility
from hive_state_core.images import key_of, sort_key
from hive_state_core.model import EventImage, Image, RecordImage, StreamImage, TaskImage
from hive_state_core.spi import ControlState, Notes
from hive_state_postgres.rows import dump_index, dump_names, lane_of

T = TypeVar("T", bound=RecordImage | TaskImage | EventImage | StreamImage)

_RECORD_COLUMNS, _TASK_COLUMNS, _EVENT_COLUMNS, _HEAD_COLUMNS = 10, 23, 6, 5


def load_arguments(images: Sequence[Image], notes: Notes) -> list[list[Any]]:
    """The arrays, for `hive.load`, whose transaction finds out whether the store is open.

    Raises Conflict for an image above term 0, Unsupported for what only Facility.REPLICATION can take.
    """
    require_loadable(ControlState.OPEN, max([image.version for image in images], default=0))
    known = (RecordImage, TaskImage, EventImage, StreamImage)
    if notes or not all(isinstance(image, known) and _plain(image) for image in images):
        raise Unsupported(
            "this backend takes records, tasks without parents and dedupe keys, events and streams only",
            feature=Facility.REPLICATION.value,
        )
    return [
        *_columns(map(_record, _newest(images, RecordImage)), _RECORD_COLUMNS),
        *_columns(map(_task, _newest(images, TaskImage)), _TASK_COLUMNS),
        *_columns(map(_event, _newest(images, EventImage)), _EVENT_COLUMNS),
        *_columns(map(_head, _newest(images, StreamImage)), _HEAD_COLUMNS),
    ]


def _plain(image: Image) -> bool:
    return not isinstance(image, TaskImage) or not (image.parents or image.dedupe_key)


def _newest(images: Sequence[Image], kind: type[T]) -> list[T]:
    """Those of a kind in the order of their keys; of several of one key the newest."""
    found = {key_of(image): image for image in sorted(images, key=_version) if isinstance(image, kind)}
    return [found[key] for key in sorted(found, key=sort_key)]


def _version(image: Image) -> int:
    return image.version


def _columns(rows: Iterable[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(count)]


def _record(image: RecordImage) -> tuple[Any, ...]:
    return (
        image.ref.collection,
        image.ref.key,
        image.version,
        image.created_version,
        image.value,
        image.raw,
        dump_index(image.index),
        image.created_at,
        image.updated_at,
        image.expires_at,
    )


def _task(image: TaskImage) -> tuple[Any, ...]:
    return (
        image.ref.id,
        image.version,
        image.queue,
        image.state.value,
        image.priority,
        image.order,
        image.due_at,
        image.payload,
        image.raw,
        lane_of(image.requires),
        dump_names(image.requires),
        image.attempt,
        image.max_attempts,
        image.token,
        image.lease_until,
        image.worker,
        image.cancel_requested,
        image.error,
        image.result,
        image.result_raw,
        image.created_at,
        image.updated_at,
        image.finished_at,
    )


def _event(image: EventImage) -> tuple[Any, ...]:
    return image.stream, image.seq, image.version, image.body, image.raw, image.at


def _head(image: StreamImage) -> tuple[Any, ...]:
    return image.ref.stream, image.version, image.first, image.last, image.dropped
