#!/usr/bin/env python3
"""Runs the golden cases: files of IR text that say how to run them and what comes out.

    # RUN: effnetc opt %s --passes=fold-batch-norm
    # What the case shows.
    graph @g(%x: f32[1,8,4,4]) -> f32[1,8,4,4] {
      ...
    }
    # EXPECT:
    # graph @g ...

RUN    `effnetc` is the command under test, %s the case, %t an empty folder that is the working
       folder too. Words are split as a shell does it, but there is no shell: `|` joins commands
       and `2>&1` at the end of a command adds its stderr; nothing else is special. With several
       RUN lines all must end with 0, but the last one, whose output is compared.
EXIT   the exit code of the last RUN line; 0 where it is absent. Of a pipe, the rightmost code that
       isn't 0.
EXPECT the output, each line with `# ` in front. The name of the case's folder is left out of it,
       and %t stands for the temporary folder.

`--update` rewrites what stands behind EXPECT: review the difference.
"""

import argparse
import concurrent.futures
import dataclasses
import difflib
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

TIMEOUT = 120  # seconds a RUN line may take
EXPECT = "# EXPECT:"


class CaseError(Exception):
    """The case file itself is wrong, or a RUN line could not be run."""


@dataclasses.dataclass
class Case:
    path: pathlib.Path
    runs: list  # of RUN lines, as text
    exit_code: int
    body: str  # everything before EXPECT
    expected: list  # of lines; None where there is no EXPECT

    @staticmethod
    def read(path):
        lines = path.read_text(encoding="utf-8").splitlines()
        at = lines.index(EXPECT) if EXPECT in lines else None
        head = lines if at is None else lines[:at]
        expected = None if at is None else [uncomment(path, line) for line in lines[at + 1 :]]
        runs = [line[len("# RUN:") :].strip() for line in head if line.startswith("# RUN:")]
        exits = [line[len("# EXIT:") :].strip() for line in head if line.startswith("# EXIT:")]
        if not runs:
            raise CaseError("has no `# RUN:` line")
        if len(exits) > 1 or not all(code.isdigit() for code in exits):
            raise CaseError("wants one `# EXIT:` line with a number")
        return Case(path, runs, int(exits[0]) if exits else 0, "\n".join(head), expected)

    def update(self, got):
        """Rewrites the EXPECT part; True where that changed the file."""
        comment = "".join(f"# {line}".rstrip() + "\n" for line in got)
        text = f"{self.body}\n{EXPECT}\n{comment}"
        if text == self.path.read_text(encoding="utf-8"):
            return False
        self.path.write_text(text, encoding="utf-8")
        return True


def uncomment(path, line):
    if line != "#" and not line.startswith("# "):
        raise CaseError(f"has a line behind EXPECT that does not start with `# `: {line!r}")
    return line[2:]


def split_pipe(words):
    """["a", "|", "b", "c"] -> [["a"], ["b", "c"]]"""
    commands = [[]]
    for word in words:
        if word == "|":
            commands.append([])
        else:
            commands[-1].append(word)
    if not all(commands):
        raise CaseError("has an empty command in a RUN line")
    return commands


def run_command(words, given, folder):
    """One command with `given` on its standard input: exit code, output, stderr kept apart."""
    merged = words[-1] == "2>&1"
    environment = dict(os.environ, NO_COLOR="1", LC_ALL="C")
    try:
        done = subprocess.run(
            words[:-1] if merged else words,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            cwd=folder,
            env=environment,
            timeout=TIMEOUT,
            check=False,
        )
    except OSError as error:
        raise CaseError(f"can't run {words[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise CaseError(f"was stopped after {TIMEOUT} s: {' '.join(words)}") from error
    return done.returncode, done.stdout, done.stderr or b""


def run_line(line, names, folder):
    """One RUN line: exit code, output and what else was said on stderr."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise CaseError(f"has a RUN line with wrong quoting: {line}") from error
    words = [re.sub("%[st]", lambda m: names[m[0]], word) for word in words]
    code, out, said = 0, b"", b""
    for command in split_pipe(words):
        command[0] = names.get(command[0], command[0])
        one, out, err = run_command(command, out, folder)
        code = one or code
        said += err
    return code, out.decode("utf-8", "backslashreplace"), said.decode("utf-8", "backslashreplace")


def run_case(case, effnetc):
    """Runs all lines: the output of the last one, independent of the machine, as lines."""
    with tempfile.TemporaryDirectory(prefix="effnetc-case-") as folder:
        names = {"effnetc": str(effnetc), "%s": str(case.path), "%t": folder}
        for i, line in enumerate(case.runs):
            wanted = case.exit_code if i + 1 == len(case.runs) else 0
            code, out, said = run_line(line, names, folder)
            if code != wanted:
                raise CaseError(f"ends with {code}, not {wanted}: {line}\n{said or out}".rstrip())
        out = out.replace(folder, "%t").replace(f"{case.path.parent}{os.sep}", "")
        return [line.rstrip() for line in out.splitlines()], said


def check_case(path, effnetc, update):
    """(passed, report)"""
    try:
        case = Case.read(path)
        got, said = run_case(case, effnetc)
        if update:
            return True, "updated" if case.update(got) else ""
        if case.expected is None:
            raise CaseError("has no `# EXPECT:` line; --update adds it")
    except CaseError as error:
        return False, str(error)
    if got == case.expected:
        return True, ""
    diff = difflib.unified_diff(case.expected, got, "expected", "got", lineterm="")
    return False, "\n".join([*diff, *said.splitlines()])


def find_cases(paths, pattern):
    """[(name, path)], sorted; a name is relative to the folder that was asked for."""
    found = {}
    for path in map(pathlib.Path.resolve, paths):
        files = path.rglob("*.ir") if path.is_dir() else [path]
        base = path if path.is_dir() else path.parent
        found.update((file, str(file.relative_to(base))) for file in files)
    return sorted((name, file) for file, name in found.items() if re.search(pattern, name))


def parse_arguments(argv):
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Run the golden cases.")
    parser.add_argument("--effnetc", type=pathlib.Path, required=True, help="command under test")
    parser.add_argument("--update", action="store_true", help="rewrite what the cases expect")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only cases of this name")
    parser.add_argument("paths", type=pathlib.Path, nargs="*", default=[here / "cases"])
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)
    cases = find_cases(args.paths, args.filter)
    if not cases:
        print("no case found", file=sys.stderr)
        return 1
    effnetc = args.effnetc.resolve()
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(check_case, path, effnetc, args.update) for _, path in cases]
        for (name, _), job in zip(cases, jobs):
            passed, report = job.result()
            failed += not passed
            if report:
                print(f"{'' if passed else 'FAILED '}{name}: {report}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
