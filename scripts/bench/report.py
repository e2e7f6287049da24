"""Medians, spread, and when not to believe them."""

from math import comb
from statistics import median, quantiles

# The middle half of the ratios of interleaved rounds may differ by this much of
# their median.
MAX_SPREAD = 0.15


class Ratio:
    """Of two things that were measured next to each other, round by round."""

    def __init__(self, ours: list[float], theirs: list[float]):
        rounds = sorted(a / b for a, b in zip(ours, theirs, strict=True) if b)
        self.value = median(rounds) if rounds else float("nan")
        lower, _, upper = quantiles(rounds, n=4, method="inclusive") if len(rounds) > 1 else [float("nan")] * 3
        self.spread = (upper - lower) / self.value
        self.between = interval(rounds)

    @property
    def steady(self) -> bool:
        return self.spread <= MAX_SPREAD

    def __str__(self) -> str:
        if not self.steady:
            return "unsteady"
        return f"{self.value:.2f} ±{self.spread / 2:.0%}".replace("%", " %")

    def json(self) -> dict:
        # A ratio that the rounds disagree on is not given away here either.
        value = round(self.value, 3) if self.steady else None
        return {"ratio": value, "spread": round(self.spread, 3), "between": [round(end, 3) for end in self.between]}


class Tail(Ratio):
    """Of a quantile. A round of two seconds has few transactions in its tail,
    and one hiccup of the machine is all of them: what is compared is the tail of
    all rounds together, and the spread is what leaving out any one round changes."""

    def __init__(self, ours: list[list[int]], theirs: list[list[int]], q: float):
        ratio = lambda a, b: quantile(a, q) / quantile(b, q)
        without = [ratio(ours[:n] + ours[n + 1:], theirs[:n] + theirs[n + 1:]) for n in range(len(ours))]
        self.value = ratio(ours, theirs)
        self.spread = (max(without) - min(without)) / self.value
        self.between = min(without), max(without)


def interval(rounds: list[float]) -> tuple[float, float]:
    """The rounds, sorted, between which the median of all there could be lies, 19
    times out of 20; with few rounds, the first and the last."""
    n, out, beyond = len(rounds), 0, 1
    while n and beyond / 2**n <= 0.025:
        out += 1
        beyond += comb(n, out)
    out = max(out - 1, 0)
    return (rounds[out], rounds[-1 - out]) if rounds else (float("nan"), float("nan"))


def judged(shown: str, ratio: dict, limit: float | None, at_least: bool) -> str:
    """With a mark. Rounds that disagree too much for a ratio may all the same
    agree on which side of the limit it is: then that much is said."""
    low, high = ratio["between"]
    if limit is None:
        return shown
    if ratio["ratio"] is not None:
        good = ratio["ratio"] >= limit if at_least else ratio["ratio"] <= limit
        return f"{shown} {'✓' if good else '✗'}"
    if at_least and low >= limit:
        return f"{shown}, ≥ {low:.2f} ✓"
    if not at_least and high <= limit:
        return f"{shown}, ≤ {high:.2f} ✓"
    return f"{shown} ✗" if (high < limit if at_least else low > limit) else shown


def quantile(rounds: list[list[int]], q: float) -> float:
    together = sorted(x for latencies in rounds for x in latencies)
    return together[int(q * (len(together) - 1))]


def table(head: list[str], rows: list[list[str]]) -> str:
    rows = [head] + rows
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)


STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .small { font-size: 11px; fill: #59636e }
  .pgvalet { fill: #0969da } .pgbouncer { fill: #afb8c1 } .haproxy { fill: none; stroke: #8c959f }
  .axis { stroke: #d1d9e0 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 }
    .pgvalet { fill: #4493f8 } .pgbouncer { fill: #656c76 } .haproxy { stroke: #9198a1 }
    .axis { stroke: #3d444d }
  }
"""


def chart(title: str, note: str, unit: str, bars: list[tuple[str, dict[str, float]]]) -> str:
    """Horizontal bars, a group a case; the shorter the better."""
    left, width, row = 190, 420, 15
    most = max(value for _, values in bars for value in values.values()) * 1.15
    names = list(bars[0][1])
    y = 78
    out = []
    for label, values in bars:
        out.append(f'<text x="{left - 10}" y="{y + row * len(values) / 2 + 4:.0f}" text-anchor="end">{label}</text>')
        for name, value in values.items():
            w = value / most * width
            out.append(f'<rect class="{name}" x="{left}" y="{y + 1}" width="{w:.1f}" height="{row - 3}" rx="2"/>')
            out.append(f'<text class="small" x="{left + w + 6:.1f}" y="{y + 11}">{value:.1f}</text>')
            y += row
        y += 10
    legend, x = [], left
    for name in names:
        legend.append(f'<rect class="{name}" x="{x}" y="53" width="11" height="11" rx="2"/>')
        legend.append(f'<text class="small" x="{x + 16}" y="62">{name}</text>')
        x += 100
    height = y + 10
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 {height}" role="img" aria-label="{title}">',
        f"<style>{STYLE}</style>",
        f'<text x="20" y="24" font-weight="600">{title}</text>',
        f'<text class="small" x="20" y="42">{note}</text>',
        *legend,
        f'<line class="axis" x1="{left}" y1="72" x2="{left}" y2="{y - 4}"/>',
        f'<text class="small" x="{left + width + 60}" y="62" text-anchor="end">{unit}</text>',
        *out,
        "</svg>",
        "",
    ])
