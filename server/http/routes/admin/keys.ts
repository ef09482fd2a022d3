import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { SigningKey } from '../../../../db/store.ts'
import type { HttpServices } from '../../../services.ts'
import { hereAfterwards } from '../../plugins/session.ts'
import { byAdmin } from './request.ts'

const KEYS_PATH = '/admin/keys'

/** Signing keys: list, rotate, revoke. */
export const keysRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { keys } },
) => {
  const config = { fresh: hereAfterwards }

  /** The key of the URL, unless it is revoked. */
  const find = async ({ params }: FastifyRequest): Promise<SigningKey | undefined> => {
    const { kid } = params as { kid: string }
    return (await keys.list()).find((key) => key.kid === kid && key.status !== 'revoked')
  }

  const missing = (reply: FastifyReply) =>
    reply.missing('This key does not exist or is already revoked.')

  app.get('/keys', async (_request, reply) => {
    const all = await keys.list()
    return reply.show('admin/keys', {
      keys: all
        .map(({ kid, alg, status, createdAt, activatedAt, endedAt }) => ({
          kid,
          signs: alg === 'RS256' ? 'ID tokens' : 'Broker tokens',
          status,
          createdAt,
          activatedAt,
          endedAt,
        }))
        .reverse(),
    })
  })

  app.get('/keys/rotate', { config }, async (_request, reply) =>
    reply.show('admin/confirm', {
      title: 'Rotate the signing keys?',
      paragraphs: [
        'The next keys sign from now on, and new next keys are published. This happens automatically every 90 days.',
        'No user loses access: the current keys verify tokens until the last one that they signed expires. An app that verifies tokens itself, and fetched the keys before the next ones were published, has to fetch them again.',
      ],
      button: 'Rotate keys',
      back: KEYS_PATH,
    }),
  )

  app.post('/keys/rotate', { config }, async (request, reply) => {
    const kids = (await keys.rotate(byAdmin(request))).map(({ kid }) => kid)
    const text =
      kids.length === 1
        ? `Key ${kids[0]} is now the active key.`
        : `Keys ${kids.join(' and ')} are now the active keys.`
    return reply.done(KEYS_PATH, text)
  })

  app.get('/keys/:kid/revoke', { config }, async (request, reply) => {
    const key = await find(request)
    if (!key) return missing(reply)
    return reply.show('admin/confirm', {
      title: `Revoke key ${key.kid}?`,
      paragraphs: consequencesOf(key),
      button: 'Revoke key',
      back: KEYS_PATH,
    })
  })

  app.post('/keys/:kid/revoke', { config }, async (request, reply) => {
    const { kid } = request.params as { kid: string }
    if (!(await keys.revoke(kid, byAdmin(request)))) return missing(reply)
    return reply.done(KEYS_PATH, `Revoked ${kid}. Tokens that it signed are now rejected.`)
  })
}

/** What revoking a key does and does not do. */
function consequencesOf({ status, alg }: SigningKey): string[] {
  if (alg === 'RS256' && status !== 'next') {
    return [
      'Apps that check it reject every ID token that it signed as soon as they fetch the keys again; their users sign in again. Broker tokens stay valid. Revoke a key only if it may have leaked; otherwise rotate it.',
      ...(status === 'active' ? ['The next key becomes the active key.'] : []),
      'The private key is deleted permanently. This cannot be undone.',
    ]
  }
  if (status === 'next') {
    return [
      'It has not signed anything yet, so no user loses access. A new next key replaces it.',
      'Its private key is deleted permanently.',
    ]
  }
  return [
    'Every broker token that it signed is rejected immediately, by every process of this broker. Users with such a token have to reconnect. Revoke a key only if it may have leaked; otherwise rotate it.',
    ...(status === 'active' ? ['The next key becomes the active key.'] : []),
    'Access tokens that apps already hold work until they expire: Ellipsis Drive cannot revoke them. Connections remain: nothing is deleted at Ellipsis Drive.',
    'The private key is deleted permanently. This cannot be undone.',
  ]
}
