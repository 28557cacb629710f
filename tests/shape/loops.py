"""Innermost loops: those that loop IR text says a kernel has, and those found in assembly.

Assembly is GNU's for x86-64, as gcc and clang print it. Its loops are the natural loops of the graph
of basic blocks (Aho, Lam, Sethi, Ullman: Compilers, 9.6), for compilers put blocks where they like.
"""

import dataclasses
import re

FMA = re.compile(r"vfn?m(add|sub)\d*[ps][sdh]$")
LABEL = re.compile(r"^([.\w$]+):")
JUMP = re.compile(r"^j[a-z]+$")
STACK = re.compile(r"\(%[re]sp[,)]")
FRAME = re.compile(r"\(%rbp[,)]")
CONTROL = 3  # instructions of a loop itself: count, compare, jump


@dataclasses.dataclass
class IrLoop:
    fmas: int
    instructions: int

    def share(self):
        """Of FMAs among all, when the loop's own instructions are added."""
        return self.fmas / (self.instructions + CONTROL)


@dataclasses.dataclass
class AsmLoop:
    function: str
    label: str
    instructions: list  # of texts: mnemonic, space, operands
    spills: list  # those that touch the stack

    def fmas(self):
        return sum(1 for i in self.instructions if FMA.match(i.split()[0]))

    def share(self):
        return self.fmas() / len(self.instructions)


def ir_loops(text):
    """The innermost loops with FMAs of each kernel of a module's text, by the kernel's name."""
    kernels, name, open_blocks = {}, None, []
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "kernel":
            name, open_blocks = words[1][1:].split("(")[0], []
            kernels[name] = []
        if words[0] in ("step", "run"):
            name = None
        if name is None:
            continue
        if words[0] == "}":
            block = open_blocks.pop()
            if block["loop"] and block["innermost"] and block["fmas"]:
                kernels[name].append(IrLoop(block["fmas"], block["count"]))
            if open_blocks:  # `if` inside a loop counts with it
                outer = open_blocks[-1]
                outer["innermost"] &= block["innermost"] and not block["loop"]
                outer["fmas"] += block["fmas"]
                outer["count"] += block["count"]
        elif open_blocks:
            open_blocks[-1]["count"] += 1
            open_blocks[-1]["fmas"] += " = fma " in line
        if words[-1] == "{" and words[0] != "module":
            loop = words[0] in ("for", "par", "while")
            open_blocks.append({"loop": loop, "innermost": True, "fmas": 0, "count": 0})
    return {kernel: loops for kernel, loops in kernels.items() if loops}


def functions(text):
    """Pairs of a function's name and its lines."""
    name, lines = None, []
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        label = LABEL.match(line)
        if label and not label[1].startswith(".L"):
            name, lines = label[1], []
        elif line.startswith(".size") and name:
            yield name, lines
            name = None
        elif name and line and (label or not line.startswith(".")):
            lines.append(line)


# ---- natural loops -------------------------------------------------------------------------------


@dataclasses.dataclass
class Block:
    label: str  # of its first line, or none
    lines: list
    next: list  # indices of blocks


def blocks_of(lines):
    """Basic blocks in the order of the text."""
    blocks = [Block("", [], [])]
    for line in lines:
        label = LABEL.match(line)
        if label:
            blocks.append(Block(label[1], [], []))
            continue
        blocks[-1].lines.append(" ".join(line.split()))
        if is_jump(blocks[-1].lines[-1]) or line.startswith("ret"):
            blocks.append(Block("", [], []))
    at = {b.label: i for i, b in enumerate(blocks) if b.label}
    for i, b in enumerate(blocks):
        last = b.lines[-1] if b.lines else "none"
        if is_jump(last) and last.split()[-1] in at:
            b.next.append(at[last.split()[-1]])
        if last.split()[0] not in ("jmp", "ret", "retq") and i + 1 < len(blocks):
            b.next.append(i + 1)
    return blocks


def is_jump(line):
    return bool(JUMP.match(line.split()[0]))


def dominators(blocks):
    """For each block those that every way to it leads through, itself too; none if unreachable."""
    before = [[i for i, b in enumerate(blocks) if j in b.next] for j in range(len(blocks))]
    dom, changed = [{0}] + [None] * (len(blocks) - 1), True
    while changed:
        changed = False
        for j in range(1, len(blocks)):
            known = [dom[i] for i in before[j] if dom[i] is not None]
            new = set.intersection(*known) | {j} if known else None
            if new != dom[j]:
                dom[j], changed = new, True
    return dom, before


def natural_loops(blocks):
    """The blocks of each loop, by its first one."""
    dom, before = dominators(blocks)
    loops = {}
    for i, b in enumerate(blocks):
        for head in b.next:
            if dom[i] is None or head not in dom[i]:
                continue
            body, todo = loops.setdefault(head, {head}), [i]
            while todo:
                block = todo.pop()
                if block not in body:
                    body.add(block)
                    todo += [p for p in before[block] if dom[p] is not None]
    return loops


def asm_loops(text):
    """All innermost loops."""
    return [loop for name, lines in functions(text) for loop in innermost(name, lines)]


def innermost(name, lines):
    frame = any(re.match(r"movq\s+%rsp, *%rbp", line) for line in lines)
    blocks = blocks_of(lines)
    loops = natural_loops(blocks)
    for head, body in loops.items():
        if any(other in body for other in loops if other != head):
            continue
        code = [line for i in sorted(body) for line in blocks[i].lines]
        spills = [line for line in code if STACK.search(line) or (frame and FRAME.search(line))]
        yield AsmLoop(name, blocks[head].label, code, spills)
