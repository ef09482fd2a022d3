import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import fastifyView from '@fastify/view'
import { Eta } from 'eta'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Models } from '../../views/models.ts'
import { listAssets, readAsset, readAssetBytes } from '../assets.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** Sends a page: a template of that name under views/, with its model. */
    page<Name extends keyof Models>(name: Name, model: Models[Name]): FastifyReply
  }
}

/** Eta over the program's assets, which in the binary are no files. */
class AssetEta extends Eta {
  override resolvePath = (template: string): string =>
    `views/${posix.basename(template, '.eta')}.eta`
  override readFile = readAsset
}

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Adds `reply.page()` to this scope, and the routes of its styles and pictures. */
export async function views(
  app: FastifyInstance,
  { basePath }: { basePath: string },
): Promise<void> {
  const assets = new Map(
    listAssets('views/assets').map((path) => [posix.basename(path), addressed(path)]),
  )
  const asset = (name: string): string => `${basePath}/assets/${assets.get(name)?.file}`

  await app.register(fastifyView, {
    engine: { eta: new AssetEta() },
    production: true,
    defaultContext: { asset },
  })
  app.decorateReply('page', function (this: FastifyReply, name, model) {
    return this.view(`${name}.eta`, model)
  })
  for (const { file, type, bytes } of assets.values()) {
    app.get(`/assets/${file}`, async (_request, reply) => {
      void reply.headers({ 'cache-control': 'public, max-age=31536000, immutable' })
      return reply.type(type).send(bytes)
    })
  }
}

/** An asset under a name that changes with its content, so that it can be kept for good. */
function addressed(path: string) {
  const bytes = readAssetBytes(path)
  const { name, ext } = posix.parse(path)
  const hash = createHash('sha256').update(bytes).digest('base64url').slice(0, 12)
  return { file: `${name}.${hash}${ext}`, type: TYPES[ext] ?? 'application/octet-stream', bytes }
}
