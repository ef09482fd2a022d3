import { testClock } from '../../helper.ts'
import { loadConfig } from '../../../server/config/config.ts'
import { createLog } from '../../../server/log.ts'
import { startServices } from '../../../server/services.ts'
import { runtime } from '../../../server/runtime.ts'
import type { Services } from '../../../server/services.ts'

/**
 * The contents of the stored databases in this folder, whatever their schema: `NNNN.db.gz` is a store after the
 * migration of that number, made by `make.ts` before the next migration was written.
 */
export const SECRET = Buffer.alloc(32, 7).toString('base64url')
export const EMAIL = 'ada@example.com'
export const PASSWORD = 'correct horse battery staple'
export const ACCOUNTS = ['amelie', 'bo', 'Çelik', 'dora'] as const
export const refreshTokenOf = (username: string) => `refresh token of ${username}`
export const accessTokenOf = (username: string) => `access token of ${username}`
/** In the table `meta`: what only those who connected knew. */
export const KNOWN = 'test_known'
export interface Known {
  appId: string
  confidential: { clientId: string; clientSecret: string }
  /** Broker tokens, by username. */
  tokens: Record<string, string>
}

/** The settings that the databases were made with. */
export const settingsOf = (dataDir: string): Record<string, string> => ({
  ELLIPSIS_CLIENT_ID: 'client',
  ELLIPSIS_CLIENT_SECRET: 'secret',
  ELLIPSIS_API_URL: 'http://127.0.0.1:1/v3',
  BROKER_PUBLIC_URL: 'http://127.0.0.1:3000',
  BROKER_DATA_DIR: dataDir,
  BROKER_SECRETS: SECRET,
})

/** A broker without HTTP on that directory, at the time when the databases were made. */
export async function startThen(dataDir: string): Promise<Services> {
  const clock = testClock()
  clock.advance(Date.UTC(2026, 10, 24, 12) - clock.now())
  return startServices(
    loadConfig(settingsOf(dataDir), { serve: true }),
    createLog({ logLevel: 'silent' }),
    { claim: 'same', runtime: { ...runtime, clock } },
  )
}
