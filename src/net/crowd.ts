/**
 * Those who have been let in and have yet to show what for. When there are too many, the one who
 * came from where most came from, and of those the first, has to go: whoever floods pushes out
 * himself, and a newcomer from elsewhere always finds room.
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

  /** Lets somebody in from `origin`; does nothing for a member. */
  enter(member: Member, origin: string): void {
    if (this.has(member)) return
    const fellows = this.#byOrigin.get(origin) ?? new Set()
    fellows.add(member)
    this.#byOrigin.set(origin, fellows)
    this.#origins.set(member, origin)
    if (this.size > this.#max) this.#makeRoom()
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

  #makeRoom(): void {
    let largest: ReadonlySet<Member> = new Set()
    for (const fellows of this.#byOrigin.values()) {
      if (fellows.size > largest.size) largest = fellows
    }
    const [first] = largest
    if (first === undefined) return
    this.leave(first)
    this.#evict(first)
  }
}
