import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { migratedFolder } from '../db/temporary.ts'
import { temporaryFolder } from '../temporary.ts'

const MAIN = join(import.meta.dirname, '../../server/main.ts')
const MAX_CPU_SECONDS = 1
/** What `--version`, measured first, takes on a machine that is its own. On a slower one, the limit grows with it. */
const VERSION_CPU_SECONDS = 0.44
/** Other programs on the machine make a command slower, never faster: the fastest run counts. */
const MAX_RUNS = 5

/**
 * Runs a script of bash with these variables only: tap adds loaders to the environment of child processes.
 * Compiled code is not kept: that saves half of the time, but only from the second command on.
 */
async function bash(script: string, variables: Record<string, string>) {
  const env = { PATH: process.env.PATH ?? '', NODE_DISABLE_COMPILE_CACHE: '1', ...variables }
  const assignments = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  return promisify(execFile)('env', ['-i', ...assignments, 'bash', '--norc', '-c', script])
}

/** Appends the package of each module that is loaded to the file LOADED. */
const RECORD = `
import { registerHooks } from 'node:module'
import { appendFileSync } from 'node:fs'
registerHooks({
  load(url, context, next) {
    const name = url.replace(/.*node_modules.((@[^/]+.)?[^/]+).*/, '$1')
    appendFileSync(process.env.LOADED, name + String.fromCharCode(10))
    return next(url, context)
  },
})`

t.test('a command from the checkout loads only what it needs', async (t) => {
  const dataDir = await migratedFolder(t)
  const preload = `data:text/javascript;base64,${Buffer.from(RECORD).toString('base64')}`
  const packagesOf = async (args: string) => {
    const loaded = join(temporaryFolder(t), 'loaded')
    const line = `'${process.execPath}' --import '${preload}' -- '${MAIN}' ${args}`
    await bash(line, { BROKER_DATA_DIR: dataDir, LOADED: loaded })
    return readFileSync(loaded, 'utf8').split('\n')
  }
  const list = await packagesOf('app list')
  t.ok(list.includes('better-sqlite3'), 'the record works')
  for (const name of ['fastify', 'typebox', 'ajv', 'eta', 'undici'])
    t.notOk(list.includes(name), name)
  const version = await packagesOf('--version')
  for (const name of ['drizzle-orm', 'jose', 'prom-client', 'node:http'])
    t.notOk(version.includes(name), name)
})

t.test(`a command from the checkout takes less than ${MAX_CPU_SECONDS} CPU-second`, async (t) => {
  const dataDir = await migratedFolder(t)
  const measure = async (args: string) => {
    const script = `TIMEFORMAT='%U %S'; time '${process.execPath}' -- '${MAIN}' ${args} 2>&1`
    const { stdout, stderr } = await bash(script, { BROKER_DATA_DIR: dataDir })
    const seconds = stderr.trim().split(' ').map(Number)
    return { stdout, seconds: seconds.reduce((sum, each) => sum + each) }
  }
  const backup = `backup ${join(temporaryFolder(t), 'backup.db')}`
  const outputs = {
    '--version': /Node\.js/,
    'app add X --device': /client_id/,
    'app list': /CLIENT ID/,
    'connection list': /No connections/,
    'key list': /active/,
    [backup]: /Backed up/,
  }
  let limit = MAX_CPU_SECONDS
  for (const [args, output] of Object.entries(outputs)) {
    let fastest = Infinity
    for (let run = 0; run < MAX_RUNS && fastest >= limit; run++) {
      const { stdout, seconds } = await measure(args)
      t.match(stdout, output)
      fastest = Math.min(fastest, seconds)
    }
    t.ok(fastest < limit, `${args.split('/')[0]}: ${fastest.toFixed(2)} s (${limit.toFixed(2)})`)
    if (args === '--version') limit = MAX_CPU_SECONDS * Math.max(1, fastest / VERSION_CPU_SECONDS)
  }
})
