import { fork } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { createFlights } from '../../server/drive/flights.ts'
import { testClock } from '../clock.ts'
import { temporaryFolder } from '../temporary.ts'
import { size } from '../size.ts'
import { buildCache } from './cache-upstream.ts'

const MINUTE = 60_000
const KIB = 1024

/** Files below a directory, without its tag. */
const filesIn = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'CACHEDIR.TAG')
    .map((entry) => join(entry.parentPath, entry.name))

const body = (path: string, bytes: number): Buffer =>
  Buffer.alloc(bytes, `${path} ${'abcdefghijklmnopqrstuvwxyz'.repeat(3)}\n`)

t.test('each connection has its own answers, readable only by the broker', async (t) => {
  const { get, directory, cache, counts } = await buildCache(t, (_request, response) => {
    response.setHeader('cache-control', 'max-age=60').end('tile')
  })
  t.match(await get('/tile'), { cached: 'miss' })
  t.match(await get('/tile', {}, { connection: 'con_b' }), { cached: 'miss' })
  t.match(await get('/tile?z=1'), { cached: 'miss' })
  t.match(await get('/tile'), { cached: 'hit', text: 'tile' })
  t.match(await get('/tile', {}, { connection: '../con_a' }), { cached: 'bypass' })
  t.strictSame(readdirSync(directory).sort(), ['CACHEDIR.TAG', 'con_a', 'con_b'])
  t.equal(statSync(directory).mode & 0o777, 0o700)
  t.equal(statSync(join(directory, 'con_a')).mode & 0o777, 0o700)
  for (const file of filesIn(directory)) t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(cache.size(), 3 * 4096)
  t.equal(counts.served, 4)

  await cache.forget('con_a')
  t.strictSame(readdirSync(directory).sort(), ['CACHEDIR.TAG', 'con_b'])
  t.equal(cache.size(), 4096)
  t.match(await get('/tile'), { cached: 'miss' })
  await cache.forget('con_x')
  await cache.forget('..')
  t.ok(existsSync(directory))
  await cache.sweep(async (id) => id === 'con_b')
  t.strictSame(readdirSync(directory).sort(), ['CACHEDIR.TAG', 'con_b'])
})

t.test('a directory with other files is refused, and left alone', async (t) => {
  const directory = temporaryFolder(t)
  writeFileSync(join(directory, 'thesis.txt'), 'years of work')
  const { cache, get } = await buildCache(
    t,
    (_request, response) => void response.setHeader('cache-control', 'max-age=60').end('tile'),
    { directory },
  )
  await t.rejects(cache.open(), { message: /holds other files/ })
  await get('/tile')
  t.match(await get('/tile'), { cached: 'bypass', text: 'tile' })
  t.strictSame(readdirSync(directory), ['thesis.txt'])
})

t.test('bodies of every size are stored as they are', async (t) => {
  const sizes = [0, 1, 4095, 255 * KIB, 256 * KIB, 257 * KIB, 3000 * KIB]
  const { get, begin, cache } = await buildCache(t, (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x')
    const bytes = body(pathname, Number(pathname.slice(1)))
    response.setHeader('cache-control', 'max-age=60')
    if (searchParams.has('length')) response.setHeader('content-length', bytes.length)
    response.end(bytes)
  })
  for (const bytes of sizes) {
    for (const path of [`/${bytes}`, `/${bytes}?length`]) {
      const first = await get(path)
      const second = await get(path)
      t.strictSame([first.cached, second.cached], ['miss', 'hit'], path)
      t.ok(second.bytes.equals(first.bytes), path)
      t.equal(second.bytes.length, bytes)
    }
  }
  const part = await get(`/${3000 * KIB}`, { range: 'bytes=1000000-1000099' })
  t.match(part, { status: 206, cached: 'hit' })
  t.ok(part.bytes.equals(body(`/${3000 * KIB}`, 3000 * KIB).subarray(1_000_000, 1_000_100)))
  // A client that leaves while it reads from the cache.
  const left = await begin(`/${3000 * KIB}`)
  left.body?.destroy()
  await cache.settled()
  t.match(await get(`/${3000 * KIB}`), { cached: 'hit' })
})

t.test('a transfer from the cache ends with its signal', async (t) => {
  const { get, begin, counts } = await buildCache(t, (_request, response) => {
    response.setHeader('cache-control', 'max-age=60').end(Buffer.alloc(4000 * KIB))
  })
  await get('/large')
  for (const path of ['/large', '/small']) {
    const grant = new AbortController()
    await get(path)
    const { body, cached } = await begin(path, {}, { signal: grant.signal })
    t.equal(cached, 'hit')
    grant.abort()
    await t.rejects(buffer(body ?? process.stdin), { name: 'AbortError' })
  }
  t.equal(counts.miss, 2)
})

