import type { FastifyRequest } from 'fastify'
import { BrokerError } from '../../errors.ts'

/** Refuses a form that another site posts; browsers say where a POST comes from (RFC 9700 2.1). */
export function checkSameOrigin(
  request: FastifyRequest,
  publicUrl: string,
  advice = 'Go back to the app and connect again.',
): void {
  const { origin, 'sec-fetch-site': site } = request.headers
  const foreign = origin !== undefined && origin !== new URL(publicUrl).origin
  if (foreign || (site !== undefined && site !== 'same-origin')) {
    const description = `This form was sent from another site. ${advice}`
    throw new BrokerError('access_denied', { description })
  }
}
