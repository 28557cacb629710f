#!/usr/bin/env python3
"""Compares the instructions of an inference with the golden table instructions.txt.

    instructions.py --effnetc CMD GROUP...             layers of networks.py: pointwise, other, ...
    instructions.py --effnetc CMD --fill-model CMD models
    instructions.py --effnetc CMD --update GROUP...    rewrites the rows of these

Counted by callgrind, so that the figures are the same on every machine: the code is generated for
x86-64-v3 (valgrind 3.19 knows no AVX-512) and built by one version of gcc. A row may be 2 % off. A
row that got better by more fails too: run with --update, so that the gain is kept.
"""

import json
import pathlib
import re
import shutil
import sys
import tempfile

import networks
import toolchain
from networks import Missing

GOLDEN = pathlib.Path(__file__).resolve().parent / "instructions.txt"
SLACK = 0.02
TARGET = "x86-64-v3"
MODELS = (*networks.OWN_MODELS, "tv_b0", *networks.NEW_MODELS)
HEAD = f"""# Instructions of one inference, for a layer without reordering what the caller gives and gets:
# {TARGET}, gcc {toolchain.GCC} -O2, counted by callgrind.
# tests/shape/instructions.py --update writes this file. `per MAC` of nothing but FMAs is 0.125.
#
# network                          instructions        per MAC
"""

# One call for each network, after which callgrind writes a file.
CALL = """
static __attribute__((noinline)) int infer_{name}(const char *path) {{
    FILE *f = fopen(path, "rb");
    void *weights = aligned({upper}_WEIGHTS_BYTES), *arena = aligned({upper}_ARENA_BYTES);
    if (!f || fread(weights, 1, {upper}_WEIGHTS_BYTES, f) != {upper}_WEIGHTS_BYTES)
        return 2;
    fclose(f);
    {buffers}
    return {name}_run({arguments});
}}
"""
PROGRAM = """#include <stdio.h>
#include <stdlib.h>
#include <string.h>
{includes}
static void *aligned(size_t size) {{
    void *p = aligned_alloc(64, (size + 127) / 64 * 64);
    if (!p)
        exit(2);
    return memset(p, 0, (size + 127) / 64 * 64);
}}

static float *numbers(size_t n) {{
    float *p = aligned(n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(i * 7919 % 1000) / 500 - 1;
    return p;
}}
{calls}
int main(void) {{
    return {main};
}}
"""


# ---- the program ---------------------------------------------------------------------------------


def generate(args, path, name, folder):
    """Compiles a model to name.c in the folder; its row of the program, and its MACs."""
    toolchain.run(args.effnetc, path, "-o", folder, "--name", name, "--target", TARGET)
    toolchain.run(args.gcc, "-O2", "-c", f"{name}.c", "-o", f"{name}.o", cwd=folder)
    values = json.loads((folder / f"{name}.json").read_text())
    inputs = [f"numbers({v['elements']})" for v in values["inputs"]]
    outputs = [f"numbers({v['elements']})" for v in values["outputs"]]
    if any(v["dtype"] != "f32" for v in values["inputs"] + values["outputs"]):
        raise toolchain.Failed(f"{name}: only f32 inputs and outputs are known here")
    variables = [f"v{i}" for i in range(len(inputs + outputs))]
    buffers = "float " + ", ".join(f"*{v} = {b}" for v, b in zip(variables, inputs + outputs)) + ";"
    call = CALL.format(name=name, upper=name.upper(), buffers=buffers,
                       arguments=", ".join(["weights", *variables, "arena"]))
    macs = json.loads(toolchain.run(args.effnetc, "inspect", "--json", path))["macs"]
    return call, macs


def build(args, named_paths, folder):
    """Builds the program of these (name, path); their MACs."""
    calls, all_macs = [], {}
    for name, path in named_paths:
        call, all_macs[name] = generate(args, path, name, folder)
        calls.append(call)
    text = PROGRAM.format(
        includes="".join(f'#include "{name}.h"\n' for name in all_macs), calls="".join(calls),
        main=" ||\n           ".join(f'infer_{n}("{n}.weights.bin") != 0' for n in all_macs))
    (folder / "program.c").write_text(text, encoding="utf-8")
    objects = [f"{name}.o" for name in all_macs]
    toolchain.run(args.gcc, "-O1", "program.c", *objects, "-o", "program", cwd=folder)
    return all_macs


