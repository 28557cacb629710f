"""Generated C, as users build it, and what is measured beside it."""

import json
import pathlib
import re
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
RUNTIME = HERE.parent / "runtime"
FLAGS = ["-O2"]
LINKED = ["memory.c", "pool.c", "cpus.c", "error.c"]


class Failed(Exception):
    pass


def call(command, **kw):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **kw)
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or [f"{command[0]} failed"])[0])
    return done.stdout


def lanes_of(effnetc, target):
    """Floats in a vector of a target."""
    found = re.search(rf"^{re.escape(target)} +(\d+)-bit", call([effnetc, "targets"]), re.M)
    if not found:
        raise Failed(f"there is no target {target}")
    return int(found[1]) // 32


def peak(o, target):
    """The library of peak.c for a target."""
    library = o.work / f"peak-{target}.so"
    march = "x86-64" if target == "generic" else target
    call([*o.cc.split(), *FLAGS, "-fno-tree-vectorize", "-ffp-contract=fast", f"-march={march}",
          f"-DLANES={lanes_of(o.effnetc, target)}", "-shared", "-fPIC", "-o", library, HERE / "peak.c"])
    return str(library)


def model(o, path, target, dims, title):
    """Compiles a model; where its library, weights and contract are."""
    folder = o.work / re.sub(r"\W+", "-", f"{title}-{target}")
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [f"--dim={name}={value}" for name, value in dims.items()]
    call([o.effnetc, path, "-o", folder, "--name=net", f"--target={target}", *sizes, *o.option])
    contract = json.loads((folder / "net.json").read_text(encoding="utf-8"))
    call([*o.cc.split(), *FLAGS, "-shared", "-fPIC", "-pthread", "-D_POSIX_C_SOURCE=200809L",
          f"-I{HERE.parent}", "-o", folder / "net.so", folder / "net.c", *(RUNTIME / f for f in LINKED)])
    return {"library": str(folder / "net.so"), "weights": str(folder / "net.weights.bin"),
            "json": str(folder / "net.json"), "target": contract["target"], "macs": contract["macs"],
            "arena": contract["arena"]["bytes"], "outputs": len(contract["outputs"]),
            "folder": str(folder),
            "peak": peak(o, contract["target"])}


def kernels(o, path, target, dims):
    """What `effnetc bench` says of each kind of step."""
    bind = ["taskset", "-c", str(o.cpu_list[0])]
    sizes = [f"--dim={name}={value}" for name, value in dims.items()]
    return json.loads(call([*bind, o.effnetc, "bench", path, f"--target={target}", f"--cc={o.cc}", *sizes,
                            *o.option, "--per-layer", "--json"]))


def first(o, built):
    """A fresh process of first.c around the generated C: the fastest of five."""
    folder = pathlib.Path(built["folder"])
    contract = json.loads((folder / "net.json").read_text(encoding="utf-8"))
    call([*o.cc.split(), *FLAGS, "-D_POSIX_C_SOURCE=200809L", f"-I{folder}", "-o", folder / "first",
          HERE / "first.c", folder / "net.c"])
    sizes = [str(contract[key][0]["elements"]) for key in ("inputs", "outputs")]
    bind = ["taskset", "-c", str(o.cpu_list[0])]
    runs = [json.loads(call([*bind, folder / "first", built["weights"], *sizes, "20"]))
            for _ in range(5)]
    return min(runs, key=lambda r: r["load_ms"] + r["first_ms"])
