import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AxeResults } from 'axe-core'
import type { BrowserContext, Page } from 'playwright-core'
import type { Test } from 'tap'
import { signInBrowser } from '../admin.ts'
import { launch, noBrowser, visit } from './chromium.ts'
import { buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { pages } from '../pages.ts'
import { fillPages } from '../pages/data.ts'
import { isLong } from '../size.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Screens, from a phone's to a wide one. The first is the one that axe sees. */
const WIDTHS = isLong ? [1280, 390, 768, 1024, 1440] : [1280, 390]

/** What a page's own script asks for: no page. */
const NO_PAGE = ['/admin/apps/check']

/**
 * Has axe look at every page, light and dark, on a broker of its own. None is wider than its screen. `npm test`
 * leaves out of the empty broker's pages those that look as they do with data.
 */
export function testPages(t: Test, state: 'with data' | 'empty'): void {
  t.test(`axe finds nothing on any page, ${state}`, { skip: noBrowser }, async (t) => {
    const browser = await launch(t)
    const broker = await buildBroker(t)
    const data = state === 'with data' ? await fillPages(broker) : null
    const [stranger, admin] = [await visit(t, browser), await visit(t, browser)]
    const secret = (await broker.services.setup.invite())?.reveal() ?? null
    const reached = new Set<string>()
    for (const context of [stranger, admin]) keepReached(context, broker, reached)
    // A tab for all pages of each: another tab is another process, which costs more than a page.
    const [strangerTab, adminTab] = [await stranger.newPage(), await admin.newPage()]
    let isSignedIn = false

    for (const { name, path, stranger: isStranger, act, hasEmptyState } of pages) {
      const address = path(data, secret)
      if (address === null) continue
      if (!data && !hasEmptyState && !isLong) continue
      if (!isStranger && !isSignedIn) await signInBrowser(broker, admin)
      isSignedIn ||= !isStranger
      await t.test(name, async (t) => {
        const page = isStranger ? strangerTab : adminTab
        await page.emulateMedia({ colorScheme: 'light' })
        await page.goto(broker.url + address)
        await act?.(page)
        await page.evaluate(axe)
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 900 })
          t.strictSame(await page.evaluate(tooWide), [], `${width} wide`)
          if (width !== WIDTHS[0]) continue
          t.strictSame(await violations(page), [], 'light')
          // The scheme alters colours alone.
          await page.emulateMedia({ colorScheme: 'dark' })
          t.strictSame(await violations(page, ['color-contrast', 'link-in-text-block']), [], 'dark')
        }
      })
    }
    if (data)
      t.strictSame(
        htmlRoutes(broker).filter((url) => !reached.has(url)),
        [],
        'all routes',
      )
  })
}

/** Routes that answer with a page. */
const htmlRoutes = ({ app }: TestBroker): string[] =>
  app.routeTable
    .filter(({ method, config }) => [method].flat().includes('GET') && config?.page)
    .flatMap(({ url }) => (NO_PAGE.includes(url) ? [] : [url.replace(/(?<=.)\/$/, '')]))

/** Notes the routes of what is opened there; where several fit, the most exact one. */
function keepReached(context: BrowserContext, broker: TestBroker, reached: Set<string>): void {
  const routes = htmlRoutes(broker)
    .sort((one, other) => one.split(':').length - other.split(':').length)
    .map((pathname) => ({ pathname, pattern: new URLPattern({ pathname }) }))
  context.on('request', (request) => {
    if (!request.isNavigationRequest() || request.method() !== 'GET') return
    const { origin, pathname } = new URL(request.url())
    const route = routes.find(({ pattern }) => pattern.test({ pathname }))
    if (origin === broker.url && route) reached.add(route.pathname)
  })
}

/** In the page: what makes it wider than its screen, or scrolls by itself and can't be reached by keys or named. */
const tooWide = `(() => {
  const words = (element) => element.outerHTML.slice(0, 120)
  const scrolling = [...document.querySelectorAll('main *')].filter((element) =>
    /auto|scroll/.test(getComputedStyle(element).overflowX) &&
    element.scrollWidth > element.clientWidth && !/^(input|select|textarea)$/i.test(element.tagName))
  const unreachable = scrolling.filter((element) => element.tabIndex < 0 ||
    !(element.ariaLabel || element.getAttribute('aria-labelledby')))
  const isWide = document.documentElement.scrollWidth > innerWidth
  const wide = !isWide ? [] : [...document.querySelectorAll('body *')].filter((element) =>
    element.getBoundingClientRect().right > innerWidth && !scrolling.some((one) => one.contains(element)))
  return [...(isWide ? ['wider than the screen'] : []), ...wide.map(words), ...unreachable.map(words)]
})()`

/** What axe has to say, in a line each. */
async function violations(page: Page, rules?: string[]): Promise<string[]> {
  const options = { resultTypes: ['violations'], ...(rules && { runOnly: rules }) }
  const found = await page.evaluate<AxeResults['violations']>(
    `axe.run(${JSON.stringify(options)}).then(({ violations }) => violations)`,
  )
  return found.flatMap(({ id, help, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${help}\n${html}\n${failureSummary}`),
  )
}
