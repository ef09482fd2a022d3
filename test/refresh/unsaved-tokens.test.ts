import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { buildHeadless, swapOutcome } from '../operate/headless.ts'
import { connectMany } from '../operate/load.ts'
import type { Device, Headless } from '../operate/load.ts'

/** Until tokens that can't be saved are kept in a file, milliseconds. */
const KEEP_AFTER_MS = 1000

/** A host with a connection to an upstream that ends a grant whose replaced token is used. */
async function begin(t: Test) {
  const setup = await buildHeadless(t, { rotation: 'always' })
  const folder = join(setup.dataDir, 'unsaved')
  const files = () => (existsSync(folder) ? readdirSync(folder) : [])
  const broker = await setup.start()
  setup.clock.stop()
  const [device] = (await connectMany(broker, 1)) as [Device]
  return { setup, broker, device, folder, files }
}

/** Its store takes no tokens, until `mend` is called. Resolves when upstream has rotated, with the broker's swap. */
async function blockRefresh({ services, standIn, clock }: Headless, device: Device) {
  const { store } = services
  const { saveTokens } = store
  let isTried = () => undefined as void
  const tried = new Promise<void>((resolve) => (isTried = resolve))
  let mend = () => undefined as void
  const mended = new Promise<void>((resolve) => (mend = resolve))
  store.saveTokens = async (refreshed) => {
    isTried()
    await mended
    return saveTokens(refreshed)
  }
  const swap = swapOutcome({ services, standIn, clock }, device.token)
  await tried
  return { swap, mend }
}

t.test('what can’t be saved is kept in a sealed file, and stored at the next start', async (t) => {
  const { setup, broker, device, folder, files } = await begin(t)
  const { swap, mend } = await blockRefresh(broker, device)
  t.same(files(), [], 'nothing before a second has passed')
  setup.clock.advance(KEEP_AFTER_MS)
  await new Promise(setImmediate)
  const [name = ''] = files()
  t.match(name, /^con_0\.\d+$/)
  t.equal(statSync(join(folder, name)).mode & 0o777, 0o600)
  t.equal(statSync(folder).mode & 0o777, 0o700)
  t.notMatch(readFileSync(join(folder, name), 'latin1'), /rt_|at_|access|refresh/)

  const next = await setup.start()
  t.same(files(), [])
  t.equal(await swapOutcome(next, device.token), 'ok')
  t.equal(setup.standIn.calls.refresh, 1, 'with the tokens that were kept')
  mend()
  t.equal(
    await setup.clock.hurry(swap),
    'ok',
    'a process that lives finds that another one has stored them',
  )
  t.equal(setup.standIn.calls.refresh, 1)
})

t.test('a process that takes over the lease finds what was kept', async (t) => {
  const { setup, broker, device, files } = await begin(t)
  const other = await setup.start()
  const { swap, mend } = await blockRefresh(broker, device)
  setup.clock.advance(KEEP_AFTER_MS)
  await new Promise(setImmediate)
  t.equal(files().length, 1)
  setup.clock.advance(30_000)
  t.equal(await setup.clock.hurry(swapOutcome(other, device.token)), 'ok')
  t.equal(setup.standIn.calls.refresh, 1)
  t.same(files(), [])
  mend()
  await setup.clock.hurry(broker.stop())
  await swap
})

t.test('the file goes when the tokens are saved', async (t) => {
  const { setup, broker, device, files } = await begin(t)
  const { swap, mend } = await blockRefresh(broker, device)
  setup.clock.advance(KEEP_AFTER_MS)
  await new Promise(setImmediate)
  t.equal(files().length, 1)
  mend()
  t.equal(await swap, 'ok')
  t.same(files(), [])
})

t.test('a connection that has got other tokens since, or is revoked, keeps its own', async (t) => {
  const { setup, broker, device, folder, files } = await begin(t)
  const { swap, mend } = await blockRefresh(broker, device)
  setup.clock.advance(KEEP_AFTER_MS)
  await new Promise(setImmediate)
  const [name = ''] = files()
  const kept = readFileSync(join(folder, name))
  mend()
  t.equal(await swap, 'ok')
  for (let count = 0; count < 2; count++) {
    setup.clock.advance(3_601_000)
    t.equal(await swapOutcome(broker, device.token), 'ok')
  }
  const read = async () => (await broker.services.store.getConnection('con_0'))?.refreshToken
  const before = await read()
  const generation = (await broker.services.store.getConnection('con_0'))?.generation ?? 0
  const restart = async (file: string) => {
    writeFileSync(join(folder, file), kept)
    await (await setup.start()).stop()
    t.same(files(), [], file)
  }
  await restart(name)
  t.same(await read(), before)
  await restart(`con_0.${generation}`)
  t.same(await read(), before, 'as after a failover that lost commits')
  await broker.services.connections.revoke('con_0', 'test')
  await restart(`con_0.${generation}`)
  t.equal((await broker.services.store.getConnection('con_0'))?.status ?? 'revoked', 'revoked')
})

t.test('a file that can’t be read holds up no refresh', async (t) => {
  const { setup, broker, device, folder } = await begin(t)
  const other = await setup.start()
  const { swap, mend } = await blockRefresh(broker, device)
  mkdirSync(join(folder, 'con_0.1'), { recursive: true })
  setup.clock.advance(30_001)
  t.equal(await setup.clock.hurry(swapOutcome(other, device.token)), 'needs_reconnect')
  t.equal(setup.standIn.calls.refresh, 3, 'refused twice: upstream had rotated')
  mend()
  await setup.clock.hurry(broker.stop())
  await swap
})

t.test('what can’t be opened stays, and what can’t be kept stops nothing', async (t) => {
  const { setup, device, folder, files } = await begin(t)
  mkdirSync(folder)
  writeFileSync(join(folder, 'con_9.1'), 'of another key')
  const broker = await setup.start()
  t.same(files(), ['con_9.1'])
  rmSync(folder, { recursive: true })
  writeFileSync(folder, 'not a directory')
  const { swap, mend } = await blockRefresh(broker, device)
  setup.clock.advance(KEEP_AFTER_MS)
  await new Promise(setImmediate)
  mend()
  t.equal(await swap, 'ok')
})
