import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { createNetworkMatcher, readForwardedAddress } from '../../addresses.ts'

/**
 * Reads what trusted proxies send about the client, before Fastify does: `request.ip`, `host` and `protocol`
 * are derived from it. Afterwards, `X-Forwarded-For` has only normalised addresses, up to the nearest one that
 * is not a trusted proxy's; without one it is empty, and the peer's address counts.
 * @param trustedProxies addresses and networks; the headers of other peers are ignored
 */
export function normalizeForwarded(app: FastifyInstance, trustedProxies: string[]): void {
  if (trustedProxies.length === 0) return
  const isTrustedPeer = createNetworkMatcher(trustedProxies)
  const isTrustedProxy = createNetworkMatcher(trustedProxies)
  app.addHook('onRequest', ({ raw: { headers, socket } }, _reply, done) => {
    if (isTrustedPeer(socket.remoteAddress)) normalize(headers, isTrustedProxy)
    done()
  })
}

function normalize(headers: IncomingHttpHeaders, isTrustedProxy: (address: string) => boolean) {
  const { 'x-forwarded-for': addresses, 'x-forwarded-host': host } = headers
  const { 'x-forwarded-proto': protocol } = headers
  if (addresses !== undefined) {
    headers['x-forwarded-for'] = readAddresses(String(addresses), isTrustedProxy).join(', ')
  }
  if (host !== undefined) headers['x-forwarded-host'] = validValues(host, HOST)
  if (protocol !== undefined) headers['x-forwarded-proto'] = validValues(protocol, PROTOCOL)
}

/** The usable end of the list, in its order: what is left of text that is no address may be forged. */
function readAddresses(list: string, isTrustedProxy: (address: string) => boolean): string[] {
  const addresses: string[] = []
  // An empty element counts as none (RFC 9110 5.6.1.2).
  for (const element of list.split(',').reverse()) {
    if (element.trim() === '') continue
    const address = readForwardedAddress(element)
    if (address === null) break
    addresses.unshift(address)
    if (!isTrustedProxy(address)) break
  }
  return addresses
}

const HOST = /^(?:[a-z0-9._-]{1,255}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?$/i
const PROTOCOL = /^https?$/i

/** The well-formed values; empty if that of the nearest proxy is malformed. Fastify reads the last one. */
function validValues(header: string | string[], pattern: RegExp): string {
  const values = String(header)
    .split(',')
    .map((value) => value.trim())
  if (!pattern.test(values.at(-1) ?? '')) return ''
  return values.filter((value) => pattern.test(value)).join(', ')
}
