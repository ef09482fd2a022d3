import { execFile, spawn, spawnSync } from 'node:child_process'
import type { SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { build } from '../server/assets.ts'
import { connect, exchange, freePorts } from './helper.ts'
import type { TestBroker } from './helper.ts'
import { waitForOutput } from './processes.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..')
const NAME = process.platform === 'win32' ? 'ellipsis-broker.exe' : 'ellipsis-broker'
const PATH = process.env.PATH ?? ''
const isRoot = process.getuid?.() === 0
/** User and group id of `nobody`. */
const NOBODY = 65_534
const canAttack = isRoot && spawnSync('gcc', ['--version']).status === 0
const unprivileged: SpawnOptions = isRoot ? { uid: NOBODY, gid: NOBODY } : {}

t.test('the single binary', async (t) => {
  // Built once for all tests, outside of the checkout, where an unprivileged user can read it.
  const folder = mkdtempSync(join(tmpdir(), 'ellipsis-broker-binary-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  chmodSync(folder, 0o755)
  const out = join(folder, 'out')
  const alone = join(folder, 'alone')
  const program = join(alone, NAME)
  mkdirSync(alone)
  await run(process.execPath, [join(root, 'scripts/build.ts'), out], { env: { PATH } })
  renameSync(join(out, NAME), program)

  /** Creates a directory that the unprivileged user owns. */
  function createOwnedDirectory(name: string): string {
    const directory = join(folder, name)
    mkdirSync(directory, { mode: 0o700 })
    if (isRoot) chownSync(directory, NOBODY, NOBODY)
    return directory
  }

  /** Starts the binary with an empty environment and waits for output. */
  const start = (args: string[], pattern: RegExp, options: SpawnOptions = {}) =>
    spawnUntil(program, args, pattern, { cwd: alone, env: {}, ...unprivileged, ...options })

  async function spawnUntil(file: string, args: string[], pattern: RegExp, options: SpawnOptions) {
    const child = spawn(file, args, options)
    const closed = once(child, 'close')
    t.teardown(() => child.kill('SIGKILL'))
    return { child, closed, ...(await waitForOutput(child, pattern)) }
  }

  t.test(
    'connect, swap and revoke, with an empty environment and as an unprivileged user',
    async (t) => {
      const port = await freePorts(3)
      const demo = await start(['demo', '--port', String(port)], /Ctrl-C/)
      const [url, ...others] = [port, port + 1, port + 2].map((each) => `http://127.0.0.1:${each}`)
      const directory = /BROKER_DATA_DIR=(\S+)/.exec(demo.output)?.[1] ?? ''
      const clientId = /\/connect\/(\S+)/.exec(demo.output)?.[1] ?? ''
      t.ok(existsSync(directory))
      for (const page of [`${url}/docs`, ...others, `${url}/connect/${clientId}`]) {
        const response = await fetch(page, { headers: { accept: 'text/html' } })
        t.match([response.status, response.headers.get('content-type')], [200, /text\/html/], page)
        for (const link of linksOf(await response.text())) {
          t.equal((await fetch(new URL(link, page))).status, 200, link)
        }
      }

      const broker = { url } as TestBroker
      const app = { id: clientId, redirectUris: [`${others[1]}/?second`] }
      const { brokerToken, connectionId } = await connect(
        broker,
        app as Parameters<typeof connect>[1],
      )
      t.match(await exchange(broker, brokerToken), { status: 200, body: { token_type: 'Bearer' } })
      const options = { ...unprivileged, cwd: '/', env: { BROKER_DATA_DIR: directory } }
      const { stdout } = await run(program, ['connection', 'revoke', connectionId], options)
      t.match(stdout, /Revoked/)
      t.equal((await exchange(broker, brokerToken)).status, 401)

      t.strictSame(readdirSync(alone), [NAME], 'nothing is written beside the binary')
      demo.child.kill('SIGTERM')
      t.strictSame(await demo.closed, [0, null], 'it stops on SIGTERM')
      t.strictSame(readdirSync(alone), [NAME])
      t.notOk(existsSync(directory), 'the demo’s data is removed')
    },
  )

  t.test('commands work from any directory', async (t) => {
    const data = createOwnedDirectory('commands')
    const runCommand = (...args: string[]) =>
      run(program, args, { ...unprivileged, cwd: '/', env: { BROKER_DATA_DIR: data } })
    t.match((await runCommand('--version')).stdout, `${build.version} (`)
    t.match((await runCommand('--version')).stdout, `Node.js ${process.version}`)
    const { stdout } = await runCommand('licenses')
    for (const name of ['better-sqlite3', 'fastify', 'eta', 'node']) {
      t.match(stdout, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\(MIT\\)$`, 'm'))
    }
    t.notMatch(stdout, '(undefined)')
    t.match((await runCommand('app', 'add', 'My map', '--device')).stdout, 'client_id')
    for (const list of ['app', 'connection', 'admin', 'key']) {
      t.type(JSON.parse((await runCommand(list, 'list', '--json')).stdout), Array, list)
    }
    await t.rejects(runCommand('serve'), { code: 2, stderr: /ELLIPSIS_CLIENT_ID is not set/ })
    // Node itself has an option of this name, and would end with code 9.
    const missing = runCommand('--env-file', '/nowhere/broker.env', 'app', 'list')
    await t.rejects(missing, { code: 2, stderr: '/nowhere/broker.env does not exist.' })
  })

  t.test(
    'root loads no code that the owner of the data directory can replace',
    { skip: !canAttack && 'needs root and gcc' },
    async (t) => {
      const data = createOwnedDirectory('attacked')
      const env = { PATH, BROKER_DATA_DIR: data }
      const list = () => run(program, ['app', 'list', '--json'], { cwd: '/', env })
      await run(program, ['app', 'add', 'My map', '--device'], { cwd: '/', env })
      t.equal((JSON.parse((await list()).stdout) as []).length, 1)
      const native = join(data, 'native')
      const [addon = ''] = readdirSync(native)
      t.equal(statSync(join(native, addon)).uid, NOBODY, 'it was written with the owner’s rights')

      // Native code of the owner, which says whose rights it gets.
      const source = join(folder, 'evil.c')
      const evil = join(folder, 'evil.node')
      const witness = join(createOwnedDirectory('witness'), 'seen')
      writeFileSync(
        source,
        `#include <stdio.h>
         #include <unistd.h>
         __attribute__((constructor)) static void run(void) {
           FILE *file = fopen("${witness}", "a");
           if (file) { fprintf(file, "%d", geteuid()); fclose(file); }
         }`,
      )
      await run('gcc', ['-shared', '-fPIC', '-o', evil, source], { env: { PATH } })
      // Swaps the file for as long as commands run, between any check and load.
      const swap = `while :; do cp ${evil} ${native}/x; mv ${native}/x ${native}/${addon}; done`
      // With a process group of its own, so that no cp or mv is left running.
      const options = { ...unprivileged, stdio: 'ignore', detached: true } as const
      const attacker = spawn('sh', ['-c', swap], options)
      const ended = once(attacker, 'exit')
      const stopAttacker = async () => {
        if (attacker.exitCode === null && attacker.signalCode === null) {
          process.kill(-(attacker.pid ?? NaN), 'SIGKILL')
        }
        await ended
      }
      t.teardown(stopAttacker)
      for (let round = 0; round < 10; round++) await list().catch(() => undefined)
      await stopAttacker()
      const seen = existsSync(witness) ? readFileSync(witness, 'utf8') : ''
      t.notMatch(seen, /(?<!\d)0/, 'never as root')
      t.equal(seen, '', 'nor as the owner')

      const target = join(folder, 'of-root')
      mkdirSync(target, { mode: 0o755 })
      rmSync(native, { recursive: true, maxRetries: 5 })
      symlinkSync(target, native)
      await t.rejects(list(), { code: 2, stderr: /is not a directory, or is a link/ })
      t.equal(statSync(target).mode & 0o777, 0o755, 'the link’s target keeps its mode')
      t.strictSame(readdirSync(target), [])
    },
  )

  t.test('calls of Ellipsis Drive go through the proxy of the environment', async (t) => {
    const asked: string[] = []
    const proxy = createServer()
    proxy.on('connect', ({ url }, socket) => {
      asked.push(String(url))
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    t.teardown(() => void proxy.close())
    const { port } = proxy.address() as AddressInfo
    const env = {
      ELLIPSIS_CLIENT_ID: 'id',
      ELLIPSIS_CLIENT_SECRET: 'secret',
      ELLIPSIS_API_URL: 'https://api.ellipsis.invalid/v3',
      HTTPS_PROXY: `http://127.0.0.1:${port}`,
      BROKER_DATA_DIR: createOwnedDirectory('proxy'),
    }
    const { stdout } = await run(program, ['doctor'], { ...unprivileged, cwd: '/', env }).catch(
      (error: unknown) => error as { stdout: string },
    )
    t.match(stdout, /Ellipsis Drive: .*the proxy answered 403/)
    t.ok(asked.includes('api.ellipsis.invalid:443'))
  })

  const serveEnv = (data: string) => ({
    BROKER_DATA_DIR: data,
    BROKER_PORT: '0',
    BROKER_PUBLIC_URL: 'http://127.0.0.1:3000',
    ELLIPSIS_CLIENT_ID: 'id',
    ELLIPSIS_CLIENT_SECRET: 'secret',
  })

  /** Arguments of `unshare`: mounts in a new mount namespace, then the program as an unprivileged user. */
  const inNamespace = (mounts: string, args: string) => [
    '--mount',
    'sh',
    '-c',
    `${mounts} && exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups ${program} ${args}`,
  ]
  const canMount =
    isRoot &&
    spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0
  const namespaces = { skip: !canMount && 'needs root, unshare and mount' }

  t.test('the file system is read-only except for the data', namespaces, async (t) => {
    const data = createOwnedDirectory('readonly')
    const readOnly = `mount -t tmpfs -o uid=${NOBODY},mode=700 tmpfs ${data} && mount -o remount,bind,ro /`
    const { child, closed, match } = await spawnUntil(
      'unshare',
      inNamespace(`${readOnly} && ! touch ${folder}/x 2>&-`, 'serve'),
      /"listening":"([^"]+)"/,
      { env: { PATH, ...serveEnv(data) } },
    )
    t.equal((await fetch(`${match[1]}/readyz`)).status, 200)
    child.kill('SIGTERM')
    t.strictSame(await closed, [0, null])
  })

  t.test('data on a noexec file system: the error says what to do', namespaces, async (t) => {
    const [data, native] = [createOwnedDirectory('noexec'), createOwnedDirectory('native')]
    const mount = `mount -t tmpfs -o noexec,uid=${NOBODY},mode=700 tmpfs ${data}`
    const add = (env: Record<string, string>) =>
      run('unshare', inNamespace(mount, 'app add Map --device'), {
        env: { PATH, BROKER_DATA_DIR: data, ...env },
      })
    await t.rejects(add({}), { code: 2, stderr: /noexec.*BROKER_NATIVE_DIR/ })
    t.match(await add({ BROKER_NATIVE_DIR: native }), { stdout: /client_id/ })
  })

  t.test('it has the compiled code of a start', async (t) => {
    const env = { PATH, NODE_DEBUG: 'ellipsis-broker' }
    const { stderr } = await run(program, ['--version'], { env })
    t.match(stderr, /compiled code rejected: false/)
  })

  t.test('the bundle runs on an installed Node', async (t) => {
    const bundle = join(out, 'bundle', 'ellipsis-broker.cjs')
    const env = { PATH, BROKER_DATA_DIR: join(folder, 'data') }
    const version = await run(process.execPath, [bundle, '--version'], { env })
    t.match(version.stdout.split(/[ ,]/)[0], build.version)
    const add = ['app', 'add', 'My map', '--device', '--json']
    const added = await run(process.execPath, [bundle, ...add], { env })
    t.match(JSON.parse(added.stdout), { name: 'My map' }, 'its store opens')
    const licenses = await run(process.execPath, [bundle, 'licenses'], { env })
    t.equal(licenses.stdout.trim(), readFileSync(join(out, 'LICENSES.txt'), 'utf8').trim())
  })

  /** The first of three consecutive free ports. */
  const linksOf = (page: string): string[] =>
    [...page.matchAll(/<(?:link|script|img)\b[^>]*?(?:href|src)="([^"]+)"/g)].map(
      ([, link]) => link ?? '',
    )
})
