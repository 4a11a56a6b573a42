"""The pictures of the report, each from plain arrays to one inline `<svg>`.

They draw what they are given and compute no statistics beyond sorting and binning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from landmint.pipeline.report.palette import INK, MUTED, SURFACE, look_of
from landmint.pipeline.report.svg import drawing, grid, inline
from landmint.quantize.explain.explanation import Explanation
from landmint.runtime.sustained import Sustained, SustainedFigures, summarise_sustained

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trade:
    """One variant in the picture of displacement against latency."""

    variant: str
    """Format and precision."""
    latency_ms: float
    """Warm median."""
    moved_percent: float
    """Mean distance to the reference, % of the unit of errors."""
    low_percent: float
    """Lower end of the displacement's interval."""
    high_percent: float
    """Upper end of the displacement's interval."""


def flat(blocks: Sequence[Sequence[float]]) -> Floats:
    """All samples of all blocks, in order."""
    return np.array([sample for block in blocks for sample in block])


FLOOR_PERCENT = 0.001
"""Less displacement is drawn at this height: a logarithmic axis has no place for zero."""


def tradeoff(trades: Sequence[Trade]) -> str:
    """Displacement (logarithmic) against latency: the best place is the lower left corner."""
    with drawing(7.4, 4.4) as figure:
        axes = figure.subplots()
        for trade in trades:
            look = look_of(trade.variant)
            low, middle, high = (
                max(FLOOR_PERCENT, value)
                for value in (trade.low_percent, trade.moved_percent, trade.high_percent)
            )
            axes.errorbar(
                [trade.latency_ms],
                [middle],
                yerr=[[middle - min(low, middle)], [max(high, middle) - middle]],
                fmt=look.marker,
                color=look.color,
                markersize=9,
                markeredgecolor=SURFACE,
                elinewidth=1.4,
                capsize=3,
                zorder=3,
            )
        top = max([trade.high_percent for trade in trades], default=FLOOR_PERCENT)
        slowest = max([trade.latency_ms for trade in trades], default=1.0)
        axes.set_yscale("log")
        axes.set_xlim(0, slowest * 1.22)
        axes.set_ylim(FLOOR_PERCENT * 0.5, max(1.0, top) * 2.5)
        axes.yaxis.set_major_formatter(_percent_or_less)
        axes.yaxis.set_minor_formatter(NullFormatter())
        _label_points(axes, trades)
        axes.set_xlabel("warm median latency, ms a face")
        axes.set_ylabel("landmarks moved by %")
        grid(axes)
        description = "; ".join(
            f"{t.variant} {t.latency_ms:.2f} ms, moved {t.moved_percent:.3f} %" for t in trades
        )
        return inline(figure, "tradeoff", f"Displacement against latency. {description}")


def _percent_or_less(value: float, _: float) -> str:
    return f"≤ {value:g}" if np.isclose(value, FLOOR_PERCENT) else f"{value:g}"


_PLOT_PT = (430.0, 255.0)
"""Rough size of the trade-off's axes, in points; labels are placed by it."""


def _label_points(axes: Axes, trades: Sequence[Trade]) -> None:
    """Write each variant beside its marker, where no other marker or label stands."""
    x_span = axes.get_xlim()[1]
    y_low, y_high = np.log10(axes.get_ylim())
    heights = [max(FLOOR_PERCENT, trade.moved_percent) for trade in trades]
    places = [
        (
            trade.latency_ms / x_span * _PLOT_PT[0],
            (np.log10(height) - y_low) / (y_high - y_low) * _PLOT_PT[1],
        )
        for trade, height in zip(trades, heights, strict=True)
    ]
    taken = [(x - 6, x + 6, y) for x, y in places]
    for trade, height, (x, y) in zip(trades, heights, places, strict=True):
        width = 5.9 * len(trade.variant)
        dx, dy = _free_place(x, y, width, taken)
        taken.append((x + dx, x + dx + width, y + dy))
        color = look_of(trade.variant).color
        leader = {"arrowstyle": "-", "color": color, "lw": 0.7, "shrinkB": 5}
        axes.annotate(
            trade.variant,
            (trade.latency_ms, height),
            xytext=(dx, dy),
            textcoords="offset points",
            va="center",
            fontsize=10,
            color=color,
            arrowprops=leader if abs(dy) > 14 else None,
        )


def _free_place(
    x: float, y: float, width: float, taken: Sequence[tuple[float, float, float]]
) -> tuple[float, float]:
    """The offset nearest to a marker at (x, y) where a text of that width overlaps nothing."""
    offsets = [(9.0, 0.0), (-9.0 - width, 0.0)]
    for lift in range(13, 140, 6):
        offsets += [(9.0, lift), (-width / 2, lift), (-9.0 - width, lift)]
    for dx, dy in offsets:
        left, right = x + dx, x + dx + width
        inside = left > 0 and right < _PLOT_PT[0] and y + dy < _PLOT_PT[1]
        if inside and not any(
            left < other_right and other_left < right and abs(y + dy - other_y) < 12
            for other_left, other_right, other_y in taken
        ):
            return dx, dy
    return 9.0, 0.0


