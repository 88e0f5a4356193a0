// Lines over a few named positions, logarithmic upwards, named at their right end.

import type { Spread } from "../measure/statistics.ts";
import { formatTick } from "./bar-chart.ts";
import { formatNumber } from "./summary.ts";
import { element, escapeText, line, logTicks, picture, text } from "./svg.ts";

export interface Series {
  readonly label: string;
  readonly family: string;
  /** The number of the dash pattern that tells the line from others of its family. */
  readonly variant: number;
  /** One value for each position; `undefined` where nothing was measured. */
  readonly values: readonly (Spread | undefined)[];
}

export interface Position {
  readonly label: string;
  /** 0 to 1 along the axis. */
  readonly at: number;
}

const WIDTH = 900;
const HEIGHT = 420;
const LEFT = 64;
const RIGHT = 215;
const TOP = 30;
const BOTTOM = 46;
const LABEL_GAP = 15;
const DASHES = ["", "7 4", "2 4", "9 3 2 3", "14 4", "1 3"];

export function lineChart(
  title: string,
  yUnit: string,
  xTitle: string,
  positions: readonly Position[],
  series: readonly Series[],
): string {
  const known = series.flatMap((one) => one.values.flatMap((value) => (value ? [value] : [])));
  if (known.length === 0) return "";
  const ticks = logTicks(
    Math.min(...known.map((value) => value.lowest)),
    Math.max(...known.map((value) => value.highest)),
  );
  const lowest = ticks[0] ?? 1;
  const highest = ticks.at(-1) ?? 10;
  const span = Math.log(highest / lowest) || 1;
  const x = (position: Position): number => LEFT + 12 + position.at * (WIDTH - LEFT - RIGHT - 24);
  const y = (value: number): number =>
    HEIGHT - BOTTOM - (Math.log(value / lowest) / span) * (HEIGHT - TOP - BOTTOM);
  const parts: string[] = [];
  for (const tick of ticks) {
    parts.push(line(LEFT, y(tick), WIDTH - RIGHT, y(tick), { class: "grid" }));
    parts.push(
      text(LEFT - 8, y(tick) + 4, formatTick(tick), { class: "tick", "text-anchor": "end" }),
    );
  }
  for (const position of positions) {
    parts.push(line(x(position), TOP, x(position), HEIGHT - BOTTOM, { class: "grid" }));
    parts.push(
      text(x(position), HEIGHT - BOTTOM + 16, position.label, {
        class: "tick",
        "text-anchor": "middle",
      }),
    );
  }
  const middle = (LEFT + WIDTH - RIGHT) / 2;
  parts.push(text(middle, HEIGHT - 8, xTitle, { class: "tick", "text-anchor": "middle" }));
  parts.push(text(0, 12, yUnit, { class: "tick" }));
  for (const one of series) parts.push(seriesShape(one, positions, x, y));
  parts.push(endLabels(series, positions, x, y));
  return picture(WIDTH, HEIGHT, `${title}, ${yUnit} over ${xTitle}`, parts.join(""));
}

function seriesShape(
  one: Series,
  positions: readonly Position[],
  x: (position: Position) => number,
  y: (value: number) => number,
): string {
  let path = "";
  let command = "M";
  const marks: string[] = [];
  for (const [index, position] of positions.entries()) {
    const value = one.values[index];
    // A line across a gap would claim values that nobody measured.
    if (value === undefined) {
      command = "M";
      continue;
    }
    const [px, py] = [x(position), y(value.median)];
    path += `${command}${px.toFixed(1)},${py.toFixed(1)}`;
    command = "L";
    const label = `${one.label}, ${position.label}: ${formatNumber(value.median)}`;
    marks.push(
      line(px, y(value.lowest), px, y(value.highest), { class: `range ${one.family}` }),
      element(
        "circle",
        { cx: px, cy: py, r: 3.5, class: `dot ${one.family}` },
        element("title", {}, escapeText(label)),
      ),
    );
  }
  const stroke = element("path", {
    d: path,
    class: `line ${one.family}`,
    "stroke-dasharray": DASHES[one.variant % DASHES.length],
  });
  return `${stroke}${marks.join("")}`;
}

/**
 * Labels at the height of the last points. Labels that would overlap are pushed apart, and a line
 * leads to each.
 */
function endLabels(
  series: readonly Series[],
  positions: readonly Position[],
  x: (position: Position) => number,
  y: (value: number) => number,
): string {
  const labels = series
    .flatMap((one) => {
      const index = one.values.findLastIndex((value) => value !== undefined);
      const last = one.values[index];
      const position = positions[index];
      if (last === undefined || position === undefined) return [];
      return [{ one, from: x(position), point: y(last.median), at: y(last.median) }];
    })
    .sort((a, b) => a.point - b.point);
  for (let i = 1; i < labels.length; i++) {
    labels[i]!.at = Math.max(labels[i]!.at, labels[i - 1]!.at + LABEL_GAP);
  }
  const overflow = (labels.at(-1)?.at ?? 0) - (HEIGHT - BOTTOM);
  for (let i = labels.length - 1; overflow > 0 && i >= 0; i--) {
    const below = labels[i + 1]?.at ?? HEIGHT - BOTTOM + LABEL_GAP;
    labels[i]!.at = Math.min(labels[i]!.at, below - LABEL_GAP);
  }
  const left = WIDTH - RIGHT;
  return labels
    .map(({ one, from, point, at }) => {
      const lead = line(from, point, left + 6, at, { class: `lead ${one.family}` });
      return `${lead}${text(left + 10, at + 4, one.label, { class: `end ${one.family}` })}`;
    })
    .join("");
}
