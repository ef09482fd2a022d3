import type { Config } from '../config/config.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'
import { createEllipsisClient } from '../ellipsis/client.ts'
import { Secret } from '../secret.ts'
import type { Runtime } from '../runtime.ts'

/** What Ellipsis Drive was found to do where its documentation is silent; `null`: it could not be told. */
export interface Probed {
  /** Encodings of a token request. */
  encodings: Record<Encoding, 'read' | 'not read' | null>
  /** Parameters in which it looks for the authorization code. */
  codeParameters: CodeParameter[] | null
  errorShape: 'oauth' | 'message' | 'html' | 'empty' | null
  expiresIn: number | null
  accessToken: { length: number; jwt: boolean; jwtLifeSeconds: number | null } | null
  refreshToken: 'same' | 'rotated' | 'left out' | null
  /** Of a refresh token that was replaced; only asked where the grant may be lost by it. */
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

/**
 * Asks Ellipsis Drive, with the host's own client. Bogus tokens and codes cost nothing; `authorize` costs
 * one authorization, whose grant ends unused.
 * @param authorize takes a person to the address; answers the address that the browser was sent back to.
 *   Left out: only what costs nothing is asked
 * @param options.reuse also use a replaced refresh token, which may end the grant
 */
export async function probe(
  config: Config,
  { fetch: fetchFn, clock, random }: Runtime,
  authorize: ((url: string) => Promise<string>) | null,
  options: { reuse: boolean },
): Promise<Probed> {
  const { ellipsis, callbackUrl } = config
  const client = createEllipsisClient({
    ...ellipsis,
    redirectUri: callbackUrl,
    fetch: fetchFn,
    now: clock.now.bind(clock),
  })

  const ask = async (encoding: Encoding, fields: Fields, wrong = ''): Promise<Answer> => {
    const credentials = {
      client_id: ellipsis.clientId,
      client_secret: ellipsis.clientSecret.reveal() + wrong,
    }
    const all = { ...fields, ...credentials }
    const response = await fetchFn(`${ellipsis.apiUrl}/oauth/token`, {
      method: 'POST',
      redirect: 'manual',
      signal: AbortSignal.timeout(20_000),
      ...(encoding === 'form'
        ? { body: new URLSearchParams(all) }
        : { body: JSON.stringify(all), headers: { 'content-type': 'application/json' } }),
    })
    const text = await response.text()
    return { status: response.status, text, json: parse(text) }
  }

  const bogus = { grant_type: 'refresh_token', refresh_token: 'ellipsis-broker-probe' }
  const found: Probed = { ...NOTHING, encodings: { form: null, json: null } }
  for (const encoding of ENCODINGS) {
    const right = await ask(encoding, bogus)
    // The secret alone differs: where the answers do, the body was read.
    const wrong = await ask(encoding, bogus, 'x')
    const read = differs(wrong, right, await ask(encoding, bogus))
    found.encodings[encoding] = read === null ? null : read ? 'read' : 'not read'
    if (read === true) found.errorShape ??= shapeOf(right)
  }
  const encoding = ENCODINGS.find((name) => found.encodings[name] === 'read')
  if (encoding === undefined) return found

  const exchange = { grant_type: 'authorization_code', redirect_uri: callbackUrl }
  const tryCode = (fields: Fields) =>
    ask(encoding, { ...exchange, code_verifier: 'x'.repeat(43), ...fields })
  const without = await tryCode({})
  const withCode: [CodeParameter, Answer][] = []
  for (const name of CODE_PARAMETERS) {
    withCode.push([name, await tryCode({ [name]: 'ellipsis-broker-probe' })])
  }
  const withoutAgain = await tryCode({})
  const reads = withCode.map(([name, answer]) => ({
    name,
    read: differs(answer, without, withoutAgain),
  }))
  if (reads.every(({ read }) => read !== null) && reads.some(({ read }) => read === true)) {
    found.codeParameters = reads.filter(({ read }) => read === true).map(({ name }) => name)
  }
  if (!authorize) return found

  const [state, verifier] = [newSecret(random), newSecret(random)]
  const returned = new URL(
    await authorize(client.authorizationUrl({ state, challenge: sha256(verifier) })),
  ).searchParams
  const code = returned.get('code')
  if (code === null || returned.get('state') !== state) throw new ProbeError()
  const redeem = (fields: Fields) =>
    ask(encoding, { ...exchange, ...fields, code_verifier: verifier })
  // Where refusals all look the same, the one that is documented is tried alone: unread, it uses nothing up.
  const alone = found.codeParameters ? null : await redeem({ authorization_code: code })
  const aloneToken = textOf(alone?.json?.access_token)
  const first =
    alone && aloneToken !== null ? alone : await redeem({ code, authorization_code: code })
  const accessToken = textOf(first.json?.access_token)
  if (accessToken === null) throw new ProbeError()
  if (alone && !isPassing(alone)) {
    found.codeParameters = [aloneToken === null ? 'code' : 'authorization_code']
  }
  found.expiresIn = typeof first.json?.expires_in === 'number' ? first.json.expires_in : null
  found.accessToken = describeToken(accessToken)
  found.account = await askAccount(fetchFn, ellipsis.apiUrl, accessToken)

  const refreshToken = textOf(first.json?.refresh_token)
  if (refreshToken === null) return found
  const use = (token: string) =>
    ask(encoding, { grant_type: 'refresh_token', refresh_token: token })
  const refreshed = await use(refreshToken)
  // Why it was refused can't be told: nothing follows for the refresh token.
  if (refreshed.status !== 200) return found
  const next = textOf(refreshed.json?.refresh_token)
  if (next === null) return { ...found, refreshToken: 'left out' }
  found.refreshToken = next === refreshToken ? 'same' : 'rotated'
  if (found.refreshToken === 'same' || !options.reuse) return found
  const reused = await use(refreshToken)
  if (isPassing(reused)) return found
  if (reused.status === 200) return { ...found, reuse: 'works' }
  const after = await use(next)
  if (isPassing(after)) return found
  return { ...found, reuse: after.status === 200 ? 'refused' : 'ends the grant' }
}

/** The person did not come back with a code, or Ellipsis Drive gave no token for it. */
export class ProbeError extends Error {
  override name = 'ProbeError'
}

/** The settings that follow, as lines of a `.env`. */
export function settingsOf({ encodings, expiresIn, accessToken }: Probed): string[] {
  const lines = []
  const encoding = ENCODINGS.find((name) => encodings[name] === 'read')
  if (encoding !== undefined) lines.push(`ELLIPSIS_TOKEN_REQUEST=${encoding}`)
  const life = expiresIn ?? accessToken?.jwtLifeSeconds ?? null
  if (life !== null) lines.push(`ELLIPSIS_ACCESS_TOKEN_LIFETIME=${life}`)
  return lines
}

const NOTHING = {
  codeParameters: null,
  errorShape: null,
  expiresIn: null,
  accessToken: null,
  refreshToken: null,
  reuse: null,
  account: null,
}

/** The form first, which RFC 6749 asks for. */
const ENCODINGS = ['form', 'json'] as const
const CODE_PARAMETERS = ['code', 'authorization_code'] as const

/** Says nothing of what was asked. */
const isPassing = ({ status }: Pick<Answer, 'status'>): boolean => status === 429 || status >= 500

/**
 * Does an answer differ from those to another request, just before and after it? What differs between these
 * two, such as a time or the request's own number, doesn't count. `null`: it can't be told.
 */
function differs(answer: Answer, before: Answer, after: Answer): boolean | null {
  if ([answer, before, after].some(isPassing) || before.status !== after.status) return null
  if (answer.status !== before.status) return true
  const [words, earlier, later] = [wordsOf(answer), wordsOf(before), wordsOf(after)]
  if (earlier.length !== later.length) return null
  if (words.length !== earlier.length) return true
  return words.some((word, at) => earlier[at] === later[at] && earlier[at] !== word)
}

const wordsOf = ({ text }: Answer): string[] => text.split(/[\s"<>,]+/)

function shapeOf({ text, json }: Answer): Probed['errorShape'] {
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

function describeToken(token: string): NonNullable<Probed['accessToken']> {
  const payload = parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  const { exp, iat } = payload ?? {}
  const life = typeof exp === 'number' && typeof iat === 'number' ? exp - iat : null
  return { length: token.length, jwt: payload !== null, jwtLifeSeconds: life }
}

async function askAccount(
  fetchFn: typeof fetch,
  apiUrl: string,
  token: string,
): Promise<Probed['account']> {
  const authorization = `Bearer ${new Secret(token).reveal()}`
  const response = await fetchFn(`${apiUrl}/account`, { headers: { authorization } })
  const json = parse(await response.text())
  if (isPassing({ status: response.status })) return null
  if (response.status !== 200) return 'refused'
  const [id, username] = [json?.id !== undefined, json?.username !== undefined]
  return id && username ? 'id and username' : username ? 'username' : 'neither'
}
