import { join } from 'node:path'
import { build } from 'esbuild'
import type { Loader, Plugin } from 'esbuild'
import type { Page } from 'playwright-core'
import type { Test } from 'tap'
import type { App } from '../../../db/store.ts'
import { launch, visit } from '../../browser/chromium.ts'
import { codeBlock } from '../../clients/code-block.ts'
import { addApp, buildBroker } from '../../helper.ts'
import type { TestBroker } from '../../helper.ts'
import { listen } from '../../listen.ts'
import { allow } from '../page.ts'

const root = join(import.meta.dirname, '../../..')
/** Where most of the map libraries are installed. */
const libraries = join(root, 'test/clients/libraries')

const pageWith = (body: string) => `<!doctype html><meta charset="utf-8">
<link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css">${body}
<script type="module" src="/app.js"></script>`
const BODY = '<button id="connect">Connect Ellipsis Drive</button><div id="map"></div>'
const CSS = '#map { position: relative; height: 500px } .leaflet-pane img { position: absolute }'

/** A page of docs/connect/map.md. */
interface Example {
  section: string
  language?: Loader & ('js' | 'jsx')
  settings?: Partial<App>
  body?: string
  /** Code after the example's. */
  more?: (broker: TestBroker) => string
}

interface OpenPage {
  broker: TestBroker
  page: Page
  /** Statuses of the tiles that the page has loaded, by their URLs. */
  tiles: Map<string, number>
}

/** Bundles an example as a developer would, serves it on an origin of its own and opens it. */
export async function openExample(t: Test, example: Example): Promise<OpenPage> {
  const { language = 'js', settings } = example
  const broker = await buildBroker(t)
  const files = new Map<string, string>()
  const origin = await listen(t, ({ url = '' }, response) => {
    const { pathname } = new URL(url, 'http://127.0.0.1')
    const type = { js: 'text/javascript', css: 'text/css' }[pathname.split('.')[1] ?? '']
    response.setHeader('content-type', type ?? 'text/html')
    response.end(files.get(pathname) ?? pageWith(example.body ?? BODY))
  })
  const url = `${origin}/`
  const app = await addApp(broker, { redirectUris: [url], ...settings })
  const adapt = (code: string) =>
    code.replace('https://broker.example.com', broker.url).replace('app_…', app.id)
  const source = adapt(codeBlock('map', language, example.section)) + (example.more?.(broker) ?? '')
  const bundled = await build({
    stdin: { contents: source, resolveDir: libraries, loader: language },
    ...{ bundle: true, write: false, outdir: '/', format: 'esm', target: 'es2022' },
    jsx: 'automatic',
    // One React for the page and the hook, as in a project of its own.
    alias: { react: join(libraries, 'node_modules/react') },
    plugins: [resolveSdk(adapt(codeBlock('map', 'js')))],
  })
  files.set('/app.js', bundled.outputFiles[0]?.text ?? '')
  files.set('/style.css', CSS)

  const context = await visit(t, await launch(t))
  const page = await context.newPage()
  await page.clock.install()
  const tiles = new Map<string, number>()
  page.on('response', (response) => {
    if (response.url().includes('/tile/')) tiles.set(response.url(), response.status())
  })
  await page.goto(url)
  return { broker, page, tiles }
}

/** Resolves the package's exports, and the module `drive.js` of the document. */
const resolveSdk = (drive: string): Plugin => ({
  name: 'sdk',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^ellipsis-broker\// }, ({ path }) => {
      const name = path.split('/')[1] ?? ''
      return { path: join(root, 'sdk', name === 'client' ? 'client.ts' : `adapters/${name}.ts`) }
    })
    onResolve({ filter: /^\.\/drive\.js$/ }, ({ path }) => ({ path, namespace: 'drive' }))
    onLoad({ filter: /./, namespace: 'drive' }, () => ({ contents: drive, resolveDir: libraries }))
  },
})

/** Connects as Amelie in a popup. */
export async function connectInPopup(page: Page): Promise<void> {
  const [popup] = await Promise.all([
    page.waitForEvent('popup'),
    page.getByRole('button', { name: 'Connect Ellipsis Drive' }).click(),
  ])
  const closed = popup.waitForEvent('close')
  await allow(popup)
  await closed
}

/** Waits until the map shows terrain: a picture with many colours takes many bytes. */
export async function waitForTerrain(page: Page): Promise<void> {
  for (;;) {
    const picture = await page.locator('#map').screenshot({ type: 'png' })
    if (picture.length > 100_000) return
    await page
      .waitForEvent('response', ({ url }) => url().includes('/tile/'))
      .catch(() => undefined)
  }
}
