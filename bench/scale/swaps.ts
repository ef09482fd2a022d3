import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cli } from '../../test/processes.ts'
import type { Page, Visitor } from '../../test/visitor.ts'
import { load, request } from '../load.ts'
import type { Running } from './size.ts'
import { timesOf } from './times.ts'

/** Seconds of one slice of load; what goes on beside it is watched between two. */
const SLICE = 5
/** As long as work beside it goes on, but no longer than this many slices. */
const MOST = 60
/** Slices without any work beside it. */
const ALONE = 4

/** How swaps fare while everybody is exported and many are revoked. Lines for the report. */
export async function measureLoad(running: Running): Promise<string[]> {
  const alone = await measureSlices(running, async (slices) => slices >= ALONE)
  const revoking = await revoke(running)
  const exporting = exportUsers(running)
  const isDone = async () => exporting.done() && (await revoking.look()).done
  const beside = await measureSlices(running, isDone)
  const { revoked } = await revoking.look()
  const n = (count: number) => count.toLocaleString('en-GB')
  const told = `Exported ${n(exporting.lines())} lines and revoked ${n(revoked)} of ${n(revoking.total)} in ${beside.seconds} s of that load`
  const from = performance.now()
  while (!(await isDone())) await sleep(1000)
  const rest = ((performance.now() - from) / 1000).toFixed(0)
  return [
    ...compare('an export of all and a bulk revocation', alone, beside),
    '',
    `${told}; the rest, up to ${n(exporting.lines())} lines, took ${rest} s without it.`,
  ]
}

/** How swaps fare beside a backup, made as an operator makes it. Lines for the report. */
export async function measureBackup(running: Running): Promise<string[]> {
  const alone = await measureSlices(running, async (slices) => slices >= ALONE)
  const file = join(running.env.BROKER_DATA_DIR ?? '', 'backup.db')
  const startedAt = performance.now()
  let seconds = 0
  const backup = cli(['backup', file], running.env).then(({ stderr }) => {
    seconds = (performance.now() - startedAt) / 1000
    return stderr
  })
  const beside = await measureSlices(running, async () => seconds > 0)
  const underLoad = seconds > 0
  const failure = await backup
  if (failure !== '') throw new Error(failure)
  const mebibytes = (await stat(file)).size / 2 ** 20
  return [
    ...compare('a backup', alone, beside),
    '',
    `The backup took ${seconds.toFixed(0)} s${underLoad ? '' : `, the last ${(seconds - beside.seconds).toFixed(0)} without that load`}, and has ${mebibytes.toFixed(0)} MiB.`,
  ]
}

type Slices = Awaited<ReturnType<typeof measureSlices>>

/** Swaps until it is done, in slices of some seconds. */
async function measureSlices(
  { url, brokerToken, loop, env }: Running,
  isDone: (slices: number) => Promise<boolean>,
) {
  const bytes = request(`${url}/exchange`, 'POST', { authorization: `Bearer ${brokerToken}` })
  const log = join(env.BROKER_DATA_DIR ?? '', 'broker.db-wal')
  const times: number[] = []
  let [slices, answers, longest, logBytes] = [0, 0, 0, 0]
  await load(url, bytes, { seconds: 1 })
  await loop()
  while (slices < MOST && !(await isDone(slices))) {
    const told = (time: number) => void times.push(time)
    answers += SLICE * (await load(url, bytes, { seconds: SLICE, told }))
    slices++
    longest = Math.max(longest, (await loop()).longest)
    logBytes = Math.max(logBytes, (await stat(log)).size)
  }
  const seconds = slices * SLICE
  return { ...timesOf(times), seconds, rate: answers / seconds, longest, logBytes }
}

