import { EllipsisError } from './errors.ts'

/** An answer, read whole. */
export interface Answer {
  status: number
  headers: Headers
  /** At most 1 MiB, as text. */
  body: string
}

/** Largest body that is read, bytes. */
const LIMIT = 1024 * 1024

/** Errors that arise before anything was sent: the call can't have taken effect. */
const UNSENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
])

/**
 * One HTTP call: no redirect is followed, the body is limited, and the time covers all of it.
 * @param timeoutMs milliseconds, to the body's last byte
 * @throws EllipsisError `transient`
 */
export async function call(
  fetchFn: typeof fetch,
  url: string,
  init: RequestInit,
  timeoutMs: number,
): Promise<Answer> {
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetchFn(url, { ...init, redirect: 'manual', signal })
    const body = await readLimited(response)
    return { status: response.status, headers: response.headers, body }
  } catch (error) {
    if (error instanceof EllipsisError) throw error
    const maybeApplied = !UNSENT.has(codeOf(error))
    const words = signal.aborted
      ? `Ellipsis Drive did not answer within ${Math.round(timeoutMs / 1000)} s`
      : `Ellipsis Drive could not be reached (${codeOf(error)})`
    throw new EllipsisError(words, { kind: 'transient', status: null, maybeApplied, cause: error })
  }
}

async function readLimited(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.byteLength
    if (length > LIMIT) {
      const facts = { kind: 'transient', status: response.status, maybeApplied: true } as const
      throw new EllipsisError('Ellipsis Drive answered with more than 1 MiB', facts)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The system's name for what went wrong; fetch hides it in its causes. */
function codeOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code
    if (at instanceof AggregateError && at.errors.length > 0) return codeOf(at.errors[0])
  }
  return error instanceof Error ? error.name : 'unknown'
}
