import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { BrowserContext, Page } from 'playwright-core'
import type { Test } from 'tap'
import type { AppSettings } from '../../server/oauth/app-settings.ts'
import type { Client, ClientOptions } from '../../sdk/client.ts'
import { launch, visit } from '../browser/chromium.ts'
import { addApp, buildBroker } from '../helper.ts'
import type { TestOptions } from '../helper.ts'

declare global {
  var sdk: { client: Client; createClient: (options: ClientOptions) => Client; events: string[] }
}

/** How a page is set up. */
interface PageOptions {
  broker?: TestOptions
  app?: Partial<AppSettings>
  /** Options of `createClient`, as JSON. */
  client?: Partial<ClientOptions>
  /** Statements before the SDK is used. */
  prelude?: string
  /** Headers of the page. */
  headers?: Record<string, string>
}

/**
 * A broker, and a page of an app at another origin that uses its `/sdk.js`. `window.sdk` has the client, and every
 * event that it emitted.
 */
export async function startPage(t: Test, options: PageOptions = {}) {
  const broker = await buildBroker(t, options.broker)
  let script = ''
  const server = createServer((request, response) => {
    const isScript = request.url === '/app.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    for (const [name, value] of Object.entries(options.headers ?? {})) {
      response.setHeader(name, value.replaceAll('BROKER', broker.url))
    }
    response.end(isScript ? script : HTML.replaceAll('BROKER', broker.url))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://localhost:${(server.address() as AddressInfo).port}/`
  const app = await addApp(broker, { redirectUris: [url], ...options.app })
  const clientOptions = { broker: broker.url, clientId: app.id, ...options.client }
  script = `${options.prelude ?? ''}
import { createClient } from '${broker.url}/sdk.js'
const client = createClient(${JSON.stringify(clientOptions)})
const events = []
globalThis.sdk = { client, createClient, events }
const show = (text) => (document.querySelector('#state').textContent = text)
const state = async () => show((await client.isConnected()) ? 'connected' : 'not connected')
for (const event of ['connected', 'disconnected', 'reconnect-required']) {
  client.on(event, () => { events.push(event); void state() })
}
const fail = (error) => show(error.code + ': ' + error.message)
for (const how of ['popup', 'redirect']) {
  document.querySelector('#' + how).onclick = () => client.connect({ [how]: true }).then(state, fail)
}
try { sdk.handled = await client.handleRedirect(); await state() } catch (error) { fail(error) }
document.querySelector('#ready').hidden = false`
  const context = await visit(t, await launch(t))
  return { broker, url, app, context }
}

const HTML = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>Map</title>
<button id="popup">Popup</button><button id="redirect">Redirect</button>
<p id="state"></p><p id="ready" hidden>ready</p>
<script type="module" src="/app.js"></script>`

/** Opens the page, and waits until it has called `handleRedirect`. */
export async function openPage(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage()
  await page.goto(url)
  await page.locator('#ready').waitFor()
  return page
}

/** Allows on the pages of broker and Ellipsis Drive, in a window that the app opened or left. */
export async function allow(window: Page): Promise<void> {
  await window.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
  const login = window.getByRole('button', { name: 'Log in as Amelie Laurent' })
  const allowButton = window.getByRole('button', { name: 'Allow' })
  await login.or(allowButton).click()
  // The last step leaves the window, or closes it.
  if (
    await login
      .or(allowButton)
      .isVisible()
      .catch(() => false)
  )
    await allowButton.click()
}

/** Connects in a popup. */
export async function connectInPopup(page: Page): Promise<void> {
  const [popup] = await Promise.all([
    page.waitForEvent('popup'),
    page.getByRole('button', { name: 'Popup' }).click(),
  ])
  await allow(popup)
  await isShown(page, 'connected')
}

export const isShown = (page: Page, text: string) =>
  page.locator('#state').getByText(text, { exact: true }).waitFor()
