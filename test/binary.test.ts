import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import t from 'tap'
import { build } from '../server/assets.ts'
import { freePort } from './helper.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..')
const NAME = process.platform === 'win32' ? 'ellipsis-broker.exe' : 'ellipsis-broker'
const PATH = process.env.PATH ?? ''

t.test('the binary runs alone, from an empty directory, and leaves nothing', async (t) => {
  const folder = t.testdir({ alone: {}, temporary: {} })
  const [out, alone, temporary] = [
    join(folder, 'out'),
    join(folder, 'alone'),
    join(folder, 'temporary'),
  ]
  await run(process.execPath, [join(root, 'scripts/build.ts'), out], { env: { PATH } })
  renameSync(join(out, NAME), join(alone, NAME))

  const port = await freePorts()
  const child = spawn(join(alone, NAME), ['demo', '--port', String(port)], {
    cwd: alone,
    env: { TMPDIR: temporary },
  })
  const closed = once(child, 'close')
  t.teardown(() => child.kill('SIGKILL'))
  const output = await printed(child.stdout, child.stderr, 'Ctrl-C')
  const [broker, ...others] = [port, port + 1, port + 2].map((each) => `http://127.0.0.1:${each}/`)
  const pages = (output.match(/http:\S+/g) ?? []).filter((page) => page !== broker)
  t.match(pages, new Set(others), 'stand-in and sample app are told')
  t.ok(
    pages.some((page) => page.startsWith(`${broker}connect/`)),
    "and a page of the broker's",
  )

  for (const page of pages) {
    const response = await fetch(page, { headers: { accept: 'text/html' } })
    t.match([response.status, response.headers.get('content-type')], [200, /text\/html/], page)
    for (const link of linksOf(await response.text())) {
      const { status } = await fetch(new URL(link, page))
      t.equal(status, 200, link)
    }
  }

  t.strictSame(readdirSync(alone), [NAME], 'nothing is written beside it')
  child.kill('SIGTERM')
  t.strictSame(await closed, [0, null], 'it stops when told')
  t.strictSame(readdirSync(alone), [NAME])
  t.strictSame(readdirSync(temporary), [], 'the data of the demo is removed')

  t.test('the bundle beside it runs on a Node at hand', async (t) => {
    renameSync(join(out, 'bundle'), join(folder, 'bundle'))
    const bundle = join(folder, 'bundle', 'ellipsis-broker.mjs')
    const env = { PATH, BROKER_DATA_DIR: join(folder, 'data') }
    const version = await run(process.execPath, [bundle, '--version'], { env })
    t.match(version.stdout.split(/[ ,]/)[0], build.version)
    mkdirSync(env.BROKER_DATA_DIR)
    const list = await run(process.execPath, [bundle, 'app', 'list', '--json'], {
      env,
      cwd: folder,
    })
    t.strictSame(JSON.parse(list.stdout), [], 'its store opens')
  })

  t.test('the licenses of what is inside go along', async (t) => {
    const text = readFileSync(join(out, 'LICENSES.txt'), 'utf8')
    for (const name of ['better-sqlite3', 'fastify', 'eta', 'node']) {
      t.match(text, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\(MIT\\)$`, 'm'))
    }
    t.notMatch(text, '(undefined)')
  })
})

/** The first of three ports in a row that nothing listens on. */
async function freePorts(): Promise<number> {
  const port = await freePort()
  const next = [await isFree(port + 1), await isFree(port + 2)]
  return next.every(Boolean) ? port : freePorts()
}

const isFree = (port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}/`).then(
    () => false,
    () => true,
  )

/** What a program has printed, once it has printed a word; what went wrong, if it ends without. */
async function printed(stdout: Readable, stderr: Readable, word: string): Promise<string> {
  let text = ''
  stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
  for await (const chunk of stdout.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    text += chunk.toString()
    if (text.includes(word)) return text
  }
  throw new Error(`It ended with: ${text}`)
}

const linksOf = (page: string): string[] =>
  [...page.matchAll(/<(?:link|script|img)\b[^>]*?(?:href|src)="([^"]+)"/g)].map(
    ([, link]) => link ?? '',
  )
