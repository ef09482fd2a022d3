import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cli } from '../../test/processes.ts'
import type { Page, Visitor } from '../../test/visitor.ts'
import { buildRequest, percentilesOf, sendLoad } from '../load.ts'
import type { MeasuredBroker } from './size.ts'

/** Load is sent in slices; the concurrent work is checked between them. */
const SLICE_SECONDS = 5
const MAX_SLICES = 60
/** Slices without concurrent work. */
const IDLE_SLICES = 4

/** Measures swaps during an export of all connections and a bulk revocation. Returns lines of the report. */
export async function measureSwapsDuringBulkWork(broker: MeasuredBroker): Promise<string[]> {
  const alone = await measureSlices(broker, async (slices) => slices >= IDLE_SLICES)
  const revocation = await startBulkRevocations(broker)
  const exported = startExport(broker)
  const isDone = async () => exported.isDone() && (await revocation.readProgress()).isDone
  const during = await measureSlices(broker, isDone)
  const { revoked } = await revocation.readProgress()
  const formatCount = (count: number) => count.toLocaleString('en-GB')
  const underLoad = `Under this load, ${formatCount(exported.lines())} lines were exported and ${formatCount(revoked)} of ${formatCount(revocation.total)} connections revoked in ${during.seconds} s`
  const startedAt = performance.now()
  while (!(await isDone())) await sleep(1000)
  const restSeconds = ((performance.now() - startedAt) / 1000).toFixed(0)
  return [
    ...compare('an export of all and a bulk revocation', alone, during),
    '',
    `${underLoad}. The rest, up to ${formatCount(exported.lines())} lines, took ${restSeconds} s without load.`,
  ]
}

/** Measures swaps during a backup with the CLI. Returns lines of the report. */
export async function measureSwapsDuringBackup(broker: MeasuredBroker): Promise<string[]> {
  const alone = await measureSlices(broker, async (slices) => slices >= IDLE_SLICES)
  const file = join(broker.env.BROKER_DATA_DIR ?? '', 'backup.db')
  const startedAt = performance.now()
  let seconds = 0
  const backup = cli(['backup', file], broker.env).then((result) => {
    seconds = (performance.now() - startedAt) / 1000
    return result
  })
  const during = await measureSlices(broker, async () => seconds > 0)
  const endedUnderLoad = seconds > 0
  const { code, stderr } = await backup
  if (code !== 0) throw new Error(stderr)
  const mebibytes = (await stat(file)).size / 2 ** 20
  return [
    ...compare('a backup', alone, during),
    '',
    `The backup took ${seconds.toFixed(0)} s${endedUnderLoad ? '' : `, the last ${(seconds - during.seconds).toFixed(0)} without load`}, and has ${mebibytes.toFixed(0)} MiB.`,
  ]
}

type SwapResult = Awaited<ReturnType<typeof measureSlices>>

/** Sends swaps in slices until `isDone`, or for `MAX_SLICES`. */
async function measureSlices(
  { url, brokerToken, readStats, env }: MeasuredBroker,
  isDone: (slices: number) => Promise<boolean>,
) {
  const bytes = buildRequest(`${url}/exchange`, 'POST', { authorization: `Bearer ${brokerToken}` })
  const walFile = join(env.BROKER_DATA_DIR ?? '', 'broker.db-wal')
  const durationsMs: number[] = []
  let [slices, responses, longestDelayMs, walBytes, cpuMs] = [0, 0, 0, 0, 0]
  await sendLoad(url, bytes, { seconds: 1 })
  const { cpuMs: cpuMsBefore } = await readStats()
  while (slices < MAX_SLICES && !(await isDone(slices))) {
    const onResponse = (durationMs: number) => void durationsMs.push(durationMs)
    responses +=
      SLICE_SECONDS * (await sendLoad(url, bytes, { seconds: SLICE_SECONDS, onResponse }))
    slices++
    const stats = await readStats()
    longestDelayMs = Math.max(longestDelayMs, stats.longestDelayMs)
    cpuMs = stats.cpuMs - cpuMsBefore
    walBytes = Math.max(walBytes, (await stat(walFile)).size)
  }
  const seconds = slices * SLICE_SECONDS
  return {
    ...percentilesOf(durationsMs),
    seconds,
    rate: responses / seconds,
    ratePerCpu: responses / (cpuMs / 1000),
    longestDelayMs,
    walBytes,
  }
}

