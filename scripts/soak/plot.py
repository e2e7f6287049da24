"""Samples of a process as a picture: one row for each quantity, over the minutes of the soak."""

WIDTH, ROW, LEFT, TOP = 860, 110, 90, 34


def svg(title: str, samples: list[dict], marks: list[tuple[float, str]]) -> str:
    """`samples`: rows with "seconds" and quantities; `marks`: when something happened, and its letter."""
    names = [name for name in samples[0] if name != "seconds"]
    end = max(samples[-1]["seconds"], 1)
    height = TOP + ROW * len(names) + 30
    x = lambda seconds: LEFT + (WIDTH - LEFT - 20) * seconds / end
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{title}</text>',
    ]
    bottom = TOP + ROW * len(names)
    for seconds, kind in marks:
        dash = {"restart": "#c33", "rotation": "#bcd", "reload": "#ddd"}[kind]
        parts.append(f'<line x1="{x(seconds):.1f}" x2="{x(seconds):.1f}" y1="{TOP}" y2="{bottom}" stroke="{dash}"/>')
    for number, name in enumerate(names):
        values = [sample[name] for sample in samples]
        most = max(max(values) * 1.15, 1)
        base = TOP + ROW * (number + 1) - 12
        y = lambda value: base - (ROW - 26) * value / most
        points = " ".join(f'{x(s["seconds"]):.1f},{y(s[name]):.1f}' for s in samples)
        parts += [
            f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{base}" y2="{base}" stroke="#888"/>',
            f'<polyline points="{points}" fill="none" stroke="#246" stroke-width="1.5"/>',
            f'<text x="8" y="{base - ROW / 2 + 10:.0f}">{name}</text>',
            f'<text x="{LEFT - 6}" y="{y(max(values)) + 4:.0f}" text-anchor="end" fill="#666">{max(values):g}</text>',
        ]
    parts.append(f'<text x="{LEFT}" y="{bottom + 18}" fill="#666">0 to {end / 60:.0f} minutes; '
                 "red: Postgres restarts; blue: a new password; grey: a reload</text></svg>\n")
    return "\n".join(parts)
