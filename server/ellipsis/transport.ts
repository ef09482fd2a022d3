import { EllipsisError } from './errors.ts'

/** An answer, read whole. */
export interface Answer {
  status: number
  headers: Headers
  /** The body, if it is a JSON object; of an error it may be cut or too large as well, and is `null` too. */
  json: Record<string, unknown> | null
  /** Was the method a safe one (RFC 9110 9.2.1)? Then the call has changed nothing. */
  safe: boolean
}

/** Largest body that is read, bytes, once it is decompressed. */
const LIMIT = 1024 * 1024

/**
 * One HTTP call: no redirect is followed, the body is limited, and the time covers all of it. Nothing is
 * sent twice, but for what fetch itself does on status 421, which says that the call was for nobody there
 * (RFC 9110 15.5.20).
 * @param timeoutMs milliseconds, to the body's last byte
 * @throws EllipsisError `transient`: there was no answer, or a good one was cut off or too large
 */
export async function call(
  fetchFn: typeof fetch,
  url: string,
  init: RequestInit,
  timeoutMs: number,
): Promise<Answer> {
  const { signal, end } = patience(timeoutMs)
  const safe = init.method === undefined
  const fail = (error: unknown): never => {
    if (error instanceof EllipsisError) throw error
    const name = nameOf(error)
    const words = signal.aborted
      ? `Ellipsis Drive did not answer within ${timeoutMs / 1000} s`
      : `Ellipsis Drive could not be reached, or its answer not be read (${name})`
    const maybeApplied = !safe && !isUnsent(error)
    throw new EllipsisError(words, { kind: 'transient', status: null, maybeApplied })
  }

  const exchange = async (): Promise<Answer> => {
    const response = await fetchFn(url, { ...init, redirect: 'manual', signal })
    const { status, headers, ok } = response
    // The status of an error says enough; its body is a help at most.
    const body = await readLimited(response, safe).catch((error: unknown) => {
      if (ok) throw error
      return ''
    })
    return { status, headers, json: parseObject(body), safe }
  }
  return exchange().catch(fail).finally(end)
}

/**
 * Aborts after that time. A process that was stopped meanwhile gets the last second anew: the answer may have
 * come, and would be dropped unread.
 */
function patience(timeoutMs: number): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController()
  const last = Math.min(1000, timeoutMs / 2)
  let timer = setTimeout(() => {
    timer = setTimeout(() => controller.abort(), last)
  }, timeoutMs - last)
  return { signal: controller.signal, end: () => clearTimeout(timer) }
}

async function readLimited({ body, status }: Response, safe: boolean): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  // Leaving the loop cancels the rest.
  for await (const chunk of body ?? []) {
    length += chunk.byteLength
    if (length > LIMIT) {
      const facts = { kind: 'transient', status, maybeApplied: !safe } as const
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
    // Its words repeat what was read: they go no further.
    return null
  }
}

/** Errors of looking up a name, of connecting, and of checking a certificate. */
const UNSENT =
  /^(EAI_|ECONNREFUSED$|ENOTFOUND$|UND_ERR_CONNECT_TIMEOUT$|CERT_|DEPTH_ZERO_|ERR_TLS_CERT_|SELF_SIGNED_|UNABLE_TO_)/

/** Did it fail before anything was sent? Then the call can't have taken effect. Doubt means no. */
function isUnsent(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof AggregateError && error.errors.length > 0)
    return error.errors.every(isUnsent)
  const { code, syscall } = error as NodeJS.ErrnoException
  if (syscall === 'connect' || syscall === 'getaddrinfo') return true
  return (typeof code === 'string' && UNSENT.test(code)) || isUnsent(error.cause)
}

/** The system's name for what went wrong, which fetch hides in a cause; never its words. */
function nameOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string' && /^[A-Z][A-Z0-9_]{1,60}$/.test(at.code)) {
      return at.code
    }
  }
  return 'unknown'
}