def count(names, inside, folder):
    """Instructions by name, of the functions `inside`: from the file that callgrind wrote after each
    call."""
    toolchain.run("valgrind", "--tool=callgrind", f"--toggle-collect={inside}", "--dump-after=infer_*",
                  "--callgrind-out-file=counts", "./program", cwd=folder)
    counts = {}
    for i, name in enumerate(names, 1):
        text = (folder / f"counts.{i}").read_text()
        total = re.search(r"^(?:summary|totals): (\d+)$", text, re.M)
        if not total or f"infer_{name}" not in text:
            raise toolchain.Failed(f"callgrind's file {i} is not that of {name}")
        counts[name] = int(total[1])
    return counts


# ---- the table -----------------------------------------------------------------------------------


def row(name, instructions, macs):
    per_mac = f"{instructions / macs:.4f}" if macs else "-"
    return f"{name:<34} {instructions:>12} {per_mac:>14}\n"


def read_table(path=GOLDEN):
    """Rows by name."""
    lines = path.read_text(encoding="utf-8").splitlines(True) if path.exists() else []
    return {line.split()[0]: line for line in lines if line.strip() and not line.startswith("#")}


def all_names():
    layers = [name for group in networks.LAYERS.values() for name in group]
    return [*layers, *MODELS]


def update(rows, path=GOLDEN):
    """Writes the table in the order of networks.py, without rows of what is no longer there."""
    table = {**read_table(path), **rows}
    path.write_text(HEAD + "".join(table[n] for n in all_names() if n in table), encoding="utf-8")


def compare(rows, table):
    """What is wrong with rows, as lines."""
    wrong = []
    for name, line in rows.items():
        got = int(line.split()[1])
        if name not in table:
            wrong.append(f"{name}: has no row in {GOLDEN.name}; --update adds it")
            continue
        wanted = int(table[name].split()[1])
        change = got / wanted - 1
        if abs(change) > SLACK:
            what = "slower" if change > 0 else "better: keep that with --update"
            wrong.append(f"{name}: {got} instructions, the table has {wanted} "
                         f"({100 * change:+.1f} %), {what}")
    return wrong


# ---- the command ---------------------------------------------------------------------------------


def measure(args, named_paths, inside, folder):
    macs = build(args, named_paths, folder)
    return {name: row(name, n, macs[name]) for name, n in count(macs, inside, folder).items()}


def measure_models(args, folder):
    """One program each: a model that is missing leaves the others. Rows, and what was skipped."""
    rows, skipped = {}, []
    for name in toolchain.chosen(MODELS, args):
        own = folder / name
        own.mkdir()
        try:
            if name in networks.NEW_MODELS:
                path = networks.new_model(name, args.effnetc, own)
            else:
                path = networks.model_file(name, args.fill_model, own)
            rows.update(measure(args, [(name, path)], "*_run", own))
        except Missing as e:
            skipped.append(f"{name}: skipped: {e}")
        shutil.rmtree(own)
    return rows, skipped


def body(args):
    args.gcc = toolchain.find_gcc()
    if not shutil.which("valgrind"):
        raise Missing("valgrind is not installed")
    flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    if not {"avx2", "fma", "bmi2"} <= set(flags):
        raise Missing(f"this machine can't run {TARGET}")
    with tempfile.TemporaryDirectory(prefix="effnetc-shape-") as temporary:
        folder = pathlib.Path(temporary)
        skipped = []
        if args.groups == ["models"]:
            rows, skipped = measure_models(args, folder)
        else:
            rows = measure(args, [(name, networks.write_layer(group, name, folder))
                                  for group, name in toolchain.layers(args.groups, args)], networks.STEP, folder)
    print(*skipped, sep="\n", end="\n" if skipped else "")
    print("".join(rows.values()), end="")
    if args.update:
        update(rows)
        return []
    return compare(rows, read_table())


if __name__ == "__main__":
    parser = toolchain.parser(__doc__)
    parser.add_argument("--update", action="store_true", help="rewrite the rows of the table")
    toolchain.main(body, toolchain.parse(parser))
