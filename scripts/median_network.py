#!/usr/bin/env python3
"""Finds the comparisons of `src/ops/focal/network.rs`: what a median of k × k cells needs once its columns are sorted.

Starts from a network that is right by construction (sort the rows, then sort the cells that may still be the middle one) and takes
away, from the end, each comparison without which every column-sorted window of zeros and ones still comes out right. By the
zero-one principle so does every window. Prints the pairs; the smaller cell goes to the first place of a pair.
"""

import itertools

# Optimal sorting networks; any network gives the same sort.
SORT = {3: [(0, 2), (0, 1), (1, 2)], 5: [(0, 3), (1, 4), (0, 2), (1, 3), (0, 1), (2, 4), (1, 2), (3, 4), (2, 3)]}


def batcher(n):
    """Batcher's odd-even mergesort of n places."""
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(min(k, n - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        yield i + j, i + j + k
            k //= 2
        p *= 2


def windows(k):
    """Every window of zeros and ones with sorted columns, one a bit: what each cell is in all of them, and the medians."""
    cells, medians = [0] * (k * k), 0
    for bit, zeros in enumerate(itertools.product(range(k + 1), repeat=k)):
        ones = 0
        for row, col in itertools.product(range(k), range(k)):
            if row >= zeros[col]:
                cells[row * k + col] |= 1 << bit
                ones += 1
        if ones > k * k // 2:
            medians |= 1 << bit
    return cells, medians


def pruned(k, network, middle):
    cells, medians = windows(k)

    def right(network):
        now = list(cells)
        for a, b in network:
            now[a], now[b] = now[a] & now[b], now[a] | now[b]
        return now[middle] == medians

    assert right(network)
    for at in reversed(range(len(network))):
        shorter = network[:at] + network[at + 1 :]
        if right(shorter):
            network = shorter
    return network


def operations(network, middle):
    """Counts the minima and maxima that matter to the middle."""
    needed, count = {middle}, 0
    for a, b in reversed(network):
        halves = (a in needed) + (b in needed)
        count += halves
        if halves:
            needed |= {a, b}
    return count


def best(k):
    rows = [(row * k + a, row * k + b) for row in range(k) for a, b in SORT[k]]
    # After both sorts, cell (r, c) has (r + 1)(c + 1) − 1 others that are not above it, and as many below from the other end.
    half = k * k // 2
    may = [
        r * k + c
        for r in range(k)
        for c in range(k)
        if (r + 1) * (c + 1) - 1 <= half and (k - r) * (k - c) - 1 <= half
    ]
    found = []
    for order in (may, sorted(may, key=lambda w: (w // k + w % k, w)), sorted(may, key=lambda w: (w % k - w // k, w))):
        middle = order[len(may) // 2]
        network = pruned(k, rows + [(order[a], order[b]) for a, b in batcher(len(may))], middle)
        found.append((operations(network, middle), network, middle))
    return min(found)


for k in (3, 5):
    count, network, middle = best(k)
    print(f"{k} × {k}: {len(network)} comparisons, {count} minima and maxima, median in cell {middle}")
    print(", ".join(f"{a} {b}" for a, b in network))
