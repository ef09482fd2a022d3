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

for (const unit of ['ellipsis-broker.service', 'ellipsis-broker@.service']) {
  t.test(`systemd accepts ${unit} and rates it as hardened`, options, async (t) => {
    const folder = t.testdir({ 'ellipsis-broker': '#!/bin/sh\n' })
    chmodSync(join(folder, 'ellipsis-broker'), 0o755)
    const text = readFileSync(join(import.meta.dirname, '../../deploy', unit), 'utf8')
    // The verification needs a program that exists.
    const file = join(folder, unit.replace('@', '@3001'))
    writeFileSync(file, text.replaceAll('/usr/local/bin/', `${folder}/`))
    const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', file])
    t.equal(stdout + stderr, '')
    const security = ['security', '--offline=true', `--threshold=${MAX_EXPOSURE}`, file]
    await t.resolves(run('systemd-analyze', security))
  })
}
