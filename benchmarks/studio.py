"""Time until the studio shows its first picture, and pictures per second after that.

    python benchmarks/studio.py [--size 256] [--iterations 150]

It runs without a browser and counts the pictures that would be sent to one.
"""

import argparse
import time

from measure import table

from nstlib.widgets import Studio


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=150)
    options = parser.parse_args()
    studio = Studio(size=options.size, iterations=options.iterations)
    times = []
    studio.view.picture.observe(lambda change: times.append(time.monotonic()), "value")
    started = time.monotonic()
    studio.start()
    studio.wait()
    studio.close()
    rate = (len(times) - 1) / (times[-1] - times[0])
    rows = [[options.size, f"{times[0] - started:.1f}", f"{rate:.1f}", f"{times[-1] - started:.1f}"]]
    table(["size", "first picture (s)", "pictures per second", "all (s)"], rows)


if __name__ == "__main__":
    main()
