"""What bench tells, as pages: docs/bench.md has a table for each scenario, of the run that was last;
README.md's own table, its figures against hf and the chart are made from those."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COLUMNS = (("hub", "hub"), ("curl, unverified", "curl"), ("aria2c, unverified", "aria2c"),
           ("wget, unverified", "wget"), ("hf", "hf"), ("hf with hf_xet", "hf"),
           ("hf without Xet", "hf"))
WALL, PEAK = "wall s", "peak MiB"


def publish(docs, told):
    """told: scenario -> lines. docs: the folder of README.md."""
    page, readme = docs / "docs/bench.md", docs / "README.md"
    for scenario, lines in told.items():
        _put(page, scenario, "".join(lines))
    found = tables(page.read_text())
    _put(readme, "bench", summary(found))
    if all("hf" in found.get(scenario, ("", {}))[1] for scenario in ("big", "small")):
        _put(readme, "figures", against_hf(found["big"], found["small"]))
    subprocess.run([sys.executable, str(ROOT / "tests/bench/chart.py"), str(page),
                    str(docs / "docs/bench.svg")], check=True)


def _put(path, name, text):
    subprocess.run([str(ROOT / "tools/between"), str(path), name], input=text.encode(), check=True)


def tables(text):
    """scenario -> (title, {tool: {column: figure}}), where a table has times."""
    found = {}
    for scenario, part in re.findall(r"<!-- (\w+): begin -->\n(.*?)<!-- \1: end -->", text, re.S):
        match = re.search(r"^(.+):\n\n((?:\|.*\n)+)", part, re.M)
        rows = [[cell.strip() for cell in line.strip("|\n").split("|")]
                for line in match.group(2).splitlines()] if match else [[]]
        if WALL in rows[0]:
            found[scenario] = match.group(1), {row[0]: dict(zip(rows[0][1:], row[1:]))
                                               for row in rows[2:]}
    return found


def summary(found):
    names = list(dict.fromkeys(name for _, name in COLUMNS))
    lines = ["| seconds | %s | MiB: hub | hf |" % " | ".join(names),
             "| --- |" + " --: |" * (len(names) + 2)]
    for title, costs in found.values():
        there = {}
        for tool, name in COLUMNS:
            if tool in costs:
                there.setdefault(name, costs[tool])
        cells = [there[name][WALL] if name in there else "" for name in names]
        cells += [there[name][PEAK] if name in there else "" for name in ("hub", "hf")]
        lines.append("| %s | %s |" % (title.replace(" and 5 MB/s for each connection", ""),
                                      " | ".join(cells)))
    return "\n".join(lines) + "\n"


def against_hf(big, small):
    """The sentence with three figures at the head of the README."""
    def faster(costs):
        ours, theirs = float(costs["hub"][WALL]), float(costs["hf"][WALL])
        return "**%.1f times as fast** (%.1f s; `hf`: %.1f s)" % (theirs / ours, ours, theirs)

    ours, theirs = (float(big[1][tool][PEAK]) for tool in ("hub", "hf"))
    text = ("Against `hf` on the same machine ([measured](#measured)): %s %s with **1/%d of the "
            "memory** (%.1f MiB; `hf`: %.1f MiB), and %s %s." % (
                big[0].replace("One", "one"), faster(big[1]), theirs / ours, ours, theirs,
                small[0].replace("files of 4 kB", "small files"), faster(small[1])))
    return textwrap.fill(text, 98, break_on_hyphens=False) + "\n"
