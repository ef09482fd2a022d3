import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { App } from '../../db/store.ts'
import { loadConfig } from '../../server/config/config.ts'
import { createLog } from '../../server/log.ts'
import { Secret } from '../../server/secret.ts'
import { startServices } from '../../server/services.ts'
import { standInDefaults, startStandIn } from '../../server/stand-in/app.ts'
import { PASSWORD } from '../../test/admin.ts'
import { addApp, connect, freePort } from '../../test/helper.ts'
import type { TestBroker } from '../../test/helper.ts'
import { Visitor } from '../../test/visitor.ts'
import type { LoopDelay } from './broker.ts'
import { pagesOf, timePage } from './pages.ts'
import type { Times } from './times.ts'

/** What was measured of a store of that size. */
export interface Measured {
  count: number
  pages: Record<string, Times>
  figures: Record<string, string>
}

/** A broker in a process of its own, and a browser that is signed in. */
export interface Running {
  url: string
  env: Record<string, string>
  visitor: Visitor
  brokerToken: string
  /** How the event loop fared since it was asked last. */
  loop(): Promise<LoopDelay>
}

const EMAIL = 'bench@example.com'

/** Measures the broker on a store with so many connections; `beside` measures more while it runs. */
export async function measureSize(
  dataDir: string,
  count: number,
  beside?: (measured: Measured, running: Running) => Promise<void>,
): Promise<Measured> {
  await using cleanup = new AsyncDisposableStack()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const client = { ...standInDefaults.client, redirectUris: [`${url}/callback`] }
  const standIn = await startStandIn({ port: 0, clients: [client] })
  cleanup.defer(() => standIn.close())
  const env = {
    ELLIPSIS_CLIENT_ID: client.id,
    ELLIPSIS_CLIENT_SECRET: client.secret,
    ELLIPSIS_API_URL: standIn.apiUrl,
    BROKER_PUBLIC_URL: url,
    BROKER_PORT: String(port),
    BROKER_DATA_DIR: dataDir,
    BROKER_LOG_LEVEL: 'error',
  }
  const { apps, app } = await prepare(env)
  const bytes = (await stat(join(dataDir, 'broker.db'))).size

  const startedAt = performance.now()
  const child = await start(env)
  cleanup.defer(() => end(child))
  const milliseconds = performance.now() - startedAt
  const loop = async () => {
    child.send('ask')
    const [told] = (await once(child, 'message')) as [LoopDelay]
    return told
  }
  const before = await loop()
  const visitor = await signIn(url)
  const { brokerToken } = await connect({ url } as TestBroker, app)

  const pages: Record<string, Times> = {}
  for (const [name, path] of Object.entries(pagesOf(dataDir, apps))) {
    pages[name] = await timePage(visitor, url + path)
  }
  const after = await loop()
  const figures = {
    'bytes of the database a connection, with its grants and events': (bytes / count).toFixed(0),
    'time to start, ms': milliseconds.toFixed(0),
    'memory after the start, MiB': before.mebibytes.toFixed(0),
    'memory after all pages, MiB': after.mebibytes.toFixed(0),
    'longest stop of the event loop while pages were shown, ms': after.longest.toFixed(1),
  }
  const measured = { count, pages, figures }
  await beside?.(measured, { url, env, visitor, brokerToken, loop })
  return measured
}

/** Adds an admin, and an app that can be connected with, to those that are there. */
async function prepare(env: Record<string, string>): Promise<{ apps: App[]; app: App }> {
  const config = loadConfig(env, { serve: true })
  const services = await startServices(config, createLog(config), { claim: 'same' })
  try {
    const apps = await services.apps.list()
    await services.admins.add(EMAIL, new Secret(PASSWORD), 'cli')
    const app = await addApp({ services } as TestBroker)
    return { apps, app }
  } finally {
    await services.stop()
  }
}

async function start(env: Record<string, string>): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'broker.ts'), {
    env: { PATH: process.env.PATH, ...env },
  })
  const [message] = (await once(child, 'message')) as [string]
  if (message !== 'ready') throw new Error(`the broker said ${message}`)
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

async function signIn(url: string): Promise<Visitor> {
  const visitor = new Visitor()
  const page = await visitor.open(`${url}/admin/sign-in`)
  const inside = await visitor.press(page, 'Sign in', { email: EMAIL, password: PASSWORD })
  if (inside.url !== `${url}/admin`) throw new Error('the admin could not sign in')
  return visitor
}
