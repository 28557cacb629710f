#!/usr/bin/env python3
"""Checks the innermost loops with FMAs in the assembly of generated code.

    hot_loops.py --effnetc CMD GROUP...                layers of networks.py: pointwise, conv, ...
    hot_loops.py --effnetc CMD --fill-model CMD models
    hot_loops.py --effnetc CMD --list GROUP...         also prints each loop

For x86-64-v3 and -v4, built with -O2, as users do, by gcc 12, clang 14 or effnetc's own LLVM (--compiler):

- Nothing in such a loop touches the stack: accumulators, weights and addresses stay in registers.
- (gcc, LLVM) Each such loop of the loop IR is there, with the FMAs of its tile, and they make up nearly
  the share of all instructions that the loop IR promises. clang unrolls, so that it has other loops.

What is known to fall short is in KNOWN, with the reason. Rows that no network needed are named at
the end, but don't fail: gcc makes other code of a kernel where all its calls in a file have an
argument in common.
"""

import dataclasses
import pathlib
import re
import shutil
import tempfile

import loops
import networks
import toolchain
from networks import Missing

TARGETS = ("x86-64-v3", "x86-64-v4")
SHARE = 0.85  # of the share of FMAs in the loop IR: gcc may move a register or step a pointer


@dataclasses.dataclass(frozen=True)
class Known:
    """Loops that fall short. gcc's and LLVM's rows name kernels, clang's what it does to many."""

    compiler: str
    target: str
    kernel: str  # a regular expression for the whole name
    what: str  # "spill" or "share"
    most: float  # instructions that touch the stack, or the least share of that in the loop IR
    reason: str


KNOWN = (
    Known("gcc", "x86-64-v3", r"dw5x5_10_t[89]_.*", "spill", 2,
          "10 sums and 5 taps leave one register for what is loaded; gcc wants two"),
    Known("gcc", "x86-64-v3", r"dw3x3_12_t8_(relu6|silu_exp2)", "spill", 2,
          "12 sums and 3 taps leave one register for what is loaded; gcc wants two"),
    Known("gcc", "x86-64-v3", r"dw3x3_(8|12_t8|s2_12_t8|s2_7)_silu_exp2_(clipped_)?sum(_ahead)?", "spill", 2,
          "an address: with the sums of planes the kernel wants more than 15 integer registers"),
    Known("gcc", "x86-64-v3", r"dense_1x7_sigmoid", "spill", 5,
          "an address: the panel, row, tile and block of channels want more than 15 integer registers"),
    Known("gcc", "x86-64-v3", r"conv3x3_s2_4x3_relu", "spill", 1,
          "an address: rows, taps and blocks of channels want more than 15 integer registers"),
    Known("gcc", "x86-64-v3", r"conv1x1_5x2_t4_silu_exp2", "spill", 3,
          "an address: two tiles, rows and blocks of channels want more than 15 integer registers"),
    Known("gcc", "x86-64-v4", r"dw(3x3|5x5)_(7|14)_.*", "share", 0.73,
          "gcc makes a pixel's register that of a sum and moves sums back behind a row of taps, which is "
          "faster than to load a pixel for each multiply-add"),
    Known("clang", "x86-64-v3", r"conv3x3_s2_planar_.*", "spill", 28,
          "clang unrolls a row's three taps and moves their loads together"),
    Known("clang", "x86-64-v3", r"dw3x3_.*", "spill", 98,
          "clang unrolls the rows of taps into the loop over tiles, where the activation's constants "
          "want registers too"),
    Known("clang", "x86-64-v3", r"(dense|conv1x1)_.*", "spill", 52,
          "clang unrolls a block of channels and moves loads together"),
    Known("llvm", "x86-64-v3", r"dw3x3_(s2_)?1[02]_t8_.*", "spill", 8,
          "sums and taps take all registers; LLVM keeps the order of the loop IR, and splits some of them"),
    Known("llvm", "x86-64-v3", r"dw5x5_(s2_)?10_t[89]_.*", "spill", 10,
          "sums and taps take all registers; LLVM keeps the order of the loop IR, and splits some of them"),
    Known("llvm", "x86-64-v3", r"dw7x7_7_clipped", "spill", 6,
          "7 sums and 7 taps leave two registers; LLVM keeps the order of the loop IR, and splits some of them"),
)
NOT_HOT = re.compile(r"winograd\d+_(input|output)")  # a tile of 36 values, more than registers


def check(compiler, target, name, found, promised):
    """Compares the loops found in a network's assembly with those of its loop IR.

    Pairs of the kernel and what is wrong, which is (what, amount, text)."""
    wrong = []
    for loop in found:
        if not loop.fmas() or NOT_HOT.match(loop.function):
            continue
        where = f"{name}: {compiler}, {target}: {loop.function}, loop at {loop.label}"
        if loop.spills:
            lines = "".join(f"\n    {line}" for line in loop.spills[:4])
            wrong.append((loop.function, ("spill", len(loop.spills),
                          f"{where}: {len(loop.spills)} instructions touch the stack:{lines}")))
        if compiler != "clang":
            wrong += [(loop.function, w) for w in shares(where, loop, promised.get(loop.function, []))]
    if compiler != "clang":
        wrong += missing(f"{name}: {compiler}, {target}", found, promised)
    return wrong