t.test('an answer is kept only if it is complete and not too large', async (t) => {
  const { get, begin, cache, directory } = await buildCache(
    t,
    (request, response) => {
      response.setHeader('cache-control', 'max-age=60')
      if (request.url === '/cut') {
        response.setHeader('content-length', 2000)
        response.write('a'.repeat(1000), () => response.destroy())
      } else if (request.url === '/cut-chunked') {
        response.write('a'.repeat(1000), () => response.destroy())
      } else if (request.url === '/large') response.end(Buffer.alloc(1100 * KIB))
      else if (request.url === '/partial') response.writeHead(206).end('part')
      else if (request.url === '/missing') response.writeHead(404).end('none')
      else response.end(Buffer.alloc(900 * KIB))
    },
    { maxBytes: 16 * 1024 * KIB },
  )
  for (const path of ['/cut', '/cut-chunked']) {
    await t.rejects(get(path), path)
    await t.rejects(get(path), path)
  }
  for (const path of ['/large', '/partial', '/missing']) {
    await get(path)
    t.match(await get(path), { cached: 'miss' }, path)
  }
  const left = await begin('/left')
  left.body?.once('data', () => left.body?.destroy())
  await once(left.body ?? process, 'close')
  await cache.settled()
  t.strictSame(filesIn(directory), [])
  t.equal(cache.size(), 0)
  t.match(await get('/left'), { cached: 'miss' })
  t.match(await get('/left'), { cached: 'hit' })
})

t.test('a body of another length than announced is not kept', async (t) => {
  const { cache, directory } = await buildCache(t, () => undefined)
  for (const length of ['3', '5']) {
    const { cached, body } = await cache.fetch(
      'con_a',
      {
        ...{ method: 'GET', path: { segments: [], path: '/tile', query: '' } },
        ...{ headers: {}, body: null, signal: new AbortController().signal },
      },
      async () => ({
        status: 200,
        headers: { 'cache-control': 'max-age=60', 'content-length': length },
        body: Readable.from([Buffer.from('tile')]),
      }),
    )
    t.equal(cached, 'miss')
    await buffer(body ?? process.stdin)
    await cache.settled()
    t.strictSame(filesIn(directory), [])
  }
})

t.test('damaged files are no answers', async (t) => {
  const { get, directory } = await buildCache(t, (request, response) => {
    response.setHeader('cache-control', 'max-age=60').end(body(request.url ?? '', 10_000))
  })
  const damages: ((file: string, content: Buffer) => void)[] = [
    (file) => truncateSync(file, 0),
    (file, content) => truncateSync(file, content.length - 1),
    (file) => truncateSync(file, 15),
    (file, content) => writeFileSync(file, Buffer.alloc(content.length)),
    (file, content) => writeFileSync(file, content.fill(0, 100, 200)),
    (file, content) => writeFileSync(file, content.fill(0, 10_010, 10_020)),
    (file, content) =>
      writeFileSync(file, content.fill(255, content.length - 16, content.length - 12)),
  ]
  for (const [at, damage] of damages.entries()) {
    await get('/tile')
    const [file = ''] = filesIn(directory)
    damage(file, readFileSync(file))
    t.match(
      await get('/tile'),
      { cached: 'miss', text: body('/tile', 10_000).toString() },
      String(at),
    )
    t.match(await get('/tile'), { cached: 'hit' })
  }
})

t.test('the least recently used answers make room', async (t) => {
  const maxBytes = 100 * 4096
  const { get, cache, counts, directory, open, clock } = await buildCache(
    t,
    (_request, response) => {
      response.setHeader('cache-control', 'max-age=86400').end('x'.repeat(3000))
    },
    { maxBytes },
  )
  for (let at = 0; at < 150; at++) {
    await get(`/${at}`)
    t.ok((await get('/0')).cached === 'hit' || at === 0)
  }
  t.equal(cache.size(), maxBytes)
  t.equal(counts.evicted, 50)
  await waitUntil(() => filesIn(directory).length === 100)
  t.match(await get('/1'), { cached: 'miss' })
  t.match(await get('/149'), { cached: 'hit' })

  // Another process, or this one after a restart.
  clock.advance(20 * MINUTE)
  t.match(await get('/148'), { cached: 'hit' })
  const other = open()
  await other.open()
  await other.settled()
  t.equal(other.size(), maxBytes)
  for (let at = 200; at < 250; at++) await get(`/${at}`, {}, { through: other })
  await waitUntil(() => filesIn(directory).length === 100)
  t.match(await get('/148'), { cached: 'hit' }, 'its use was seen')
  t.match(await get('/249'), { cached: 'hit' }, 'stored by the other')
})

