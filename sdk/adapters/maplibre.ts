import type { Client } from '../client.ts'

/** What the function uses of MapLibre GL JS: the module. */
interface MapLibre {
  addProtocol(
    scheme: string,
    load: (request: TileRequest, abort: AbortController) => Promise<Loaded>,
  ): void
}

interface TileRequest {
  url: string
  type?: 'string' | 'json' | 'arrayBuffer' | 'image'
}

interface Loaded {
  data: unknown
  cacheControl?: string | null
  expires?: string | null
}

/**
 * Lets styles have sources at Ellipsis Drive: `tiles: ['ellipsis://path/…/tile/{z}/{x}/{y}']`. What follows
 * `ellipsis:/` is a path of its API. Requests carry the user's token, or go through the proxy if the app has none:
 * then each has a proof of its own (RFC 9449), which `transformRequest` cannot repeat when the broker asks for it.
 */
export function addEllipsisProtocol(
  maplibre: MapLibre,
  client: Pick<Client, 'fetch'>,
  scheme = 'ellipsis',
): void {
  maplibre.addProtocol(scheme, async ({ url, type }, { signal }) => {
    const response = await client.fetch(url.slice(`${scheme}:/`.length), { signal })
    if (!response.ok) throw new Error(`Ellipsis Drive answered with status ${response.status}.`)
    const data =
      type === 'json'
        ? response.json()
        : type === 'string'
          ? response.text()
          : response.arrayBuffer()
    const { headers } = response
    return {
      data: await data,
      cacheControl: headers.get('cache-control'),
      expires: headers.get('expires'),
    }
  })
}
