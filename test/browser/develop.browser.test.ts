/** Runs the commands of docs/develop.md, and the page that it shows, in Chromium. */
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { freePort, freePorts } from '../helper.ts'
import { waitForOutput } from '../processes.ts'
import { PROGRAM, PROGRAM_ENV } from '../program.ts'
import { temporaryFolder } from '../temporary.ts'
import { launch, noBrowser, visit } from './chromium.ts'

const document = readFileSync(join(import.meta.dirname, '../../docs/develop.md'), 'utf8')
const blocks = (language: string): string[] =>
  [...document.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(
    ([, text = '']) => text,
  )

const [START, SERVE, START_KEPT, SHORT_LIVES, END_CONNECTION, BREAK, REPAIR] = blocks('sh') as [
  string,
  string,
  string,
  string,
  string,
  string,
  string,
]
const [PAGE = ''] = blocks('html')
const missing = ['bash', 'curl', 'python3'].find((name) => spawnSync(name, ['--version']).error)
const skip = noBrowser || (missing !== undefined && `${missing} is not installed`)

/** A developer's folder, on ports of its own. */
async function developer(t: Test) {
  const folder = temporaryFolder(t)
  const [port, pagePort] = [await freePorts(3), await freePort()]
  const run = (command: string): ChildProcess => {
    const adapted = command
      .replace('npm run demo --', `${process.execPath} -- ${PROGRAM} demo --port ${port}`)
      .replaceAll('127.0.0.1:4001', `127.0.0.1:${port + 1}`)
      .replaceAll('5173', String(pagePort))
    const options = { cwd: folder, env: { ...PROGRAM_ENV, PYTHONUNBUFFERED: '1' }, detached: true }
    const child = spawn('bash', ['-euo', 'pipefail', '-c', adapted], options)
    t.teardown(() => stop(child))
    return child
  }
  return {
    folder,
    page: (host: string) => `http://${host}:${pagePort}/`,
    /** Starts the demo. Returns what it prints, and what ends it as Ctrl-C does. */
    async start(command: string) {
      const child = run(command)
      const { output } = await waitForOutput(child, /Stop the demo with Ctrl-C.*\n/)
      const constants = output.match(/const (?:broker|clientId|api) = '.*'/g) ?? []
      return { output, constants, stop: () => stop(child) }
    },
    /** Runs a command to its end. */
    async finish(command: string) {
      const child = run(command)
      const [code] = (await once(child, 'close')) as [number]
      return code
    },
    serve: () => waitForOutput(run(SERVE), /Serving HTTP/),
  }
}

/** Ends a command and its children, as Ctrl-C does. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const closed = once(child, 'close')
  process.kill(-child.pid, 'SIGINT')
  await closed
}

/** The page of the document, with the lines that the demo printed. */
function pageWith(constants: string[]): string {
  let page = PAGE
  for (const line of constants) {
    const [name] = line.split(' = ')
    page = page.replace(new RegExp(`${name} = '.*'`), line)
  }
  return page
}

async function connect(page: Page): Promise<void> {
  await page.click('#connect')
  await page.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
  const login = page.getByRole('button', { name: 'Log in as Amelie Laurent' })
  const allow = page.getByRole('button', { name: 'Allow' })
  const drive = page.getByText('Camargue wetlands')
  await login.or(allow).or(drive).waitFor()
  if (await login.isVisible()) await login.click()
  await allow.or(drive).waitFor()
  if (await allow.isVisible()) await allow.click()
  await drive.waitFor()
}

t.test('docs/develop.md: the first page, on both names of the machine', { skip }, async (t) => {
  const me = await developer(t)
  const demo = await me.start(START)
  t.equal(demo.constants.length, 3, demo.output)
  writeFileSync(join(me.folder, 'index.html'), pageWith(demo.constants))
  await me.serve()
  const browser = await launch(t)
  for (const host of ['localhost', '127.0.0.1']) {
    const page = await (await visit(t, browser)).newPage()
    await page.goto(me.page(host))
    await connect(page)
    t.equal(page.url(), me.page(host))
    await page.reload()
    await page.getByText('Camargue wetlands').waitFor()
  }

  await t.test('a refusal', async (t) => {
    const page = await (await visit(t, browser)).newPage()
    await page.goto(me.page('localhost'))
    await page.click('#connect')
    await page.getByRole('button', { name: 'Deny' }).click()
    await page.getByText('You refused access.').waitFor()
  })

  await t.test('what can go wrong at Ellipsis Drive', async (t) => {
    const page = await (await visit(t, browser)).newPage()
    await page.goto(me.page('localhost'))
    t.equal(await me.finish(SHORT_LIVES), 0)
    await connect(page)
    const reloadUntil = async (text: string) => {
      const notice = page.locator('#notice')
      const wanted = page.getByText(text)
      do {
        await page.reload()
        await notice.filter({ hasText: /./ }).or(page.locator('li').first()).waitFor()
      } while (!(await wanted.isVisible()))
    }
    t.equal(await me.finish(END_CONNECTION), 0)
    await reloadUntil('Connect again')
    await connect(page)
    t.equal(await me.finish(BREAK), 0)
    await reloadUntil('try again')
    t.equal(await me.finish(REPAIR), 0)
    await reloadUntil('Camargue wetlands')
  })
})

t.test('with --data, a restart disconnects nobody', { skip }, async (t) => {
  const me = await developer(t)
  const first = await me.start(START_KEPT)
  writeFileSync(join(me.folder, 'index.html'), pageWith(first.constants))
  await me.serve()
  const page = await (await visit(t, await launch(t))).newPage()
  await page.goto(me.page('localhost'))
  await connect(page)
  await first.stop()
  const second = await me.start(START_KEPT)
  t.strictSame(second.constants, first.constants)
  const addresses = (output: string) => output.slice(output.indexOf('Sample app'))
  t.equal(addresses(second.output), addresses(first.output), 'also the password of the dashboard')
  await page.reload()
  await page.getByText('Camargue wetlands').waitFor()
})
