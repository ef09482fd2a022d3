import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import Database from 'better-sqlite3'
import t from 'tap'
import { KeptCopyError } from '../../db/errors.ts'
import { loadConfig } from '../../server/config/config.ts'
import { createLog, describeError } from '../../server/log.ts'
import { startServices } from '../../server/services.ts'
import { StartError, explainDataError } from '../../server/data/start-error.ts'
import { command } from '../command.ts'
import { connect } from '../db/rows.ts'
import { serve } from '../processes.ts'
import { PROGRAM, PROGRAM_ENV } from '../program.ts'
import { temporaryFolder } from '../temporary.ts'

const silent = createLog({ logLevel: 'silent' })
const settings = (dataDir: string, more: Record<string, string> = {}) =>
  loadConfig(
    {
      ELLIPSIS_CLIENT_ID: 'one',
      ELLIPSIS_CLIENT_SECRET: 'secret',
      BROKER_DATA_DIR: dataDir,
      ...more,
    },
    { serve: true },
  )

async function startAndStop(...args: Parameters<typeof startServices>): Promise<void> {
  await (await startServices(...args)).stop()
}

t.test('a first start creates a key that only its owner can read', async (t) => {
  const dataDir = join(temporaryFolder(t), 'data')
  await startAndStop(settings(dataDir), silent, { claim: 'same' })
  const file = join(dataDir, 'secret.key')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(Buffer.from(readFileSync(file, 'utf8').trim(), 'base64url').length, 32)
  t.equal(statSync(dataDir).mode & 0o777, 0o700)
})

t.test(
  'a missing key stops the start, and no new key is created beside existing data',
  async (t) => {
    const dataDir = temporaryFolder(t)
    await startAndStop(settings(dataDir), silent, { claim: 'same' })
    const file = join(dataDir, 'secret.key')
    rmSync(file)
    await t.rejects(startServices(settings(dataDir), silent), /Restore the file secret\.key/)
    t.notOk(existsSync(file))
    writeFileSync(file, 'nonsense')
    await t.rejects(startServices(settings(dataDir), silent), /does not contain a key/)
    writeFileSync(file, 'A'.repeat(43))
    await t.rejects(
      startServices(settings(dataDir), silent),
      /a key that is missing from .*secret\.key/,
    )
    const other = settings(dataDir, { BROKER_SECRETS: randomBytes(32).toString('base64url') })
    await t.rejects(startServices(other, silent), /a key that is missing from BROKER_SECRETS/)
  },
)

t.test('a start with a key but no database says so', async (t) => {
  const dataDir = temporaryFolder(t)
  await startAndStop(settings(dataDir), silent, { claim: 'same' })
  rmSync(join(dataDir, 'broker.db'))
  for (const args of [
    ['secret', 'check'],
    ['secret', 'rotate'],
    ['key', 'rotate'],
    ['key', 'revoke', 'kid'],
  ]) {
    const ended = await command(args, { BROKER_DATA_DIR: dataDir })
    t.match(ended, { code: 2, stderr: /^There is no database in / }, args.join(' '))
    t.notOk(existsSync(join(dataDir, 'broker.db')))
  }
  const env = { ELLIPSIS_CLIENT_ID: 'one', ELLIPSIS_CLIENT_SECRET: 'secret' }
  const started = await serve(t, { ...env, BROKER_DATA_DIR: dataDir })
  t.match(started.output(), / has a secret\.key but no database: creating an empty one/)
})

t.test('data of a newer version is rejected', async (t) => {
  const dataDir = temporaryFolder(t)
  await startAndStop(settings(dataDir), silent)
  const client = new Database(join(dataDir, 'broker.db'))
  client.exec("insert into __drizzle_migrations (hash, created_at) values ('x', 9e15)")
  client.close()
  await t.rejects(startServices(settings(dataDir), silent), /newer version.*Use the newer version/s)
})

t.test('data of another Ellipsis client is rejected, unless the change is accepted', async (t) => {
  const dataDir = temporaryFolder(t)
  const first = await startServices(settings(dataDir), silent, { claim: 'same' })
  await connect(first.store)
  await first.stop()
  const other = settings(dataDir, { ELLIPSIS_CLIENT_ID: 'two' })
  await t.rejects(startServices(other, silent, { claim: 'same' }), /ELLIPSIS_CLIENT_ID=one/)
  const api = settings(dataDir, { ELLIPSIS_API_URL: 'https://api.example.com/v3' })
  await t.rejects(startServices(api, silent, { claim: 'same' }), /ELLIPSIS_API_URL/)
  await startAndStop(other, silent)
  await startAndStop(other, silent, { claim: 'anew' })
  await startAndStop(other, silent, { claim: 'same' })
})

