import type { Client } from '../client.ts'
import { loadTile } from './tile.ts'

/** What the functions use of Leaflet 1: the module, or the global `L`. */
interface Leaflet<Layer> {
  tileLayer(template: string, options?: object): Layer
}

interface TileLayer {
  on(event: string, listener: (event: never) => void): unknown
  setUrl(template: string, noRedraw?: boolean): unknown
  getTileUrl(coords: object): string
  createTile(coords: object, done: (error?: Error, tile?: HTMLElement) => void): HTMLElement
}

export interface LinkOptions {
  /** Lifetime of each link, in seconds. A newer one replaces it before. */
  expiresIn?: number
  label?: string
}

const DEFAULT_LIFETIME_SECONDS = 3600
/** The last tenth is for requests that have begun, and for retries. */
const RENEWAL_SHARE = 0.9
const RETRY_MS = 30_000
/** Longer timers end at once (https://html.spec.whatwg.org/multipage/timers-and-user-prompts.html). */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * A tile layer that reads by a link, as images: the browser caches them, and no token is in the page's requests.
 * While the layer is on a map, a newer link takes the place of one that is about to expire.
 * @param path of Ellipsis Drive's API, with `{z}`, `{x}` and `{y}`
 * @param options of Leaflet's layer
 * @throws BrokerError of `client.link`
 */
export async function createLinkLayer<Layer extends TileLayer>(
  leaflet: Leaflet<Layer>,
  client: Pick<Client, 'link'>,
  path: string,
  { expiresIn = DEFAULT_LIFETIME_SECONDS, label = '', ...options }: LinkOptions & object = {},
): Promise<Layer> {
  const create = () => client.link(path, { expiresIn, label })
  const layer = leaflet.tileLayer((await create()).url, options)
  let createdAt = Date.now()
  let timer: ReturnType<typeof setTimeout> | undefined
  let isRenewing = false

  // Measured by this page's clock alone, which may be wrong.
  const isExpired = () => Date.now() >= createdAt + expiresIn * 1000
  const wait = (ms: number) => {
    clearTimeout(timer)
    timer = setTimeout(() => void renew(), Math.min(ms, MAX_TIMER_MS))
  }
  const waitForExpiry = () => wait(createdAt + expiresIn * 1000 * RENEWAL_SHARE - Date.now())
  const renew = async () => {
    if (isRenewing) return
    isRenewing = true
    try {
      const { url } = await create()
      // Tiles that have failed meanwhile, as after a computer's sleep, are drawn again.
      layer.setUrl(url, !isExpired())
      createdAt = Date.now()
      waitForExpiry()
    } catch {
      // The client's events tell why. It may work again: offline, or after a new connection.
      wait(RETRY_MS)
    } finally {
      isRenewing = false
    }
  }
  layer.on('add', waitForExpiry)
  layer.on('remove', () => clearTimeout(timer))
  layer.on('tileerror', () => void (isExpired() && renew()))
  return layer
}

/**
 * A tile layer that reads with the user's token, through the proxy if the app has no tokens.
 * @param path of Ellipsis Drive's API, with `{z}`, `{x}` and `{y}`
 * @param options of Leaflet's layer
 */
export function createTokenLayer<Layer extends TileLayer>(
  leaflet: Leaflet<Layer>,
  client: Pick<Client, 'fetch'>,
  path: string,
  options: object = {},
): Layer {
  const layer = leaflet.tileLayer(path, options)
  const requests = new WeakMap<HTMLElement, AbortController>()
  layer.createTile = (coords, done) => {
    const tile = document.createElement('img')
    tile.alt = ''
    const request = new AbortController()
    requests.set(tile, request)
    loadTile(client, layer.getTileUrl(coords), tile, request.signal).then(
      () => done(undefined, tile),
      (error: Error) => done(error, tile),
    )
    return tile
  }
  layer.on('tileunload', ({ tile }: { tile: HTMLElement }) => requests.get(tile)?.abort())
  return layer
}
