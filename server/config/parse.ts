import { isIP } from 'node:net'

/** Turns a setting's text into its value. Throws `Wrong`. */
export type Parse<T> = (text: string) => T

/** What is wrong with a value: the rest of a sentence that begins with the setting's name. */
export class Wrong extends Error {}

export const text: Parse<string> = (value) => value

/** A whole number in plain digits: no sign, no fraction, no exponent. */
export const integer =
  (least: number, most: number): Parse<number> =>
  (value) => {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : NaN
    if (number >= least && number <= most) return number
    // What Kubernetes sets for a service that is named "broker".
    const hint = value.startsWith('tcp://')
      ? '; Kubernetes set it: use enableServiceLinks: false'
      : ''
    throw new Wrong(`is not a whole number from ${least} to ${most}${hint}.`)
  }

export const oneOf =
  <T extends string>(...choices: T[]): Parse<T> =>
  (value) => {
    const choice = choices.find((choice) => choice === value)
    if (choice === undefined) throw new Wrong(`is none of ${choices.join(', ')}.`)
    return choice
  }

/** An absolute http or https URL, canonical: origin and path, without a slash at the end. */
export const baseUrl: Parse<string> = (value) => {
  const url = webUrl(value)
  if (/[?#]/.test(value)) throw new Wrong('has a query or fragment, which it must not have.')
  const path = url.pathname.replace(/\/$/, '')
  if (!/^(\/[\w.~-]+)*$/.test(path)) {
    throw new Wrong(
      "has a path of other characters than letters, digits and '-._~', or an empty part.",
    )
  }
  return url.origin + path
}

/** `baseUrl`, and https unless it is this machine's own. */
export const publicBaseUrl: Parse<string> = (value) => {
  const url = baseUrl(value)
  if (isSafe(url)) return url
  throw new Wrong('must begin with https://, unless its host is 127.0.0.1, [::1] or localhost.')
}

/** `baseUrl` that has no path. */
export const origin: Parse<string> = (value) => {
  const url = baseUrl(value)
  if (new URL(url).origin !== url) throw new Wrong('has a path; it must be an origin alone.')
  return url
}

/** The URL of a web page, as people may be linked to. */
export const pageUrl: Parse<string> = (value) => webUrl(value).href

/** An e-mail address, or the URL of a page. */
export const contact: Parse<string> = (value) => {
  if (/^[^\s@/:?<>"]+@[^\s@/:?<>"]+$/.test(value)) return value
  if (/^https?:/i.test(value)) return pageUrl(value)
  throw new Wrong('is neither an e-mail address nor a URL.')
}

/** Addresses and networks in CIDR notation, separated by commas. */
export const networks: Parse<string[]> = (value) => {
  const list = value.split(',').map((part) => part.trim())
  const bad = list.find((part) => !isNetwork(part))
  if (bad !== undefined) throw new Wrong(`has "${bad}", which is no address or network.`)
  return list
}

/** Different keys of 32 bytes each in base64url, separated by commas or line ends. */
export const keys: Parse<string[]> = (value) => {
  const list = value.split(/[\s,]+/).filter((part) => part !== '')
  const bad = list.findIndex((part) => !isKey(part))
  if (bad >= 0)
    throw new Wrong(`is no list of keys: number ${bad + 1} isn't 32 bytes in base64url.`)
  if (new Set(list).size < list.length) throw new Wrong('has a key twice.')
  return list
}

/** What a client can send as a bearer token (RFC 6750 2.1). */
export const bearerToken: Parse<string> = (value) => {
  if (!/^[A-Za-z0-9._~+/-]+=*$/.test(value)) {
    throw new Wrong("has other characters than letters, digits and '-._~+/'.")
  }
  return value
}

/** Does traffic to it stay on this machine, or is it encrypted? */
export function isSafe(url: string): boolean {
  const { protocol, hostname } = new URL(url)
  return protocol === 'https:' || /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)
}

function webUrl(value: string): URL {
  const url = URL.parse(value)
  if (!url || !/^https?:\/\//i.test(value)) throw new Wrong('is not an http or https URL.')
  if (url.username !== '' || url.password !== '') throw new Wrong('has a user name or password.')
  return url
}

function isNetwork(part: string): boolean {
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
  if (!/^[\w.:%-]+$/.test(value)) throw new Wrong('is neither an address nor a host name.')
  return value
}
