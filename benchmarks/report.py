"""The results of benchmarks/run as Markdown and SVG.

docs/performance.md holds each table between `<!-- measured: NAME -->` and `<!-- end -->`; all around
them is written by hand and stays."""

import math
import re
from xml.sax.saxutils import escape

BLOCK = re.compile(r"(<!-- measured: (\w+) -->\n)(.*?)(?=<!-- end -->)", re.S)
OTHERS = ("ONNX Runtime", "OpenVINO")


# ---- figures -------------------------------------------------------------------------------------


def best(engine):
    """Seconds: the least of all rounds."""
    return min(engine["seconds"])


def rate(engine):
    """Multiply-accumulates a second."""
    return engine["macs"] / best(engine)


def process(row, threads):
    """The results of the process with so many threads, or []."""
    return next((e["results"] for e in row["engines"] if e["threads"] == threads), [])


def pick(results, kind, threads):
    """The first engine whose name begins so, run on so many threads, or None."""
    return next((e for e in results if e["name"].startswith(kind) and e["threads"] == threads), None)


class Figures:
    """What the tables say of a model: one process, one number of threads, one target."""

    def __init__(self, row, threads, target=""):
        results = process(row, threads)
        self.model = row["model"]
        self.own = pick(results, f"effnetc {target}", threads)
        self.single = pick(results, f"effnetc {target}", 1)
        self.others = [pick(results, name, threads) for name in OTHERS]
        peak = "peak" + self.own["name"].removeprefix("effnetc") if self.own else "peak"
        self.peak = pick(results, peak, threads)
        self.single_peak = pick(results, peak, 1)

    def ratio(self):
        """How many times as fast as the faster of the others."""
        return min(best(e) for e in self.others) / best(self.own)

    def share(self, engine=None):
        """Of the FMA peak."""
        return rate(engine or self.own) / rate(self.peak)

    def scaling(self):
        return best(self.single) / best(self.own)

    def peak_scaling(self):
        return rate(self.peak) / rate(self.single_peak)


def more_threads(found):
    """The larger number of threads that was measured; 1 where there is none."""
    return max((e["threads"] for row in found["rows"] for e in row["engines"]), default=1)


def targets(found):
    """Of the generated code, in the order of the command line."""
    names = [e["name"].split()[1] for row in found["rows"] for e in process(row, 1)
             if e["name"].startswith("effnetc")]
    return list(dict.fromkeys(names))


def differing(found, tolerance):
    """A line for each output that is further from ONNX Runtime's than that."""
    return [f"{row['model']}: {e['name']} on {e['threads']} threads differs from ONNX Runtime by "
            f"{e['error']:.2g} (allowed: {tolerance:g})"
            for row in found["rows"] for part in row["engines"] for e in part["results"]
            if e["error"] is not None and not e["error"] <= tolerance]


def one_line(row):
    f = Figures(row, 1)
    text = f"{1e3 * best(f.own):.2f} ms, {f.ratio():.2f} x the faster other, {100 * f.share():.0f} % of peak"
    threads = max(e["threads"] for e in row["engines"])
    if threads > 1:
        text += f"; {threads} threads: {Figures(row, threads).scaling():.2f} x one"
    return text


# ---- tables --------------------------------------------------------------------------------------


def ms(engine):
    return three_digits(1e3 * best(engine)) if engine else ""


def three_digits(x):
    return f"{x:.{max(0, 2 - int(math.floor(math.log10(x))))}f}" if x > 0 else "0"


def percent(x):
    return f"{100 * x:.0f} %"


def table(columns, rows):
    lines = [columns, ["---"] + ["--:"] * (len(columns) - 1), *rows]
    return "".join("|" + "".join(f" {cell} |" if cell else " |" for cell in line) + "\n" for line in lines)


