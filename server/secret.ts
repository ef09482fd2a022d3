import { inspect } from 'node:util'

const REDACTED = '[redacted]'

/**
 * Holds a secret value: token, code, verifier, client secret. Every way of printing it gives `[redacted]`; only
 * `reveal()` returns the value.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

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
