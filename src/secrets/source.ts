import type { SecretContent } from './content.ts'
import type { SecretTarget } from './reference.ts'

/** What a source last saw of a secret. */
export type SecretObservation =
  { readonly state: 'present'; readonly content: SecretContent } | { readonly state: 'absent' }

/** A secret being followed; disposing of it ends that. */
export interface FollowedSecret extends Disposable {
  /**
   * The latest observation, or `undefined` while nothing is known: before the first answer, and when
   * what is stored cannot be read. The source owns the content, which stays valid until the
   * listener has returned from being told of the next one, or the secret is no longer followed.
   *
   * An outage never changes it: what was seen last stays, and {@link FollowedSecret.staleMs} grows.
   * `absent` is a decision, made only when the source answered that there is no such secret.
   */
  current(): SecretObservation | undefined

  /**
   * Milliseconds since the observation was last known to be true: 0 while the source is live,
   * `Infinity` before its first answer.
   */
  staleMs(): number
}

/** How a source tells what goes wrong while it retries: for logs and metrics, never for decisions. */
export type SourceProblem = (
  error: unknown,
  about: { readonly namespace: string; readonly name?: string },
) => void

/**
 * PORT. Where secrets come from. Implementations live in `sources/` and pass the contract suite in
 * `test/contract/secret-source.ts`.
 *
 * A source retries on its own, with backoff and for ever, until it is closed: nothing is asked of
 * its caller. What goes wrong meanwhile it reports to the {@link SourceProblem} it was opened with.
 */
export interface SecretSource {
  /** The word that names the implementation in `--source`: `kubernetes`, `file`. */
  readonly kind: string

  /**
   * Follows one secret. Any number of them share what the source needs to watch.
   *
   * `listener` is called after {@link FollowedSecret.current} has changed: once per change of
   * content or of existence, not when the same content was written again, never before `follow` has
   * returned, and never after disposal or close. It must not throw.
   *
   * @throws `TypeError` for a target whose names are not valid, `ERR_ABORTED` after close. Never
   * because the secret, its namespace, or the source is missing.
   */
  follow(target: SecretTarget, listener: () => void): FollowedSecret

  /** Ends everything; wipes what is held. Safe to call twice. */
  close(): Promise<void>
}
