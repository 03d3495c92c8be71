"""Draws a good, a typical and a bad forecast of a model, each with its band, as one SVG picture.

    foreshadow evaluate --history usage.parquet ... --models model,naive --dump forecasts.parquet
    python3 plot_forecasts.py usage.parquet forecasts.parquet picture.svg

Forecasts are ranked by their pinball loss over that of naive, for the first model in the file and its
last window: the good one is at the 10th percentile, the typical one in the middle, the bad one at the
90th. Needs pyarrow.
"""

import sys
from collections import defaultdict
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

WIDTH, HEIGHT, LEFT, GAP = 860, 190, 70, 34
RANKS = {"good": 0.1, "typical": 0.5, "bad": 0.9}


def forecasts(path):
    """The last window of each entity, by model: rows in the order of their steps."""
    table = pq.read_table(path)
    last = pc.max(table["origin"]).as_py()
    table = table.filter(pc.equal(table["origin"], pa.scalar(last, table["origin"].type)))
    levels = [name for name in table.column_names if name.startswith("0.")]
    found = defaultdict(lambda: defaultdict(list))
    for row in table.to_pylist():
        if row["actual"] is not None and row["actual"] == row["actual"]:
            found[row["model"]][row["entity"]].append(row)
    return last, levels, found


def loss(rows, levels):
    """The sum of the pinball loss."""
    total = 0.0
    for row in rows:
        for name in levels:
            error = row["actual"] - row[name]
            total += max(float(name) * error, (float(name) - 1) * error)
    return total


def ranked(found, levels):
    """Entities from the best forecast to the worst."""
    model, naive = next(iter(found)), "naive"
    scores = []
    for entity, rows in found[model].items():
        beside = loss(found[naive][entity], levels)
        if beside > 0:
            scores.append((loss(rows, levels) / beside, entity))
    return model, sorted(scores)


def history(path, metric, entity, origin, span):
    """What came before."""
    table = pq.read_table(path, columns=["timestamp", "entity_id", metric])
    stamps = table["timestamp"]
    of_entity = pc.equal(table["entity_id"], entity)
    since = pc.greater_equal(stamps, pa.scalar(origin - span, stamps.type))
    before = pc.less(stamps, pa.scalar(origin, stamps.type))
    rows = table.filter(pc.and_(of_entity, pc.and_(since, before))).to_pylist()
    return [(row["timestamp"], row[metric]) for row in rows if row[metric] is not None]


def panel(top, title, past, rows, origin, step):
    """One picture: past and future in black, the band of 10 to 90 % and its middle."""
    future = [(origin + step * row["step"], row) for row in rows]
    first, end = past[0][0], future[-1][0]
    highest = max([v for _, v in past] + [max(r["actual"], r["0.9"]) for _, r in future]) or 1.0

    def x(at):
        return LEFT + (at - first) / (end - first) * (WIDTH - LEFT - 10)

    def y(value):
        return top + HEIGHT - max(value, 0.0) / highest * HEIGHT

    def line(points, style):
        coordinates = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
        return f'<polyline points="{coordinates}" fill="none" {style}/>'

    low = [(at, row["0.1"]) for at, row in future]
    high = [(at, row["0.9"]) for at, row in reversed(future)]
    band = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in low + high)
    actual = [(at, row["actual"]) for at, row in future]
    middle = [(at, row["0.5"]) for at, row in future]
    return [
        f'<text x="{LEFT}" y="{top - 8}">{title}</text>',
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{highest:.0f}</text>',
        f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>',
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - 10}" height="{HEIGHT}" fill="none" stroke="#ccc"/>',
        f'<polygon points="{band}" fill="#2a78d6" fill-opacity="0.25"/>',
        line(past + actual, 'stroke="#222" stroke-width="1"'),
        line(middle, 'stroke="#2a78d6" stroke-width="1.5"'),
        line([(origin, 0), (origin, highest)], 'stroke="#999" stroke-dasharray="3 3"'),
    ]


def main(usage, dump, picture):
    origin, levels, found = forecasts(dump)
    model, scores = ranked(found, levels)
    parts = []
    for number, (name, rank) in enumerate(RANKS.items()):
        ratio, entity = scores[int(rank * (len(scores) - 1))]
        rows = found[model][entity]
        step = timedelta(minutes=5)
        past = history(usage, rows[0]["metric"], entity, origin, timedelta(days=2))
        title = f"{name}: {entity}, {rows[0]['metric']}, loss {ratio:.2f} of naive"
        parts += panel(GAP + number * (HEIGHT + GAP), title, past, rows, origin, step)
    height = GAP + len(RANKS) * (HEIGHT + GAP)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">'
    )
    background = f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    with open(picture, "w", encoding="utf-8") as file:
        file.write("\n".join([head, background, *parts, "</svg>", ""]))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