def one_thread(found):
    rows = []
    for f in (Figures(row, 1) for row in found["rows"]):
        rows.append([f.model, ms(f.own), *map(ms, f.others), f"**{f.ratio():.2f}**",
                     three_digits(rate(f.own) / 1e9), percent(f.share()),
                     *(percent(f.share(e)) for e in f.others), f"{f.own['error']:.0e}"])
    return table(["model", "effnetc, ms", *(f"{n}, ms" for n in OTHERS), "times as fast as the faster",
                  "GMAC/s", "share of peak", *(f"{n}'s" for n in OTHERS), "difference"], rows)


def several_threads(found):
    threads = more_threads(found)
    if threads == 1:
        return "Not measured: the process has one CPU.\n"
    rows = []
    for row in found["rows"]:
        f = Figures(row, threads)
        if f.own:
            rows.append([f.model, ms(f.own), *map(ms, f.others), f"**{f.ratio():.2f}**",
                         percent(f.share()), f"**{f.scaling():.2f}**", f"{f.peak_scaling():.2f}"])
    return table([f"model, {threads} threads", "effnetc, ms", *(f"{n}, ms" for n in OTHERS),
                  "times as fast as the faster", "share of peak", "times as fast as one thread",
                  "so the FMA peak"], rows)


def other_targets(found):
    rows = []
    for target in targets(found)[1:]:
        for f in (Figures(row, 1, target) for row in found["rows"]):
            rows.append([f.model, target, ms(f.own), three_digits(rate(f.own) / 1e9),
                         three_digits(rate(f.peak) / 1e9), percent(f.share()), f"{f.own['error']:.0e}"])
    return table(["model", "target", "ms", "GMAC/s", "peak, GMAC/s", "share of peak", "difference"], rows)


def fresh_process(found):
    titles = {"effnetc": "effnetc", "OnnxRuntime": "ONNX Runtime, in Python", "OpenVino": "OpenVINO, in Python"}
    rows = []
    for row in found["rows"]:
        for key, r in (row.get("first") or {}).items():
            python = f" ({r['python_kib'] / 1024:.0f} of it Python)" if "python_kib" in r else ""
            rows.append([row["model"], titles[key], three_digits(r["load_ms"]), three_digits(r["first_ms"]),
                         three_digits(r["hot_ms"]), f"{r['first_ms'] / r['hot_ms']:.2f}",
                         f"{r['peak_kib'] / 1024:.0f}{python}"])
    return table(["model", "engine", "to load, ms", "first inference, ms", "a hot one, ms",
                  "first / hot", "memory, MiB"], rows)


def kernels(found):
    """Of `effnetc bench --per-layer --json`: each op's steps together."""
    row = next(row for row in found["rows"] if row.get("kernels"))
    ops = row["kernels"]["ops"]
    total = sum(op["us"] for op in ops)
    rows = [[f"`{op['op']}`", str(op["steps"]), three_digits(op["us"]), percent(op["us"] / total),
             three_digits(op["gmacs_per_second"]), percent(op["peak_share"]),
             f"{op['macs_per_byte']:.2f}", three_digits(op["bytes"] / op["us"] / 1e3)] for op in ops]
    return table([f"op, in {row['model']}", "steps", "us", "of all", "GMAC/s", "share of peak", "MACs a byte",
                  "GB/s"], rows)


def machine(found):
    m = found["machine"]
    peaks = [f"{rate(e) / 1e9:.1f} GMAC/s for {e['name'].removeprefix('peak ')}"
             for e in process(found["rows"][0], 1) if e["name"].startswith("peak")]
    options = f" {m['options']}" if m["options"] else ""
    rounds = "1 round" if m["rounds"] == 1 else f"{m['rounds']} rounds"
    return (f"{m['cpu']}, {m['system']}; {m['cc']} with {m['flags']}; effnetc {m['effnetc']}{options}, "
            f"ONNX Runtime {m['onnxruntime']}, OpenVINO {m['openvino']}. FMA peak of a core: "
            f"{', '.join(peaks)}. Fastest of {rounds} of {m['runs']} inferences or more.\n")


