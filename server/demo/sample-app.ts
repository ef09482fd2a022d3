import fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { readAssetBytes } from '../assets.ts'

const FILES = [
  { url: '/', file: 'index.html', type: 'text/html; charset=utf-8' },
  { url: '/app.js', file: 'app.js', type: 'text/javascript; charset=utf-8' },
  { url: '/style.css', file: 'style.css', type: 'text/css; charset=utf-8' },
]

/** Builds the sample app: three static files, and `/config.json` with the settings. */
export function buildSampleApp(settings: {
  brokerUrl: string
  clientId: string
  /** The API of Ellipsis Drive, such as `http://127.0.0.1:4001/v3`. */
  apiUrl: string
}): FastifyInstance {
  const app = fastify()
  const { brokerUrl, apiUrl } = settings
  const origins = [brokerUrl, apiUrl].map((url) => new URL(url).origin).join(' ')
  const contentSecurityPolicy = `default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ${origins}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
  app.addHook('onRequest', async (_request, reply) => {
    void reply.headers({
      'content-security-policy': contentSecurityPolicy,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    })
  })
  for (const { url, file, type } of FILES) {
    const bytes = readAssetBytes(`server/demo/public/${file}`)
    app.get(url, async (_request, reply) => reply.type(type).send(bytes))
  }
  app.get('/config.json', async () => settings)
  return app
}
