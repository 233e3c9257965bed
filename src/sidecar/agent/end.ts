import type { LatchkeyError } from '../../base/errors.ts'

/** A secret that a run with `once` could not have, and why. */
export interface Shortfall {
  readonly secret: string
  readonly path: string
  /** For people, such as `denied` or `has no key password`. */
  readonly why: string
}

/** How a sidecar's run ends. */
export type AgentEnd =
  /** It was told to stop. */
  | { readonly kind: 'stopped' }
  /** With `once`: every file of the plan is published. */
  | { readonly kind: 'published' }
  /** With `once`: something was denied or does not exist. */
  | { readonly kind: 'denied'; readonly shortfalls: readonly Shortfall[] }
  /** With `once`: the broker would not serve this pod. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** With `once`: not all of it became known in time. */
  | { readonly kind: 'unreachable'; readonly error: LatchkeyError | undefined }
  /** With `once`: a file cannot be written or rendered. */
  | { readonly kind: 'failed'; readonly error: LatchkeyError }
