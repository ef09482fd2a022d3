import type { FastifyError, FastifyRequest } from 'fastify'
import type { Node } from './drive.ts'
import { accessLevel } from './drive.ts'
import type { StandIn } from './stand-in.ts'
import type { User } from './users.ts'

/** An error of the API, sent as JSON `{"message": …}`. */
export class ApiError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Converts an error to the API's status and message. Details of server errors are not sent. */
export function toErrorResponse(error: FastifyError | ApiError): {
  status: number
  message: string
} {
  if (error instanceof ApiError) return error
  const { statusCode: status = 500, validation, message } = error
  const unknownProperty = validation?.[0]?.params.additionalProperty
  if (typeof unknownProperty === 'string') {
    return { status, message: `Unknown property: ${unknownProperty}.` }
  }
  return { status, message: status < 500 ? message : 'Something went wrong.' }
}

/** The user of the request's token; `null` without a token: public items need none. */
export async function findViewer(request: FastifyRequest, standIn: StandIn): Promise<User | null> {
  const token = readToken(request)
  if (token === undefined) return null
  const user = await standIn.accessTokens.findUser(token)
  if (!user) throw new ApiError(401, 'Your token is not valid or has expired.')
  return user
}

export async function requireUser(request: FastifyRequest, standIn: StandIn): Promise<User> {
  const user = await findViewer(request, standIn)
  if (!user) throw new ApiError(401, 'A token is required.')
  return user
}

/** Reads the token from the `Authorization` header (`Bearer` in any case) or the query. */
function readToken({ headers, query }: FastifyRequest): string | undefined {
  const fromHeader = /^bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1]
  const { token } = query as { token?: unknown }
  return fromHeader ?? (typeof token === 'string' ? token : undefined)
}

/** The path, if it exists and the viewer may see it. @throws ApiError 403, 404 */
export function findVisiblePath(id: string, viewer: User | null, { drive }: StandIn): Node {
  const node = drive.find(id)
  if (!node) throw new ApiError(404, 'This path does not exist.')
  if (accessLevel(node, viewer) === 0) {
    throw new ApiError(403, 'You do not have access to this path.')
  }
  return node
}

/** RFC 9110 13.1.2: the weak comparison. */
export function matchesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  const tags = header.split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  return tags.includes(etag) || tags.includes('*')
}
