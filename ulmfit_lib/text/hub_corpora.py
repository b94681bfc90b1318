"""Data sets from the Hugging Face hub, through ``datasets``.

Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import datasets

from ulmfit_lib.text.catalogue import LINES, SCORES, DataSet, Hub
from ulmfit_lib.text.corpus import Labels, Split

_REMEDY = (
    "the hub's copy differs from what the catalogue describes; delete its cached copy and try "
    "again, or put the data set into ULMFIT_LIB_DATA"
)


class HubFormatError(ValueError):
    """What came from the hub is not what the catalogue describes."""


def fetch(hub: Hub) -> Mapping[str, datasets.Dataset]:
    """The hub's splits by the hub's names, from its cache or over the network.

    Introduced in the chapter *Text and language models*.

    Raises:
        OSError: the hub cannot be reached and its cache does not have them.
    """
    return datasets.load_dataset(hub.repository, hub.config, revision=hub.revision)


def convert(data_set: DataSet, hub: Hub, found: Mapping[str, datasets.Dataset]) -> dict[str, Split]:
    """The hub's splits as those of a corpus.

    Labels that the hub hides (-1 throughout, as in GLUE's test parts) become
    no labels. Introduced in the chapter *Text and language models*.

    Args:
        data_set: what the texts are.
        hub: how the hub lays them out.
        found: as :func:`fetch` returns them.

    Raises:
        HubFormatError: a split, column, label or row is missing or unknown.
    """
    splits = {}
    for ours, theirs in hub.splits.items():
        if theirs not in found:
            raise HubFormatError(
                f"{hub.repository} has no split {theirs!r} but {sorted(found)}: {_REMEDY}"
            )
        splits[ours] = _convert_split(data_set, hub, ours, found[theirs])
        expected = hub.rows.get(ours, len(splits[ours]))
        if len(splits[ours]) != expected:
            raise HubFormatError(
                f"{hub.repository}, split {theirs!r}, has {len(splits[ours]):,} rows instead of "
                f"{expected:,}: {_REMEDY}"
            )
    return splits


def _convert_split(data_set: DataSet, hub: Hub, name: str, rows: datasets.Dataset) -> Split:
    columns = [_column(rows, column, hub) for column in hub.text]
    texts = tuple(map(" ".join, zip(*columns, strict=True)))
    if data_set.task == LINES:
        return Split(tuple(text.strip() for text in texts))
    labels = None if name == "unsup" or not _is_labelled(data_set) else _labels(data_set, hub, rows)
    texts_b = tuple(_column(rows, hub.text_b, hub)) if hub.text_b else None
    return Split(texts, labels, texts_b)


def _is_labelled(data_set: DataSet) -> bool:
    return bool(data_set.label_names) or data_set.task == SCORES


def _column(rows: datasets.Dataset, name: str, hub: Hub) -> Sequence[Any]:
    if name not in rows.column_names:
        raise HubFormatError(
            f"{hub.repository} has no column {name!r} but {rows.column_names}: {_REMEDY}"
        )
    values: Sequence[Any] = rows[name][:]
    if None in values:
        raise HubFormatError(
            f"{hub.repository}, column {name!r}, row {values.index(None)} is empty: {_REMEDY}"
        )
    return values


def _labels(data_set: DataSet, hub: Hub, rows: datasets.Dataset) -> Labels | None:
    values = _column(rows, hub.label, hub)
    if set(values) == {-1}:
        return None
    if data_set.task == SCORES:
        return tuple(map(float, values))
    index_of = _label_reader(data_set, hub, rows)
    return tuple(index_of(value) for value in values)


def _label_reader(
    data_set: DataSet, hub: Hub, rows: datasets.Dataset
) -> Callable[[int | str | bool], int]:
    """From the hub's label, an index or a name, to our index."""
    ours = [name.lower() for name in (hub.label_names or data_set.label_names)]
    feature = rows.features[hub.label]
    theirs = feature.names if isinstance(feature, datasets.ClassLabel) else ours

    def index_of(value: int | str | bool) -> int:
        """Our index of the hub's label."""
        name = str(value).lower()
        if isinstance(value, int) and not isinstance(value, bool):
            name = theirs[value].lower() if 0 <= value < len(theirs) else name
        if name not in ours:
            raise HubFormatError(
                f"{hub.repository} has a label {value!r}, not in {ours}: {_REMEDY}"
            )
        return ours.index(name)

    return index_of
