"""Of several rounds the median, the least and the most: what every bench here reports."""

import statistics
from collections import defaultdict


def spread(values):
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def of_rounds(rows, compared):
    """Median and spread over the rounds of every contestant's figures; of curves the medians.

    ``compared`` makes of one round's figures those of the contestants against each other.
    """
    columns = defaultdict(list)
    for row in rows:
        for kind, figures in row.items():
            for key, value in figures.items():
                columns[kind, key].append(value)
        for key, value in compared(row).items():
            columns["compared", key].append(value)
    found = defaultdict(dict)
    for (kind, key), values in columns.items():
        if key.endswith("_curve"):
            found[kind][key] = [statistics.median(each) for each in zip(*values, strict=True)]
        else:
            found[kind][key] = spread(values)
    return dict(found)
