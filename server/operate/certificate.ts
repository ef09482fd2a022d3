import { once } from 'node:events'
import { isIP } from 'node:net'
import { connect } from 'node:tls'
import type { Millis } from '../../db/store.ts'
import type { Clock } from '../runtime.ts'

const CHECK_INTERVAL_MS = 3_600_000
const TIMEOUT_MS = 10_000

/**
 * Reads the certificate that the public URL's host sends: the broker's own or that of a proxy.
 * @param publicUrl an https URL
 * @returns its expiry, and why this machine doesn't trust it (`null`: it does)
 * @throws Error if there is no TLS connection within ten seconds
 */
export async function inspectCertificate(
  publicUrl: string,
): Promise<{ expiresAt: Millis; trustError: string | null }> {
  const { hostname, port } = new URL(publicUrl)
  const host = hostname.replace(/^\[|\]$/g, '')
  const socket = connect({
    host,
    port: Number(port || 443),
    ...(isIP(host) === 0 && { servername: host }),
    // The certificate is only inspected; nothing is sent.
    rejectUnauthorized: false,
  })
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(TIMEOUT_MS) })
    const trustError = socket.authorized ? null : String(socket.authorizationError)
    return { expiresAt: Date.parse(socket.getPeerCertificate().valid_to), trustError }
  } finally {
    socket.destroy()
  }
}

/**
 * Returns a function that gives the expiry of the public URL's certificate as last seen. A call looks again in
 * the background if the last look is an hour ago. `null`: not seen yet, or the public URL is not https.
 */
export function createCertificateExpiry(publicUrl: string, clock: Clock): () => Millis | null {
  let [lookedAt, expiresAt]: [Millis, Millis | null] = [-Infinity, null]
  const look = async (): Promise<void> => {
    lookedAt = clock.now()
    // Some hosts can't reach their own public address: then nothing is known.
    const seen = await inspectCertificate(publicUrl).catch(() => null)
    if (seen) ({ expiresAt } = seen)
  }
  return () => {
    const isDue = Math.abs(clock.now() - lookedAt) >= CHECK_INTERVAL_MS
    if (isDue && publicUrl.startsWith('https:')) void look()
    return expiresAt
  }
}
