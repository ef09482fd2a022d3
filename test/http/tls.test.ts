import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { connect } from 'node:tls'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { once } from 'node:events'
import t from 'tap'
import type { Test } from 'tap'
import { loadConfig } from '../../server/config/config.ts'
import { startBroker } from '../../server/cli/serve.ts'
import { createLog } from '../../server/log.ts'
import { freePort } from '../helper.ts'
import { runCli, serve, waitForOutput } from '../processes.ts'
import { temporaryFolder } from '../temporary.ts'

/** Creates a self-signed certificate: `NAME.crt` and `NAME.key` in the folder. */
function createCertificate(folder: string, name: string): void {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)]
  const options = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const files = ['-keyout', key, '-out', cert, '-subj', `/CN=${name}`, '-days', '2']
  execFileSync('openssl', [...options, ...files], { stdio: 'ignore' })
}

const settings = (folder: string, port: number) => ({
  ELLIPSIS_CLIENT_ID: 'id',
  ELLIPSIS_CLIENT_SECRET: 'secret',
  BROKER_PUBLIC_URL: `https://localhost:${port}`,
  BROKER_PORT: String(port),
  BROKER_DATA_DIR: join(folder, 'data'),
  BROKER_TLS_CERT: join(folder, 'live.crt'),
  BROKER_TLS_KEY: join(folder, 'live.key'),
})

/** The subject of the certificate that the broker serves. */
async function serving(port: number): Promise<string> {
  const socket: TLSSocket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const { subject } = socket.getPeerCertificate()
  socket.destroy()
  return String(subject.CN)
}

/** The protocol and cipher that a client with these options agrees on; the code of its error. */
async function agree(port: number, options: ConnectionOptions): Promise<string> {
  const more = { ...options, port, host: '127.0.0.1', rejectUnauthorized: false }
  const socket: TLSSocket = connect(more)
  try {
    await once(socket, 'secureConnect')
    return `${socket.getProtocol()} ${socket.getCipher().name}`
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code)
  } finally {
    socket.destroy()
  }
}

/** TLS 1.2 and 1.3 with forward secrecy and authenticated encryption only (RFC 9325 3.1.1, 4.2). */
async function checkProtocols(t: Test, port: number): Promise<void> {
  t.match(await agree(port, {}), /^TLSv1\.3 TLS_/)
  t.match(await agree(port, { maxVersion: 'TLSv1.2' }), /^TLSv1\.2 ECDHE-\S+-(GCM|POLY1305)/)
  const weak = { ciphers: 'ALL:@SECLEVEL=0' }
  const old = { ...weak, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' } as const
  t.match(await agree(port, old), 'PROTOCOL_VERSION')
  for (const cipher of ['ECDHE-ECDSA-AES128-SHA', 'ECDHE-ECDSA-AES256-SHA384', 'AES128-SHA']) {
    const ciphers = `${cipher}:@SECLEVEL=0`
    t.match(await agree(port, { ciphers, maxVersion: 'TLSv1.2' }), 'HANDSHAKE_FAILURE', cipher)
  }
}

async function start(t: Test, folder: string) {
  const port = await freePort()
  const config = loadConfig(settings(folder, port), { serve: true })
  const logged: string[] = []
  const log = createLog(config, { write: (line: string) => logged.push(line) > 0 })
  const broker = await startBroker(config, log)
  t.teardown(() => broker.stop())
  return { port, logged }
}

t.test('serves https, and loads a renewed certificate without a restart', async (t) => {
  const folder = temporaryFolder(t)
  for (const name of ['first', 'second']) createCertificate(folder, name)
  const install = (cert: string, key = cert) => {
    copyFileSync(join(folder, `${cert}.crt`), join(folder, 'live.crt'))
    copyFileSync(join(folder, `${key}.key`), join(folder, 'live.key'))
  }
  install('first')
  const { port, logged } = await start(t, folder)
  t.equal(await serving(port), 'first')
  const status = await new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', path: '/healthz', rejectUnauthorized: false }
    const asked = request(options, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
    asked.on('error', reject).end()
  })
  t.equal(status, 200)
  await checkProtocols(t, port)

  // Half written: the current one stays, and one error is logged.
  install('second', 'first')
  process.emit('SIGHUP')
  process.emit('SIGHUP')
  t.equal(await serving(port), 'first')
  t.equal(logged.filter((line) => line.includes('still using the current one')).length, 1)

  install('second')
  process.emit('SIGHUP')
  t.equal(await serving(port), 'second')
  await checkProtocols(t, port)
  process.emit('SIGHUP')
  t.equal(logged.filter((line) => line.includes('loaded the renewed')).length, 1)
})

t.test('SIGHUP loads a renewed certificate, and does not stop the process', async (t) => {
  const folder = temporaryFolder(t)
  for (const name of ['live', 'second']) createCertificate(folder, name)
  const port = await freePort()
  const child = runCli(['serve'], settings(folder, port))
  const closed = once(child, 'close')
  t.teardown(() => child.kill('SIGKILL'))
  await waitForOutput(child, /ready at/)
  t.equal(await serving(port), 'live')
  for (const kind of ['crt', 'key']) {
    copyFileSync(join(folder, `second.${kind}`), join(folder, `live.${kind}`))
  }
  const renewed = waitForOutput(child, /loaded the renewed certificate/)
  child.kill('SIGHUP')
  await renewed
  t.equal(await serving(port), 'second')
  child.kill('SIGTERM')
  t.strictSame(await closed, [0, null])
})

t.test('SIGHUP has no effect on a broker without a certificate', async (t) => {
  const { child, url, stop } = await serve(t, {
    ELLIPSIS_CLIENT_ID: 'id',
    ELLIPSIS_CLIENT_SECRET: 'secret',
    BROKER_DATA_DIR: temporaryFolder(t),
  })
  const told = waitForOutput(child, /SIGHUP/)
  child.kill('SIGHUP')
  await told
  t.equal((await fetch(`${url}/readyz`)).status, 200)
  t.equal(await stop(), 0)
})

t.test('the broker does not start with an invalid certificate', async (t) => {
  const folder = t.testdir({ 'live.crt': 'nonsense', 'live.key': 'nonsense' })
  await t.rejects(start(t, folder), { name: 'StartError', message: /BROKER_TLS_CERT/ })
  writeFileSync(join(folder, 'live.crt'), '')
})

t.test('a certificate without a key, or a key without a certificate, is reported', async (t) => {
  for (const name of ['BROKER_TLS_CERT', 'BROKER_TLS_KEY']) {
    t.throws(() => loadConfig({ [name]: 'x' }), /is not set, but BROKER_TLS_/)
  }
})

t.test('a certificate and key with byte-order marks and Windows line ends are used', async (t) => {
  const folder = temporaryFolder(t)
  createCertificate(folder, 'live')
  for (const name of ['live.crt', 'live.key']) {
    const file = join(folder, name)
    writeFileSync(file, `\uFEFF${readFileSync(file, 'utf8').replaceAll('\n', '\r\n')}`)
  }
  const { port } = await start(t, folder)
  t.equal(await serving(port), 'live')
})
