/** Does all of several things, and only then tells what kept one of them from being done. */
export class Attempts {
  #failed = false
  #first: unknown

  /** Does one of them; what it throws is kept for {@link Attempts.end}. */
  do(action: () => void): void {
    try {
      action()
    } catch (error) {
      if (!this.#failed) this.#first = error
      this.#failed = true
    }
  }

  /** Throws what the first failure was, if there was one. */
  end(): void {
    if (this.#failed) throw this.#first
  }
}
