import type { Secret } from '../secret.ts'
import { EllipsisError } from './errors.ts'
import type { UpstreamResponse } from './errors.ts'

/** How the broker authenticates at the token endpoint. */
export interface ClientCredentials {
  clientId: string
  clientSecret: Secret
  /** Encoding of token requests. Not documented, so it is a setting. */
  tokenRequest: 'form' | 'json'
}

const COMMON_HEADERS = { accept: 'application/json', 'user-agent': 'ellipsis-broker' }

/**
 * A token request. It is not documented which encoding Ellipsis Drive reads: RFC 6749 has a form with Basic
 * authentication; its first-party clients send JSON with the credentials in the body.
 */
export function tokenRequest(
  client: ClientCredentials,
  fields: Record<string, string>,
): RequestInit {
  const { clientId, clientSecret } = client
  if (client.tokenRequest === 'json') {
    const credentials = { client_id: clientId, client_secret: clientSecret.reveal() }
    const headers = { ...COMMON_HEADERS, 'content-type': 'application/json' }
    return { method: 'POST', headers, body: JSON.stringify({ ...fields, ...credentials }) }
  }
  const headers = {
    ...COMMON_HEADERS,
    authorization: basicAuthorization(clientId, clientSecret),
    'content-type': 'application/x-www-form-urlencoded',
  }
  return { method: 'POST', headers, body: new URLSearchParams(fields).toString() }
}

/** An API request on behalf of a user (RFC 6750 2.1). */
export const bearerRequest = (accessToken: Secret): RequestInit => ({
  headers: { ...COMMON_HEADERS, authorization: `Bearer ${accessToken.reveal()}` },
})

/** Basic authentication of a client; both parts are form-encoded first (RFC 6749 2.3.1). */
function basicAuthorization(id: string, secret: Secret): string {
  const encode = (text: string) => new URLSearchParams({ '': text }).toString().slice(1)
  const pair = `${encode(id)}:${encode(secret.reveal())}`
  return `Basic ${Buffer.from(pair).toString('base64')}`
}

/** Largest body that is read, after decompression. */
const MAX_BODY_BYTES = 1024 * 1024

/**
 * Makes one HTTP call. Follows no redirect, limits the body, and applies the timeout to all of it. Sends
 * nothing twice, except for what fetch repeats on status 421, which says that no server processed the call
 * (RFC 9110 15.5.20).
 * @param timeoutMs to the last byte of the body
 * @throws EllipsisError `transient`: there was no response, or a successful one was cut off or too large
 */
export async function callUpstream(
  fetchFn: typeof fetch,
  url: string,
  init: RequestInit,
  timeoutMs: number,
): Promise<UpstreamResponse> {
  const { signal, clear } = startTimeout(timeoutMs)
  const isSafeMethod = init.method === undefined
  try {
    const response = await fetchFn(url, { ...init, redirect: 'manual', signal })
    const { status, headers, ok } = response
    // The status of an error is enough; its body is optional.
    const body = await readLimited(response, isSafeMethod).catch((error: unknown) => {
      if (ok) throw error
      return ''
    })
    return { status, headers, json: parseObject(body), isSafeMethod }
  } catch (error) {
    if (error instanceof EllipsisError) throw error
    const message = signal.aborted
      ? `Ellipsis Drive did not answer within ${timeoutMs / 1000} s`
      : `Ellipsis Drive could not be reached, or its answer could not be read (${errorCode(error)})`
    const maybeApplied = !isSafeMethod && !isUnsent(error)
    throw new EllipsisError(message, { kind: 'transient', status: null, maybeApplied })
  } finally {
    clear()
  }
}

/**
 * Aborts after the timeout. The last second is a timer of its own: a process that was paused gets this second
 * to read a response that arrived meanwhile.
 */
function startTimeout(timeoutMs: number): { signal: AbortSignal; clear: () => void } {
  const controller = new AbortController()
  const lastMs = Math.min(1000, timeoutMs / 2)
  let timer = setTimeout(() => {
    timer = setTimeout(() => controller.abort(), lastMs)
  }, timeoutMs - lastMs)
  return { signal: controller.signal, clear: () => clearTimeout(timer) }
}

async function readLimited({ body, status }: Response, isSafeMethod: boolean): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  // Leaving the loop cancels the rest of the body.
  for await (const chunk of body ?? []) {
    length += chunk.byteLength
    if (length > MAX_BODY_BYTES) {
      const facts = { kind: 'transient', status, maybeApplied: !isSafeMethod } as const
      throw new EllipsisError('Ellipsis Drive answered with more than 1 MiB', facts)
    }
    chunks.push(chunk)
  }
  return new TextDecoder().decode(Buffer.concat(chunks))
}

function parseObject(body: string): Record<string, unknown> | null {
  try {
    const parsed: unknown = JSON.parse(body)
    const isObject = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
    return isObject ? (parsed as Record<string, unknown>) : null
  } catch {
    // The parser's message quotes the body, so it is dropped.
    return null
  }
}

/** Error codes of a certificate whose issuer this machine does not know. */
export const UNKNOWN_ISSUER_CODES =
  /(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(GET_ISSUER_CERT|VERIFY_LEAF_SIGNATURE)\w*|CERT_UNTRUSTED)/

/** Error codes of name lookup, connecting, and certificate checks. */
const UNSENT_ERROR_CODES =
  /^(EAI_|ECONNREFUSED$|ENOTFOUND$|UND_ERR_CONNECT_TIMEOUT$|UND_ERR_PRX_CONN$|CERT_|DEPTH_ZERO_|ERR_TLS_CERT_|SELF_SIGNED_|UNABLE_TO_)/

/** A proxy's refusal to pass a call on. Only the messages of fetch's errors have the status. */
const PROXY_REFUSAL = /^Proxy (?:response|Authentication Required) \((\d{3})\)/

/** Did the call fail before anything was sent, so that it had no effect? `false` if unknown. */
function isUnsent(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (PROXY_REFUSAL.test(error.message)) return true
  if (error instanceof AggregateError && error.errors.length > 0)
    return error.errors.every(isUnsent)
  const { code, syscall } = error as NodeJS.ErrnoException
  if (syscall === 'connect' || syscall === 'getaddrinfo') return true
  return (typeof code === 'string' && UNSENT_ERROR_CODES.test(code)) || isUnsent(error.cause)
}

/** The system's error code, which fetch puts into a cause; never its message. */
export function errorCode(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const proxyStatus = PROXY_REFUSAL.exec(cause.message)?.[1]
    if (proxyStatus !== undefined) return `the proxy answered ${proxyStatus}`
    if (
      'code' in cause &&
      typeof cause.code === 'string' &&
      /^[A-Z][A-Z0-9_]{1,60}$/.test(cause.code)
    ) {
      return cause.code
    }
  }
  return 'unknown'
}
