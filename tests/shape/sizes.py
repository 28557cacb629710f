#!/usr/bin/env python3
"""Bounds the generated C of whole models: size, number of kernels, and what it costs to make.

    sizes.py --effnetc CMD --fill-model CMD [--unbounded-time] [--jit]

Time is CPU time, which other work on the machine changes little. Memory is the peak of the process.
`--unbounded-time` is for builds that are not optimised: they are slower, but write the same code.
`--jit` is for builds that have LLVM linked in: its shared library takes more memory.
"""

import dataclasses
import os
import pathlib
import re
import subprocess
import tempfile

import networks
import toolchain
from networks import Missing

PICTURE = networks.SOURCE / "examples/images/chelsea.png"
TARGETS = ("x86-64-v3", "x86-64-v4")
KB = 1000


@dataclasses.dataclass
class Bound:
    """The most that a model may have, or None."""

    kernels: int  # different ones
    text: int  # bytes of machine code and constants: `size`'s column
    c_text: int  # bytes of C
    cc_seconds: float  # gcc -O2
    seconds: float  # effnetc, from ONNX to C
    memory: int  # bytes, effnetc's peak without the model's weights, read once and packed once


JIT = 3  # times the model's file: the most that a process takes from ONNX to the result

BOUNDS = {
    "lite0": Bound(60, 400 * KB, 1000 * KB, 10, 1, 64_000 * KB),
    "tv_b0": Bound(80, 400 * KB, 1000 * KB, 10, 1, 64_000 * KB),
    "tv_b7": Bound(None, None, 2000 * KB, None, 3, 400_000 * KB),
}


def timed(*command, **options):
    """CPU seconds and peak bytes of a command; its output is dropped."""
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, **options)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if status:
            log.seek(0)
            raise toolchain.Failed(f"{' '.join(words)}\n{log.read().decode(errors='replace')}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def least(*command):
    """Of three runs the least of each: what the system does for others is counted as ours, too."""
    seconds, memory = zip(*(timed(*command) for _ in range(3)))
    return min(seconds), min(memory)


def measure(args, path, target, folder, gcc):
    """What Bound has, of one model."""
    seconds, memory = least(args.effnetc, path, "-o", folder, "--name", "net", "--target", target)
    cc_seconds, _ = timed(gcc, "-O2", "-c", "net.c", "-o", "net.o", cwd=folder)
    sizes = toolchain.run("size", "net.o", cwd=folder).splitlines()[1].split()
    loop_ir = toolchain.run(args.effnetc, path, "-o", "-", "--emit=loop-ir", "--target", target)
    weights = path.stat().st_size + (folder / "net.weights.bin").stat().st_size
    return Bound(len(re.findall(r"^  kernel @", loop_ir, re.M)), int(sizes[0]),
                 (folder / "net.c").stat().st_size, cc_seconds, seconds, memory - weights)


def check_jit(args, where, path):
    _, memory = least(args.effnetc, "run", path, PICTURE)
    ratio = memory / path.stat().st_size
    print(f"{where:8} {ratio:.2f} times the model is the peak of memory with LLVM")
    return [f"{where}: LLVM takes {ratio:.2f} times the model, {JIT} are allowed"] if ratio > JIT else []


def compare(where, got, bound, with_time):
    wrong = []
    for field in dataclasses.fields(Bound):
        value, most = getattr(got, field.name), getattr(bound, field.name)
        costs = field.name in ("seconds", "memory")
        if most is not None and value > most and (with_time or not costs):
            wrong.append(f"{where}: {field.name} is {value}, {most} are allowed")
    return wrong


def body(args):
    gcc = toolchain.find_gcc()
    wrong = []
    print(f"{'model':8} {'target':10} {'kernels':>8} {'text':>8} {'C':>9} {'gcc s':>7} {'effnetc s':>10} "
          f"{'MB beside weights':>18}")
    for name in toolchain.chosen(BOUNDS, args):
        with tempfile.TemporaryDirectory(prefix="effnetc-shape-") as temporary:
            folder = pathlib.Path(temporary)
            try:
                path = networks.model_file(name, args.fill_model, folder)
            except Missing as e:
                print(f"{name}: skipped: {e}")
                continue
            for target in TARGETS:
                got = measure(args, path, target, folder, gcc)
                print(f"{name:8} {target:10} {got.kernels:8} {got.text:8} {got.c_text:9} {got.cc_seconds:7.2f} "
                      f"{got.seconds:10.2f} {got.memory / 1e6:18.1f}")
                wrong += compare(f"{name}, {target}", got, BOUNDS[name], not args.unbounded_time)
            if args.jit:
                wrong += check_jit(args, name, path)
    return wrong


if __name__ == "__main__":
    parser = toolchain.parser(__doc__)
    parser.add_argument("--unbounded-time", action="store_true", help="don't bound what effnetc needs")
    parser.add_argument("--jit", action="store_true", help="bound the memory of running by LLVM, too")
    toolchain.main(body, parser.parse_args())
