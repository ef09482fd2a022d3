import { and, eq, gte, isNull, lt, or, sql } from 'drizzle-orm'
import { grants, usage } from '../schema.sqlite.ts'
import type { Connection, SigningKey, Store, SwapState } from '../store.ts'
import type { Engine } from './engine.ts'

type Methods = 'getSwapState' | 'useJti' | 'renewGrant' | 'recordUse' | 'listUsage'

/**
 * All that a swap decides on, in one statement: four reads by key, and no join, which takes four times
 * as long. It runs for every swap, so it bypasses the query builder too.
 */
const SWAP_STATE = `
  select g.app_id, g.connection_id, g.scope, g.jti, g.jti_used_at, g.previous_jti,
    g.issued_at_seconds, g.expires_at_seconds, g.revoked_at,
    (select status from signing_keys where kid = ?) as key_status,
    (select json_array(confidential, tokens, token_lifetime_seconds) from apps where id = g.app_id) as app,
    (select status from connections where id = g.connection_id) as connection_status,
    (select generation from connections where id = g.connection_id) as generation,
    (select access_token_expires_at from connections where id = g.connection_id) as expires_at
  from grants g where g.id = ?`

interface SwapRow {
  app_id: string
  connection_id: string
  scope: string
  jti: string
  jti_used_at: number | null
  previous_jti: string | null
  issued_at_seconds: number
  expires_at_seconds: number
  revoked_at: number | null
  key_status: SigningKey['status'] | null
  /** JSON: confidential (0 or 1), tokens, token lifetime. */
  app: string | null
  connection_status: Connection['status'] | null
  generation: number
  expires_at: number | null
}

/** What swaps read and write. */
export function swapMethods({ client, db, read, write }: Engine): Pick<Store, Methods> {
  const swapState = client.prepare<[kid: string, grantId: string], SwapRow>(SWAP_STATE)

  return {
    getSwapState: ({ grantId, kid }) =>
      read(() => {
        const row = swapState.get(kid, grantId)
        return row && toSwapState(grantId, row)
      }),

    useJti: ({ grantId, jti, now }) =>
      write(() => {
        const unused = and(eq(grants.id, grantId), eq(grants.jti, jti), isNull(grants.jtiUsedAt))
        db.update(grants).set({ jtiUsedAt: now }).where(unused).run()
      }),

    renewGrant: ({ grantId, expectedJti, ...token }) =>
      write(() => {
        const current = and(
          eq(grants.id, grantId),
          eq(grants.jti, expectedJti),
          isNull(grants.revokedAt),
        )
        const renewed = { ...token, jtiUsedAt: null, previousJti: expectedJti }
        return db.update(grants).set(renewed).where(current).run().changes === 1
      }),

    recordUse: ({ grants: used, counts }) =>
      write(() => {
        for (const { id, lastUsedAt } of used) {
          const earlier = or(isNull(grants.lastUsedAt), lt(grants.lastUsedAt, lastUsedAt))
          db.update(grants)
            .set({ lastUsedAt })
            .where(and(eq(grants.id, id), earlier))
            .run()
        }
        for (const row of counts) {
          db.insert(usage)
            .values(row)
            .onConflictDoUpdate({
              target: [usage.hour, usage.appId, usage.outcome],
              set: { count: sql`${usage.count} + ${row.count}` },
            })
            .run()
        }
      }),

    listUsage: ({ since, appId }) =>
      read(() => {
        const ofApp = appId === undefined ? undefined : eq(usage.appId, appId)
        return db
          .select()
          .from(usage)
          .where(and(gte(usage.hour, since), ofApp))
          .all()
      }),
  }
}

function toSwapState(grantId: string, row: SwapRow): SwapState {
  return {
    keyStatus: row.key_status,
    grant: {
      id: grantId,
      appId: row.app_id,
      connectionId: row.connection_id,
      scope: row.scope,
      jti: row.jti,
      jtiUsedAt: row.jti_used_at,
      previousJti: row.previous_jti,
      issuedAtSeconds: row.issued_at_seconds,
      expiresAtSeconds: row.expires_at_seconds,
      revokedAt: row.revoked_at,
    },
    app: row.app === null ? null : toApp(row.app_id, row.app),
    connection: row.connection_status && {
      id: row.connection_id,
      status: row.connection_status,
      generation: row.generation,
      accessTokenExpiresAt: row.expires_at,
    },
  }
}

function toApp(id: string, json: string): SwapState['app'] {
  const [confidential, tokens, life] = JSON.parse(json) as [number, 'broker' | 'ellipsis', number]
  return { id, confidential: confidential === 1, tokens, tokenLifetimeSeconds: life }
}
