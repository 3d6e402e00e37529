"""How results show themselves: in a few lines of text, and in a notebook the same as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from textwrap import wrap

import pandas as pd

MOST_ROWS = 12  # of a table
WIDTH = 100  # of a sentence


@dataclass(frozen=True)
class Summary:
    """What there is to see: a title, a sentence, facts by name, tables by caption. All of it is text, never markup."""

    title: str
    sentence: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def as_text(self) -> str:
        lines = [self.title, *wrap(self.sentence, WIDTH, break_long_words=False)]
        lines += [f"  {name}: {fact}" for name, fact in self.facts.items()]
        for caption, table in self._shown():
            lines += [f"{caption}:", table.to_string(float_format=_in_digits, na_rep="")]
        return "\n".join(lines)

    def as_html(self) -> str:
        parts = [f"<strong>{escape(self.title)}</strong>"]
        parts += [f"<p>{escape(self.sentence)}</p>"] if self.sentence else []
        items = "".join(f"<li>{escape(name)}: {escape(fact)}</li>" for name, fact in self.facts.items())
        parts += [f"<ul>{items}</ul>"] if items else []
        for caption, table in self._shown():
            shown = table.to_html(float_format=_in_digits, na_rep="", border=0, escape=True)
            parts.append(f"<p>{escape(caption)}</p>{shown}")
        # Else a notebook takes what stands between two dollar signs for mathematics.
        return f'<div class="tex2jax_ignore mathjax_ignore">{"".join(parts)}</div>'

    def _shown(self) -> list[tuple[str, pd.DataFrame]]:
        shown = []
        for caption, table in self.tables.items():
            few = table.head(MOST_ROWS).copy()
            few.index.names = [None] * few.index.nlevels  # they would take a row of their own
            count = "" if len(few) == len(table) else f" (the first {len(few)} of {len(table)})"
            shown += [(caption + count, few)] if len(few) else []
        return shown


class Summarised:
    """A result that shows its summary in place of all that it holds."""

    def _summary(self) -> Summary:
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._summary().as_text()

    def _repr_html_(self) -> str:
        return self._summary().as_html()


def _in_digits(number: float) -> str:
    return f"{number:.4g}"
