import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { isLoopbackHost } from '../addresses.ts'
import { visibleText } from '../visible-text.ts'

/** Parses the text of a setting. @throws InvalidValue */
export type Parse<T> = (text: string) => T

/** A value that a setting can't have. The message ends a sentence that begins with the setting's name. */
export class InvalidValue extends Error {}

export const text: Parse<string> = (value) => value

/** A name that is shown to people. */
export const label: Parse<string> = (value) => {
  const visible = visibleText(value)
  if (visible === '') throw new InvalidValue('has no visible characters.')
  return visible
}

/** A whole number in plain digits: no sign, no fraction, no exponent. */
export const integer =
  (min: number, max: number): Parse<number> =>
  (value) => {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : NaN
    if (number >= min && number <= max) return number
    throw new InvalidValue(`is not a whole number from ${min} to ${max}.`)
  }

const MAX_WORKERS = 64

/** A number of processes; `auto`: that of the cores. */
export const workers: Parse<number> = (value) => {
  if (value === 'auto') return Math.min(availableParallelism(), MAX_WORKERS)
  const count = /^\d{1,3}$/.test(value) ? Number(value) : NaN
  if (count >= 1 && count <= MAX_WORKERS) return count
  throw new InvalidValue(`is neither auto nor a whole number from 1 to ${MAX_WORKERS}.`)
}

const BYTE_UNITS: Record<string, number> = {
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

/** A size such as `10GiB`, in bytes. */
export const byteSize =
  (min: string): Parse<number> =>
  (value) => {
    const read = (text: string): number => {
      const [, digits = '', unit = ''] = /^(\d{1,6})\s*([KMGT]iB)$/.exec(text) ?? []
      return digits === '' ? NaN : Number(digits) * (BYTE_UNITS[unit] ?? NaN)
    }
    const bytes = read(value)
    if (bytes >= read(min)) return bytes
    throw new InvalidValue(`is not a size such as 1GiB, of at least ${min}.`)
  }

export const oneOf =
  <T extends string>(...choices: T[]): Parse<T> =>
  (value) => {
    const choice = choices.find((choice) => choice === value)
    if (choice === undefined) throw new InvalidValue(`must be one of ${choices.join(', ')}.`)
    return choice
  }

/** An http or https URL in canonical form: origin and path without a trailing slash. */
export const baseUrl: Parse<string> = (value) => {
  const url = webUrl(value)
  if (/[?#]/.test(value)) throw new InvalidValue('must not have a query or fragment.')
  const path = url.pathname.replace(/\/$/, '')
  if (!/^(\/[\w.~-]+)*$/.test(path)) {
    throw new InvalidValue(
      "has a path with an empty segment, or with characters other than letters, digits and '-._~'.",
    )
  }
  return url.origin + path
}

/** An OpenID Connect issuer: as the provider writes it, so a slash at the end of its path stays. */
export const issuer: Parse<string> = (value) => {
  const url = webUrl(value)
  if (/[?#]/.test(value)) throw new InvalidValue('must not have a query or fragment.')
  if (!isHttpsOrLocal(url.href))
    throw new InvalidValue(
      'must begin with https://, unless its host is 127.0.0.1, [::1] or localhost.',
    )
  return url.pathname === '/' ? url.origin : url.href
}

/** Scopes (RFC 6749 3.3) with `openid`. */
export const openidScope: Parse<string> = (value) => {
  const scopes = value.split(/\s+/)
  if (scopes.includes('openid')) return scopes.join(' ')
  throw new InvalidValue('does not contain openid.')
}

/** Texts, separated by commas. */
export const list: Parse<string[]> = (value) =>
  value.split(',').flatMap((part) => part.trim() || [])

/** A `baseUrl` on https, or on this machine. */
export const publicBaseUrl: Parse<string> = (value) => {
  const url = baseUrl(value)
  if (isHttpsOrLocal(url)) return url
  throw new InvalidValue(
    'must begin with https://, unless its host is 127.0.0.1, [::1] or localhost.',
  )
}

/** A `baseUrl` without a path. */
export const origin: Parse<string> = (value) => {
  const url = baseUrl(value)
  if (new URL(url).origin !== url) throw new InvalidValue('must be an origin without a path.')
  return url
}

/** The URL of a web page that users are linked to. */
export const pageUrl: Parse<string> = (value) => webUrl(value).href

/** An e-mail address, or the URL of a page. */
export const contact: Parse<string> = (text) => {
  const value = text.replace(/^mailto:/i, '')
  if (/^[^\s@/:?<>"]+@[^\s@/:?<>"]+$/.test(value)) return value
  if (/^https?:/i.test(value)) return pageUrl(value)
  throw new InvalidValue('must be an e-mail address or a URL.')
}

/** Addresses and networks in CIDR notation, separated by commas. */
export const networks: Parse<string[]> = (value) => {
  const list = value.split(',').map((part) => part.trim())
  const invalid = list.find((part) => !isNetwork(part))
  if (invalid !== undefined)
    throw new InvalidValue(`contains "${invalid}", which is not an address or network.`)
  return list
}

/** Different keys of 32 bytes each in base64url, separated by commas or line ends. */
export const keys: Parse<string[]> = (value) => {
  const list = value.split(/[\s,]+/).filter((part) => part !== '')
  const invalid = list.findIndex((part) => !isKey(part))
  if (invalid >= 0)
    throw new InvalidValue(`has an invalid key: key ${invalid + 1} is not 32 bytes in base64url.`)
  if (new Set(list).size < list.length) throw new InvalidValue('contains the same key twice.')
  return list
}

/** A bearer token (RFC 6750 2.1). */
export const bearerToken: Parse<string> = (value) => {
  if (!/^[A-Za-z0-9._~+/-]+=*$/.test(value)) {
    throw new InvalidValue("has characters other than letters, digits and '-._~+/'.")
  }
  return value
}

/** Is traffic to this URL encrypted, or local to this machine? */
export function isHttpsOrLocal(url: string): boolean {
  const { protocol, hostname } = new URL(url)
  return protocol === 'https:' || isLoopbackHost(hostname)
}

function webUrl(value: string): URL {
  const url = URL.parse(value)
  if (!url || !/^https?:\/\//i.test(value)) throw new InvalidValue('is not an http or https URL.')
  if (url.username !== '' || url.password !== '')
    throw new InvalidValue('must not have a user name or password.')
  return url
}

/** Is this an address, or a network in CIDR notation? */
export function isNetwork(part: string): boolean {
  const address = part.replace(/\/[1-9]\d{0,2}$/, '')
  const bits = Number(part.slice(address.length + 1))
  const family = isIP(address)
  return (family === 4 && bits <= 32) || (family === 6 && bits <= 128)
}

function isKey(part: string): boolean {
  const bytes = Buffer.from(part, 'base64url')
  return bytes.length === 32 && bytes.toString('base64url') === part
}

/** A host name or address to listen on. */
export const host: Parse<string> = (value) => {
  if (!/^[\w.:%-]+$/.test(value)) throw new InvalidValue('must be an address or a host name.')
  return value
}
