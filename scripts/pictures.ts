/**
 * Takes screenshots of every page in test/pages.ts: `npm run pictures [-- DIRECTORY [NAME…]]`, default
 * directory `pictures`; with names, of those pages only. Each page at 390 and 1440 pixels width, light and
 * dark, with and without data.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { signInBrowser } from '../test/admin.ts'
import { startChromium, noBrowser } from '../test/browser/chromium.ts'
import { buildBroker } from '../test/helper.ts'
import { pages } from '../test/pages.ts'
import type { TestedPage } from '../test/pages.ts'
import { fillPages } from '../test/pages/data.ts'

const SIZES = [
  { width: 390, height: 844 },
  { width: 1440, height: 900 },
]
const SCHEMES = ['light', 'dark'] as const

const [out = 'pictures', ...names] = process.argv.slice(2)
if (noBrowser) throw new Error(noBrowser)

/** In place of a test: collects teardowns. */
const teardowns: (() => unknown)[] = []
const t = { teardown: (work: () => unknown) => void teardowns.unshift(work) }

try {
  mkdirSync(out, { recursive: true })
  const browser = await startChromium()
  t.teardown(() => browser.close())
  for (const state of ['data', 'empty'] as const) await takeScreenshots(browser, state)
} finally {
  for (const work of teardowns) await work()
}

/** Screenshots of all pages in one state, in two browser contexts: a visitor and a signed-in admin. */
async function takeScreenshots(browser: Browser, state: 'data' | 'empty'): Promise<void> {
  const broker = await buildBroker(t)
  const data = state === 'data' ? await fillPages(broker) : null
  const [anonymous, admin] = [await browser.newContext(), await browser.newContext()]
  const secret = (await broker.services.setup.invite())?.reveal() ?? null
  let isSignedIn = false
  const take = async ({ name, act, anonymous: isAnonymous }: TestedPage, address: string) => {
    const page = await (isAnonymous ? anonymous : admin).newPage()
    await page.goto(broker.url + address)
    await act?.(page)
    for (const size of SIZES) {
      await page.setViewportSize(size)
      for (const colorScheme of SCHEMES) {
        await page.emulateMedia({ colorScheme })
        const file = `${name}.${state}.${size.width}.${colorScheme}.png`
        await page.screenshot({ path: join(out, file), fullPage: true })
      }
    }
    await page.close()
  }
  for (const page of pages) {
    const address = page.path(data, secret)
    if (!page.anonymous && !isSignedIn) await signInBrowser(broker, admin)
    isSignedIn ||= !page.anonymous
    if (address !== null && (names.length === 0 || names.includes(page.name))) {
      await take(page, address)
    }
  }
}
