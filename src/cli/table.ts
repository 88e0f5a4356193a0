// Columns of text, whatever their cells say.

/**
 * Lines for a head and rows, each column as wide as its widest cell; a cell may have several lines.
 */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly (readonly string[])[])[],
): string {
  const cells = [head.map((title) => [title]), ...rows];
  const widths = head.map((_, column) =>
    Math.max(...cells.flatMap((row) => (row[column] ?? []).map((line) => line.length))),
  );
  const lines = cells.map((row) => {
    const height = Math.max(...row.map((cell) => cell.length));
    return Array.from({ length: height }, (_, line) =>
      row
        .map((cell, column) => (cell[line] ?? "").padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  });
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  const [headLines = [], ...rowLines] = lines;
  return [...headLines, rule, ...rowLines.flat()].join("\n");
}

/** The value in the middle, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
