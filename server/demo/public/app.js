// Everything an app without a back end needs to use the broker. Copy what you like.

const { brokerUrl, clientId, apiUrl } = await (await fetch('/config.json')).json()
const redirectUri = `${location.origin}/`
const element = (id) => document.getElementById(id)

// --- connect: OAuth's authorization code flow with PKCE ---

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')

async function connect() {
  const state = base64url(crypto.getRandomValues(new Uint8Array(16)))
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)))
  const challenge = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
  sessionStorage.setItem('flow', JSON.stringify({ state, verifier }))
  const parameters = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    state,
    code_challenge: base64url(challenge),
    code_challenge_method: 'S256',
  })
  location.assign(`${brokerUrl}/oauth/authorize?${parameters}`)
}

// Back from the broker: the address has a code, or says why there is none.
async function finishConnecting() {
  const answer = new URLSearchParams(location.search)
  if (!answer.has('state')) return
  history.replaceState(null, '', '/')
  const flow = JSON.parse(sessionStorage.getItem('flow') ?? '{}')
  sessionStorage.removeItem('flow')
  if (answer.get('state') !== flow.state || answer.get('iss') !== brokerUrl) {
    throw new Error('This answer belongs to no question of this page. Connect again.')
  }
  if (answer.get('error') === 'access_denied')
    throw new Error('You refused, so nothing was connected.')
  if (answer.has('error')) throw new Error(answer.get('error_description') ?? answer.get('error'))
  const { access_token: brokerToken } = await post('/oauth/token', {
    grant_type: 'authorization_code',
    client_id: clientId,
    redirect_uri: redirectUri,
    code: answer.get('code'),
    code_verifier: flow.verifier,
  })
  localStorage.setItem('broker_token', brokerToken)
}

async function post(path, form) {
  const response = await fetch(brokerUrl + path, {
    method: 'POST',
    body: new URLSearchParams(form),
  })
  const body = await response.text()
  const answer = body === '' ? {} : JSON.parse(body)
  if (!response.ok) throw new BrokerError(answer)
  return answer
}

class BrokerError extends Error {
  constructor({ error, error_description }) {
    super(error_description)
    this.code = error
  }
}

// --- swap: broker token in, access token out; the broker caches, so ask each time ---

async function accessToken() {
  const response = await fetch(`${brokerUrl}/exchange`, {
    method: 'POST',
    headers: { authorization: `Bearer ${localStorage.getItem('broker_token')}` },
  })
  const answer = await response.json()
  if (!response.ok) throw new BrokerError(answer)
  if (answer.broker_token) localStorage.setItem('broker_token', answer.broker_token)
  return answer.access_token
}

async function callEllipsis(path) {
  const headers = { authorization: `Bearer ${await accessToken()}` }
  const response = await fetch(apiUrl + path, { headers })
  if (!response.ok) throw new Error(`Ellipsis Drive answered ${response.status}.`)
  return response.json()
}

async function disconnect() {
  await post('/oauth/revoke', { client_id: clientId, token: localStorage.getItem('broker_token') })
  localStorage.removeItem('broker_token')
}

// --- the page ---

let trail = [{ id: null, name: 'My Drive' }]

async function listFolder() {
  const types = JSON.stringify(['folder', 'raster', 'vector', 'file', 'pointCloud', 'bookmark'])
  const { id } = trail.at(-1)
  const place = id === null ? '/account/root/myDrive' : `/path/${id}/folder/list`
  const items = []
  let start = ''
  do {
    const page = await callEllipsis(
      `${place}?pageSize=50&type=${encodeURIComponent(types)}${start}`,
    )
    items.push(...page.result)
    start = page.nextPageStart ? `&pageStart=${page.nextPageStart}` : null
  } while (start)
  return items
}

function button(text, action) {
  const made = document.createElement('button')
  made.textContent = text
  made.addEventListener('click', () => void show(action))
  return made
}

function draw(items) {
  const open = (length) => () => (trail = trail.slice(0, length))
  element('trail').replaceChildren(...trail.map(({ name }, at) => button(name, open(at + 1))))
  const rows = items.map(({ id, name, type }) => {
    const row = document.createElement('li')
    row.className = type
    row.append(type === 'folder' ? button(name, () => trail.push({ id, name })) : name)
    const kind = document.createElement('small')
    kind.textContent = type
    row.append(' ', kind)
    return row
  })
  element('list').replaceChildren(...rows)
  if (rows.length === 0) element('list').append('This folder is empty.')
}

// Does something, and shows the drive as it is afterwards, or what went wrong.
async function show(action = () => {}) {
  element('notice').hidden = true
  try {
    await action()
    if (localStorage.getItem('broker_token')) {
      element('username').textContent = (await callEllipsis('/account')).username
      draw(await listFolder())
    }
  } catch (error) {
    explain(error)
  }
  const connected = localStorage.getItem('broker_token') !== null
  element('disconnected').hidden = connected
  element('drive').hidden = !connected
}

function explain(error) {
  const notice = element('notice')
  notice.hidden = false
  notice.textContent = error.message
  if (error.code === 'invalid_token') {
    notice.textContent = 'This connection has ended. Connect again to see your drive.'
    localStorage.removeItem('broker_token')
  }
  if (error.code === 'reconnect_required') {
    // reconnect_url is for apps that can't begin the flow themselves, such as a nightly job's e-mail.
    notice.replaceChildren('Ellipsis Drive ended this connection. ')
    notice.append(button('Connect again', connect))
  }
}

element('connect').addEventListener('click', () => void connect())
element('refresh').addEventListener('click', () => void show())
element('disconnect').addEventListener('click', () => void show(disconnect))
await show(finishConnecting)
