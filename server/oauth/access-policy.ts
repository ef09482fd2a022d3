import { LRUCache } from 'lru-cache'
import type { AccessPolicy } from '../../db/store.ts'
import { sha256 } from '../crypto/hash.ts'
import { queryParameters, readDrivePath } from '../drive/path.ts'
import type { DrivePath } from '../drive/path.ts'
import { BrokerError } from '../errors.ts'

/** The policy of an app, for a grant that begins now; `null`: it allows everything. */
export const policyOf = ({ access, readOnly, allow }: AccessPolicy): AccessPolicy | null =>
  access === 'token' && !readOnly && allow.length === 0 ? null : { access, readOnly, allow }

/** What an app may do now, and what the user allowed; `null`: everything. */
export interface PoliciesInForce {
  app: AccessPolicy
  granted: AccessPolicy | null
}

/** Compares the policy that a person was shown with a later one. Empty: it allows everything. */
export const hashOfPolicy = (policy: AccessPolicy | null): string =>
  policy === null ? '' : sha256(JSON.stringify([policy.access, policy.readOnly, policy.allow]))

/** Ellipsis Drive's tokens know no limits, so an app with any limit gets none of them. */
const isLimited = (policy: AccessPolicy | null): boolean =>
  policy !== null && policyOf(policy) !== null

/** Must requests of the app go through the proxy? */
export const isProxyOnly = ({ app, granted }: PoliciesInForce): boolean =>
  isLimited(app) || isLimited(granted)

/** The reason of a refusal that ends when the user allows the app again. */
export const GRANT_IS_PROXY = 'access_of_grant_is_proxy'

/**
 * Every place that hands out an access token of Ellipsis Drive calls it.
 * @throws BrokerError `unauthorized_client` if the app, or what the user allowed, is limited to the proxy
 */
export function checkTokenAccess(policies: PoliciesInForce, publicUrl: string): void {
  if (!isProxyOnly(policies)) return
  const proxy = `${publicUrl}/drive`
  const [reason, description] = isLimited(policies.app)
    ? ['access_is_proxy', `This app gets no access tokens: send its requests to ${proxy} instead.`]
    : [
        GRANT_IS_PROXY,
        `The user allowed this app no access tokens, only requests to ${proxy}. Let the user connect again to allow more.`,
      ]
  throw new BrokerError('unauthorized_client', { reason, description, isGuess: false })
}

/**
 * May a request go to Ellipsis Drive? Both policies must allow it. Ellipsis Drive may accept paths that differ
 * in case; rules and the lists here name what is allowed, so such a path is refused.
 * @param method in upper case
 */
export function isAllowed(policies: PoliciesInForce, method: string, path: DrivePath): boolean {
  const { app, granted } = policies
  if (isProxyOnly(policies) && leadsToTokens(path)) return false
  return allows(app, method, path) && (granted === null || allows(granted, method, path))
}

const allows = ({ readOnly, allow }: AccessPolicy, method: string, path: DrivePath): boolean =>
  (!readOnly || isReading(method, path)) &&
  (allow.length === 0 || allow.some((rule) => isMatch(rule, method, path)))

/**
 * OAuth and the account's security settings, where path access tokens are created. With one of them, an app
 * could go around the proxy, and revoking would not end its access.
 */
function leadsToTokens({ segments }: DrivePath): boolean {
  const [first, second] = segments.map((segment) => segment.toLowerCase())
  return first === 'oauth' || (first === 'account' && second === 'security')
}

/**
 * GET and HEAD. No POST is known that only reads. OGC services name their operation in the query, and WFS can
 * delete by GET (`REQUEST=Transaction`): only operations that read by their name are allowed there.
 */
function isReading(method: string, path: DrivePath): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false
  if (path.segments[0]?.toLowerCase() !== 'ogc') return true
  return queryParameters(path).every(([name, value]) => name !== 'request' || OGC_READS.test(value))
}

const OGC_READS = /^(?!getfeaturewithlock$)(?:get|describe|list)[a-z]+$/i

interface Rule {
  method: string
  /** `null` stands for any segment. */
  segments: (string | null)[]
  /** Ends with `**`: any rest, also none. */
  isPrefix: boolean
}

const RULE = /^(\*|GET|HEAD|POST|PUT|PATCH|DELETE) (\/[^\s?]*)$/

/** Every proxied request is compared with the rules of its app; reading 50 of them takes longer than the rest. */
const rules = new LRUCache<string, Rule | string>({ max: 2000 })

/** @returns the rule, or what is wrong with it, as a sentence */
function findRule(text: string): Rule | string {
  const known = rules.get(text)
  if (known !== undefined) return known
  const rule = readRule(text)
  rules.set(text, rule)
  return rule
}

function readRule(text: string): Rule | string {
  const [, method, pattern] = RULE.exec(text) ?? []
  if (method === undefined || pattern === undefined) {
    return 'Write METHOD /path/pattern, such as GET /path/*/raster/**, with a method in capitals or *.'
  }
  const isPrefix = pattern.endsWith('/**')
  const fixed = isPrefix ? pattern.slice(0, -3) || '/' : pattern
  const raw = fixed.slice(1).split('/')
  if (raw.some((segment) => segment.includes('*') && segment !== '*')) {
    return 'Write * for a whole segment, and ** only at the end. A * of a name is written %2A.'
  }
  try {
    const { segments } = readDrivePath(fixed)
    return { method, segments: segments.map((one, at) => (raw[at] === '*' ? null : one)), isPrefix }
  } catch (error) {
    if (error instanceof BrokerError) return error.message
    throw error
  }
}

/** What is wrong with a rule, as a sentence; `null`: nothing. */
export function ruleProblem(text: string): string | null {
  const rule = readRule(text)
  return typeof rule === 'string' ? rule : null
}

/** A rule that is not valid matches nothing. */
function isMatch(text: string, method: string, path: DrivePath): boolean {
  const rule = findRule(text)
  if (typeof rule === 'string') return false
  const { segments, isPrefix } = rule
  const isMethod =
    [method, '*'].includes(rule.method) || (rule.method === 'GET' && method === 'HEAD')
  const isLength = isPrefix
    ? path.segments.length >= segments.length
    : path.segments.length === segments.length
  const isSame = (segment: string | null, at: number) =>
    segment === null || segment === path.segments[at]
  // The consent page promises that rules for GET and HEAD change nothing.
  const isPromised = !['GET', 'HEAD'].includes(rule.method) || isReading(method, path)
  return isMethod && isLength && isPromised && segments.every(isSame)
}

/**
 * What a policy lets an app do, for the consent page. Rules that only change something are left out for a
 * read-only app, as they allow it nothing.
 */
export function permissionsOf(policy: AccessPolicy) {
  const { readOnly, allow } = policy
  const methodsOf = (rule: string): string => rule.slice(0, rule.indexOf(' '))
  const isReading = (rule: string): boolean => ['GET', 'HEAD', '*'].includes(methodsOf(rule))
  const rules = readOnly ? allow.filter(isReading).map((rule) => rule.replace(/^\*/, 'GET')) : allow
  const isFree = allow.length === 0
  return {
    canView: isFree || rules.some(isReading),
    canChange: !readOnly && (isFree || rules.some((rule) => !/^(GET|HEAD)$/.test(methodsOf(rule)))),
    isProxy: isLimited(policy),
    rules: isFree ? null : rules,
  }
}
