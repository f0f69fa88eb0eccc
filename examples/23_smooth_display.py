"""Smooth display. How often should a screen be drawn?

    python examples/23_smooth_display.py

Tokens come unevenly, and faster than anybody sees. You will see three ways to show the same hundred arrivals, drawn on
one scale: for each token, a hundred redraws; every 50 ms whatever has come, a third of that; and at an even pace, which
follows the average so far and reads calmly, at the price of showing tokens late. The arrivals are computed, not waited
for.
"""

import random

import lesson

chance = random.Random(7)
arrivals, now = [], 0.0
while len(arrivals) < 100:  # bursts of a few tokens, then a pause
    now += chance.choice([0.0, 0.0, 0.002, 0.005, 0.06])
    arrivals.append(now)
end = arrivals[-1] + 0.1


def batched(arrivals, frame=0.05):
    """Draw at most once in a frame: at its end, if anything has come."""
    return sorted({(int(arrival / frame) + 1) * frame for arrival in arrivals})


def even(arrivals, hold=0.1):
    """Release one token at a time: start a little late, then keep the pace of those so far; never before one is there."""
    shown = []
    for number, arrival in enumerate(arrivals):
        pace = (arrival - arrivals[0]) / max(1, number)
        shown.append(max(arrival, shown[-1] + pace if shown else arrival + hold))
    return shown


for name, draws in (("each token", arrivals), ("every 50 ms", batched(arrivals)), ("even pace", even(arrivals))):
    gaps = [later - earlier for earlier, later in zip(draws, draws[1:])]
    print(f"{name:12}|{lesson.timeline(draws, end)}| {len(draws):3} draws, longest gap {1000 * max(gaps):3.0f} ms")
late = max(shown - arrival for shown, arrival in zip(even(arrivals), arrivals))
print(f"At an even pace a token is shown up to {1000 * late:.0f} ms late.")