def shares(where, loop, promised):
    same = [p for p in promised if p.fmas == loop.fmas()]
    if not same:
        counts = ", ".join(str(p.fmas) for p in promised) or "no loop with FMAs"
        return [("share", 0, f"{where}: {loop.fmas()} FMAs; its loop IR has {counts}")]
    ratio = loop.share() / min(p.share() for p in same)
    if ratio < SHARE:
        return [("share", ratio, f"{where}: {loop.fmas()} FMAs among {len(loop.instructions)} instructions: "
                                 f"{ratio:.2f} of the share in its loop IR, {SHARE} is wanted")]
    return []


def missing(where, found, promised):
    """Loops of the loop IR that aren't there: a compiler unrolled them, or did without FMAs."""
    wrong = []
    for kernel, wanted in promised.items():
        if NOT_HOT.match(kernel):
            continue
        have = [loop.fmas() for loop in found if loop.function == kernel]
        for p in wanted:
            if p.fmas not in have:
                wrong.append((kernel, ("share", 0, f"{where}: {kernel}: its loop of {p.fmas} FMAs is no "
                                                   f"innermost loop of the assembly, which has {have}")))
    return wrong


class Checker:
    """Counts which rows of KNOWN were of use."""

    def __init__(self, known=KNOWN):
        self.known, self.seen, self.used, self.wrong = known, set(), set(), []

    def add(self, compiler, target, name, found, promised):
        kernels = {loop.function for loop in found if loop.fmas()}
        rows = [k for k in self.known if (k.compiler, k.target) == (compiler, target)]
        self.seen |= {k for k in rows if any(re.fullmatch(k.kernel, kernel) for kernel in kernels)}
        for kernel, (what, amount, text) in check(compiler, target, name, found, promised):
            row = next((k for k in rows if k.what == what and re.fullmatch(k.kernel, kernel)), None)
            if row:
                self.used.add(row)
            if not row or (amount > row.most if what == "spill" else amount < row.most):
                self.wrong.append(text)

    def notes(self):
        return sorted(f"note: no loop of {k.kernel} needs its row in KNOWN ({k.compiler}, {k.target}, {k.what})"
                      for k in self.seen - self.used)


# ---- the command ---------------------------------------------------------------------------------


def examine(args, name, path, folder, checker):
    for target in TARGETS:
        native = ["--emit=asm"] if args.compiler == "llvm" else []
        toolchain.run(args.effnetc, path, "-o", folder, "--name", "net", "--target", target, *native)
        text = toolchain.run(args.effnetc, path, "-o", "-", "--emit=loop-ir", "--target", target)
        promised = loops.ir_loops(text)
        if not native:
            toolchain.run(args.command, "-O2", "-S", "net.c", "-o", "net.s", cwd=folder)
        found = loops.asm_loops((folder / "net.s").read_text(encoding="utf-8"))
        checker.add(args.compiler, target, name, found, promised)
        for loop in found if args.list else []:
            if loop.fmas():
                print(f"{target} {loop.function:<40} {loop.label:<10} {loop.fmas():3} FMAs of "
                      f"{len(loop.instructions):3}, {len(loop.spills)} spills")


def each_network(args, folder):
    """Yields name, path, and a folder that is gone afterwards."""
    if args.groups == ["models"]:
        names = [(None, n) for n in [*networks.OWN_MODELS, *networks.SHARED_MODELS]
                 if re.search(args.filter, n)]
    else:
        names = toolchain.layers(args.groups, args)
    for group, name in names:
        own = folder / name
        own.mkdir()
        try:
            yield name, (networks.write_layer(group, name, own) if group
                         else networks.model_file(name, args.fill_model, own)), own
        except Missing as e:
            print(f"{name}: skipped: {e}")
        shutil.rmtree(own)


def body(args):
    find = {"gcc": toolchain.find_gcc, "clang": toolchain.find_clang, "llvm": lambda: toolchain.find_llvm(args)}
    args.command = find[args.compiler]()
    checker = Checker()
    with tempfile.TemporaryDirectory(prefix="effnetc-shape-") as temporary:
        for name, path, own in each_network(args, pathlib.Path(temporary)):
            examine(args, name, path, own, checker)
    print(*checker.notes(), sep="\n", end="\n" if checker.notes() else "")
    return checker.wrong


if __name__ == "__main__":
    parser = toolchain.parser(__doc__)
    parser.add_argument("--compiler", choices=("gcc", "clang", "llvm"), default="gcc")
    parser.add_argument("--list", action="store_true", help="print the loops")
    toolchain.main(body, toolchain.parse(parser))
