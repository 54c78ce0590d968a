"""Auditing by its definitions: exact binomial tails, and the worst law that keeps a claim as a linear program."""

import math
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog


def binomial_at_least(k, n, p):
    """P(Bin(n, p) >= k) for a rational p, exactly."""
    p = Fraction(p)
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


def largest_mean(factors, pairs):
    """Largest expectation of a bet over all laws (p, q) with both hockey-stick divergences at most delta.

    `factors` (2, B) multiply the wealth of a run on x and on x2; each of them has chance 1/2. Exact up to the solver:
    the divergence at (epsilon, delta) is at most delta iff slacks s >= p - e^epsilon q, s >= 0 add up to at most delta.
    """
    bins, points = factors.shape[1], len(pairs)
    slacks = 2 * points * bins
    cost = -np.concatenate([factors[0] / 2, factors[1] / 2, np.zeros(slacks)])
    rows, limits = [], []
    for i, (epsilon, delta) in enumerate(pairs):
        for direction in (0, 1):
            start = 2 * bins + (2 * i + direction) * bins
            for b in range(bins):
                row = np.zeros(2 * bins + slacks)
                row[direction * bins + b], row[(1 - direction) * bins + b] = 1.0, -math.exp(epsilon)
                row[start + b] = -1.0
                rows.append(row)
                limits.append(0.0)
            total = np.zeros(2 * bins + slacks)
            total[start : start + bins] = 1.0
            rows.append(total)
            limits.append(delta)
    sums = np.zeros((2, 2 * bins + slacks))
    sums[0, :bins] = sums[1, bins : 2 * bins] = 1.0
    found = linprog(cost, A_ub=np.array(rows), b_ub=limits, A_eq=sums, b_eq=[1.0, 1.0], method="highs")
    assert found.status == 0
    return -found.fun


def bin_bet(t1, t0, epsilon, prior, margin):
    """Log factors (label 1, label 0) of one bin by the formulas, in plain floats for moderate epsilon."""
    R = math.exp(epsilon) / (1 + math.exp(epsilon))
    n, h = t1 + t0, (t1 + 0.5) / (t1 + t0 + 1)
    up = h > 0.5
    g = R if up else 1 - R
    se = math.sqrt(R * (1 - R) / max(n, 1))
    rho = (t1 + prior * g) / (n + prior)
    beyond = (rho > R and h > R + margin * se) if up else (rho < 1 - R and h < 1 - R - margin * se)
    return (math.log(rho / g), math.log((1 - rho) / (1 - g))) if beyond else (0.0, 0.0)


def plane_value(p, q, epsilon, delta):
    """Best growth of one bet on one half-plane for known laws, over prefixes of the likelihood order and stakes."""
    E, m = math.exp(epsilon), delta / 2
    order = np.argsort(-p / (p + q))
    best = 0.0
    for stop in range(1, len(p) + 1):
        a, b = p[order[:stop]].sum() / 2, q[order[:stop]].sum() / 2
        for share in np.linspace(0.001, 0.999, 999):
            stake = share / (E + m)
            growth = a * math.log1p(stake * (1 - m)) + b * math.log1p(-stake * (E + m))
            best = max(best, growth + (1 - a - b) * math.log1p(-stake * m))
    return best


def float_features(value):
    """Sign bit, exponent, four low bits of the mantissa, and the largest power of two that divides a finite double."""
    bits = int(np.float64(value).view(np.uint64))
    exponent = math.frexp(value)[1] - 1 if value and abs(value) >= 2.0**-1022 else -1022
    numerator, denominator = Fraction(value).numerator, Fraction(value).denominator
    finest = 1100
    if numerator:
        finest = (abs(numerator) & -abs(numerator)).bit_length() - denominator.bit_length()
    return [bits >> 63, exponent, *((bits >> j) & 1 for j in range(4)), finest]
