/**
 * What brokers received of upstream and stored. Each process appends it to a file before it goes on, so that it is known
 * of a process that was killed a moment later.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { sha256 } from '../../server/crypto/hash.ts'

/** An event of a process, with its id. `at`: see `steadyMs`. */
type AnswerEvent =
  /** A refresh with a token returned a new refresh token. */
  | { received: string; pid: number; at: number }
  /** The store acknowledged new tokens; the generation is theirs. */
  | { saved: string; generation: number }

/** Milliseconds by a clock that all processes of this machine share, and that no fault moves. */
export const steadyMs = (): number => Number(process.hrtime.bigint() / 1_000_000n)

/** @param sent the refresh token of the call */
export const recordReceived = (file: string, sent: string): void =>
  record(file, { received: sha256(sent), pid: process.pid, at: steadyMs() })

export const recordSaved = (file: string, id: string, generation: number): void =>
  record(file, { saved: id, generation })

/** What is recorded so far. */
export interface Answers {
  /** The last process that received an answer to a refresh with this token, and when. */
  receiverOf(refreshToken: string): { pid: number; at: number } | undefined
  /** The last generation of each connection that the store has acknowledged. */
  saved: Map<string, number>
  /** Connections of which it acknowledged a generation twice: it had lost the first one. */
  savedTwice: Set<string>
}

export function readAnswers(file: string): Answers {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : []
  const received = new Map<string, { pid: number; at: number }>()
  const saved = new Map<string, number>()
  const savedTwice = new Set<string>()
  const generations = new Set<string>()
  for (const event of lines.filter(Boolean).map((line) => JSON.parse(line) as AnswerEvent)) {
    if ('received' in event) received.set(event.received, event)
    else {
      const { saved: id, generation } = event
      if (generations.has(`${id} ${generation}`)) savedTwice.add(id)
      generations.add(`${id} ${generation}`)
      saved.set(id, Math.max(generation, saved.get(id) ?? 0))
    }
  }
  return { saved, savedTwice, receiverOf: (token) => received.get(sha256(token)) }
}

const record = (file: string, event: AnswerEvent): void =>
  appendFileSync(file, `${JSON.stringify(event)}\n`)
