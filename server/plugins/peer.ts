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

/** Is the peer a program on this machine, with no proxy in between? */
export const isLocalPeer = (request: FastifyRequest): boolean =>
  isIn(LOOPBACK, request) && !isForwarded(request)

/** Is the peer a proxy that BROKER_TRUST_PROXY doesn't name? Then its address stands for everybody's. */
export const isUnknownProxy = (request: FastifyRequest): boolean =>
  isForwarded(request) && request.ip === request.socket.remoteAddress && isIn(PRIVATE, request)

const isForwarded = ({ headers }: FastifyRequest): boolean =>
  ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'].some((name) => headers[name] !== undefined)

function isIn(networks: BlockList, { socket }: FastifyRequest): boolean {
  const { remoteAddress = '' } = socket
  return networks.check(remoteAddress, isIPv6(remoteAddress) ? 'ipv6' : 'ipv4')
}
