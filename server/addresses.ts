import { isIP, isIPv4 } from 'node:net'
import ipaddr from 'ipaddr.js'

/**
 * Questions about IP addresses. An address is text as a socket gives it; an IPv4 address in IPv6 form
 * (`::ffff:10.0.0.1`) counts as IPv4. Text that is not an address is in no network.
 */

type Range = ReturnType<ReturnType<typeof ipaddr.process>['range']>

/** Not routed on the Internet: this machine, RFC 1918, RFC 4193, RFC 6598. */
const PRIVATE_RANGES: ReadonlySet<Range | undefined> = new Set<Range>([
  'loopback',
  'private',
  'uniqueLocal',
  'carrierGradeNat',
])

/**
 * How many times as many failures an address may have that may be a proxy's: its limits are those of everyone
 * behind it.
 */
export const SHARED_ADDRESS_LIMIT_FACTOR = 3

/** Is this an address of this machine? */
export const isLoopback = (address = ''): boolean => parse(address)?.range() === 'loopback'

/** Does this host of a URL lead to the machine that opens it (RFC 6761 6.3)? */
export const isLoopbackHost = (host: string): boolean =>
  /(^|\.)localhost\.?$/i.test(host) || isLoopback(host.replace(/^\[|\]$/g, ''))

/** Is this an address of this machine or of a private network? */
export const isPrivate = (address = ''): boolean => PRIVATE_RANGES.has(parse(address)?.range())

/** Is this an address of the public Internet, and not of this machine, a private or a special network? */
export function isPublic(address = ''): boolean {
  const parsed = parse(address)
  if (parsed?.range() !== 'unicast') return false
  // Only 2000::/3 is assigned (RFC 4291 2.4). Elsewhere are old forms of IPv4 addresses, such as `::127.0.0.1`.
  return parsed instanceof ipaddr.IPv4 || (parsed.parts[0] ?? 0) >> 13 === 1
}

/**
 * The network of an address, as text. By default that of one user: an IPv4 address alone, or an IPv6 /64 (RFC
 * 6177 2). Text that is not an address is its own network.
 * @param bits length of the prefix: whole octets of IPv4, whole groups of IPv6
 */
export function networkOf(address: string, bits = { ipv4: 32, ipv6: 64 }): string {
  const parsed = parse(address)
  if (!parsed) return address
  if (parsed instanceof ipaddr.IPv6) {
    const groups = parsed.parts.slice(0, bits.ipv6 / 16).map((group) => group.toString(16))
    return `${groups.join(':')}::/${bits.ipv6}`
  }
  if (bits.ipv4 === 32) return parsed.toString()
  return `${parsed.octets.slice(0, bits.ipv4 / 8).join('.')}.0/${bits.ipv4}`
}

/** The address of a URL's host or of a log: with a port, in brackets, with a zone (RFC 4007 11). */
const WITH_PORT = /^([0-9.]+):[0-9]{1,5}$/
const IN_BRACKETS = /^\[([^\]]+)\](?::[0-9]{1,5})?$/
const ZONE = /%[\w.-]{1,32}$/

/**
 * Reads an address as proxies write it in `X-Forwarded-For`: `203.0.113.9:50001`, `"[2001:db8::1]:443"`,
 * `fe80::1%eth0`. Returns it in its normal form, an IPv4 address in IPv6 form as IPv4; `null` if the text is
 * not an address.
 */
export function readForwardedAddress(text: string): string | null {
  const unquoted = text.trim().replace(/^"(.*)"$/s, '$1')
  if (isIPv4(unquoted)) return unquoted
  const bare = IN_BRACKETS.exec(unquoted)?.[1] ?? WITH_PORT.exec(unquoted)?.[1] ?? unquoted
  const address = bare.includes(':') ? bare.replace(ZONE, '') : bare
  // ipaddr.js also reads `0x7f.1` and `1`.
  return isIP(address) === 0 ? null : ipaddr.process(address).toString()
}

/**
 * Returns a function that says whether an address is in one of `networks`. It remembers its last answer,
 * because requests usually come through one proxy, and parsing takes microseconds.
 * @param networks valid addresses, and networks in CIDR notation
 */
export function createNetworkMatcher(networks: string[]): (address?: string) => boolean {
  const ranges = networks.map(parseNetwork)
  let last = { address: '', isMatch: false }
  return (address = '') => {
    if (address === last.address) return last.isMatch
    const parsed = parse(address)
    const isMatch = ranges.some(
      ([network, bits]) => parsed?.kind() === network.kind() && parsed.match(network, bits),
    )
    last = { address, isMatch }
    return isMatch
  }
}

const parse = (address: string) => (ipaddr.isValid(address) ? ipaddr.process(address) : null)

function parseNetwork(network: string): [ReturnType<typeof ipaddr.process>, number] {
  if (network.includes('/')) return ipaddr.parseCIDR(network)
  const address = ipaddr.process(network)
  return [address, address.kind() === 'ipv4' ? 32 : 128]
}
