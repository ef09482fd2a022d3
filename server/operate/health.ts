import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { Config } from '../config/config.ts'
import { CommandError, errorMessage, formatMessage } from './messages.ts'

/** `/readyz` answers within a second. */
const TIMEOUT_MS = 3000

/**
 * `health`: is the broker that runs with these settings on this machine ready? For the health check of a
 * container, which has no other program.
 * @returns the message to print
 * @throws CommandError `health.not-ready`, `health.other-program`, `health.unreachable`
 */
export async function checkHealth(config: Pick<Config, 'host' | 'port' | 'tls'>): Promise<string> {
  const url = localUrl(config)
  const { status, body } = await get(url).catch((error: unknown) => {
    throw new CommandError('health.unreachable', { url, reason: errorMessage(error) })
  })
  const state = parseState(body)
  if (state === null) throw new CommandError('health.other-program', { url, status: status ?? 0 })
  if (status !== 200) throw new CommandError('health.not-ready', { url, reason: describe(state) })
  return formatMessage('health.ready', { url })
}

/** What `/readyz` of a broker says; `null`: the answer is not from a broker. */
function parseState(body: string): { store?: unknown; keys?: unknown } | null {
  try {
    const state: unknown = JSON.parse(body)
    return typeof state === 'object' && state !== null && 'store' in state ? state : null
  } catch {
    return null
  }
}

function describe({ store, keys }: { store?: unknown; keys?: unknown }): string {
  if (store !== true) return 'its database can’t be written to'
  return keys === true ? 'unknown reason' : 'it has no signing key'
}

/** Where this machine reaches the broker. */
function localUrl({ host, port, tls }: Pick<Config, 'host' | 'port' | 'tls'>): string {
  const address = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  const name = address.includes(':') ? `[${address}]` : address
  return `${tls ? 'https' : 'http'}://${name}:${port}/readyz`
}

function get(url: string): Promise<{ status: number | undefined; body: string }> {
  const send = url.startsWith('https') ? requestHttps : requestHttp
  // The certificate is for the public name, not for this address, and nothing secret is sent.
  const options = {
    rejectUnauthorized: false,
    agent: false,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }
  return new Promise((resolve, reject) => {
    const sent = send(url, options as object, (answer) => {
      let body = ''
      answer.setEncoding('utf8').on('data', (text: string) => (body += text))
      answer.on('end', () => resolve({ status: answer.statusCode, body }))
      answer.on('error', reject)
    })
    sent.on('error', reject).end()
  })
}
