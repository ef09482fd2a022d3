import { parseEnv } from 'node:util'
import { table } from './settings.ts'

/** The variables of the text of a `.env` file, with any kind of line ends. */
export const parseEnvText = (text: string): NodeJS.Dict<string> =>
  parseEnv(text.replace(/\r\n?/g, '\n'))

/**
 * The environment without the variables that Kubernetes makes of a service whose name begins with `broker` or
 * `ellipsis`, such as BROKER_PORT=tcp://10.0.0.1:3000. A name that begins with the byte-order mark of the file
 * it came from loses that mark.
 */
export function cleanEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const entries = Object.entries(environment)
    .map(([name, value]) => [name.replace(/^\uFEFF/, ''), value] as const)
    .filter(([name, value]) => !isServiceVariable(name, value ?? ''))
  return Object.fromEntries(entries)
}

const SERVICE_VARIABLE =
  /^(BROKER|ELLIPSIS)_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)$/

function isServiceVariable(name: string, value: string): boolean {
  if (SERVICE_VARIABLE.test(name)) return !Object.hasOwn(table, name)
  return /^(BROKER|ELLIPSIS)_([A-Z0-9_]+_)?PORT$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value)
}
