/** How bad a finding is: `degraded` is told and alerted on, `failing` means not ready. */
export type Severity = 'degraded' | 'failing'

/** Something that is not as it should be. */
export interface Finding<Name extends string = string> {
  /** Stable name, for metrics and for tools. */
  readonly name: Name
  readonly severity: Severity
  /** One sentence for people; a fixed text without values, since health pages are widely readable. */
  readonly reason: string
}

/**
 * What a program currently finds wrong with itself, by name. Ready means that nothing is `failing`.
 *
 * @remarks
 * Liveness is not here on purpose: a program is alive while its event loop answers, whatever it
 * depends on. Restarting it because something remote is down would only add a fault.
 */
export class Health<Name extends string = string> {
  readonly #findings = new Map<Name, Finding<Name>>()

  /** Notes a finding, in place of the former one of that name. */
  report(finding: Finding<Name>): void {
    this.#findings.set(finding.name, finding)
  }

  /** Takes a finding back; does nothing when there is none of that name. */
  clear(name: Name): void {
    this.#findings.delete(name)
  }

  /** All findings, `failing` ones first. */
  get findings(): readonly Finding<Name>[] {
    return [...this.#findings.values()].sort(
      (a, b) => Number(b.severity === 'failing') - Number(a.severity === 'failing'),
    )
  }

  /** Whether the finding `name` is present. */
  has(name: Name): boolean {
    return this.#findings.has(name)
  }

  get ready(): boolean {
    return this.findings.every(({ severity }) => severity !== 'failing')
  }
}
