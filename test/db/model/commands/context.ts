import type { Millis, NewEvent, Sealed, Store } from '../../../../db/store.ts'
import type { Reference } from '../reference.ts'
import { isUnrevoked } from '../reference/tables.ts'
import type { Tables } from '../reference/tables.ts'
import { comparable } from './answers.ts'

export const [SECOND, MINUTE, HOUR, DAY] = [1000, 60_000, 3_600_000, 86_400_000] as const

/** A store that answers at once, or later. */
export type AnyStore = {
  [M in keyof Reference]: (
    ...args: Parameters<Store[M]>
  ) => ReturnType<Reference[M]> | ReturnType<Store[M]>
}

/** A call, or several, of which the answer is compared. */
export interface Call {
  /** For people. */
  text: string
  run: (store: AnyStore) => Promise<unknown>
  /** Several calls, which others may come between. */
  isComposite: boolean
}

export function call<M extends keyof Reference>(method: M, ...args: Parameters<Store[M]>): Call {
  const normalise = comparable[method] as ((answer: unknown) => unknown) | undefined
  const run = async (store: AnyStore) => {
    const answer = await (store[method] as (...args: unknown[]) => unknown)(...args)
    return normalise ? normalise(answer) : answer
  }
  return { text: `${method}(${args.map(print).join(', ')})`, run, isComposite: false }
}

/** Several calls that depend on each other's answers. */
export const several = (text: string, run: (store: AnyStore) => Promise<unknown>): Call => ({
  ...{ text, run },
  isComposite: true,
})

/** Makes the next call of what the reference holds. `null`: there is nothing to do it to. */
export type Command = (context: Context) => Call | null

/** Random choices, all from one number, so that a step of a history stays the same without those before it. */
export class Context {
  readonly tables: Tables
  readonly now: Millis
  #state: number
  #count = 0
  readonly #seed: number

  constructor(tables: Tables, now: Millis, seed: number) {
    this.tables = tables
    this.now = now
    this.#seed = seed
    this.#state = seed
  }

  /** From 0 up to, and without, `end`. */
  below(end: number): number {
    // Mulberry32.
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) % end
  }

  chance(percent: number): boolean {
    return this.below(100) < percent
  }

  choose<T>(...list: [T, ...T[]]): T {
    return list[this.below(list.length)] as T
  }

  one<T>(list: Iterable<T>): T | undefined {
    const all = [...list]
    return all[this.below(Math.max(1, all.length))]
  }

  some<T>(list: Iterable<T>): T[] {
    return [...list].filter(() => this.chance(50))
  }

  /** Not used before. */
  fresh(prefix: string): string {
    return `${prefix}${(this.#seed >>> 0).toString(36)}${this.#count++ || ''}`
  }

  sealed(mark: string): Sealed {
    return Buffer.from(this.fresh(mark).padEnd(this.choose(40, 40, 60), '.'))
  }

  /** Of one that may be there, mostly of one that is not revoked. */
  connectionId(): string {
    const live = [...this.tables.connections.values()].filter(isUnrevoked)
    return (this.chance(60) && this.one(live)?.id) || `c${this.below(5)}`
  }

  /** Of a registered app mostly. */
  appId(): string {
    return this.one(this.tables.apps.keys()) ?? 'no app'
  }

  /** As with connections. */
  grantId(): string {
    const grants = [...this.tables.grants.values()]
    const some = this.chance(60) ? grants.filter(isUnrevoked) : grants
    return (this.chance(90) && this.one(some)?.id) || `g${this.below(9)}`
  }

  owner(): string {
    return this.choose('me', 'other', 'third')
  }

  /** How long a lease lasts: until after the history, or it has ended at once. So no clock matters. */
  leaseMs(): number {
    return this.choose(DAY, DAY, -DAY)
  }

  address(): string | null {
    return this.choose(null, '192.0.2.1', '2001:db8::1')
  }

  /** A record as it is, or as it was: a lost race. */
  asRead<T extends object>(record: T, stale: Partial<T>): T {
    return this.chance(15) ? { ...record, ...stale } : record
  }

  /** One event, or none. */
  events(action: string, fields: Partial<NewEvent> = {}): NewEvent[] {
    if (this.chance(40)) return []
    const actor = this.choose('user', 'app', 'system', 'cli', 'admin:ann@x.example')
    const details = this.choose(null, 'details')
    const at = this.now - this.choose(0, 0, 0, SECOND)
    return [{ at, actor, action, address: this.address(), details, ...fields }]
  }
}

const print = (value: unknown): string =>
  typeof value === 'function'
    ? '(id) => …'
    : JSON.stringify(value, (_, field: unknown) =>
        isBytes(field) ? `bytes ${Buffer.from(field.data).toString('latin1')}` : field,
      )

/** `JSON.stringify` passes bytes on as `{ type: 'Buffer', data }`. */
const isBytes = (value: unknown): value is { data: number[] } =>
  typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer'
