import type { FastifyRequest } from 'fastify'

/** The signed-in admin, and from where: who does it, for the domain. */
export const byAdmin = (request: FastifyRequest): { actor: string; address: string } => ({
  actor: actorOf(request),
  address: request.ip,
})

/** Whom the events name for what the signed-in admin does. */
export const actorOf = ({ signedIn }: FastifyRequest): string => `admin:${signedIn.admin.email}`
