import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import fastifyView from '@fastify/view'
import { Eta } from 'eta'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Models } from '../../views/models.ts'
import { listAssets, readAsset, readAssetBytes } from '../assets.ts'
import { time } from '../../views/time.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** Sends a page: a template of that name under views/, with its model. */
    page<Name extends keyof Models>(name: Name, model: Models[Name]): FastifyReply
  }
}

const VIEWS = 'views'
const ASSETS = `${VIEWS}/assets`

/**
 * Eta over the program's assets, which in the binary are no files. A template is named from `views/`,
 * such as `admin/users`; within another, `./` and `../` begin in that one's folder.
 */
class AssetEta extends Eta {
  override resolvePath = (path: string, { filepath = '' }: { filepath?: string } = {}): string => {
    const template = path.replaceAll('\\', '/')
    const from = /^\.\.?\//.test(template) ? posix.dirname(filepath) : VIEWS
    return `${posix.join(from, template.replace(/\.eta$/, ''))}.eta`
  }
  override readFile = readAsset
}

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/**
 * Adds `reply.page()` to this scope, and the routes of its styles, scripts and pictures. Templates have
 * `it.asset(name)`, the address of a file under views/assets; `it.url(path)`, an address of the broker's
 * own, with its base path; and `it.time(milliseconds)`, markup (to be put in by `<%~`).
 */
export async function views(
  app: FastifyInstance,
  { basePath }: { basePath: string },
): Promise<void> {
  const assets = new Map(
    listAssets(ASSETS).map((path) => [path.slice(ASSETS.length + 1), addressed(path)]),
  )
  const asset = (name: string): string => `${basePath}/assets/${assets.get(name)?.file}`
  const url = (path: string): string => basePath + path

  await app.register(fastifyView, {
    engine: { eta: new AssetEta() },
    production: true,
    defaultContext: { asset, url, time },
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
  const { dir, name, ext } = posix.parse(path.slice(ASSETS.length + 1))
  const hash = createHash('sha256').update(bytes).digest('base64url').slice(0, 12)
  const file = posix.join(dir, `${name}.${hash}${ext}`)
  const { [ext]: type = 'application/octet-stream' } = TYPES
  return { file, type, bytes }
}
