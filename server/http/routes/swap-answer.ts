import type { Clock } from '../../runtime.ts'
import type { AccessToken } from '../../refresh/access-token.ts'
import type { RenewedToken } from '../../oauth/renewal.ts'

/** An access token as apps get it; `expires_in` in seconds, `expires_at` in Unix seconds. */
export function accessTokenAnswer(token: AccessToken, scope: string, clock: Clock) {
  return {
    access_token: token.value.reveal(),
    token_type: 'Bearer',
    expires_in: Math.max(0, Math.floor((token.expiresAt - clock.now()) / 1000)),
    expires_at: Math.floor(token.expiresAt / 1000),
    scope,
  }
}

/** A newer broker token, where one is due. */
export const renewedFields = (renewed: RenewedToken | null) =>
  renewed && { broker_token: renewed.token, broker_token_expires_in: renewed.expiresIn }
