/**
 * `npm run bench:sdk`: the comparison in docs/sdk.md. Each library runs in Chromium, against a broker of its own.
 * Clocks of the browser and the broker are moved together.
 */
import type { APIResponse, BrowserContext, Page, Route } from 'playwright-core'
import { startChromium } from '../../test/browser/chromium.ts'
import { addApp, buildBroker } from '../../test/helper.ts'
import type { TestBroker } from '../../test/helper.ts'
import { findGrant } from '../../test/db/rows.ts'
import { gzippedBytes, libraries, serveAsAuth0, servePage } from './libraries.ts'
import type { Library } from './libraries.ts'

const CALLS = 1000
const RACES = Number(process.argv[2] ?? 20)
const LATENCY_MS = 200
const HOUR_MS = 3_600_000
/** Past half the life of a broker token. */
const RENEWAL_MS = 16 * 24 * HOUR_MS

async function measure(library: Library): Promise<string[]> {
  const bytes = await gzippedBytes(library)
  const valid = await withTabs(library, 3, async (bench) => {
    const first = await bench.count(() => bench.getTokens(CALLS))
    await bench.advance(HOUR_MS)
    return [first, await bench.count(() => bench.getTokens(CALLS))]
  })
  const races = await withTabs(library, 2, race)
  const late = await withTabs(library, 2, lateAnswer)
  const kib = `${(bytes / 1024).toFixed(1)} KiB`
  return [kib, ...valid.map(({ calls, failed }) => describe(calls, failed)), races, late]
}

const describe = (calls: number, failed: number): string =>
  failed === 0 ? String(calls) : `${calls}, ${failed} failed`

/** Tabs of a browser whose user has connected. */
interface Bench {
  broker: TestBroker
  tabs: Page[]
  /** Calls `getToken` in all tabs at once. Returns the errors. */
  getTokens(times: number, tabs?: Page[]): Promise<string[]>
  advance(byMs: number): Promise<void>
  /** Requests to the broker during some work, without preflights. */
  count(work: () => Promise<string[]>): Promise<{ calls: number; failed: number; errors: string[] }>
  isGrantRevoked(): Promise<boolean>
}

async function withTabs<Result>(
  library: Library,
  tabCount: number,
  work: (bench: Bench) => Promise<Result>,
): Promise<Result> {
  await using cleanup = new AsyncDisposableStack()
  const broker = await buildBroker({ teardown: (end) => cleanup.defer(end as () => Promise<void>) })
  const page = await servePage(cleanup, library)
  const tokens = library.ownTokens ? 'ellipsis' : 'broker'
  const app = await addApp(broker, { tokens, redirectUris: [page.here] })
  const isAuth0 = library.name.startsWith('auth0')
  const url = isAuth0
    ? await serveAsAuth0(cleanup, broker.url, () => broker.clock.now())
    : broker.url
  await page.start(url, app.id)

  const context = await browser.newContext()
  cleanup.defer(() => context.close())
  await context.clock.install()
  context.on('weberror', (error) => process.stderr.write(`${error.error().message}\n`))
  let calls = 0
  context.on('request', (request) => {
    if (request.url().startsWith(url)) calls++
  })
  await context.route(
    (to) => to.href.startsWith(url) && to.pathname !== '/authorize',
    (route) => answerLater(route, broker, !library.ownTokens),
  )
  const open = async (): Promise<Page> => {
    const tab = await context.newPage()
    await tab.goto(page.here)
    await ready(tab)
    return tab
  }
  const tabs = [await open()]
  await connect(tabs[0] as Page, page.here)
  while (tabs.length < tabCount) tabs.push(await open())

  const getTokens = async (times: number, among = tabs): Promise<string[]> =>
    (await Promise.all(among.map((tab) => tab.evaluate(callGetToken, times)))).flat()
  return await work({
    broker,
    tabs,
    getTokens,
    async advance(byMs) {
      broker.clock.advance(byMs)
      await fastForward(context, byMs)
    },
    async count(work) {
      calls = 0
      const errors = await work()
      return { calls, failed: errors.length, errors }
    },
    async isGrantRevoked() {
      const grant = await findGrant(broker.services.store, app.id)
      return typeof grant?.revokedAt === 'number'
    },
  })
}

