// Horizontal bars with the spread over the rounds as a whisker.

import { median, type Spread } from "../measure/statistics.ts";
import { formatNumber } from "./summary.ts";
import { element, escapeText, line, linearTicks, picture, text } from "./svg.ts";

export interface Bar {
  readonly label: string;
  /** CSS class that gives the colour. */
  readonly family: string;
  /** Shown in the bar's place when there is no figure. */
  readonly failure: string | undefined;
  readonly spread: Spread | undefined;
  /** The first part of the bar, in full colour; the rest is paler. */
  readonly part?: number | undefined;
}

const WIDTH = 620;
const LABEL_WIDTH = 190;
const VALUE_WIDTH = 90;
const ROW_HEIGHT = 24;
const BAR_HEIGHT = 14;
const TOP = 8;
const AXIS_HEIGHT = 30;
/**
 * A bar longer than this many times the median bar is cut, so that it does not flatten all others.
 */
const CUT = 4;

export interface BarChart {
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly Bar[];
  /**
   * Whether long bars are cut. Where less is better, a bar far longer than the others says enough
   * when it is cut.
   */
  readonly cut: boolean;
}

export function barChart({ title, unit, bars, cut }: BarChart): string {
  const values = bars.flatMap((bar) => (bar.spread === undefined ? [] : [bar.spread.median]));
  if (values.length === 0) return "";
  const longest = Math.max(...bars.map((bar) => bar.spread?.highest ?? 0));
  const limit = CUT * median(values);
  const ticks = linearTicks(cut && longest > 1.5 * limit ? limit : longest, 4);
  const end = ticks.at(-1) ?? 1;
  const right = WIDTH - VALUE_WIDTH;
  const x = (value: number): number =>
    LABEL_WIDTH + (Math.max(0, Math.min(value, end)) / end) * (right - LABEL_WIDTH);
  const bottom = TOP + bars.length * ROW_HEIGHT;
  const parts: string[] = [];
  for (const tick of ticks) {
    parts.push(line(x(tick), TOP, x(tick), bottom, { class: "grid" }));
    parts.push(
      text(x(tick), bottom + 14, formatTick(tick), { class: "tick", "text-anchor": "middle" }),
    );
  }
  parts.push(text(right, bottom + 28, unit, { class: "tick", "text-anchor": "end" }));
  for (const [row, bar] of bars.entries()) {
    parts.push(barRow(bar, TOP + row * ROW_HEIGHT, x, end));
  }
  return picture(WIDTH, bottom + AXIS_HEIGHT, `${title}, ${unit}`, parts.join(""));
}

function barRow(bar: Bar, top: number, x: (value: number) => number, end: number): string {
  const middle = top + ROW_HEIGHT / 2;
  const label = text(LABEL_WIDTH - 8, middle + 4, bar.label, {
    class: "label",
    "text-anchor": "end",
  });
  if (bar.spread === undefined) {
    const words = bar.failure?.split(":", 1)[0] ?? "not measured";
    const shown = text(LABEL_WIDTH + 6, middle + 4, words, {
      class: bar.failure === undefined ? "tick" : "failed",
    });
    return element("g", {}, `${label}${shown}${tooltip(bar.failure ?? words)}`);
  }
  const { median: value, lowest, highest } = bar.spread;
  const y = middle - BAR_HEIGHT / 2;
  const solid = bar.part === undefined ? value : Math.min(bar.part, value);
  const shapes = [
    label,
    rect(x(0), x(solid), y, `bar ${bar.family}`),
    rect(x(solid), x(value), y, `bar pale ${bar.family}`),
  ];
  const cut = value > end;
  if (cut) shapes.push(breakMark(x(end) - 16, y));
  else if (highest > lowest) {
    shapes.push(
      line(x(lowest), middle, x(highest), middle, { class: "whisker" }),
      line(x(lowest), middle - 4, x(lowest), middle + 4, { class: "whisker" }),
      line(x(highest), middle - 4, x(highest), middle + 4, { class: "whisker" }),
    );
  }
  shapes.push(
    text(x(Math.max(value, Math.min(highest, end))) + 6, middle + 4, formatNumber(value), {
      class: "value",
    }),
    tooltip(
      `${bar.label}: ${formatNumber(value)} (${formatNumber(lowest)} to ${formatNumber(highest)})`,
    ),
  );
  return element("g", {}, shapes.join(""));
}

function rect(from: number, to: number, y: number, className: string): string {
  if (to - from <= 0) return "";
  return element("rect", { x: from, y, width: to - from, height: BAR_HEIGHT, class: className });
}

/** Two slanted gaps, which say that the bar goes on. */
function breakMark(x: number, y: number): string {
  const slash = (at: number): string =>
    line(at, y + BAR_HEIGHT + 2, at + 6, y - 2, { class: "break" });
  return `${slash(x)}${slash(x + 5)}`;
}

function tooltip(words: string): string {
  return element("title", {}, escapeText(words));
}

export function formatTick(value: number): string {
  if (value === 0) return "0";
  if (value >= 1_000_000) return `${value / 1_000_000}M`;
  if (value >= 10_000) return `${value / 1_000}k`;
  return Number(value.toPrecision(3)).toLocaleString("en-US");
}
