/**
 * Those who have been let in and have yet to show what for. When there are too many, the first of
 * those has to go who came from where most came from: whoever floods pushes out himself, and a
 * newcomer from elsewhere finds room. Where nowhere more came from than from where the newcomer did,
 * it is the newcomer who goes, so that what was begun is finished.
 */
export class Crowd<Member> {
  readonly #max: number
  readonly #evict: (member: Member) => void
  readonly #byOrigin = new Map<string, Set<Member>>()
  readonly #origins = new Map<Member, string>()

  /** `evict` is called for each who has to go, after it has left. */
  constructor(max: number, evict: (member: Member) => void) {
    this.#max = max
    this.#evict = evict
  }

  get size(): number {
    return this.#origins.size
  }

  has(member: Member): boolean {
    return this.#origins.has(member)
  }

  /** Lets somebody in from `origin`, and may turn them away at once; does nothing for a member. */
  enter(member: Member, origin: string): void {
    if (this.has(member)) return
    const fellows = this.#byOrigin.get(origin) ?? new Set()
    fellows.add(member)
    this.#byOrigin.set(origin, fellows)
    this.#origins.set(member, origin)
    if (this.size > this.#max) this.#makeRoom(member, fellows)
  }

  /** Somebody has shown what for, or is gone. */
  leave(member: Member): void {
    const origin = this.#origins.get(member)
    if (origin === undefined) return
    this.#origins.delete(member)
    const fellows = this.#byOrigin.get(origin)
    fellows?.delete(member)
    if (fellows?.size === 0) this.#byOrigin.delete(origin)
  }

  #makeRoom(newcomer: Member, fellows: ReadonlySet<Member>): void {
    let largest = fellows
    for (const others of this.#byOrigin.values()) if (others.size > largest.size) largest = others
    const [first] = largest
    const leaver = largest === fellows || first === undefined ? newcomer : first
    this.leave(leaver)
    this.#evict(leaver)
  }
}