t.test('two processes hold the size together', async (t) => {
  const maxBytes = 256 * 4096
  const { get, cache, directory, open } = await buildCache(
    t,
    (_request, response) => {
      response.setHeader('cache-control', 'max-age=86400').end('x'.repeat(3000))
    },
    { maxBytes },
  )
  const other = open()
  for (let at = 0; at < 500; at++) {
    await get(`/${at}`, {}, { through: at % 2 === 0 ? cache : other })
  }
  await waitUntil(() => filesIn(directory).length <= 256 * (1 + 2 / 8))
  await cache.forget('con_a')
  t.match(await get('/499', {}, { through: other }), { cached: 'miss' }, 'emptied for both')
})

t.test('a process that is killed while it writes leaves no half answer', async (t) => {
  const directory = temporaryFolder(t)
  const bytes = 600 * KIB
  const { get, cache, clock } = await buildCache(
    t,
    (request, response) => {
      response.setHeader('cache-control', 'max-age=600').end(body(request.url ?? '', bytes))
    },
    { directory },
  )
  let leftBehind = 0
  for (let round = 0; round < size(3, 20); round++) {
    const child = fork(join(import.meta.dirname, 'cache-child.ts'), [directory, String(bytes)])
    // It begins a file of several pieces, and says so before it ends one of them.
    await once(child, 'message')
    child.kill('SIGKILL')
    await once(child, 'exit')
    leftBehind += filesIn(directory).filter((file) => file.includes('.new-')).length
    for (let at = 0; at < 20; at++) {
      const path = `/${at}`
      t.ok((await get(path)).bytes.equals(body(path, bytes)), path)
    }
  }
  t.ok(leftBehind > 0, 'it was killed while it wrote')
  const filesAfterScan = async () => {
    await cache.open()
    await cache.settled()
    return filesIn(directory).filter((file) => file.includes('.new-'))
  }
  t.ok((await filesAfterScan()).length > 0, 'another process may still write to a new file')
  clock.advance(20 * MINUTE)
  t.strictSame(await filesAfterScan(), [])
})

t.test('many who ask for the same at once cost one call', async (t) => {
  const { get, calls, counts, begin, cache } = await buildCache(t, (request, response) => {
    const isPrivate = request.url === '/private'
    response.setHeader('cache-control', isPrivate ? 'no-store' : 'max-age=60')
    setTimeout(() => response.setHeader('content-length', 4).end('tile'), 30)
  })
  const all = await Promise.all(Array.from({ length: 50 }, () => get('/tile')))
  t.equal(calls.length, 1)
  t.equal(counts.hit, 49)
  t.ok(all.every(({ text }) => text === 'tile'))
  await Promise.all(Array.from({ length: 5 }, () => get('/private')))
  t.equal(calls.length, 6, 'what is not stored is asked for by each')

  // The first one leaves: the others go on.
  const first = await begin('/left')
  const second = get('/left')
  await setImmediate()
  first.body?.destroy()
  t.match(await second, { text: 'tile' })
  await cache.settled()
})

t.test('a request that ends twice ends no later request of the same URL', async (t) => {
  const flights = createFlights(testClock({ frozen: true }), MINUTE)
  const land = flights.takeOff('/tile')
  land()
  const landLater = flights.takeOff('/tile')
  land()
  t.equal(flights.isUnderWay('/tile'), true)
  landLater()
  t.equal(flights.isUnderWay('/tile'), false)
})

t.test('a reader that is slow holds back Ellipsis Drive, not memory', async (t) => {
  let sent = 0
  const { begin, cache, get } = await buildCache(t, (_request, response) => {
    response.setHeader('cache-control', 'max-age=60')
    const chunk = Buffer.alloc(64 * KIB)
    const write = () => {
      while (sent < 14 * 1024 * KIB) {
        sent += chunk.length
        if (!response.write(chunk)) return void response.once('drain', write)
      }
      response.end()
    }
    write()
  })
  const { body } = await begin('/slow')
  await waitUntilStill(() => sent)
  t.ok(sent < 12 * 1024 * KIB, `${sent} bytes were sent`)
  const bytes = body ? await buffer(body) : Buffer.alloc(0)
  await cache.settled()
  t.equal(bytes.length, 14 * 1024 * KIB)
  t.match(await get('/slow'), { status: 200, cached: /hit|miss/ })
})

async function waitUntil(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** Waits until a number stays the same. */
async function waitUntilStill(read: () => number): Promise<void> {
  for (let [before, same] = [-1, 0]; same < 10; before = read()) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    same = read() === before ? same + 1 : 0
  }
}
