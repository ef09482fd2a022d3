import type { App, ConnectionStatus, NewEvent, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { actorFields } from '../admin/actor.ts'
import type { Actor } from '../admin/actor.ts'
import type { Clock, Random } from '../runtime.ts'
import { visibleText } from '../visible-text.ts'
import { equalHashes, newId, newSecret, sha256 } from '../crypto/hash.ts'
import {
  checkSettings,
  defaultGrantLifetime,
  defaultOrigins,
  derivedFields,
  withRegistered,
} from './app-settings.ts'
import type { AppSettings } from './app-settings.ts'
import { checkSite } from './same-site.ts'
import type { ClientAssertions } from './client-assertion.ts'
import { loopbackOriginOf } from './redirect-uri.ts'

/** Client authentication (RFC 6749 2.3). */
export interface Credentials {
  clientId: string
  /** `null`: none sent, as by public apps. */
  clientSecret: Secret | null
  /** A JWT that the client signed (RFC 7523 2.2), if one was sent. */
  assertion?: Secret
}

export interface Apps {
  /** @throws BrokerError `invalid_request` with every problem */
  add(settings: AppSettings, actor: Actor): Promise<{ app: App; clientSecret: Secret | null }>
  list(): Promise<App[]>
  find(id: string): Promise<App | undefined>
  /** @throws BrokerError `invalid_request` if there is no such app */
  get(id: string): Promise<App>
  /**
   * @param options.add adds the given redirect URIs and origins to the registered ones, instead of replacing them
   * @throws BrokerError `invalid_request` with every problem
   */
  set(
    id: string,
    changes: Partial<AppSettings>,
    actor: Actor,
    options?: { add?: boolean },
  ): Promise<App>
  /** Removes the app, which gets no tokens from then on. `false`: there is no such app. */
  remove(id: string, actor: Actor): Promise<boolean>
  /** Creates a new secret; the old one is accepted for `overlapSeconds` more. */
  rotateSecret(id: string, overlapSeconds: number, actor: Actor): Promise<Secret>
  /** Revokes all secrets except the newest. `false`: there is no other. @throws BrokerError `invalid_request` */
  endOldSecret(id: string, actor: Actor): Promise<boolean>
  /** Removes all secrets of an app that has keys. @throws BrokerError `invalid_request` */
  removeSecrets(id: string, actor: Actor): Promise<App>
  /** Does any app register this origin? On loopback addresses, the port may differ, as in redirect URIs. */
  hasOrigin(origin: string): Promise<boolean>
  /**
   * Does an app with sessions register exactly this origin?
   * @param id of the app; `null`: any app
   */
  hasSessionOrigin(origin: string, id: string | null): Promise<boolean>
  /** Number of unrevoked connections with an unrevoked grant of the app. */
  countUsers(id: string): Promise<number>
  /** The same of every app that has any, by app id. */
  countUsersByApp(): Promise<Map<string, number>>
  /** The app that the credentials authenticate. @throws BrokerError `invalid_client` */
  authenticate(credentials: Credentials): Promise<App>
}

/** Grants of a removed app that are revoked at once: connections per batch, and batches. */
const REVOCATION_BATCH_SIZE = 100
const MAX_REVOCATION_BATCHES = 10

export function createApps(deps: {
  store: Store
  clock: Clock
  random: Random
  publicUrl: string
  assertions: ClientAssertions
}): Apps {
  const { store, clock, random, publicUrl, assertions } = deps

  const get = async (id: string): Promise<App> => {
    const app = await store.getApp(id)
    if (!app) throw new BrokerError('invalid_request', { description: `There is no app ${id}.` })
    return app
  }

  /** Changes the current state of an app by compare-and-swap, so that concurrent changes are kept. */
  const update = async (
    id: string,
    event: Omit<NewEvent, 'at'>,
    toUpdated: (before: App) => App,
  ): Promise<{ before: App; after: App }> => {
    for (;;) {
      const before = await get(id)
      const after = toUpdated(before)
      const events = eventsOf({ ...event, at: clock.now(), appId: id }, before, after)
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
    async add(given, actor) {
      const settings = { ...given, name: visibleText(given.name) }
      checkSettings(settings)
      checkSite({ ...settings, origins: settings.origins ?? defaultOrigins(settings) }, publicUrl)
      // An app with keys needs no secret.
      const created = settings.confidential && !hasKeys(settings) ? newAppSecret() : null
      const app: App = {
        ...settings,
        id: newId(random, 'app'),
        origins: settings.origins ?? defaultOrigins(settings),
        grantLifetimeSeconds:
          settings.grantLifetimeSeconds === undefined
            ? defaultGrantLifetime(settings)
            : settings.grantLifetimeSeconds,
        secrets: created ? [created.stored] : [],
        createdAt: clock.now(),
      }
      const event = { ...actorFields(actor), at: clock.now(), action: 'app.added', appId: app.id }
      await store.addApp(app, eventsOf({ ...event, details: app.name }, null, app))
      return { app, clientSecret: created?.secret ?? null }
    },

    list: () => store.listApps(),
    find: (id) => store.getApp(id),
    hasOrigin: (origin) => store.hasOrigin({ origin, anyPortOf: loopbackOriginOf(origin) }),

    async hasSessionOrigin(origin, id) {
      if (id === null) return store.hasOrigin({ origin, anyPortOf: null, session: 'cookie' })
      const app = await store.getApp(id)
      return app?.session === 'cookie' && app.origins.includes(origin)
    },

    async countUsers(id) {
      return unrevokedOf(await store.countConnections(id))
    },

    async countUsersByApp() {
      const counts = [...(await store.countConnectionsByApp())]
      return new Map(counts.map(([id, byStatus]) => [id, unrevokedOf(byStatus)]))
    },

    get,

    async set(id, given, actor, { add = false } = {}) {
      const details = Object.keys(given).join(', ')
      const event = { ...actorFields(actor), action: 'app.changed', details }
      const { after } = await update(id, event, (before) => {
        const changes = add ? withRegistered(before, given) : given
        const app = { ...before, ...changes, ...derivedFields(before, changes) }
        if (app.confidential !== before.confidential) {
          const description =
            'The client type of an app can’t be changed (public or confidential). Add a new app.'
          throw new BrokerError('invalid_request', { description })
        }
        checkSettings(app, before.redirectUris)
        checkSite(app, publicUrl)
        checkCanAuthenticate(app, clock.now())
        return app
      })
      return after
    },

    async remove(id, actor) {
      if (!(await removeApp(id, actor))) return false
      // The sweeper revokes the rest; without the app the grants are worthless anyway.
      for (let batch = 0; batch < MAX_REVOCATION_BATCHES; batch++) {
        const bounds = { now: clock.now(), limit: REVOCATION_BATCH_SIZE }
        if ((await store.revokeGrantsOfRemovedApps(bounds)) === 0) break
      }
      return true
    },

    async rotateSecret(id, overlapSeconds, actor) {
      const created = newAppSecret()
      const expiresAt = clock.now() + overlapSeconds * 1000
      await update(id, { ...actorFields(actor), action: 'app.secret_rotated' }, (app) => {
        if (!app.confidential) {
          const description = `App ${id} is public and has no secret.`
          throw new BrokerError('invalid_request', { description })
        }
        const newest = app.secrets.at(-1)
        const old = newest && {
          ...newest,
          expiresAt: Math.min(newest.expiresAt ?? expiresAt, expiresAt),
        }
        const secrets = old && overlapSeconds > 0 ? [old, created.stored] : [created.stored]
        return { ...app, secrets }
      })
      return created.secret
    },

    async endOldSecret(id, actor) {
      const event = { ...actorFields(actor), action: 'app.old_secret_ended' }
      const { before, after } = await update(id, event, (app) => {
        const valid = validSecrets(app, clock.now())
        return valid.length < 2 ? app : { ...app, secrets: valid.slice(-1) }
      })
      return after !== before
    },

    async removeSecrets(id, actor) {
      const event = { ...actorFields(actor), action: 'app.old_secret_ended' }
      const { after } = await update(id, event, (app) => {
        const changed = app.secrets.length === 0 ? app : { ...app, secrets: [] }
        checkCanAuthenticate(changed, clock.now())
        return changed
      })
      return after
    },

    async authenticate({ clientId, clientSecret, assertion }) {
      const app = await store.getApp(clientId)
      if (!app) throw new BrokerError('invalid_client', { reason: 'unknown_client' })
      if (assertion) {
        if (!app.confidential)
          throw new BrokerError('invalid_client', { reason: 'client_assertion_of_public_app' })
        await assertions.use(app, assertion)
        return app
      }
      const reason = whyNotAuthenticated(app, clientSecret, clock.now())
      if (reason !== null) throw new BrokerError('invalid_client', { reason })
      return app
    },
  }
}

/** The event of a change and, if the change is about offline access, another one that says so. */
function eventsOf(event: NewEvent, before: App | null, after: App): NewEvent[] {
  if ((before?.offline ?? false) === after.offline) return [event]
  const action = after.offline ? 'app.offline_allowed' : 'app.offline_ended'
  return [event, { ...event, action, details: null }]
}

const unrevokedOf = (counts: Record<ConnectionStatus, number>): number =>
  counts.active + counts.needs_reconnect

const hasKeys = ({ jwks, jwksUri }: Pick<App, 'jwks' | 'jwksUri'>): boolean =>
  jwks !== null || jwksUri !== null

/** @throws BrokerError `invalid_request` if a confidential app has neither a secret nor keys */
function checkCanAuthenticate(app: App, now: number): void {
  if (!app.confidential || hasKeys(app) || validSecrets(app, now).length > 0) return
  const description =
    'The app would have neither a secret nor keys. Give it keys, or first create a secret with "app rotate-secret".'
  throw new BrokerError('invalid_request', { description, reason: 'app_without_credentials' })
}

/** A public app must send no secret; a confidential app one of its valid secrets. `null`: it did. */
function whyNotAuthenticated(app: App, secret: Secret | null, now: number): string | null {
  if (!app.confidential) return secret === null ? null : 'client_secret_of_public_app'
  if (secret === null) return 'client_secret_missing'
  const hashed = sha256(secret.reveal())
  const isSent = ({ hash }: App['secrets'][number]) => equalHashes(hash, hashed)
  if (validSecrets(app, now).some(isSent)) return null
  return app.secrets.some(isSent) ? 'client_secret_expired' : 'client_secret_mismatch'
}

/** The secrets that are accepted now, newest last. */
export const validSecrets = (app: Pick<App, 'secrets'>, now: number): App['secrets'] =>
  app.secrets.filter(({ expiresAt }) => expiresAt === null || expiresAt > now)
