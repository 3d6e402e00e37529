"""What the calendar says of a moment, as ONNX operators: the same as `CalendarColumns`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from stackkit._persistence.onnx_graph import Graph, floats

DAY = 86_400


def add_dates(graph: Graph, columns: list[str], calendar: Any) -> str:
    """Columns of seconds, each (n, 1), as a fitted `CalendarColumns` has them."""
    found = []
    for place, seconds in enumerate(columns):
        days = graph.scaled(seconds, 1 / DAY)
        centre, scale = calendar.centres_[place], calendar.scales_[place]
        found.append(graph.add("Div", graph.add("Sub", days, floats(centre)), floats(scale)))
        wanted: Sequence[str] = calendar.parts_[place]
        if wanted:
            moment = _Moment(graph, seconds)
            numbers = moment.numbers()
            found += [moment.wave(name, numbers) if calendar.waves else numbers[name] for name in wanted]
    return graph.side_by_side(found)


class _Moment:
    """Arithmetic of whole numbers that are floats: NaN stays NaN."""

    def __init__(self, graph: Graph, seconds: str) -> None:
        self._graph, self._seconds = graph, seconds

    def numbers(self) -> dict[str, str]:
        """The parts of a date; days to dates by H. Hinnant, "chrono-compatible low-level date algorithms" (2013)."""
        day = self._floor(self._seconds, DAY)
        second = self._less(self._seconds, day, DAY)
        shifted = self._plus(day, 719_468)  # since the 1st of March of the year 0
        era = self._floor(shifted, 146_097)
        of_era = self._less(shifted, era, 146_097)
        leap = self._sum(
            [of_era, self._floor(of_era, 36_524)], [self._floor(of_era, 1_460), self._floor(of_era, 146_096)]
        )
        year_of_era = self._floor(leap, 365)
        before = self._sum(
            [self._times(year_of_era, 365), self._floor(year_of_era, 4)], [self._floor(year_of_era, 100)]
        )
        of_year = self._sum([of_era], [before])
        month = self._floor(self._plus(self._times(of_year, 5), 2), 153)  # 0 is March
        days_before = self._floor(self._plus(self._times(month, 153), 2), 5)
        of_month = self._plus(self._sum([of_year], [days_before]), 1)
        turn = self._floor(month, 10)  # 1 in January and February
        civil = self._plus(self._sum([month], [self._times(turn, 12)]), 3)
        week = self._plus(day, 3)  # the 1st of January 1970 was a Thursday
        return {
            "year": self._sum([year_of_era, self._times(era, 400), turn], []),
            "month": civil,
            "day": of_month,
            "weekday": self._less(week, self._floor(week, 7), 7),
            "place_in_year": self._sum([self._times(civil, 31), of_month], []),
            "hour": self._graph.scaled(self._floor(second, 60), 1 / 60),
        }

    def wave(self, name: str, numbers: dict[str, str]) -> str:
        """Zero where there is no date."""
        graph, (what, _, which) = self._graph, name.partition("_")
        if what == "weekday":
            same = graph.add("Equal", numbers["weekday"], floats(int(which)))
            return graph.cast(same, np.float64)
        turn = self._plus(numbers["place_in_year"], -32) if what == "year" else numbers["hour"]
        angle = graph.scaled(turn, 2 * math.pi / (12 * 31 if what == "year" else 24))
        # ONNX Runtime has the sine alone in float64.
        wave = graph.add("Sin", angle if which == "sin" else self._plus(angle, math.pi / 2))
        return graph.add("Where", graph.add("IsNaN", wave), floats(0), wave)

    def _floor(self, x: str, unit: int) -> str:
        return self._graph.add("Floor", self._graph.add("Div", x, floats(unit)))

    def _times(self, x: str, factor: int) -> str:
        return self._graph.scaled(x, factor)

    def _plus(self, x: str, number: float) -> str:
        return self._graph.add("Add", x, floats(number))

    def _less(self, x: str, wholes: str, unit: int) -> str:
        """What is left of x beside so many units."""
        return self._graph.add("Sub", x, self._times(wholes, unit))

    def _sum(self, plus: list[str], minus: list[str]) -> str:
        total = plus[0]
        for x in plus[1:]:
            total = self._graph.add("Add", total, x)
        for x in minus:
            total = self._graph.add("Sub", total, x)
        return total
