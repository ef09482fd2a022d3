import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium } from 'playwright-core'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import type { Test } from 'tap'

/** The first that is there is taken. The headless shell has no window to draw: half the processor time. */
const NAMES = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']

/**
 * Of two `--disable-features`, Chromium reads the last. So this has those of Playwright that matter here, and
 * the pages of Chromium's own that every window loads for its address bar: two more processes each.
 */
const DISABLED_FEATURES = [
  'AimEnabled',
  'AvoidUnnecessaryBeforeUnloadCheckSync',
  'DestroyProfileOnBrowserClose',
  'HttpsFirstBalancedModeAutoEnable',
  'HttpsUpgrades',
  'LensOverlay',
  'MediaRouter',
  'NetworkTimeServiceQuerying',
  'OptimizationHints',
  'PaintHolding',
  'PreconnectToSearch',
  'ThirdPartyStoragePartitioning',
  'WebUIOmniboxAimPopup',
  'WebUIOmniboxFullPopup',
  'WebUIOmniboxPopup',
]
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--disable-gpu',
  '--disable-quic',
  `--disable-features=${DISABLED_FEATURES.join(',')}`,
]

/** How long a page may take to do something, milliseconds: it guards against hangs alone. */
const HANG_MS = 10 * 60_000

/** Why browser tests are skipped here, for tap's `skip`; `false`: there is a Chromium. */
export const noBrowser: string | false =
  findChromium() === undefined && 'there is no Chromium: apt-get install chromium'

if (noBrowser) console.error(`Browser tests are skipped: ${noBrowser}`)

function findChromium(): string | undefined {
  const { CHROMIUM_PATH, PATH = '' } = process.env
  const places = PATH.split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)))
  return [...(CHROMIUM_PATH === undefined ? [] : [CHROMIUM_PATH]), ...places].find(existsSync)
}

/** How long the shared Chromium waits for the next test that wants it, milliseconds. */
const IDLE_MS = 2000

let shared: Promise<Browser> | undefined
let users = 0
let idle: NodeJS.Timeout | undefined

/** The Chromium that all tests of this process share. It ends a little after the last that used it. */
export function launch(t: Pick<Test, 'teardown'>): Promise<Browser> {
  shared ??= startChromium()
  users++
  clearTimeout(idle)
  t.teardown(() => {
    users--
    if (users === 0) idle = setTimeout(() => void close(), IDLE_MS)
  })
  return shared
}

async function close(): Promise<void> {
  const browser = shared
  shared = undefined
  await (await browser)?.close()
}

/** A Chromium of one's own. */
export function startChromium(): Promise<Browser> {
  const executablePath = findChromium()
  return chromium.launch({
    args: ARGUMENTS,
    ...(executablePath !== undefined && { executablePath }),
  })
}

/** A person's browser with cookies of its own. What its pages complain about on the console fails the test. */
export async function visit(
  t: Test,
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<BrowserContext> {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(HANG_MS)
  context.on('page', (page: Page) => {
    page.on('pageerror', (error) => t.fail(`a page’s script failed: ${error.message}`))
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) t.fail(message.text())
    })
  })
  t.teardown(() => context.close())
  return context
}
