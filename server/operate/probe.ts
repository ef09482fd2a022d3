import type { Config } from '../config/config.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'
import { createEllipsisClient } from '../ellipsis/client.ts'
import { Secret } from '../secret.ts'
import type { Runtime } from '../runtime.ts'

/** Behaviour of Ellipsis Drive that its documentation leaves open; `null`: it could not be determined. */
interface ProbeResult {
  /** Encodings of a token request that it reads. */
  encodings: Record<Encoding, 'read' | 'not read' | null>
  /** Parameters from which it reads the authorization code. */
  codeParameters: CodeParameter[] | null
  errorShape: 'oauth' | 'message' | 'html' | 'empty' | null
  expiresIn: number | null
  accessToken: { length: number; jwt: boolean; jwtLifeSeconds: number | null } | null
  refreshToken: 'same' | 'rotated' | 'left out' | null
  /** What happens when a replaced refresh token is used; tested only with `options.reuse`. */
  reuse: 'works' | 'refused' | 'ends the grant' | null
  account: 'refused' | 'id and username' | 'username' | 'neither' | null
}

interface Answer {
  status: number
  text: string
  json: Record<string, unknown> | null
}

type Encoding = 'form' | 'json'
type CodeParameter = 'code' | 'authorization_code'
type Fields = Record<string, string>

/** Sends a token request. `secretSuffix` makes the client secret wrong. */
type TokenRequest = (encoding: Encoding, fields: Fields, secretSuffix?: string) => Promise<Answer>

const TIMEOUT_MS = 20_000
const BOGUS = 'ellipsis-broker-probe'

/**
 * Tests Ellipsis Drive with the host's own client. Requests with bogus tokens and codes cost nothing;
 * `authorize` costs one authorization, whose tokens are thrown away.
 * @param authorize sends a person to the URL; resolves with the URL that the browser was redirected to.
 *   `null`: only tests that cost nothing
 * @param options.reuse also use a replaced refresh token, which may end the grant
 * @throws ProbeError if the authorization fails
 */
export async function probe(
  config: Config,
  runtime: Runtime,
  authorize: ((url: string) => Promise<string>) | null,
  options: { reuse: boolean },
): Promise<ProbeResult> {
  const { ellipsis, callbackUrl } = config
  const request = createTokenRequest(config, runtime.fetch)
  const result: ProbeResult = { ...UNKNOWN, ...(await probeEncodings(request)) }
  const encoding = ENCODINGS.find((name) => result.encodings[name] === 'read')
  if (encoding === undefined) return result

  const send = (fields: Fields) => request(encoding, fields)
  const redeem = (fields: Fields) =>
    send({ grant_type: 'authorization_code', redirect_uri: callbackUrl, ...fields })
  result.codeParameters = await probeCodeParameters(redeem)
  if (!authorize) return result

  const { code, verifier } = await obtainCode(config, runtime, authorize)
  const withVerifier = (fields: Fields) => redeem({ ...fields, code_verifier: verifier })
  const tokens = await redeemCode(withVerifier, code, result)
  const accessToken = textOf(tokens.json?.access_token)
  if (accessToken === null) throw new ProbeError()
  result.expiresIn = typeof tokens.json?.expires_in === 'number' ? tokens.json.expires_in : null
  result.accessToken = describeToken(accessToken)
  result.account = await probeAccount(runtime.fetch, ellipsis.apiUrl, accessToken)

  const refreshToken = textOf(tokens.json?.refresh_token)
  if (refreshToken === null) return result
  return { ...result, ...(await probeRefreshToken(send, refreshToken, options)) }
}

function createTokenRequest({ ellipsis }: Config, fetchFn: typeof fetch): TokenRequest {
  return async (encoding, fields, secretSuffix = '') => {
    const credentials = {
      client_id: ellipsis.clientId,
      client_secret: ellipsis.clientSecret.reveal() + secretSuffix,
    }
    const all = { ...fields, ...credentials }
    const response = await fetchFn(`${ellipsis.apiUrl}/oauth/token`, {
      method: 'POST',
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(encoding === 'form'
        ? { body: new URLSearchParams(all) }
        : { body: JSON.stringify(all), headers: { 'content-type': 'application/json' } }),
    })
    const text = await response.text()
    return { status: response.status, text, json: parse(text) }
  }
}

