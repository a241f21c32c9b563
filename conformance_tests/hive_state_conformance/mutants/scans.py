"""Mutants that get scans wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from hive_state_conformance.mutants.base import Mutant, mutant
from hive_state_core.model import Index, RecordImage
from hive_state_core.spi import Page, Scan


class PageMutant(Mutant):
    """Changes every page."""

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        return self.page(query, await super().scan(query, fresh))

    def page(self, query: Scan, page: Page) -> Page:
        raise NotImplementedError


@mutant("scan.page_edges")
class DropsTheLastOfAPage(PageMutant):
    def page(self, query: Scan, page: Page) -> Page:
        return replace(page, items=page.items[:-1]) if page.next is not None and len(page.items) > 1 else page


@mutant("scan.byte_order", "sessions.list")
class SortsLikeADictionary(PageMutant):
    def page(self, query: Scan, page: Page) -> Page:
        if not page.items or not isinstance(page.items[0], RecordImage):
            return page
        items = sorted(cast("Sequence[RecordImage]", page.items), key=lambda image: image.ref.key.casefold())
        return replace(page, items=items)


@mutant("scan.many_rows")
class CountsNoFurther(PageMutant):
    def page(self, query: Scan, page: Page) -> Page:
        return page if page.total is None else replace(page, total=min(page.total, 10_000))


class ScanMutant(Mutant):
    """Changes every scan."""

    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        return await super().scan(self.query(query), fresh)

    def query(self, query: Scan) -> Scan:
        raise NotImplementedError


@mutant("scan.reverse_is_the_mirror")
class CannotReverse(ScanMutant):
    def query(self, query: Scan) -> Scan:
        return replace(query, reverse=False)


@mutant("scan.filter.all_must_hold")
class FiltersByTheFirstCondition(ScanMutant):
    def query(self, query: Scan) -> Scan:
        return replace(query, where=query.where[:1])


@mutant("scan.bounds")
class StopIsIncluded(ScanMutant):
    def query(self, query: Scan) -> Scan:
        return replace(query, stop=query.stop and query.stop + "\x01")


@mutant("scan.filter.by_type_and_value")
class MatchesAcrossTypes(Mutant):
    async def scan(self, query: Scan, fresh: bool = False) -> Page:
        if not query.where or query.count:
            return await super().scan(query, fresh)
        page = await super().scan(replace(query, where=()), fresh)
        wanted = self._loose(query.where)
        records = cast("Sequence[RecordImage]", page.items)
        fit = [image for image in records if wanted <= self._loose(image.index)]
        return replace(page, items=fit)

    def _loose(self, index: Index) -> set[tuple[str, str]]:
        return {(field, str(value).lower()) for field, value in index}
