import { lookup as systemLookup } from 'node:dns'
import type { LookupAddress, LookupOptions } from 'node:dns'
import { isIP } from 'node:net'
import type { LookupFunction } from 'node:net'
import type { Dispatcher, buildConnector as Connectors } from 'undici'
import { createNetworkMatcher, isPublic } from './addresses.ts'
import type { Secret } from './secret.ts'
import { createSemaphore } from './semaphore.ts'

/** Requests to URLs that others chose: they reach no private network, unless the host allows it. */
export interface PublicRequests {
  /**
   * Sends one request, without redirects. The address is checked when the connection is made, so that a name cannot
   * be public when it is checked and private when it is used. Plain http only reaches allowed networks. Through a
   * proxy, the proxy looks the name up; then only addresses in the URL itself are checked.
   * @throws Error with the code `EADDRNOTPUBLIC`, or of the connection
   */
  send(
    url: string,
    options: {
      method: 'GET' | 'POST'
      headers: Record<string, string>
      body?: string
      signal: AbortSignal
    },
  ): Promise<Dispatcher.ResponseData>
  /** Closes all connections. */
  close(): Promise<void>
}

/** Closes idle connections: rarely do two requests to one URL follow each other. */
const KEEP_ALIVE_MS = 4000
/**
 * What one connection may receive: interim responses, chunk extensions and trailers have no limit of their own, and
 * parsing them without end would keep the process busy.
 */
const MAX_CONNECTION_BYTES = 2 ** 20
/**
 * libuv has two threads for look-ups, and a name server that does not answer holds one for many seconds. The other
 * one is for Ellipsis Drive.
 */
const MAX_LOOKUPS = 1
/** So few that proper answers, with 16 KiB of headers at most, stay below. */
const MAX_REQUESTS_PER_CONNECTION = 50

/**
 * @param options.allowed networks that are allowed although they are not public
 * @param options.connectTimeoutMs milliseconds
 * @param options.lookup as `dns.lookup`
 */
export function createPublicRequests(options: {
  allowed: string[]
  proxy: Secret | null
  connectTimeoutMs: number
  lookup?: typeof systemLookup
}): PublicRequests {
  const { proxy, connectTimeoutMs: timeout, lookup = systemLookup } = options
  const isExempt = createNetworkMatcher(options.allowed)
  const isAllowed = (address: string, protocol: string): boolean =>
    isExempt(address) || (protocol === 'https:' && isPublic(address))

  const lookupSlots = createSemaphore(MAX_LOOKUPS)
  const lookups = new Map<string, Promise<LookupAddress[]>>()
  /** Looks a name up; once for all who ask meanwhile. */
  const lookUp = (host: string, settings: LookupOptions): Promise<LookupAddress[]> => {
    const begin = async () => {
      const release = await lookupSlots.acquire()
      try {
        return await new Promise<LookupAddress[]>((resolve, reject) => {
          const answer = (error: Error | null, found: LookupAddress[]) =>
            error ? reject(error) : resolve(found)
          lookup(host, { ...settings, all: true }, answer)
        })
      } finally {
        release()
        lookups.delete(host)
      }
    }
    const found = lookups.get(host) ?? begin()
    lookups.set(host, found)
    return found
  }

  const lookUpFor =
    (protocol: string): LookupFunction =>
    (host, settings, done) =>
      void lookUp(host, settings).then(
        (found) => {
          const addresses = found.filter(({ address }) => isAllowed(address, protocol))
          const [first] = addresses
          if (!first) return done(notAllowed(host, protocol), '')
          if (settings.all) done(null, addresses)
          else done(null, first.address, first.family)
        },
        (error: NodeJS.ErrnoException) => done(error, ''),
      )

  const agents = new Map<string, Promise<Dispatcher>>()
  /** undici takes 0.1 s to load, and is rarely needed. */
  const connect = async (protocol: string, isProxied: boolean): Promise<Dispatcher> => {
    const { Agent, Pool, ProxyAgent, buildConnector } = await import('undici')
    const shared = {
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      maxRequestsPerClient: MAX_REQUESTS_PER_CONNECTION,
      // With HTTP/2, an attempt that times out would leave its connection to the next one.
      allowH2: false,
      factory: (origin: string | URL, options: object) => {
        const { connect } = options as { connect: Connectors.connector }
        return new Pool(origin, { ...options, connect: limitBytes(connect) })
      },
    }
    if (proxy && isProxied) return new ProxyAgent({ uri: proxy.reveal(), ...shared })
    const direct = { lookup: lookUpFor(protocol), timeout, allowH2: false }
    return new Agent({ connect: buildConnector(direct), ...shared })
  }
  const agentFor = (protocol: string, isProxied: boolean): Promise<Dispatcher> => {
    const key = `${protocol} ${isProxied}`
    const agent = agents.get(key) ?? connect(protocol, isProxied)
    agents.set(key, agent)
    return agent
  }

  return {
    async send(text, request) {
      const { hostname, protocol } = new URL(text)
      const literal = hostname.replace(/^\[|\]$/g, '')
      // No name is looked up for an address. The parser of URLs writes all forms of IPv4 as four decimal numbers.
      const isAddress = isIP(literal) !== 0
      if (isAddress && !isAllowed(literal, protocol)) throw notAllowed(hostname, protocol)
      // An address that only the host's own network knows needs no proxy.
      const isProxied = proxy !== null && !(isAddress && isExempt(literal))
      if (isProxied && protocol !== 'https:') throw notAllowed(hostname, protocol)
      const { request: send } = await import('undici')
      return send(text, { ...request, dispatcher: await agentFor(protocol, isProxied) })
    },

    async close() {
      const opened = [...agents.values()]
      agents.clear()
      await Promise.all(opened.map(async (agent) => (await agent).destroy()))
    },
  }
}

/** Connections that end after `MAX_CONNECTION_BYTES`. */
const limitBytes =
  (connect: Connectors.connector): Connectors.connector =>
  (options, done) =>
    connect(options, (...result) => {
      const [, socket] = result
      socket?.on('readable', () => {
        if (socket.bytesRead > MAX_CONNECTION_BYTES)
          socket.destroy(new Error('the answer is too long'))
      })
      done(...result)
    })

const notAllowed = (host: string, protocol: string): Error => {
  const also = protocol === 'https:' ? '' : ', or http may not be used for it'
  const message = `${host} is not a public address${also}`
  return Object.assign(new Error(message), { code: 'EADDRNOTPUBLIC' })
}
