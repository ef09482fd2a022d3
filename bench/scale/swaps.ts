import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Page, Visitor } from '../../test/visitor.ts'
import { load, request } from '../load.ts'
import type { Running } from './size.ts'
import { timesOf } from './times.ts'

/** Seconds of one slice of load; the work beside it is watched between two. */
const SLICE = 5
/** The work beside it is given up after this many slices. */
const MOST = 200
/** Slices without any work beside it. */
const ALONE = 4

/** How swaps fare alone, and while everybody is exported and many are revoked. Lines for the report. */
export async function measureLoad(running: Running, dataDir: string): Promise<string[]> {
  const { url, brokerToken, loop } = running
  const bytes = request(`${url}/exchange`, 'POST', { authorization: `Bearer ${brokerToken}` })
  const measure = async () => {
    const times: number[] = []
    const rate = await load(url, bytes, { seconds: SLICE, told: (time) => times.push(time) })
    return { rate, times }
  }
  await measure()
  await loop()
  const alone = []
  for (let slice = 0; slice < ALONE; slice++) alone.push(await measure())
  const before = await loop()

  const revoking = await revoke(running)
  const exporting = exportUsers(running)
  const beside = []
  let longest = 0
  let logBytes = 0
  while (beside.length < MOST && !(exporting.done() && (await revoking.done()))) {
    beside.push(await measure())
    longest = Math.max(longest, (await loop()).longest)
    logBytes = Math.max(logBytes, (await stat(join(dataDir, 'broker.db-wal'))).size)
  }
  const ended = exporting.done() && (await revoking.done())
  const [quiet, busy] = [summary(alone), summary(beside)]
  return [
    '',
    '| swaps, 32 at a time | alone | during an export of all and a bulk revocation |',
    '|---|---|---|',
    `| a second | ${quiet.rate.toFixed(0)} | ${busy.rate.toFixed(0)} (${(busy.rate / quiet.rate).toFixed(2)}, aim 0.8) |`,
    `| median / 99th percentile, ms | ${quiet.median.toFixed(1)} / ${quiet.p99.toFixed(1)} | ${busy.median.toFixed(1)} / ${busy.p99.toFixed(1)} (aim 50) |`,
    `| longest stop of the event loop, ms | ${before.longest.toFixed(1)} | ${longest.toFixed(1)} (aim 50) |`,
    `| largest write-ahead log, MiB | – | ${(logBytes / 2 ** 20).toFixed(0)} |`,
    '',
    `Exported ${exporting.lines().toLocaleString('en-GB')} lines and revoked ${revoking.total.toLocaleString('en-GB')} in ${beside.length * SLICE} s of that load${ended ? '' : '; NOT ALL OF IT: the time was over'}.`,
  ]
}

function summary(slices: { rate: number; times: number[] }[]) {
  const rate = slices.reduce((sum, slice) => sum + slice.rate, 0) / slices.length
  return { rate, ...timesOf(slices.flatMap(({ times }) => times)) }
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
  const isDone = async (address: string) =>
    (await visitor.open(address)).body.includes('<dt>Ended</dt>')
  return {
    total,
    done: async () => (await Promise.all(addresses.map(isDone))).every((each) => each),
  }
}

async function waitFor(visitor: Visitor, url: string, words: RegExp): Promise<Page> {
  for (;;) {
    const page = await visitor.open(url)
    if (words.test(page.body)) return page
    await new Promise((resolve) => setTimeout(resolve, 500))
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
