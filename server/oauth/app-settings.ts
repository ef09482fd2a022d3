import type { App } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { visibleText } from '../visible-text.ts'
import { ruleProblem } from './access-policy.ts'
import { defaultOptions } from './app-options.ts'
import type { AppOptions } from './app-options.ts'
import { jwksProblem, jwksUriProblem } from './client-jwks.ts'
import {
  isClaimable,
  isLoopback,
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
  allow: string[]
  requestsPerMinute: number | null
  requestsPerDay: number | null
  /** JSON of a JWK Set: the public keys that the app authenticates with; `null`: none are registered. */
  jwks: string | null
  /** Where the app publishes them; `null`: nowhere. */
  jwksUri: string | null
  /** Life of a broker token, seconds. */
  tokenLifetimeSeconds: number
  /** Default: 90 days for a browser app, or its token's lifetime if that is longer; `null` for others. */
  grantLifetimeSeconds?: number | null
}

const DAY_SECONDS = 86_400
const MIN_TOKEN_LIFETIME_SECONDS = 60
const MAX_TOKEN_LIFETIME_SECONDS = 400 * DAY_SECONDS
const BROWSER_GRANT_LIFETIME_SECONDS = 90 * DAY_SECONDS
const MAX_GRANT_LIFETIME_SECONDS = 3650 * DAY_SECONDS
const MAX_NAME_LENGTH_CHARS = 200
const MAX_REDIRECT_URIS = 20
const MAX_RULES = 50
const MAX_RULE_LENGTH_CHARS = 500
const MAX_REQUEST_LIMIT = 1_000_000_000

export const appDefaults: Omit<AppSettings, 'name' | 'redirectUris'> = {
  ...defaultOptions,
  confidential: false,
  allow: [],
  requestsPerMinute: null,
  requestsPerDay: null,
  jwks: null,
  jwksUri: null,
  tokenLifetimeSeconds: 30 * DAY_SECONDS,
}

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
export function defaultGrantLifetime(settings: AppSettings): number | null {
  return isBrowserApp(settings)
    ? Math.max(BROWSER_GRANT_LIFETIME_SECONDS, settings.tokenLifetimeSeconds)
    : null
}

/** Fields that follow from changed ones. Origins that were chosen stay; derived ones follow the redirect URIs. */
export function derivedFields(
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
export function withRegistered(before: App, changes: Partial<AppSettings>): Partial<AppSettings> {
  const { redirectUris, origins, allow } = changes
  return {
    ...changes,
    ...(redirectUris && { redirectUris: union(before.redirectUris, redirectUris) }),
    ...(origins && { origins: union(before.origins, origins) }),
    // An empty list removes all rules.
    ...(allow && allow.length > 0 && { allow: union(before.allow, allow) }),
  }
}

const union = (one: string[], other: string[]): string[] => [...new Set([...one, ...other])]

const isSameSet = (one: string[], other: string[]): boolean =>
  [...new Set(one)].sort().join(' ') === [...new Set(other)].sort().join(' ')

/**
 * @param registered redirect URIs that the app has, from times with other rules: they stay valid
 * @throws BrokerError `invalid_request` with every problem of the settings
 */
export function checkSettings(settings: AppSettings, registered: string[] = []): void {
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
  if (app.offline && !app.confidential) {
    yield 'Offline access is only for confidential apps: a public app cannot authenticate by itself.'
  }
  yield* findKeyProblems(app)
  const { confidential, tokens, device, dpop } = app
  const needsCode = confidential || tokens === 'ellipsis' || device || dpop === 'required'
  if (app.deliver === 'fragment' && needsCode) {
    yield 'Fragment delivery is only for public apps without broker tokens, device flow or required DPoP.'
  }
  yield* findPolicyProblems(app)
}

function* findPolicyProblems(app: AppSettings): Generator<string> {
  const { access, readOnly, allow, session } = app
  if (allow.length > MAX_RULES) yield `Give at most ${MAX_RULES} rules.`
  for (const rule of allow) {
    const isTooLong = rule.length > MAX_RULE_LENGTH_CHARS
    const tooLong = `Write at most ${MAX_RULE_LENGTH_CHARS} characters.`
    const problem = isTooLong ? tooLong : ruleProblem(rule)
    if (problem !== null) yield `Rule “${rule.slice(0, 80)}”: ${problem}`
  }
  for (const limit of [app.requestsPerMinute, app.requestsPerDay]) {
    const isInRange = limit === null || (limit >= 1 && limit <= MAX_REQUEST_LIMIT)
    if (!isInRange || !Number.isInteger(limit ?? 1)) {
      yield 'Give a limit of requests between 1 and 1,000,000,000, or off.'
    }
  }
  if (access === 'token' && (readOnly || allow.length > 0)) {
    yield 'An access token has no limits: read-only access and rules need access through the proxy.'
  }
  if (access === 'proxy' && (app.tokens === 'ellipsis' || app.deliver === 'fragment')) {
    yield 'Plain OAuth and fragment delivery give the app an access token, and access through the proxy gives it none: choose one.'
  }
  if (session === 'cookie') yield* findCookieProblems(app)
}

/** A cookie works for a page in a browser, and the page has no other token. */
function* findCookieProblems(app: AppSettings): Generator<string> {
  if (app.access === 'token') yield 'A session in a cookie needs access through the proxy.'
  const isPage = (uri: string) => uri.startsWith('https:') || isLoopback(uri)
  if (app.confidential || app.redirectUris.length === 0 || !app.redirectUris.every(isPage)) {
    yield 'A session in a cookie is only for public apps whose redirect URIs all begin with https, or are on this machine.'
  }
  // A session begins with a plain link, which is not pushed.
  if (app.device || app.dpop === 'required' || app.par === 'required') {
    yield 'A session in a cookie excludes the device flow, required DPoP and required pushed requests.'
  }
}

/** Parses a number of requests; `off` or nothing is `null`: no limit. @throws BrokerError `invalid_request` */
export function parseRequestLimit(text: string): number | null {
  const trimmed = text.trim()
  if (trimmed === '' || trimmed === 'off') return null
  if (/^\d{1,10}$/.test(trimmed)) return Number(trimmed)
  const description = `${text} is not a number of requests: use a number such as 1200, or off.`
  throw new BrokerError('invalid_request', { description })
}

function* findKeyProblems({ confidential, jwks, jwksUri }: AppSettings): Generator<string> {
  if (jwks === null && jwksUri === null) return
  if (!confidential) yield 'Keys are only for confidential apps.'
  if (jwks !== null && jwksUri !== null) yield 'Give keys or a jwks_uri, not both.'
  const problems = [jwks && jwksProblem(jwks), jwksUri && jwksUriProblem(jwksUri)]
  yield* problems.filter((problem) => problem !== null)
}
