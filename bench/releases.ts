/**
 * `npm run bench:releases -- OLD NEW`: compares two binaries of the broker on SQLite, in turns. For each kind of work it
 * prints both times, and how the newer one's time and processor time relate to the older one's: medians of the rounds.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ageTokens } from '../test/aged-tokens.ts'
import { PASSWORD } from '../test/admin.ts'
import { connect } from '../test/helper.ts'
import { Visitor } from '../test/visitor.ts'
import { prepareAppApi } from './app-api.ts'
import { measureStart } from './binary.ts'
import { buildRequest, median, sendLoad } from './load.ts'
import { runCommand, startBench } from './setup.ts'

const ROUNDS = 9
const CONNECTIONS = 200
const EMAIL = 'bench@example.com'
/** Linux counts processor time in hundredths of a second. */
const TICK_MS = 10

/** One kind of work: how often it is done in a round, and what does it. */
interface Work {
  times: number
  run(times: number): Promise<unknown>
}

const binaries = process.argv.slice(2)
if (binaries.length !== 2) throw new Error('Usage: npm run bench:releases -- OLD NEW')
await using cleanup = new AsyncDisposableStack()
const brokers = []
for (const binary of binaries) brokers.push(await prepare(binary))
const [older, newer] = brokers
if (!older || !newer) throw new Error('two binaries')

process.stdout.write(`| | older, ms | newer, ms | time | processor time |\n|---|---|---|---|---|\n`)
for (const [name, { times }] of Object.entries(older.works)) {
  const rounds = { old: [] as Cost[], new: [] as Cost[] }
  await measure(older, name)
  await measure(newer, name)
  for (let round = 0; round < ROUNDS; round++) {
    rounds.old.push(await measure(older, name))
    rounds.new.push(await measure(newer, name))
  }
  const each = (costs: Cost[]) => (median(costs.map(({ ms }) => ms)) / times).toPrecision(3)
  const ratio = (key: keyof Cost) =>
    median(rounds.new.map((cost, round) => cost[key] / (rounds.old[round]?.[key] ?? NaN)))
  process.stdout.write(
    `| ${name} | ${each(rounds.old)} | ${each(rounds.new)} | ${ratio('ms').toFixed(2)} | ${ratio('cpuMs').toFixed(2)} |\n`,
  )
}

/** Starts a broker of this binary, connects users, and signs an admin in. */
async function prepare(binary: string) {
  const bench = await startBench(cleanup, binary)
  const { url, env, app, brokerToken, standIn } = bench
  const broker = { url } as Parameters<typeof connect>[0]
  const authorization = `Bearer ${brokerToken}`
  const form = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: brokerToken,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    client_id: app.id,
  })
  const formHeaders = { 'content-type': 'application/x-www-form-urlencoded' }
  const appApi = await prepareAppApi(bench, binary)
  const load = (target: string, bytes: Buffer): Work => ({
    times: 20_000,
    run: (requests) => sendLoad(target, bytes, { requests }),
  })
  const oneByOne = (times: number, work: () => Promise<unknown>): Work => ({
    times,
    async run(count) {
      for (let index = 0; index < count; index++) await work()
    },
  })

  await runCommand(env, ['admin', 'add', EMAIL, '--password-stdin'], { binary, input: PASSWORD })
  const visitor = new Visitor()
  const signIn = await visitor.open(`${url}/admin/sign-in`)
  await visitor.press(signIn, 'Sign in', { email: EMAIL, password: PASSWORD })
  const page = (path: string) => oneByOne(100, () => open(visitor, url + path))
  for (let count = 0; count < CONNECTIONS; count++) await connect(broker, app)

  const { connectionId } = await connect(broker, app)

  // The last work: from the first refresh on, the account's token is so short-lived that every swap refreshes it.
  let shortLived: ReturnType<typeof connect> | undefined
  const connectShortLived = () => {
    Object.assign(standIn.standIn.switches, { tokenLifetime: 60 })
    ageTokens(env.BROKER_DATA_DIR)
    return connect(broker, app)
  }
  const refresh = async () => {
    shortLived ??= connectShortLived()
    const token = (await shortLived).brokerToken
    const { status } = await fetch(`${url}/exchange`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ min_ttl: 9999 }),
    })
    if (status !== 200) throw new Error(`status ${status}`)
  }
  const works: Record<string, Work> = {
    'swap at /exchange': load(
      `${url}/exchange`,
      buildRequest(`${url}/exchange`, 'POST', { authorization }),
    ),
    'swap at /oauth/token': load(
      `${url}/oauth/token`,
      buildRequest(`${url}/oauth/token`, 'POST', formHeaders, form.toString()),
    ),
    'swap through the app API': load(appApi.url, appApi.bytes),
    connect: oneByOne(20, () => connect(broker, app)),
    'page: users': page('/admin/users'),
    'page: a search': page('/admin/users?q=a'),
    'page: a user': page(`/admin/users/${connectionId}`),
    'page: overview': page('/admin'),
    'page: audit log': page('/admin/audit'),
    'command: app list': oneByOne(3, () => runCommand(env, ['app', 'list'], { binary })),
    'start until ready': oneByOne(1, () => measureStart(binary, join(env.BROKER_DATA_DIR, '2'))),
    'swap with a refresh': oneByOne(100, refresh),
  }
  return { pid: bench.pid, works }
}

async function open(visitor: Visitor, url: string): Promise<void> {
  const { status } = await visitor.open(url)
  if (status !== 200) throw new Error(`${url} responded with status ${status}`)
}

interface Cost {
  ms: number
  cpuMs: number
}

async function measure({ pid, works }: Awaited<ReturnType<typeof prepare>>, name: string) {
  const work = works[name]
  if (!work) throw new Error(name)
  // Commands are processes of their own; they count when they have ended.
  const cpuMs = () => readCpuMs(pid) + readChildrenCpuMs()
  const [startedAt, cpuBefore] = [performance.now(), cpuMs()]
  await work.run(work.times)
  return { ms: performance.now() - startedAt, cpuMs: cpuMs() - cpuBefore }
}

function readCpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

function readChildrenCpuMs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) * TICK_MS
}
