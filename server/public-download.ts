import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { createNetworkMatcher, isPublic } from './addresses.ts'
import type { Secret } from './secret.ts'

const TIMEOUT_MS = 5000

/**
 * Returns a function that downloads a document from the Internet: within five seconds, without redirects, and
 * from public addresses only. The address is checked when the connection is made, so that a name cannot be public
 * when it is checked and private when it is used. Through a proxy, the proxy looks the name up; then only
 * addresses in the URL itself are checked.
 * @param options.allowed networks that are allowed although they are not public
 */
export function createPublicDownload(options: {
  allowed: string[]
  proxy: Secret | null
  maxBytes: number
}): (url: string) => Promise<string> {
  const { proxy, maxBytes } = options
  const isExempt = createNetworkMatcher(options.allowed)
  const isAllowed = (address: string): boolean => isPublic(address) || isExempt(address)

  const lookUpAllowed: LookupFunction = (host, settings, done) =>
    lookup(host, { ...settings, all: true }, (error, found) => {
      if (error) return done(error, '')
      const addresses = found.filter(({ address }) => isAllowed(address))
      const [first] = addresses
      if (!first) return done(notPublic(host), '')
      if (settings.all) done(null, addresses)
      else done(null, first.address, first.family)
    })

  return async (text) => {
    const { hostname } = new URL(text)
    const literal = hostname.replace(/^\[|\]$/g, '')
    // No name is looked up for an address.
    if (/^\[|^[0-9.]+$/.test(hostname) && !isAllowed(literal)) throw notPublic(hostname)
    // undici takes 0.1 s to load, and downloads are rare.
    const { Agent, ProxyAgent, request } = await import('undici')
    const dispatcher = proxy
      ? new ProxyAgent(proxy.reveal())
      : new Agent({ connect: { lookup: lookUpAllowed, timeout: TIMEOUT_MS } })
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS)
      const headers = { accept: 'application/json', 'user-agent': 'ellipsis-broker' }
      const { statusCode, body } = await request(text, { dispatcher, signal, headers })
      if (statusCode !== 200) throw new Error(`${hostname} answered with status ${statusCode}`)
      return await readLimited(body, hostname, maxBytes)
    } finally {
      await dispatcher.destroy()
    }
  }
}

async function readLimited(
  body: AsyncIterable<Buffer>,
  hostname: string,
  maxBytes: number,
): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.byteLength
    if (length > maxBytes) throw new Error(`${hostname} sent more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

const notPublic = (host: string): Error =>
  Object.assign(new Error(`${host} is not a public address`), { code: 'EADDRNOTPUBLIC' })
