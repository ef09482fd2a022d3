import type { App, ConnectionStatus, NewEvent, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { actorFields } from '../admin/actor.ts'
import type { Actor } from '../admin/actor.ts'
import type { Clock, Random } from '../runtime.ts'
import { visibleText } from '../visible-text.ts'
import { equalHashes, newId, newSecret, sha256 } from '../crypto/hash.ts'
import { defaultOptions } from './app-options.ts'
import type { AppOptions } from './app-options.ts'
import {
  isClaimable,
  isLoopback,
  loopbackOriginOf,
  originOf,
  originProblem,
  redirectUriProblem,
} from './redirect-uri.ts'

/** The settings of an app that a host chooses. */
export interface AppSettings extends AppOptions {
  name: string
  redirectUris: string[]
  /** Default: the origins of the redirect URIs for a public app; none for a confidential one. */
  origins?: string[]
  confidential: boolean
  /** Life of a broker token, seconds. */
  tokenLifetimeSeconds: number
  /** Default: 90 days for a browser app, or its token's lifetime if that is longer; `null` for others. */
  grantLifetimeSeconds?: number | null
}

/** Client authentication (RFC 6749 2.3). */
export interface Credentials {
  clientId: string
  /** `null`: none sent, as by public apps. */
  clientSecret: Secret | null
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
  /** Does any app register this origin? On loopback addresses, the port may differ, as in redirect URIs. */
  hasOrigin(origin: string): Promise<boolean>
  /** Number of unrevoked connections with an unrevoked grant of the app. */
  countUsers(id: string): Promise<number>
  /** The same of every app that has any, by app id. */
  countUsersByApp(): Promise<Map<string, number>>
  /** The app that the credentials authenticate. @throws BrokerError `invalid_client` */
  authenticate(credentials: Credentials): Promise<App>
}

const DAY_SECONDS = 86_400
const MIN_TOKEN_LIFETIME_SECONDS = 60
const MAX_TOKEN_LIFETIME_SECONDS = 400 * DAY_SECONDS
const BROWSER_GRANT_LIFETIME_SECONDS = 90 * DAY_SECONDS
const MAX_GRANT_LIFETIME_SECONDS = 3650 * DAY_SECONDS
const MAX_NAME_LENGTH_CHARS = 200
const MAX_REDIRECT_URIS = 20
/** Grants of a removed app that are revoked at once: connections per batch, and batches. */
const REVOCATION_BATCH_SIZE = 100
const MAX_REVOCATION_BATCHES = 10

export const appDefaults: Omit<AppSettings, 'name' | 'redirectUris'> = {
  ...defaultOptions,
  confidential: false,
  tokenLifetimeSeconds: 30 * DAY_SECONDS,
}

export function createApps(deps: { store: Store; clock: Clock; random: Random }): Apps {
  const { store, clock, random } = deps

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
    async add(given, actor) {
      const settings = { ...given, name: visibleText(given.name) }
      checkSettings(settings)
      const created = settings.confidential ? newAppSecret() : null
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
      await store.addApp(app, [
        {
          ...actorFields(actor),
          at: clock.now(),
          action: 'app.added',
          appId: app.id,
          details: app.name,
        },
      ])
      return { app, clientSecret: created?.secret ?? null }
    },

    list: () => store.listApps(),
    find: (id) => store.getApp(id),
    hasOrigin: (origin) => store.hasOrigin({ origin, anyPortOf: loopbackOriginOf(origin) }),

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

    async authenticate({ clientId, clientSecret }) {
      const app = await store.getApp(clientId)
      if (!app) throw new BrokerError('invalid_client', { reason: 'unknown_client' })
      const reason = whyNotAuthenticated(app, clientSecret, clock.now())
      if (reason !== null) throw new BrokerError('invalid_client', { reason })
      return app
    },
  }
}

const unrevokedOf = (counts: Record<ConnectionStatus, number>): number =>
  counts.active + counts.needs_reconnect

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
export const validSecrets = (app: App, now: number): App['secrets'] =>
  app.secrets.filter(({ expiresAt }) => expiresAt === null || expiresAt > now)

/** The origins of the redirect URIs of a public app; none for a confidential app. */
export function defaultOrigins(
  settings: Pick<AppSettings, 'confidential' | 'redirectUris'>,
): string[] {
  if (settings.confidential) return []
  const origins = settings.redirectUris.map(originOf).filter((origin) => origin !== null)
  return [...new Set(origins)]
}

