/** Sessions in Chromium over https, with docs/connect/session.md as the page. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { addApp, buildBroker } from '../helper.ts'
import { codeBlock } from '../clients/code-block.ts'
import { findGrant } from '../db/rows.ts'
import { temporaryFolder } from '../temporary.ts'
import { noBrowser, startChromium, visit } from './chromium.ts'

const BROKER = 'https://broker.site.test'
const PAGE = 'https://app.site.test'
/** On the same site, so that browsers send the cookie; no app has registered it. */
const SIBLING = 'https://sibling.site.test'
const OTHER_SITE = 'https://evil.test'

function createCertificate(t: Test): { cert: string; key: string } {
  const folder = temporaryFolder(t)
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const options = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const files = ['-keyout', key, '-out', cert, '-subj', '/CN=site.test', '-days', '2']
  execFileSync('openssl', [...options, ...files], { stdio: 'ignore' })
  return { cert, key }
}

/** Starts broker, app and Chromium, which finds each host name at its port of this machine. */
async function start(t: Test) {
  const { cert, key } = createCertificate(t)
  const broker = await buildBroker(t, {
    env: { BROKER_PUBLIC_URL: BROKER, BROKER_TLS_CERT: cert, BROKER_TLS_KEY: key },
  })
  const app = await addApp(broker, {
    redirectUris: [`${PAGE}/`],
    session: 'cookie',
    access: 'proxy',
  })
  const example = codeBlock('session', 'html')
    .replace('https://broker.example.com', BROKER)
    .replace('app_…', app.id)
  const received: string[] = []
  const options = { cert: readFileSync(cert), key: readFileSync(key) }
  const pages = createServer(options, ({ headers }, response) => {
    received.push(JSON.stringify(headers))
    response.setHeader('content-type', 'text/html')
    response.end(`https://${headers.host}` === PAGE ? example : '<title>another page</title>')
  }).listen(0, '127.0.0.1')
  await once(pages, 'listening')
  t.teardown(() => {
    pages.closeAllConnections()
    pages.close()
  })
  const at = (port: number) => `127.0.0.1:${port}`
  const ofPages = at((pages.address() as AddressInfo).port)
  const rules = [
    `MAP ${new URL(BROKER).host} ${at(Number(broker.env.BROKER_PORT))}`,
    `MAP *.site.test ${ofPages}`,
    `MAP evil.test ${ofPages}`,
  ]
  const browser = await startChromium([`--host-resolver-rules=${rules.join(', ')}`])
  t.teardown(() => browser.close())
  const context = await visit(t, browser, { ignoreHTTPSErrors: true })
  return { broker, app, context, received }
}

t.test('a page on the same site works with its session alone', { skip: noBrowser }, async (t) => {
  const { broker, app, context, received } = await start(t)
  const page = await context.newPage()
  await page.goto(PAGE)
  await page.getByText('Not connected').waitFor()
  await page.getByRole('button', { name: 'Connect' }).click()
  await page.getByRole('button', { name: 'Deny' }).click()
  await page.getByText('You refused').waitFor()
  await page.getByRole('button', { name: 'Connect' }).click()
  // The stand-in is on another site: the broker sets the cookie in a chain of redirects from there.
  await page.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
  await page.getByRole('button', { name: 'Log in as Amelie Laurent' }).click()
  await page.getByRole('button', { name: 'Allow' }).click()
  await page.getByText('Connected as amelie').waitFor()
  t.equal(page.url(), `${PAGE}/`)

  const name = `__Host-session-${app.id}`
  const cookie = (await context.cookies(BROKER)).find((each) => each.name === name)
  t.match(cookie, { httpOnly: true, secure: true, sameSite: 'Strict', path: '/' })
  t.match(cookie?.domain, /^broker\.site\.test$/)
  const token = cookie?.value ?? '-'
  const visible = await page.evaluate(async () => {
    const stores = [JSON.stringify(localStorage), JSON.stringify(sessionStorage)]
    return [document.cookie, document.documentElement.outerHTML, location.href, ...stores].join()
  })
  t.notOk(visible.includes(token), 'no script can read the token')
  t.notOk(received.join('').includes(token), 'the app’s own server does not get it')

  await page.reload()
  await page.getByText('Connected as amelie').waitFor()
  const tab = await context.newPage()
  await tab.goto(PAGE)
  await tab.getByText('Connected as amelie').waitFor()

  await t.test('other pages cannot use it', async (t) => {
    for (const origin of [SIBLING, OTHER_SITE]) {
      const other = await context.newPage()
      await other.goto(origin)
      const results = await other.evaluate(
        async ([url, id]) => {
          const attempt = (options: RequestInit) =>
            fetch(url as string, { credentials: 'include', ...options }).then(
              (answer) => `${answer.type} ${answer.status}`,
              () => 'refused',
            )
          const headers = { 'x-client-id': id as string }
          return {
            withHeader: await attempt({ headers }),
            signOut: await attempt({ headers, method: 'DELETE' }),
            withoutHeader: await attempt({}),
            noCors: await attempt({ mode: 'no-cors', headers }),
          }
        },
        [`${BROKER}/session`, app.id],
      )
      t.match(results, { withHeader: 'refused', signOut: 'refused', withoutHeader: 'refused' })
      t.equal(results.noCors, 'opaque 0')
      await other.setContent(
        `<form method="post" action="${BROKER}/session?_method=DELETE"><button>Go</button></form>`,
      )
      const [posted] = await Promise.all([
        other.waitForResponse(`${BROKER}/session**`),
        other.getByRole('button', { name: 'Go' }).click(),
      ])
      t.ok(posted.status() >= 400, `${origin}: ${posted.status()}`)
      await other.close()
    }
    t.equal((await findGrant(broker.services.store, app.id))?.revokedAt, null)
  })

  await page.reload()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByText('Signed out').waitFor()
  await tab.reload()
  await tab.getByText('Not connected').waitFor()
  t.ok((await findGrant(broker.services.store, app.id))?.revokedAt)
  const left = (await context.cookies(BROKER)).filter((each) => each.name === name)
  t.strictSame(left, [])
})

t.test('a page on another site gets no session', { skip: noBrowser }, async (t) => {
  const { broker, app, context } = await start(t)
  // Older data, or a public suffix that only browsers know.
  const origins = [...app.origins, OTHER_SITE]
  await broker.services.store.updateApp(app, { ...app, origins }, [])
  const page = await context.newPage()
  await page.goto(OTHER_SITE)
  const answer = await page.evaluate(
    async ([url, id]) => {
      const headers = { 'x-client-id': id as string }
      const sent = await fetch(url as string, { credentials: 'include', headers })
      return { status: sent.status, body: (await sent.json()) as object }
    },
    [`${BROKER}/session`, app.id],
  )
  t.match(answer, { status: 403, body: { error_description: /another site than the broker/ } })
})
