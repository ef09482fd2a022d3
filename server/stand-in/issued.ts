/** Enough for a leak scan after a long test, small enough to live with. */
const KEPT = 100_000

/** Remembers the secret values that were handed out last: codes, access tokens, refresh tokens. */
export class Issued {
  #values: string[] = []

  /** Remembers the value, and answers it. */
  add(value: string): string {
    if (this.#values.length >= KEPT) this.#values = this.#values.slice(KEPT / 4)
    this.#values.push(value)
    return value
  }

  /** Oldest first. */
  list(): string[] {
    return [...this.#values]
  }
}
