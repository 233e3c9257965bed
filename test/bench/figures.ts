/** Middle value of `values`; of an even count the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = Math.floor(sorted.length / 2)
  const [low = Number.NaN, high = Number.NaN] = [sorted[half - 1], sorted[half]]
  return sorted.length % 2 === 1 ? high : (low + high) / 2
}

/** The value below which the share `q` (0 to 1) of `values` lies. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

/** A median with the interval that holds it in 95 of 100 resamplings. */
export interface Interval {
  readonly median: number
  readonly low: number
  readonly high: number
}

/** Bootstrap interval (percentile method, 4,000 resamplings) of the median of `values`. */
export function interval(values: readonly number[]): Interval {
  // A fixed generator (mulberry32): the same figures give the same interval.
  let state = 0x9e3779b9
  const random = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const medians = Array.from({ length: 4000 }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)] ?? Number.NaN)),
  )
  return { median: median(values), low: quantile(medians, 0.025), high: quantile(medians, 0.975) }
}

/** `1.02 (0.98 to 1.05)`. */
export function showInterval({ median: middle, low, high }: Interval): string {
  return `${middle.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`
}

/** Prints a titled table, first column left, the others right. */
export function printTable(title: string, rows: readonly (readonly string[])[]): void {
  const widths: number[] = []
  for (const row of rows) {
    for (const [index, cell] of row.entries()) {
      widths[index] = Math.max(widths[index] ?? 0, cell.length)
    }
  }
  console.log(`\n${title}`)
  for (const row of rows) {
    const cells = row.map((cell, index) =>
      index === 0 ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0),
    )
    console.log(`  ${cells.join('   ')}`)
  }
}
