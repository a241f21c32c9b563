"""A task as it was read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from hive_state_core import codec, validate
from hive_state_core.codec import Json
from hive_state_core.model import LIVE, TaskImage, TaskState

T = TypeVar("T")


class Shown(Generic[T]):
    """A read-only attribute of a Task, made from its image when it is asked for."""

    def __init__(self, get: Callable[[TaskImage], T]) -> None:
        self._get = get

    def __get__(self, task: Task, owner: type[Task] | None = None) -> T:
        return self._get(task._image)


class Task:
    """A task as it was read; instants are aware datetimes.

    attempt      how often it was claimed, less the claims that were released
    worker       who holds the lease until `lease_until`; both None if nobody does
    error        text of the last failure
    done         whether it is completed, cancelled or dead; a dead or cancelled one may be redriven
    unmet        how many of `depends_on` are not completed yet
    finished_at  when it was completed, cancelled or given up; None while it is live
    """

    __slots__ = ("_image", "_payload", "_result")

    id: Shown[str] = Shown(lambda image: image.ref.id)
    queue: Shown[str] = Shown(lambda image: image.queue)
    state: Shown[TaskState] = Shown(lambda image: image.state)
    version: Shown[int] = Shown(lambda image: image.version)
    priority: Shown[int] = Shown(lambda image: image.priority)
    attempt: Shown[int] = Shown(lambda image: image.attempt)
    max_attempts: Shown[int] = Shown(lambda image: image.max_attempts)
    worker: Shown[str | None] = Shown(lambda image: image.worker)
    error: Shown[str | None] = Shown(lambda image: image.error)
    cancel_requested: Shown[bool] = Shown(lambda image: image.cancel_requested)
    dedupe_key: Shown[str | None] = Shown(lambda image: image.dedupe_key)
    requires: Shown[tuple[str, ...]] = Shown(lambda image: image.requires)
    depends_on: Shown[tuple[str, ...]] = Shown(lambda image: image.parents)
    unmet: Shown[int] = Shown(lambda image: image.unmet)
    due_at: Shown[datetime] = Shown(lambda image: validate.instant(image.due_at))
    created_at: Shown[datetime] = Shown(lambda image: validate.instant(image.created_at))
    finished_at: Shown[datetime | None] = Shown(lambda image: validate.optional_instant(image.finished_at))
    done: Shown[bool] = Shown(lambda image: image.state not in LIVE)
    lease_until: Shown[datetime | None] = Shown(lambda image: validate.optional_instant(image.lease_until))

    def __init__(self, image: TaskImage) -> None:
        self._image = image
        self._payload: tuple[Json] | None = None
        self._result: tuple[Json] | None = None

    @property
    def payload(self) -> Json:
        """The caller's own. Raises CorruptData if the stored bytes cannot be decoded."""
        if self._payload is None:
            image = self._image
            self._payload = (codec.decode(image.payload, image.raw, self._named),)
        return self._payload[0]

    @property
    def result(self) -> Json:
        """What it was completed with; None before, and if that was nothing. Otherwise as `payload`."""
        if self._result is None:
            image, data = self._image, self._image.result
            what = f"the result of task {image.ref.id!r}"
            self._result = (None if data is None else codec.decode(data, image.result_raw, what),)
        return self._result[0]

    def _named(self) -> str:
        return f"task {self.id!r}"

    def __repr__(self) -> str:
        return f"Task({self.id!r}, queue={self.queue!r}, state={self.state.value!r})"
