import type { SnippetApp } from './app.ts'

const quoted = (text: string): string =>
  `'${JSON.stringify(text).slice(1, -1).replaceAll("'", "\\'")}'`

/** Connecting from a page without a back end, which gets the access token in its own address. */
export function fragmentSnippet({ brokerUrl, clientId, redirectUri }: SnippetApp): string {
  return `const broker = ${quoted(brokerUrl)}
const clientId = ${quoted(clientId)}
const redirectUri = ${quoted(redirectUri)}

/** Where to send the user. Keep \`state\` until the user is back, in sessionStorage. */
export function connect() {
  const state = crypto.randomUUID()
  const query = new URLSearchParams({ redirect_uri: redirectUri, state })
  return { url: \`\${broker}/connect/\${clientId}?\${query}\`, state }
}

/**
 * Back at the redirect URI: Ellipsis Drive's access token, from \`location.hash\`. Take it out of the
 * address at once: \`history.replaceState(null, '', location.pathname)\`. When it has ended, connect again.
 */
export function receive(hash, state) {
  const answer = new URLSearchParams(hash.slice(1))
  if (answer.get('state') !== state) throw new Error('This answer is not for this page.')
  if (answer.has('error')) throw new Error(answer.get('error_description') ?? answer.get('error'))
  return { accessToken: answer.get('access_token'), expiresIn: Number(answer.get('expires_in')) }
}
`
}
