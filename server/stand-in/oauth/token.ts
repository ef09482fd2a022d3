import { createHash } from 'node:crypto'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import type { Endpoint } from '../faults.ts'
import { SCOPE } from '../access-tokens.ts'
import type { Authorization, Challenge } from '../codes.ts'
import type { Client, StandIn } from '../stand-in.ts'
import type { Switches } from '../switches.ts'
import type { User } from '../users.ts'
import { watching } from '../watch.ts'
import { authenticate } from './client.ts'
import { OAuthError, oauthErrorAnswer } from './errors.ts'
import { readParameters } from './parameters.ts'
import type { Parameters } from './parameters.ts'

/** The token endpoint (RFC 6749 3.2), with the two grants of Ellipsis Drive. */
export const tokenRoute: FastifyPluginAsync<{ standIn: StandIn }> = async (app, { standIn }) => {
  const { switches } = standIn
  const watch = watching(standIn)

  app.setErrorHandler((error, _request, reply) => {
    if (!(error instanceof OAuthError)) throw error
    const { status, type, headers, body } = oauthErrorAnswer(error, switches)
    return reply.code(status).type(type).headers(headers).send(body)
  })

  app.post('/oauth/token', watch(endpointOf), async (request, reply) => {
    if (switches.tokenDelay > 0) await standIn.sleep(switches.tokenDelay)
    void reply.header('cache-control', 'no-store')
    const parameters = readParameters(request, switches)
    const { grant_type: grantType } = parameters
    if (grantType === undefined) throw new OAuthError('invalid_request', 'grant_type is missing.')
    const client = authenticate(request, parameters, standIn.clients)
    switch (grantType) {
      case 'authorization_code':
        return redeem(parameters, client, standIn)
      case 'refresh_token':
        return refresh(parameters, client, standIn)
      default:
        throw new OAuthError('unsupported_grant_type', 'The grant type is not supported.')
    }
  })
}

function endpointOf({ body }: FastifyRequest): Endpoint {
  const grantType = (body as { grant_type?: unknown } | null | undefined)?.grant_type
  return grantType === 'refresh_token' ? 'refresh' : 'token'
}

/** authorization_code: from here on the code is used up, whatever comes of it. */
async function redeem(parameters: Parameters, client: Client, standIn: StandIn) {
  const code = readCode(parameters, standIn.switches)
  if (code === undefined) throw new OAuthError('invalid_request', 'The code is missing.')
  const authorization = standIn.codes.take(code)
  if (authorization?.clientId !== client.id) throw invalidGrant('The code is not valid.')
  checkRedirectUri(authorization, parameters.redirect_uri, client)
  checkVerifier(authorization.challenge, parameters.code_verifier)
  const { user } = authorization
  return answer(user, client, standIn, standIn.refreshTokens.begin(user, client.id))
}

async function refresh(parameters: Parameters, client: Client, standIn: StandIn) {
  const { refresh_token: token } = parameters
  if (token === undefined) throw new OAuthError('invalid_request', 'refresh_token is missing.')
  const used = standIn.refreshTokens.use(token, client.id)
  if (!used) throw invalidGrant('The refresh token is not valid.')
  const told = standIn.switches.omitRefreshToken ? undefined : used.refreshToken
  return answer(used.user, client, standIn, told)
}

function readCode(parameters: Parameters, { codeParameter }: Switches): string | undefined {
  const { authorization_code: documented, code: standard } = parameters
  if (codeParameter === 'any') return documented ?? standard
  return codeParameter === 'code' ? standard : documented
}

/** Required if it was sent to authorize (RFC 6749 4.1.3); otherwise there is only one that it may be. */
function checkRedirectUri(authorization: Authorization, sent: string | undefined, client: Client) {
  const expected = authorization.redirectUri ?? (sent && client.redirectUris[0])
  if (sent !== expected) throw invalidGrant('redirect_uri is not the one of the authorization.')
}

/** RFC 7636 4.6. */
function checkVerifier(challenge: Challenge | undefined, verifier: string | undefined): void {
  if (!challenge) return
  if (verifier === undefined) throw new OAuthError('invalid_request', 'code_verifier is missing.')
  const derived =
    challenge.method === 'plain'
      ? verifier
      : createHash('sha256').update(verifier).digest('base64url')
  if (derived !== challenge.value) throw invalidGrant('code_verifier is not valid.')
}

async function answer(user: User, client: Client, standIn: StandIn, refreshToken?: string) {
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
