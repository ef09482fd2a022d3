import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Test } from 'tap'
import { addApp, buildBroker, connect } from '../helper.ts'
import type { TestBroker, TestOptions } from '../helper.ts'

/** What an upstream of a test does with a request below the API's base. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown

/** An upstream that misbehaves as told, and forwards nothing. */
export interface Upstream {
  apiUrl: string
  /** Requests that it got, oldest first. */
  requests: IncomingMessage[]
  handle: Handler
  sockets: Set<Socket>
}

/** Starts a server at `/v3` that stands for the data part of Ellipsis Drive. */
export async function startUpstream(
  t: Pick<Test, 'teardown'>,
  handle: Handler,
): Promise<Upstream & { server: Server }> {
  const server = createServer()
  const upstream = {
    apiUrl: '',
    requests: [] as IncomingMessage[],
    handle,
    sockets: new Set<Socket>(),
    server,
  }
  server.on('connection', (socket: Socket) => {
    upstream.sockets.add(socket)
    socket.once('close', () => upstream.sockets.delete(socket))
  })
  server.on('request', (request, response) => {
    upstream.requests.push(request)
    // Reading fails when the broker cancels a request.
    Promise.resolve(upstream.handle(request, response)).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  upstream.apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v3`
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return upstream
}

/**
 * A broker whose Ellipsis Drive is the stand-in for OAuth, and `handle` for everything else: one server passes
 * OAuth's requests on to the stand-in.
 */
export async function buildDrive(t: Test, handle: Handler, options: TestOptions = {}) {
  let standInUrl = ''
  const upstream = await startUpstream(t, (request, response) => handle(request, response))
  const own = upstream.handle
  upstream.handle = async (request, response) => {
    if (!/^\/v3\/(oauth|account)\b/.test(request.url ?? '')) {
      await own(request, response)
      return
    }
    upstream.requests.pop()
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const path = (request.url ?? '').slice('/v3'.length)
    const { 'content-type': type, authorization } = request.headers
    const answer = await fetch(standInUrl + path, {
      method: request.method ?? 'GET',
      redirect: 'manual',
      headers: {
        ...(type !== undefined && { 'content-type': type }),
        ...(authorization !== undefined && { authorization }),
        ...(request.headers.cookie !== undefined && { cookie: request.headers.cookie }),
      },
      ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
    })
    const headers = Object.fromEntries(
      [...answer.headers].filter(
        ([name]) => !/^(transfer-encoding|connection|content-length)$/.test(name),
      ),
    )
    response.writeHead(answer.status, headers).end(await answer.text())
  }
  const broker = await buildBroker(t, {
    ...options,
    env: { ...options.env, ELLIPSIS_API_URL: upstream.apiUrl },
  })
  standInUrl = broker.standInApiUrl
  const app = await addApp(broker, { origins: ['https://map.example.com'] })
  const { brokerToken, grantId, connectionId } = await connect(broker, app)
  const bearer = { authorization: `Bearer ${brokerToken}` }
  const get = (path: string, init: RequestInit = {}) =>
    fetch(`${broker.url}/drive${path}`, {
      redirect: 'manual',
      ...init,
      headers: { ...bearer, ...(init.headers as Record<string, string> | undefined) },
    })
  return { broker, app, upstream, brokerToken, bearer, grantId, connectionId, get }
}

export type DriveTest = Awaited<ReturnType<typeof buildDrive>>
export type { TestBroker }
