import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { Test } from 'tap'

/** A network between the broker and its database. */
export interface Proxy {
  url: string
  /** How many connections were made. */
  count: number
  /** From now on, the connections that there are deliver nothing, and do not end; new ones work. */
  freeze(): void
  /** Cuts a connection once it has sent this text, and the server has answered; `null`: no more. */
  cutAfter(text: string | null): void
  /** Ends all connections, and new ones at once, until it is called with `false`. */
  refuse(isRefusing: boolean): void
  /**
   * The connection that delivers the nth message to the database from now on is cut or frozen then, and so are all that
   * come later if `isLasting`.
   * @returns has it happened?
   */
  failAt(nth: number, how: 'cut' | 'freeze', isLasting?: boolean): () => boolean
}

/** Starts a proxy to a database, which ends with the test. */
export async function startProxy(t: Test, database: string): Promise<Proxy> {
  const target = new URL(database)
  const sockets = new Set<Socket>()
  let cut: string | null = null
  let isRefusing = false
  let planned: { left: number; how: 'cut' | 'freeze'; isLasting: boolean } | null = null
  // A server that is frozen does not answer the end of a connection.
  const server = createServer({ allowHalfOpen: true }, (near) => {
    if (isRefusing) return near.destroy()
    proxy.count++
    const far = connect(Number(target.port), target.hostname)
    let isCut = false
    near.on('data', (data) => {
      if (fails()) return planned?.how === 'freeze' ? freeze(near, far) : near.destroy()
      isCut ||= cut !== null && data.includes(cut)
      far.write(data)
      return undefined
    })
    near.on('end', () => frozen.has(near) || far.end())
    far.on('data', (data) => {
      if (isCut) near.destroy()
      else near.write(data)
    })
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => undefined)
      one.on('close', () => {
        if (!frozen.has(one)) other.destroy()
      })
    }
    return undefined
  })
  const frozen = new Set<Socket>()
  const freeze = (...sockets: Socket[]) => {
    for (const socket of sockets) {
      frozen.add(socket)
      socket.removeAllListeners('data').resume()
    }
  }
  /** Is this message the one that fails? */
  const fails = () =>
    planned !== null && (--planned.left === 0 || (planned.isLasting && planned.left < 0))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const url = new URL(database)
  url.port = String((server.address() as AddressInfo).port)
  const proxy: Proxy = {
    url: url.href,
    count: 0,
    freeze: () => freeze(...sockets),
    failAt(nth, how, isLasting = false) {
      const plan = (planned = { left: nth, how, isLasting })
      return () => plan.left <= 0
    },
    cutAfter: (text) => void (cut = text),
    refuse(refuses) {
      isRefusing = refuses
      if (refuses) for (const socket of sockets) socket.destroy()
    },
  }
  return proxy
}
