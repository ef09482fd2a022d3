import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect as connectSocket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { standInDefaults, startStandIn } from '../../server/stand-in/app.ts'
import { loadConfig } from '../../server/config/config.ts'
import { useProxy } from '../../server/config/proxy.ts'
import { clientAt, failureOf, refresh } from '../ellipsis/upstream.ts'
import { cli } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'

/** Ellipsis Drive’s host, which only the proxy can find. */
const HOST = 'api.ellipsis.invalid'
const CREDENTIALS = `Basic ${Buffer.from('broker:p@ss#w0rd').toString('base64')}`

async function listen(t: Test, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** A forwarding proxy that wants a password. Connects every host to `port`; records what it is asked for. */
async function startProxy(t: Test, port: number) {
  const asked: string[] = []
  const isAllowed = (given: string | undefined) => given === CREDENTIALS
  const proxy = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    if (!isAllowed(request.headers['proxy-authorization'])) {
      response.writeHead(407).end()
      return
    }
    const { pathname } = new URL(request.url ?? '')
    void relay(request, `http://127.0.0.1:${port}${pathname}`).then(async (answer) => {
      response.writeHead(answer.status, { 'content-type': 'application/json' })
      response.end(await answer.text())
    })
  })
  proxy.on('connect', (request, client, head: Buffer) => {
    asked.push(`CONNECT ${request.url}`)
    client.on('error', () => undefined)
    if (!isAllowed(request.headers['proxy-authorization'])) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
      return
    }
    const target = connectSocket(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      target.write(head)
      target.pipe(client).pipe(target)
    })
    target.on('error', () => client.destroy())
  })
  return { port: await listen(t, proxy), asked }
}

async function relay(request: Parameters<RequestListener>[0], url: string): Promise<Response> {
  const chunks = await request.toArray()
  const headers = { ...(request.headers as Record<string, string>) }
  for (const name of ['host', 'connection', 'content-length', 'proxy-authorization']) {
    delete headers[name]
  }
  const hasBody = request.method === 'POST'
  const body = Buffer.concat(chunks as Buffer[])
  return fetch(url, { method: request.method ?? 'GET', headers, ...(hasBody && { body }) })
}

/** A private certificate authority, and a server with a certificate of it. */
async function startTls(t: Test, folder: string, answer: RequestListener) {
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'ignore'] })
  const key = ['-newkey', 'rsa:2048', '-nodes', '-days', '2']
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=Private CA')
  const names = ['-addext', `subjectAltName=DNS:${HOST}`]
  const authority = ['-CA', 'ca.pem', '-CAkey', 'ca.key']
  openssl(
    ...['req', '-x509', ...key, ...authority, '-keyout', 'server.key', '-out', 'server.pem'],
    ...['-subj', `/CN=${HOST}`, ...names, '-addext', 'basicConstraints=critical,CA:FALSE'],
  )
  const [cert, serverKey] = ['server.pem', 'server.key'].map((file) =>
    readFileSync(join(folder, file)),
  )
  return listen(t, createTlsServer({ cert, key: serverKey }, answer))
}

/** Ellipsis Drive behind TLS and behind a proxy. */
async function build(t: Test) {
  const client = { ...standInDefaults.client, redirectUris: ['http://127.0.0.1:3000/callback'] }
  const standIn = await startStandIn({ port: 0, clients: [client] })
  t.teardown(() => standIn.close())
  const folder = temporaryFolder(t)
  const upstreamPort = Number(new URL(standIn.apiUrl).port)
  const tlsPort = await startTls(t, folder, (request, response) => {
    void relay(request, `http://127.0.0.1:${upstreamPort}${request.url}`).then(async (answer) => {
      const date = new Date().toUTCString()
      response.writeHead(answer.status, { 'content-type': 'application/json', date })
      response.end(await answer.text())
    })
  })
  const secure = await startProxy(t, tlsPort)
  const plain = await startProxy(t, upstreamPort)
  const env = {
    ELLIPSIS_CLIENT_ID: client.id,
    ELLIPSIS_CLIENT_SECRET: client.secret,
    ELLIPSIS_API_URL: `https://${HOST}/v3`,
    BROKER_DATA_DIR: join(folder, 'data'),
  }
  const diagnose = async (more: Record<string, string>) => {
    const { stdout, stderr } = await cli(['doctor', '--json'], { ...env, ...more })
    t.notMatch(stdout + stderr, /p@ss|p%40ss|w0rd/, 'no password')
    const findings = JSON.parse(stdout) as { check: string; status: string }[]
    return Object.fromEntries(findings.map(({ check, ...finding }) => [check, finding]))
  }
  const proxyUrl = (port: number) => `http://broker:p%40ss%23w0rd@127.0.0.1:${port}`
  return { env, secure, plain, folder, standIn, diagnose, proxyUrl }
}

