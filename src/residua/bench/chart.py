"""The chart of a benchmark: a bar a case, standing alone as an SVG file."""

from __future__ import annotations

from markupsafe import Markup

from residua.bench.report import BenchReport, Result

_WIDTH, _LEFT, _RIGHT = 960, 300, 250
_TOP, _BAR, _GAP, _BETWEEN = 64, 20, 6, 18
_STYLE = """
svg { background: #ffffff; }
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #5c6570; }
.title { font-size: 18px; font-weight: 600; fill: #16191d; } .name { fill: #16191d; } .end { text-anchor: end; }
.ours { fill: #1b5fa8; } .peer { fill: #b4bcc4; } .spread { stroke: #16191d; stroke-width: 1.2; }
@media (prefers-color-scheme: dark) {
svg { background: #121518; } text { fill: #9aa4ae; } .title, .name { fill: #f2f4f6; }
.ours { fill: #7ab4f2; } .peer { fill: #4a535c; } .spread { stroke: #f2f4f6; }
}
"""


def chart(report: BenchReport) -> str:
    """Return the SVG document: images a second from the median, whiskers from the times' 95% to their 5% quantile."""
    fastest = max(result.case.batch / result.timing.quantile(0.05) for result in report.results)
    scale = (_WIDTH - _LEFT - _RIGHT) / fastest
    parts, y, group = [], _TOP, None
    for result in report.results:
        here = (result.case.model, result.case.mode, result.case.precision, result.case.batch, result.case.resolution)
        if group is not None and here != group:
            y += _BETWEEN
        group = here
        parts.append(_bar(result, y, scale))
        y += _BAR + _GAP
    height = y + 34
    machine = report.machine
    foot = "{processor}, {threads}, {device}; torch {torch}; {date}".format_map(machine)
    head = Markup('<text class="title" x="24" y="34">{}</text>').format("Images a second, median of the steps")
    below = Markup('<text x="24" y="{}">{}</text>').format(height - 14, foot)
    document = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-label="{label}"><style>{style}</style>{head}{bars}{below}</svg>'
    ).format(
        w=_WIDTH,
        h=height,
        label="; ".join(
            f"{r.case.model} by {r.case.source}: {r.images_per_second:.1f} images/s" for r in report.results
        ),
        style=Markup(_STYLE),
        head=head,
        bars=Markup("").join(parts),
        below=below,
    )
    return f"{document}\n"


def _bar(result: Result, y: int, scale: float) -> Markup:
    case, middle = result.case, y + _BAR / 2
    low, high = (case.batch / result.timing.quantile(share) for share in (0.95, 0.05))
    kind = "ours" if case.source == "residua" else "peer"
    after = f"{result.images_per_second:,.1f}"
    if result.ratio:
        after += f" · ours {result.ratio.median:.2f} times as fast"
    return Markup(
        '<text class="name end" x="{name_x}" y="{text_y}">{name}</text>'
        '<rect class="{kind}" x="{left}" y="{y}" width="{width:.1f}" height="{height}" rx="3"/>'
        '<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
        '<text x="{after_x:.1f}" y="{text_y}">{after}</text>'
    ).format(
        name_x=_LEFT - 10,
        text_y=middle + 4.5,
        name=f"{case.model}, {case.source}{'' if case.engine == 'eager' else ' ' + case.engine}",
        kind=kind,
        left=_LEFT,
        y=y,
        width=max(1.0, result.images_per_second * scale),
        height=_BAR,
        low=_LEFT + low * scale,
        high=_LEFT + high * scale,
        middle=middle,
        after_x=_LEFT + max(high, result.images_per_second) * scale + 10,
        after=after,
    )
