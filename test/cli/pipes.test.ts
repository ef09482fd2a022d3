import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { promisify } from 'node:util'
import t from 'tap'
import type { Test as Tap } from 'tap'
import { guardOutput, hasOutputFailed, logOutput, outputProblem } from '../../server/cli/output.ts'
import { addApp, buildBroker, freePort } from '../helper.ts'
import { connectMany } from '../operate/load.ts'
import { importLine } from '../operate/imports.ts'
import { waitForOutput } from '../processes.ts'
import { PROGRAM, PROGRAM_ENV } from '../program.ts'
import { temporaryFolder } from '../temporary.ts'

const COMMAND = `'${process.execPath}' '${PROGRAM}'`

/** Runs a script. Never throws: a failure is part of the result. */
const bash = (script: string, env: Record<string, string>) =>
  promisify(execFile)('bash', ['--norc', '-c', script], { env: { ...PROGRAM_ENV, ...env } }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  )

t.test('a command whose reader leaves ends quietly', async (t) => {
  const broker = await buildBroker(t)
  await connectMany(broker, 3)
  const lines = [
    'connection list | head -1',
    'connection list --json | head -1',
    'connection list 2>&1 | true',
    'app list --json | true',
    'app list | head -c 5',
    'key list | true',
    'admin list | true',
    'secret check | true',
    '--help | head -1',
    'app --help | true',
    'help connection | true',
    'licenses | head -3',
    'licenses | true',
    '--version | true',
  ]
  for (const line of lines) {
    const { stderr } = await bash(`${COMMAND} ${line}; echo "\${PIPESTATUS[0]}" >&2`, broker.env)
    t.match(stderr, /^(Store: [^\n]*\n)?0\n$/, line)
  }
  const { stderr } = await bash(`${COMMAND} app show app_x | true; echo "\${PIPESTATUS[0]}" >&2`, {
    BROKER_DATA_DIR: broker.dataDir,
  })
  t.match(stderr, /no app.*\n2\n$/, 'other errors are reported as usual')
})

const full = { skip: !existsSync('/dev/full') && 'there is no /dev/full here' }

t.test('a full disk under the output is one clear line', full, async (t) => {
  const broker = await buildBroker(t)
  await connectMany(broker, 1)
  const lines = ['connection list', 'app list --json', '--help', 'app --help', 'licenses', '-V']
  for (const line of lines) {
    const result = await bash(`${COMMAND} ${line} > /dev/full`, broker.env)
    t.match(
      result,
      { code: 1, stderr: /^(Store: [^\n]*\n)?The output could not be written: ENOSPC[^\n]*\n$/ },
      line,
    )
  }
  const silent = await bash(`${COMMAND} licenses > /dev/full 2>&1`, {})
  t.match(silent, { code: 1, stderr: '' }, 'standard error is full, too')
})

t.test('an import stops when nobody reads its broker tokens', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const file = join(temporaryFolder(t), 'tokens')
  const accounts = ['ada', 'bob', 'eve']
  writeFileSync(file, accounts.map((account) => importLine(broker, account, app.id)).join('\n'))
  const run = (rest: string) => bash(`${COMMAND} connection import '${file}' ${rest}`, broker.env)
  const stopped = await run(`--json | true; exit \${PIPESTATUS[0]}`)
  t.match(stopped, {
    code: 1,
    stderr: /^(Store: .*\n)?Stopped after line 1:.*\nRun the command again/,
  })
  const repeated = await run('--json')
  t.match(repeated, { code: 0, stdout: /"line":1,"status":"already".*"broker_token":"ey/ })
  t.match(await run(`| true; exit \${PIPESTATUS[0]}`), { code: 0, stderr: /3 were already/ })
})

const outputs: [name: string, redirection: string, skip: string | false][] = [
  ['whose reader left', '| head -2', false],
  ['whose reader left, errors included', '2>&1 | true', false],
  ['on a full disk', '> /dev/full', full.skip],
  ['on a full disk, errors included', '> /dev/full 2>&1', full.skip],
]
for (const [name, redirection, skip] of outputs) {
  t.test(`a broker keeps serving with a log ${name}`, { skip }, async (t) => {
    const broker = await buildBroker(t)
    await addApp(broker)
    const port = await freePort()
    const env = { ...broker.env, BROKER_PORT: String(port), BROKER_LOG_LEVEL: 'trace' }
    await servesUntilStopped(t, 'serve', redirection, `http://127.0.0.1:${port}/device`, env)
  })
}

t.test('the local Ellipsis Drive keeps serving without a reader', async (t) => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/`
  await servesUntilStopped(t, `stand-in --port ${port}`, '| true', url, {})
})

t.test('init --serve keeps serving without a reader', async (t) => {
  const port = await freePort()
  const file = join(temporaryFolder(t), 'broker.env')
  const url = `http://127.0.0.1:${port}`
  const options = `--client-id x --client-secret-stdin --public-url ${url} --file '${file}' --serve`
  const env = { BROKER_DATA_DIR: temporaryFolder(t) }
  await servesUntilStopped(t, `init ${options} <<< secret`, '| true', `${url}/device`, env)
})

/** Starts a server with that output, sends it requests that it logs, and stops it with SIGTERM. */
async function servesUntilStopped(
  t: Tap,
  command: string,
  redirection: string,
  url: string,
  env: Record<string, string>,
): Promise<void> {
  const server = `exec ${COMMAND} ${command}`
  const script = `exec 3>&1; { (${server}) & echo "pid $!" >&3; wait $!; echo "code $?" >&3; } ${redirection}`
  const child = spawn('bash', ['--norc', '-c', script], { env: { ...PROGRAM_ENV, ...env } })
  const closed = once(child, 'close')
  const { match } = await waitForOutput(child, /pid (\d+)/)
  const pid = Number(match[1])
  t.teardown(() => child.kill('SIGKILL'))
  for (let answers = 0; answers < 20;) {
    const answer = await fetch(url, { headers: { accept: 'text/html' } }).catch(() => null)
    if (answer === null) await new Promise((resolve) => setTimeout(resolve, 50))
    else {
      await answer.text()
      t.equal(answer.status, 200)
      answers++
    }
  }
  const ended = waitForOutput(child, /code (\d+)/)
  process.kill(pid, 'SIGTERM')
  t.equal((await ended).match[1], '0')
  await closed
}

t.test('a log file on a disk that was full is continued', async (t) => {
  const file = join(temporaryFolder(t), 'log')
  const descriptor = openSync(file, 'w')
  const unwritable = openSync(file, 'r')
  const stream = process.stdout
  logOutput(descriptor).write('one\n')
  logOutput(unwritable).write('dropped\n')
  logOutput(descriptor).write('two\n')
  t.equal(readFileSync(file, 'utf8'), 'one\ntwo\n')
  for (const each of [descriptor, unwritable]) closeSync(each)
  t.equal(logOutput(9999, stream), stream, 'a descriptor that is closed')
})

t.test('only what a command could not write is reported', async (t) => {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  guardOutput({ stdout, stderr })
  // Other tests run commands in this process.
  t.teardown(() => guardOutput({ stdout: new PassThrough(), stderr: new PassThrough() }))
  t.equal(outputProblem(), null)
  stderr.emit('error', new Error('nobody reads errors'))
  t.equal(hasOutputFailed(), false)
  stdout.emit('error', new Error('EIO: i/o error'))
  t.equal(hasOutputFailed(), true)
  t.equal(outputProblem(), 'The output could not be written: EIO: i/o error')
})
