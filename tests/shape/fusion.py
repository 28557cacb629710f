#!/usr/bin/env python3
"""Checks that what lies between a convolution and the depthwise one behind it is never written out.

    fusion.py --effnetc CMD --fill-model CMD

Reads the graph IR behind plan-memory. Where two are fused to conv2d_dwconv2d:

- the memory that it works in is at most half of the tensor between them;
- no tensor of the network is as large as the largest one so saved;
- the arena is smaller than without the pass.
"""

import dataclasses
import math
import pathlib
import re
import tempfile

import networks
import toolchain
from networks import Missing

PASS = "fuse-dw"
NETWORKS = {  # what must be fused for each target: how much more may be, the cost model decides
    "x86-64-v3": {"lite0": 1, "tv_b0": 3},
    "x86-64-v4": {"lite0": 1, "tv_b0": 1},
}
SHARE = 0.5

TYPE = re.compile(r"f32\[([\d,]*)\](?:\{([^}]*)\})?")
VALUE = re.compile(r'[%@](?:"[^"]*"|[\w.$/-]+)')


@dataclasses.dataclass
class Tensor:
    name: str
    dims: list
    bytes: int  # as it lies in memory: with halo, in whole blocks of channels


@dataclasses.dataclass
class Fused:
    """A conv2d_dwconv2d: the tensor between its two, as plain as it can be, and its scratch."""

    name: str
    between: int  # bytes
    scratch: int


def tensor(name, match):
    dims = [int(d) for d in match[1].split(",") if d]
    place = match[2] or ""
    block, halo = re.search(r"nchw(\d+)c", place), re.search(r"halo=(\d+)x(\d+)x(\d+)x(\d+)", place)
    stored = list(dims)
    if block:
        stored[1] = math.ceil(dims[1] / int(block[1])) * int(block[1])
    if halo:
        top, left, bottom, right = (int(halo[i]) for i in range(1, 5))
        stored[2:] = [dims[2] + top + bottom, dims[3] + left + right]
    return Tensor(name, dims, 4 * math.prod(stored))


def pair(attributes, name, default):
    m = re.search(rf"(?<![\w]){name}=(\d+)x(\d+)(?:x(\d+)x(\d+))?", attributes)
    return [int(x) for x in m.groups() if x] if m else default


def between(x, weights, attributes):
    """Bytes of the first convolution's result: its dims follow from the attributes without dw_."""
    kernel, stride = pair(attributes, "kernel", [1, 1]), pair(attributes, "stride", [1, 1])
    pad, dilation = pair(attributes, "pad", [0] * 4), pair(attributes, "dilation", [1, 1])
    dims = [x.dims[0], weights.dims[0]]
    for i in (0, 1):
        reach = dilation[i] * (kernel[i] - 1) + 1
        dims.append((x.dims[2 + i] + pad[i] + pad[2 + i] - reach) // stride[i] + 1)
    return 4 * math.prod(dims)


def read(text):
    """All results of a graph's nodes, and its fused ops."""
    known, results, fused = {}, [], []
    for line in text.splitlines():
        if line.startswith("graph "):
            known.update((n, tensor(n, t)) for n, t in
                         ((m[1], TYPE.search(m[2])) for m in re.finditer(r'(%[^:,(]+): (f32\[[^\]]*\])', line)))
        m = re.match(r"  const (\S+|@\".*?\") : (f32\S*)", line)
        if m:
            known[m[1]] = tensor(m[1], TYPE.search(m[2]))
        m = re.match(r"  (%.*?) = (\w+) (.*?)(?: \{(.*?)\})? : (.*?)(?:  #.*)?$", line)
        if not m:
            continue
        names = VALUE.findall(m[1])
        own = [tensor(n, t) for n, t in zip(names, TYPE.finditer(m[5]))]
        known.update((t.name, t) for t in own)
        results += own
        if m[2] == "conv2d_dwconv2d":
            x, weights = (known[n] for n in VALUE.findall(m[3])[:2])
            fused.append(Fused(names[0], between(x, weights, m[4] or ""), own[-1].bytes))
    return results, fused


def check(name, text, least):
    """What is wrong with a network, as lines."""
    results, fused = read(text)
    if len(fused) < least:
        return [f"{name}: {len(fused)} pairs are fused, of at least {least}"]
    wrong = [f"{name}: {f.name} works in {f.scratch} bytes; what it saves has {f.between}"
             for f in fused if f.scratch > SHARE * f.between]
    most = max((f.between for f in fused), default=math.inf)
    wrong += [f"{name}: {t.name} has {t.bytes} bytes, and a fused pair was to save {most}"
              for t in results if t.bytes >= most]
    return wrong


def arena(args, path, target, *options):
    text = toolchain.run(args.effnetc, path, "-o", "-", "--emit=loop-ir", "--target", target, *options)
    return int(re.search(r" arena=(\d+) ", text)[1])


def check_model(args, name, path, target, least):
    text = toolchain.run(args.effnetc, path, "-o", "-", "--emit=graph-ir", "--target", target)
    wrong = check(f"{name}, {target}", text, least)
    fused, apart = arena(args, path, target), arena(args, path, target, f"--disable-pass={PASS}")
    print(f"{name:8} {target} {len(read(text)[1])} fused, arena {fused} bytes, without {PASS} {apart}")
    if fused >= apart:
        wrong.append(f"{name}, {target}: the arena has {fused} bytes, without {PASS} {apart}")
    return wrong


def body(args):
    wrong = []
    with tempfile.TemporaryDirectory(prefix="effnetc-shape-") as temporary:
        for name in toolchain.chosen(NETWORKS["x86-64-v3"], args):
            try:
                path = networks.model_file(name, args.fill_model, pathlib.Path(temporary))
            except Missing as e:
                print(f"{name}: skipped: {e}")
                continue
            for target, least in NETWORKS.items():
                wrong += check_model(args, name, path, target, least[name])
    return wrong


if __name__ == "__main__":
    toolchain.main(body, toolchain.parser(__doc__).parse_args())
