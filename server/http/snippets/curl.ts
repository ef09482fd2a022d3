import { keptField, swapParameters, tokenParameter, usesExchange } from './app.ts'
import type { SnippetApp } from './app.ts'

/** A value in single quotes, for a POSIX shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** Connecting and swapping by hand: a script that asks for what the browser brings back. */
export function curlSnippet(app: SnippetApp): string {
  const secret = app.confidential ? ` \\\n  -u "$CLIENT:$CLIENT_SECRET"` : ''
  const client = app.confidential ? '' : ` -d client_id="$CLIENT"`
  return `BROKER=${quoted(app.brokerUrl)}
CLIENT=${quoted(app.clientId)}
REDIRECT_URI=${quoted(app.redirectUri)}
${app.confidential ? '# CLIENT_SECRET is the secret that you were shown: export it, and keep it off the web.\n' : ''}
# 1. Connect: open the address that this prints.
VERIFIER=$(openssl rand -hex 32)
CHALLENGE=$(printf %s "$VERIFIER" | openssl dgst -sha256 -binary | openssl base64 -A | tr '+/' '-_' | tr -d '=')
echo "$BROKER/oauth/authorize?response_type=code&client_id=$CLIENT&state=$(openssl rand -hex 16)\\
&redirect_uri=${encodeURIComponent(app.redirectUri)}&code_challenge=$CHALLENGE&code_challenge_method=S256"

# 2. It leads back with a code, which is good for one minute. Type it in, to redeem it.
read -r CODE
curl -sS "$BROKER/oauth/token"${secret} \\
  -d grant_type=authorization_code${client} -d code="$CODE" -d code_verifier="$VERIFIER" \\
  --data-urlencode redirect_uri="$REDIRECT_URI"
echo

# 3. Swap: type in the ${keptField(app)} from that answer, for an access token of Ellipsis Drive.
read -r BROKER_TOKEN
${swap(app, secret, client)}
echo
`
}

function swap(app: SnippetApp, secret: string, client: string): string {
  if (usesExchange(app)) {
    return `curl -sS -X POST "$BROKER/exchange" -H "Authorization: Bearer $BROKER_TOKEN"`
  }
  const fields = Object.entries(swapParameters(app)).map(([name, value]) => `-d ${name}=${value}`)
  return `curl -sS "$BROKER/oauth/token"${secret} \\
  ${fields.join(' \\\n  ')} \\
  -d ${tokenParameter(app)}="$BROKER_TOKEN"${client}`
}
