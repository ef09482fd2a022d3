import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { privateCaching } from '../../drive/headers.ts'
import { toLinkError } from '../../drive/links.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { allowAnyOrigin } from '../plugins/cors.ts'
import { pathOf } from '../plugins/strict-requests.ts'
import { CONTAINED_HEADERS, sendDriveAnswer, toDriveRequest } from './drive-answer.ts'
import { failure, failures, skipValidation } from './schemas.ts'

/** What URLs of links begin with, below the public URL. */
export const SHARED_LINK_PATH = '/l/'

/**
 * Of every answer, also of errors. The URL is a secret: it is sent to no other site, and not indexed. Shared caches
 * would keep answering after the link has ended.
 */
const LINK_HEADERS = {
  ...CONTAINED_HEADERS,
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
    ...failures('slow_down', 'server_error', 'temporarily_unavailable'),
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
  const { links, drive, config, metrics } = services
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
      const driveRequest = toDriveRequest(request, reply, path, config.uploadLimitBytes)
      const answer = await drive.forward(caller, driveRequest)
      const caching = { 'cache-control': privateCaching(answer.headers['cache-control']) }
      const headers = { ...LINK_HEADERS, ...caching }
      sendDriveAnswer(reply, answer, prefix + secret, metrics.drive, headers)
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
