"""Tests of tests/shape: that its checks fail where they should."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "shape"))
import fusion  # noqa: E402  (needs the path above)
import hot_loops  # noqa: E402
import instructions  # noqa: E402
import loops  # noqa: E402
import networks  # noqa: E402
import sizes  # noqa: E402

IR = """module @g target=x86-64-v3 arena=0 weights=0 {
  kernel @conv(a: f32*, k: i64) {
    wp = lea a[0]
    for t in 0..k {
      for l in 0..k {
        w = load.v8 wp[0]
        w_2 = load.v8 wp[8]
        x = splat.v8 a[l]
        s = fma x, w, s
        s_2 = fma x, w_2, s_2
        wp = lea wp[16]
      }
      if k < 3 {
        e = fma e, e, e
      }
    }
  }
  kernel @copy(a: f32*, k: i64) {
    for l in 0..k {
      x = load a[l]
    }
  }
  step @layer {
    for i in 0..2 {
      call @conv(%x[0], 4)
    }
  }
}
"""

# As gcc prints it: a loop of tiles around a loop of K; what stands between them is on the stack.
CLEAN = """	.text
	.type	conv, @function
conv:
.LFB1:
	.cfi_startproc
	pushq	%rbp
	movq	%rdi, -8(%rsp)
.L3:
	vmovaps	%ymm4, -40(%rsp)
.L2:
	vmovups	(%rdx), %ymm0
	vmovups	32(%rdx), %ymm1
	vbroadcastss	(%rdi,%rax,4), %ymm2
	addq	$64, %rdx
	vfmadd231ps	%ymm0, %ymm2, %ymm4
	vfmadd231ps	%ymm1, %ymm2, %ymm5
	cmpq	%rax, %rcx	# not a comment of ours
	jg	.L2
	decq	%r9
	jne	.L3
	ret
	.size	conv, .-conv
"""
SPILL = CLEAN.replace("	vfmadd231ps	%ymm1, %ymm2, %ymm5", "	vfmadd231ps	-72(%rsp), %ymm2, %ymm5")
FRAME = SPILL.replace("	movq	%rdi, -8(%rsp)", "	movq	%rsp, %rbp").replace("-72(%rsp)", "-72(%rbp)")
POINTER = FRAME.replace("	movq	%rsp, %rbp\n", "")
WASTE = CLEAN.replace("	addq	$64, %rdx\n", "	addq	$64, %rdx\n" + "	vmovaps	%ymm6, %ymm7\n" * 6)
UNROLLED = CLEAN.replace("	jg	.L2", "	nop").replace("	vfmadd231ps	%ymm1",
                                                           "	vfmadd231ps	%ymm6, %ymm7, %ymm8\n	vfmadd231ps	%ymm1")

# As clang prints it: the inner loop lies behind the outer one's jump back.
OUT_OF_LINE = """conv:                                   # @conv
# %bb.0:
.LBB0_1:                                # =>This Loop Header
	vmovups	%ymm4, -40(%rsp)
	testq	%rax, %rax
	jne	.LBB0_3
.LBB0_2:
	decq	%r9
	jne	.LBB0_1
	retq
.LBB0_3:
	vfmadd231ps	%ymm0, %ymm2, %ymm4     # ymm4 = (ymm2 * ymm0) + ymm4
	decq	%rax
	jne	.LBB0_3
	jmp	.LBB0_2
	.size	conv, .-conv
