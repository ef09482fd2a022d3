/** How long a check waits, and that it looks at what answers itself. */
export const within = () => ({ signal: AbortSignal.timeout(10_000), redirect: 'manual' as const })

/** An answer. Status 0: there was none. */
export async function reach(
  fetchFn: typeof fetch,
  url: string,
  headers: Record<string, string> = {},
) {
  try {
    const response = await fetchFn(url, { ...within(), headers })
    const text = (await response.text()).slice(0, 100_000)
    const isJson = response.headers.get('content-type')?.includes('json') === true
    return {
      status: response.status,
      headers: response.headers,
      json: isJson ? (JSON.parse(text) as { issuer?: string }) : null,
    }
  } catch {
    return { status: 0, headers: new Headers(), json: null }
  }
}
