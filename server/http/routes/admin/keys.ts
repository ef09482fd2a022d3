import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { SigningKey } from '../../../../db/store.ts'
import type { HttpServices } from '../../../services.ts'
import { actorOf } from './actor.ts'

const HOME = '/admin/keys'

/** The keys that sign broker tokens: list, rotate, revoke. */
export const keysRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { keys } },
) => {
  /** One that isn't revoked: what has ended can't end again. */
  const find = async ({ params }: FastifyRequest): Promise<SigningKey | undefined> => {
    const { kid } = params as { kid: string }
    return (await keys.list()).find((key) => key.kid === kid && key.status !== 'revoked')
  }

  const missing = (reply: FastifyReply) => reply.missing('There is no such live key.')

  app.get('/keys', async (_request, reply) => {
    const all = await keys.list()
    return reply.show('admin/keys', {
      keys: all
        .map(({ kid, status, createdAt, activatedAt, endedAt }) => ({
          kid,
          status,
          createdAt,
          activatedAt,
          endedAt,
        }))
        .reverse(),
    })
  })

  app.get('/keys/rotate', async (_request, reply) =>
    reply.show('admin/confirm', {
      title: 'Sign with the next key now?',
      words: [
        'Broker tokens are signed with it from now on, and another is published that will come after it. This happens by itself every 90 days.',
        'Nobody is cut off: the key before goes on verifying until the last token that it signed has ended. An app that verifies tokens itself, and fetched the keys before the next one was published, has to fetch them again.',
      ],
      button: 'Sign with the next key',
      back: HOME,
    }),
  )

  app.post('/keys/rotate', async (request, reply) => {
    const { kid } = await keys.rotate(actorOf(request))
    return reply.done(HOME, `Key ${kid} signs from now on.`)
  })

  app.get('/keys/:kid/revoke', async (request, reply) => {
    const key = await find(request)
    if (!key) return missing(reply)
    return reply.show('admin/confirm', {
      title: `Revoke the key ${key.kid}?`,
      words: consequences(key),
      button: 'Revoke this key',
      back: HOME,
    })
  })

  app.post('/keys/:kid/revoke', async (request, reply) => {
    const { kid } = request.params as { kid: string }
    if (!(await keys.revoke(kid, actorOf(request)))) return missing(reply)
    return reply.done(HOME, `Revoked ${kid}. Broker tokens that it signed are refused from now on.`)
  })
}

/** What a revocation does, and what it doesn't. */
function consequences({ status }: SigningKey): string[] {
  if (status === 'next') {
    return [
      'It has signed nothing yet, so nobody is cut off. Another takes its place as the next.',
      'Its private half is deleted for good.',
    ]
  }
  return [
    'Every broker token that it signed is refused from this moment, by every process of this broker: whoever holds one has to connect again. Revoke it if it may be known to somebody else; to change keys otherwise, rotate.',
    ...(status === 'active' ? ['The next key signs from now on.'] : []),
    'Access tokens that apps got by then live until they end, and Ellipsis Drive has no way to take them back. Connections stay: nothing is deleted at Ellipsis Drive.',
    'The key’s private half is deleted for good. There is no way back.',
  ]
}
