import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { standInDefaults, startStandIn } from '../server/stand-in/app.ts'
import { connect, freePort } from '../test/helper.ts'

const ROOT = join(import.meta.dirname, '..')

/** Runs a program with this Node, or one of its own, until the stack is disposed of. */
export function run(
  cleanup: AsyncDisposableStack,
  args: string[],
  env: Record<string, string> = {},
  program = process.execPath,
) {
  const child = spawn(program, args, {
    cwd: ROOT,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  cleanup.defer(() => end(child))
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
}

/** Waits until an address answers. */
export async function answering(url: string): Promise<void> {
  for (;;) {
    const answer = await fetch(url, { method: 'POST' }).catch(() => null)
    if (answer) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** A broker in a process of its own, before a stand-in in this one, with one connected app. */
export async function startBench(cleanup: AsyncDisposableStack, binary?: string) {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const client = { ...standInDefaults.client, redirectUris: [`${url}/callback`] }
  const standIn = await startStandIn({ port: 0, clients: [client] })
  cleanup.defer(() => standIn.close())
  const dataDir = await mkdtemp(join(tmpdir(), 'ellipsis-broker-bench-'))
  cleanup.defer(() => rm(dataDir, { recursive: true, force: true }))
  const env = {
    ELLIPSIS_CLIENT_ID: client.id,
    ELLIPSIS_CLIENT_SECRET: client.secret,
    ELLIPSIS_API_URL: standIn.apiUrl,
    BROKER_PUBLIC_URL: url,
    BROKER_PORT: String(port),
    BROKER_DATA_DIR: dataDir,
    BROKER_LOG_LEVEL: 'error',
  }
  const serve = binary === undefined ? ['server/main.ts', 'serve'] : ['serve']
  const child = run(cleanup, serve, env, binary)
  await answering(url)
  const app = await addApp(env)
  const broker = { url } as Parameters<typeof connect>[0]
  const { brokerToken } = await connect(broker, app)
  return { url, standIn, env, app, brokerToken, pid: child.pid ?? 0 }
}

async function addApp(env: Record<string, string>): Promise<Parameters<typeof connect>[1]> {
  const args = ['app', 'add', 'Bench', '--redirect-uri', 'https://bench.example.com/', '--json']
  const child = spawn(process.execPath, ['server/main.ts', ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  for await (const chunk of child.stdout) text += String(chunk)
  const { client_id, redirect_uris } = JSON.parse(text) as Record<string, unknown>
  const app: unknown = { id: client_id, redirectUris: redirect_uris }
  return app as Parameters<typeof connect>[1]
}