/** Is it a public client whose tokens are in a browser, where scripts of others may read them? */
export const isBrowserApp = ({
  confidential,
  redirectUris,
}: Pick<App, 'confidential' | 'redirectUris'>): boolean =>
  !confidential && redirectUris.some((uri) => !isClaimable(uri) && !isLoopback(uri))

/** The grant lifetime of an app whose host chose none, seconds. */
function defaultGrantLifetime(settings: AppSettings): number | null {
  return isBrowserApp(settings)
    ? Math.max(BROWSER_GRANT_LIFETIME_SECONDS, settings.tokenLifetimeSeconds)
    : null
}

/** Fields that follow from changed ones. Origins that were chosen stay; derived ones follow the redirect URIs. */
function derivedFields(
  before: App,
  { name, redirectUris, origins }: Partial<AppSettings>,
): Partial<AppSettings> {
  const hadDefault = isSameSet(before.origins, defaultOrigins(before))
  const isDerived = redirectUris !== undefined && origins === undefined && hadDefault
  return {
    ...(name !== undefined && { name: visibleText(name) }),
    ...(isDerived && { origins: defaultOrigins({ ...before, redirectUris }) }),
  }
}

/** Lists that are given, with what is registered in front. */
function withRegistered(before: App, changes: Partial<AppSettings>): Partial<AppSettings> {
  const { redirectUris, origins } = changes
  return {
    ...changes,
    ...(redirectUris && { redirectUris: union(before.redirectUris, redirectUris) }),
    ...(origins && { origins: union(before.origins, origins) }),
  }
}

const union = (one: string[], other: string[]): string[] => [...new Set([...one, ...other])]

const isSameSet = (one: string[], other: string[]): boolean =>
  [...new Set(one)].sort().join(' ') === [...new Set(other)].sort().join(' ')

/**
 * @param registered redirect URIs that the app has, from times with other rules: they stay valid
 * @throws BrokerError `invalid_request` with every problem of the settings
 */
function checkSettings(settings: AppSettings, registered: string[] = []): void {
  const problems = [...findProblems(settings, registered)]
  if (problems.length > 0) {
    throw new BrokerError('invalid_request', { description: problems.join('\n') })
  }
}

function* findProblems(app: AppSettings, registered: string[]): Generator<string> {
  const { length } = Array.from(app.name)
  if (length === 0 || length > MAX_NAME_LENGTH_CHARS) {
    yield `Give the app a name of 1 to ${MAX_NAME_LENGTH_CHARS} characters.`
  }
  if (app.redirectUris.length === 0 && !app.device) yield 'Give at least one redirect URI.'
  if (app.redirectUris.length > MAX_REDIRECT_URIS) {
    yield `Give at most ${MAX_REDIRECT_URIS} redirect URIs.`
  }
  for (const uri of app.redirectUris) {
    const problem = registered.includes(uri) ? null : redirectUriProblem(uri)
    if (problem !== null) yield `Redirect URI ${uri} ${problem}.`
  }
  for (const origin of app.origins ?? []) {
    const problem = originProblem(origin)
    if (problem !== null) yield `Origin ${origin} ${problem}.`
  }
  const lifetime = app.tokenLifetimeSeconds
  const isInRange = lifetime >= MIN_TOKEN_LIFETIME_SECONDS && lifetime <= MAX_TOKEN_LIFETIME_SECONDS
  if (!Number.isInteger(lifetime) || !isInRange) {
    yield 'The token lifetime must be between a minute and 400 days.'
  }
  const grantLifetime = app.grantLifetimeSeconds ?? MIN_TOKEN_LIFETIME_SECONDS
  if (
    !Number.isInteger(grantLifetime) ||
    grantLifetime < MIN_TOKEN_LIFETIME_SECONDS ||
    grantLifetime > MAX_GRANT_LIFETIME_SECONDS
  ) {
    yield 'The grant lifetime must be between a minute and 3,650 days, or off.'
  }
  const { confidential, tokens, device, dpop } = app
  const needsCode = confidential || tokens === 'ellipsis' || device || dpop === 'required'
  if (app.deliver === 'fragment' && needsCode) {
    yield 'Fragment delivery is only for public apps without broker tokens, device flow or required DPoP.'
  }
}