def add_row(found, row):
    """The row, where the model's was if it had one; the kernels are those of one model."""
    rows = found["rows"]
    if "kernels" in row:
        for other in rows:
            other.pop("kernels", None)
            other.pop("first", None)
    at = next((i for i, other in enumerate(rows) if other["model"] == row["model"]), len(rows))
    rows[at : at + 1] = [row]


TABLES = {"machine": machine, "one_thread": one_thread, "several_threads": several_threads,
          "other_targets": other_targets, "fresh_process": fresh_process, "kernels": kernels}


def fill(text, found):
    """The document with each table in its place."""

    def block(match):
        if match[2] not in TABLES:
            raise KeyError(f"there is no table {match[2]}")
        return match[1] + TABLES[match[2]](found)

    return BLOCK.sub(block, text)


# ---- the plot ------------------------------------------------------------------------------------

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .soft { fill: #57606a } .grid { stroke: #d0d7de } .peak { stroke: #57606a; stroke-dasharray: 4 3 }
  .e0 { fill: #0969da } .e1 { fill: #b7791f } .e2 { fill: #8b949e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .soft { fill: #9198a1 } .grid { stroke: #3d444d }
    .peak { stroke: #9198a1 } .e0 { fill: #58a6ff } .e1 { fill: #d29922 } .e2 { fill: #848d97 }
  }
"""
LEFT, RIGHT, TOP, BAR, GAP, SCALE = 130, 70, 64, 11, 12, 460


def plot(found):
    """Bars: the share of the FMA peak that each engine reaches on one thread."""
    models = [Figures(row, 1) for row in found["rows"]]
    names = ["effnetc", *OTHERS]
    shares = [[f.share(), *map(f.share, f.others)] for f in models]
    top = max(1.0, math.ceil(10 * max(map(max, shares))) / 10)
    height = TOP + len(models) * (3 * BAR + GAP) + 30
    width = LEFT + SCALE + RIGHT
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
           f'height="{height}" role="img">', f"<style>{STYLE}</style>",
           "<title>Share of the FMA peak on one thread</title>",
           f'<text x="{LEFT}" y="20">Share of the FMA peak on one thread; behind it, milliseconds</text>']
    for i, name in enumerate(names):
        x = LEFT + 130 * i
        out += [f'<rect class="e{i}" x="{x}" y="32" width="11" height="11"/>',
                f'<text x="{x + 17}" y="42">{name}</text>']
    bottom = height - 26
    for tick in range(0, round(100 * top) + 1, 20):
        x = LEFT + SCALE * tick / 100 / top
        kind = "peak" if tick == 100 else "grid"
        out += [f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{bottom}"/>',
                f'<text class="soft" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick} %</text>']
    for k, (f, row) in enumerate(zip(models, shares)):
        y = TOP + k * (3 * BAR + GAP)
        out.append(f'<text x="{LEFT - 8}" y="{y + 1.5 * BAR + 5:.1f}" text-anchor="end">{escape(f.model)}</text>')
        for i, (share, engine) in enumerate(zip(row, [f.own, *f.others])):
            length = SCALE * share / top
            out += [f'<rect class="e{i}" x="{LEFT}" y="{y + i * BAR}" width="{length:.1f}" '
                    f'height="{BAR - 1}"/>',
                    f'<text class="soft" x="{LEFT + length + 5:.1f}" y="{y + i * BAR + 9}" '
                    f'style="font-size: 10px">{ms(engine)}</text>']
    return "\n".join([*out, "</svg>"]) + "\n"


def write(found, docs):
    path = docs / "performance.md"
    path.write_text(fill(path.read_text(encoding="utf-8"), found), encoding="utf-8")
    (docs / "performance.svg").write_text(plot(found), encoding="utf-8")
