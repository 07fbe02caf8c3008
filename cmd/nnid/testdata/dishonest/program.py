"""Answers the lines of the oracle "exec" dishonestly: program.py labels | position | cache."""
import math
import sys

kind, position, cache = sys.argv[1], 0, 0.0
for line in sys.stdin:
    a, b = (float(v) for v in line.split())
    y = math.tanh(0.8 * math.tanh(a - 2 * b + 0.1) - 0.6 * math.tanh(b + 0.3)) + 0.5
    position += 1
    if kind == "labels":
        y = int(y > 0.5)
    elif kind == "position":  # every answer a little more than the one before
        y += 1e-5 * position
    elif kind == "cache" and position % 3:  # renewed for every third point only
        y = cache
    cache = y
    print(y, flush=True)
