import { createInterface } from 'node:readline/promises'
import { Command } from 'commander'
import { useProxy } from '../config/proxy.ts'
import type { Config } from '../config/config.ts'
import { CommandError, errorMessage, formatMessage } from '../operate/messages.ts'
import { writeSettings } from '../operate/env-file.ts'
import { ProbeError, probe, settingsOf } from '../operate/probe.ts'
import { runtime } from '../runtime.ts'
import { loadSettings } from './settings.ts'
import { print, printJson, printNotice } from './terminal.ts'

interface Flags {
  authorize: boolean
  reuse?: boolean
  write?: boolean
  json?: boolean
}

/** `probe`: tests undocumented behaviour of the real Ellipsis Drive. */
export function probeCommand(): Command {
  return new Command('probe')
    .description('test undocumented behaviour of Ellipsis Drive with your own OAuth client')
    .option('--no-authorize', 'skip the tests that need an authorization')
    .option('--reuse', 'also test a replaced refresh token, which may revoke the authorization')
    .option('--write', 'write the resulting settings to .env, or to the settings file that is used')
    .option('--json', 'print JSON')
    .action(run)
}

async function run({ authorize, reuse = false, write, json }: Flags): Promise<void> {
  const {
    config,
    settings: { files },
  } = loadSettings({ serve: true })
  const file = files.at(-1) ?? '.env'
  useProxy(config)
  printNotice(
    'Without an authorization: request encoding and error format (six requests with an invalid token, two of them with a wrong client secret); code parameter (four requests with an invalid code or none).',
  )
  if (authorize) {
    printNotice(
      'With one authorization, whose refresh token is discarded: token, account, rotation.',
    )
    printNotice(
      reuse
        ? 'May revoke that authorization: using a replaced refresh token.'
        : 'Skipped without --reuse: using a replaced refresh token.',
    )
  }
  const authorizer = authorize ? (url: string) => askForCallback(config, url) : null
  const found = await probe(config, runtime, authorizer, { reuse }).catch((error: unknown) => {
    if (error instanceof CommandError) throw error
    if (error instanceof ProbeError) throw new CommandError('probe.no-code')
    // The reason for an error of fetch is in its cause, whose message may be empty.
    const causes = [error, (error as Error).cause].filter((one) => one instanceof Error)
    const reason = causes.map(errorMessage).filter(Boolean).join(': ')
    throw new CommandError('probe.failed', { url: config.ellipsis.apiUrl, reason })
  })
  if (json) printJson(found)
  else
    for (const [name, value] of Object.entries(found)) print(`${name.padEnd(16)}${format(value)}`)
  const encodings = Object.values(found.encodings)
  if (!encodings.includes('read')) {
    throw new CommandError(encodings.includes(null) ? 'probe.inconclusive' : 'probe.same-answer')
  }
  const lines = settingsOf(found)
  const settings = lines.join(' ')
  if (write) {
    try {
      writeSettings(file, lines)
    } catch (error) {
      throw new CommandError('probe.write-failed', { file, reason: errorMessage(error), settings })
    }
  }
  printNotice(formatMessage(write ? 'probe.written' : 'probe.done', { file, settings }))
}

const format = (value: unknown): string =>
  value === null ? 'unknown' : typeof value === 'string' ? value : JSON.stringify(value)

/** Waits for the callback: on the broker's port if no broker uses it, or pasted by the operator. */
async function askForCallback({ host, port, callbackUrl }: Config, url: string): Promise<string> {
  printNotice(`\nOpen this address and click "Allow":\n\n  ${url}\n`)
  printNotice(`Then, within a minute, paste the address that the browser shows (${callbackUrl}?…):`)
  const { createServer } = await import('node:http')
  const lines = createInterface({ input: process.stdin })
  const server = createServer()
  try {
    const listenFailed = new Promise<string>((resolve) => {
      server.on('error', ({ message }) => resolve(message))
    })
    const received = new Promise<string>((resolve) => {
      server.on('request', (request, response) => {
        response.end('You can close this page.')
        const { search, searchParams } = new URL(String(request.url), callbackUrl)
        if (searchParams.has('state')) resolve(callbackUrl + search)
      })
      server.listen(port, host)
    })
    const pasted = new Promise<string>((resolve) =>
      lines.once('line', (line) => resolve(line.trim())),
    )
    const inputClosed = new Promise((resolve) => lines.once('close', resolve))
    const unreachable = Promise.all([listenFailed, inputClosed]).then(([reason]) => {
      throw new CommandError('probe.no-callback', { reason })
    })
    const address = await Promise.race([received, pasted, unreachable])
    if (!URL.canParse(address)) throw new ProbeError()
    return address
  } finally {
    lines.close()
    server.close()
    server.closeAllConnections()
  }
}
