import { createHash } from 'node:crypto'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import type { Endpoint } from '../faults.ts'
import { SCOPE } from '../access-tokens.ts'
import type { Authorization, CodeChallenge } from '../authorization-codes.ts'
import type { Client, StandIn } from '../stand-in.ts'
import type { Switches } from '../switches.ts'
import type { User } from '../users.ts'
import { createEndpointHooks } from '../endpoint-hooks.ts'
import { authenticateClient } from './client-authentication.ts'
import { OAuthError, oauthErrorResponse } from './errors.ts'
import { readTokenRequest } from './parameters.ts'
import type { Parameters } from './parameters.ts'

/** The token endpoint (RFC 6749 3.2), with the two grant types of Ellipsis Drive. */
export const tokenRoute: FastifyPluginAsync<{ standIn: StandIn }> = async (app, { standIn }) => {
  const { switches } = standIn
  const hooksFor = createEndpointHooks(standIn)

  app.setErrorHandler((error, _request, reply) => {
    if (!(error instanceof OAuthError)) throw error
    const { status, type, headers, body } = oauthErrorResponse(error, switches)
    return reply.code(status).type(type).headers(headers).send(body)
  })

  app.post('/oauth/token', hooksFor(endpointOf), async (request, reply) => {
    if (switches.tokenDelay > 0) await standIn.sleep(switches.tokenDelay)
    void reply.header('cache-control', 'no-store')
    const parameters = readTokenRequest(request, switches)
    const { grant_type: grantType } = parameters
    if (grantType === undefined) throw new OAuthError('invalid_request', 'grant_type is missing.')
    const client = authenticateClient(request, parameters, standIn.clients)
    switch (grantType) {
      case 'authorization_code':
        return redeemCode(parameters, client, standIn)
      case 'refresh_token':
        return refreshTokens(parameters, client, standIn)
      default:
        throw new OAuthError('unsupported_grant_type', 'The grant type is not supported.')
    }
  })
}

function endpointOf({ body }: FastifyRequest): Endpoint {
  const grantType = (body as { grant_type?: unknown } | null | undefined)?.grant_type
  return grantType === 'refresh_token' ? 'refresh' : 'token'
}

/** Grant type authorization_code. The code is consumed even if a check fails. */
async function redeemCode(parameters: Parameters, client: Client, standIn: StandIn) {
  const code = readCode(parameters, standIn.switches)
  if (code === undefined) throw new OAuthError('invalid_request', 'code is missing.')
  const authorization = standIn.codes.consume(code)
  if (authorization?.clientId !== client.id) throw invalidGrant('The code is not valid.')
  checkRedirectUri(authorization, parameters.redirect_uri, client)
  checkVerifier(authorization.challenge, parameters.code_verifier)
  const { user } = authorization
  return tokenResponse(user, client, standIn, standIn.refreshTokens.issue(user, client.id))
}

/** Grant type refresh_token. */
async function refreshTokens(parameters: Parameters, client: Client, standIn: StandIn) {
  const { refresh_token: token } = parameters
  if (token === undefined) throw new OAuthError('invalid_request', 'refresh_token is missing.')
  const used = standIn.refreshTokens.use(token, client.id)
  if (!used) throw invalidGrant('The refresh token is not valid.')
  const refreshToken = standIn.switches.omitRefreshToken ? undefined : used.refreshToken
  return tokenResponse(used.user, client, standIn, refreshToken)
}

function readCode(parameters: Parameters, { codeParameter }: Switches): string | undefined {
  const { authorization_code: documented, code: standard } = parameters
  if (codeParameter === 'any') return documented ?? standard
  return codeParameter === 'code' ? standard : documented
}

/** Required if the authorization request had it (RFC 6749 4.1.3). Otherwise the only registered one. */
function checkRedirectUri(authorization: Authorization, sent: string | undefined, client: Client) {
  const expected = authorization.redirectUri ?? (sent && client.redirectUris[0])
  if (sent !== expected) throw invalidGrant('redirect_uri differs from the authorization request.')
}

/** RFC 7636 4.6. */
function checkVerifier(challenge: CodeChallenge | undefined, verifier: string | undefined): void {
  if (!challenge) return
  if (verifier === undefined) throw new OAuthError('invalid_request', 'code_verifier is missing.')
  const derived =
    challenge.method === 'plain'
      ? verifier
      : createHash('sha256').update(verifier).digest('base64url')
  if (derived !== challenge.value) throw invalidGrant('code_verifier is not valid.')
}

async function tokenResponse(user: User, client: Client, standIn: StandIn, refreshToken?: string) {
  const { tokenLifetime, omitExpiresIn } = standIn.switches
  return {
    access_token: await standIn.accessTokens.issue(user, client.id),
    token_type: 'Bearer',
    ...(omitExpiresIn ? {} : { expires_in: tokenLifetime }),
    ...(refreshToken === undefined ? {} : { refresh_token: refreshToken }),
    scope: SCOPE,
  }
}

const invalidGrant = (description: string) => new OAuthError('invalid_grant', description)
