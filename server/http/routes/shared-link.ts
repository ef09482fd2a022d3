import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { DriveAnswer } from '../../drive/forward.ts'
import { toLinkError } from '../../drive/links.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { allowAnyOrigin } from '../plugins/cors.ts'
import { pathOf } from '../plugins/strict-requests.ts'
import { failure, failures, skipValidation } from './schemas.ts'

/** What URLs of links begin with, below the public URL. */
export const SHARED_LINK_PATH = '/l/'

/**
 * Of every answer, also of errors. What a user stored never acts on the broker's origin, where admins sign in: a
 * page or image with scripts runs in an origin of its own, and loads nothing. The URL is a secret: it is sent to
 * no other site, and not indexed.
 */
const LINK_HEADERS = {
  'content-security-policy': "default-src 'none'; sandbox; frame-ancestors 'none'; base-uri 'none'",
  'cross-origin-resource-policy': 'cross-origin',
  'access-control-expose-headers': '*',
  'referrer-policy': 'no-referrer',
  'x-robots-tag': 'noindex',
}

const schema = {
  operationId: 'openLink',
  tags: ['links'],
  summary: 'Read with a link',
  description:
    'GET and HEAD, from any origin, without a token. What follows the secret is the path at Ellipsis Drive’s API. Its answer passes with its own status.',
  security: [],
  params: Type.Object({
    path: Type.String({ description: 'The link’s secret and the path, as in `url`.' }),
  }),
  response: {
    200: { description: 'The answer of Ellipsis Drive.' },
    404: failure(
      404,
      ['invalid_request'],
      'The link is unknown, expired or revoked, or does not include this path.',
    ),
    ...failures('server_error', 'temporarily_unavailable'),
  },
}

/**
 * Reads of parts of drives with a link. Failures do not count as guesses: a secret has 256 bits, and a map whose
 * link has expired asks for hundreds of tiles, which must not lock out its viewers.
 */
export const sharedLinkRoute: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { links, drive, config } = services
  const prefix = config.basePath + SHARED_LINK_PATH
  app.addHook('onRequest', async (_request, reply) => {
    void reply.headers(LINK_HEADERS)
  })
  allowAnyOrigin(app)

  const options = { schema, validatorCompiler: skipValidation }
  app.get(`${SHARED_LINK_PATH}*`, options, async (request, reply) => {
    // As received: decoded once, and only by the domain.
    const [secret, target] = splitAtSlash(pathOf(request.originalUrl).slice(prefix.length))
    try {
      const { caller, path } = await links.open(new Secret(secret), request.method, target)
      const signal = abortedWhenGone(reply)
      const { method, headers } = request
      const answer = await drive.forward(caller, { method, path, headers, body: null, signal })
      sendAnswer(request, reply, answer, prefix + secret)
    } catch (error) {
      throw toLinkError(error)
    }
    return reply
  })
}

function splitAtSlash(text: string): [before: string, rest: string] {
  const at = text.indexOf('/')
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at)]
}

function abortedWhenGone({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController()
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort(new Error('the client left'))
  })
  return gone.signal
}

/** Streams the answer without Fastify, which would log each client that leaves. */
function sendAnswer(
  { id, server }: FastifyRequest,
  reply: FastifyReply,
  { status, headers, body }: DriveAnswer,
  base: string,
): void {
  const { raw } = reply
  const { location, 'cache-control': caching } = headers
  reply.hijack()
  raw.writeHead(status, {
    ...(reply.getHeaders() as Record<string, string>),
    ...headers,
    ...LINK_HEADERS,
    'cache-control': privateCaching(String(caching ?? '')),
    ...(location !== undefined && { location: base + String(location) }),
    'x-request-id': id,
    ...(!server.server.listening && { connection: 'close' }),
  })
  if (body === null) return void raw.end()
  // The client must notice that the body is incomplete.
  body.on('error', () => raw.destroy())
  raw.on('close', () => body.destroy())
  body.pipe(raw)
}

/** Shared caches would keep answering after the link has ended. */
function privateCaching(value: string): string {
  const directives = value.split(',').map((directive) => directive.trim())
  const kept = directives.filter(
    (one) => one !== '' && !/^(?:public|private|s-maxage)\b/i.test(one),
  )
  return ['private', ...kept].join(', ')
}
