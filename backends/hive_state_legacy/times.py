"""The original hive's times: ISO texts without a zone, in the local time of its machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class Clock:
    """Turns local times into aware ones, and counts those that a change of the clocks makes doubtful.

    `repeated`: the hour came twice, the first one is taken. `skipped`: it never came, the clock is taken not
    to have been set forward yet.
    """

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone
        self._now = datetime.now(UTC)
        self.repeated = 0
        self.skipped = 0
        self.future = 0

    @property
    def name(self) -> str:
        """For people."""
        if self._zone is not None:
            return str(self._zone)
        return f"this machine's ({datetime.now().astimezone().tzname()})"

    def read(self, text: str) -> datetime:
        """Aware, UTC, with the microseconds. Raises ValueError for what is no ISO time, or out of range."""
        local = datetime.fromisoformat(text.strip())
        if local.tzinfo is not None:
            first = second = _utc(local, None)
        else:
            first, second = (_utc(local.replace(fold=fold), self._zone) for fold in (0, 1))
        self.repeated += first < second
        self.skipped += first > second
        self.future += first > self._now
        return first

    def warnings(self) -> list[str]:
        """Whole sentences."""
        said = []
        if self.repeated:
            said.append(f"{self.repeated} times lie in an hour that came twice; the first is taken")
        if self.skipped:
            said.append(
                f"{self.skipped} times lie in an hour that the clocks skipped; as if not set forward yet"
            )
        if self.future:
            said.append(f"{self.future} times lie in the future; is the time zone right?")
        return said


def instant(moment: datetime) -> int:
    """Milliseconds since 1970, microseconds cut off."""
    return (moment - EPOCH) // MILLISECOND


def _utc(moment: datetime, zone: tzinfo | None) -> datetime:
    """`zone` None: that of the moment, or of the machine."""
    try:
        if (
            zone is None and moment.tzinfo is None
        ):  # astimezone() would take a skipped hour otherwise than zones do
            seconds = int(moment.replace(microsecond=0).timestamp())
            return EPOCH + timedelta(seconds=seconds, microseconds=moment.microsecond)
        return (moment if zone is None else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (OverflowError, OSError) as error:
        raise ValueError("out of range") from error
