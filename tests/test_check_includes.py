"""Tests of scripts/check-includes: that it sees each kind of wrong include."""

import functools
import unittest

import trees

run_on = functools.partial(trees.run_on, "check-includes")


class CheckIncludes(unittest.TestCase):
    def test_right_directions_pass(self):
        code, out = run_on({
            "support/support.h": "#include <stdio.h>\n",
            "ir/graph.h": '#include "support/support.h"\n',
            "frontend/a.c": '#include "ir/graph.h"\n#include "onnx.pb-c.h"\n',
        })
        self.assertEqual((code, out), (0, ""))

    def test_wrong_ones_are_named(self):
        base = {"support/support.h": "#include <stdio.h>\n", "ir/graph.h": "", "passes/passes.h": ""}
        for name, line, why in [
            ("support/a.c", '#include "ir/graph.h"', "support must not depend on ir"),
            ("codegen/a.c", '#include "passes/passes.h"', "codegen must not depend on passes"),
            ("runtime/a.c", '#include "support/support.h"', "runtime must not depend on support"),
            ("ir/ops.def", '#include "passes/passes.h"', "ir must not depend on passes"),
            ("ir/a.c", '#  include "graph.h"', "paths start at the project's root"),
            ("ir/a.c", "#include <protobuf-c/protobuf-c.h>", "belongs to frontend"),
            ("passes/a.c", '#include "onnx.pb-c.h"', "belongs to frontend"),
            ("driver/effnetc.h", '#include "ir/graph.h"', "a header that is installed"),
        ]:
            code, out = run_on({**base, name: "\n" + line + "\n"})
            self.assertEqual(code, 1, line)
            self.assertIn(f"{name}:2: ", out)
            self.assertIn(why, out)

    def test_an_empty_tree_fails(self):
        self.assertEqual(run_on({})[0], 1)


if __name__ == "__main__":
    unittest.main()
