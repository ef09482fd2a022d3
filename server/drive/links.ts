import type {
  AccessPolicy,
  LinkState,
  ListedLink,
  Millis,
  NewEvent,
  Store,
} from '../../db/store.ts'
import { actorFields } from '../admin/actor.ts'
import type { Actor } from '../admin/actor.ts'
import type { Usage } from '../connections/usage.ts'
import { newId, newSecret, sha256 } from '../crypto/hash.ts'
import { BrokerError } from '../errors.ts'
import { isAllowed } from '../oauth/access-policy.ts'
import { grantEndSeconds } from '../oauth/grants.ts'
import { PROJECTS, includesScope } from '../oauth/scope.ts'
import { isGrantOver } from '../oauth/token-status.ts'
import type { LiveGrant } from '../oauth/token-status.ts'
import type { Clock, Random } from '../runtime.ts'
import { Secret } from '../secret.ts'
import { visibleText } from '../visible-text.ts'
import type { DriveCaller } from './forward.ts'
import { matchLink, readLinkPath } from './link-path.ts'
import { readDrivePath } from './path.ts'
import type { DrivePath } from './path.ts'

/** Lifetimes of links, seconds. */
export const MIN_LINK_LIFETIME_SECONDS = 60
export const MAX_LINK_LIFETIME_SECONDS = 90 * 24 * 60 * 60
export const DEFAULT_LINK_LIFETIME_SECONDS = 24 * 60 * 60
export const MAX_LABEL_LENGTH_CHARS = 200
/** Links that an app may have on one connection at a time. */
export const MAX_LINKS_OF_APP = 1000
/** A connection that Ellipsis Drive rejects is retried by itself; a map may ask again after this time, seconds. */
const RETRY_AFTER_SECONDS = 60

/** What an app asks for. */
export interface LinkRequest {
  /** Of Ellipsis Drive's API, with placeholders such as `{z}`. */
  path: string
  /** Everything below the path, too. */
  isPrefix: boolean
  lifetimeSeconds: number
  label: string
}

interface CreatedLink {
  id: string
  secret: Secret
  /** Normalised: what follows the secret in the URL. */
  path: string
  expiresAt: Millis
}

/** A request with a link that may go to Ellipsis Drive. */
export interface OpenedLink {
  caller: DriveCaller
  path: DrivePath
}

/** Read-only URLs to parts of users' drives, which need no token. */
export interface Links {
  /**
   * Creates a link on behalf of a grant. It ends with the grant.
   * @throws BrokerError `invalid_request` for the path or label, or if the app has too many links;
   *   `insufficient_scope` if the app may not read the path; `token_refused` if the grant was just revoked
   */
  create(live: LiveGrant, request: LinkRequest, address: string): Promise<CreatedLink>
  /** Those of the grant's app on the grant's connection, from all its devices; the newest first. */
  list(live: LiveGrant): Promise<ListedLink[]>
  /** Ends a link of the grant's app on its connection. @throws BrokerError `link_not_found` */
  revoke(id: string, live: LiveGrant, address: string): Promise<void>
  /** Ends any link of a connection, for an admin. `false`: there is no such link. */
  revokeAny(id: string, connectionId: string, actor: Actor): Promise<boolean>
  /**
   * The caller and path of a GET or HEAD with a link, and counts it as used.
   * @param target what follows the secret in the URL, not decoded
   * @throws BrokerError `link_not_found` for whatever the link does not give
   */
  open(secret: Secret, method: string, target: string): Promise<OpenedLink>
}

export function createLinks(deps: {
  store: Store
  usage: Pick<Usage, 'touch' | 'touchLink'>
  clock: Clock
  random: Random
}): Links {
  const { store, usage, clock, random } = deps

  const deleteLink = (link: ListedLink, actor: Actor): Promise<boolean> =>
    store.deleteLink(link.id, [event('link.revoked', link, clock.now(), actor)])

  /** Reads the state behind a link. @throws BrokerError `link_not_found` */
  const readState = async (secret: Secret): Promise<LinkState & LiveGrant> => {
    const state = await store.getLinkState(sha256(secret.reveal()))
    if (!state) throw linkNotFound('link_unknown')
    const reason = endOf(state, clock.now())
    const { app } = state
    if (reason !== null || !app) throw linkNotFound(reason ?? 'link_app_removed', app?.id)
    return { ...state, app }
  }

  return {
    async create(live, { path: given, isPrefix, lifetimeSeconds, label: text }, address) {
      const { grant, app } = live
      const path = readLinkPath(given, isPrefix)
      checkPolicy(live, path)
      const label = checkLabel(text)
      const now = clock.now()
      const endsAt = grantEndSeconds(grant, app) * 1000
      const expiresAt = Math.min(now + lifetimeSeconds * 1000, endsAt)
      const secret = new Secret(newSecret(random))
      const link = {
        id: newId(random, 'link'),
        secretHash: sha256(secret.reveal()),
        grantId: grant.id,
        ...{ path, isPrefix, label, expiresAt },
        createdAt: now,
        lastUsedAt: null,
        uses: 0,
      }
      const { appId, connectionId } = grant
      const actor = { actor: 'app', address }
      const events = [event('link.created', { ...link, appId, connectionId }, now, actor)]
      const outcome = await store.addLink(link, { max: MAX_LINKS_OF_APP, events })
      if (outcome === 'ended') throw new BrokerError('token_refused', { reason: 'grant_revoked' })
      if (outcome === 'full') throw tooManyLinks()
      return { id: link.id, secret, path, expiresAt }
    },

    list: ({ grant: { connectionId, appId } }) =>
      store.listLinks({ connectionId, appId, now: clock.now() }),

    async revoke(id, { grant }, address) {
      const link = await store.getLink(id)
      const isOwn = link?.connectionId === grant.connectionId && link.appId === grant.appId
      const isLive = isOwn && link.expiresAt > clock.now()
      if (!isLive || !(await deleteLink(link, { actor: 'app', address }))) {
        throw linkNotFound(isOwn || !link ? 'link_unknown' : 'link_of_another_app', grant.appId)
      }
    },

    async revokeAny(id, connectionId, actor) {
      const link = await store.getLink(id)
      return link?.connectionId === connectionId && deleteLink(link, actor)
    },

    async open(secret, method, target) {
      // Reads path and state whatever the other says: an unknown link takes as long as one without this path.
      const request = readTarget(target)
      const state = await readState(secret)
      const { grant, app } = state
      const path = request && matchLink(state.link, request)
      if (!path) throw linkNotFound('link_path_outside', app.id)
      if (!mayRead({ app, grant }, method, path)) {
        throw linkNotFound('link_policy', app.id)
      }
      usage.touch(grant.id)
      usage.touchLink(state.link.id)
      return { caller: { live: state, check: () => readState(secret) }, path }
    },
  }
}

