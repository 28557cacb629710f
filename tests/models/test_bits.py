#!/usr/bin/env python3
"""The loop IR means one thing: every printer and the interpreter give the same bits.

Models run as C by gcc, as C by clang, and through LLVM, on one and two threads, and the small ones
in the loop interpreter; all outputs are compared with those of the first, NaN with any NaN.

    test_bits.py --effnetc CMD --fill-model CMD quick     some small models, each for one target
    test_bits.py ...                           slow      every small model, each for one target and by three
                                                         engines, by turns; and B0 and Lite0 by all
    test_bits.py ...                           cross     some small models and Lite0, for other machines
    test_bits.py ...                           all       every model, for every target
    test_bits.py ...                           NAME...   these, for every target

With --target=NAME they run for that target alone.

Models are those of the shared folder (EFFNETC_MODELS, or ../shared/models beside the source tree).
Exit code 77: it is missing. A compiler that isn't there, and a target that neither this machine nor
an emulator runs, are left out with a message.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy

import cross

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("EFFNETC_MODELS", SOURCE.parent / "shared" / "models"))
TARGETS = ("x86-64-v4", "x86-64-v3", "generic")  # aarch64 too, where it runs
QUICK = ("tv_op17", "keras_op17_preprocess", "qdq_s8s8_channel", "odd_size_op17")
SLOW_WHOLE = ("tv_b0", "real_lite0")
CROSS = (*QUICK, "real_lite0")
INTERPRETED_MACS = 400e6  # of what the interpreter runs too: B0 and what is smaller
SKIPPED = 77


@dataclasses.dataclass
class Engine:
    """One way to run a model."""

    name: str
    options: tuple
    threads: int = 1
    emulated: bool = False  # compiled for another machine


@dataclasses.dataclass
class Job:
    """A model for a target, by some engines."""

    model: dict
    target: str
    engines: list
    elements: int = 0
    runs: int = 0
    faults: list = dataclasses.field(default_factory=list)


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def has_llvm(effnetc):
    return "without LLVM" not in run(effnetc, "--version")


def compilers():
    """C compilers that are there, the missing ones with a message."""
    for name in ("gcc", "clang"):
        if shutil.which(name):
            yield name
        else:
            print(f"{name} is not installed: left out")


def engines_for(model, target, cs, llvm, both):
    """Each compiler on one thread or the other; `both`: on both. LLVM is on both in any case, but for other
    machines: an emulator is slow."""
    emulated = target in cross.MACHINES
    if emulated:
        here = cross.MACHINES[target].compilers
        cs, llvm = [c for c in cs if c in here], llvm and "llvm" in here
    found = [Engine("llvm", ("--backend=llvm",), n, emulated) for n in (1, 2) if llvm and not (emulated and n > 1)]
    for i, cc in enumerate(cs):
        threads = (1, 2) if both else (2 - i,)
        found += [Engine(cc, ("--backend=c", f"--cc={cc}"), n, emulated) for n in threads]
    if (model.get("macs") or 0) <= INTERPRETED_MACS:
        found.append(Engine("loop-interp", ("--backend=loop-interp",)))
    return found


def by_turns(engines, turn):
    """Of a small model's engines, gcc's C and either LLVM on one thread and clang's C, or LLVM on two and the
    interpreter: networks are alike, and each turn has all."""
    left_out = [("llvm", 1), ("clang", 1)] if turn % 2 else [("llvm", 2), ("loop-interp", 1)]
    return [e for e in engines if (e.name, e.threads) not in left_out]


def targets_here(effnetc, folder):
    """The targets whose code runs here."""
    text = folder / "relu.ir"
    text.write_text("graph @g(%x: f32[4]) -> f32[4] {\n  %y = relu %x : f32[4]\n  return %y\n}\n")
    for target in TARGETS:
        done = subprocess.run([effnetc, "verify", text, f"--target={target}"], capture_output=True, check=False)
        if done.returncode == 0:
            yield target
        else:
            print(f"{target}: this machine can't run it: left out")


def emulated_targets():
    for target in cross.MACHINES:
        if tool := cross.missing(target):
            print(f"{target}: {tool} is not installed: left out")
        else:
            yield target


# ---- models and inputs ---------------------------------------------------------------------------


def make_inputs(model, folder):
    """Options that give each input numbers of ordinary size, always the same ones; and those arrays."""
    numbers = numpy.random.default_rng(7)
    arrays = []
    kinds = {"float32": "f4", "float": "f4", "float16": "f2", "uint8": "u1", "int8": "i1", "int64": "i8", "int32": "i4"}
    options = []
    for i, entry in enumerate(model["inputs"]):
        shape = [d if isinstance(d, int) else 1 for d in entry["shape"]]
        kind = kinds[entry.get("dtype", "float32")]
        x = numbers.standard_normal(shape) if kind[0] == "f" else numbers.integers(0, 100, shape)
        arrays.append(x.astype(kind))
        numpy.save(folder / f"{i}.npy", arrays[-1])
        options += ["--input", f"{entry['name']}={folder / f'{i}.npy'}"]
    return options, arrays


def make_model(model, folder, fill_model):
    if model["kind"] != "skeleton":
        return SHARED / model["file"]
    run(fill_model, SHARED / model["file"], folder / "model.onnx")
    return folder / "model.onnx"


# ---- comparing -----------------------------------------------------------------------------------


def bits(array):
    """The bits of an array, those of each NaN made the same."""
    if array.dtype.kind != "f":
        return array.reshape(-1)
    words = array.reshape(-1).view(f"u{array.dtype.itemsize}").copy()
    words[numpy.isnan(array.reshape(-1))] = 0x7FFF
    return words


def outputs(folder):
    return [numpy.load(path) for path in sorted(folder.glob("*.npy"), key=lambda p: int(p.stem))]


def compare(job, engine, found, wanted):
    first = job.engines[0]
    if len(found) != len(wanted):
        job.faults.append(f"{engine.name}: {len(found)} outputs, {first.name} has {len(wanted)}")
        return
    for i, (a, b) in enumerate(zip(found, wanted)):
        job.elements += a.size
        if a.shape != b.shape or a.dtype != b.dtype:
            job.faults.append(f"{engine.name}: output {i} is {a.dtype}{a.shape}, not {b.dtype}{b.shape}")
            continue
        differ = numpy.flatnonzero(bits(a) != bits(b))
        if differ.size:
            k = differ[0]
            job.faults.append(
                f"{engine.name}, {engine.threads} threads: {differ.size} of {a.size} elements of output {i} differ "
                f"from {first.name}; [{k}] is {a.reshape(-1)[k]!r}, not {b.reshape(-1)[k]!r}")


def run_engine(job, engine, model, inputs, arrays, o, folder):
    """The outputs of an engine."""
    out = folder / "out"
    if engine.emulated:
        found = cross.outputs(o.effnetc, model, job.target, engine.name, arrays, out, engine.threads)
    else:
        cache = ("--cache", folder / "cache") if engine.name == "llvm" else ()
        run(o.effnetc, "run", model, *inputs, "--target", job.target, *engine.options, *cache, "--threads",
            engine.threads, "--output-dir", out)
        found = outputs(out)
    shutil.rmtree(out)
    return found


def do(job, o):
    with tempfile.TemporaryDirectory(prefix="effnetc-bits-") as text:
        folder = pathlib.Path(text)
        try:
            model = make_model(job.model, folder, o.fill_model)
            inputs, arrays = make_inputs(job.model, folder)
            wanted = None
            for engine in job.engines:
                found = run_engine(job, engine, model, inputs, arrays, o, folder)
                job.runs += 1
                if wanted is None:
                    wanted = found
                else:
                    compare(job, engine, found, wanted)
        except (RuntimeError, OSError) as e:
            job.faults.append(str(e))
    return job


# ---- what to do ----------------------------------------------------------------------------------


def wanted_models(words, models):
    """The models, and whether each is for one target alone."""
    if words == ["quick"]:
        return [models[name] for name in QUICK], True
    if words == ["slow"]:
        return [m for m in models.values() if m["kind"] == "tiny" or m["name"] in SLOW_WHOLE], True
    if words == ["cross"]:
        return [models[name] for name in CROSS], False
    if words == ["all"]:
        return list(models.values()), False
    if missing := [w for w in words if w not in models]:
        sys.exit(f"there is no model {missing[0]} in {SHARED}/zoo.json")
    return [models[w] for w in words], False


def jobs_for(o, folder):
    models = {m["name"]: m for m in json.loads((SHARED / "zoo.json").read_text())["models"]}
    chosen, rotate = wanted_models(o.words, models)
    targets = [] if o.words == ["cross"] else list(targets_here(o.effnetc, folder))
    targets += [] if rotate else emulated_targets()
    targets = [t for t in targets if o.target in (None, t)]
    cs, llvm = list(compilers()), has_llvm(o.effnetc)
    if not llvm:
        print("this effnetc is built without LLVM: left out")
    for i, model in enumerate(chosen):
        for k, target in enumerate(targets):
            if not rotate or k == i % len(targets):
                engines = engines_for(model, target, cs, llvm, both=not rotate and o.words != ["cross"])
                few = o.words == ["slow"] and model["kind"] == "tiny"
                yield Job(model, target, by_turns(engines, i // len(targets)) if few else engines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--effnetc", required=True)
    parser.add_argument("--fill-model", required=True)
    parser.add_argument("--jobs", type=int, default=2, help="how many models at the same time (default: 2)")
    parser.add_argument("--target", choices=(*TARGETS, *cross.MACHINES), help="for this target alone")
    parser.add_argument("--verbose", action="store_true", help="a line for each model and target")
    parser.add_argument("words", nargs="+")
    o = parser.parse_args()
    if not (SHARED / "zoo.json").exists():
        print(f"{SHARED} is missing: set EFFNETC_MODELS to the folder of test models")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="effnetc-bits-") as folder:
        jobs = list(jobs_for(o, pathlib.Path(folder)))
    if not jobs and o.words == ["cross"]:
        return SKIPPED
    runs = elements = failed = 0
    with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
        for job in pool.map(lambda j: do(j, o), jobs):
            runs += job.runs
            elements += job.elements
            failed += bool(job.faults)
            for fault in job.faults:
                print(f"{job.model['name']}, {job.target}: {fault}")
            if o.verbose:
                print(f"{job.model['name']}, {job.target}: {job.runs} runs", flush=True)
    print(f"{len(jobs)} models and targets, {runs} runs, {elements} elements compared: {failed} with differences")
    return 1 if failed or not jobs else 0


if __name__ == "__main__":
    sys.exit(main())
