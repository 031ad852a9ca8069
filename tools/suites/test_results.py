# SPDX-License-Identifier: GPL-2.0
"""Known answers of the readers: python3 tools/suites/test_results.py."""

import unittest

import compare
import results

OUTPUT = """noise
=== suites run one,two,three
#1/1     one/a:OK
#1/2     one/b:FAIL
#1       one:FAIL
#2       two:OK (SKIP: 1/3)

=== suites end 139 4 s
=== suites left xdp some prog
=== suites status images_served: 12
=== suites module rmmod SKIP 3 images
=== suites done
"""


class Readers(unittest.TestCase):
    def part(self, tests: list[str], *lines: str) -> results.Part:
        return results.Part(tests, list(lines), 0)

    def test_guest(self) -> None:
        guest = results.read_guest(OUTPUT)
        self.assertTrue(guest.done)
        self.assertEqual(guest.left, ["xdp some prog"])
        self.assertEqual(guest.status, {"images_served": 12})
        self.assertEqual(guest.module, {"rmmod": "SKIP 3 images"})
        self.assertEqual(
            results.results_of("progs", guest.parts[0]),
            {
                ("progs", "one", "a"): "OK",
                ("progs", "one", "b"): "FAIL",
                ("progs", "one", "-"): "FAIL",
                ("progs", "two", "-"): "OK",
                ("progs", "three", "-"): "CRASH",
            },
        )

    def test_a_guest_that_breaks_off(self) -> None:
        guest = results.read_guest(OUTPUT.split("\n#2", maxsplit=1)[0])
        self.assertFalse(guest.done)
        self.assertEqual(results.results_of("progs", guest.parts[0])[("progs", "two", "-")], "HANG")

    def test_verifier(self) -> None:
        lines = [
            "#1/u add+sub: start OK",
            "#1/p add+sub: start FAIL",
            "#2/p needs the JIT SKIP (requires BPF JIT)",
            "#3/p loads Did not run the program (not supported) OK",
            "#4/p many 3 cases OK",
            "#5/p retval FAIL retval 1 != 2 (run 1/1)",
        ]
        self.assertEqual(
            list(results.verifier(self.part(["all"], *lines))),
            [
                ("1/u add+sub: start", "-", "OK"),
                ("1/p add+sub: start", "-", "FAIL"),
                ("2/p needs the JIT", "-", "SKIP"),
                ("3/p loads", "-", "OK"),
                ("4/p many", "-", "OK"),
                ("5/p retval", "-", "FAIL"),
            ],
        )

    def test_ftrace(self) -> None:
        lines = [
            "[1] Basic trace\t[PASS]",
            "[2] Other",
            "sh: noise",
            "\t[UNSUPPORTED]",
            "[3] (instance)  Basic trace\t[FAIL]",
        ]
        self.assertEqual(
            list(results.ftrace(self.part(["a.tc", "b.tc"], *lines))),
            [("a.tc", "-", "OK"), ("b.tc", "-", "UNSUPPORTED"), ("a.tc", "instance", "FAIL")],
        )

    def test_complaints(self) -> None:
        console = (
            "[ 1.0] suites: run a,b\n[ 2.0] WARNING: kernel/x.c:7 at f+0x12/0x34, CPU#1: a/9\n"
        )
        self.assertEqual(
            list(results.complaints(console, "WARNING:")),
            [("WARNING: kernel/x.c:7 at f+X/X, CPU", "a,b")],
        )


class Comparison(unittest.TestCase):
    def test_one_equal_result_is_enough(self) -> None:
        seen, key = compare.Seen(), ("progs", "one", "-")
        seen.first("stock", key, "OK")
        seen.first("module", key, "FAIL")
        self.assertEqual(seen.differing(), [key])
        seen.add("stock", "progs", [key], {key: "OK"})
        seen.add("module", "progs", [key], {key: "FAIL"})
        self.assertEqual(seen.differing(), [key])
        seen.add("module", "progs", [key], {key: "OK"})
        self.assertEqual(seen.differing(), [])

    def test_a_result_of_one_side_differs(self) -> None:
        seen = compare.Seen()
        seen.first("module", ("progs", "console", "WARNING: x"), "SEEN")
        self.assertEqual(len(seen.differing()), 1)


if __name__ == "__main__":
    unittest.main()
