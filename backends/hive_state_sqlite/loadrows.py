"""Images to rows of all columns of their tables, for the statements `load_record`, `load_task` and so on."""

from __future__ import annotations

from hive_state_core.index_text import dump_index
from hive_state_core.model import (
    CommitImage,
    EventImage,
    GroupImage,
    Image,
    PendingImage,
    QueueImage,
    RecordImage,
    StreamImage,
    TaskImage,
)
from hive_state_sqlite.rows import Row, task_head


def load_row(ns: int, image: Image) -> Row:
    """In the order of the table's columns. Raises TypeError for a Gone, which has no table."""
    match image:
        case RecordImage():
            return (
                ns,
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
        case TaskImage():
            return _task_row(ns, image)
        case QueueImage():
            return ns, image.ref.queue, image.version, image.paused
        case EventImage():
            return ns, image.stream, image.seq, image.version, image.body, image.raw, image.at
        case StreamImage():
            return ns, image.ref.stream, image.version, image.first, image.last, image.dropped
        case PendingImage():
            ref = image.ref
            delivery = (image.version, image.token, image.deliveries, image.consumer, image.until)
            return (ns, ref.stream, ref.group, ref.seq, *delivery, image.dead, image.error)
        case GroupImage():
            group = image.ref
            return ns, group.stream, group.group, image.version, image.position, image.max_deliveries
        case CommitImage():
            return ns, image.ref.id, image.version, image.fingerprint, image.results, image.at
    raise TypeError(f"not an image of a table: {type(image).__name__}")


def _task_row(ns: int, task: TaskImage) -> Row:
    return (
        *task_head(ns, task),
        task.attempt,
        task.max_attempts,
        task.token,
        task.lease_until,
        task.worker,
        task.cancel_requested,
        task.error,
        task.result,
        task.result_raw,
        task.created_at,
        task.updated_at,
        task.finished_at,
    )