/** Why a link gives nothing any more; `null`: it does. */
function endOf({ link, grant, app, connection }: LinkState, now: Millis): string | null {
  if (link.expiresAt <= now) return 'link_expired'
  if (connection.status === 'revoked') return 'connection_revoked'
  if (grant.revokedAt !== null) return 'grant_revoked'
  if (!app) return 'app_removed'
  const isOver = isGrantOver({ grant, app, connection }, now)
  if (isOver || grant.expiresAtSeconds * 1000 <= now) return 'grant_over'
  return includesScope(grant.scope, PROJECTS) ? null : 'scope_not_granted'
}

/** A path that the link does not give, or that no link can give. */
function readTarget(target: string): DrivePath | null {
  try {
    return readDrivePath(target)
  } catch (error) {
    if (error instanceof BrokerError) return null
    throw error
  }
}

/**
 * What a visitor of a link learns of a failure: nothing about the account. A rejected connection may work again
 * soon, so its links answer as during an outage.
 */
export function toLinkError(error: unknown): unknown {
  if (!(error instanceof BrokerError)) return error
  const { code, details } = error
  const { appId } = details
  const reason = details.reason ?? code
  if (code === 'needs_reconnect' || code === 'temporarily_unavailable') {
    const { cause, retryAfter = RETRY_AFTER_SECONDS } = details
    const more = { cause, reason, ...(appId !== undefined && { appId }) }
    return new BrokerError('temporarily_unavailable', { retryAfter, ...more })
  }
  return HIDDEN_CODES.includes(code) ? linkNotFound(reason, appId) : error
}

/** What a link that just ended, or whose policy was just narrowed, ends in. */
const HIDDEN_CODES = [
  ...['link_not_found', 'token_refused', 'connection_revoked', 'scope_not_granted'],
  ...['insufficient_scope', 'access_denied', 'invalid_request', 'unauthorized_client'],
]

const linkNotFound = (reason: string, appId?: string): BrokerError =>
  new BrokerError('link_not_found', { reason, ...(appId !== undefined && { appId }) })

function tooManyLinks(): BrokerError {
  const description = `This app has ${MAX_LINKS_OF_APP} links for this user. Revoke some, or wait until they expire.`
  return new BrokerError('invalid_request', { description, reason: 'links_full', isGuess: false })
}

/** A link only reads and leads to no tokens, whatever its app may do: anyone may have it. */
const LINK_POLICY: AccessPolicy = { access: 'proxy', readOnly: true, allow: [] }

/** May a link of the grant send this request? */
const mayRead = (
  { app, grant }: Pick<LiveGrant, 'app' | 'grant'>,
  method: string,
  path: DrivePath,
): boolean =>
  isAllowed({ app: LINK_POLICY, granted: null }, method, path) &&
  isAllowed({ app, granted: grant.policy }, method, path)

/** Only a path without placeholders says already whether it is allowed; the others are checked when used. */
function checkPolicy(live: Pick<LiveGrant, 'app' | 'grant'>, path: string): void {
  if (path.includes('{')) return
  const read = readDrivePath(path)
  if (mayRead(live, 'GET', read)) return
  const description = 'The access policy of this app does not allow to read this path.'
  throw new BrokerError('insufficient_scope', { description, reason: 'link_policy' })
}

function checkLabel(text: string): string {
  const label = visibleText(text)
  if ([...label].length <= MAX_LABEL_LENGTH_CHARS) return label
  const description = `Send a label of at most ${MAX_LABEL_LENGTH_CHARS} characters.`
  throw new BrokerError('invalid_request', {
    description,
    reason: 'label_too_long',
    isGuess: false,
  })
}

const event = (
  action: string,
  { label, path, grantId, connectionId, appId }: Omit<ListedLink, 'id'>,
  at: Millis,
  actor: Actor,
): NewEvent => ({
  ...{ action, at, grantId, connectionId, appId },
  details: label === '' ? path.replace(/\?.*$/s, '') : label,
  ...actorFields(actor),
})
