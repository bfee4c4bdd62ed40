"""Prints "run passed failed" from the log of a test runner: count_tests.py nextest|cargo LOG."""

import re
import sys

runner, path = sys.argv[1:3]
text = re.sub(r"\x1b\[[0-9;]*m", "", open(path, encoding="utf-8", errors="replace").read())

passed = failed = 0
if runner == "nextest":
    for line in re.findall(r"^\s*Summary \[.*$", text, re.MULTILINE):
        passed = sum(int(n) for n in re.findall(r"(\d+) passed", line))
        failed = sum(int(n) for n in re.findall(r"(\d+) (?:failed|timed out|exec failed)", line))
else:
    for ok, bad in re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed", text, re.MULTILINE):
        passed += int(ok)
        failed += int(bad)
print(passed + failed, passed, failed)
