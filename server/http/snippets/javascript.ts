import { keptField, swapParameters, tokenParameter, usesExchange } from './app.ts'
import type { SnippetApp } from './app.ts'

const quoted = (text: string): string =>
  `'${JSON.stringify(text).slice(1, -1).replaceAll("'", "\\'")}'`

/** Connecting and swapping in JavaScript: in the browser for public apps, on the server with a secret. */
export function javascriptSnippet(app: SnippetApp): string {
  const { confidential } = app
  return `const broker = ${quoted(app.brokerUrl)}
const clientId = ${quoted(app.clientId)}
const redirectUri = ${quoted(app.redirectUri)}
${confidential ? '// On your server: the secret never goes to a browser.\nconst clientSecret = process.env.CLIENT_SECRET\n' : ''}
/** Where to send the user. Keep \`verifier\` and \`state\` until the user is back${confidential ? '' : ', in sessionStorage'}. */
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

/** Back at the redirect URI, with the same \`state\`: the code for a broker token, which you keep. */
export async function redeem(code, verifier) {
  const answer = await post('/oauth/token', {
    grant_type: 'authorization_code',
    redirect_uri: redirectUri,
    code,
    code_verifier: verifier,
  })
  return answer.${keptField(app)}
}

/** Whenever you call Ellipsis Drive: the broker token for an access token. */
export async function swap(brokerToken) {
${swapBody(app)}
}

async function post(path, fields, headers = {}) {
${postBody(app)}
  const answer = await response.json()
  if (response.ok) return answer
  // Where there is a reconnect_url, send the user there.
  throw Object.assign(new Error(answer.error_description), answer)
}

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
`
}

function swapBody(app: SnippetApp): string {
  const kept = app.tokens === 'ellipsis' ? 'refresh_token' : 'broker_token'
  const keep = `  // Keep this instead of the broker token that you had.
  if (answer.${kept}) brokerToken = answer.${kept}
  return { accessToken: answer.access_token, expiresIn: answer.expires_in, brokerToken }`
  if (usesExchange(app)) {
    return `  const answer = await post('/exchange', null, { authorization: \`Bearer \${brokerToken}\` })
${keep}`
  }
  const fields = Object.entries(swapParameters(app)).map(
    ([name, value]) => `    ${name}: '${value}',`,
  )
  return `  const answer = await post('/oauth/token', {
${fields.join('\n')}
    ${tokenParameter(app)}: brokerToken,
  })
${keep}`
}

function postBody({ confidential }: SnippetApp): string {
  if (confidential) {
    return `  headers.authorization = \`Basic \${btoa(\`\${clientId}:\${clientSecret}\`)}\`
  const response = await fetch(broker + path, { method: 'POST', headers, body: new URLSearchParams(fields) })`
  }
  return `  const body = fields && new URLSearchParams({ client_id: clientId, ...fields })
  const response = await fetch(broker + path, { method: 'POST', headers, body })`
}
