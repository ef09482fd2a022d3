import type { FastifyPluginAsync } from 'fastify'
import { ApiError, findViewer, findVisiblePath, requireUser } from './access.ts'
import type { Node, Root } from './drive.ts'
import { describePath, ROOTS } from './drive.ts'
import { createEndpointHooks } from './endpoint-hooks.ts'
import type { StandIn } from './stand-in.ts'
import type { User } from './users.ts'

const TYPES = ['raster', 'vector', 'folder', 'file', 'pointCloud', 'bookmark']
const DEFAULT_TYPES = ['raster', 'vector']
const MAX_PAGE_SIZE = 50

/** The account and its drive, as far as the broker's apps read them. */
export const apiRoutes: FastifyPluginAsync<{ standIn: StandIn }> = async (app, { standIn }) => {
  const hooksFor = createEndpointHooks(standIn)

  app.get('/account', hooksFor('account'), async (request) => {
    const { id, username } = await requireUser(request, standIn)
    const { refuseAccount, accountWithoutId } = standIn.switches
    if (refuseAccount) throw new ApiError(403, 'You do not have access.')
    return accountWithoutId ? { username } : { id, username }
  })

  app.get<{ Params: { root: Root }; Querystring: Record<string, unknown> }>(
    '/account/root/:root',
    hooksFor('root'),
    async (request) => {
      const user = await requireUser(request, standIn)
      const { root } = request.params
      if (!ROOTS.includes(root)) throw new ApiError(400, `root must be one of ${ROOTS.join(', ')}.`)
      return listPage(standIn.drive.listRoot(user, root), user, request.query)
    },
  )

  app.get<{ Params: { id: string } }>('/path/:id', hooksFor('path'), async (request) => {
    const viewer = await findViewer(request, standIn)
    return describePath(findVisiblePath(request.params.id, viewer, standIn), viewer)
  })

  app.get<{ Params: { id: string }; Querystring: Record<string, unknown> }>(
    '/path/:id/folder/list',
    hooksFor('folder'),
    async (request) => {
      const viewer = await findViewer(request, standIn)
      const { item, children } = findVisiblePath(request.params.id, viewer, standIn)
      if (item.type !== 'folder') throw new ApiError(400, 'This path is not a folder.')
      return listPage(children, viewer, request.query)
    },
  )
}

/** One page of a listing, selected by `type`, `pageSize` and `pageStart`. */
function listPage(nodes: Node[], viewer: User | null, query: Record<string, unknown>) {
  const types = readTypes(query.type)
  const pageSize = readPageSize(query.pageSize)
  const matches = nodes.filter((node) => types.includes(node.item.type))
  const start = readPageStart(query.pageStart, matches)
  const page = matches.slice(start, start + pageSize)
  return {
    result: page.map((node) => describePath(node, viewer)),
    nextPageStart: matches[start + pageSize]?.id ?? null,
  }
}

function readTypes(type: unknown): string[] {
  if (type === undefined) return DEFAULT_TYPES
  const types = parseJson(type)
  const isValid = Array.isArray(types) && types.every((name) => TYPES.includes(name as string))
  if (!isValid) throw new ApiError(400, `type must be a JSON array of ${TYPES.join(', ')}.`)
  return types as string[]
}

function parseJson(text: unknown): unknown {
  try {
    return JSON.parse(String(text))
  } catch {
    return undefined
  }
}

function readPageSize(pageSize: unknown): number {
  if (pageSize === undefined) return MAX_PAGE_SIZE
  const size = Number(pageSize)
  const isValid = Number.isInteger(size) && size >= 1 && size <= MAX_PAGE_SIZE
  if (!isValid) throw new ApiError(400, `pageSize must be a number from 1 to ${MAX_PAGE_SIZE}.`)
  return size
}

/** Index of the page's first item; `pageStart` is that item's id. */
function readPageStart(pageStart: unknown, nodes: Node[]): number {
  if (pageStart === undefined) return 0
  const start = nodes.findIndex((node) => node.id === pageStart)
  if (start === -1) throw new ApiError(400, 'pageStart is unknown.')
  return start
}