t.test('calls of Ellipsis Drive go through the proxy that the environment names', async (t) => {
  const { secure, plain, folder, standIn, diagnose, proxyUrl } = await build(t)
  const ca = { NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') }
  const connected = [`CONNECT ${HOST}:443`]
  const accepted = { status: 'ok', finding: /accepts the client/ }

  for (const name of ['HTTPS_PROXY', 'https_proxy']) {
    secure.asked.length = 0
    const found = await diagnose({ ...ca, [name]: proxyUrl(secure.port) })
    t.match(found['Ellipsis Drive'], accepted, name)
    t.match(found['outgoing proxy'], {
      status: 'ok',
      finding: `calls to https://${HOST}/v3 go through http://127.0.0.1:${secure.port}`,
    })
    t.match(found.clock, { status: 'ok' })
    t.strictSame([...new Set(secure.asked)], connected, 'and nothing else does')
  }
  t.equal(standIn.standIn.calls.refresh, 2)

  const http = { ELLIPSIS_API_URL: `http://${HOST}/v3` }
  for (const name of ['HTTP_PROXY', 'http_proxy']) {
    plain.asked.length = 0
    const found = await diagnose({ ...http, [name]: proxyUrl(plain.port) })
    t.match(found['Ellipsis Drive'], { status: 'ok' }, name)
    t.ok(plain.asked.includes(`POST http://${HOST}/v3/oauth/token`))
  }

  // Precedence, an omitted scheme, and other programs' variables.
  secure.asked.length = 0
  const mixed = { https_proxy: proxyUrl(secure.port), HTTPS_PROXY: 'http://127.0.0.1:9' }
  t.match((await diagnose({ ...ca, ...mixed }))['Ellipsis Drive'], accepted)
  const bare = proxyUrl(secure.port).slice('http://'.length)
  t.match((await diagnose({ ...ca, HTTPS_PROXY: bare }))['Ellipsis Drive'], accepted)

  secure.asked.length = 0
  for (const more of [
    { HTTP_PROXY: proxyUrl(secure.port) },
    { HTTPS_PROXY: '' },
    { HTTPS_PROXY: proxyUrl(secure.port), NO_PROXY: HOST },
    { HTTPS_PROXY: proxyUrl(secure.port), no_proxy: 'localhost, .ellipsis.invalid' },
  ]) {
    const found = await diagnose({ ...ca, ...more })
    t.match(found['outgoing proxy'], { finding: /^none: / }, JSON.stringify(Object.keys(more)))
    t.match(found['Ellipsis Drive'], { status: 'problem', finding: /ENOTFOUND|EAI_AGAIN/ })
  }
  t.strictSame(secure.asked, [])

  const local = { ELLIPSIS_API_URL: standIn.apiUrl, HTTP_PROXY: 'http://127.0.0.1:9' }
  t.match((await diagnose(local))['Ellipsis Drive'], { status: 'ok' }, 'this machine needs none')
})

t.test('the identity provider is exempt from the proxy by itself', async (t) => {
  const { secure, folder, diagnose, proxyUrl } = await build(t)
  const env = {
    NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem'),
    BROKER_ADMIN_OIDC_ISSUER: 'https://sso.invalid',
    BROKER_ADMIN_OIDC_CLIENT_ID: 'broker',
    BROKER_ADMIN_OIDC_CLIENT_SECRET: 'hush',
    BROKER_ADMIN_OIDC_ADMIN_VALUES: 'ops',
    HTTPS_PROXY: proxyUrl(secure.port),
  }
  const [api, sso] = [`CONNECT ${HOST}:443`, 'CONNECT sso.invalid:443']
  const asked = async (NO_PROXY: string) => {
    secure.asked.length = 0
    t.match((await diagnose({ ...env, NO_PROXY }))['identity provider'], { status: 'problem' })
    return [...new Set(secure.asked)]
  }
  t.strictSame(await asked(''), [api, sso])
  t.strictSame(await asked('sso.invalid'), [api])
  t.strictSame(await asked(HOST), [sso])
})

t.test('a proxy that refuses is named, and nothing counts as sent', async (t) => {
  const { secure, plain, diagnose } = await build(t)
  const withoutPassword = (port: number) => `http://127.0.0.1:${port}`
  const refused = await diagnose({ HTTPS_PROXY: withoutPassword(secure.port) })
  t.match(refused['Ellipsis Drive'], {
    status: 'problem',
    finding: /the proxy answered 407/,
    mend: new RegExp(`Check HTTPS_PROXY \\(http://127.0.0.1:${secure.port}\\)`),
  })
  const http = { ELLIPSIS_API_URL: `http://${HOST}/v3` }
  const plainRefused = await diagnose({ ...http, HTTP_PROXY: withoutPassword(plain.port) })
  t.match(plainRefused['Ellipsis Drive'], { status: 'problem', finding: /proxy answered 407/ })
  const gone = await diagnose({ HTTPS_PROXY: 'http://127.0.0.1:9' })
  t.match(gone['Ellipsis Drive'], { status: 'problem', mend: /Check HTTPS_PROXY/ })
})

t.test('a refresh that no proxy passes on has not been sent', async (t) => {
  const { secure, plain } = await build(t)
  const cutting = createServer()
  cutting.on('connect', (_request, socket) => socket.destroy())
  const [cut, gone] = [await listen(t, cutting), 9]
  const cases: [string, number, RegExp][] = [
    ['https', secure.port, /the proxy answered 407/],
    ['http', plain.port, /the proxy answered 407/],
    ['https', cut, /UND_ERR_PRX_CONN/],
    ['https', gone, /could not be reached/],
  ]
  for (const [scheme, port, message] of cases) {
    const ELLIPSIS_API_URL = `${scheme}://${HOST}/v3`
    const proxy = `http://127.0.0.1:${port}`
    const restore = useProxy(loadConfig({ ELLIPSIS_API_URL, [`${scheme}_proxy`]: proxy }))
    try {
      const error = await failureOf(refresh(clientAt(ELLIPSIS_API_URL)))
      t.match(error, { kind: 'transient', status: null, maybeApplied: false, message })
    } finally {
      restore()
    }
  }
})

t.test('a certificate of a private authority is named, with the way out', async (t) => {
  const { secure, diagnose, proxyUrl } = await build(t)
  const found = await diagnose({ HTTPS_PROXY: proxyUrl(secure.port) })
  t.match(found['Ellipsis Drive'], {
    status: 'problem',
    finding: /SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_/,
    mend: /NODE_EXTRA_CA_CERTS=.*docs\/run\.md/,
  })
})

t.test('a variable that is no proxy is reported by name, without its value', async (t) => {
  const { env } = await build(t)
  for (const value of [
    'socks5://user:s3cret@127.0.0.1:1080',
    'ftp://s3cret',
    'http://user:s3cret#@host:1',
    'http://',
    'http://host/s3cret',
    's3cret host',
  ]) {
    for (const name of ['HTTPS_PROXY', 'https_proxy']) {
      const { code, stdout, stderr } = await cli(['doctor'], { ...env, [name]: value })
      t.equal(code, 2, value)
      t.match(stderr, `${name} is not the URL of an http or https proxy`)
      t.notMatch(stdout + stderr, 's3cret')
    }
  }
})
