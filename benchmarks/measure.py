"""One process of benchmarks/run: reads a task (JSON) on standard input, prints the result."""

import json
import os
import sys
import time


def status(field):
    """KiB of a line of /proc/self/status."""
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field + ":"))


def compare(task):
    """All engines in turn, on the CPUs that the process is bound to."""
    import engines as e

    x = load_input(task)
    threads = task["threads"]
    effnetc = [e.Effnetc(built, x, n) for built in task["built"] for n in sorted({1, threads})]
    peaks = [e.Peak(built, effnetc[0].library, n) for built in task["built"]
             for n in sorted({1, threads})]
    others = [e.OnnxRuntime(task["model"], x, threads, task["dims"]),
              e.OpenVino(task["model"], x, threads, task["dims"])]
    everything = effnetc + others + peaks
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # this thread; the others are there
    rounds = [e.one_round(everything, task["runs"], task["block"]) for _ in range(task["rounds"])]
    reference = [y.copy() for y in others[0].outputs]
    return {"engines": [{
        "name": engine.name,
        "threads": engine.threads,
        "macs": getattr(engine, "macs", effnetc[0].macs),
        "seconds": [min(times[i]) for times in rounds],
        "median": sorted(t for times in rounds for t in times[i])[sum(len(t[i]) for t in rounds) // 2],
        "inferences": sum(len(times[i]) for times in rounds),
        "error": None if engine in peaks else e.difference(engine.outputs, reference),
    } for i, engine in enumerate(everything)]}


def first(task):
    """A fresh process of an engine from Python: loading, the first inference, memory."""
    import numpy  # noqa: F401  what a process of Python takes anyway

    base = status("VmRSS")
    x = load_input(task)
    start = time.perf_counter()
    import engines as e

    engine = getattr(e, task["engine"])
    # Both run once when they are made.
    inference, times = engine.run, []

    def timed(self):
        t = time.perf_counter()
        inference(self)
        times.append(time.perf_counter() - t)

    engine.run = timed
    made = engine(task["model"], x, 1, task["dims"])
    loaded = time.perf_counter() - start - times[0]
    for _ in range(task["runs"]):
        made.run()
    return {"load_ms": 1e3 * loaded, "first_ms": 1e3 * times[0], "hot_ms": 1e3 * min(times),
            "peak_kib": status("VmHWM"), "python_kib": base}


def load_input(task):
    import numpy as np
    import picture

    if task["input"].endswith(".npy"):
        return np.ascontiguousarray(np.load(task["input"]), dtype=np.float32)
    return picture.model_input(task["input"], task["shape"])


def describe(task):
    """Shape of the one input of a model, and the names of its symbolic dimensions."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(task["model"], options, providers=["CPUExecutionProvider"])
    return {"inputs": [{"type": i.type, "shape": i.shape} for i in session.get_inputs()]}


def main():
    task = json.load(sys.stdin)
    os.sched_setaffinity(0, task["cpus"])
    result = {"compare": compare, "first": first, "describe": describe}[task["do"]](task)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
