import {
  brokerTokenParameter,
  issuedTokenField,
  renewedTokenField,
  swapParameters,
  usesExchange,
} from './snippet-app.ts'
import type { SnippetApp } from './snippet-app.ts'

/** Quotes a value for a POSIX shell. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** A shell script that connects and swaps, and asks for the code from the browser. */
export function curlSnippet(app: SnippetApp): string {
  const secret = app.confidential ? ` \\\n  -u "$CLIENT:$CLIENT_SECRET"` : ''
  const client = app.confidential ? '' : ` -d client_id="$CLIENT"`
  return `BROKER=${quote(app.brokerUrl)}
CLIENT=${quote(app.clientId)}
REDIRECT_URI=${quote(app.redirectUri)}
${app.confidential ? '# Export CLIENT_SECRET, the client secret you were shown. Keep it off the web.\n' : ''}
# 1. Connect: open the URL that this prints.
VERIFIER=$(openssl rand -hex 32)
CHALLENGE=$(printf %s "$VERIFIER" | openssl dgst -sha256 -binary | openssl base64 -A | tr '+/' '-_' | tr -d '=')
echo "$BROKER/oauth/authorize?response_type=code&client_id=$CLIENT&state=$(openssl rand -hex 16)\\
&redirect_uri=${encodeURIComponent(app.redirectUri)}&code_challenge=$CHALLENGE&code_challenge_method=S256"

# 2. Redeem: the browser returns with a code, or with error=access_denied if you refused. Enter the code here soon.
read -r CODE
curl -sS "$BROKER/oauth/token"${secret} \\
  -d grant_type=authorization_code${client} -d code="$CODE" -d code_verifier="$VERIFIER" \\
  --data-urlencode redirect_uri="$REDIRECT_URI"
echo

# 3. Swap: enter the ${issuedTokenField(app)} from that response to get an access token for Ellipsis Drive.
# If this response has a ${renewedTokenField(app)}, use that one from now on. If it has a reconnect_url, open it.
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
  -d ${brokerTokenParameter(app)}="$BROKER_TOKEN"${client}`
}
