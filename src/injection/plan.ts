/**
 * What a pod declares: the parsed form of annotation `latchkey.dev/secrets` (or of the file that the
 * sidecar is given), complete and validated. Every consumer, webhook, sidecar and CLI, works on
 * this and never on the text.
 */
export interface MountPlan {
  /** 1 to {@link maxEntries} entries in declared order, which is the order of publication. */
  readonly entries: readonly MountEntry[]
}

/** One entry of the list: one secret, one target. */
export interface MountEntry {
  /** The secret's name in the pod's namespace, `db`, or of another source, `vault:db`. */
  readonly secret: string
  /** What of the secret goes to the target, and in which form. */
  readonly content: Content
  /**
   * Absolute, in its shortest form, without a trailing slash: a directory when the content is
   * `files`, otherwise a file.
   */
  readonly path: string
  /** How the target reaches the containers. */
  readonly mount: Mount
  /** The containers that see it; `undefined` means all that the pod declares. */
  readonly containers: readonly string[] | undefined
  /** Permission bits as in chmod(2); `undefined` leaves the choice to whoever knows the users. */
  readonly mode: number | undefined
  /** Numeric group of the files; `undefined` means the sidecar's own. */
  readonly group: number | undefined
  /** What to tell the application after its files changed. */
  readonly onChange: Hook | undefined
  /** What becomes of the files when the secret is denied or deleted. */
  readonly onDenied: OnDenied
}

/** What of a secret is published. */
export type Content =
  /** The bytes of one key, unchanged. */
  | { readonly kind: 'key'; readonly key: string }
  /** Every key, one file each, named as the key. */
  | { readonly kind: 'files' }
  /** Every key in one file of a known format. */
  | { readonly kind: 'encoded'; readonly format: EncodedFormat }
  /** Text with placeholders for keys; see `template.ts`. */
  | { readonly kind: 'template'; readonly template: string }

/** The formats that hold a whole secret in one file. */
export const encodedFormats = ['json', 'yaml', 'dotenv', 'properties'] as const
export type EncodedFormat = (typeof encodedFormats)[number]

/** How a target is mounted. */
export type Mount =
  /** The file's directory is a volume of its own: updates are atomic, and the image's files there are hidden. */
  | { readonly kind: 'directory' }
  /**
   * Only this one file is bound over the image's. Such a bind pins the inode, so the entry says what
   * an update does: `in-place` rewrites the file (not atomic), `restart` leaves it as it was when
   * the pod started.
   */
  | { readonly kind: 'file'; readonly update: 'in-place' | 'restart' }

/** What is done, at least once, after the files of an entry changed. */
export type Hook =
  /** A request to a server in the same pod. `url` is `http:` to localhost. */
  | { readonly kind: 'http'; readonly url: string; readonly method: HttpMethod }
  /** Sets the modification time of a file in one of the plan's directories, creating it empty. */
  | { readonly kind: 'touch'; readonly path: string }
  /** A signal to the processes of that name; needs a pod that shares process ids. */
  | { readonly kind: 'signal'; readonly signal: SignalName; readonly process: string }

export const httpMethods = ['POST', 'PUT', 'GET'] as const
export type HttpMethod = (typeof httpMethods)[number]

export const signalNames = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGWINCH',
] as const
export type SignalName = (typeof signalNames)[number]

/** What becomes of files whose secret is denied or deleted. */
export type OnDenied =
  /** They go, `graceMs` milliseconds after the decision. */
  | { readonly kind: 'remove'; readonly graceMs: number }
  /** The last good ones stay. */
  | { readonly kind: 'keep' }

/** The most entries that a plan may have. */
export const maxEntries = 128
/** The most bytes, in UTF-8, that its text may have. */
export const maxPlanBytes = 64 * 1024
/** The longest `grace`, in milliseconds: one day. */
export const maxGraceMs = 24 * 60 * 60 * 1000

/** The mode of an entry's files where nobody chose one: no wider than its group needs. */
export function effectiveMode(entry: MountEntry): number {
  return entry.mode ?? (entry.group === undefined ? 0o400 : 0o440)
}
