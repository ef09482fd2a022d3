import { Type } from 'typebox'
import type { Static } from 'typebox'
import type { AccessPolicy, App } from '../../../db/store.ts'
import { BrokerError } from '../../errors.ts'
import { checkTokenAccess } from '../../oauth/access-policy.ts'
import { APP_TOKEN_SCOPE } from '../../oauth/app-token.ts'
import { checkExternalId } from '../../oauth/external-id.ts'
import type { AuthenticatedToken } from '../../oauth/grants.ts'
import { OPENID, PROJECTS, includesScope } from '../../oauth/scope.ts'
import type { CodeRequest } from '../../oauth/authorization-code.ts'
import { checkSession } from '../../oauth/token-authentication.ts'
import type { PresentedToken } from '../../oauth/token-authentication.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { checkScope, clientParameters, optionalText, scopeParameter } from './schemas.ts'
import { accessTokenFields, renewedTokenFields } from './token-response.ts'

/** The grant types of the token endpoint, one function each. */

const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'

/** Every parameter of every grant type. Unknown ones are ignored (RFC 6749 3.2). */
export const TokenRequest = Type.Object({
  grant_type: Type.String({ description: 'One of the grant types above.' }),
  ...clientParameters,
  device_code: optionalText('device_code: from the device authorization endpoint.'),
  code: optionalText('authorization_code: from the redirect to the app.'),
  code_verifier: optionalText('authorization_code: the PKCE verifier of the challenge.'),
  redirect_uri: optionalText('authorization_code: as sent to /oauth/authorize.'),
  refresh_token: optionalText('refresh_token: the broker token.'),
  external_id: optionalText(
    'authorization_code, device_code: your own id of the user. Only for apps that authenticate.',
  ),
  scope: scopeParameter,
  subject_token: optionalText('Token exchange: the broker token.'),
  subject_token_type: optionalText('Token exchange: `urn:ietf:params:oauth:token-type:jwt`.'),
  requested_token_type: optionalText(
    'Token exchange: `urn:ietf:params:oauth:token-type:jwt` for a renewed broker token.',
  ),
  min_ttl: Type.Optional(
    Type.String({
      pattern: '^[0-9]{1,9}$',
      description: 'Swaps: seconds that the access token must remain valid.',
    }),
  ),
  force: Type.Optional(
    Type.Union([Type.Literal('true'), Type.Literal('false')], {
      description: 'Swaps: get a new access token, because Ellipsis Drive rejected the last one.',
    }),
  ),
})
export type TokenRequest = Static<typeof TokenRequest>

/** The app that redeems a code, its address, and its DPoP proof. */
type Redeemer = Pick<CodeRequest, 'app' | 'address' | 'proof'>

/** The client that presents a broker token, and its DPoP proof. */
type Presenter = Pick<PresentedToken, 'client' | 'proof'>

/** Runs before the code is used up: if it throws, the app may redeem the code again. */
type BeforeRedeem = (authorized: {
  connectionId: string
  scope: string
  policy: AccessPolicy | null
}) => Promise<void>

/** authorization_code (RFC 6749 4.1.3). */
export async function redeemCode(body: TokenRequest, redeemer: Redeemer, services: HttpServices) {
  checkSession(redeemer.app, false)
  const code = required(body, 'code')
  const verifier = redeemer.app.confidential
    ? optional(body.code_verifier)
    : required(body, 'code_verifier')
  const externalId = readExternalId(body, redeemer.app)
  const redemption = { ...redeemer, code, verifier, redirectUri: body.redirect_uri, externalId }
  return respond(redeemer.app, services, (before) => services.redeem.redeem(redemption, before))
}

/** device_code (RFC 8628 3.4). */
export async function redeemDeviceCode(
  body: TokenRequest,
  redeemer: Redeemer,
  services: HttpServices,
) {
  checkSession(redeemer.app, false)
  const externalId = readExternalId(body, redeemer.app)
  const poll = { ...redeemer, deviceCode: required(body, 'device_code'), externalId }
  return respond(redeemer.app, services, (before) => services.deviceFlow.poll(poll, before))
}

/**
 * The response to a redeemed code. Its access token is the broker token or, with `--tokens ellipsis` and the
 * scope `projects`, Ellipsis Drive's; with the scope `openid`, it has an ID token (OpenID Connect Core 3.1.3.3).
 * What can fail comes first: until then, the code stays valid.
 */
