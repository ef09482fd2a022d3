import { and, eq, sql } from 'drizzle-orm'
import { connections } from './schema.ts'
import type { Millis, NewTokens, Sealed } from '../store.ts'
import type { Engine } from './engine.ts'
import type { SealedValues } from './sealed.ts'

/** The literal lets SQLite use the partial index of accounts. */
export const unrevoked = sql`${connections.status} <> 'revoked'`

type Row = typeof connections.$inferSelect

/** A connection's columns after its tokens were stored. */
type Stored = Partial<Row> & Pick<Row, 'refreshToken' | 'previousRefreshToken' | 'accessToken'>

/** What the writers of a connection's tokens share; within the transaction under way. */
export interface TokenWriter {
  /** The row, if it is as its writer read it: of that generation, and not revoked. */
  find(id: string, generation: number): Row | undefined
  /** Puts new tokens over those of a row (`null`: a new one), overwriting them. */
  put(row: Row | null, tokens: NewTokens, previousRefreshToken: Sealed | null): Stored
  /** The columns of a row whose tokens came from upstream at `now`: well again, generation raised. */
  renewed(row: Row, stored: Stored, now: Millis): Partial<Row>
}

export function createTokenWriter({ db }: Engine, sealedValues: SealedValues): TokenWriter {
  const find = db
    .select()
    .from(connections)
    .where(
      and(
        eq(connections.id, sql.placeholder('id')),
        eq(connections.generation, sql.placeholder('generation')),
        unrevoked,
      ),
    )
    .prepare()

  const putPrevious = (id: number | null, value: Sealed | null): number | null => {
    if (value) return sealedValues.replace(id, value)
    sealedValues.erase([id])
    return null
  }

  return {
    find: (id, generation) => find.get({ id, generation }),

    put(row, tokens, previous) {
      const { accessTokenExpiresAt, accessTokenFetchedAt } = tokens
      return {
        refreshToken: sealedValues.replace(row?.refreshToken ?? null, tokens.refreshToken),
        previousRefreshToken: putPrevious(row?.previousRefreshToken ?? null, previous),
        accessToken: sealedValues.replace(row?.accessToken ?? null, tokens.accessToken),
        accessTokenExpiresAt,
        accessTokenFetchedAt,
      }
    },

    renewed: ({ generation }, stored, now) => ({
      ...stored,
      status: 'active',
      generation: generation + 1,
      failures: 0,
      lastError: null,
      retryAt: null,
      restoredFrom: null,
      staleReason: null,
      importState: null,
      refreshedAt: now,
    }),
  }
}

/** Columns of a lease that nobody holds. */
export const noLease = { leaseOwner: null, leaseUntil: null }
