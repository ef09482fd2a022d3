import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { standInDefaults, startStandIn } from '../server/stand-in/app.ts'
import { connect, freePort } from '../test/helper.ts'

const ROOT = join(import.meta.dirname, '..')

/** Starts a program, by default this Node.js. It stops when the stack is disposed. */
export function startProcess(
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
  cleanup.defer(() => stopProcess(child))
  return child
}

/** Sends SIGTERM and waits for the exit. */
export async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await exited
}

/** Waits until a URL responds to a POST request. */
export async function waitUntilReachable(url: string): Promise<void> {
  for (;;) {
    const response = await fetch(url, { method: 'POST' }).catch(() => null)
    if (response) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Starts a stand-in for the broker at this URL. It stops when the stack is disposed. */
export async function startBenchStandIn(cleanup: AsyncDisposableStack, brokerUrl: string) {
  const client = { ...standInDefaults.client, redirectUris: [`${brokerUrl}/callback`] }
  const standIn = await startStandIn({ port: 0, clients: [client] })
  cleanup.defer(() => standIn.close())
  return standIn
}

/** The settings of a broker that uses the default client of the stand-in. */
export const benchEnvironment = (
  { url, port, apiUrl }: { url: string; port: number; apiUrl: string },
  dataDir: string,
) => ({
  ELLIPSIS_CLIENT_ID: standInDefaults.client.id,
  ELLIPSIS_CLIENT_SECRET: standInDefaults.client.secret,
  ELLIPSIS_API_URL: apiUrl,
  BROKER_PUBLIC_URL: url,
  BROKER_PORT: String(port),
  BROKER_DATA_DIR: dataDir,
  BROKER_LOG_LEVEL: 'error',
  BROKER_WEBHOOK_ALLOW: '127.0.0.0/8',
})

/**
 * Starts a broker in a process of its own with one connected app, and a stand-in in this process.
 * @param toApiUrl starts a proxy between the two; returns the API's URL there
 */
export async function startBench(
  cleanup: AsyncDisposableStack,
  binary?: string,
  toApiUrl = async (apiUrl: string): Promise<string> => apiUrl,
) {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const standIn = await startBenchStandIn(cleanup, url)
  const dataDir = await mkdtemp(join(tmpdir(), 'ellipsis-broker-bench-'))
  cleanup.defer(() => rm(dataDir, { recursive: true, force: true }))
  const apiUrl = await toApiUrl(standIn.apiUrl)
  const env = benchEnvironment({ url, port, apiUrl }, dataDir)
  const args = binary === undefined ? ['server/main.ts', 'serve'] : ['serve']
  const child = startProcess(cleanup, args, env, binary)
  await waitUntilReachable(url)
  const { app } = await addApp(env, [], binary)
  const broker = { url } as Parameters<typeof connect>[0]
  const { brokerToken } = await connect(broker, app)
  return { url, standIn, env, app, brokerToken, pid: child.pid ?? 0 }
}

/**
 * Runs a command of a binary, by default of this checkout.
 * @returns what it printed
 */
export async function runCommand(
  env: Record<string, string>,
  args: string[],
  { binary, input = '' }: { binary?: string | undefined; input?: string } = {},
): Promise<string> {
  const program = binary === undefined ? [process.execPath, 'server/main.ts'] : [binary]
  const [file = '', ...rest] = [...program, ...args]
  const child = spawn(file, rest, {
    cwd: ROOT,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.stdin.end(input)
  let output = ''
  for await (const chunk of child.stdout) output += String(chunk)
  return output
}

/** Registers an app. `clientSecret` is empty for a public one. */
export async function addApp(
  env: Record<string, string>,
  options: string[] = [],
  binary?: string,
): Promise<{ app: Parameters<typeof connect>[1]; clientSecret: string }> {
  const args = ['app', 'add', 'Bench', '--redirect-uri', 'https://bench.example.com/', '--json']
  const json = await runCommand(env, [...args, ...options], { binary })
  const {
    client_id,
    client_secret = '',
    redirect_uris,
  } = JSON.parse(json) as Record<string, unknown>
  const app: unknown = { id: client_id, redirectUris: redirect_uris }
  return { app: app as Parameters<typeof connect>[1], clientSecret: client_secret as string }
}
