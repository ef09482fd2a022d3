import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import fastifyView from '@fastify/view'
import { Eta } from 'eta'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Models } from '../../../views/models.ts'
import type { Helpers } from '../../../views/templates.ts'
import { listAssets, readAsset, readAssetBytes } from '../../assets.ts'
import { pointInTime, time } from '../../../views/time.ts'
import { translators } from '../../../views/translate.ts'
import type { Language, Translator } from '../../../views/translate.ts'
import type { Config } from '../../config/config.ts'
import { cookieName, cookieOptions } from './cookies.ts'
import { languageOfLocales, negotiateLanguage } from './language.ts'

/** `Given`, if it has no fields beyond those of `Model`. */
export type Exactly<Model, Given> = Given & Record<Exclude<keyof Given, keyof Model>, never>

declare module 'fastify' {
  interface FastifyReply {
    /** Sends a page: the template `views/NAME.eta` with its model. */
    page<Name extends keyof Models, Given extends Models[Name]>(
      name: Name,
      model: Exactly<Models[Name], Given>,
    ): FastifyReply
    /** The texts of this page, in the language of the user. Pages of the dashboard are in English. */
    translator(): Translator
    /** Sets the user's language as an app knows it, for this page and those that follow soon. */
    useLocales(uiLocales: string | null): void
  }
  interface FastifyRequest {
    /** The language of `useLocales`; `null`: the browser's preferences decide. */
    language: Language | null
  }
}

/** As long as a flow takes. */
const LANGUAGE_COOKIE_LIFETIME_SECONDS = 600

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
export async function views(app: FastifyInstance, config: Config): Promise<void> {
  const { basePath } = config
  const assets = new Map(
    listAssets(ASSETS).map((path) => [path.slice(ASSETS.length + 1), readStaticFile(path)]),
  )
  const helpers: Helpers = {
    asset: (name) => `${basePath}/assets/${assets.get(name)?.file}`,
    url: (path) => basePath + path,
    time,
    ...translators.en,
    pointInTime,
  }

  await app.register(fastifyView, {
    engine: { eta: new AssetEta() },
    production: true,
    defaultContext: helpers,
  })
  app.decorateReply('page', function (this: FastifyReply, name, model) {
    const isEnglish = name === 'reference' || name.startsWith('admin/')
    const translator = isEnglish ? translators.en : this.translator()
    void this.headers({ 'content-language': translator.language(), vary: 'accept-language' })
    return this.view(`${name}.eta`, { ...translator, ...model })
  })
  const cookie = cookieName('language', config)
  app.decorateRequest('language', null)
  app.decorateReply('translator', function () {
    const { language, headers, cookies, routeOptions } = this.request
    if (routeOptions.config.page === 'admin') return translators.en
    const known = language ?? languageOfLocales(cookies?.[cookie] ?? '')
    return translators[known ?? negotiateLanguage(headers['accept-language'])]
  })
  app.decorateReply('useLocales', function (uiLocales) {
    const language = languageOfLocales(uiLocales ?? '')
    if (!language) return
    this.request.language = language
    const options = { ...cookieOptions(config), maxAge: LANGUAGE_COOKIE_LIFETIME_SECONDS }
    void this.setCookie(cookie, language, options)
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
