import t from 'tap'
import {
  MAX_OF_NETWORK,
  MAX_WAITING,
  chooseEvicted,
} from '../../../server/oauth/device-code-bounds.ts'
import { newDeviceCode, NOW } from '../../db/rows.ts'
import { addDevice, begin } from './begin.ts'

const PROXY = { BROKER_TRUST_PROXY: '127.0.0.1' }
const from = (address: string) => ({ 'x-forwarded-for': address })

t.test('strangers at one address do not fill the disk, nor lock out others', async (t) => {
  const { broker, start } = await begin(t, {}, { env: PROXY })
  const answers = await Promise.all(
    Array.from({ length: 2 * MAX_OF_NETWORK }, (_, index) =>
      start({}, from(`2001:db8:1:1::${index}`)),
    ),
  )
  const begun = answers.filter(({ status }) => status === 200)
  t.equal(begun.length, MAX_OF_NETWORK)
  const limited = answers.find(({ status }) => status !== 200)
  t.match(limited, { status: 429, body: { error: 'slow_down', retry_after: 60 } })
  t.equal(limited?.headers.get('retry-after'), '60')
  t.equal((await start({}, from('2001:db8:1:2::1'))).status, 200, 'another network')
  const another = await addDevice(broker)
  t.equal((await another.start({}, from('2001:db8:1:1::1'))).status, 200, 'another app')
  broker.clock.advance(15 * 60_000)
  t.equal((await start({}, from('2001:db8:1:1::1'))).status, 200, 'after they expired')
})

t.test('an app that authenticates is not limited by its address', async (t) => {
  const { start } = await begin(t, { confidential: true })
  for (let count = 0; count <= MAX_OF_NETWORK; count++) t.equal((await start()).status, 200)
})

t.test('when all places are taken, the greediest network makes room', async (t) => {
  const { broker, app, start } = await begin(t, {}, { env: PROXY })
  const { store } = broker.services
  const now = broker.clock.now()
  const honest = await start({}, from('198.51.100.7'))
  for (let count = 0; count < MAX_WAITING; count++) {
    const [host, network] = [count % 250, Math.floor(count / 250)]
    const address = `203.0.${network}.${host}`
    const code = newDeviceCode(`stranger ${count}`, { appId: app.id, address, network: address })
    const times = { createdAt: now, expiresAt: now + 900_000 }
    await store.addDeviceCode({ ...code, ...times }, { maxOfNetwork: null, max: MAX_WAITING })
  }
  t.equal((await start({}, from('192.0.2.1'))).status, 200)
  const waiting = await store.listWaitingDeviceCodes(now)
  t.ok(waiting.length < MAX_WAITING)
  t.ok(
    waiting.some(({ address }) => address === '198.51.100.7'),
    'the oldest one stays',
  )
  const { deviceFlow } = broker.services
  t.ok(await deviceFlow.find(String(honest.body.user_code)))
})

t.test('one after the other the oldest code of the largest network makes room', async (t) => {
  const code = (id: string, address: string, age: number, network = address) =>
    newDeviceCode(id, { address, network, createdAt: NOW - age })
  const codes = [
    code('b1', '198.51.100.1', 9),
    code('a1', '192.0.2.1', 4),
    code('a2', '192.0.2.2', 3),
    code('a3', '192.0.2.3', 2),
    code('c1', '2001:db8:1:1::1', 8),
    code('c2', '2001:db8:1:2::1', 7),
  ]
  t.strictSame(chooseEvicted(codes, 1), ['a1'])
  t.strictSame(chooseEvicted(codes, 3), ['a1', 'c1', 'a2'])
  t.strictSame(chooseEvicted(codes, 9), ['a1', 'c1', 'a2', 'b1', 'c2', 'a3'])
  const shared = [code('s1', '192.0.2.9', 2, ''), code('s2', '198.51.100.9', 1, '')]
  t.strictSame(chooseEvicted([code('x', '192.0.2.1', 5), ...shared], 1), ['s1'])
})
