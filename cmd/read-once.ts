/**
 * `open`, for places that may be a descriptor: what comes through one can be read once, so that root is
 * opened once and kept, however often the program needs it.
 */
export function readOnce<Options extends readonly unknown[], Root>(
  open: (spec: string, ...options: Options) => Promise<Root>,
): (spec: string, ...options: Options) => Promise<Root> {
  const kept = new Map<string, Promise<Root>>()
  return (spec, ...options) => {
    const known = kept.get(spec)
    if (known !== undefined) return known
    const opening = open(spec, ...options)
    if (spec.startsWith('passphrase:fd:')) kept.set(spec, opening)
    return opening
  }
}
