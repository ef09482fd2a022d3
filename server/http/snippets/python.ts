import { keptField, swapParameters, tokenParameter, usesExchange } from './app.ts'
import type { SnippetApp } from './app.ts'

/** JSON's strings are Python's too. */
const quoted = (text: string): string => JSON.stringify(text)

/** Connecting and swapping in Python 3, with its standard library alone. */
export function pythonSnippet(app: SnippetApp): string {
  const { confidential } = app
  return `import base64, hashlib, json, ${confidential ? 'os, ' : ''}secrets
from urllib.parse import urlencode
from urllib.request import Request, urlopen

BROKER = ${quoted(app.brokerUrl)}
CLIENT_ID = ${quoted(app.clientId)}
REDIRECT_URI = ${quoted(app.redirectUri)}
${confidential ? 'CLIENT_SECRET = os.environ["CLIENT_SECRET"]\n' : ''}

def connect():
    """Where to send the user. Keep verifier and state until the user is back."""
    verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
    digest = hashlib.sha256(verifier.encode()).digest()
    query = urlencode({
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT_URI,
        "state": state,
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
    })
    return f"{BROKER}/oauth/authorize?{query}", verifier, state


def redeem(code, verifier):
    """Back at the redirect URI, with the same state: the code for a broker token, which you keep."""
    answer = post("/oauth/token", {
        "grant_type": "authorization_code",
        "redirect_uri": REDIRECT_URI,
        "code": code,
        "code_verifier": verifier,
    })
    return answer["${keptField(app)}"]


def swap(broker_token):
    """Whenever you call Ellipsis Drive: the broker token for an access token.
    Keep the second value instead of the broker token that you had."""
${swapBody(app)}


def post(path, fields, headers={}):
${postBody(app)}
    with urlopen(Request(BROKER + path, data=body, headers=headers, method="POST")) as answer:
        return json.load(answer)
`
}

function swapBody(app: SnippetApp): string {
  const kept = app.tokens === 'ellipsis' ? 'refresh_token' : 'broker_token'
  const keep = `    return answer["access_token"], answer.get("${kept}", broker_token)`
  if (usesExchange(app)) {
    return `    answer = post("/exchange", None, {"Authorization": f"Bearer {broker_token}"})
${keep}`
  }
  const fields = Object.entries(swapParameters(app)).map(
    ([name, value]) => `        "${name}": "${value}",`,
  )
  return `    answer = post("/oauth/token", {
${fields.join('\n')}
        "${tokenParameter(app)}": broker_token,
    })
${keep}`
}

function postBody({ confidential }: SnippetApp): string {
  if (confidential) {
    return `    pair = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    headers = {**headers, "Authorization": f"Basic {pair}"}
    body = urlencode(fields).encode()`
  }
  return `    body = urlencode({"client_id": CLIENT_ID, **fields}).encode() if fields else None`
}
