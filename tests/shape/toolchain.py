"""What the scripts of this folder share: the commands that they run, and how they end."""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

from networks import LAYERS, Missing

SKIPPED = 77  # exit code: ctest shows the test as skipped
GCC = "12.2"  # Debian 12's: figures of generated code hold for one version


class Failed(Exception):
    """A command that ought to work ended with another code than 0."""


def run(*command, **options):
    """What a command prints."""
    words = [str(word) for word in command]
    result = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    if result.returncode:
        raise Failed(f"{' '.join(words)}\n{result.stdout}{result.stderr}".rstrip())
    return result.stdout


def find_gcc():
    found = []
    for name in ("gcc-12", "gcc", "cc"):
        path = shutil.which(name)
        version = re.search(r"\b\d+\.\d+(?=\.\d+)", run(path, "--version").splitlines()[0]) if path else None
        if version and version[0] == GCC and "clang" not in run(path, "--version"):
            return path
        if version:
            found.append(f"{name} {version[0]}")
    raise Missing(f"gcc {GCC} is needed, found {', '.join(found) or 'none'}: what is checked depends on it")


def find_clang():
    """Debian 12's clang."""
    for name in ("clang-14", "clang"):
        path = shutil.which(name)
        if path and re.search(r"version 14\.", run(path, "--version")):
            return path
    raise Missing("clang 14 is not installed")


def find_llvm(args):
    """None: the command does it itself, where it was built with LLVM 19; Debian's."""
    version = run(args.effnetc, "--version")
    if "LLVM 19." not in version:
        raise Missing(f"effnetc built with LLVM 19 is needed: {version.strip()}")


def parser(description):
    """With the options that all scripts have."""
    p = argparse.ArgumentParser(description=description.splitlines()[0])
    p.add_argument("--effnetc", type=pathlib.Path, required=True, help="the built command")
    p.add_argument("--fill-model", type=pathlib.Path, help="the built tests/fill_model, for skeletons")
    p.add_argument("--filter", default="", metavar="REGEX", help="only networks whose name it matches")
    return p


def parse(p):
    """The options, and the groups of networks that are behind them; real models go alone."""
    p.add_argument("groups", nargs="+", choices=[*LAYERS, "models"])
    args = p.parse_args()
    if "models" in args.groups and len(args.groups) > 1:
        p.error("`models` goes alone")
    return args


def chosen(names, args):
    return [name for name in names if re.search(args.filter, name)]


def layers(groups, args):
    """Pairs of group and name."""
    return [(group, name) for group in groups for name in chosen(LAYERS[group], args)]


def main(body, args):
    """Runs body(args), which returns what is wrong as lines; exits."""
    args.effnetc = args.effnetc.resolve()
    os.environ["LC_ALL"] = "C"
    try:
        wrong = body(args)
    except Missing as e:
        print(f"skipped: {e}")
        sys.exit(SKIPPED)
    except Failed as e:
        wrong = [str(e)]
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)
