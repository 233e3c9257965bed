/** Why an object could not be rewritten. */
export type RefusalCause =
  /** An admission webhook or policy denies the update, or cannot be asked. */
  | 'admission'
  /** The object no longer passes validation, as when a schema became stricter. */
  | 'invalid'
  /** etcd holds it, and no API serves it. */
  | 'no-api'
  /** It is being deleted, waits for its finalizers, and the update was refused. */
  | 'terminating'
  /** Others wrote it again and again, at every try. */
  | 'conflict'
  /** The API server answered 200, and etcd still holds it as it was. */
  | 'not-rewritten'
  /** The API server fails on this object, as when it cannot decrypt it. */
  | 'server-error'

/** An object that is as it was. */
export interface RefusedObject {
  /** As the EncryptionConfiguration spells it: `secrets`, `widgets.example.com`. */
  readonly resource: string
  /** `''` for what belongs to no namespace. */
  readonly namespace: string
  readonly name: string
  readonly cause: RefusalCause
  /** What stands in the way, by name: webhook, policy, field paths, finalizers. Never a value. */
  readonly detail: string
}

/** What became of the objects of one resource. */
export interface ResourceReport {
  readonly resource: string
  /** Objects looked at. */
  readonly listed: number
  /** Objects that were written, by this or, since they were listed, by somebody else. */
  readonly rewritten: number
  /** Objects that the API server left alone: they were not stale. */
  readonly unchanged: number
  /** Objects that were deleted meanwhile, and stay so. */
  readonly gone: number
  readonly refused: number
}

/** What a migration did. */
export interface MigrateReport {
  readonly resources: readonly ResourceReport[]
  readonly refused: readonly RefusedObject[]
  /** Whether etcd was looked into afterwards, and held nothing stale but what was refused. */
  readonly proved: boolean
  readonly seconds: number
}

/** Where a migration is. */
export interface MigrateProgress {
  readonly resource: string
  readonly phase: 'listing' | 'rewriting' | 'checking'
  readonly done: number
  /** How many objects there are; `undefined` until it is known. */
  readonly total: number | undefined
  readonly refused: number
  /** Requests on the wire. */
  readonly inFlight: number
  /** Objects a second, of late. */
  readonly perSecond: number
  /** Seconds until this resource is done; `undefined` while nobody can tell. */
  readonly secondsLeft: number | undefined
}

/** What names an object to the person who accepts that it stays as it is: `secrets/shop/db`. */
export function objectId(object: {
  readonly resource: string
  readonly namespace: string
  readonly name: string
}): string {
  const { resource, namespace, name } = object
  return namespace === '' ? `${resource}/${name}` : `${resource}/${namespace}/${name}`
}

/** What mends each cause: one imperative sentence. */
export const remedies: Readonly<Record<RefusalCause, string>> = {
  admission:
    'exempt this update from the webhook or policy (an update that changes nothing, by the user of this kubeconfig), or bring the webhook back',
  invalid: 'edit the object so that it passes its schema again, which rewrites it',
  'no-api':
    'install the CustomResourceDefinition or API again for the time of the migration, or delete the keys from etcd when nobody needs them',
  terminating:
    'let its controller finish, or remove the finalizers when that controller is gone for good',
  conflict: 'run this again; if it stays, stop the writers for a moment',
  'not-rewritten':
    'see that every API server uses the active key ("latchkey keys rotate" proves it), then run this again',
  'server-error':
    'look into the log of the API server for this object; "latchkey etcd scan" shows its key',
}