async function probeEncodings(
  request: TokenRequest,
): Promise<Pick<ProbeResult, 'encodings' | 'errorShape'>> {
  const bogus = { grant_type: 'refresh_token', refresh_token: BOGUS }
  const encodings: ProbeResult['encodings'] = { form: null, json: null }
  let errorShape: ProbeResult['errorShape'] = null
  for (const encoding of ENCODINGS) {
    const right = await request(encoding, bogus)
    // Only the secret differs: if the answers differ, the body was read.
    const wrong = await request(encoding, bogus, 'x')
    const isRead = differs(wrong, right, await request(encoding, bogus))
    encodings[encoding] = isRead === null ? null : isRead ? 'read' : 'not read'
    if (isRead === true) errorShape ??= shapeOf(right)
  }
  return { encodings, errorShape }
}

async function probeCodeParameters(
  redeem: (fields: Fields) => Promise<Answer>,
): Promise<CodeParameter[] | null> {
  const redeemBogus = (fields: Fields) => redeem({ code_verifier: 'x'.repeat(43), ...fields })
  const before = await redeemBogus({})
  const answers: [CodeParameter, Answer][] = []
  for (const name of CODE_PARAMETERS) answers.push([name, await redeemBogus({ [name]: BOGUS })])
  const after = await redeemBogus({})
  const results = answers.map(([name, answer]) => ({
    name,
    isRead: differs(answer, before, after),
  }))
  const read = results.filter(({ isRead }) => isRead === true).map(({ name }) => name)
  const isKnown = results.every(({ isRead }) => isRead !== null) && read.length > 0
  return isKnown ? read : null
}

/** Has a person authorize the client. @throws ProbeError if the browser returns without a code */
async function obtainCode(
  { ellipsis, callbackUrl }: Config,
  { fetch: fetchFn, clock, random }: Runtime,
  authorize: (url: string) => Promise<string>,
): Promise<{ code: string; verifier: string }> {
  const client = createEllipsisClient({
    ...ellipsis,
    redirectUri: callbackUrl,
    fetch: fetchFn,
    now: clock.now.bind(clock),
  })
  const [state, verifier] = [newSecret(random), newSecret(random)]
  const url = client.authorizationUrl({ state, challenge: sha256(verifier) })
  const returned = new URL(await authorize(url)).searchParams
  const code = returned.get('code')
  if (code === null || returned.get('state') !== state) throw new ProbeError()
  return { code, verifier }
}

/** Exchanges the code for tokens, and finds out the code's parameter if it is still unknown. */
async function redeemCode(
  redeem: (fields: Fields) => Promise<Answer>,
  code: string,
  result: ProbeResult,
): Promise<Answer> {
  const redeemWithBoth = () => redeem({ code, authorization_code: code })
  if (result.codeParameters) return redeemWithBoth()
  // All rejections look alike: try the documented parameter alone. If it isn't read, the code stays unused.
  const answer = await redeem({ authorization_code: code })
  const isAccepted = textOf(answer.json?.access_token) !== null
  const tokens = isAccepted ? answer : await redeemWithBoth()
  if (textOf(tokens.json?.access_token) === null) throw new ProbeError()
  if (!isTransient(answer)) result.codeParameters = [isAccepted ? 'authorization_code' : 'code']
  return tokens
}

