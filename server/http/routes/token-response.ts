import { Type } from 'typebox'
import type { Clock } from '../../runtime.ts'
import type { AccessToken } from '../../refresh/access-token.ts'
import type { RenewedToken } from '../../oauth/renewal.ts'
import { lifetimeSeconds } from './schemas.ts'

/** Responses with tokens: schemas of their fields, and the fields themselves. */

/** An access token of Ellipsis Drive, in every form of the swap. */
export const accessTokenSchema = {
  access_token: Type.String({ description: "Ellipsis Drive's access token." }),
  token_type: Type.Literal('Bearer'),
  expires_in: lifetimeSeconds('Lifetime in seconds.'),
  scope: Type.String({ description: 'The granted scope.' }),
}

export const expiresAtSchema = Type.Integer({ description: 'Expiry in Unix seconds.' })

/** Present if the broker token is past half its life. */
export const renewedTokenSchema = {
  broker_token: Type.Optional(
    Type.String({ description: 'A newer broker token: keep it instead of the old one.' }),
  ),
  broker_token_expires_in: Type.Optional(
    lifetimeSeconds('Lifetime of the newer broker token in seconds.'),
  ),
}

/** The fields of an access token; `expires_in` in seconds, `expires_at` in Unix seconds. */
export function accessTokenFields(token: AccessToken, scope: string, clock: Clock) {
  return {
    access_token: token.value.reveal(),
    token_type: 'Bearer',
    expires_in: Math.max(0, Math.floor((token.expiresAt - clock.now()) / 1000)),
    expires_at: Math.floor(token.expiresAt / 1000),
    scope,
  }
}

/** The fields of a newer broker token, if one is due. */
export const renewedTokenFields = (renewed: RenewedToken | null) =>
  renewed && { broker_token: renewed.token, broker_token_expires_in: renewed.expiresIn }
