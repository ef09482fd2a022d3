type Json = Record<string, unknown>

/**
 * A `fetch` that changes the JSON of successful answers of Ellipsis Drive, by the end of their path: for answers
 * that are legal, and that the stand-in doesn't give. `change` may be replaced during the test.
 */
export function rewritingFetch(change: {
  token?: (json: Json, grantType: string | null) => Json
  account?: (json: Json) => Json
}) {
  return async (...args: Parameters<typeof fetch>): Promise<Response> => {
    const response = await fetch(...args)
    if (!response.ok) return response
    const json = (await response.clone().json()) as Json
    const path = new URL(response.url).pathname
    if (path.endsWith('/account') && change.account) return Response.json(change.account(json))
    if (!path.endsWith('/oauth/token') || !change.token) return response
    const grantType = new URLSearchParams(args[1]?.body as string).get('grant_type')
    return Response.json(change.token(json, grantType))
  }
}

/** Without these fields. */
export const without =
  (...names: string[]) =>
  (json: Json): Json =>
    Object.fromEntries(Object.entries(json).filter(([name]) => !names.includes(name)))
