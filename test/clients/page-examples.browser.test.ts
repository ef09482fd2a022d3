/** Runs the examples that are pages in Chromium: docs/connect/page.md and popup.md, and the page of README.md. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BrowserContext, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import type { App } from '../../db/store.ts'
import { launch, noBrowser, visit } from '../browser/chromium.ts'
import { findGrant } from '../db/rows.ts'
import { addApp, buildBroker } from '../helper.ts'
import { listen } from '../listen.ts'
import { codeBlock } from './code-block.ts'

const DAY_MS = 86_400_000
const root = join(import.meta.dirname, '../..')
const library = readFileSync(join(root, 'node_modules/oauth4webapi/build/index.js'), 'utf8')

/** Serves an example's files, for an app of their origin. */
async function startExample(
  t: Test,
  redirectPath: string,
  settings: Partial<App>,
  filesOf: (adapt: (text: string) => string) => Record<string, string>,
) {
  const broker = await buildBroker(t)
  let files: Record<string, string> = {}
  const here = await listen(t, ({ url = '' }, response) => {
    const path = new URL(url, 'http://127.0.0.1').pathname
    response.setHeader('content-type', path.endsWith('.js') ? 'text/javascript' : 'text/html')
    response.end(files[path])
  })
  const app = await addApp(broker, { redirectUris: [here + redirectPath], ...settings })
  const adapt = (text: string): string =>
    text
      .replace('https://broker.example.com', broker.url)
      .replace('app_…', app.id)
      .replace('https://api.ellipsis-drive.com/v3', broker.env.ELLIPSIS_API_URL ?? '')
  files = { '/oauth4webapi.js': library, ...filesOf(adapt) }
  const context = await visit(t, await launch(t))
  await context.clock.install()
  return { broker, app, here, context }
}

type Example = Awaited<ReturnType<typeof startExample>>

/** Begins to connect, and answers on the broker's page. Returns the page that asks, which may be a popup. */
type Ask = (answer: 'Deny' | 'Continue to Ellipsis Drive') => Promise<Page>

/** What every page has to survive. It is open, and not connected. */
async function testExample(
  t: Test,
  { broker, app, here, page, ask }: Example & { page: Page; ask: Ask },
): Promise<void> {
  const connected = page.getByText(/^Connected as amelie$/)
  const reloadAfter = async (milliseconds: number) => {
    await page.goto('about:blank')
    broker.clock.advance(milliseconds)
    await page.context().clock.fastForward(milliseconds)
    await page.goto(here)
  }
  await ask('Deny')
  await page.getByText('You refused').waitFor()
  await page.reload()
  const asking = await ask('Continue to Ellipsis Drive')
  await asking.getByRole('button', { name: 'Log in as Amelie Laurent' }).click()
  await asking.getByRole('button', { name: 'Allow' }).click()
  await connected.waitFor()
  t.notMatch(page.url(), '?', 'the response is gone from the URL')

  const { jti } = (await findGrant(broker.services.store, app.id)) ?? {}
  await reloadAfter(16 * DAY_MS)
  await connected.waitFor()
  t.not((await findGrant(broker.services.store, app.id))?.jti, jti, 'the token was renewed')
  await reloadAfter(60_000)
  await connected.waitFor()
  const grant = await findGrant(broker.services.store, app.id)
  t.type(grant?.jtiUsedAt, 'number', 'the newer token is in use')

  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
  await reloadAfter(3_600_000)
  await page.getByText(/^Ellipsis Drive ended th(e|is) connection/).waitFor()
  await ask('Continue to Ellipsis Drive')
  await connected.waitFor()

  await reloadAfter(31 * DAY_MS)
  await page.getByText(/^Th(e|is) connection has ended/).waitFor()
}

/** Tests a page that leaves for the broker and comes back. */
async function testRedirects(t: Test, example: Example): Promise<void> {
  const page = await example.context.newPage()
  await page.goto(example.here)
  const ask: Ask = async (answer) => {
    await clickConnect(page)
    await page.getByRole('button', { name: answer }).click()
    return page
  }
  await testExample(t, { ...example, page, ask })
}

const clickConnect = (page: Page) =>
  page.getByRole('button', { name: /^Connect (Ellipsis Drive|again)$/ }).click()

t.test('page.md', { skip: noBrowser }, async (t) => {
  const example = await startExample(t, '/', { dpop: 'required' }, (adapt) => ({
    '/': adapt(codeBlock('page', 'html')).replace(/https:\/\/cdn[^"]*/, '/oauth4webapi.js'),
  }))
  await testRedirects(t, example)
})

t.test('README.md: a layer on a map', { skip: noBrowser }, async (t) => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const [, html = ''] = /```html\n([^]*?)```/.exec(readme) ?? []
  const leaflet = (file: string) =>
    readFileSync(join(root, 'node_modules/leaflet/dist', file), 'utf8')
  const { context, here, broker } = await startExample(t, '/', {}, (adapt) => ({
    '/': adapt(html)
      .replaceAll('http://localhost:4000', adapt('https://broker.example.com'))
      .replaceAll('https://unpkg.com/leaflet@1.9.4/dist', ''),
    '/leaflet.js': leaflet('leaflet.js'),
    '/leaflet.css': leaflet('leaflet.css'),
  }))
  const page = await context.newPage()
  await page.goto(here)
  const tile = page.waitForResponse(
    (response) => response.url().startsWith(`${broker.url}/l/`) && response.ok(),
  )
  const popup = await openPopup(context, page)
  await popup.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
  await popup.getByRole('button', { name: 'Log in as Amelie Laurent' }).click()
  await popup.getByRole('button', { name: 'Allow' }).click()
  await tile
  await page.reload()
  await page.locator('.leaflet-tile-loaded').first().waitFor()
  t.equal(context.pages().length, 1, 'the popup has closed itself')
})

t.test('popup.md', { skip: noBrowser }, async (t) => {
  const example = await startExample(t, '/connected.html', {}, (adapt) => ({
    '/connected.html': codeBlock('popup', 'html'),
    '/map.js': adapt(codeBlock('popup', 'js')),
    '/': `<!doctype html><link rel="icon" href="data:,">
      <script type="importmap">{ "imports": { "oauth4webapi": "/oauth4webapi.js" } }</script>
      <button id="connect" hidden>Connect Ellipsis Drive</button><p id="who"></p>
      <script type="module" src="/map.js"></script>`,
  }))
  const page = await example.context.newPage()
  await page.goto(example.here)
  const popup = await openPopup(example.context, page)
  await popup.getByRole('button', { name: 'Deny' }).waitFor()
  await popup.close()
  await page.getByText('You closed the window').waitFor()
  const ask: Ask = async (answer) => {
    const popup = await openPopup(example.context, page)
    await popup.getByRole('button', { name: answer }).click()
    return popup
  }
  await testExample(t, { ...example, page, ask })
  t.equal(example.context.pages().length, 1, 'the popups have closed themselves')
})

async function openPopup(context: BrowserContext, page: Page): Promise<Page> {
  const [popup] = await Promise.all([context.waitForEvent('page'), clickConnect(page)])
  return popup
}
