import type { FastifyRequest } from 'fastify'

/** Whom the events name for what the signed-in admin does. */
export const actorOf = ({ signedIn }: FastifyRequest): string => `admin:${signedIn.admin.email}`
