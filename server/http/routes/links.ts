import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { ListedLink } from '../../../db/store.ts'
import {
  DEFAULT_LINK_LIFETIME_SECONDS,
  MAX_LABEL_LENGTH_CHARS,
  MAX_LINKS_OF_APP,
  MAX_LINK_LIFETIME_SECONDS,
  MIN_LINK_LIFETIME_SECONDS,
} from '../../drive/links.ts'
import type { HttpServices } from '../../services.ts'
import { readCaller } from './client-authentication.ts'
import { bodyFailures, failure, failures, optionalText } from './schemas.ts'
import { SHARED_LINK_PATH } from './shared-link.ts'

const unixSeconds = (description: string) =>
  Type.Integer({ description: `${description}, Unix seconds.` })

const Body = Type.Object({
  path: Type.String({
    minLength: 1,
    maxLength: 4096,
    description:
      'Of Ellipsis Drive’s API, such as `/path/{id}/raster/timestamp/{id}/tile/{z}/{x}/{y}`. Placeholders in braces stay in the URL, for map libraries. Query parameters are fixed.',
  }),
  prefix: Type.Optional(Type.Boolean({ description: 'Also everything below the path.' })),
  expires_in: Type.Optional(
    Type.Integer({
      minimum: MIN_LINK_LIFETIME_SECONDS,
      maximum: MAX_LINK_LIFETIME_SECONDS,
      description: `Seconds. Omitted: ${DEFAULT_LINK_LIFETIME_SECONDS}, a day.`,
    }),
  ),
  label: optionalText(`For people; ${MAX_LABEL_LENGTH_CHARS} characters at most.`),
})

const LinkId = Type.String({ description: 'The link’s id, for `DELETE`.' })
const expiresAt = unixSeconds('When the link expires, if its grant does not end before')

const Listed = Type.Object({
  id: LinkId,
  path: Type.String({ description: 'Normalised.' }),
  prefix: Type.Boolean(),
  label: Type.String({ description: 'Empty: none.' }),
  created_at: unixSeconds('When it was created'),
  expires_at: expiresAt,
  last_used_at: Type.Union([Type.Integer(), Type.Null()], {
    description: 'Unix seconds, some seconds late; `null`: not yet.',
  }),
  uses: Type.Integer({ description: 'Requests so far, some seconds late.' }),
})

const tokenFailures = [
  ...(['invalid_token', 'invalid_client', 'insufficient_scope', 'slow_down'] as const),
  ...(['server_error', 'temporarily_unavailable'] as const),
]

const schemas = {
  create: {
    operationId: 'createLink',
    tags: ['links'],
    summary: 'Create a link',
    description: `A read-only URL to one part of the user’s drive, which needs no token. An app may have ${MAX_LINKS_OF_APP} per user.`,
    security: [{ brokerToken: [] }],
    body: Body,
    response: {
      201: Type.Object(
        {
          id: LinkId,
          url: Type.String({
            description: 'The link, with the placeholders of the path. It is not shown again.',
          }),
          expires_at: expiresAt,
        },
        { description: 'The link.' },
      ),
      ...failures('invalid_request', ...tokenFailures),
      ...bodyFailures,
    },
  },
  list: {
    operationId: 'listLinks',
    tags: ['links'],
    summary: 'List links',
    description: 'Those of the app and the user, from all devices, without their URLs.',
    security: [{ brokerToken: [] }],
    response: {
      200: Type.Object({ links: Type.Array(Listed) }, { description: 'The newest first.' }),
      ...failures(...tokenFailures),
    },
  },
  revoke: {
    operationId: 'revokeLink',
    tags: ['links'],
    summary: 'Revoke a link',
    description: 'Its URL answers 404 from the next request on.',
    security: [{ brokerToken: [] }],
    params: Type.Object({ id: LinkId }),
    response: {
      204: { type: 'null', description: 'The link has ended.' },
      ...failures(...tokenFailures),
      404: failure(404, ['invalid_request'], 'There is no such link of this app and user.'),
    },
  },
}

/** Links to parts of a user's drive, for the apps that create them. */
export const linksRoutes: FastifyPluginAsyncTypebox<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { links, swap } = services
  const { publicUrl } = services.config
  const config = { isProtectedResource: true, acceptsSession: true }
  app.addHook('onRequest', async (_request, reply) => {
    void reply.header('cache-control', 'no-store')
  })

  app.post('/links', { schema: schemas.create, config }, async (request, reply) => {
    const { live } = await swap.authorize(await readCaller(request, reply, services))
    const { path, prefix: isPrefix = false, expires_in: lifetime, label = '' } = request.body
    const lifetimeSeconds = lifetime ?? DEFAULT_LINK_LIFETIME_SECONDS
    const link = await links.create(live, { path, isPrefix, lifetimeSeconds, label }, request.ip)
    const url = `${publicUrl}${SHARED_LINK_PATH}${link.secret.reveal()}${link.path}`
    return reply.code(201).send({ id: link.id, url, expires_at: toSeconds(link.expiresAt) })
  })

  app.get('/links', { schema: schemas.list, config }, async (request, reply) => {
    const { live } = await swap.authorize(await readCaller(request, reply, services))
    return { links: (await links.list(live)).map(toListed) }
  })

  app.delete('/links/:id', { schema: schemas.revoke, config }, async (request, reply) => {
    const { live } = await swap.authorize(await readCaller(request, reply, services))
    await links.revoke(request.params.id, live, request.ip)
    return reply.code(204).send(null)
  })
}

const toSeconds = (time: number): number => Math.floor(time / 1000)

const toListed = (link: ListedLink) => ({
  id: link.id,
  path: link.path,
  prefix: link.isPrefix,
  label: link.label,
  created_at: toSeconds(link.createdAt),
  expires_at: toSeconds(link.expiresAt),
  last_used_at: link.lastUsedAt === null ? null : toSeconds(link.lastUsedAt),
  uses: link.uses,
})
