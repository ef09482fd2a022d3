import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { TInteger, TString } from 'typebox'
import type { App } from '../../../db/store.ts'
import { BrokerError } from '../../errors.ts'
import type { AppClaims } from '../../oauth/app-token.ts'
import { omitEmpty } from '../../oauth/parameters.ts'
import type { Parameters } from '../../oauth/parameters.ts'
import type { HttpServices } from '../../services.ts'
import { readBearerToken } from './client-authentication.ts'

const MAX_PAGE_SIZE = 500
const DEFAULT_PAGE_SIZE = 100

/** Of routes of the app API. */
export const appApiConfig = { isProtectedResource: true }

export const nullable = (schema: TString | TInteger) => Type.Union([schema, Type.Null()])

/** The parameter `limit` of a list. */
export const limitSchema = (things: string) =>
  Type.Optional(
    Type.String({
      pattern: '^[1-9][0-9]{0,2}$',
      description: `${things} on a page: ${DEFAULT_PAGE_SIZE} if omitted, ${MAX_PAGE_SIZE} at most.`,
    }),
  )

/** @throws BrokerError `invalid_request` */
export function readLimit(limit: string | undefined): number {
  const size = limit === undefined ? DEFAULT_PAGE_SIZE : Number(limit)
  if (size <= MAX_PAGE_SIZE) return size
  const description = `Use a limit of ${MAX_PAGE_SIZE} at most.`
  throw new BrokerError('invalid_request', { description, reason: 'limit_too_large' })
}

/** What all routes of the app API have in common; returns how they authenticate the app. */
export function prepareAppApi(fastify: FastifyInstance, { appTokens }: HttpServices) {
  fastify.addHook('onRequest', async (_request, reply) => {
    void reply.header('cache-control', 'no-store')
  })
  // As in bodies, a parameter without a value counts as omitted.
  fastify.addHook('preValidation', async (request) => {
    request.query = omitEmpty(request.query as Parameters)
  })

  /** @throws BrokerError `token_refused` */
  const readClaims = async (request: FastifyRequest): Promise<AppClaims> => {
    const { token } = readBearerToken(request.headers.authorization)
    const claims = await appTokens.verify(token)
    // A later failure is not a guess, such as a grant that was revoked.
    request.clientAuthenticated = true
    return claims
  }
  /** @throws BrokerError `token_refused` */
  const authenticate = async (request: FastifyRequest): Promise<App> =>
    appTokens.authenticate(await readClaims(request))
  return { readClaims, authenticate }
}
