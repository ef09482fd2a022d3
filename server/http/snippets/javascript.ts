import {
  brokerTokenParameter,
  issuedTokenField,
  renewedTokenField,
  swapParameters,
  usesExchange,
} from './snippet-app.ts'
import type { SnippetApp } from './snippet-app.ts'

/** Quotes a value as a JavaScript string. */
const quote = (text: string): string =>
  `'${JSON.stringify(text).slice(1, -1).replaceAll("'", "\\'")}'`

/** JavaScript that connects and swaps: in the browser for public apps, on the server for confidential ones. */
export function javascriptSnippet(app: SnippetApp): string {
  const { confidential } = app
  return `const broker = ${quote(app.brokerUrl)}
const clientId = ${quote(app.clientId)}
const redirectUri = ${quote(app.redirectUri)}
${confidential ? '// Run this on your server, and keep the secret there.\nconst clientSecret = process.env.CLIENT_SECRET\n' : ''}
/** Returns the URL to send the user to. Keep \`verifier\` and \`state\`${confidential ? '' : ' in sessionStorage'} until the user returns. */
export async function connect() {
  const [verifier, state] = [random(), random()]
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    state,
    code_challenge: base64url(new Uint8Array(hash)),
    code_challenge_method: 'S256',
  })
  return { url: \`\${broker}/oauth/authorize?\${query}\`, verifier, state }
}

/**
 * At the redirect URI: redeems the code of its query for a broker token. Store the token, and leave the URL: a
 * code works once. If the user refused, it throws an error with \`error\` access_denied.
 */
export async function redeem(query, verifier, state) {
  const { code, ...response } = Object.fromEntries(new URLSearchParams(query))
  if (response.state !== state) throw new Error('The state does not match.')
  if (response.error) throw Object.assign(new Error(response.error_description), response)
  const answer = await post('/oauth/token', {
    grant_type: 'authorization_code',
    redirect_uri: redirectUri,
    code,
    code_verifier: verifier,
  })
  return answer.${issuedTokenField(app)}
}

/** Before you call Ellipsis Drive: swaps the broker token for an access token. */
export async function swap(brokerToken) {
${swapBody(app)}
}

async function post(path, fields, headers = {}) {
${postBody(app)}
  const answer = await response.json()
  if (response.ok) return answer
  // If the error has a reconnect_url, send the user there. After invalid_token or invalid_grant, connect again.
  throw Object.assign(new Error(answer.error_description), answer)
}

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
`
}

function swapBody(app: SnippetApp): string {
  const renewed = renewedTokenField(app)
  const returnTokens = `  // Store this broker token instead of the old one.
  if (answer.${renewed}) brokerToken = answer.${renewed}
  return { accessToken: answer.access_token, expiresIn: answer.expires_in, brokerToken }`
  if (usesExchange(app)) {
    return `  const answer = await post('/exchange', null, { authorization: \`Bearer \${brokerToken}\` })
${returnTokens}`
  }
  const fields = Object.entries(swapParameters(app)).map(
    ([name, value]) => `    ${name}: '${value}',`,
  )
  return `  const answer = await post('/oauth/token', {
${fields.join('\n')}
    ${brokerTokenParameter(app)}: brokerToken,
  })
${returnTokens}`
}

function postBody({ confidential }: SnippetApp): string {
  if (confidential) {
    return `  headers.authorization = \`Basic \${btoa(\`\${clientId}:\${clientSecret}\`)}\`
  const response = await fetch(broker + path, { method: 'POST', headers, body: new URLSearchParams(fields) })`
  }
  return `  const body = fields && new URLSearchParams({ client_id: clientId, ...fields })
  const response = await fetch(broker + path, { method: 'POST', headers, body })`
}

/** JavaScript for a page without a back end, with the browser SDK of this broker. */
export function sdkSnippet({ brokerUrl, clientId, redirectUri }: SnippetApp): string {
  return `import { createClient } from ${quote(`${brokerUrl}/sdk.js`)}

const client = createClient({
  broker: ${quote(brokerUrl)},
  clientId: ${quote(clientId)},
  redirectUri: ${quote(redirectUri)}, // This module must run there, too.
})
document.querySelector('#connect').onclick = () => client.connect()
client.on('connected', async () => {
  const account = await client.fetch('/account') // A path of Ellipsis Drive's API.
  console.log(await account.json())
})
await client.handleRedirect()
await client.isConnected()
`
}

/** JavaScript for a page without a back end, which gets the access token in its URL's fragment. */
export function fragmentSnippet({ brokerUrl, clientId, redirectUri }: SnippetApp): string {
  return `const broker = ${quote(brokerUrl)}
const clientId = ${quote(clientId)}
const redirectUri = ${quote(redirectUri)}

/** Returns the URL to send the user to. Keep \`state\` in sessionStorage until the user returns. */
export function connect() {
  const state = crypto.randomUUID()
  const query = new URLSearchParams({ redirect_uri: redirectUri, state })
  return { url: \`\${broker}/connect/\${clientId}?\${query}\`, state }
}

/**
 * At the redirect URI: reads Ellipsis Drive's access token from \`location.hash\`. Then remove it from the
 * URL: \`history.replaceState(null, '', location.pathname)\`. When it has expired, connect again.
 */
export function receive(hash, state) {
  const answer = new URLSearchParams(hash.slice(1))
  if (answer.get('state') !== state) throw new Error('The state does not match.')
  // If the user refused: access_denied.
  if (answer.has('error')) throw new Error(answer.get('error_description') ?? answer.get('error'))
  return { accessToken: answer.get('access_token'), expiresIn: Number(answer.get('expires_in')) }
}
`
}
