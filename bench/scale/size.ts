import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { App } from '../../db/store.ts'
import { loadConfig } from '../../server/config/config.ts'
import { createLog } from '../../server/log.ts'
import { Secret } from '../../server/secret.ts'
import { startServices } from '../../server/services.ts'
import { PASSWORD } from '../../test/admin.ts'
import { addApp, connect, freePort } from '../../test/helper.ts'
import type { TestBroker } from '../../test/helper.ts'
import { query } from '../../test/postgres.ts'
import { Visitor } from '../../test/visitor.ts'
import type { Percentiles } from '../load.ts'
import { benchEnvironment, startBenchStandIn, stopProcess } from '../setup.ts'
import type { ProcessStats } from './broker.ts'
import { checkRefresh, checkSamples, measureCopy, readDatabaseBytes, signSamples } from './copy.ts'
import type { CopyTarget, Samples } from './copy.ts'
import { listPages, measurePage } from './pages.ts'
import type { Ask } from './pages.ts'

/** The measurements of a store with `count` connections. */
export interface SizeResult {
  count: number
  pages: Record<string, Percentiles>
  figures: Record<string, string>
}

/** A broker in a process of its own, and a signed-in admin. */
export interface MeasuredBroker {
  url: string
  env: Record<string, string>
  visitor: Visitor
  brokerToken: string
  /** Reads the event loop delay since the previous call, and the memory. */
  readStats(): Promise<ProcessStats>
}

const EMAIL = 'bench@example.com'

/**
 * Measures a broker on a store with `count` connections.
 * @param options.copy an empty PostgreSQL database, to which the store is copied first
 * @param options.measureMore runs before the broker stops
 */
export async function measureSize(
  dataDir: string,
  count: number,
  options: {
    copy?: CopyTarget | undefined
    measureMore?: (result: SizeResult, broker: MeasuredBroker) => Promise<void>
  } = {},
): Promise<SizeResult> {
  const { copy, measureMore } = options
  await using cleanup = new AsyncDisposableStack()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const { apiUrl } = await startBenchStandIn(cleanup, url)
  const env: Record<string, string> = benchEnvironment({ url, port, apiUrl }, dataDir)
  const { apps, app, samples } = await prepareBroker(env)

  let child = await startMeasuredBroker(env)
  cleanup.defer(() => stopProcess(child))
  const { brokerToken } = await connect({ url } as TestBroker, app)
  await stopProcess(child)
  if (copy) {
    await measureCopy(env, copy)
    env.BROKER_DATABASE_URL = copy.databaseUrl
  }

  const startedAt = performance.now()
  child = await startMeasuredBroker(env)
  const startMs = performance.now() - startedAt
  const readStats = async () => {
    child.send('read stats')
    const [stats] = (await once(child, 'message')) as [ProcessStats]
    return stats
  }
  const statsBefore = await readStats()
  if (copy) {
    await checkSamples(url, samples)
    await checkRefresh(url, brokerToken)
    copy.print(`- ${samples.size} broker tokens of before got their access tokens, one a refresh`)
  }
  const visitor = await signIn(url)

  const ask: Ask = copy
    ? (statement) => query(copy.databaseUrl, statement)
    : async (statement) => {
        const client = new Database(join(dataDir, 'broker.db'), { readonly: true })
        const rows = client.prepare(statement).all()
        client.close()
        return rows
      }
  const databaseBytes = copy
    ? await readDatabaseBytes(copy.databaseUrl)
    : (await stat(join(dataDir, 'broker.db'))).size
  const pages: Record<string, Percentiles> = {}
  for (const [name, path] of Object.entries(await listPages(ask, apps))) {
    pages[name] = await measurePage(visitor, url + path)
  }
  const statsAfter = await readStats()
  const figures = {
    'bytes of the database per connection, with its grants and events': (
      databaseBytes / count
    ).toFixed(0),
    'time to start, ms': startMs.toFixed(0),
    'memory after the start, MiB': statsBefore.mebibytes.toFixed(0),
    'memory after all pages, MiB': statsAfter.mebibytes.toFixed(0),
    'longest event loop delay while pages were shown, ms': statsAfter.longestDelayMs.toFixed(1),
  }
  const result = { count, pages, figures }
  await measureMore?.(result, { url, env, visitor, brokerToken, readStats })
  return result
}

/** Adds an admin and an app. `apps` are those that the store had before. */
async function prepareBroker(
  env: Record<string, string>,
): Promise<{ apps: App[]; app: App; samples: Samples }> {
  const config = loadConfig(env, { serve: true })
  const services = await startServices(config, createLog(config), { claim: 'same' })
  try {
    const apps = await services.apps.list()
    await services.admins.add(EMAIL, new Secret(PASSWORD), 'cli')
    const app = await addApp({ services } as TestBroker)
    return { apps, app, samples: await signSamples(services) }
  } finally {
    await services.stop()
  }
}

async function startMeasuredBroker(env: Record<string, string>): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'broker.ts'), {
    env: { PATH: process.env.PATH, ...env },
  })
  const [message] = (await once(child, 'message')) as [string]
  if (message !== 'ready') throw new Error(`unexpected message from the broker: ${message}`)
  return child
}

async function signIn(url: string): Promise<Visitor> {
  const visitor = new Visitor()
  const page = await visitor.open(`${url}/admin/sign-in`)
  const overview = await visitor.press(page, 'Sign in', { email: EMAIL, password: PASSWORD })
  if (overview.url !== `${url}/admin`) throw new Error('the admin sign-in failed')
  return visitor
}
