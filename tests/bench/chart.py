#!/usr/bin/env python3
"""Draws the wall times of downloads as bars: chart.py bench.md OUT.svg

Each table becomes a group of bars with a scale of its own."""

import re
import sys
from html import escape
from pathlib import Path

from pages import WALL, tables

LEFT_OUT = ("hf without Xet",)
WIDTH, COLUMNS, MARGIN = 840, 2, 24
LABEL, SECONDS = 150, 60    # width of a tool's name, and of what stands behind its bar
ROW, BAR, HEAD = 22, 14, 34
FONT = "font-family=\"'DejaVu Sans', Verdana, sans-serif\""


def groups(text):
    """(title, [(tool, seconds)]) for each download."""
    return [(title, [(tool, float(costs[WALL])) for tool, costs in rows.items()
                     if tool not in LEFT_OUT])
            for title, rows in tables(text).values() if not title.startswith("Upload")]


def draw(found):
    column = (WIDTH - MARGIN * (COLUMNS + 1)) // COLUMNS
    out, top = [], MARGIN
    for at in range(0, len(found), COLUMNS):
        line = found[at:at + COLUMNS]
        for n, (title, rows) in enumerate(line):
            group(out, MARGIN + n * (column + MARGIN), top, column, title, rows)
        top += HEAD + ROW * max(len(rows) for _, rows in line) + MARGIN
    return ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" %s '
            'font-size="13">\n<title>Wall time in seconds</title>\n'
            '<rect width="100%%" height="100%%" fill="#ffffff"/>\n%s</svg>\n'
            % (WIDTH, top, WIDTH, top, FONT, "".join(out)))


def group(out, x, y, width, title, rows):
    most = max(seconds for _, seconds in rows) or 1
    words, more = re.match(r"(.+?)(?:,? (?=over |of which )(.*))?$", title).groups()
    out.append('<text x="%d" y="%d" font-weight="bold">%s</text>\n' % (x, y + 12, escape(words)))
    if more:
        out.append('<text x="%d" y="%d" font-size="10" fill="#57606a">%s</text>\n'
                   % (x, y + 26, escape(more)))
    for n, (tool, seconds) in enumerate(rows):
        at = y + HEAD + n * ROW
        ours = tool == "hub"
        long = max(1, seconds / most * (width - LABEL - SECONDS))
        out.append('<text x="%d" y="%d" text-anchor="end"%s>%s</text>\n' % (
            x + LABEL - 8, at + 12, ' font-weight="bold"' if ours else "", escape(tool)))
        out.append('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>\n' % (
            x + LABEL, at, long, BAR, "#1a7f37" if ours else "#afb8c1"))
        out.append('<text x="%.1f" y="%d">%s s</text>\n' % (
            x + LABEL + long + 6, at + 12, ("%.1f" if seconds >= 1 else "%.2f") % seconds))


def main():
    page, out = map(Path, sys.argv[1:])
    found = groups(page.read_text())
    if not found:
        sys.exit("chart: no tables in %s" % page)
    out.write_text(draw(found))


if __name__ == "__main__":
    main()
