const binary = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 } as const
const decimal = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 } as const
const units: Readonly<Record<string, number>> = { '': 1, ...binary, ...decimal }

/** An amount of bytes as Kubernetes writes it, `96Mi`; `undefined` when it is none. */
export function parseBytes(text: string): number | undefined {
  const found = /^([0-9]{1,15})([KMGT]i|[kMGT])?$/.exec(text)
  const bytes = Number(found?.[1]) * (units[found?.[2] ?? ''] ?? NaN)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The inverse of {@link parseBytes}, in the largest unit that is exact, as the API server has it. */
export function printBytes(bytes: number): string {
  const found = Object.entries(binary).findLast(([, size]) => bytes !== 0 && bytes % size === 0)
  return found === undefined ? String(bytes) : `${bytes / found[1]}${found[0]}`
}
