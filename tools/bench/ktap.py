# SPDX-License-Identifier: GPL-2.0
"""Runs unittest's tests and prints KTAP lines."""

import traceback
import unittest
from types import ModuleType


class Ktap(unittest.TestResult):
    """Prints a KTAP line for each test."""

    def line(self, test: unittest.TestCase, word: str, why: str = "") -> None:
        """One line, and why it failed."""
        print(f"{word} {self.testsRun} - {test.shortDescription() or test.id()}")
        for text in why.splitlines()[-40:]:
            print(f"# {text}")

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        """A test that passed."""
        super().addSuccess(test)
        self.line(test, "ok")

    def addFailure(self, test: unittest.TestCase, err: tuple) -> None:  # noqa: N802
        """A test that failed."""
        super().addFailure(test, err)
        self.line(test, "not ok", "".join(traceback.format_exception(*err)))

    def addError(self, test: unittest.TestCase, err: tuple) -> None:  # noqa: N802
        """A test that raised an error."""
        super().addError(test, err)
        self.line(test, "not ok", "".join(traceback.format_exception(*err)))


def run(module: ModuleType) -> int:
    """Runs the tests of a module; returns the exit status."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    print(f"KTAP version 1\n1..{suite.countTestCases()}")
    result = Ktap()
    suite.run(result)
    return 0 if result.wasSuccessful() else 1
