import type { FastifyPluginAsync } from 'fastify'
import { ApiError, findViewer, findVisiblePath, matchesEtag } from './access.ts'
import type { Node } from './drive.ts'
import { createEndpointHooks } from './endpoint-hooks.ts'
import { MAX_ZOOM, Tiles, timestampIdOf } from './rasters.ts'
import type { StandIn } from './stand-in.ts'
import { answerWms } from './wms.ts'

const TILE_MAX_AGE_SECONDS = 3_600

interface TileParams {
  id: string
  timestampId: string
  z: string
  x: string
  y: string
}

/** Raster tiles, and the OGC service WMS. */
export const rasterRoutes: FastifyPluginAsync<{ standIn: StandIn }> = async (app, { standIn }) => {
  const hooksFor = createEndpointHooks(standIn)
  const tiles = new Tiles()

  // Always a PNG, in the raster's own style. What the service answers without a `style` is unknown:
  // the Python client then expects a TIFF (C).
  app.get<{ Params: TileParams }>(
    '/path/:id/raster/timestamp/:timestampId/tile/:z/:x/:y',
    hooksFor('tile'),
    async (request, reply) => {
      const { id, timestampId, z, x, y } = request.params
      const node = findRaster(id, await findViewer(request, standIn), standIn)
      if (timestampId !== timestampIdOf(node)) {
        throw new ApiError(404, 'This timestamp does not exist.')
      }
      const { png, etag } = tiles.get(node, ...readTileAddress([z, x, y]))
      // Whether the service sends validators and lifetimes is unknown.
      const { tileCaching } = standIn.switches
      if (tileCaching === 'full') {
        void reply.header('cache-control', `private, max-age=${TILE_MAX_AGE_SECONDS}`)
      }
      if (tileCaching === 'none') return reply.type('image/png').send(png)
      void reply.header('etag', etag)
      if (matchesEtag(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return reply.type('image/png').send(png)
    },
  )

  // The address is inferred (I) from the documented one of WFS.
  app.get<{ Params: { id: string }; Querystring: Record<string, unknown> }>(
    '/ogc/wms/:id',
    hooksFor('wms'),
    async (request, reply) => {
      const node = findRaster(request.params.id, await findViewer(request, standIn), standIn)
      const { type, body } = answerWms(node, request.query, `${request.protocol}://${request.host}`)
      return reply.type(type).send(body)
    },
  )
}

function findRaster(id: string, viewer: Parameters<typeof findVisiblePath>[1], standIn: StandIn) {
  const node: Node = findVisiblePath(id, viewer, standIn)
  if (node.item.type !== 'raster') throw new ApiError(400, 'This path is not a raster.')
  return node
}

function readTileAddress(texts: [string, string, string]): [z: number, x: number, y: number] {
  if (!texts.every((text) => /^\d{1,9}$/.test(text))) {
    throw new ApiError(400, 'The zoom level, x and y of a tile must be whole numbers.')
  }
  const [z, x, y] = texts.map(Number) as [number, number, number]
  const isOutside = z > MAX_ZOOM || x >= 2 ** z || y >= 2 ** z
  if (isOutside) throw new ApiError(404, 'This tile does not exist.')
  return [z, x, y]
}
