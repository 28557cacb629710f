"""What is compared: each engine has a name and runs one inference, what it gives is in `outputs`."""

import ctypes
import json
import math
import os
import time

import numpy as np

DTYPES = {"f32": np.float32, "i32": np.int32, "i64": np.int64, "u8": np.uint8}  # of outputs
PEAK_CALLS = 8  # of each thread: a few milliseconds


def aligned(size):
    """`size` bytes at a multiple of 64."""
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size]


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


def pin_new_threads(before):
    """One of the other CPUs for each thread that is not in `before`: where the machine is busy, a
    thread that sleeps between two steps may else wake up on its waker's CPU every time."""
    cpus = sorted(os.sched_getaffinity(0))[1:]
    for thread, cpu in zip(sorted(set(os.listdir("/proc/self/task")) - before, key=int), cpus):
        os.sched_setaffinity(int(thread), {cpu})


class Threads:
    """A pool of the project's runtime, from the library that a model's code was linked into."""

    def __init__(self, library, n):
        self.library, self.pool = library, ctypes.c_void_p()
        before = set(os.listdir("/proc/self/task"))
        if n > 1 and library.rt_pool_new(ctypes.byref(self.pool), n, None) != 0:
            raise RuntimeError(f"no pool of {n} threads can be had")
        pin_new_threads(before)
        self.run = ctypes.cast(library.rt_pool_for, ctypes.c_void_p).value

    def argument(self):
        """A NET_pool, or NULL for the caller's thread alone."""
        if not self.pool:
            return None
        self.struct = (ctypes.c_void_p * 2)(self.pool.value, self.run)
        return ctypes.cast(self.struct, ctypes.c_void_p)


class Memory:
    """`size` bytes from the project's runtime."""

    def __init__(self, library, size):
        library.rt_memory_new.restype = ctypes.c_void_p
        self.library = library
        self.at = ctypes.c_void_p(library.rt_memory_new(ctypes.c_size_t(size)))
        if not self.at:
            raise RuntimeError(f"no {size} bytes of memory can be had")

    def __del__(self):
        self.library.rt_memory_free(self.at)


class Effnetc:
    """The generated C of one target."""

    def __init__(self, built, x, threads):
        with open(built["json"], encoding="utf-8") as f:
            contract = json.load(f)
        self.name, self.threads = f"effnetc {contract['target']}", threads
        self.library = ctypes.CDLL(built["library"])
        self.pool = Threads(self.library, threads)
        self.x, self.macs = x, contract["macs"]
        self.outputs = [np.zeros(y["shape"], DTYPES[y["dtype"]]) for y in contract["outputs"]]
        weights = np.fromfile(built["weights"], np.uint8)
        self.weights = Memory(self.library, weights.size)
        self.arena = Memory(self.library, contract["arena"]["bytes"])
        ctypes.memmove(self.weights.at, pointer(weights), weights.size)
        self.arguments = [self.weights.at, pointer(x), *map(pointer, self.outputs), self.arena.at,
                          self.pool.argument()]
        code = self.library.net_run_parallel(*self.arguments)
        if code != 0:
            raise RuntimeError(f"the generated code returned {code}")

    def run(self):
        self.library.net_run_parallel(*self.arguments)


class Peak:
    """The multiply-accumulates that the cores can do, in the vectors of one target."""

    def __init__(self, built, library, threads):
        self.name, self.threads = f"peak {built['target']}", threads
        self.pool = Threads(library, threads)
        self.peak, self.library = ctypes.CDLL(built["peak"]), library
        self.peak.peak_macs.restype = ctypes.c_double
        self.calls = PEAK_CALLS * threads
        self.macs = self.calls * self.peak.peak_macs()
        self.results = aligned(64 * self.calls)

    def run(self):
        if self.pool.pool:
            self.library.rt_pool_for(self.pool.pool, ctypes.c_size_t(self.calls), self.peak.peak_body,
                                     pointer(self.results))
            return
        for i in range(self.calls):
            self.peak.peak_body(pointer(self.results), ctypes.c_size_t(i))


class OnnxRuntime:
    def __init__(self, path, x, threads, dims):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Its threads must not take the CPUs from who comes next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        for name, value in dims.items():
            options.add_free_dimension_override_by_name(name, value)
        self.name, self.threads = "ONNX Runtime", threads
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.feed = {self.session.get_inputs()[0].name: x}
        self.run()

    def run(self):
        self.outputs = self.session.run(None, self.feed)


class OpenVino:
    def __init__(self, path, x, threads, dims):
        import openvino as ov

        core = ov.Core()
        model = core.read_model(path)
        if dims:
            model.reshape(list(x.shape))
        self.name, self.threads = "OpenVINO", threads
        self.model = core.compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        })
        self.request = self.model.create_infer_request()
        self.request.set_input_tensor(ov.Tensor(x, shared_memory=True))
        self.run()

    def run(self):
        self.request.infer()

    @property
    def outputs(self):
        return [self.request.get_output_tensor(i).data for i in range(len(self.model.outputs))]


# ---- timing --------------------------------------------------------------------------------------


def timed(engine):
    start = time.perf_counter()
    engine.run()
    return time.perf_counter() - start


def one_round(engines, runs, block):
    """Seconds of at least `runs` inferences of each engine. They take turns of `block` seconds, so
    that a clock that drifts drifts for all; the first of a turn finds cold caches and doesn't
    count."""
    times = [[] for _ in engines]
    while min(map(len, times)) < runs:
        for engine, seen in zip(engines, times):
            if len(seen) >= runs:
                continue
            first = timed(engine)
            for _ in range(max(1, math.ceil(block / max(first, 1e-6)))):
                seen.append(timed(engine))
    return times


def difference(outputs, references):
    """max |output - reference| / max |reference|, of the output where that is largest; not finite
    where one of them isn't."""

    def one(output, reference):
        scale = float(np.abs(reference).max())
        return float(np.abs(output - reference).max()) / (scale or 1.0)

    return max(map(one, outputs, references), key=lambda x: (math.isnan(x), x))
