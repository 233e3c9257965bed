/** The steps of a rotation, in order. */
export const steps = [
  'look',
  'stage',
  'acknowledge-staged',
  'activate',
  'acknowledge-active',
  'prove',
  'migrate',
  'settle',
  'scan',
  'retire',
] as const

/** One of {@link steps}. */
export type StepName = (typeof steps)[number]

/**
 * What a rotation tells while it goes on. Field names are an interface: with `-o json` each event
 * is a line of JSON on stdout.
 */
export type RotationEvent =
  | {
      readonly event: 'step'
      readonly step: StepName
      readonly state: 'started' | 'progress' | 'done'
      /** For people. */
      readonly text: string
      readonly done?: number | undefined
      readonly total?: number | undefined
      /** Rough time until the step is done, when there is something to tell it from. */
      readonly etaSeconds?: number | undefined
    }
  | { readonly event: 'note'; readonly text: string }
  | {
      readonly event: 'finished'
      /** The key that is active. */
      readonly keyId: string
      readonly retired: readonly string[]
      /** Objects that were accepted by name and still need a retired key. */
      readonly accepted: readonly string[]
      /** etcd's revision at which nothing else needed the retired keys. */
      readonly revision: number
      readonly seconds: number
    }
