"""Runs the tests with other programs: all of them, or those whose names contain one of the arguments."""

import sys
import time
import unittest

from places import DRIVERS


class Result(unittest.TextTestResult):
    """One line per test: what it shows, and how long that took."""

    def startTest(self, test):
        unittest.TestResult.startTest(self, test)
        self.began = time.monotonic()

    def _line(self, test, outcome):
        sentence = test.id().split(".")[-1].removeprefix("test_")
        self.stream.writeln(f"test {sentence} ... {outcome} ({time.monotonic() - self.began:.1f} s)")
        self.stream.flush()

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self._line(test, "ok")

    def addError(self, test, error):
        unittest.TestResult.addError(self, test, error)
        self._line(test, "FAILED")

    def addFailure(self, test, error):
        unittest.TestResult.addFailure(self, test, error)
        self._line(test, "FAILED")

    def addSubTest(self, test, subtest, error):
        unittest.TestResult.addSubTest(self, test, subtest, error)
        if error is not None:
            self._line(test, f"FAILED {subtest._subDescription()}")


def flat(suite):
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from flat(entry)
        else:
            yield entry


def main(names):
    tests = list(flat(unittest.TestLoader().discover(str(DRIVERS.parent))))
    if names:
        tests = [test for test in tests if any(name in test.id() for name in names)]
    runner = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=0)
    result = runner.run(unittest.TestSuite(tests))
    broken = {failure[0].id() for failure in [*result.failures, *result.errors]}
    failed = len(broken)
    if result.testsRun == 0:
        print("no test has such a name")
        failed = 1
    word = "ok" if failed == 0 else "FAILED"
    print(f"test result: {word}. {max(result.testsRun - failed, 0)} passed; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
