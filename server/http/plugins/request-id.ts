import { BlockList, isIPv6 } from 'node:net'
import type { IncomingMessage } from 'node:http'
import type { Random } from '../../runtime.ts'

/** What proxies make: hex digits (nginx, W3C trace ids) or a UUID (Caddy, Envoy). No broker token has that form. */
const ID = /^(?:[0-9a-f]{16,32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/

/**
 * The id by which log lines name a request: that of a trusted proxy (`X-Request-Id`), so that its log and
 * this one tell of the same request, or a new one that no other process and no later start gives.
 * @param trusted addresses and networks of proxies; what others send is ignored
 */
export function requestIds(
  random: Random,
  trusted: string[],
): (request: IncomingMessage) => string {
  const prefix = random(6).toString('base64url')
  const proxies = listOf(trusted)
  let count = 0
  return ({ headers, socket }) => {
    const given = headers['x-request-id']
    if (typeof given === 'string' && ID.test(given) && proxies.has(socket.remoteAddress))
      return given
    return `${prefix}-${(++count).toString(36)}`
  }
}

function listOf(networks: string[]) {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits] = network.split('/')
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  // A socket for both families tells an IPv4 peer as ::ffff:10.0.0.1; a BlockList knows that form.
  const has = (peer = ''): boolean => list.check(peer, isIPv6(peer) ? 'ipv6' : 'ipv4')
  return { has }
}