async function probeRefreshToken(
  send: (fields: Fields) => Promise<Answer>,
  refreshToken: string,
  { reuse }: { reuse: boolean },
): Promise<Pick<ProbeResult, 'refreshToken' | 'reuse'>> {
  const refresh = (token: string) => send({ grant_type: 'refresh_token', refresh_token: token })
  const refreshed = await refresh(refreshToken)
  // The reason of the rejection is unknown, so it says nothing about refresh tokens.
  if (refreshed.status !== 200) return { refreshToken: null, reuse: null }
  const next = textOf(refreshed.json?.refresh_token)
  if (next === null) return { refreshToken: 'left out', reuse: null }
  if (next === refreshToken) return { refreshToken: 'same', reuse: null }
  const rotated = (outcome: ProbeResult['reuse']) =>
    ({ refreshToken: 'rotated', reuse: outcome }) as const
  if (!reuse) return rotated(null)
  const reused = await refresh(refreshToken)
  if (isTransient(reused)) return rotated(null)
  if (reused.status === 200) return rotated('works')
  const after = await refresh(next)
  if (isTransient(after)) return rotated(null)
  return rotated(after.status === 200 ? 'refused' : 'ends the grant')
}

/** The browser did not return with a code, or Ellipsis Drive gave no token for it. */
export class ProbeError extends Error {
  override name = 'ProbeError'
}

/** The settings to use, as lines of a `.env`. */
export function settingsOf({ encodings, expiresIn, accessToken }: ProbeResult): string[] {
  const lines = []
  const encoding = ENCODINGS.find((name) => encodings[name] === 'read')
  if (encoding !== undefined) lines.push(`ELLIPSIS_TOKEN_REQUEST=${encoding}`)
  const lifetimeSeconds = expiresIn ?? accessToken?.jwtLifeSeconds ?? null
  if (lifetimeSeconds !== null) {
    lines.push(`ELLIPSIS_ACCESS_TOKEN_LIFETIME=${lifetimeSeconds}`)
  }
  return lines
}

const UNKNOWN = {
  codeParameters: null,
  errorShape: null,
  expiresIn: null,
  accessToken: null,
  refreshToken: null,
  reuse: null,
  account: null,
}

/** Form first, as RFC 6749 requires. */
const ENCODINGS = ['form', 'json'] as const
const CODE_PARAMETERS = ['code', 'authorization_code'] as const

/** Is the answer unrelated to the request, such as a rate limit or an outage? */
const isTransient = ({ status }: Pick<Answer, 'status'>): boolean => status === 429 || status >= 500

/**
 * Does an answer differ from the answers to another request, sent just before and after it? What differs
 * between those two, such as a time or a request id, doesn't count. `null`: it can't be determined.
 */
function differs(answer: Answer, before: Answer, after: Answer): boolean | null {
  if ([answer, before, after].some(isTransient) || before.status !== after.status) return null
  if (answer.status !== before.status) return true
  const [words, earlier, later] = [wordsOf(answer), wordsOf(before), wordsOf(after)]
  if (earlier.length !== later.length) return null
  if (words.length !== earlier.length) return true
  return words.some((word, at) => earlier[at] === later[at] && earlier[at] !== word)
}

const wordsOf = ({ text }: Answer): string[] => text.split(/[\s"<>,]+/)

function shapeOf({ text, json }: Answer): ProbeResult['errorShape'] {
  if (typeof json?.error === 'string') return 'oauth'
  if (typeof json?.message === 'string') return 'message'
  return text.trim() === '' ? 'empty' : 'html'
}

function parse(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown> | null
  } catch {
    return null
  }
}

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null)

function describeToken(token: string): NonNullable<ProbeResult['accessToken']> {
  const payload = parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  const { exp, iat } = payload ?? {}
  const lifeSeconds = typeof exp === 'number' && typeof iat === 'number' ? exp - iat : null
  return { length: token.length, jwt: payload !== null, jwtLifeSeconds: lifeSeconds }
}

async function probeAccount(
  fetchFn: typeof fetch,
  apiUrl: string,
  token: string,
): Promise<ProbeResult['account']> {
  const authorization = `Bearer ${new Secret(token).reveal()}`
  const response = await fetchFn(`${apiUrl}/account`, { headers: { authorization } })
  const json = parse(await response.text())
  if (isTransient({ status: response.status })) return null
  if (response.status !== 200) return 'refused'
  const [id, username] = [json?.id !== undefined, json?.username !== undefined]
  return id && username ? 'id and username' : username ? 'username' : 'neither'
}
