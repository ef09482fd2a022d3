import { createServer, request as httpRequest } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { CacheCounters, DriveCache } from '../../server/drive/cache.ts'
import { createDiskCache } from '../../server/drive/disk-cache.ts'
import type { DriveAnswer, DriveRequest } from '../../server/drive/request.ts'
import { testClock } from '../clock.ts'
import { temporaryFolder } from '../temporary.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** A server that stands for the Ellipsis Drive API, and a cache in front of it. */
export async function buildCache(
  t: Pick<Test, 'teardown'>,
  handler: Handler,
  options: { maxBytes?: number; directory?: string; clock?: ReturnType<typeof testClock> } = {},
) {
  const { maxBytes = 2 ** 30, directory = temporaryFolder(t), clock = testClock() } = options
  const calls: IncomingMessage[] = []
  const server = createServer((request, response) => {
    calls.push(request)
    handler(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo

  const counts: Record<string, number> = { served: 0, evicted: 0 }
  const counters: CacheCounters = {
    request: (result) => (counts[result] = (counts[result] ?? 0) + 1),
    served: (bytes) => (counts.served = (counts.served ?? 0) + bytes),
    evicted: () => (counts.evicted = (counts.evicted ?? 0) + 1),
  }
  const log = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, fatal() {} }
  const open = (): DriveCache =>
    createDiskCache({
      ...{ directory, maxBytes, clock, counters, log },
      random: randomBytes,
      throttle: (piece) => piece(),
    })
  const cache = open()
  t.teardown(() => cache.settled())

  const send = (path: string, method: string, headers: object): Promise<DriveAnswer> =>
    new Promise((resolve, reject) => {
      const sent = httpRequest(
        { host: '127.0.0.1', port, path, method, headers: { ...headers }, agent: false },
        (answer) => {
          const { statusCode: status = 0, headers } = answer
          resolve({ status, headers: headers as DriveAnswer['headers'], body: answer })
        },
      )
      sent.on('error', reject).end()
    })

  /** Requests a path through the cache, without reading the body. */
  const begin = (
    path: string,
    headers: Record<string, string> = {},
    {
      method = 'GET',
      connection = 'con_a',
      through = cache,
      signal = new AbortController().signal,
    } = {},
  ) => {
    const [plain = '', query] = path.split('?')
    const request: DriveRequest = {
      method,
      path: { segments: [], path: plain, query: query === undefined ? '' : `?${query}` },
      headers,
      body: null,
      signal,
    }
    return through.fetch(connection, request, (sent) => send(path, method, sent))
  }

  /** The same, reads the body, and waits until it is stored. */
  const get = async (...args: Parameters<typeof begin>) => {
    const { body, ...answer } = await begin(...args)
    const bytes = body ? await buffer(body) : Buffer.alloc(0)
    await (args[2]?.through ?? cache).settled()
    return { ...answer, text: bytes.toString(), bytes }
  }

  return { cache, open, directory, clock, calls, counts, begin, get }
}
