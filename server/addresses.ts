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

/** Is this an address of this machine? */
export const isLoopback = (address = ''): boolean => parse(address)?.range() === 'loopback'

/** Is this an address of this machine or of a private network? */
export const isPrivate = (address = ''): boolean => PRIVATE_RANGES.has(parse(address)?.range())

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
