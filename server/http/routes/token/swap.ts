import type { PresentedToken } from '../../../oauth/swap.ts'
import type { HttpServices } from '../../../services.ts'
import { accessTokenAnswer, renewedFields } from '../swap-answer.ts'
import { checkScope, invalid, required } from './body.ts'
import type { Body } from './body.ts'

/** The ways in which a broker token is presented at the token endpoint. */

/** Who presents it. */
type Actor = Pick<PresentedToken, 'client' | 'proof'>

const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'

/** refresh_token: the swap of RFC 6749's own form, for apps served with `--tokens ellipsis`. */
export async function refresh(body: Body, by: Actor, { swap, clock }: HttpServices) {
  checkScope(body)
  const brokerToken = required(body, 'refresh_token').reveal()
  const answer = await swap.swap({
    brokerToken,
    ...by,
    ...swapOptions(body),
    asRefreshToken: true,
  })
  const fields = accessTokenAnswer(answer.accessToken, answer.scope, clock)
  const { access_token, token_type, expires_in, scope } = fields
  const refresh_token = answer.renewed?.token ?? brokerToken
  return { access_token, token_type, expires_in, scope, refresh_token }
}

/** Token exchange: broker token in; Ellipsis Drive's access token, or a newer broker token, out. */
export async function exchange(body: Body, by: Actor, { swap, clock }: HttpServices) {
  checkScope(body)
  const brokerToken = required(body, 'subject_token').reveal()
  const type = required(body, 'subject_token_type').reveal()
  if (type !== JWT_TYPE && type !== ACCESS_TOKEN_TYPE) {
    throw invalid(`Use subject_token_type=${JWT_TYPE}.`)
  }
  const wanted = body.requested_token_type ?? ACCESS_TOKEN_TYPE
  if (wanted === JWT_TYPE) {
    const { renewed, scope, bound } = await swap.renew({ brokerToken, ...by })
    const issued = { access_token: renewed.token, issued_token_type: JWT_TYPE }
    const token_type = bound ? 'DPoP' : 'Bearer'
    return { ...issued, token_type, expires_in: renewed.expiresIn, scope }
  }
  if (wanted !== ACCESS_TOKEN_TYPE) {
    throw invalid(`Use requested_token_type=${ACCESS_TOKEN_TYPE}, or ${JWT_TYPE} to renew.`)
  }
  const answer = await swap.swap({ brokerToken, ...by, ...swapOptions(body) })
  const fields = accessTokenAnswer(answer.accessToken, answer.scope, clock)
  return { ...fields, issued_token_type: ACCESS_TOKEN_TYPE, ...renewedFields(answer.renewed) }
}

const swapOptions = ({ min_ttl, force }: Body) => ({
  minTtlSeconds: min_ttl === undefined ? undefined : Number(min_ttl),
  force: force === 'true',
})
