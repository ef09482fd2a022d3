import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import fastifyView from '@fastify/view'
import { Eta } from 'eta'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Models } from '../../../views/models.ts'
import type { Helpers } from '../../../views/templates.ts'
import { listAssets, readAsset, readAssetBytes } from '../../assets.ts'
import { pointInTime, time } from '../../../views/time.ts'

/** `Given`, if it has no fields beyond those of `Model`. */
export type Exactly<Model, Given> = Given & Record<Exclude<keyof Given, keyof Model>, never>

declare module 'fastify' {
  interface FastifyReply {
    /** Sends a page: the template `views/NAME.eta` with its model. */
    page<Name extends keyof Models, Given extends Models[Name]>(
      name: Name,
      model: Exactly<Models[Name], Given>,
    ): FastifyReply
  }
}

const VIEWS = 'views'
const ASSETS = `${VIEWS}/assets`

/**
 * Eta that reads templates from the program's assets, which are not files in the single binary. Names are
 * relative to `views/`, such as `admin/users`; `./` and `../` are relative to the including template.
 */
class AssetEta extends Eta {
  override resolvePath = (path: string, { filepath = '' }: { filepath?: string } = {}): string => {
    const template = path.replaceAll('\\', '/')
    const from = /^\.\.?\//.test(template) ? posix.dirname(filepath) : VIEWS
    return `${posix.join(from, template.replace(/\.eta$/, ''))}.eta`
  }
  override readFile = readAsset
}

const CONTENT_TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Adds `reply.page()` to this scope, and routes for styles, scripts and images. */
export async function views(
  app: FastifyInstance,
  { basePath }: { basePath: string },
): Promise<void> {
  const assets = new Map(
    listAssets(ASSETS).map((path) => [path.slice(ASSETS.length + 1), readStaticFile(path)]),
  )
  const helpers: Helpers = {
    asset: (name) => `${basePath}/assets/${assets.get(name)?.file}`,
    url: (path) => basePath + path,
    time,
    pointInTime,
  }

  await app.register(fastifyView, {
    engine: { eta: new AssetEta() },
    production: true,
    defaultContext: helpers,
  })
  app.decorateReply('page', function (this: FastifyReply, name, model) {
    return this.view(`${name}.eta`, model)
  })
  for (const { file, type, bytes } of assets.values()) {
    app.get(`/assets/${file}`, { config: { asset: true } }, async (_request, reply) => {
      void reply.headers({ 'cache-control': 'public, max-age=31536000, immutable' })
      return reply.type(type).send(bytes)
    })
  }
}

/** An asset. Its file name has a hash of the content, so browsers may cache it forever. */
function readStaticFile(path: string) {
  const bytes = readAssetBytes(path)
  const { dir, name, ext } = posix.parse(path.slice(ASSETS.length + 1))
  const hash = createHash('sha256').update(bytes).digest('base64url').slice(0, 12)
  const file = posix.join(dir, `${name}.${hash}${ext}`)
  const { [ext]: type = 'application/octet-stream' } = CONTENT_TYPES
  return { file, type, bytes }
}
