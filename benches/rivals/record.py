"""Figures of turns, and the tables that they make."""
import json, statistics
from dataclasses import dataclass

from rows import ROWS
from tools import ENGINES

RIVALS = ENGINES[1:]
FIGURES = ("wall_seconds", "cpu_seconds", "peak_bytes", "stored_bytes")


@dataclass
class Cell:
    """Medians of one step of one tool; the server's CPU time where its repository is on one."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    stored_bytes: int
    count: int
    server_cpu_seconds: float | None


def read(path):
    """All lines of a record, by row in the order of their first turns."""
    rows = {}
    with open(path) as lines:
        for line in map(json.loads, lines):
            rows.setdefault(line["row"], []).append(line)
    return rows


def cells(lines):
    """Tool to step to cell, of the tools whose every restore in the row was identical."""
    refused = {line["tool"] for line in lines if not line["identical"]}
    found = {}
    for line in lines:
        if line["tool"] not in refused:
            for figure in line["steps"]:
                found.setdefault(line["tool"], {}).setdefault(figure["step"], []).append(figure)
    for steps in found.values():
        for step, figures in steps.items():
            medians = {name: statistics.median(figure[name] for figure in figures) for name in FIGURES}
            server = [figure["server_cpu_seconds"] for figure in figures if "server_cpu_seconds" in figure]
            steps[step] = Cell(**medians, count=len(figures),
                               server_cpu_seconds=statistics.median(server) if server else None)
    return found


def against(tool, step):
    """The cell that snap's is held against: others have no key file, a step of theirs counts for both."""
    return tool.get(step) or tool.get(step.removesuffix(", key file"))


def best_rival(found, step):
    """Name and cell of the fastest rival in a step, or None."""
    held = [(name, against(found[name], step)) for name in RIVALS if name in found]
    held = [(name, cell) for name, cell in held if cell]
    return min(held, key=lambda pair: pair[1].wall_seconds) if held else None


def seconds(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def shown(cell):
    if not cell:
        return "-"
    cpu = seconds(cell.cpu_seconds)
    if cell.server_cpu_seconds is not None:
        cpu += f" + {seconds(cell.server_cpu_seconds)}"
    return f"**{seconds(cell.wall_seconds)} s**, {cpu}, {cell.peak_bytes / (1 << 20):.0f} MiB"


def ratio(cell, snap):
    return f"{cell.wall_seconds / snap.wall_seconds:.1f}×" if cell and snap else "-"


def stored(cell, before):
    """Bytes that a step added to a repository."""
    return f"{(cell.stored_bytes - before) / 1e6:.1f} MB"


def print_row(name, lines):
    """The table of one row; none without snap."""
    found = cells(lines)
    tools = sorted(found, key=lambda tool: [*ENGINES, "bare"].index(tool.partition("@")[0]))
    if not tools or tools[0].partition("@")[0] != "snap":
        print(f"\n### {name}: snap has no figures\n", flush=True)
        return
    base = found[tools[0]]
    rivals = [tool for tool in tools if tool in RIVALS]
    counts = {tool: max(cell.count for cell in found[tool].values()) for tool in tools}
    scales = {line["scale"] for line in lines}
    scaled = "" if scales == {1.0} else f", scale {', '.join(f'{scale:g}' for scale in sorted(scales))}"
    print(f"\n### {ROWS[name].title}{scaled} (`{name}`)\n")
    on_server = " (+ those of the server)" if ROWS[name].on_s3 else ""
    print(f"Medians of wall time, CPU seconds{on_server}, peak memory; turns: " +
          ", ".join(f"{tool} {count}" for tool, count in counts.items()) + "\n")
    heads = ["step", *tools, *(f"{tool} / snap" for tool in rivals), "best / snap"]
    heads += ["snap / bare"] if "bare" in tools else []
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for step in ROWS[name].steps:
        snap = base.get(step)
        best = best_rival(found, step)
        line = [step, *(shown(found[tool].get(step)) for tool in tools)]
        line += [ratio(against(found[tool], step), snap) for tool in rivals]
        line.append(f"{ratio(best[1], snap)} ({best[0]})" if best else "-")
        if "bare" in tools:
            bare = found["bare"].get(step)
            line.append(f"{snap.wall_seconds / bare.wall_seconds:.2f}" if snap and bare else "-")
        print("| " + " | ".join(line) + " |")
    for step in [step for step in ROWS[name].steps if step == "cold" or step.startswith("day")]:
        sizes = []
        for tool in tools:
            cell = found[tool].get(step)
            order = [other for other in ROWS[name].steps if other in found[tool]]
            is_first = not cell or order[0] == step
            before = 0 if is_first else found[tool][order[order.index(step) - 1]].stored_bytes
            sizes.append(stored(cell, before) if cell else "-")
        blanks = [""] * (len(heads) - 1 - len(sizes))
        print("| " + " | ".join([f"stored, {step}", *sizes, *blanks]) + " |")
    print(flush=True)
