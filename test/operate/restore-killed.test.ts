import { copyFileSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { appDefaults } from '../../server/oauth/app-settings.ts'
import { checkSealed } from '../../server/crypto/reseal.ts'
import { backup } from '../../server/operate/backup.ts'
import { runtime } from '../../server/runtime.ts'
import { command } from '../command.ts'
import { addBallast, createKills, killRounds, sizeOf } from '../kill.ts'
import type { KillPoint } from '../kill.ts'
import { runCli } from '../processes.ts'
import { connectMany } from './load.ts'
import { buildHeadless, swapOutcome } from './headless.ts'
import { temporaryFolder } from '../temporary.ts'

t.test('a restore killed at any point leaves one of the two stores complete', async (t) => {
  const setup = await buildHeadless(t)
  const { dataDir, env } = setup
  const first = await setup.start()
  const devices = await connectMany(first, 40)
  addBallast(join(dataDir, 'broker.db'))
  const folder = temporaryFolder(t)
  const file = join(folder, 'backup.db')
  await backup({ dataDir }, file, runtime)
  await first.services.connections.revoke('con_1', 'test')
  const later = { ...appDefaults, name: 'Later', redirectUris: ['https://later.example/'] }
  await first.services.apps.add(later, 'test')
  await first.stop()
  copyFileSync(join(dataDir, 'broker.db'), join(folder, 'former.db'))

  const newStore = join(dataDir, 'broker.db.restoring')
  const isReplaced = () => readdirSync(dataDir).some((name) => /\.restored|\.replaced/.test(name))
  const isStarted = () => existsSync(newStore) && !isReplaced()
  const isHalf = () =>
    sizeOf(newStore) > sizeOf(file) * 0.4 && sizeOf(newStore) < sizeOf(file) * 0.9
  const isSettled = () => existsSync(`${newStore}-wal`) && !isReplaced()
  const points: KillPoint[] = [
    { name: 'half is copied', reached: isHalf, holds: isHalf },
    { name: 'revocations are carried over', reached: isSettled, holds: isSettled },
    { name: 'the store is replaced', reached: isReplaced },
    { name: 'it has started', reached: isStarted, holds: isStarted, laterByMs: 50 },
  ]
  const kills = createKills(t)
  const found = { former: 0, restored: 0 }
  for (let round = 0; round < killRounds; round++) {
    for (const name of readdirSync(dataDir)) {
      if (name.startsWith('broker.db')) rmSync(join(dataDir, name))
    }
    copyFileSync(join(folder, 'former.db'), join(dataDir, 'broker.db'))
    const point = points[round % points.length]
    if (!point) break
    const landed = await kills.at(runCli(['restore', file], env), point)

    const broker = await setup.start()
    t.equal((await checkSealed(broker.services, () => undefined)).failed, 0)
    const isFormer = (await broker.services.apps.list()).length === 2
    if (landed) t.equal(isFormer, point.name !== 'the store is replaced', point.name)
    found[isFormer ? 'former' : 'restored']++
    t.equal(await swapOutcome(broker, devices[0]?.token ?? ''), 'ok')
    t.equal(await swapOutcome(broker, devices[1]?.token ?? ''), 'connection_revoked')
    await broker.stop()

    t.match(await command(['restore', file], env), { code: 0 })
    const again = await setup.start()
    t.equal((await again.services.apps.list()).length, 1, 'a second run completes it')
    t.equal(await swapOutcome(again, devices[2]?.token ?? ''), 'ok')
    t.equal(await swapOutcome(again, devices[1]?.token ?? ''), 'connection_revoked')
    await again.stop()
  }
  t.comment(JSON.stringify(found))
  t.ok(found.former > 0, 'some were killed before the store was replaced')
  kills.check()
})
