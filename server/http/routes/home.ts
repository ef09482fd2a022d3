import type { FastifyPluginAsync } from 'fastify'

/** The page at the broker's own URL. */
export const homeRoute: FastifyPluginAsync = async (app) => {
  app.get('/', { config: { page: true } }, async (_request, reply) =>
    reply.page('notice', {
      title: 'Ellipsis Broker',
      message:
        'Apps come here to connect with Ellipsis Drive for you. If an app sent you, go back to it and connect there.',
    }),
  )
}