def cumulative_errors(errors: Mapping[str, Floats], limit_percent: float) -> str:
    """Cumulative error distribution: share of faces (y) with an error of at most x.

    Args:
        errors: per variant the NME of every face, in % of the normaliser.
        limit_percent: right end of the axis, the failure threshold.
    """
    with drawing(7.4, 4.6) as figure:
        axes = figure.subplots()
        for variant, values in errors.items():
            look = look_of(variant)
            ordered = np.sort(values)
            share = np.arange(1, len(ordered) + 1) / len(ordered) * 100
            x = np.concatenate([[0.0], ordered, [max(limit_percent, ordered[-1])]])
            y = np.concatenate([[0.0], share, [100.0]])
            kept = _thinned(x, limit_percent)
            axes.plot(
                x[kept],
                y[kept],
                drawstyle="steps-post",
                color=look.color,
                linestyle=look.line,
                linewidth=2.2 if variant.startswith("torch") else 1.6,
                label=variant,
            )
        axes.set_xlim(0, limit_percent)
        axes.set_ylim(0, 101)
        axes.set_xlabel("NME of a face, %")
        axes.set_ylabel("share of faces with at most that error, %")
        grid(axes)
        figure.legend(loc="outside lower center", ncols=3, handlelength=3)
        return inline(
            figure,
            "ced",
            f"Cumulative error curves of {', '.join(errors)}, up to {limit_percent} %",
        )


