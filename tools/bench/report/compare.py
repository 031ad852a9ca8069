# SPDX-License-Identifier: GPL-2.0
"""Figures of stock and module, and those in which the module is worse."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Worse:
    """More of something than stock."""

    where: str
    what: str
    stock: float
    module: float
    # The same figure of the guests' twins; None: there is no twin.
    stock_twin: float | None = None
    module_twin: float | None = None

    @property
    def difference(self) -> float:
        """How much more."""
        return self.module - self.stock

    @property
    def ratio(self) -> float:
        """How much more, in parts of stock's, or of 1 if that is more."""
        return self.difference / max(self.stock, 1)

    @property
    def by_chance(self) -> bool:
        """Whether guests of one layout differ by as much, and one with the module has no more than
        one without.
        """
        if not self.has_twins:
            return False
        stock, module = (self.stock, self.stock_twin), (self.module, self.module_twin)
        as_much = any(abs(one - twin) >= self.difference for one, twin in (stock, module))
        return as_much and min(module) <= max(stock)

    @property
    def has_twins(self) -> bool:
        """Whether both sides have a twin with this figure."""
        return self.stock_twin is not None and self.module_twin is not None

    @property
    def kind(self) -> str:
        """What it is, without its circumstances."""
        return self.what.split(",")[0]


@dataclass(frozen=True)
class Figure:
    """What stock and module have of something of which more is worse."""

    where: str
    what: str
    stock: float
    module: float
    # A difference of no more than this says nothing.
    slack: float = 0


def worse(where: str, what: str, stock: float, module: float, slack: float = 0) -> list[Worse]:
    """The figure, if the module has more of it by more than `slack`."""
    return [Worse(where, what, stock, module)] if module - stock > slack else []


def all_worse(figures: Iterable[Figure]) -> list[Worse]:
    """Those of the figures of which the module has more."""
    return [
        found
        for one in figures
        for found in worse(one.where, one.what, one.stock, one.module, one.slack)
    ]


def beyond_chance(found: Iterable[Worse]) -> list[Worse]:
    """Those that chance does not explain."""
    return [one for one in found if not one.by_chance]


def kinds(found: list[Worse]) -> list[str]:
    """Each kind with its largest difference."""
    largest: dict[str, float] = {}
    for one in found:
        largest[one.kind] = max(largest.get(one.kind, 0), one.difference)
    return [f"{kind} by at most {difference:,.0f}" for kind, difference in largest.items()]
