import type { FastifyRequest } from 'fastify'
import type { Log } from '../../log.ts'
import { isLoopback, isLoopbackHost, isPrivate } from '../../addresses.ts'

/**
/**
 * May the client's address be that of a proxy, so that many people share it? The peer's address decides, never a
 * header: a client could send one to get larger limits.
 */
export const mayBeProxy = (
  { ip, socket: { remoteAddress }, headers }: FastifyRequest,
  publicUrl: string,
): boolean =>
  ip === remoteAddress &&
  // What a trusted proxy sent was not an address (see `normalizeForwarded`), so the client may have sent it.
  headers['x-forwarded-for'] !== '' &&
  new URL(publicUrl).protocol === 'https:' &&
  isPrivate(remoteAddress)

/** Returns a hook that warns once if requests come from an unknown proxy: its visitors share their limits. */
export function createProxyWarning(
  { publicUrl }: { publicUrl: string },
  log: Log,
): (request: FastifyRequest) => Promise<void> {
  let isWarned = false
  return async (request) => {
    if (isWarned || !isUnknownProxy(request, publicUrl)) return
    isWarned = true
    const peer = String(request.socket.remoteAddress)
    const fix = `If ${peer} is your reverse proxy, set BROKER_TRUST_PROXY to ${peer}, and let the proxy send X-Forwarded-For.`
    log.warn({ peer, fix }, 'visitors may share one address and its limits: unknown proxy')
  }
}

/**
 * Is the peer a proxy that BROKER_TRUST_PROXY does not name, or one that does not send the client's
 * address? Then all clients share the proxy's address. Headers of the client may say so too: use it for advice
 * only.
 */
export function isUnknownProxy(request: FastifyRequest, publicUrl: string): boolean {
  const { remoteAddress } = request.socket
  if (request.ip !== remoteAddress) return false
  return isForwarded(request)
    ? isPrivate(remoteAddress)
    : isRemote(publicUrl) && isLoopback(remoteAddress)
}

/** Is the broker used from other machines? */
const isRemote = (publicUrl: string): boolean => !isLoopbackHost(new URL(publicUrl).hostname)

const isForwarded = ({ headers }: FastifyRequest): boolean =>
  PROXY_HEADERS.some((name) => headers[name] !== undefined)

const PROXY_HEADERS = [
  ...['forwarded', 'via', 'x-real-ip'],
  ...['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto'],
]
