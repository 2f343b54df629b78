"""Charts as numbers: where lines, bands, bars and ticks lie in a box of fixed size; the template draws them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Chart", "Line", "histogram", "line_chart"]

WIDTH, HEIGHT = 360, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 12, 40
_TICK, _LABEL = 6, 24  # width of a tick's character, and of the label that is turned, with its distance
_MOST_POINTS = 400
_MOST_BINS = 40
_MOST_DOTS = 30
_SAME = 1e-6
_LARGE = 1e5


class Line(NamedTuple):
    """A curve before it is drawn.

    Args:
        x: where, of shape (n,).
        y: the values, of shape (n,).
        label: what a legend calls it; empty for none.
        low: the lower edge of a band around it, or None.
        high: the upper edge.
    """

    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    label: str = ""
    low: np.ndarray | None = None
    high: np.ndarray | None = None


class Chart(NamedTuple):
    """What the template draws, in a box of `WIDTH` by `HEIGHT`.

    Args:
        summary: what the chart shows, in words, for those who do not see it.
        x_label: below the horizontal axis.
        y_label: above the vertical axis.
        x_ticks: positions with their words.
        y_ticks: likewise.
        lines: the points of each line with its label.
        bands: the outline of each line's band, empty where it has none.
        bars: left, top, width and height of each bar.
        shade: left and right of a shaded span with its label, or None.
        dots: the points of each line, none where there are too many to be marked.
    """

    summary: str
    x_label: str
    y_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[tuple[str, str]]
    bands: list[str]
    bars: list[tuple[float, float, float, float]]
    shade: tuple[float, float, str] | None
    dots: list[list[tuple[float, float]]]

    width: int = WIDTH
    height: int = HEIGHT
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


class _Axis(NamedTuple):
    """From values to positions, on a linear or logarithmic scale."""

    low: float
    high: float
    start: float
    stop: float
    is_log: bool

    def place(self, values: Sequence[float] | np.ndarray | float) -> np.ndarray:
        numbers = np.asarray(values, float)
        low, high = self.low, self.high
        if self.is_log:
            numbers = np.log10(np.maximum(numbers, low))
            low, high = math.log10(low), math.log10(high)
        share = (numbers - low) / ((high - low) or 1)
        return np.round(self.start + np.clip(share, 0, 1) * (self.stop - self.start), 1)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        values = _log_ticks(self.low, self.high) if self.is_log else _ticks(self.low, self.high, most)
        return list(zip(self.place(values).tolist(), _tick_words(values, self.is_log), strict=True))


def line_chart(
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    summary: str,
    x_log: bool = False,
    y_log: bool = False,
    from_zero: bool = False,
    shade: tuple[float, float, str] | None = None,
    whole_x: bool = False,
) -> Chart:
    """Place curves with their bands.

    Args:
        lines: at least one, each of at least one point; on a logarithmic scale what is not > 0 is left out.
        x_label: below the horizontal axis.
        y_label: above the vertical axis.
        summary: what the chart shows, in words.
        x_log: whether the horizontal scale is logarithmic.
        y_log: whether the vertical scale is.
        from_zero: whether the vertical scale begins at 0.
        shade: a span of x with its label, or None.
        whole_x: whether only whole numbers are marked on the horizontal axis.

    Example:
        >>> chart = line_chart([Line([1, 2], [3.0, 4.0])], x_label="epoch", y_label="error", summary="it rises")
        >>> chart.lines[0][0]
        '52.0,180.0 344.0,12.0'
    """
    kept = [_positive(line, y_log) for line in lines]
    kept = [line for line in kept if len(line.y)]
    edges = [edge for line in kept for edge in (line.y, line.low, line.high) if edge is not None]
    xs = np.concatenate([np.asarray(line.x, float) for line in kept]) if kept else np.ones(1)
    ys = np.concatenate([np.asarray(edge, float) for edge in edges]) if kept else np.ones(1)
    if y_log:
        ys = ys[ys > 0]
    low = 0.0 if from_zero else float(ys.min())
    y_axis = _Axis(*_spread(low, float(ys.max()), y_log), HEIGHT - _BOTTOM, _TOP, y_log)
    y_ticks = y_axis.ticks(5)
    x_axis = _beside(y_ticks, *_spread(float(xs.min()), float(xs.max()), x_log), is_log=x_log)
    points = [(_points(x_axis, y_axis, line.x, line.y), line.label) for line in kept]
    bands = [
        ""
        if line.low is None or line.high is None
        else f"{_points(x_axis, y_axis, line.x, line.high)} {_points(x_axis, y_axis, line.x[::-1], line.low[::-1])}"
        for line in kept
    ]
    x_ticks = x_axis.ticks(6)
    if whole_x:
        x_ticks = [tick for tick in x_ticks if tick[1].replace(",", "").isdigit()]
    span = None
    if shade is not None:
        left, right = x_axis.place(shade[:2]).tolist()
        span = left, right, shade[2]
    dots = [
        list(zip(x_axis.place(line.x).tolist(), y_axis.place(line.y).tolist(), strict=True))
        if len(line.y) <= _MOST_DOTS
        else []
        for line in kept
    ]
    start, stop = x_axis.start, x_axis.stop
    return Chart(summary, x_label, y_label, x_ticks, y_ticks, points, bands, [], span, dots, left=start, right=stop)


def histogram(values: np.ndarray, *, x_label: str, y_label: str, summary: str) -> Chart:
    """Place the bars of a histogram of values, of which there is at least one.

    Example:
        >>> import numpy as np
        >>> len(histogram(np.arange(100.0), x_label="score", y_label="rows", summary="flat").bars)
        12
    """
    values = np.asarray(values, float)
    low, high = _spread(float(values.min()), float(values.max()), False)
    counts, edges = np.histogram(values, bins=min(_MOST_BINS, 2 + math.isqrt(len(values))), range=(low, high))
    y_axis = _Axis(0, float(counts.max()), HEIGHT - _BOTTOM, _TOP, False)
    y_ticks = y_axis.ticks(4)
    x_axis = _beside(y_ticks, low, high, is_log=False)
    lefts, tops = x_axis.place(edges), y_axis.place(counts)
    bars = [
        (float(left), float(top), round(float(right - left), 1), round(HEIGHT - _BOTTOM - float(top), 1))
        for left, right, top in zip(lefts[:-1], lefts[1:], tops, strict=True)
    ]
    start, stop = x_axis.start, x_axis.stop
    return Chart(summary, x_label, y_label, x_axis.ticks(6), y_ticks, [], [], bars, None, [], left=start, right=stop)


def _positive(line: Line, y_log: bool) -> Line:
    """The line as arrays, without what a logarithm has no place for, and with no more points than can be seen."""
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    kept = np.flatnonzero(y > 0) if y_log else np.arange(len(y))
    if len(kept) > _MOST_POINTS:
        kept = kept[np.linspace(0, len(kept) - 1, _MOST_POINTS).round().astype(int)]
    low, high = (None if edge is None else np.asarray(edge, float)[kept] for edge in (line.low, line.high))
    if y_log and low is not None and len(kept):
        low = np.maximum(low, y[kept].min())  # a band that reaches down to zero ends at the lowest number drawn
    return Line(x[kept], y[kept], line.label, low, high)


def _spread(low: float, high: float, is_log: bool) -> tuple[float, float]:
    """Limits that are not the same, as far as rounding goes."""
    if high - low > _SAME * max(abs(low), abs(high)):
        return low, high
    if is_log:
        return low / 2, low * 2
    margin = abs(low) / 2 or 0.5
    return low - margin, low + margin


def _points(x_axis: _Axis, y_axis: _Axis, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x_axis.place(x), y_axis.place(y), strict=True))


def _beside(y_ticks: Sequence[tuple[float, str]], low: float, high: float, *, is_log: bool) -> _Axis:
    """The horizontal axis, with room for the words of the vertical one and for its own last ones."""
    left = max(_LEFT, _LABEL + _TICK * max((len(words) for _, words in y_ticks), default=0))
    axis = _Axis(low, high, left, WIDTH - _RIGHT, is_log)
    end = max((place + _TICK / 2 * len(words) for place, words in axis.ticks(6)), default=0)
    return axis._replace(stop=axis.stop - max(0, math.ceil(end) - WIDTH))


def _tick_words(values: Sequence[float], is_log: bool) -> list[str]:
    """Numbers in full, or if large as 1.25e6, with digits enough to tell them apart.

    Example:
        >>> _tick_words([0, 2e5, 4e5], False), _tick_words([1234e3, 1235e3], False), _tick_words([1e4, 1e6], True)
        (['0', '2e5', '4e5'], ['1.234e6', '1.235e6'], ['10,000', '1e6'])
    """
    largest = max(map(abs, values), default=0)
    step = largest if is_log or len(values) < 2 else values[1] - values[0]
    digits = max(0, math.floor(math.log10(largest)) - math.floor(math.log10(step) + 1e-9)) if largest else 0
    words = []
    for value in values:
        if (abs(value) if is_log else largest) < _LARGE:
            words.append(f"{value:,.6g}")
        else:
            mantissa, power = f"{value:.{digits}e}".split("e")
            words.append(f"{mantissa}e{int(power)}" if value else "0")
    return words


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers within the limits: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    digits = 12 - math.floor(math.log10(step))  # of the step, whatever its size
    return [round(number * step, digits) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within the limits, no more than a handful; their halves too where there are few."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    stride = max(1, math.ceil((last - first + 1) / 5))
    powers = [10.0**power for power in range(first, last + 1, stride)]
    if len(powers) >= 3:
        return powers
    fine = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5)]
    return [value for value in fine if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