function compare(work: string, alone: SwapResult, during: SwapResult): string[] {
  const times = ({ median, p99 }: SwapResult) => `${median.toFixed(1)} / ${p99.toFixed(1)}`
  const walMebibytes = ({ walBytes }: SwapResult) => (walBytes / 2 ** 20).toFixed(0)
  return [
    '',
    `| swaps, 32 at a time | alone | during ${work} |`,
    '|---|---|---|',
    `| per second | ${alone.rate.toFixed(0)} | ${during.rate.toFixed(0)} (${(during.rate / alone.rate).toFixed(2)}, target 0.8) |`,
    `| per second of the event loop's processor time | ${alone.ratePerCpu.toFixed(0)} | ${during.ratePerCpu.toFixed(0)} (${(during.ratePerCpu / alone.ratePerCpu).toFixed(2)}) |`,
    `| median / 99th percentile, ms | ${times(alone)} | ${times(during)} (target 50) |`,
    `| longest event loop delay, ms | ${alone.longestDelayMs.toFixed(1)} | ${during.longestDelayMs.toFixed(1)} (target 50) |`,
    `| largest write-ahead log, MiB | ${walMebibytes(alone)} | ${walMebibytes(during)} |`,
  ]
}

/** Starts an export of all connections and reads it at full speed. */
function startExport({ url, visitor }: MeasuredBroker) {
  let [lines, isDone] = [0, false]
  const download = async () => {
    const csrfToken = await readCsrfToken(visitor, url)
    const cookie = [...visitor.cookies(url)].map((pair) => pair.join('=')).join('; ')
    const body = new URLSearchParams({ _csrf: csrfToken, status: 'all', format: 'csv' })
    const response = await fetch(`${url}/admin/users/export`, {
      method: 'POST',
      body,
      headers: { cookie, origin: url },
    })
    if (!response.ok || !response.body) {
      throw new Error(`the export responded with status ${response.status}`)
    }
    for await (const chunk of response.body)
      lines += Buffer.from(chunk).toString().split('\n').length - 1
    isDone = true
  }
  download().catch((error: unknown) => {
    throw error
  })
  return { isDone: () => isDone, lines: () => lines }
}

/** Searches that match an eighth of all connections (sample-connections.ts). */
const REVOKED_SEARCHES = ['anna', 'chen']

/** Collects and confirms bulk revocations. */
async function startBulkRevocations({ url, visitor }: MeasuredBroker) {
  const urls: string[] = []
  let total = 0
  for (const q of REVOKED_SEARCHES) {
    const fields = { which: 'all', q, status: 'active' }
    const collecting = await post(visitor, url, '/admin/bulk', fields)
    const page = await waitFor(visitor, collecting.url, /Revoke these [\d,]+ connections/)
    const button = /Revoke these ([\d,]+) connections/.exec(page.body)
    if (!button) throw new Error(`no connections to revoke at ${collecting.url}`)
    total += Number(button[1]?.replaceAll(',', ''))
    urls.push(collecting.url)
  }
  for (const bulkUrl of urls) {
    const page = await visitor.open(bulkUrl)
    const button = /Revoke these [\d,]+ connections/.exec(page.body)?.[0] ?? ''
    await visitor.press(page, button)
  }
  return {
    total,
    /** Tells whether all revocations have finished, and how many connections are revoked. */
    async readProgress() {
      const pages = await Promise.all(urls.map((bulkUrl) => visitor.open(bulkUrl)))
      const counts = pages.map(({ body }) => /([\d,]+)<\/strong> of [\d,]+ revoked/.exec(body)?.[1])
      const numbers = counts.map((count = '0') => Number(count.replaceAll(',', '')))
      return {
        isDone: pages.every(({ body }) => body.includes('<dt>Ended</dt>')),
        revoked: numbers.reduce((sum, count) => sum + count, 0),
      }
    },
  }
}

async function waitFor(visitor: Visitor, url: string, text: RegExp): Promise<Page> {
  for (;;) {
    const page = await visitor.open(url)
    if (text.test(page.body)) return page
    await sleep(500)
  }
}

async function post(
  visitor: Visitor,
  url: string,
  path: string,
  fields: Record<string, string>,
): Promise<Page> {
  const body = new URLSearchParams({ _csrf: await readCsrfToken(visitor, url), ...fields })
  return visitor.open(url + path, undefined, { method: 'POST', body, headers: { origin: url } })
}

async function readCsrfToken(visitor: Visitor, url: string): Promise<string> {
  const page = await visitor.open(`${url}/admin/account`)
  return /name="_csrf" value="([^"]+)"/.exec(page.body)?.[1] ?? ''
}
