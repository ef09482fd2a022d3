import { argon2 } from 'node:crypto'
import type { Argon2Parameters } from 'node:crypto'
import { promisify } from 'node:util'

/** argon2id (RFC 9106), as an argument: tests choose a low cost, and count. */
export interface PasswordHashing {
  cost: PasswordCost
  derive(parameters: Argon2Parameters): Promise<Buffer>
}

/** `memory` in KiB. */
export type PasswordCost = Pick<Argon2Parameters, 'memory' | 'passes' | 'parallelism'>

const argon2Async = promisify(argon2)

/** OWASP's parameters for argon2id: 19 MiB, two passes, one lane. */
export const passwordHashing: PasswordHashing = {
  cost: { memory: 19_456, passes: 2, parallelism: 1 },
  derive: (parameters) => argon2Async('argon2id', parameters),
}
