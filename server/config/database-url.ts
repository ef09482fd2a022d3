import { isLoopbackHost } from '../addresses.ts'
import { InvalidValue } from './parse.ts'
import type { Parse } from './parse.ts'
import { Secret } from '../secret.ts'

/** A PostgreSQL database. */
export interface DatabaseUrl {
  /** A URL for each of its servers, in order; each may contain a password. */
  urls: Secret[]
  /** For people: servers and database, without user and password. */
  address: string
  /** Is every server on this machine? */
  isLocal: boolean
}

/** With `prefer`, a server could talk the broker out of TLS. */
const SSL_MODES = ['disable', 'require', 'verify-ca', 'verify-full']
/** The broker always looks for a server that takes writes. */
const SESSION_ATTRIBUTES = ['read-write', 'primary', 'any']
const SHAPE = /^postgres(?:ql)?:\/\/(?:([^/?#]*)@)?([^@/?#]*)\/([^/?#]+)(?:\?([^#]*))?$/i

/**
 * A connection URI as libpq reads it (PostgreSQL, 34.1.1.2), with one server or several. The values of `sslmode` and
 * `sslrootcert` mean the same as there.
 */
export const databaseUrl: Parse<DatabaseUrl> = (value) => {
  const [, user, authority = '', database = '', query = ''] = SHAPE.exec(value) ?? []
  if (database === '')
    throw new InvalidValue(
      'is not of the form postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded.',
    )
  const parameters = new URLSearchParams(query)
  const socket = parameters.get('host')
  if ((socket === null) === (authority === ''))
    throw new InvalidValue('must name one or more hosts, or the directory of a socket as ?host=.')
  if (socket !== null && !socket.startsWith('/'))
    throw new InvalidValue('has a parameter host that is not the directory of a socket.')
  checkChoice(parameters, 'sslmode', SSL_MODES)
  checkChoice(parameters, 'target_session_attrs', SESSION_ATTRIBUTES)
  if (parameters.get('sslmode') === 'verify-ca' && !parameters.has('sslrootcert'))
    throw new InvalidValue('has sslmode=verify-ca without sslrootcert.')
  parameters.delete('target_session_attrs')
  // Otherwise pg gives the modes other meanings than libpq.
  if (parameters.has('sslmode')) parameters.set('uselibpqcompat', 'true')
  const hosts = authority.split(',')
  const urls = hosts.map((host) => {
    const url = `postgres://${user === undefined ? '' : `${user}@`}${host}/${database}?${parameters}`
    if (host !== '' && !URL.canParse(url))
      throw new InvalidValue('has a host, user or password that can’t be read.')
    return new Secret(url)
  })
  return {
    urls,
    address: `${socket ?? authority}/${database}`,
    isLocal: hosts.every((host) => isLoopbackHost(host.replace(/:\d*$/, '')) || host === ''),
  }
}

function checkChoice(parameters: URLSearchParams, name: string, choices: string[]): void {
  const value = parameters.get(name)
  if (value === null || choices.includes(value)) return
  throw new InvalidValue(`has a parameter ${name} that is not one of ${choices.join(', ')}.`)
}