t.test('broker tokens of a previous public URL stay valid', async (t) => {
  const dataDir = temporaryFolder(t)
  const at = (url: string) => settings(dataDir, { BROKER_PUBLIC_URL: url })
  await startAndStop(at('https://old.example.com'), silent, { claim: 'same' })
  const services = await startServices(at('https://new.example.com'), silent, { claim: 'same' })
  t.teardown(() => services.stop())
  const { public_urls: urls } = await services.store.getMeta()
  t.same(JSON.parse(urls ?? ''), ['https://new.example.com', 'https://old.example.com'])
})

t.test('errors of the data directory have clear messages', async (t) => {
  const messages: [code: string, text: RegExp][] = [
    ['ENOSPC', /no space left.*Free more space/s],
    ['SQLITE_FULL', /no space left/],
    ['EACCES', /can’t be read and written.*the broker’s user/s],
    ['SQLITE_CANTOPEN', /can’t be read and written/],
    ['SQLITE_CORRUPT_INDEX', /damaged.*restore the latest good backup/s],
    ['SQLITE_BUSY', /Another process/],
  ]
  for (const [code, text] of messages) {
    const error = Object.assign(new Error('why'), { code })
    t.throws(() => explainDataError('/data')(error), {
      name: 'StartError',
      message: text,
      cause: error,
    })
  }
  const uncopied = new KeptCopyError('/data/copy', { cause: new Error('why') })
  t.throws(
    () => explainDataError('/data')(uncopied),
    /copy .*, which is made before.*Free as much space/s,
  )
  const other = new Error('a defect')
  t.throws(() => explainDataError('/data')(other), other)
  const file = join(t.testdir({ data: 'a file' }), 'data')
  await t.rejects(startServices(settings(file), silent), StartError)
})

const MOUNT = 'mount -t tmpfs -o size=2m,mode=700 tmpfs "$BROKER_DATA_DIR"'
const canMount = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'x', '/mnt']).status === 0

t.test(
  'a full disk and a read-only disk are reported',
  { skip: !canMount && 'needs root, unshare and mount' },
  async (t) => {
    const dataDir = temporaryFolder(t)
    const start = (before: string) =>
      spawnSync(
        'unshare',
        [
          '--mount',
          'sh',
          '-c',
          `${MOUNT}; ${before}; exec ${process.execPath} ${PROGRAM} app add X --device`,
        ],
        { env: { ...PROGRAM_ENV, BROKER_DATA_DIR: dataDir }, encoding: 'utf8' },
      )
    const full = start('cat /dev/zero > "$BROKER_DATA_DIR/zeros" 2>&-')
    t.match(full, {
      status: 2,
      stderr: /^There is no space left on the disk of .*\nFree more space/,
    })
    t.notMatch(full.stderr, '    at ')
    const readOnly = start('mount -o remount,ro "$BROKER_DATA_DIR"')
    t.match(readOnly, { status: 2, stderr: /^The data directory .*can’t be read and written/ })
    t.notMatch(readOnly.stderr, '    at ')
  },
)

t.test('the log has JSON lines, and readable lines on a terminal', async (t) => {
  const lines: string[] = []
  const output = { write: (line: string) => void lines.push(line) }
  createLog({ logLevel: 'info' }, output).info({ connection: 'con_1' }, 'hello')
  t.match(JSON.parse(lines[0] ?? ''), { connection: 'con_1', msg: 'hello' })
  const terminal = Object.assign(new PassThrough(), { isTTY: true })
  createLog({ logLevel: 'info' }, terminal).info({ connection: 'con_1' }, 'hello')
  const [shown] = (await once(terminal, 'data')) as [Buffer]
  t.match(shown.toString(), /INFO.*: .*hello/)
  const token = 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJjb25fMSIsImp0aSI6IjEyMyJ9.c2lnbmF0dXJl'
  const error = new Error(`it was ${token}`, { cause: new Error('the cause') })
  t.match(describeError(error), { message: 'it was [redacted]', cause: { message: 'the cause' } })
  t.equal(describeError(`text ${token}`), 'text [redacted]')
  t.match(describeError(Object.assign(new Error('x'), { code: 'E1' })), { code: 'E1' })
})
