import t from 'tap'
import { networkOf } from '../../server/addresses.ts'

t.test('IPv6 addresses of one /64 count as one address', async (t) => {
  const cases = {
    '192.0.2.7': '192.0.2.7',
    '::ffff:192.0.2.7': '192.0.2.7',
    '2001:db8:0:1:a:b:c:d': '2001:db8:0:1::/64',
    '2001:DB8:0000:0001::1': '2001:db8:0:1::/64',
    '2001:db8::1': '2001:db8:0:0::/64',
    'fe80::1%eth0': 'fe80:0:0:0::/64',
    '::1': '0:0:0:0::/64',
    '::': '0:0:0:0::/64',
    'no address': 'no address',
  }
  for (const [address, expected] of Object.entries(cases))
    t.equal(networkOf(address), expected, address)
})
