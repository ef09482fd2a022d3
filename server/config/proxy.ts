import { createNetworkMatcher, isLoopbackHost } from '../addresses.ts'
import { Secret } from '../secret.ts'
import { InvalidValue, isNetwork } from './parse.ts'

/**
 * The proxy for calls to Ellipsis Drive, from the variables that most programs read: `HTTPS_PROXY`, `HTTP_PROXY`
 * and `NO_PROXY`, or the same in lower case, which takes precedence.
 */

/**
 * The proxy for calls to that URL; `null`: none. It may contain a password. This machine needs no proxy.
 * @param onProblem called with a variable that is not the URL of a proxy, and why
 */
export function readProxy(
  env: NodeJS.ProcessEnv,
  url: string,
  onProblem: (name: string, problem: string) => void,
): Secret | null {
  const { protocol } = new URL(url)
  const read = (name: string) => env[name]?.trim() || undefined
  const names = [`${protocol.slice(0, -1)}_proxy`, `${protocol.slice(0, -1)}_proxy`.toUpperCase()]
  const name = names.find((candidate) => read(candidate) !== undefined)
  const noProxy = read('no_proxy') ?? read('NO_PROXY') ?? ''
  if (name === undefined || isExempt(new URL(url), noProxy)) return null
  try {
    return new Secret(parseProxy(read(name) ?? ''))
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error
    onProblem(name, error.message)
    return null
  }
}

/** The URL of a proxy. As in other programs, `http://` may be omitted. */
function parseProxy(value: string): string {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`)
  if (url && /^https?:$/.test(url.protocol) && /^\/?$/.test(url.pathname + url.search + url.hash)) {
    return url.href
  }
  // The value may contain a password, so it is not repeated.
  throw new InvalidValue(
    'is not the URL of an http or https proxy. Percent-encode special characters of a password.',
  )
}

const DEFAULT_PORTS: Record<string, string> = { 'http:': '80', 'https:': '443' }

/** Is the URL exempt from the proxy, by `NO_PROXY` or because it is on this machine? */
function isExempt(url: URL, noProxy: string): boolean {
  const host = plainHost(url.hostname)
  if (isLoopbackHost(host)) return true
  const port = url.port || DEFAULT_PORTS[url.protocol]
  return noProxy.split(/[\s,]+/).some((entry) => {
    if (entry === '*') return true
    if (isNetwork(entry)) return createNetworkMatcher([entry])(host)
    const [, name = '', entryPort = port] = /^(\[.*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? []
    const suffix = plainHost(name.replace(/^\*?\./, ''))
    return suffix !== '' && port === entryPort && `.${host}`.endsWith(`.${suffix}`)
  })
}

/** A host in lower case, without brackets or the dot at the end. */
const plainHost = (host: string): string => host.toLowerCase().replace(/^\[|\]$|\.$/g, '')

/** Where `doctor` looks: a proxy without its user and password. */
export function describeProxy(proxy: Secret): string {
  const { protocol, host } = new URL(proxy.reveal())
  return `${protocol}//${host}`
}

/**
 * From now on, this process's calls to Ellipsis Drive and to the identity provider of admins go through the proxy,
 * unless they are exempt from it. Calls to this machine and to the broker's own public URL don't. Returns a function
 * that ends it.
 */
export function useProxy({
  proxy,
  publicUrl,
  ellipsis,
  adminOidc,
}: {
  proxy: Secret | null
  publicUrl: string
  ellipsis: { apiUrl: string }
  adminOidc: { issuer: string; proxy: Secret | null } | null
}): () => void {
  const url = (proxy ?? adminOidc?.proxy)?.reveal()
  if (url === undefined) return () => undefined
  const hostOf = (address: string) => new URL(address).hostname
  const [ownHost, apiHost] = [hostOf(publicUrl), hostOf(ellipsis.apiUrl)]
  const direct = [
    ...['localhost', '127.0.0.1', '[::1]'],
    ...(proxy && ownHost === apiHost ? [] : [ownHost]),
    ...(proxy ? [] : [apiHost]),
    ...(adminOidc && !adminOidc.proxy ? [hostOf(adminOidc.issuer)] : []),
  ]
  // An import of node:http would load Node's fetch, too, at the start of every command.
  return process.getBuiltinModule('node:http').setGlobalProxyFromEnv({
    HTTP_PROXY: url,
    HTTPS_PROXY: url,
    NO_PROXY: direct.join(','),
  })
}