async function respond(
  app: App,
  { apps, refresher, idTokens, config, clock }: HttpServices,
  redeem: (before: BeforeRedeem) => Promise<AuthenticatedToken>,
) {
  let upstream: Awaited<ReturnType<typeof refresher.get>> | undefined
  const { grant, token, expiresIn, ...authentication } = await redeem(
    async ({ connectionId, scope, policy }) => {
      if (includesScope(scope, OPENID)) await idTokens.prepare()
      if (app.tokens === 'broker' || !includesScope(scope, PROJECTS)) return
      const { minTtlSeconds, publicUrl } = config
      checkTokenAccess({ app, granted: policy }, publicUrl)
      const requirement = { minTtlSeconds, fetchedAfter: null, evenIfPaused: false, appId: app.id }
      upstream = await refresher.get(connectionId, requirement)
      // As in a swap, a narrower policy holds from the moment of its commit.
      checkTokenAccess({ app: await apps.get(app.id), granted: policy }, publicUrl)
    },
  )
  const { access_token, token_type, expires_in } = upstream
    ? accessTokenFields(upstream, grant.scope, clock)
    : {
        access_token: token,
        token_type: grant.jkt === null ? 'Bearer' : 'DPoP',
        expires_in: expiresIn,
      }
  return {
    ...{ access_token, token_type, expires_in, scope: grant.scope },
    api_url: app.access === 'proxy' ? `${config.publicUrl}/drive` : config.ellipsis.apiUrl,
    ...(upstream && { refresh_token: token }),
    ...(includesScope(grant.scope, OPENID) && {
      id_token: await idTokens.sign({ grant, ...authentication, accessToken: access_token }),
    }),
  }
}

const readExternalId = ({ external_id: externalId }: TokenRequest, app: App): string | null =>
  externalId === undefined ? null : checkExternalId(externalId, app)

/** client_credentials (RFC 6749 4.4): a token for the app API. Its scope is its own. */
export async function issueAppToken(
  { scope = APP_TOKEN_SCOPE }: TokenRequest,
  client: App,
  { appTokens }: HttpServices,
) {
  const { token, expiresIn } = await appTokens.issue(client)
  if (scope !== APP_TOKEN_SCOPE) {
    const description = `Omit scope, or use scope=${APP_TOKEN_SCOPE}.`
    throw new BrokerError('invalid_scope', { description, reason: 'app_token_scope' })
  }
  return { access_token: token, token_type: 'Bearer', expires_in: expiresIn, scope }
}

/** refresh_token (RFC 6749 6): the swap for apps with `--tokens ellipsis`. */
export async function swapRefreshToken(
  body: TokenRequest,
  presenter: Presenter,
  { swap, clock }: HttpServices,
) {
  checkScope(body)
  const brokerToken = required(body, 'refresh_token').reveal()
  const presented = { brokerToken, ...presenter, ...swapOptions(body) }
  const answer = await swap.swap({ ...presented, asRefreshToken: true })
  const fields = accessTokenFields(answer.accessToken, answer.scope, clock)
  const { access_token, token_type, expires_in, scope } = fields
  const refresh_token = answer.renewed?.token ?? brokerToken
  return { access_token, token_type, expires_in, scope, refresh_token }
}

/** Token exchange (RFC 8693 2): a broker token for an access token, or for a newer broker token. */
export async function exchangeToken(
  body: TokenRequest,
  presenter: Presenter,
  { swap, clock }: HttpServices,
) {
  checkScope(body)
  const brokerToken = required(body, 'subject_token').reveal()
  const type = required(body, 'subject_token_type').reveal()
  if (type !== JWT_TYPE && type !== ACCESS_TOKEN_TYPE) {
    throw invalid(`Use subject_token_type=${JWT_TYPE}.`)
  }
  const requestedType = body.requested_token_type ?? ACCESS_TOKEN_TYPE
  if (requestedType === JWT_TYPE) {
    const { renewed, scope, bound } = await swap.renew({ brokerToken, ...presenter })
    const issued = { access_token: renewed.token, issued_token_type: JWT_TYPE }
    const token_type = bound ? 'DPoP' : 'Bearer'
    return { ...issued, token_type, expires_in: renewed.expiresIn, scope }
  }
  if (requestedType !== ACCESS_TOKEN_TYPE) {
    throw invalid(`Use requested_token_type=${ACCESS_TOKEN_TYPE}, or ${JWT_TYPE} to renew.`)
  }
  const answer = await swap.swap({ brokerToken, ...presenter, ...swapOptions(body) })
  const fields = accessTokenFields(answer.accessToken, answer.scope, clock)
  return { ...fields, issued_token_type: ACCESS_TOKEN_TYPE, ...renewedTokenFields(answer.renewed) }
}

const swapOptions = ({ min_ttl, force }: TokenRequest) => ({
  minTtlSeconds: min_ttl === undefined ? undefined : Number(min_ttl),
  force: force === 'true',
})

/** A parameter that the grant type requires. @throws BrokerError `invalid_request` */
function required(
  body: TokenRequest,
  name:
    | 'code'
    | 'code_verifier'
    | 'device_code'
    | 'refresh_token'
    | 'subject_token'
    | 'subject_token_type',
): Secret {
  const value = body[name]
  if (value === undefined || value === '') throw invalid(`Send ${name}.`)
  return new Secret(value)
}

const optional = (value: string | undefined): Secret | null =>
  value === undefined || value === '' ? null : new Secret(value)

const invalid = (description: string): BrokerError =>
  new BrokerError('invalid_request', { description })
