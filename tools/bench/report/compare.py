# SPDX-License-Identifier: GPL-2.0
"""Figures in which the module is worse than stock."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Worse:
    """More of something than stock."""

    where: str
    what: str
    stock: float
    module: float
    # The largest difference of this figure between two guests of one layout; None: no such guests.
    chance: float | None = None

    @property
    def difference(self) -> float:
        """How much more."""
        return self.module - self.stock

    @property
    def ratio(self) -> float:
        """How much more, in parts of stock's."""
        return self.difference / max(self.stock, 1)

    @property
    def by_chance(self) -> bool:
        """Whether two guests of one layout differ by as much."""
        return self.chance is not None and self.difference <= self.chance

    @property
    def kind(self) -> str:
        """What it is, without its circumstances."""
        return self.what.split(",")[0]


def worse(where: str, what: str, stock: float, module: float, slack: float = 0) -> list[Worse]:
    """The figure, if the module has more of it by more than `slack`."""
    return [Worse(where, what, stock, module)] if module - stock > slack else []


def beyond_chance(found: Iterable[Worse]) -> list[Worse]:
    """Those that chance does not explain."""
    return [one for one in found if not one.by_chance]


def kinds(found: list[Worse]) -> list[str]:
    """Each kind with its largest difference."""
    largest: dict[str, float] = {}
    for one in found:
        largest[one.kind] = max(largest.get(one.kind, 0), one.difference)
    return [f"{kind} by at most {difference:,.0f}" for kind, difference in largest.items()]
