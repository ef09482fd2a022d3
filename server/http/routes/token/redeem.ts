import type { App } from '../../../../db/store.ts'
import type { IssuedToken } from '../../../oauth/grants.ts'
import type { CodeRequest } from '../../../oauth/redeem-code.ts'
import type { HttpServices } from '../../../services.ts'
import { accessTokenAnswer } from '../swap-answer.ts'
import { required } from './body.ts'
import type { Body } from './body.ts'

/** The ways in which a grant begins at the token endpoint. */

/** Who redeems, from where, and the key that it proves. */
type Actor = Pick<CodeRequest, 'app' | 'address' | 'proof'>

/** Runs before what is redeemed is used up: if it throws, the app may ask again. */
type Prepare = (authorized: { connectionId: string }) => Promise<void>

/** authorization_code (RFC 6749 4.1.3). */
export async function redeemCode(body: Body, by: Actor, services: HttpServices) {
  const code = required(body, 'code')
  const verifier = required(body, 'code_verifier')
  const redemption = { ...by, code, verifier, redirectUri: body.redirect_uri }
  return issue(by.app, services, (prepare) => services.redeem.redeem(redemption, prepare))
}

/** device_code (RFC 8628 3.4). */
export async function redeemDeviceCode(body: Body, by: Actor, services: HttpServices) {
  const poll = { ...by, deviceCode: required(body, 'device_code') }
  return issue(by.app, services, (prepare) => services.deviceFlow.poll(poll, prepare))
}

/** What a grant begins with: its broker token, and for `--tokens ellipsis` an access token as well. */
async function issue(
  app: App,
  services: HttpServices,
  begin: (prepare?: Prepare) => Promise<IssuedToken>,
) {
  if (app.tokens === 'ellipsis') return issueAsEllipsis(app, services, begin)
  const { grant, token, expiresIn } = await begin()
  const token_type = grant.jkt === null ? 'Bearer' : 'DPoP'
  return { access_token: token, token_type, expires_in: expiresIn, scope: grant.scope }
}

/** The access token comes first: while Ellipsis Drive is away, the code stays good. */
async function issueAsEllipsis(
  app: App,
  { refresher, config, clock }: HttpServices,
  begin: (prepare: Prepare) => Promise<IssuedToken>,
) {
  const { minTtlSeconds } = config
  const requirement = { minTtlSeconds, fetchedAfter: null, evenIfPaused: false, appId: app.id }
  let accessToken: Awaited<ReturnType<typeof refresher.get>> | undefined
  const { grant, token } = await begin(async ({ connectionId }) => {
    accessToken = await refresher.get(connectionId, requirement)
  })
  /* c8 ignore next -- what begins a grant has prepared it */
  if (!accessToken) throw new Error('redeemed without an access token')
  const fields = accessTokenAnswer(accessToken, grant.scope, clock)
  const { token_type, access_token, expires_in } = fields
  return { access_token, token_type, expires_in, scope: grant.scope, refresh_token: token }
}
