import {
  brokerTokenParameter,
  issuedTokenField,
  renewedTokenField,
  swapParameters,
  usesExchange,
} from './snippet-app.ts'
import type { SnippetApp } from './snippet-app.ts'

/** Quotes a value as a Python string: JSON strings are valid Python. */
const quote = (text: string): string => JSON.stringify(text)

/** Python 3 that connects and swaps, with the standard library only. */
export function pythonSnippet(app: SnippetApp): string {
  const { confidential } = app
  return `import base64, hashlib, json, ${confidential ? 'os, ' : ''}secrets
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import Request, urlopen

BROKER = ${quote(app.brokerUrl)}
CLIENT_ID = ${quote(app.clientId)}
REDIRECT_URI = ${quote(app.redirectUri)}
${confidential ? 'CLIENT_SECRET = os.environ["CLIENT_SECRET"]\n' : ''}

def connect():
    """Returns the URL to send the user to. Keep verifier and state until the user returns."""
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


class BrokerError(Exception):
    """Its argument is the answer of the broker: error, error_description and, if it helps to connect
    again, reconnect_url. If the user refused, error is access_denied."""


def redeem(url, verifier, state):
    """At the redirect URI: redeems the code of its URL for a broker token. Store the token, and redirect: a
    code works once."""
    response = dict(parse_qsl(urlsplit(url).query))
    if response.get("state") != state:
        raise ValueError("The state does not match.")
    if "error" in response:
        raise BrokerError(response)
    answer = post("/oauth/token", {
        "grant_type": "authorization_code",
        "redirect_uri": REDIRECT_URI,
        "code": response["code"],
        "code_verifier": verifier,
    })
    return answer["${issuedTokenField(app)}"]


def swap(broker_token):
    """Before you call Ellipsis Drive: swaps the broker token for an access token.
    Store the second value, the broker token to use from now on."""
${swapBody(app)}


def post(path, fields, headers={}):
${postBody(app)}
    try:
        with urlopen(Request(BROKER + path, data=body, headers=headers, method="POST")) as answer:
            return json.load(answer)
    except HTTPError as failure:
        raise BrokerError(json.load(failure)) from None
`
}

function swapBody(app: SnippetApp): string {
  const renewed = renewedTokenField(app)
  const returnTokens = `    return answer["access_token"], answer.get("${renewed}", broker_token)`
  if (usesExchange(app)) {
    return `    answer = post("/exchange", None, {"Authorization": f"Bearer {broker_token}"})
${returnTokens}`
  }
  const fields = Object.entries(swapParameters(app)).map(
    ([name, value]) => `        "${name}": "${value}",`,
  )
  return `    answer = post("/oauth/token", {
${fields.join('\n')}
        "${brokerTokenParameter(app)}": broker_token,
    })
${returnTokens}`
}

function postBody({ confidential }: SnippetApp): string {
  if (confidential) {
    return `    pair = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    headers = {**headers, "Authorization": f"Basic {pair}"}
    body = urlencode(fields).encode()`
  }
  return `    body = urlencode({"client_id": CLIENT_ID, **fields}).encode() if fields else None`
}
