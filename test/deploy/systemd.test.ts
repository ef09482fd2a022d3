import { execFile, spawnSync } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)
const missing = spawnSync('systemd-analyze', ['--version']).error !== undefined
const options = { skip: missing && 'systemd-analyze is not installed' }

/** Maximum exposure score of systemd, 0 to 100. JIT compilation and network access are necessary. */
const MAX_EXPOSURE = 15

const DEPLOY = join(import.meta.dirname, '../../deploy')
const units = [
  'ellipsis-broker.service',
  'ellipsis-broker@.service',
  'ellipsis-broker-backup.service',
]

for (const unit of units) {
  t.test(`systemd accepts ${unit} and rates it as hardened`, options, async (t) => {
    const folder = t.testdir({ 'ellipsis-broker': '#!/bin/sh\n' })
    chmodSync(join(folder, 'ellipsis-broker'), 0o755)
    const text = readFileSync(join(DEPLOY, unit), 'utf8')
    // The verification needs a program that exists.
    const file = join(folder, unit.replace('@', '@3001'))
    writeFileSync(file, text.replaceAll('/usr/local/bin/', `${folder}/`))
    const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', file])
    t.equal(stdout + stderr, '')
    const security = ['security', '--offline=true', `--threshold=${MAX_EXPOSURE}`, file]
    await t.resolves(run('systemd-analyze', security))
  })
}

t.test('systemd accepts the timer, and its next backup is within a day', options, async (t) => {
  const folder = t.testdir({ 'ellipsis-broker': '#!/bin/sh\n' })
  chmodSync(join(folder, 'ellipsis-broker'), 0o755)
  for (const unit of ['ellipsis-broker-backup.service', 'ellipsis-broker-backup.timer']) {
    const text = readFileSync(join(DEPLOY, unit), 'utf8')
    writeFileSync(join(folder, unit), text.replaceAll('/usr/local/bin/', `${folder}/`))
  }
  const timer = join(folder, 'ellipsis-broker-backup.timer')
  const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', timer])
  t.equal(stdout + stderr, '')
  const [, calendar = ''] = /^OnCalendar=(.*)$/m.exec(readFileSync(timer, 'utf8')) ?? []
  const next = await run('systemd-analyze', ['calendar', '--iterations=2', calendar])
  const times = [...next.stdout.matchAll(/\(in UTC\): (.*)|(?:elapse|#\d+): (.*)/g)]
  const [first = 0, second = 0] = times.map(([, utc, local]) => Date.parse(utc ?? local ?? ''))
  t.ok(second - first <= 86_400_000, next.stdout)
})

/** Settings of a unit that decide what a process sees of the machine. */
const DATA = ['User=', 'EnvironmentFile=', 'Environment=']

t.test('the backup has the user, the settings and the data of the broker', (t) => {
  const linesOf = (unit: string) =>
    readFileSync(join(DEPLOY, unit), 'utf8')
      .split('\n')
      .filter((line) => DATA.some((name) => line.startsWith(name)))
  t.strictSame(
    linesOf('ellipsis-broker-backup.service').sort(),
    linesOf('ellipsis-broker.service').sort(),
  )
  t.end()
})
