import t from 'tap'
import { loadConfig } from '../../server/config/config.ts'
import { runChecks } from '../../server/operate/doctor/doctor.ts'
import { judgeCertificate, judgeProxy } from '../../server/operate/doctor/public-checks.ts'
import { runtime } from '../../server/runtime.ts'
import { buildBroker, freePort } from '../helper.ts'
import { noNginx, startNginx } from '../nginx.ts'

t.test('the proxy’s headers are checked', { skip: noNginx }, async (t) => {
  // nginx's certificate is self-signed; this hides Node's warning about it in the test's output.
  t.capture(process, 'emitWarning')
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  t.teardown(() => delete process.env.NODE_TLS_REJECT_UNAUTHORIZED)

  const behind = async (headers?: Record<string, string>, trusted?: string) => {
    const port = await freePort()
    // For the broker this address belongs to another machine.
    const publicUrl = { BROKER_PUBLIC_URL: `https://127.0.0.2:${port}` }
    const env = { ...publicUrl, ...(trusted !== undefined && { BROKER_TRUST_PROXY: trusted }) }
    const broker = await buildBroker(t, { env })
    await startNginx(t, { port, path: '', upstream: broker.url, ...(headers && { headers }) })
    const findings = await runChecks(loadConfig(broker.env), runtime)
    return Object.fromEntries(findings.map(({ check, ...result }) => [check, result]))
  }

  t.match(await behind(undefined, '10.0.0.1,127.0.0.0/8'), {
    'public URL': { status: 'ok' },
    certificate: { status: 'warning', finding: /doesn’t trust it \(\w*SELF_SIGNED/ },
    'proxy headers': {
      status: 'ok',
      finding: 'X-Forwarded-For is trusted from 10.0.0.1, 127.0.0.0/8',
    },
  })
  t.match(await behind(), {
    'proxy headers': { status: 'problem', fix: /^Set BROKER_TRUST_PROXY to 127\.0\.0\.1,/ },
  })
  // A proxy that sets no header forwards the visitor's own.
  t.match(await behind({ 'X-Unneeded': 'x' }, '127.0.0.1'), {
    'proxy headers': { status: 'warning', finding: /can claim any address/ },
  })
  const adding = { Host: '$host', 'X-Forwarded-For': '$proxy_add_x_forwarded_for' }
  t.match(await behind(adding, '127.0.0.1'), {
    'proxy headers': { status: 'warning', finding: /can claim any address/, fix: /test from/ },
  })
})

t.test('proxies and certificates are judged', async (t) => {
  const proxy = (publicUrl: string, trustProxy: string[], more = {}) =>
    judgeProxy(
      { publicUrl, trustProxy, tls: null, ...more },
      { plain: '203.0.113.7', forged: '203.0.113.7' },
    )
  const tls = { certFile: '/a', keyFile: '/b' }
  t.match(proxy('http://127.0.0.1', []), { status: 'ok' })
  t.match(proxy('https://x.example', []), { status: 'warning' })
  t.match(proxy('https://x.example', [], { tls }), { status: 'ok', finding: /https itself/ })
  t.match(proxy('https://x.example', ['10.0.0.1']), { status: 'ok' })
  t.match(proxy('https://x.example', ['0.0.0.0/0']), { status: 'problem' })

  const now = Date.UTC(2026, 6, 1)
  const DAY_MS = 86_400_000
  t.match(judgeCertificate(now + 60 * DAY_MS, null, now), {
    status: 'ok',
    finding: 'valid until 2026-08-30',
  })
  t.match(judgeCertificate(now + 13 * DAY_MS, null, now), {
    status: 'warning',
    finding: /2026-07-14/,
  })
  t.match(judgeCertificate(now - 1, null, now), { status: 'problem', finding: /2026-06-30/ })
  t.match(judgeCertificate(now - 1, 'CERT_HAS_EXPIRED', now), { status: 'problem' })
})
