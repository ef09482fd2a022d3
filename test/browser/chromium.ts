import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium } from 'playwright-core'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import type { Test } from 'tap'

/** Executables, in order of preference. Not chromium-headless-shell, which has no popup blocker. */
const EXECUTABLE_NAMES = ['chromium', 'chromium-browser', 'google-chrome']

/**
 * Chromium reads only the last `--disable-features`. This list has the relevant ones of Playwright, and the
 * internal pages that every window loads for its address bar (two more processes each).
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

/** Timeout of browser actions. It only guards against hangs. */
const ACTION_TIMEOUT_MS = 2 * 60_000

/** The reason to skip browser tests, for tap's `skip`; `false` if Chromium is installed. */
export const noBrowser: string | false =
  findChromium() === undefined && 'Chromium is not installed: apt-get install chromium'

if (noBrowser) console.error(`Browser tests are skipped: ${noBrowser}`)

function findChromium(): string | undefined {
  const { CHROMIUM_PATH, PATH = '' } = process.env
  const paths = PATH.split(delimiter).flatMap((folder) =>
    EXECUTABLE_NAMES.map((name) => join(folder, name)),
  )
  return [...(CHROMIUM_PATH === undefined ? [] : [CHROMIUM_PATH]), ...paths].find(existsSync)
}

/** How long the shared Chromium stays open without a test that uses it. */
const IDLE_TIMEOUT_MS = 2000

let shared: Promise<Browser> | undefined
let userCount = 0
let idleTimer: NodeJS.Timeout | undefined

/** The Chromium that all tests of this process share. It closes soon after the last test that uses it. */
export function launch(t: Pick<Test, 'teardown'>): Promise<Browser> {
  shared ??= startChromium()
  userCount++
  clearTimeout(idleTimer)
  t.teardown(() => {
    userCount--
    if (userCount === 0) idleTimer = setTimeout(() => void close(), IDLE_TIMEOUT_MS)
  })
  return shared
}

async function close(): Promise<void> {
  const browser = shared
  shared = undefined
  await (await browser)?.close()
}

/** Starts a separate Chromium. @param more arguments @param without arguments of Playwright */
export function startChromium(more: string[] = [], without: string[] = []): Promise<Browser> {
  const executablePath = findChromium()
  return chromium.launch({
    args: [...ARGUMENTS, ...more],
    ignoreDefaultArgs: without,
    ...(executablePath !== undefined && { executablePath }),
  })
}

/** A browser context with its own cookies. Script errors and CSP violations fail the test. */
export async function visit(
  t: Test,
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<BrowserContext> {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(ACTION_TIMEOUT_MS)
  context.on('page', (page: Page) => {
    page.on('pageerror', (error) => t.fail(`a page’s script failed: ${error.message}`))
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) t.fail(message.text())
    })
  })
  t.teardown(() => context.close())
  return context
}