function compare(work: string, alone: Slices, beside: Slices): string[] {
  const times = ({ median, p99 }: Slices) => `${median.toFixed(1)} / ${p99.toFixed(1)}`
  const log = ({ logBytes }: Slices) => (logBytes / 2 ** 20).toFixed(0)
  return [
    '',
    `| swaps, 32 at a time | alone | beside ${work} |`,
    '|---|---|---|',
    `| a second | ${alone.rate.toFixed(0)} | ${beside.rate.toFixed(0)} (${(beside.rate / alone.rate).toFixed(2)}, aim 0.8) |`,
    `| median / 99th percentile, ms | ${times(alone)} | ${times(beside)} (aim 50) |`,
    `| longest stop of the event loop, ms | ${alone.longest.toFixed(1)} | ${beside.longest.toFixed(1)} (aim 50) |`,
    `| largest write-ahead log, MiB | ${log(alone)} | ${log(beside)} |`,
  ]
}

/** Begins to export everybody, and takes it as fast as it comes. */
function exportUsers({ url, visitor }: Running) {
  let [lines, done] = [0, false]
  const take = async () => {
    const token = await tokenOf(visitor, url)
    const cookie = [...visitor.cookies(url)].map((pair) => pair.join('=')).join('; ')
    const body = new URLSearchParams({ _csrf: token, status: 'all', format: 'csv' })
    const answer = await fetch(`${url}/admin/users/export`, {
      method: 'POST',
      body,
      headers: { cookie, origin: url },
    })
    if (!answer.ok || !answer.body) throw new Error(`the export answered ${answer.status}`)
    for await (const chunk of answer.body)
      lines += Buffer.from(chunk).toString().split('\n').length - 1
    done = true
  }
  take().catch((error: unknown) => {
    throw error
  })
  return { done: () => done, lines: () => lines }
}

/** Whom to revoke: together an eighth of all, as bench/scale/people.ts names them. */
const SEARCHES = ['anna', 'chen']

/** Collects and confirms bulk revocations, and follows them. */
async function revoke({ url, visitor }: Running) {
  const addresses: string[] = []
  let total = 0
  for (const q of SEARCHES) {
    const fields = { which: 'all', q, status: 'active' }
    const asked = await post(visitor, url, '/admin/bulk', fields)
    const page = await waitFor(visitor, asked.url, /Revoke these [\d,]+ connections/)
    const button = /Revoke these ([\d,]+) connections/.exec(page.body)
    if (!button) throw new Error(`nobody to revoke at ${asked.url}`)
    total += Number(button[1]?.replaceAll(',', ''))
    addresses.push(asked.url)
  }
  for (const address of addresses) {
    const page = await visitor.open(address)
    const words = /Revoke these [\d,]+ connections/.exec(page.body)?.[0] ?? ''
    await visitor.press(page, words)
  }
  return {
    total,
    /** Whether all have ended, and how many are revoked. */
    async look() {
      const pages = await Promise.all(addresses.map((address) => visitor.open(address)))
      const counts = pages.map(({ body }) => /([\d,]+)<\/strong> of [\d,]+ revoked/.exec(body)?.[1])
      const numbers = counts.map((count = '0') => Number(count.replaceAll(',', '')))
      return {
        done: pages.every(({ body }) => body.includes('<dt>Ended</dt>')),
        revoked: numbers.reduce((sum, count) => sum + count, 0),
      }
    },
  }
}

async function waitFor(visitor: Visitor, url: string, words: RegExp): Promise<Page> {
  for (;;) {
    const page = await visitor.open(url)
    if (words.test(page.body)) return page
    await sleep(500)
  }
}

async function post(
  visitor: Visitor,
  url: string,
  path: string,
  fields: Record<string, string>,
): Promise<Page> {
  const body = new URLSearchParams({ _csrf: await tokenOf(visitor, url), ...fields })
  return visitor.open(url + path, undefined, { method: 'POST', body, headers: { origin: url } })
}

async function tokenOf(visitor: Visitor, url: string): Promise<string> {
  const page = await visitor.open(`${url}/admin/account`)
  return /name="_csrf" value="([^"]+)"/.exec(page.body)?.[1] ?? ''
}
