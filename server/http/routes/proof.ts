import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Proof } from '../../oauth/dpop.ts'
import type { HttpServices } from '../../services.ts'

/**
 * The request's DPoP proof, checked (RFC 9449 4.3); `null`: it has none. The answer, whatever it becomes,
 * carries the nonce for the next one.
 * @param accessToken what it goes with, where a token is presented to be used
 * @throws BrokerError `invalid_dpop_proof`, `use_dpop_nonce`
 */
export async function readProof(
  request: FastifyRequest,
  reply: FastifyReply,
  { dpop, config }: HttpServices,
  accessToken?: string,
): Promise<Proof | null> {
  const { dpop: proof } = request.headers
  if (typeof proof !== 'string') return null
  void reply.header('dpop-nonce', dpop.nonce())
  const url = new URL(config.publicUrl).origin + request.routeOptions.url
  return dpop.verify(proof, { method: request.method, url, accessToken })
}
