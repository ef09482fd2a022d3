import { Type } from 'typebox'
import type { Static } from 'typebox'
import { SCOPE } from '../../../oauth/authorize.ts'
import { BrokerError } from '../../../errors.ts'
import { Secret } from '../../../secret.ts'

const text = (description: string) => Type.Optional(Type.String({ description }))

/** Every parameter of every grant; each grant says which it needs. Unknown ones are ignored (RFC 6749 3.2). */
export const Body = Type.Object({
  grant_type: Type.String({ description: 'Which of the ways below.' }),
  client_id: text('The app’s id.'),
  client_secret: text('Of a confidential app, unless it authenticates by Basic.'),
  device_code: text('device_code: as the device authorization endpoint gave it.'),
  code: text('authorization_code: as it came back to the app.'),
  code_verifier: text('authorization_code: what the challenge was made from.'),
  redirect_uri: text('authorization_code: as it was sent to /oauth/authorize.'),
  refresh_token: text('refresh_token: the broker token.'),
  scope: text('Always `projects`, or left out.'),
  subject_token: text('Token exchange: the broker token.'),
  subject_token_type: text('Token exchange: `urn:ietf:params:oauth:token-type:jwt`.'),
  requested_token_type: text(
    'Token exchange: `urn:ietf:params:oauth:token-type:jwt` for a renewed broker token.',
  ),
  min_ttl: Type.Optional(
    Type.String({
      pattern: '^[0-9]{1,9}$',
      description: 'Swaps: seconds that the access token must be valid for.',
    }),
  ),
  force: Type.Optional(
    Type.Union([Type.Literal('true'), Type.Literal('false')], {
      description: 'Swaps: fetch a new access token, as Ellipsis Drive refused the last.',
    }),
  ),
})
export type Body = Static<typeof Body>

/** A parameter that this grant needs. @throws BrokerError `invalid_request` */
export function required(
  body: Body,
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

export const invalid = (description: string): BrokerError =>
  new BrokerError('invalid_request', { description })

/** @throws BrokerError `invalid_scope` */
export function checkScope({ scope }: { scope?: string | undefined }): void {
  if (scope !== undefined && scope !== SCOPE) throw new BrokerError('invalid_scope')
}
