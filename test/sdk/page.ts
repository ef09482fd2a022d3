import type { BrowserContext, Frame, Page } from 'playwright-core'
import type { Test } from 'tap'
import type { AppSettings } from '../../server/oauth/app-settings.ts'
import type { Client, ClientOptions } from '../../sdk/client.ts'
import { launch, startChromium, visit } from '../browser/chromium.ts'
import { addApp, buildBroker } from '../helper.ts'
import type { TestOptions } from '../helper.ts'
import { listen } from '../listen.ts'

declare global {
  var sdk: {
    client: Client
    createClient: (options: ClientOptions) => Client
    events: string[]
    handled: boolean
  }
}

/** How a page is set up. */
interface PageOptions {
  broker?: TestOptions
  app?: Partial<AppSettings>
  /** Options of `createClient`, as JSON. */
  client?: Partial<ClientOptions>
  /** Statements before the SDK is used. */
  prelude?: string
  /** Headers of the page. `BROKER` and `API` stand for their URLs. */
  headers?: Record<string, string>
  /** For a Chromium of its own: its arguments, and those of Playwright that it does not get. */
  chromium?: { with?: string[]; without?: string[] }
}

/**
 * A broker, and a page of an app at another origin that uses its `/sdk.js`. `window.sdk` has the client, and every
 * event that it emitted.
 */
export async function startPage(t: Test, options: PageOptions = {}) {
  const broker = await buildBroker(t, options.broker)
  let [script, url] = ['', '']
  const origin = await listen(t, (request, response) => {
    const isScript = request.url === '/app.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    for (const [name, value] of Object.entries(options.headers ?? {})) {
      const header = value.replaceAll('BROKER', broker.url).replaceAll('API', broker.standInApiUrl)
      response.setHeader(name, header)
    }
    const isFrame = request.url === '/frame'
    response.end(isScript ? script : isFrame ? `<iframe src="${url}"></iframe>` : HTML)
  })
  url = `${origin.replace('127.0.0.1', 'localhost')}/`
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
  const { chromium } = options
  const browser = chromium ? await startChromium(chromium.with, chromium.without) : await launch(t)
  if (chromium) t.teardown(() => browser.close())
  const context = await visit(t, browser)
  /** Moves the clocks of the broker and of the pages. Install that of the pages first. */
  const advance = async (byMs: number) => {
    broker.clock.advance(byMs)
    await context.clock.fastForward(byMs)
  }
  return { broker, url, app, context, advance }
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
  await login.or(allowButton).waitFor()
  if (await login.isVisible()) await login.click()
  await allowButton.click()
}

/** Allows as a user who has allowed before: Ellipsis Drive does not ask again. */
export const allowAgain = (window: Page): Promise<void> =>
  window.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()

/** Clicks, and returns the window that opens. */
export async function openPopup(page: Page | Frame): Promise<Page> {
  const owner = 'frames' in page ? page : page.page()
  const [popup] = await Promise.all([
    owner.waitForEvent('popup'),
    page.getByRole('button', { name: 'Popup' }).click(),
  ])
  return popup
}

/** Connects in a popup. */
export async function connectInPopup(page: Page, allowIn = allow): Promise<void> {
  await allowIn(await openPopup(page))
  await isShown(page, 'connected')
}

export const isShown = (page: Page | Frame, text: string | RegExp) =>
  page.locator('#state').getByText(text, { exact: true }).waitFor()

/** Calls the client in the page. Returns its result, or the error, which has a `code`. */
export const attempt = (
  page: Page | Frame,
  name: 'getToken' | 'user' | 'disconnect',
  options: object = {},
): Promise<Result> =>
  page.evaluate(
    async ([name, options]): Promise<Result> => {
      try {
        return (await sdk.client[name as 'getToken'](options)) ?? {}
      } catch (error) {
        const { code, message, reconnectUrl, retryAfter } = error as Result
        return { code, message, reconnectUrl, retryAfter } as Result
      }
    },
    [name, options] as const,
  )

/** Fields of results and errors. */
interface Result {
  accessToken?: string
  expiresAt?: number
  username?: string
  code?: string
  message?: string
  reconnectUrl?: string
  retryAfter?: number
}
