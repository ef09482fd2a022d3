import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AxeResults } from 'axe-core'
import type { Page } from 'playwright-core'
import type { Test } from 'tap'
import { signInBrowser } from './admin.ts'
import { launch, noBrowser, visit } from './browser.ts'
import { buildBroker } from './helper.ts'
import { pages } from './pages.ts'
import { fillBroker } from './sample-data.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Has axe look at every page, light and dark, on a broker of its own. */
export function testPages(t: Test, state: 'with data' | 'empty'): void {
  if (noBrowser) console.error(`Browser tests are skipped: ${noBrowser}`)

  t.test(`axe finds nothing on any page, ${state}`, { skip: noBrowser }, async (t) => {
    const browser = await launch(t)
    const broker = await buildBroker(t)
    const data = state === 'with data' ? await fillBroker(broker) : null
    const [stranger, admin] = [await visit(t, browser), await visit(t, browser)]
    const secret = (await broker.services.setup.invite())?.reveal() ?? null
    let isSignedIn = false

    for (const { name, path, stranger: isStranger, act } of pages) {
      const address = path(data, secret)
      if (address === null) continue
      if (!isStranger && !isSignedIn) await signInBrowser(broker, admin)
      isSignedIn ||= !isStranger
      await t.test(name, async (t) => {
        const page = await (isStranger ? stranger : admin).newPage()
        await page.emulateMedia({ colorScheme: 'light' })
        await page.goto(broker.url + address)
        await act?.(page)
        t.strictSame(await violations(page), [], 'light')
        // The scheme alters colours alone.
        await page.emulateMedia({ colorScheme: 'dark' })
        t.strictSame(await violations(page, ['color-contrast', 'link-in-text-block']), [], 'dark')
        await page.close()
      })
    }
  })
}

/** What axe has to say, in a line each. */
async function violations(page: Page, rules?: string[]): Promise<string[]> {
  await page.evaluate(axe)
  const found = await page.evaluate<AxeResults>(
    `axe.run(${JSON.stringify(rules ? { runOnly: rules } : {})})`,
  )
  return found.violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${help}\n${html}\n${failureSummary}`),
  )
}