"""


class Loops(unittest.TestCase):
    def test_loop_ir(self):
        found = loops.ir_loops(IR)
        self.assertEqual(list(found), ["conv"])
        self.assertEqual(found["conv"], [loops.IrLoop(fmas=2, instructions=6)])

    def test_an_if_counts_with_its_loop(self):
        text = IR.replace("if k < 3 {\n        e = fma e, e, e\n      }\n", "") \
                 .replace("wp = lea wp[16]\n", "if k < 3 {\n          e = fma e, e, e\n        }\n")
        self.assertEqual([p.fmas for p in loops.ir_loops(text)["conv"]], [3])

    def test_innermost(self):
        for text in (CLEAN, FRAME, SPILL):
            self.assertEqual([(x.function, x.label, x.fmas(), len(x.instructions))
                              for x in loops.asm_loops(text)], [("conv", ".L2", 2, 8)])

    def test_innermost_is_not_a_matter_of_place(self):
        found = loops.asm_loops(OUT_OF_LINE)
        self.assertEqual([(x.label, x.fmas(), x.spills) for x in found], [(".LBB0_3", 1, [])])

    def test_spills(self):
        def spills(text):
            return [line for x in loops.asm_loops(text) for line in x.spills]

        self.assertEqual(spills(CLEAN), [])
        self.assertEqual(spills(SPILL), ["vfmadd231ps -72(%rsp), %ymm2, %ymm5"])
        self.assertEqual(spills(FRAME), ["vfmadd231ps -72(%rbp), %ymm2, %ymm5"])
        self.assertEqual(spills(POINTER), [], "%rbp is any register where it is no frame")


class HotLoops(unittest.TestCase):
    def check(self, text, known=(), compiler="gcc"):
        checker = hot_loops.Checker(known)
        checker.add(compiler, "x86-64-v3", "net", loops.asm_loops(text), loops.ir_loops(IR))
        self.notes = checker.notes()
        return checker.wrong

    def known(self, what, most, kernel="con."):
        return (hot_loops.Known("gcc", "x86-64-v3", kernel, what, most, "a reason"),)

    def test_clean(self):
        self.assertEqual(self.check(CLEAN), [])

    def test_a_spill_names_function_and_loop(self):
        wrong = self.check(SPILL)
        self.assertEqual(len(wrong), 1)
        self.assertRegex(wrong[0], r"^net: gcc, x86-64-v3: conv, loop at \.L2: 1 instructions touch")
        self.assertIn("-72(%rsp), %ymm2, %ymm5", wrong[0])
        self.assertEqual(len(self.check(SPILL, compiler="clang")), 1)

    def test_too_few_fmas(self):
        wrong = self.check(WASTE)
        self.assertEqual(len(wrong), 1)
        self.assertIn("conv, loop at .L2: 2 FMAs among 14 instructions", wrong[0])

    def test_a_loop_that_is_gone(self):
        wrong = "\n".join(self.check(UNROLLED))
        self.assertIn("its loop of 2 FMAs is no innermost loop", wrong)
        self.assertIn("loop at .L3: 3 FMAs; its loop IR has 2", wrong)
        self.assertTrue(self.check(CLEAN.replace("vfmadd231ps", "vmulps")))

    def test_known(self):
        self.assertEqual(self.check(SPILL, self.known("spill", 1)), [])
        self.assertEqual(len(self.check(SPILL, self.known("spill", 0))), 1)
        self.assertEqual(len(self.check(SPILL, self.known("share", 0.1))), 1)
        self.assertEqual(self.check(WASTE, self.known("share", 0.5)), [])
        self.assertEqual(len(self.check(WASTE, self.known("share", 0.8))), 1)

    def test_known_but_not_needed(self):
        self.assertEqual(self.check(CLEAN, self.known("spill", 1)), [])
        self.assertIn("no loop of con. needs its row", self.notes[0])
        self.check(CLEAN, self.known("spill", 1, "other"))
        self.assertEqual(self.notes, [])


class Instructions(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "table.txt"
        instructions.update({"lite0": instructions.row("lite0", 1000, 4000)}, self.path)
        self.table = instructions.read_table(self.path)

    def compare(self, count, name="lite0"):
        return instructions.compare({name: instructions.row(name, count, 4000)}, self.table)

    def test_slack(self):
        for count in (981, 1000, 1019):
            self.assertEqual(self.compare(count), [])
        self.assertRegex(self.compare(1021)[0], r"lite0: 1021 .* 1000 \(\+2\.1 %\), slower")
        self.assertRegex(self.compare(979)[0], r"\(-2\.1 %\), better: keep that with --update")

    def test_new_row(self):
        self.assertIn("--update adds it", self.compare(1, "tv_b0")[0])

    def test_update_keeps_other_rows_in_order(self):
        instructions.update({"dense_1280_10": instructions.row("dense_1280_10", 7, 0)}, self.path)
        self.assertEqual(list(instructions.read_table(self.path)), ["dense_1280_10", "lite0"])

    def test_the_golden_table_is_complete(self):
        rows = instructions.read_table()
        layers = [name for group in networks.LAYERS.values() for name in group]
        self.assertEqual([n for n in instructions.all_names() if n in rows], list(rows))
        self.assertLessEqual({*layers, *networks.OWN_MODELS}, set(rows))


FUSED = """graph @g(%x: f32[1,16,12,12]) -> f32[1,40,4,4] {
  const @e : f32[96,16,1,1] = xxh:0000000000000000
  %x.1 = reorder %x : f32[1,16,12,12]{nchw8c, arena=36864}
  %"y:0", _, %"y:0.scratch" = conv2d_dwconv2d %x.1, @e, @f, @d, @b {act=silu, dw_kernel=3x3, \
dw_stride=2x2, dw_pad=1x1x1x1, band=2, parts=4} : f32[1,96,6,6]{nchw8c, arena=0}, f32[6000]{arena=64}
  %z = conv2d %"y:0", @p {kernel=3x3, act=relu} : f32[1,40,4,4]{nchw8c, halo=1x1x1x1, arena=13824}  # "z"
  return %z "z"
}
""".replace("\\\n", "")


class Fusion(unittest.TestCase):
    def test_read(self):
        results, fused = fusion.read(FUSED)
        self.assertEqual([(t.name, t.bytes) for t in results],
                         [("%x.1", 4 * 16 * 144), ('%"y:0"', 4 * 96 * 36), ('%"y:0.scratch"', 24000),
                          ("%z", 4 * 40 * 36)])
        self.assertEqual(fused, [fusion.Fused('%"y:0"', 4 * 96 * 144, 24000)])

    def test_the_first_of_two_by_its_own_attributes(self):
        text = FUSED.replace("{act=silu", "{kernel=3x3, stride=2x2, pad=0x0x1x1, act=silu")
        self.assertEqual(fusion.read(text)[1][0].between, 4 * 96 * 36)

    def test_check(self):
        self.assertEqual(fusion.check("net", FUSED, 1), [])
        self.assertIn("1 pairs are fused, of at least 2", fusion.check("net", FUSED, 2)[0])
        self.assertIn("works in 28000 bytes; what it saves has 55296",
                      fusion.check("net", FUSED.replace("f32[6000]", "f32[7000]"), 1)[0])
        self.assertIn("%x.1 has 55296 bytes, and a fused pair was to save 55296",
                      fusion.check("net", FUSED.replace("16,12,12]{", "96,12,12]{").replace(
                          "(%x: f32[1,16", "(%x: f32[1,96"), 1)[0])


class Sizes(unittest.TestCase):
    def test_bounds(self):
        most = sizes.Bound(10, 20, None, 3, 4, 50)
        self.assertEqual(sizes.compare("m", sizes.Bound(10, 20, 99, 3, 4, 50), most, True), [])
        wrong = sizes.compare("m", sizes.Bound(11, 20, 99, 3, 5, 51), most, True)
        self.assertEqual([line.split()[1] for line in wrong], ["kernels", "seconds", "memory"])
        self.assertEqual(len(sizes.compare("m", sizes.Bound(11, 20, 99, 3, 5, 51), most, False)), 1)

    def test_cost_is_measured(self):
        seconds, memory = sizes.timed(sys.executable, "-c", "sum(range(2_000_000))")
        self.assertGreater(seconds, 0)
        self.assertGreater(memory, 1 << 20)
        with self.assertRaises(sizes.toolchain.Failed):
            sizes.timed(sys.executable, "-c", "import sys; sys.exit(3)")


if __name__ == "__main__":
    unittest.main()
