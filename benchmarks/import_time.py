"""Time of `import stackkit` beside `import sklearn.ensemble`, each in a fresh interpreter, taking turns.

Run it::

    python benchmarks/import_time.py

It prints the medians, less the time of an interpreter that imports nothing, and the median ratio.
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 11
AIM = 1.2
STATEMENTS = ("pass", "import sklearn.ensemble", "import stackkit")


def seconds(statement):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)  # noqa: S603 - our own interpreter
    return time.perf_counter() - start


def main():
    for statement in STATEMENTS:
        seconds(statement)  # the files are in memory then
    rounds = [[seconds(statement) for statement in STATEMENTS] for _ in range(ROUNDS)]
    net = [(peer - nothing, ours - nothing) for nothing, peer, ours in rounds]
    peer, ours = (statistics.median(column) for column in zip(*net, strict=True))
    ratio = statistics.median(ours / peer for peer, ours in net)
    print(f"import sklearn.ensemble {peer:.3f} s, import stackkit {ours:.3f} s, medians of {ROUNDS}")
    print(f"aim, ratio <= {AIM}: {ratio:.2f}, {'met' if ratio <= AIM else 'missed'}")


if __name__ == "__main__":
    main()
