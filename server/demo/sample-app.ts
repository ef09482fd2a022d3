import fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { readAssetBytes, readPackageFile } from '../assets.ts'

const JAVASCRIPT = 'text/javascript; charset=utf-8'
const CSS = 'text/css; charset=utf-8'
const OWN_FILES = {
  'index.html': 'text/html; charset=utf-8',
  'app.js': JAVASCRIPT,
  'style.css': CSS,
  'contours.svg': 'image/svg+xml',
  'icon.svg': 'image/svg+xml',
}
const LEAFLET_FILES = { 'leaflet.js': JAVASCRIPT, 'leaflet.css': CSS }

/** Builds the sample app: static files, and `/config.json` with the settings. */
export function buildSampleApp(settings: {
  brokerUrl: string
  clientId: string
  /** The API of Ellipsis Drive, such as `http://127.0.0.1:4001/v3`. */
  apiUrl: string
}): FastifyInstance {
  const app = fastify()
  const contentSecurityPolicy = policyFor(settings)
  app.addHook('onRequest', async (_request, reply) => {
    void reply.headers({
      'content-security-policy': contentSecurityPolicy,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    })
  })
  const serve = (name: string, type: string, bytes: Buffer) =>
    app.get(`/${name}`, async (_request, reply) => reply.type(type).send(bytes))
  for (const [name, type] of Object.entries(OWN_FILES))
    serve(name.replace('index.html', ''), type, readAssetBytes(`server/demo/public/${name}`))
  for (const [name, type] of Object.entries(LEAFLET_FILES))
    serve(name, type, readPackageFile(`leaflet/dist/${name}`))
  app.get('/config.json', async () => settings)
  return app
}

/** Leaflet empties images with a `data:` URL, and the page shows tiles that it fetched as `blob:`. */
function policyFor({ brokerUrl, apiUrl }: { brokerUrl: string; apiUrl: string }): string {
  const [broker, api] = [brokerUrl, apiUrl].map((url) => new URL(url).origin)
  return [
    "default-src 'none'",
    `script-src 'self' ${broker}`,
    "style-src 'self'",
    `img-src 'self' data: blob: ${broker}`,
    `connect-src 'self' ${broker} ${api}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}
