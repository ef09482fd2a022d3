/**
 * `npm exec -- node test/db/stored/make.ts`: makes the stored database of today's schema. Run it before a new
 * migration is added: a stored database is never made again.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import { appDefaults } from '../../../server/oauth/app-settings.ts'
import { sha256 } from '../../../server/crypto/hash.ts'
import { Secret } from '../../../server/secret.ts'
import type { Services } from '../../../server/services.ts'
import { migrations } from '../temporary.ts'
import {
  ACCOUNTS,
  EMAIL,
  KNOWN,
  PASSWORD,
  accessTokenOf,
  refreshTokenOf,
  startThen,
} from './setting.ts'
import type { Known } from './setting.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const BROWSER = {
  address: '192.0.2.1',
  userAgent: 'test',
  device: undefined,
  isAddressShared: false,
}
const REDIRECT = 'https://app.example.com/'

const folder = mkdtempSync(join(tmpdir(), 'ellipsis-broker-stored-'))
await fill(folder)
const file = join(import.meta.dirname, `${String(migrations.length - 1).padStart(4, '0')}.db.gz`)
const client = new Database(join(folder, 'broker.db'))
client.prepare('vacuum into ?').run(join(folder, 'copy.db'))
client.close()
writeFileSync(file, gzipSync(readFileSync(join(folder, 'copy.db')), { level: 9 }), { flag: 'wx' })
process.stdout.write(`${file}\n`)
rmSync(folder, { recursive: true })

/** Accounts that are connected, refused, and revoked; two apps, an admin, and what happened. */
async function fill(directory: string): Promise<void> {
  const services = await startThen(directory)
  const { apps, admins, clock, connections, secondFactors, sessions, store } = services
  const settings = { ...appDefaults, redirectUris: [REDIRECT] }
  const { app } = await apps.add({ ...settings, name: 'Map' }, 'cli')
  const secret = { ...settings, name: 'Report', confidential: true }
  const { app: report, clientSecret } = await apps.add(secret, 'cli')
  const tokens: Known['tokens'] = {}
  for (const [index, username] of ACCOUNTS.entries()) {
    tokens[username] = await connect(services, { id: `con_${index}`, username, app })
  }
  await admins.add(EMAIL, new Secret(PASSWORD), 'cli')
  const admin = await admins.find(EMAIL)
  if (!admin) throw new Error('no admin')
  await secondFactors.propose({ id: admin.id, email: EMAIL })
  await sessions.begin(admin, BROWSER)
  await store.saveFailure({
    id: 'con_1',
    expectedGeneration: 1,
    owner: 'none',
    status: 'needs_reconnect',
    lastError: 'Ellipsis Drive refused the refresh token',
    retryAt: clock.now() + DAY,
    dropPrevious: false,
    isRejection: true,
    events: [],
  })
  await connections.revoke('con_3', 'cli')
  const hour = Math.floor(clock.now() / HOUR) * HOUR
  await store.recordUse({
    grants: [],
    counts: [{ appId: app.id, hour, kind: 'swap', outcome: 'ok', count: 42 }],
  })
  const confidential = { clientId: report.id, clientSecret: clientSecret?.reveal() ?? '' }
  const known: Known = { appId: app.id, confidential, tokens }
  await store.setMeta({ [KNOWN]: JSON.stringify(known) })
  await services.stop()
}

async function connect(
  { store, vault, redeem, clock }: Services,
  { id, username, app }: { id: string; username: string; app: { id: string } },
): Promise<string> {
  const now = clock.now()
  const [code, verifier] = [`code of ${username}`, `verifier of ${username}`]
  const seal = (column: string, text: string) =>
    vault.seal(`connections/${id}/${column}`, new Secret(text))
  await store.saveConnection({
    id,
    expectedGeneration: null,
    accountId: `account of ${username}`,
    username,
    tokens: {
      refreshToken: seal('refresh_token', refreshTokenOf(username)),
      accessToken: seal('access_token', accessTokenOf(username)),
      accessTokenExpiresAt: now + DAY,
      accessTokenFetchedAt: now - 20_000,
    },
    now,
    code: {
      codeHash: sha256(code),
      appId: app.id,
      redirectUri: REDIRECT,
      challenge: sha256(verifier),
      nonce: null,
      jkt: null,
      connectionId: id,
      scope: 'projects',
      device: 'Firefox on Linux',
      browserHash: null,
      policy: null,
      externalId: null,
      createdAt: now,
      expiresAt: now + 60_000,
    },
    events: [{ at: now, actor: 'user', action: 'connection.connected', connectionId: id }],
  })
  const proof = { verifier: new Secret(verifier), redirectUri: undefined, proof: null }
  const asked = { app, code: new Secret(code), ...proof, address: '192.0.2.17' }
  return (await redeem.redeem(asked as Parameters<typeof redeem.redeem>[0])).token
}
