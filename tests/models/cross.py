"""Generated code for another machine: compiled across, and run by an emulator of its programs."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import numpy

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass
class Machine:
    """What code for a target takes here: Debian's names."""

    clang: str  # its --target
    compilers: tuple  # of those, the first links programs; "llvm" is effnetc's own backend
    emulator: tuple  # a command, with a program's name behind it
    options: tuple = ()  # for clang and gcc
    link: tuple = ()

    def command(self, compiler):
        return [f"{self.clang}-gcc"] if compiler == "gcc" else ["clang", f"--target={self.clang}"]


MACHINES = {
    "aarch64": Machine("aarch64-linux-gnu", ("gcc", "clang", "llvm"), ("qemu-aarch64",), link=("-static",)),
    "wasm32": Machine("wasm32-wasi", ("clang",), ("node", "--no-warnings", HERE.parent / "lib/run_wasi.mjs"),
                      options=("-msimd128",)),
}
DTYPES = {"f16": "f2", "f32": "f4", "f64": "f8", "bool": "?", "bf16": "u2"}


def missing(target):
    """What isn't installed, of what it takes; or "" where nothing is missing."""
    machine = MACHINES[target]
    compiler = machine.command(machine.compilers[0])
    for tool in (compiler[0], machine.emulator[0]):
        if not shutil.which(tool):
            return tool
    program = "int main(void) { return 0; }"
    done = subprocess.run([*compiler, *machine.link, "-x", "c", "-", "-o", "/dev/null"], input=program.encode(),
                          capture_output=True, check=False)
    return f"the C library of {machine.clang}" if done.returncode else ""


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stderr.decode(errors='replace')}")
    return done.stdout


def dtype_of(tensor):
    kind = tensor["dtype"]
    return numpy.dtype(DTYPES.get(kind) or kind[0] + str(int(kind[1:]) // 8))


def compile_object(effnetc, model, target, compiler, folder, options):
    """net.o and what is beside it, by gcc, clang or effnetc's own LLVM."""
    emit = "--emit=c,obj" if compiler == "llvm" else "--emit=c"
    run(effnetc, model, "-o", folder, "--name", "net", "--target", target, emit, *options)
    if compiler != "llvm":
        run(*MACHINES[target].command(compiler), *MACHINES[target].options, "-O2", "-Wall", "-Wextra", "-Wconversion",
            "-pedantic", "-Werror", "-c", "net.c", "-o", "net.o", cwd=folder)


def write_arguments(net, folder):
    """args.h, as run_cross.c wants it."""
    rows = [(net["weights"]["bytes"], 1, 0)]
    rows += [(t["elements"] * dtype_of(t).itemsize, 1, 0) for t in net["inputs"]]
    rows += [(t["elements"] * dtype_of(t).itemsize, 0, 1) for t in net["outputs"]]
    rows += [(net["arena"]["bytes"], 0, 0)]
    pointers = ", ".join(f"(v)[{i}]" for i in range(len(rows)))
    text = ", ".join(f"{{{size}, {read}, {written}}}" for size, read, written in rows)
    (folder / "args.h").write_text(f"#include \"net.h\"\n#define POOL net_pool\n#define ARGUMENTS {text}\n"
                                   f"#define RUN(v, pool) net_run_parallel({pointers}, pool)\n")


def outputs(effnetc, model, target, compiler, inputs, folder, threads=1, options=()):
    """The outputs of a model by gcc, clang or llvm. `inputs` are arrays in the model's order; more threads
    than one are a pool that takes the last part first."""
    folder.mkdir(parents=True, exist_ok=True)
    compile_object(effnetc, model, target, compiler, folder, options)
    net = json.loads((folder / "net.json").read_text())
    write_arguments(net, folder)
    machine = MACHINES[target]
    run(*machine.command(machine.compilers[0]), *machine.link, "-O1", "-I.", HERE / "run_cross.c", "net.o", "-o",
        "net.run", cwd=folder)
    data = (folder / "net.weights.bin").read_bytes()
    data += b"".join(x.astype(dtype_of(t)).tobytes() for x, t in zip(inputs, net["inputs"]))
    answer = run(*machine.emulator, "./net.run", *(["pool"] if threads > 1 else []), cwd=folder, input=data)
    found = []
    for tensor in net["outputs"]:
        kind, size = dtype_of(tensor), tensor["elements"]
        found.append(numpy.frombuffer(answer, kind, size).reshape(tensor["shape"]))
        answer = answer[size * kind.itemsize:]
    if code := int.from_bytes(answer, sys.byteorder, signed=True):
        raise RuntimeError(f"net_run returned {code}")
    return found