/** Forwards a script's request after some time. @param isDated does the page need the broker's moved time? */
async function answerLater(route: Route, broker: TestBroker, isDated: boolean): Promise<void> {
  if (route.request().resourceType() !== 'fetch') return route.continue()
  await new Promise((resolve) => setTimeout(resolve, LATENCY_MS))
  if (!isDated) return route.continue()
  await fulfill(route, await route.fetch(), broker)
}

/** Answers, unless the page has given up waiting. The SDK corrects its clock by the `Date` header. */
const fulfill = (route: Route, response: APIResponse, { clock }: TestBroker): Promise<void> => {
  const date = new Date(clock.now()).toUTCString()
  const headers = { ...response.headers(), date }
  return route.fulfill({ response, headers }).catch(() => undefined)
}

const fastForward = (context: BrowserContext, byMs: number) => context.clock.fastForward(byMs)

const ready = (tab: Page) => tab.waitForFunction(() => 'getToken' in globalThis)

async function connect(tab: Page, here: string): Promise<void> {
  await tab.evaluate(() => void (globalThis as unknown as PageGlobals).connect())
  await tab.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
  await tab.getByRole('button', { name: 'Log in as Amelie Laurent' }).click()
  await tab.getByRole('button', { name: 'Allow' }).click()
  await tab.waitForURL((url) => url.href === here)
  await ready(tab)
}

interface PageGlobals {
  connect(): unknown
  getToken(): Promise<string>
}

/** In the page: the errors of so many calls at once. */
async function callGetToken(times: number): Promise<string[]> {
  const { getToken } = globalThis as unknown as PageGlobals
  const calls = Array.from({ length: times }, () => getToken())
  const settled = await Promise.allSettled(calls)
  return settled.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []))
}

/** Two tabs renew at once, again and again. */
async function race(bench: Bench): Promise<string> {
  let [calls, failed] = [0, 0]
  for (let round = 1; round <= RACES; round++) {
    await bench.advance(RENEWAL_MS)
    const result = await bench.count(() => bench.getTokens(1))
    calls += result.calls
    failed += result.failed
    if (await bench.isGrantRevoked()) return `revoked in round ${round}`
    for (const error of new Set(result.errors)) process.stderr.write(`${error}\n`)
  }
  return `${(calls / RACES).toFixed(1)} calls, ${failed} of ${2 * RACES} failed`
}

/** One tab gets the answer to its renewal six minutes late, while another renews and works. */
async function lateAnswer(bench: Bench): Promise<string> {
  const [first, second] = bench.tabs as [Page, Page]
  await bench.advance(RENEWAL_MS)
  const held = Promise.withResolvers<undefined>()
  const sent = Promise.withResolvers<undefined>()
  const hold = async (route: Route): Promise<void> => {
    const response = await route.fetch()
    sent.resolve(undefined)
    await held.promise
    await fulfill(route, response, bench.broker)
  }
  await first.route((url) => /\/(token|exchange)$/.test(url.pathname), hold)
  const late = bench.getTokens(1, [first])
  await sent.promise
  const errors = { first: 0, second: 0, after: 0 }
  for (let minutes = 0; minutes < 6; minutes += 2) {
    await bench.advance(120_000)
    errors.second += (await bench.getTokens(1, [second])).length
  }
  held.resolve(undefined)
  errors.first = (await late).length
  await first.unroute('**')
  for (let round = 0; round < 3; round++) {
    await bench.advance(2 * HOUR_MS)
    errors.after += (await bench.getTokens(1)).length
    if (await bench.isGrantRevoked()) return 'grant revoked'
  }
  const { first: own, second: other, after } = errors
  return `works; errors: ${own} in the late tab, ${other} in the other, ${after} later`
}

await using cleanup = new AsyncDisposableStack()
const browser = await startChromium()
cleanup.defer(() => browser.close())

const rows: string[][] = []
for (const library of libraries) {
  rows.push([library.name, ...(await measure(library))])
}
const heading = ['', 'gzipped', 'calls: valid', 'calls: expired', 'races', 'late answer']
for (const row of [heading, heading.map(() => '---'), ...rows])
  process.stdout.write(`| ${row.join(' | ')} |\n`)
