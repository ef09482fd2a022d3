/**
 * Links as people paste them: with a full stop, bracket or quote of the text around them, with the white space
 * of a mail, with a trailing slash, or with the parameters of a campaign.
 */

/** Pages whose whole path is fixed, without the base path. */
const FIXED = /^\/+(device|me|docs|admin|admin\/sign-in)[^\p{L}\p{N}]*$/iu
/** Parts of variable length would be ambiguous; ids have 22 characters, setup secrets 43. */
const CONNECT = /^\/+connect\/[^\p{L}\p{N}_-]*(app_[\w-]{22})[^\p{L}\p{N}]*$/u
const SETUP = /^\/+admin\/+setup\/[^\p{L}\p{N}_-]*([\w-]{43})[^\p{L}\p{N}]*$/u
const RECONNECT = /([?&]connection=)([^&]*)/
const CONNECTION_ID = /^[^\p{L}\p{N}_-]*(con_[\w-]{22})[^\p{L}\p{N}]*$/u

/**
 * The URL that was meant: without what is not part of a link to a page of the broker. Any other URL is returned
 * unchanged.
 * @param url path and query, as in the request line
 * @param basePath of the public URL; empty, or with a leading slash
 */
export function cleanPastedUrl(url: string, basePath: string): string {
  if (!url.startsWith(basePath)) return url
  const inside = url.slice(basePath.length)
  // A mail program may append its parameters with `&`, although the link has no query.
  const end = inside.search(/[?&]/)
  const [path, query] = end < 0 ? [inside, ''] : [inside.slice(0, end), inside.slice(end)]
  const page = findPage(decode(path))
  // Also for other pages. The base path may be served with a slash only.
  if (page === null) return basePath + path.replace(/(?<=[^/])\/+$/, '') + query
  const isConnect = page.startsWith('/connect/')
  return basePath + page + cleanQuery(query.replace(/^&/, '?'), isConnect)
}

function findPage(path: string | null): string | null {
  if (path === null) return null
  const [, fixed] = FIXED.exec(path) ?? []
  if (fixed !== undefined) return `/${fixed.toLowerCase()}`
  const [, clientId] = CONNECT.exec(path) ?? []
  if (clientId !== undefined) return `/connect/${clientId}`
  const [, secret] = SETUP.exec(path) ?? []
  return secret === undefined ? null : `/admin/setup/${secret}`
}

/** Cleans the connection's id of a reconnect link. */
function cleanQuery(query: string, isConnect: boolean): string {
  if (!isConnect) return query
  return query.replace(RECONNECT, (all, name: string, value: string) => {
    const [, id] = CONNECTION_ID.exec(decode(value) ?? '') ?? []
    return id === undefined ? all : name + id
  })
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
