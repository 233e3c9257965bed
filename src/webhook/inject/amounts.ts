/** An amount of CPU, `0.1` or `100m`, as the API server prints it; `undefined` when it is none. */
export function canonicalCpu(text: string): string | undefined {
  const found = /^([0-9]{1,6})(?:\.([0-9]{1,3}))?(m)?$/.exec(text)
  if (found === null || (found[3] === 'm' && found[2] !== undefined)) return undefined
  const whole = Number(found[1])
  const milli = found[3] === 'm' ? whole : whole * 1000 + Number((found[2] ?? '').padEnd(3, '0'))
  return milli % 1000 === 0 ? String(milli / 1000) : `${milli}m`
}
