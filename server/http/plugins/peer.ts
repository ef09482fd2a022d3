import type { FastifyRequest } from 'fastify'
import { isLoopback, isLoopbackHost, isPrivate } from '../../addresses.ts'

/**
 * Is the peer a proxy that BROKER_TRUST_PROXY does not name, or one that does not send the client's
 * address? Then all clients share the proxy's address.
 */
export function isUnknownProxy(request: FastifyRequest, publicUrl: string): boolean {
  const { remoteAddress } = request.socket
  if (request.ip !== remoteAddress) return false
  // A header without an address (see `normalizeForwarded`) may be the client's: it must not escape its limits.
  if (request.headers['x-forwarded-for'] === '') return false
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
