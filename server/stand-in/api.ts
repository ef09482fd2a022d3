import type { FastifyError, FastifyPluginAsync, FastifyRequest } from 'fastify'
import { ApiError } from './api-error.ts'
import type { Node, Root } from './drive.ts'
import { accessLevel, describe, ROOTS } from './drive.ts'
import { listing } from './listing.ts'
import type { StandIn } from './stand-in.ts'
import type { User } from './users.ts'
import { watching } from './watch.ts'

/** The account and its drive, as far as clients of the broker's apps read them. */
export const apiRoutes: FastifyPluginAsync<{ standIn: StandIn }> = async (app, { standIn }) => {
  const watch = watching(standIn)

  app.get('/account', watch('account'), async (request) => {
    const { id, username } = await owner(request, standIn)
    const { refuseAccount, accountWithoutId } = standIn.switches
    if (refuseAccount) throw new ApiError(403, 'You do not have access.')
    return accountWithoutId ? { username } : { id, username }
  })

  app.get<{ Params: { root: Root }; Querystring: Record<string, unknown> }>(
    '/account/root/:root',
    watch('root'),
    async (request) => {
      const user = await owner(request, standIn)
      const { root } = request.params
      if (!ROOTS.includes(root)) throw new ApiError(400, `root must be one of ${ROOTS.join(', ')}.`)
      return listing(standIn.drive.root(user, root), user, request.query)
    },
  )

  app.get<{ Params: { id: string } }>('/path/:id', watch('path'), async (request) => {
    const user = await viewer(request, standIn)
    return describe(visible(request.params.id, user, standIn), user)
  })

  app.get<{ Params: { id: string }; Querystring: Record<string, unknown> }>(
    '/path/:id/folder/list',
    watch('folder'),
    async (request) => {
      const user = await viewer(request, standIn)
      const { item, children } = visible(request.params.id, user, standIn)
      if (item.type !== 'folder') throw new ApiError(400, 'This path is not a folder.')
      return listing(children, user, request.query)
    },
  )
}

/** Whose token came with the request; `null` if none did: what is public can be seen without. */
async function viewer(request: FastifyRequest, standIn: StandIn): Promise<User | null> {
  const token = readToken(request)
  if (token === undefined) return null
  const user = await standIn.accessTokens.read(token)
  if (!user) throw new ApiError(401, 'Your token is not valid or has expired.')
  return user
}

async function owner(request: FastifyRequest, standIn: StandIn): Promise<User> {
  const user = await viewer(request, standIn)
  if (!user) throw new ApiError(401, 'You need a token for this.')
  return user
}

/** From the header, `Bearer` in any case, or from the address. */
function readToken({ headers, query }: FastifyRequest): string | undefined {
  const fromHeader = /^bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1]
  const { token } = query as { token?: unknown }
  return fromHeader ?? (typeof token === 'string' ? token : undefined)
}

function visible(id: string, user: User | null, { drive }: StandIn): Node {
  const node = drive.find(id)
  if (!node) throw new ApiError(404, 'There is no such path.')
  if (accessLevel(node, user) === 0) throw new ApiError(403, 'You do not have access to this path.')
  return node
}

/** What any error says: `{"message": …}`. */
export function errorBody(error: FastifyError | ApiError): { status: number; message: string } {
  if (error instanceof ApiError) return error
  const { statusCode: status = 500, validation, message } = error
  const unknown = validation?.[0]?.params.additionalProperty
  if (typeof unknown === 'string') return { status, message: `There is no ${unknown} to set.` }
  return { status, message: status < 500 ? message : 'Something went wrong.' }
}
