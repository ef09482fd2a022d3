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

export const axe = readFileSync(
  createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8',
)

/** Screen widths, from phone to wide. axe runs at the first one. */
const WIDTHS_PX = isLong ? [1280, 390, 768, 1024, 1440] : [1280, 390]

/** Routes that scripts call; they are no pages. */
const SCRIPT_ROUTES = ['/admin/apps/check']

/**
 * Checks every page with axe, in the light and dark scheme, on a broker of its own, and that no page is wider
 * than the screen. With an empty broker, only those that look different there.
 */
export function testPages(t: Test, state: 'with data' | 'empty'): void {
  t.test(`axe finds no violations on any page, ${state}`, { skip: noBrowser }, async (t) => {
    const browser = await launch(t)
    const broker = await buildBroker(t)
    const data = state === 'with data' ? await fillPages(broker) : null
    const [anonymous, admin] = [await visit(t, browser), await visit(t, browser)]
    const secret = (await broker.services.setup.invite())?.reveal() ?? null
    const visited = new Set<string>()
    for (const context of [anonymous, admin]) recordVisitedRoutes(context, broker, visited)
    // One tab for each context: a new tab is a new process and costs more than a page load.
    const [anonymousTab, adminTab] = [await anonymous.newPage(), await admin.newPage()]
    let isSignedIn = false

    for (const { name, path, anonymous: isAnonymous, act, hasEmptyState } of pages) {
      const address = path(data, secret)
      if (address === null) continue
      if (!data && !hasEmptyState) continue
      if (!isAnonymous && !isSignedIn) await signInBrowser(broker, admin)
      isSignedIn ||= !isAnonymous
      await t.test(name, async (t) => {
        const page = isAnonymous ? anonymousTab : adminTab
        await page.emulateMedia({ colorScheme: 'light' })
        await page.goto(broker.url + address)
        await act?.(page)
        for (const width of WIDTHS_PX) {
          await page.setViewportSize({ width, height: 900 })
          t.strictSame(await page.evaluate(findWideElements), [], `${width} wide`)
          if (width !== WIDTHS_PX[0]) continue
          t.strictSame(await findViolations(page), [], 'light')
          // The colour scheme changes only colours.
          await page.emulateMedia({ colorScheme: 'dark' })
          t.strictSame(
            await findViolations(page, ['color-contrast', 'link-in-text-block']),
            [],
            'dark',
          )
        }
      })
    }
    if (data)
      t.strictSame(
        htmlRoutes(broker).filter((url) => !visited.has(url)),
        [],
        'all routes',
      )
  })
}

/** The routes that return an HTML page. */
const htmlRoutes = ({ app }: TestBroker): string[] =>
  app.routeTable
    .filter(({ method, config }) => [method].flat().includes('GET') && config?.page)
    .flatMap(({ url }) => (SCRIPT_ROUTES.includes(url) ? [] : [url.replace(/(?<=.)\/$/, '')]))

/** Records the route of each page load; if several patterns match, the most specific one. */
function recordVisitedRoutes(
  context: BrowserContext,
  broker: TestBroker,
  visited: Set<string>,
): void {
  const routes = htmlRoutes(broker)
    .sort((one, other) => one.split(':').length - other.split(':').length)
    .map((pathname) => ({ pathname, pattern: new URLPattern({ pathname }) }))
  context.on('request', (request) => {
    if (!request.isNavigationRequest() || request.method() !== 'GET') return
    const { origin, pathname } = new URL(request.url())
    const route = routes.find(({ pattern }) => pattern.test({ pathname }))
    if (origin === broker.url && route) visited.add(route.pathname)
  })
}

/** Runs in the page: finds elements wider than the screen, and scrolling elements without keyboard focus or name. */
export const findWideElements = `(() => {
  const describe = (element) => element.outerHTML.slice(0, 120)
  const scrolling = [...document.querySelectorAll('main *')].filter((element) =>
    /auto|scroll/.test(getComputedStyle(element).overflowX) &&
    element.scrollWidth > element.clientWidth && !/^(input|select|textarea)$/i.test(element.tagName))
  const unreachable = scrolling.filter((element) => element.tabIndex < 0 ||
    !(element.ariaLabel || element.getAttribute('aria-labelledby')))
  const isWide = document.documentElement.scrollWidth > innerWidth
  const wide = !isWide ? [] : [...document.querySelectorAll('body *')].filter((element) =>
    element.getBoundingClientRect().right > innerWidth && !scrolling.some((one) => one.contains(element)))
  return [...(isWide ? ['wider than the screen'] : []), ...wide.map(describe), ...unreachable.map(describe)]
})()`

/** The violations that axe finds, as text. */
export async function findViolations(page: Page, rules?: string[]): Promise<string[]> {
  await page.evaluate(axe)
  // `preload` copies style sheets into the page, which its policy refuses; no rule that runs needs it.
  const options = {
    resultTypes: ['violations'],
    preload: false,
    ...(rules && { runOnly: rules }),
  }
  const found = await page.evaluate<AxeResults['violations']>(
    `axe.run(${JSON.stringify(options)}).then(({ violations }) => violations)`,
  )
  return found.flatMap(({ id, help, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${help}\n${html}\n${failureSummary}`),
  )
}
