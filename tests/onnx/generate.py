#!/usr/bin/env python3
"""Writes the tests of operators that an installed onnx package (from PyPI) has, as test_nodes.py reads them.

    tests/onnx/generate.py FOLDER
    EFFNETC_ONNX_TESTS=FOLDER/node tests/onnx/test_nodes.py --effnetc COMMAND

The package's own tool, backend-test-tools, leaves them out in newer versions.
"""
import argparse

import onnx.backend.test.case.node as node_cases
from onnx.backend.test import cmd_tools


class NodeCases:
    """Takes the place of the module that the tool asks for its cases."""

    @staticmethod
    def collect_testcases():
        return node_cases.collect_testcases(None)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output", metavar="FOLDER")
    cmd_tools.model_test = NodeCases
    cmd_tools.generate_data(parser.parse_args())


if __name__ == "__main__":
    main()
