import { join } from 'node:path'
import { build } from 'esbuild'
import type { Loader, Plugin } from 'esbuild'
import type { Page } from 'playwright-core'
import type { Test } from 'tap'
import { launch, visit } from '../../browser/chromium.ts'
import { addApp, buildBroker } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { listen } from '../../listen.ts'
import { codeBlock } from '../code-block.ts'

const HTML = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<button id="connect" hidden>Connect Ellipsis Drive</button><p id="who"></p><div id="root"></div>
<script type="module" src="/app.js"></script>`

/** A page of an app, and the way to bundle and start it. */
interface Example {
  language: Loader & ('js' | 'jsx' | 'ts')
  /** Changes the code block for a test: only what a broker without TLS needs, and what mounts the page. */
  adapt?: (source: string) => string
  /** A module to evaluate before all of the example's. */
  prelude?: string
}

/** Bundles an example of docs/connect/browser.md for a broker, and serves it on a port of its own. */
async function startPage(t: Test, broker: TestBroker, example: Example) {
  let script = ''
  const origin = await listen(t, (request, response) => {
    const isScript = request.url === '/app.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? script : HTML)
  })
  const url = `${origin}/`
  const app = await addApp(broker, { tokens: 'ellipsis', redirectUris: [url] })
  const source = codeBlock('browser', example.language)
    .replace('https://broker.example.com', broker.url)
    .replace('app_…', app.id)
    .replace('https://map.example.com/', url)
    .replace('https://api.ellipsis-drive.com/v3', broker.env.ELLIPSIS_API_URL ?? '')
  const react = (name: string) => join(import.meta.dirname, 'node_modules', name)
  const bundled = await build({
    stdin: {
      contents: `import 'prelude'\n${example.adapt?.(source) ?? source}`,
      resolveDir: import.meta.dirname,
      loader: example.language,
    },
    ...{ bundle: true, write: false, format: 'esm', target: 'es2022', jsx: 'automatic' },
    // One React for the page and the library, as in a project of its own.
    alias: { react: react('react'), 'react-dom': react('react-dom') },
    plugins: [preludePlugin(example.prelude ?? '')],
  })
  script = bundled.outputFiles[0]?.text ?? ''
  return { url, app }
}

/** Resolves the module `prelude`. */
const preludePlugin = (contents: string): Plugin => ({
  name: 'prelude',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^prelude$/ }, ({ path }) => ({ path, namespace: 'prelude' }))
    onLoad({ filter: /./, namespace: 'prelude' }, () => ({
      contents,
      resolveDir: import.meta.dirname,
    }))
  },
})

const DAY_MS = 86_400_000

/** Takes an example through all that can happen to a page: see docs/connect/browser.md. */
export async function testExample(t: Test, example: Example): Promise<void> {
  const broker = await buildBroker(t)
  const { url } = await startPage(t, broker, example)
  const context = await visit(t, await launch(t))
  await context.clock.install()
  const page = await context.newPage()
  const advance = async (byMs: number) => {
    broker.clock.advance(byMs)
    await context.clock.fastForward(byMs)
  }
  const connected = page.getByText('amelie is connected as amelie')

  await page.goto(url)
  await beginConnect(page)
  await page.getByRole('button', { name: 'Deny' }).click()
  await page.getByText('You refused').waitFor()
  t.equal(page.url(), url, 'the error is gone from the URL')
  await page.reload()
  await beginConnect(page)
  await page.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
  await page.getByRole('button', { name: 'Log in as Amelie Laurent' }).click()
  await page.getByRole('button', { name: 'Allow' }).click()
  await connected.waitFor()
  t.equal(page.url(), url, 'the code is gone from the URL')

  await page.reload()
  await connected.waitFor()
  t.equal(page.url(), url, 'a reload needs no sign-in')

  const first = waitForRefresh(page)
  await advance(3_590_000)
  const { sent, status } = await first
  t.equal(status, 200, 'refreshed by itself')

  const comeBackAfter = async (days: number) => {
    await page.goto('about:blank')
    await advance(days * DAY_MS)
    const refreshed = waitForRefresh(page)
    await page.goto(url)
    return refreshed
  }
  t.strictSame(await comeBackAfter(16), { sent, status: 200 }, 'no new one before half its life')
  await connected.waitFor()
  const next = waitForRefresh(page)
  await advance(3_590_000)
  const used = await next
  t.equal(used.status, 200)
  t.not(used.sent, sent, 'the broker renewed its token, and the page uses the newer one')

  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
  t.match(await comeBackAfter(2), { status: 400 })
  await page.getByText('The connection has ended').waitFor()
  await beginConnect(page)
  await page.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
  await connected.waitFor()
}

async function beginConnect(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Connect Ellipsis Drive' }).click()
}

/**
 * Waits until the page refreshes: the refresh token that it sent, and the status of the answer. Its body is lost if
 * the page leads away at once; what it brought shows in the next refresh.
 */
async function waitForRefresh(page: Page) {
  const response = await page.waitForResponse(
    (response) => response.request().postData()?.includes('grant_type=refresh_token') === true,
  )
  const sent = new URLSearchParams(response.request().postData() ?? '').get('refresh_token')
  return { sent, status: response.status() }
}
