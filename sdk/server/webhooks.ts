import { BrokerError } from '../shared/error.ts'
import { fromBase64 } from './jwt.ts'

/** A message of the broker to a webhook. */
export interface WebhookMessage {
  /** The same for each delivery of a message. Remember it, to ignore a message that comes twice. */
  id: string
  /** What happened, such as `connection.revoked`. */
  type: string
  /** When it happened, ISO 8601. */
  timestamp: string
  data: Record<string, unknown>
}

/** A request as frameworks have it, with its body unparsed. */
export type WebhookRequest =
  Request | { headers: Record<string, string | string[] | undefined>; body: string | Uint8Array }

const TOLERANCE_SECONDS = 300

/**
 * Verifies a webhook (Standard Webhooks 1.0), and parses it.
 *
 * ```ts
 * const message = await verifyWebhook(request, process.env.WEBHOOK_KEY)
 * ```
 *
 * @param keys `whpk_…` (Ed25519 public key) or `whsec_…` (HMAC secret) of the webhook; during a rotation, both
 * @throws BrokerError `invalid_webhook`: answer 400. No key signed it, or it was signed more than five minutes ago
 * @throws TypeError a key is malformed
 */
export async function verifyWebhook(
  request: WebhookRequest,
  keys: string | string[],
  options: {
    /** Milliseconds since the epoch. Default: this machine's clock. */ now?: number
  } = {},
): Promise<WebhookMessage> {
  const { id, timestamp, signatures, body } = await read(request)
  const ageSeconds = (options.now ?? Date.now()) / 1000 - timestamp
  if (!(Math.abs(ageSeconds) <= TOLERANCE_SECONDS)) throw invalid('The timestamp is too far away.')
  const signed = concat(new TextEncoder().encode(`${id}.${timestamp}.`), body)
  for (const key of [keys].flat()) {
    if (await isSigned(signed, signatures, key)) return parse(id, body)
  }
  throw invalid('None of the keys signed this.')
}

interface Signed {
  id: string
  /** Unix seconds. */
  timestamp: number
  signatures: string[]
  body: Uint8Array
}

async function read(request: WebhookRequest): Promise<Signed> {
  const isRequest = request instanceof Request
  const header = (name: string): string => {
    const value = isRequest ? request.headers.get(name) : request.headers[name]
    return [value ?? ''].flat().join(' ')
  }
  const timestamp = header('webhook-timestamp')
  if (!/^\d{1,12}$/.test(timestamp)) throw invalid('The timestamp is missing.')
  const body = isRequest ? await request.arrayBuffer() : request.body
  return {
    id: header('webhook-id'),
    timestamp: Number(timestamp),
    signatures: header('webhook-signature').split(' '),
    body: typeof body === 'string' ? new TextEncoder().encode(body) : new Uint8Array(body),
  }
}

/** Did the key make one of the signatures? A signature only counts for the kind of key that it names. */
async function isSigned(
  signed: Uint8Array<ArrayBuffer>,
  signatures: string[],
  key: string,
): Promise<boolean> {
  const { version, verifier } = await importKey(key)
  for (const signature of signatures) {
    const [given, value = ''] = signature.split(',')
    if (given !== version || !BASE64.test(value)) continue
    const { name } = verifier.algorithm
    if (await crypto.subtle.verify(name, verifier, fromBase64(value), signed)) return true
  }
  return false
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

async function importKey(key: string): Promise<{ version: string; verifier: CryptoKey }> {
  const [, prefix, base64 = ''] = /^(whpk_|whsec_)(.+)$/.exec(key) ?? []
  const version = prefix === 'whpk_' ? 'v1a' : 'v1'
  const algorithm = prefix === 'whpk_' ? 'Ed25519' : { name: 'HMAC', hash: 'SHA-256' }
  try {
    const material = fromBase64(base64)
    const verifier = await crypto.subtle.importKey('raw', material, algorithm, false, ['verify'])
    return { version, verifier }
  } catch (cause) {
    throw new TypeError('A webhook key is whpk_ or whsec_ and base64.', { cause })
  }
}

function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let offset = 0
  for (const part of parts) {
    all.set(part, offset)
    offset += part.length
  }
  return all
}

function parse(id: string, body: Uint8Array): WebhookMessage {
  try {
    const message = JSON.parse(new TextDecoder().decode(body)) as Omit<WebhookMessage, 'id'>
    return { ...message, id }
  } catch {
    throw invalid('The body is not JSON.')
  }
}

const invalid = (message: string) => new BrokerError('invalid_webhook', message)
