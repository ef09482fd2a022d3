import { createServer } from 'node:http'
import { createInterface } from 'node:readline/promises'
import { Command } from 'commander'
import { loadConfig, readEnvironment } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import { CommandError, errorMessage, formatMessage } from '../operate/messages.ts'
import { writeSettings } from '../operate/env-file.ts'
import { ProbeError, probe, settingsOf } from '../operate/probe.ts'
import { runtime } from '../runtime.ts'
import { note, print, printJson } from './output.ts'

interface Flags {
  authorize: boolean
  reuse?: boolean
  write?: boolean
  json?: boolean
}

/** `probe`: what the real Ellipsis Drive does where its documentation is silent. */
export function probeCommand(): Command {
  return new Command('probe')
    .description('ask Ellipsis Drive what its documentation leaves open, with your own client')
    .option('--no-authorize', 'only what costs no authorization')
    .option('--reuse', 'also use a replaced refresh token, which may end the grant')
    .option('--write', 'write the settings that follow into .env')
    .option('--json', 'as JSON')
    .action(run)
}

async function run({ authorize, reuse = false, write, json }: Flags): Promise<void> {
  const config = loadConfig(readEnvironment(), { serve: true })
  note(
    'Costs nothing: encoding and error shapes (six requests with a bogus token, two of them with a wrong client secret); code parameter (four with a bogus code or none).',
  )
  if (authorize) {
    note('Costs one authorization, whose refresh token is thrown away: token, account, rotation.')
    note(
      reuse
        ? 'May end that grant: using a replaced refresh token.'
        : 'Not asked without --reuse: what a replaced refresh token does.',
    )
  }
  const asked = authorize ? (url: string) => askPerson(config, url) : null
  const found = await probe(config, runtime, asked, { reuse }).catch((error: unknown) => {
    if (error instanceof CommandError) throw error
    if (error instanceof ProbeError) throw new CommandError('probe.no-code')
    // What fetch throws has its reason in a cause, which may be without words.
    const causes = [error, (error as Error).cause].filter((one) => one instanceof Error)
    const reason = causes.map(errorMessage).filter(Boolean).join(': ')
    throw new CommandError('probe.failed', { url: config.ellipsis.apiUrl, reason })
  })
  if (json) printJson(found)
  else for (const [name, value] of Object.entries(found)) print(`${name.padEnd(16)}${show(value)}`)
  const encodings = Object.values(found.encodings)
  if (!encodings.includes('read')) {
    throw new CommandError(encodings.includes(null) ? 'probe.inconclusive' : 'probe.same-answer')
  }
  const lines = settingsOf(found)
  const settings = lines.join(' ')
  if (write) {
    try {
      writeSettings('.env', lines)
    } catch (error) {
      throw new CommandError('probe.write-failed', { reason: errorMessage(error), settings })
    }
  }
  note(formatMessage(write ? 'probe.written' : 'probe.done', { settings }))
}

const show = (value: unknown): string =>
  value === null ? 'could not be told' : typeof value === 'string' ? value : JSON.stringify(value)

/** The browser comes back to this port where no broker has it, or its address is pasted here. */
async function askPerson({ host, port, callbackUrl }: Config, url: string): Promise<string> {
  note(`\nOpen this, and allow:\n\n  ${url}\n`)
  note(`Then, within a minute, paste the address that the browser ends at (${callbackUrl}?…):`)
  const lines = createInterface({ input: process.stdin })
  const server = createServer()
  try {
    const deaf = new Promise<string>((resolve) => {
      server.on('error', ({ message }) => resolve(message))
    })
    const listened = new Promise<string>((resolve) => {
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
    const mute = new Promise((resolve) => lines.once('close', resolve))
    const cutOff = Promise.all([deaf, mute]).then(([reason]) => {
      throw new CommandError('probe.no-callback', { reason })
    })
    const address = await Promise.race([listened, pasted, cutOff])
    if (!URL.canParse(address)) throw new ProbeError()
    return address
  } finally {
    lines.close()
    server.close()
    server.closeAllConnections()
  }
}
