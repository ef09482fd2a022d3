import { ApiError } from './api-error.ts'
import type { Node } from './drive.ts'
import { describe } from './drive.ts'
import type { User } from './users.ts'

const TYPES = ['raster', 'vector', 'folder', 'file', 'pointCloud', 'bookmark']
const DEFAULT_TYPES = ['raster', 'vector']
const LARGEST_PAGE = 50

/** One page of a listing: `{result, nextPageStart}`, as the query asks. */
export function listing(nodes: Node[], viewer: User | null, query: Record<string, unknown>) {
  const types = readTypes(query.type)
  const pageSize = readPageSize(query.pageSize)
  const wanted = nodes.filter((node) => types.includes(node.item.type))
  const start = readPageStart(query.pageStart, wanted)
  const page = wanted.slice(start, start + pageSize)
  return {
    result: page.map((node) => describe(node, viewer)),
    nextPageStart: wanted[start + pageSize]?.id ?? null,
  }
}

function readTypes(type: unknown): string[] {
  if (type === undefined) return DEFAULT_TYPES
  const types = parseJson(type)
  const known = Array.isArray(types) && types.every((one) => TYPES.includes(one as string))
  if (!known) throw new ApiError(400, `type must be a JSON array of ${TYPES.join(', ')}.`)
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
  if (pageSize === undefined) return LARGEST_PAGE
  const size = Number(pageSize)
  const fits = Number.isInteger(size) && size >= 1 && size <= LARGEST_PAGE
  if (!fits) throw new ApiError(400, `pageSize must be a number from 1 to ${LARGEST_PAGE}.`)
  return size
}

/** Where the page begins. A `pageStart` is the id of its first item. */
function readPageStart(pageStart: unknown, nodes: Node[]): number {
  if (pageStart === undefined) return 0
  const start = nodes.findIndex((node) => node.id === pageStart)
  if (start === -1) throw new ApiError(400, 'pageStart is not known.')
  return start
}
