import type { App, NewEvent, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { actorFields } from '../admin/actor.ts'
import type { Actor } from '../admin/actor.ts'
import type { Clock, Random } from '../runtime.ts'
import { equalHashes, newId, newSecret, sha256 } from '../crypto/hash.ts'
import { originOf, originProblem, redirectUriProblem } from './redirect-uri.ts'

/** What a host says of an app. */
export interface AppSettings {
  name: string
  redirectUris: string[]
  /** Left out: the origins of its redirect URIs, for a public app; none for a confidential one. */
  origins?: string[]
  confidential: boolean
  trusted: boolean
  /** Life of a broker token, seconds. */
  tokenLifetimeSeconds: number
  deliver: App['deliver']
  tokens: App['tokens']
  /** May be used on devices without a browser (RFC 8628); it then needs no redirect URI. */
  device: boolean
  /** Must its broker tokens be bound to a key of its own (RFC 9449)? */
  dpop: App['dpop']
}

/** How a client says who it is (RFC 6749 2.3). */
export interface Credentials {
  clientId: string
  /** `null`: none given, as public apps do. */
  clientSecret: Secret | null
}

export interface Apps {
  /** @throws BrokerError `invalid_request` with all that is wrong. */
  add(settings: AppSettings, by: Actor): Promise<{ app: App; clientSecret: Secret | null }>
  list(): Promise<App[]>
  find(id: string): Promise<App | undefined>
  /** @throws BrokerError `invalid_request` if there is none. */
  get(id: string): Promise<App>
  /** @throws BrokerError `invalid_request` with all that is wrong. */
  set(id: string, changes: Partial<AppSettings>, by: Actor): Promise<App>
  /** Removes the app: from then on nothing is handed out to it. `false`: there is none. */
  remove(id: string, by: Actor): Promise<boolean>
  /** A new secret; the old one is accepted `overlapSeconds` longer. */
  rotateSecret(id: string, overlapSeconds: number, by: Actor): Promise<Secret>
  /** Ends every secret but the newest at once. `false`: there is no other. @throws BrokerError `invalid_request` */
  endOldSecret(id: string, by: Actor): Promise<boolean>
  /** Does any app register this origin? */
  hasOrigin(origin: string): Promise<boolean>
  /** Unrevoked connections on which the app has an unrevoked grant. */
  countUsers(id: string): Promise<number>
  /** The app that these credentials prove. @throws BrokerError `invalid_client` */
  authenticate(credentials: Credentials): Promise<App>
}

const DAY = 86_400
/** Connections a batch, and batches, on which a removed app's grants end at once. */
const [BATCH, BATCHES] = [100, 10]

export const appDefaults: Omit<AppSettings, 'name' | 'redirectUris'> = {
  confidential: false,
  trusted: false,
  tokenLifetimeSeconds: 30 * DAY,
  deliver: 'code',
  tokens: 'broker',
  device: false,
  dpop: 'optional',
}

export function createApps(needs: { store: Store; clock: Clock; random: Random }): Apps {
  const { store, clock, random } = needs

  const get = async (id: string): Promise<App> => {
    const app = await store.getApp(id)
    if (!app) throw new BrokerError('invalid_request', { description: `There is no app ${id}.` })
    return app
  }

  /** Changes an app as it is by now: what others change at the same time stays. */
  const change = async (
    id: string,
    event: Omit<NewEvent, 'at'>,
    make: (before: App) => App,
  ): Promise<{ before: App; after: App }> => {
    for (;;) {
      const before = await get(id)
      const after = make(before)
      const events = [{ ...event, at: clock.now(), appId: id }]
      if (after === before || (await store.updateApp(before, after, events))) {
        return { before, after }
      }
    }
  }

  const removeApp = async (id: string, by: Actor): Promise<boolean> => {
    for (;;) {
      const app = await store.getApp(id)
      if (!app) return false
      const event = { ...actorFields(by), at: clock.now(), action: 'app.removed', appId: id }
      if (await store.updateApp(app, null, [{ ...event, details: app.name }])) return true
    }
  }

  const newAppSecret = (): { secret: Secret; stored: App['secrets'][number] } => {
    const secret = newSecret(random)
    const stored = { hash: sha256(secret), createdAt: clock.now(), expiresAt: null }
    return { secret: new Secret(secret), stored }
  }

  return {
    async add(settings, by) {
      check(settings)
      const made = settings.confidential ? newAppSecret() : null
      const app: App = {
        ...settings,
        id: newId(random, 'app'),
        name: settings.name.trim(),
        origins: settings.origins ?? defaultOrigins(settings),
        secrets: made ? [made.stored] : [],
        createdAt: clock.now(),
      }
      await store.addApp(app, [
        {
          ...actorFields(by),
          at: clock.now(),
          action: 'app.added',
          appId: app.id,
          details: app.name,
        },
      ])
      return { app, clientSecret: made?.secret ?? null }
    },

    list: () => store.listApps(),
    find: (id) => store.getApp(id),
    hasOrigin: (origin) => store.hasOrigin(origin),

    async countUsers(id) {
      const { active, needs_reconnect: needsReconnect } = await store.countConnections(id)
      return active + needsReconnect
    },

    get,

    async set(id, changes, by) {
      const details = Object.keys(changes).join(', ')
      const event = { ...actorFields(by), action: 'app.changed', details }
      const { after } = await change(id, event, (before) => {
        const app = { ...before, ...changes }
        if (app.confidential !== before.confidential) {
          const description =
            'A public app can’t become confidential, nor the reverse: add a new one.'
          throw new BrokerError('invalid_request', { description })
        }
        check(app)
        return app
      })
      return after
    },

    async remove(id, by) {
      if (!(await removeApp(id, by))) return false
      // Of an app with many users the rest is left to upkeep: its grants mean nothing without it.
      for (let batch = 0; batch < BATCHES; batch++) {
        if ((await store.revokeGrantsOfRemovedApps({ now: clock.now(), limit: BATCH })) === 0) break
      }
      return true
    },

    async rotateSecret(id, overlapSeconds, by) {
      const made = newAppSecret()
      const end = clock.now() + overlapSeconds * 1000
      await change(id, { ...actorFields(by), action: 'app.secret_rotated' }, (app) => {
        if (!app.confidential) {
          const description = `App ${id} is public and has no secret.`
          throw new BrokerError('invalid_request', { description })
        }
        const newest = app.secrets.at(-1)
        const old = newest && { ...newest, expiresAt: Math.min(newest.expiresAt ?? end, end) }
        const secrets = old && overlapSeconds > 0 ? [old, made.stored] : [made.stored]
        return { ...app, secrets }
      })
      return made.secret
    },

    async endOldSecret(id, by) {
      const event = { ...actorFields(by), action: 'app.old_secret_ended' }
      const { before, after } = await change(id, event, (app) => {
        const live = liveSecrets(app, clock.now())
        return live.length < 2 ? app : { ...app, secrets: live.slice(-1) }
      })
      return after !== before
    },

    async authenticate({ clientId, clientSecret }) {
      const app = await store.getApp(clientId)
      if (!app || !proves(app, clientSecret, clock.now())) throw new BrokerError('invalid_client')
      return app
    },
  }
}

/** A public app proves itself by having no secret; a confidential one by either of its live ones. */
function proves(app: App, secret: Secret | null, now: number): boolean {
  if (!app.confidential) return secret === null
  if (secret === null) return false
  const given = sha256(secret.reveal())
  return liveSecrets(app, now).some(({ hash }) => equalHashes(hash, given))
}

/** The secrets that are accepted, the newest last. */
export const liveSecrets = (app: App, now: number): App['secrets'] =>
  app.secrets.filter(({ expiresAt }) => expiresAt === null || expiresAt > now)

/** Origins of an app that names none: those of its redirect URIs, if it runs in browsers. */
export function defaultOrigins(
  settings: Pick<AppSettings, 'confidential' | 'redirectUris'>,
): string[] {
  if (settings.confidential) return []
  const origins = settings.redirectUris.map(originOf).filter((origin) => origin !== null)
  return [...new Set(origins)]
}

/** Throws what is wrong with an app's settings, all of it at once. */
function check(settings: AppSettings): void {
  const problems = [...problemsOf(settings)]
  if (problems.length > 0) {
    throw new BrokerError('invalid_request', { description: problems.join('\n') })
  }
}

function* problemsOf(app: AppSettings): Generator<string> {
  const name = app.name.trim()
  if (name === '' || name.length > 200) yield 'Give the app a name of 1 to 200 characters.'
  if (app.redirectUris.length === 0 && !app.device) yield 'Give at least one redirect URI.'
  if (app.redirectUris.length > 20) yield 'Give at most 20 redirect URIs.'
  for (const uri of app.redirectUris) {
    const problem = redirectUriProblem(uri)
    if (problem !== null) yield `Redirect URI ${uri} ${problem}.`
  }
  for (const origin of app.origins ?? []) {
    const problem = originProblem(origin)
    if (problem !== null) yield `Origin ${origin} ${problem}.`
  }
  const life = app.tokenLifetimeSeconds
  if (!Number.isInteger(life) || life < 60 || life > 400 * DAY) {
    yield 'Let broker tokens live between a minute and 400 days.'
  }
  const { confidential, tokens, device, dpop } = app
  const standard = confidential || tokens === 'ellipsis' || device || dpop === 'required'
  if (app.deliver === 'fragment' && standard) {
    yield 'Fragment delivery is for public apps on pages, and has no broker tokens.'
  }
}
