import { inspect } from 'node:util'

const REDACTED = '[redacted]'

/**
 * A value that must not be seen: every way of printing it gives `[redacted]`, and only `reveal()`
 * gives the value. Tokens, codes, verifiers and client secrets travel in it.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The value itself, for the one place that needs it. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}