def _thinned(x: Floats, limit: float, most: int = 180) -> NDArray[np.intp]:
    """Indices of at most about `most` samples of a rising curve, its ends within the axis kept."""
    inside = np.flatnonzero(x <= limit)
    beyond = np.flatnonzero(x > limit)[:1]
    step = max(1, len(inside) // most)
    return np.unique(np.concatenate([inside[::step], inside[-1:], beyond]))


_SHOWN = 0.9
"""Share of each variant's runs that the axis of the latencies has room for, at least."""


def latency_spread(samples: Mapping[str, Floats]) -> str:
    """One hill of raw latencies per variant, with its median, p90 and p99.

    Args:
        samples: per variant all raw warm latencies in ms.
    """
    with drawing(7.4, 0.7 + 0.52 * max(1, len(samples))) as figure:
        axes = figure.subplots()
        everything = np.concatenate(list(samples.values()))
        # Few runs are a hundred times as slow as the rest; they would squeeze all others.
        high = max(float(np.quantile(values, _SHOWN)) for values in samples.values()) * 1.3
        edges = np.geomspace(float(everything.min()) * 0.95, high, 150)
        for row, (variant, values) in enumerate(samples.items()):
            look = look_of(variant)
            counts, _ = np.histogram(values, edges)
            height = 0.82 * counts / max(1, counts.max())
            axes.stairs(
                -row + height, edges, baseline=-row, fill=True, color=look.color, alpha=0.55, lw=0
            )
            median, p90, p99 = np.quantile(values, [0.5, 0.9, 0.99])
            axes.vlines([median], -row - 0.12, -row + 0.82, color=INK, lw=1.6)
            axes.vlines([p90, p99], -row - 0.12, -row + 0.28, color=MUTED, lw=1.2)
        axes.set_xscale("log")
        axes.set_xlim(edges[0], edges[-1])
        axes.xaxis.set_major_locator(_readable_ticks(edges[0], edges[-1]))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_yticks([-row for row in range(len(samples))], list(samples))
        axes.set_ylim(-len(samples) + 0.75, 1.0)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.spines["left"].set_visible(False)
        beyond = float(np.mean(everything > high))
        note = f"; {beyond:.1%} of the runs lie beyond" if beyond > 0 else ""
        axes.set_xlabel(f"latency of one face, ms (logarithmic{note})")
        grid(axes, "x")
        medians = "; ".join(f"{name} median {np.median(v):.2f} ms" for name, v in samples.items())
        return inline(figure, "latency", f"Distributions of latency. {medians}")


def _readable_ticks(low: float, high: float) -> FixedLocator:
    """Round numbers between `low` and `high`, about six, evenly thinned."""
    steps = [m * 10.0**e for e in range(-4, 6) for m in (1, 1.5, 2, 3, 4, 5, 6, 8)]
    inside = [tick for tick in steps if low <= tick <= high]
    while len(inside) > 9:
        inside = inside[::2]
    return FixedLocator(inside)


@dataclass(frozen=True)
class Curve:
    """One training curve."""

    label: str
    """What it shows."""
    epochs: Floats
    """(E,) epoch numbers."""
    values: Floats
    """(E,) values."""


def training(loss: Sequence[Curve], error: Sequence[Curve], name: str) -> str:
    """Loss (left, logarithmic) and validation NME (right) over the epochs of one network."""
    with drawing(7.4, 2.9) as figure:
        left, right = figure.subplots(1, 2)
        for axes, curves, title in (
            (left, loss, f"{name}: training loss"),
            (right, error, f"{name}: validation NME, %"),
        ):
            for curve, color in zip(curves, (INK, MUTED, look_of("onnx").color) * 3, strict=False):
                mark = "o" if len(curve.epochs) < 15 else ""
                axes.plot(
                    curve.epochs, curve.values, color=color, marker=mark, ms=3, label=curve.label
                )
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            grid(axes)
            if len(curves) > 1:
                axes.legend()
        if any(curve.values.min() * 5 < curve.values.max() for curve in loss) and all(
            (curve.values > 0).all() for curve in loss
        ):
            left.set_yscale("log")
            left.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            left.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            left.yaxis.set_minor_locator(NullLocator())
        last = ", ".join(f"{c.label} ends at {c.values[-1]:.3g}" for c in (*loss, *error))
        return inline(figure, f"training-{name}", f"Training of the {name}: {last}")


_NAMED_LAYERS = 3


def layer_losses(explanation: Explanation) -> str:
    """What each layer, quantised alone, displaces (above); SNR of its activations (below)."""
    layers = explanation.layers
    color = look_of("onnx/int8").color
    with drawing(7.4, 4.6) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        displacements = [layer.alone.displacement_px if layer.alone else 0.0 for layer in layers]
        upper.bar(range(len(layers)), displacements, color=color, width=0.8)
        names = []
        for rank, place in enumerate(np.argsort(displacements)[::-1][:_NAMED_LAYERS], start=1):
            upper.text(
                place, displacements[place], str(rank), ha="center", va="bottom", fontsize=10
            )
            names.append(f"{rank}  {layers[place].place}")
        upper.text(1, 1, "\n".join(names), ha="right", va="top", transform=upper.transAxes)
        upper.set_ylim(0, max([*displacements, 1e-6]) * 1.35)
        upper.set_ylabel("alone, px moved")
        noise = [layer.snr_db for layer in layers]
        lower.plot(range(len(layers)), noise, color=color, linewidth=1.4)
        for place, layer in enumerate(layers):
            if not layer.quantised:
                lower.plot([place], [layer.snr_db], "o", color=MUTED, ms=4)
        lower.set_ylabel("SNR, dB")
        lower.set_xlabel("weighted layer, in order of execution")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (upper, lower):
            grid(axes, "y")
        worst = ", ".join(
            f"{layer.place} {layer.alone.displacement_px:.3f} px"
            for layer in explanation.worst_first()[:_NAMED_LAYERS]
            if layer.alone
        )
        return inline(figure, "losses", f"What each layer costs. Worst: {worst}")


_MOST_PLACES = 240
"""Of a sustained run's curve: moments are drawn together beyond that."""


def sustained(name: str, variant: str, run: Sustained) -> str:
    """Latency over minutes without a pause; below it clock and temperature, where they are told."""
    summary = summarise_sustained(run)
    assert summary is not None
    places = np.array_split(np.arange(len(run.runs)), min(len(run.runs), _MOST_PLACES))
    minutes = np.array([run.begun_s[place].mean() / 60 for place in places])
    moments = run.moments_ms
    samples = [np.concatenate([moments[i] for i in place]) for place in places]
    medians, tails = np.array([np.quantile(values, [0.5, 0.99]) for values in samples]).T
    below = [
        (label, np.array([values[place].mean() for place in places]))
        for label, values in (("clock, MHz", run.frequency_mhz), ("heat, C", run.temperature_c))
        if not np.isnan(values).all()
    ]
    with drawing(7.4, 2.8 + 1.1 * len(below)) as figure:
        rows = figure.subplots(1 + len(below), 1, sharex=True, squeeze=False)[:, 0]
        upper, heights = rows[0], [2.4, *[1.0] * len(below)]
        upper.get_gridspec().set_height_ratios(heights)
        color = look_of(variant).color
        upper.plot(minutes, tails, color=color, linewidth=0.9, alpha=0.5, label="p99")
        upper.plot(minutes, medians, color=color, linewidth=1.8, label="p50")
        # Few moments are disturbed far beyond the rest; they would squeeze the curve.
        upper.set_ylim(0, float(np.quantile(tails, 0.98)) * 1.25)
        upper.set_ylabel("latency, ms")
        upper.legend(loc="lower right", ncols=2)
        for axes, (label, values) in zip(rows[1:], below, strict=True):
            axes.plot(minutes, values, color=MUTED, linewidth=1.4)
            axes.set_ylabel(label)
        for axes in rows:
            grid(axes)
        for height, (mark, at_s) in zip((1.0, 0.91), _marks(summary), strict=False):
            for axes in rows:
                axes.axvline(at_s / 60, color=INK, linewidth=0.9, linestyle=(0, (3.0, 2.0)))
            place = upper.get_xaxis_transform()
            upper.text(at_s / 60, height, f" {mark}", va="top", fontsize=10, transform=place)
        rows[-1].set_xlabel("minutes")
        words = "; ".join(f"{p.name} median {p.p50_ms:.2f} ms" for p in summary.phases)
        return inline(figure, name, f"{variant} without a pause: {words}")


def _marks(summary: SustainedFigures) -> list[tuple[str, float]]:
    steady = summary.phase("steady")
    marks = [("throttled", summary.throttled_s), ("steady", steady.begun_s if steady else None)]
    return [(name, at_s) for name, at_s in marks if at_s is not None]
