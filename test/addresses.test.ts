import t from 'tap'
import {
  createNetworkMatcher,
  isLoopback,
  isPrivate,
  readForwardedAddress,
} from '../server/addresses.ts'

t.test('addresses of this machine and of private networks', async (t) => {
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
    t.ok(isLoopback(address), address)
    t.ok(isPrivate(address), address)
  }
  for (const address of [
    ...['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1'],
    ...['fd00::1', 'fc00::1', '::ffff:10.0.0.1'],
  ]) {
    t.notOk(isLoopback(address), address)
    t.ok(isPrivate(address), address)
  }
  for (const address of ['192.0.2.7', '172.32.0.1', '100.128.0.1', '2001:db8::1', 'x', '']) {
    t.notOk(isLoopback(address), address)
    t.notOk(isPrivate(address), address)
  }
})

t.test('a network matcher takes addresses and networks of both families', async (t) => {
  const matches = createNetworkMatcher(['10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::1'])
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '192.0.2.7', '2001:db8::7', '::1']) {
    t.ok(matches(address), address)
  }
  for (const address of ['11.1.2.3', '192.0.2.8', '2001:db9::7', '::2', 'x', '', undefined]) {
    t.notOk(matches(address), String(address))
  }
  t.notOk(createNetworkMatcher([])('10.1.2.3'))
})

t.test('reads addresses as proxies write them', async (t) => {
  t.equal(readForwardedAddress(' "[2001:DB8::0:1]:443" '), '2001:db8::1')
  t.equal(readForwardedAddress('203.0.113.9:50001'), '203.0.113.9')
  for (const text of ['', '0x7f.1', '1', '203.0.113.9%eth0', '[203.0.113.9', 'unknown']) {
    t.equal(readForwardedAddress(text), null, text)
  }
})
