import t from 'tap'
import { buildBroker } from '../../helper.ts'

t.test('recognizes local peers by IPv4 and IPv6 address', async (t) => {
  const { app } = await buildBroker(t)
  const read = async (remoteAddress: string, headers: Record<string, string> = {}) =>
    (await app.inject({ url: '/metrics', remoteAddress, headers })).statusCode
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
    t.equal(await read(address), 200, address)
    t.equal(await read(address, { 'x-forwarded-for': '192.0.2.7' }), 404, `forwarded by ${address}`)
  }
  for (const address of ['192.0.2.7', '10.0.0.1', '2001:db8::1', 'fd00::1']) {
    t.equal(await read(address), 404, address)
  }
})
