import { BlockList, isIPv6 } from 'node:net'
import type { FastifyRequest } from 'fastify'

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8)
LOOPBACK.addAddress('::1', 'ipv6')

/** This machine, and networks that the Internet doesn't reach (RFC 1918, 4193, 6598). */
const PRIVATE = new BlockList()
PRIVATE.addSubnet('127.0.0.0', 8)
PRIVATE.addAddress('::1', 'ipv6')
PRIVATE.addSubnet('10.0.0.0', 8)
PRIVATE.addSubnet('172.16.0.0', 12)
PRIVATE.addSubnet('192.168.0.0', 16)
PRIVATE.addSubnet('100.64.0.0', 10)
PRIVATE.addSubnet('fc00::', 7, 'ipv6')

/** Is the peer a program on this machine, with no proxy in between? One may pass the public host on. */
export const isLocalPeer = (request: FastifyRequest, publicUrl: string): boolean =>
  isIn(LOOPBACK, request) &&
  !isForwarded(request) &&
  (!isElsewhere(publicUrl) || request.host !== new URL(publicUrl).host)

/**
 * Is the peer a proxy that BROKER_TRUST_PROXY doesn't name, or one that doesn't say for whom it asks? Then
 * its address stands for everybody's.
 */
export function isUnknownProxy(request: FastifyRequest, publicUrl: string): boolean {
  if (request.ip !== request.socket.remoteAddress) return false
  return isForwarded(request)
    ? isIn(PRIVATE, request)
    : isElsewhere(publicUrl) && isIn(LOOPBACK, request)
}

/** Is the broker used from other machines? */
const isElsewhere = (publicUrl: string): boolean =>
  !/^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)/.test(publicUrl)

const isForwarded = ({ headers }: FastifyRequest): boolean =>
  ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'].some((name) => headers[name] !== undefined)

function isIn(networks: BlockList, { socket }: FastifyRequest): boolean {
  const { remoteAddress = '' } = socket
  return networks.check(remoteAddress, isIPv6(remoteAddress) ? 'ipv6' : 'ipv4')
}
